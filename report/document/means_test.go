package document

import "testing"

func TestPausesAreNotIdleSteps(t *testing.T) {
	var a Analysis
	for i := range 6 {
		s := Step{Index: i, Phase: "decode", DurNS: 2_000_000, BusyNS: 1_500_000, PeriodNS: 3_000_000, Parts: []NameTime{{Name: "ffn", TimeNS: 1_500_000}}}
		if i == 3 {
			s.PeriodNS = 400_000_000
		}
		a.Steps = append(a.Steps, s)
	}
	m := StepMeans(&a)
	if len(m) != 1 || m[0].Pauses != 1 || m[0].Idle != 5*1_500_000+500_000 {
		t.Errorf("means %+v", m[0])
	}
}
