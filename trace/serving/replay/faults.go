package replay

import "time"

// Faults are the ways in which a server and its profiler go wrong, each seen on
// real ones. They combine; the zero value is a server that works.
type Faults struct {
	// NoProfiler: the server was started without its profiler, so the routes are 404.
	NoProfiler bool
	// StartError500: /start_profile answers 500 and nothing is profiled.
	StartError500 bool
	// StopError500: /stop_profile answers 500 at once while the engine still
	// writes its files (several API servers before one engine).
	StopError500 bool
	// StopBeforeFiles: /stop_profile answers 200 before any file exists.
	StopBeforeFiles bool
	// StopLost: the connection is reset on /stop_profile, as a proxy's idle limit
	// does; the engine writes its files all the same.
	StopLost bool
	// SlowStop, when not 0, is how long the engine takes to write its files, and
	// /stop_profile to answer. Options.Speed does not shorten it.
	SlowStop time.Duration
	// MissingRanks: these ranks write no trace.
	MissingRanks []int
	// HalfGzip: the last rank's trace ends in its middle and stays so; the stop
	// answers 200.
	HalfGzip bool
	// PartialWrite: traces grow byte by byte and never become complete, and
	// /stop_profile does not answer (with StopBeforeFiles it does).
	PartialWrite bool
	// FrontendTrace: the API server writes its own trace, *.async_llm.*, without GPU events.
	FrontendTrace bool
	// DieMidCapture, when not 0: after so many tokens sent while profiling all
	// connections break and the server is gone. No file comes.
	DieMidCapture int
	// SSEError, when not 0: each stream breaks off with an error chunk after so many tokens.
	SSEError int
	// BundledTokens, when over 1: so many tokens come in one chunk.
	BundledTokens int
	// Unauthorized: every request to /v1 is answered 401.
	Unauthorized bool
	// DataParallel, when over 1: so many engines of one GPU each stand behind the
	// server: their traces are named dp0_…, dp1_… and metrics carry engine labels.
	DataParallel int
	// AlreadyRunning: so many requests of others run all the time, by /metrics.
	AlreadyRunning int
}
