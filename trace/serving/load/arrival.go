package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Arrival says when requests are due. The zero value makes all due at once.
type Arrival struct {
	// Rate is the mean of requests per second; 0 makes all due at once.
	Rate float64
	// Burstiness is the shape of the Gamma distribution of the gaps, whose coefficient of
	// variation is 1/√Burstiness: 1 is a Poisson process, less comes in bursts, more is
	// steadier. 0 means equal gaps. (As vllm bench serve's --burstiness, without its
	// rescaling of the last arrival.)
	Burstiness float64
}

// Poisson is the arrival of independent users.
func Poisson(rate float64) Arrival { return Arrival{Rate: rate, Burstiness: 1} }

// ParseArrival reads "once", "fixed:RATE", "poisson:RATE" or "gamma:RATE:BURSTINESS",
// the rate in requests per second.
func ParseArrival(s string) (Arrival, error) {
	parts := strings.Split(s, ":")
	var num [2]float64
	ok := len(parts) <= 3
	for i := 1; i < len(parts) && ok; i++ {
		v, err := strconv.ParseFloat(parts[i], 64)
		num[i-1], ok = v, err == nil && v > 0 && !math.IsInf(v, 0)
	}
	if ok {
		switch {
		case parts[0] == "once" && len(parts) == 1:
			return Arrival{}, nil
		case parts[0] == "fixed" && len(parts) == 2:
			return Arrival{Rate: num[0]}, nil
		case parts[0] == "poisson" && len(parts) == 2:
			return Poisson(num[0]), nil
		case parts[0] == "gamma" && len(parts) == 3:
			return Arrival{Rate: num[0], Burstiness: num[1]}, nil
		}
	}
	return Arrival{}, fmt.Errorf("%q is no arrival: give once, fixed:RATE, poisson:RATE or gamma:RATE:BURSTINESS, the rate in requests per second", s)
}

// String is what ParseArrival reads.
func (a Arrival) String() string {
	f := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	switch {
	case a.Rate == 0:
		return "once"
	case a.Burstiness == 0:
		return "fixed:" + f(a.Rate)
	case a.Burstiness == 1:
		return "poisson:" + f(a.Rate)
	}
	return "gamma:" + f(a.Rate) + ":" + f(a.Burstiness)
}

// Offsets are the due times of n requests from the start, rising, the first at 0.
func (a Arrival) Offsets(n int, seed uint64) ([]time.Duration, error) {
	if !(a.Rate >= 0) || !(a.Burstiness >= 0) || math.IsInf(a.Rate, 0) || math.IsInf(a.Burstiness, 0) {
		return nil, fmt.Errorf("load: an arrival of rate %v and burstiness %v: both must be positive numbers", a.Rate, a.Burstiness)
	}
	out := make([]time.Duration, n)
	if a.Rate == 0 {
		return out, nil
	}
	g := rand.New(rand.NewPCG(seed, streamArrival))
	at := 0.0 // seconds
	for i := 1; i < n; i++ {
		switch a.Burstiness {
		case 0:
			at = float64(i) / a.Rate
		case 1:
			at += g.ExpFloat64() / a.Rate
		default:
			at += gamma(g, a.Burstiness) / (a.Rate * a.Burstiness)
		}
		if at > maxSeconds {
			return nil, fmt.Errorf("load: at %v requests per second, request %d of %d is due after more than a year", a.Rate, i, n)
		}
		out[i] = time.Duration(at * float64(time.Second))
	}
	return out, nil
}

const maxSeconds = 366 * 24 * 3600

// gamma draws from the Gamma distribution of a shape and scale 1, by Marsaglia and
// Tsang (ACM TOMS 26, 2000); a shape below 1 is lifted by one and scaled back (their §6).
func gamma(g *rand.Rand, shape float64) float64 {
	lift := 1.0
	if shape < 1 {
		lift = math.Pow(1-g.Float64(), 1/shape)
		shape++
	}
	d := shape - 1./3
	c := 1 / math.Sqrt(9*d)
	for {
		x := g.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(1-g.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v * lift
		}
	}
}
