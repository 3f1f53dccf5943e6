package breakdown

import (
	"strings"

	"tokprof/kernels/attribution"
	"tokprof/trace"
)

// Role is what a trace file is to its run.
type Role uint8

// Roles of files.
const (
	GPURank      Role = iota // a worker's trace: counted
	Frontend                 // a server process without GPU work
	GraphCapture             // written while graphs were captured: its kernels are warm-ups, never serving time
)

func (r Role) String() string { return [...]string{"gpu", "frontend", "graph_capture"}[r] }

// roleOf judges by content, then by name. A capture trace is known by its
// stream-capture calls and by replaying nothing; a front end has no GPU work.
func roleOf(ev *attribution.Events) Role {
	t := ev.Trace
	if len(t.GPU()) == 0 && len(t.GraphRuns) == 0 {
		return Frontend
	}
	capturing, replays := false, false
	for n := range t.Names() {
		name := t.Name(trace.NameID(n))
		capturing = capturing || strings.Contains(name, "StreamEndCapture")
	}
	for _, c := range ev.Calls {
		replays = replays || c.Graph
	}
	if capturing && !replays || trace.ParseFileName(t.Info.Name).Capture && capturing {
		return GraphCapture
	}
	return GPURank
}
