package page

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// readingsView is the section of what the GPUs read.
type readingsView struct {
	Note                            string
	GPUs, Phases, Reasons, Energies *table
	Sampled, Others                 *table // by the profiler: metrics with a key, all others
}

// readingsSection says in tables what the strip below the steps shows, and what
// follows from it for phases and roles.
func readingsSection(a *document.Analysis, lex *lexicon) *readingsView {
	v := &readingsView{}
	var notes []string
	if r := a.Readings; r != nil && len(r.Devices) > 0 {
		notes = append(notes, readingsNote(a))
		v.GPUs, v.Phases, v.Reasons, v.Energies = gpuTable(r), phaseReadings(a.Phases, lex), reasonTable(r), energyTable(a.Phases, lex)
	}
	if s := a.Samples; s != nil && len(s.Series) > 0 {
		notes = append(notes, samplesNote(a))
		v.Sampled, v.Others = sampledTables(a, lex)
	}
	if len(notes) == 0 {
		return nil
	}
	v.Note = strings.Join(notes, " ")
	return v
}

func readingsNote(a *document.Analysis) string {
	r := a.Readings
	note := "What the driver told of the GPUs while the window ran"
	if r.PeriodNS > 0 {
		note += ", about every " + thin(figures.Dur(r.PeriodNS))
	}
	if stepsBelow(a, r.PeriodNS) {
		note += ", which is longer than a step"
	}
	note += ". Power is the driver's, on many GPUs the mean of the second before."
	if r.LinkScope != "" {
		note += " NVLink counters are of " + clip(r.LinkScope, 40) + "."
	}
	return note
}

// stepsBelow says whether the steps of a phase are shorter than a period.
func stepsBelow(a *document.Analysis, period int64) bool {
	return slices.ContainsFunc(a.Phases, func(p document.Phase) bool { return p.Steps > 0 && p.StepNS.Median < period })
}

// gpuTable has a row per GPU.
func gpuTable(r *document.Readings) *table {
	t := &table{Caption: "GPUs over the window", Cols: cols("GPU", "Rank", "#Readings", "#SM clock, MHz", "#Memory clock, MHz", "#Power, W", "#Temperature, °C", "#Energy", "#NVLink sent", "#Received")}
	placed := slices.ContainsFunc(r.Devices, func(d document.DeviceReadings) bool { return len(d.Ranks) > 0 })
	for _, d := range r.Devices {
		gpu := textCell(gpuName(d.GPU))
		if d.Name != r.Devices[0].Name {
			gpu.Sub = clip(d.Name, 40)
		}
		power := levelCell(d.PowerW)
		if d.PowerLimitW > 0 && d.PowerW != nil {
			power.Sub += " of " + plainNumber(d.PowerLimitW)
		}
		t.Rows = append(t.Rows, row{Cells: []cell{gpu, ranksCell(d, placed), countCell(int64(d.Readings)), levelCell(d.SMMHz), levelCell(d.MemMHz), power, levelCell(d.TempC),
			unlessKnown(d.EnergyJ > 0, joules(d.EnergyJ)), movedCell(d.NVLinkTxBytes), movedCell(d.NVLinkRxBytes)}})
	}
	return t
}

// howRanks says how the rank of a GPU is known.
var howRanks = map[string]string{
	"uuid": "by UUID", "pci": "by PCI address", "visible_devices": "by CUDA_VISIBLE_DEVICES", "only_gpu": "it can be no other",
	"correlation": "an estimate: its load fits", "all_gpus": "or one without a file", "active_gpus": "or one without a file",
}

// ranksCell names the rank of a GPU, or those of which one ran on it. That it is
// nobody's is known only where the ranks are placed.
func ranksCell(d document.DeviceReadings, placed bool) cell {
	words := make([]string, 0, len(d.Ranks))
	for _, r := range d.Ranks[:min(len(d.Ranks), 8)] {
		words = append(words, strconv.Itoa(r))
	}
	switch len(d.Ranks) {
	case 0:
		if !placed {
			return textCell("n/a")
		}
		return textCell("none")
	case 1:
		c := textCell(words[0])
		c.Sub = howRanks[d.How]
		return c
	case 2:
		return textCell(words[0] + " or " + words[1])
	case len(words):
		return textCell("one of " + strings.Join(words, ", "))
	}
	return textCell(fmt.Sprintf("one of %d", len(d.Ranks)))
}

// levelCell is a mean with its range.
func levelCell(l *document.Level) cell {
	if l == nil {
		return unlessKnown(false, "")
	}
	c := cell{Text: plainNumber(l.Mean), Num: true, Value: strconv.FormatFloat(l.Mean, 'g', -1, 64)}
	if l.Max > l.Min {
		c.Sub = plainNumber(l.Min) + "–" + plainNumber(l.Max)
	}
	return c
}

// plainNumber writes whole numbers from 100 on, three digits below, and with an
// exponent what no int64 holds.
func plainNumber(f float64) string {
	if math.Abs(f) >= 1e15 {
		return strconv.FormatFloat(f, 'g', 3, 64)
	}
	return thin(figures.Mean(f))
}

func joules(j float64) string { return thin(figures.Energy(j)) }

// unlessKnown is a text, or n/a.
func unlessKnown(known bool, text string) cell {
	if !known {
		return cell{Text: "n/a", Num: true, Value: "-1"}
	}
	return cell{Text: text, Num: true}
}

func movedCell(n *int64) cell {
	if n == nil {
		return unlessKnown(false, "")
	}
	return bytesCell(*n)
}

// phaseReadings has a row per phase: clock, power, energy, and what the clock
// can have cost.
func phaseReadings(ps []document.Phase, lex *lexicon) *table {
	t := &table{Caption: "Clock and energy by phase", Note: "At the full clock: as if all steps had run at the phase's highest SM clock. What waits for memory does not shorten, so clocks cost at most this.",
		Cols: cols("Phase", "#SM clock, MHz", "#Power a GPU, W", "#Energy, all GPUs", "#A token", "#Step, median", "#At the full clock", "#Slowest over median", "#By its clock")}
	known := false
	for _, p := range ps {
		known = known || p.SMMHzMean > 0 || p.EnergyJ > 0
		full, slow, by := unlessKnown(false, ""), unlessKnown(false, ""), unlessKnown(false, "")
		if c := p.Clock; c != nil {
			full, slow, by = spreadCell(c.StepNS), durCell(c.ExcessNS), durCell(c.ByClockNS)
			slow.Sub = fmt.Sprintf("step %d, rank %d", c.SlowStep, c.SlowRank)
			if c.ByClockNS > 0 {
				by.Sub = "at " + plainNumber(c.SlowMHz) + " MHz"
			}
		}
		t.Rows = append(t.Rows, row{Cells: []cell{textCell(lex.stepPhase(p.Phase)), unlessKnown(p.SMMHzMean > 0, plainNumber(p.SMMHzMean)), unlessKnown(p.PowerWMean > 0, plainNumber(p.PowerWMean)),
			unlessKnown(p.EnergyJ > 0, joules(p.EnergyJ)), unlessKnown(p.JPerToken > 0, joules(p.JPerToken)), spreadCell(p.StepNS), full, slow, by}})
	}
	if !known {
		return nil
	}
	return t
}

// reasonTable lists why clocks stood where they did; nil when no reason did.
func reasonTable(r *document.Readings) *table {
	t := &table{Caption: "Why the clocks stood where they did", Cols: cols("GPU", "Reason", "Holds the clocks back", "#Share of the window", "#By the driver's counter")}
	for _, d := range r.Devices {
		for _, x := range d.Reasons {
			counter, holds := noCell(), "no"
			if x.CounterNS != nil {
				counter = durCell(*x.CounterNS)
			}
			if x.Throttles {
				holds = "yes"
			}
			t.Rows = append(t.Rows, row{Cells: []cell{textCell(gpuName(d.GPU)), textCell(x.Reason), textCell(holds), shareCell(x.Share, "c-busy"), counter}})
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}

// energyTable shares each phase's energy out.
func energyTable(ps []document.Phase, lex *lexicon) *table {
	t := &table{Caption: "Energy by role, an estimate", Note: "The energy of a phase, shared out by busy time: power differs between kernels.", Cols: cols("Phase", "Role or part", "#Energy", "#Share", "#A token")}
	for _, p := range ps {
		for _, e := range p.RoleEnergy {
			token := unlessKnown(false, "")
			if p.Tokens > 0 {
				token = unlessKnown(true, joules(e.EnergyJ/float64(p.Tokens)))
			}
			t.Rows = append(t.Rows, row{Cells: []cell{textCell(lex.stepPhase(p.Phase)), textCell(e.Name), unlessKnown(true, joules(e.EnergyJ)), shareCell(e.EnergyJ/p.EnergyJ, "c-busy"), token}})
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return t
}
