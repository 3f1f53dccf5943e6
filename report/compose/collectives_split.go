package compose

import (
	"slices"

	"tokprof/kernels/breakdown"
	"tokprof/report/document"
	"tokprof/report/figures"
	"tokprof/trace"
)

// splitRows turns time inside matched collectives into transfer and waiting,
// phase by phase. What another stream hid of one is taken from its waiting
// first: the data moves at its end.
func (b *builder) splitRows(parts map[rowKey]*document.Row) {
	for i := range b.ranks {
		b.splitRank(i, parts, "", allDevices)
	}
}

// allDevices are those of a rank.
const allDevices = -1

// splitRank does it for one rank's collectives, of one phase or of all (""), on
// one device or on all.
func (b *builder) splitRank(i int, parts map[rowKey]*document.Row, only string, device int) {
	r := b.ranks[i]
	for j, c := range r.Collectives {
		s := b.split.Of[i][j]
		phase := trace.NoPhase
		if c.Step >= 0 {
			phase = r.Steps[c.Step].Label.Phase
		}
		if !s.Known || only != "" && phase.String() != only || device != allDevices && c.Device != device {
			continue
		}
		transfer := breakdown.Cell{Time: s.Transfer, Exposed: min(s.Transfer, c.Exposed), Launches: 1}
		wait := breakdown.Cell{Time: s.Wait, Exposed: c.Exposed - transfer.Exposed}
		rows := []string{phase.String(), "all"}
		if only != "" {
			rows = rows[:1]
		}
		for _, p := range rows {
			addRow(parts, p, "transfer", transfer)
			addRow(parts, p, "waiting", wait)
			addRow(parts, p, "comm", breakdown.Cell{Time: -c.Dur, Exposed: -c.Exposed, Launches: -1})
		}
	}
	for k, r := range parts {
		if k.name == "comm" && r.TimeNS == 0 && r.Launches == 0 {
			delete(parts, k)
		}
	}
}

// splitSteps does the same in one rank's steps.
func (b *builder) splitSteps(rank int, steps []document.Step) {
	for j, c := range b.ranks[rank].Collectives {
		s := b.split.Of[rank][j]
		if !s.Known || c.Step < 0 {
			continue
		}
		p := &steps[c.Step].Parts
		figures.AddTime(p, "comm", -int64(c.Dur))
		figures.AddTime(p, "transfer", int64(s.Transfer))
		figures.AddTime(p, "waiting", int64(s.Wait))
	}
	for i := range steps {
		steps[i].Parts = slices.DeleteFunc(steps[i].Parts, func(t document.NameTime) bool { return t.TimeNS == 0 })
	}
}
