package document

import "tokprof/report/latency"

// Requests is what the clients of a window saw, and where in the steps of the
// engines that time went.
type Requests = latency.Requests

// Parts of Requests.
type (
	ErrorCount    = latency.ErrorCount
	Join          = latency.Join
	FirstToken    = latency.FirstToken
	BetweenTokens = latency.BetweenTokens
	RequestRole   = latency.RequestRole
	Request       = latency.Request
	SlowToken     = latency.SlowToken
)

// Tax is what the profiler cost: the same load with it and without.
type Tax = latency.Tax
