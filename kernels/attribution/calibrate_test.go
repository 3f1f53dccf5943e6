package attribution

import (
	"testing"

	"tokprof/kernels/attribution/tracescript"
	"tokprof/kernels/role"
)

// TestCalibrate gives the fixtures' graph replays roles from an eager trace of
// the same model: every product of an equal pass gets its slot's role, and the
// order of kernels agrees with it.
func TestCalibrate(t *testing.T) {
	c := classifier(t)
	eager := tracescript.OpenFile(t, "../../fixtures/traces/qwen3-moe-12l-eager/dp0_pp0_tp0_dcp0_ep0_rank0.1795401092337752469.pt.trace.json.gz")
	cal := ReadCalibration(eager, c)
	if cal.Passes() == 0 {
		t.Fatal("the eager trace proves no pass")
	}
	tr := tracescript.OpenFile(t, "../../fixtures/traces/qwen3-moe-12l-tp1/dp0_pp0_tp0_dcp0_ep0_rank0.1795400617052569174.pt.trace.json.gz")
	plain, with := NewEvents(tr, c, Evidence{}), NewEvents(tr, c, Evidence{Calibration: cal})
	slots := 0
	for i := range tr.GPU() {
		k := with.Known(i)
		if k.Provenance == ByCalibration {
			slots++
		}
		if k.Role != plain.Known(i).Role {
			t.Errorf("event %d: %s calibrated, %s by its place", i, k.Role, plain.Known(i).Role)
		}
	}
	if slots == 0 {
		t.Error("no product took a calibrated role")
	}
	if with.Disagreements != plain.Disagreements {
		t.Errorf("%d disagreements with the calibration, %d without", with.Disagreements, plain.Disagreements)
	}
}

// TestCalibrateWins: where the order abstains, the calibrated slot decides, and
// passes with another number of products are left alone.
func TestCalibrateWins(t *testing.T) {
	c := classifier(t)
	tr := tracescript.OpenFile(t, "../../fixtures/traces/qwen3-moe-12l-tp1/dp0_pp0_tp0_dcp0_ep0_rank0.1795400617052569174.pt.trace.json.gz")
	cal := ReadCalibration(tracescript.OpenFile(t, "../../fixtures/traces/qwen3-moe-12l-eager/dp0_pp0_tp0_dcp0_ep0_rank0.1795401092337752469.pt.trace.json.gz"), c)
	hidden := NewEvents(tr, c, Evidence{Hide: Hide{What: "norm"}, Calibration: cal})
	truth := NewEvents(tr, c, Evidence{})
	decided := 0
	for i := range tr.GPU() {
		if k := hidden.Known(i); k.Provenance == ByCalibration {
			decided++
			if k.Role != truth.Known(i).Role {
				t.Errorf("event %d: %s, want %s", i, k.Role, truth.Known(i).Role)
			}
		}
	}
	if decided == 0 {
		t.Error("without norms nothing was calibrated")
	}
	other := &Calibration{passes: map[int][]role.Role{3: {role.QKVProj, role.OProj, role.Down}}}
	ev := NewEvents(tr, c, Evidence{Calibration: other})
	for i := range tr.GPU() {
		if ev.Known(i).Provenance == ByCalibration {
			t.Fatal("a pass of three products calibrated a whole model's")
		}
	}
}
