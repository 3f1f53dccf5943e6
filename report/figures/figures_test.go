package figures

import (
	"reflect"
	"testing"
)

func TestWritten(t *testing.T) {
	for want, got := range map[string]string{
		"0 ns": Dur(0), "736 ns": Dur(736), "999 ns": Dur(999), "1.00 µs": Dur(1000), "4.21 µs": Dur(4210), "12.3 ms": Dur(12_345_678), "1.00 s": Dur(999_960_000), "100 s": Dur(99_960_000_000),
		"-1.50 ms": Dur(-1_500_000), "63.2 MB": Bytes(63_200_000), "n/a": Rate(0), "41.2 GB/s": Rate(41.2e9), "41 mJ": Energy(0.0412), "2.40 kJ": Energy(2400),
		"0 %": Percent(0), "<0.1 %": Percent(0.0004), "4.1 %": Percent(0.041), "43 %": Percent(0.43), "+37 %": Change(0.366), "−4.1 %": Change(-0.041), "±0 %": Change(0),
		"7.62": Mean(7.615), "1303": Mean(1303), "12 345": Count(12345), "-1 234 567": Count(-1234567), "9999": Count(9999),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestSpreadOf(t *testing.T) {
	for _, c := range []struct {
		values []int64
		want   Spread
	}{
		{nil, Spread{}},
		{[]int64{7}, Spread{7, 7}},
		{[]int64{3, 1, 2}, Spread{2, 3}},
		{[]int64{4, 3, 2, 1}, Spread{2, 4}},
	} {
		if got := SpreadOf(c.values); got != c.want {
			t.Errorf("%v: %v, want %v", c.values, got, c.want)
		}
	}
}

func TestNamedTime(t *testing.T) {
	var list []NameTime
	for _, x := range []NameTime{{"b", 2}, {"a", 3}, {"c", 5}, {"a", 2}} {
		AddTime(&list, x.Name, x.TimeNS)
	}
	if got, want := ByTime(list), []NameTime{{"a", 5}, {"c", 5}, {"b", 2}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestRanges(t *testing.T) {
	for want, n := range map[string][]int{
		"": nil, "3": {3}, "0, 1": {0, 1}, "1–3": {1, 2, 3}, "0, 2–7, 9, 10": {0, 2, 3, 4, 5, 6, 7, 9, 10},
	} {
		if got := Ranges(n); got != want {
			t.Errorf("%v is %q, want %q", n, got, want)
		}
	}
}
