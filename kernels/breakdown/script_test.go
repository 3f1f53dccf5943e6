package breakdown

import (
	"testing"

	"tokprof/kernels"
	"tokprof/kernels/attribution"
	"tokprof/kernels/attribution/tracescript"
)

// The names of tracescript.
const (
	gemmName    = tracescript.Gemm
	commName    = tracescript.Comm
	attnName    = tracescript.Attn
	normName    = tracescript.Norm
	copyName    = tracescript.Copy
	decodeStep  = tracescript.DecodeStep
	prefillStep = tracescript.PrefillStep
	idleStep    = tracescript.IdleStep
	base        = tracescript.Base
	µs          = 1000
)

type script struct{ tracescript.Script }

func (s *script) events(t testing.TB) *attribution.Events {
	return attribution.NewEvents(s.Open(t), classifier(t), attribution.Evidence{})
}

func (s *script) reduce(t testing.TB) *Rank {
	return Reduce(s.Open(t), classifier(t), Options{ExcerptTo: -1})
}

func classifier(t testing.TB) *kernels.Classifier {
	t.Helper()
	c, err := kernels.NewClassifier(nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
