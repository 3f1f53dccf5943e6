package document

// Tax is what the profiler cost: the same load with it and without. Requests
// are paired by order and prompt length, tokens by position. Times are medians
// over the pairs; an inflation of 0.37 means 37 % longer with the profiler, one
// below 0 that the run without it was slower, by chance or for being first.
type Tax struct {
	Window        string  `json:"plain_window"`
	Requests      int64   `json:"requests"` // pairs
	Gaps          int64   `json:"gaps"`     // between tokens, of each side
	TTFTNS        int64   `json:"ttft_ns"`
	PlainTTFTNS   int64   `json:"plain_ttft_ns"`
	TTFTInflation float64 `json:"ttft_inflation"`
	TPOTNS        int64   `json:"tpot_ns"` // 0 when no pair has two tokens
	PlainTPOTNS   int64   `json:"plain_tpot_ns"`
	TPOTInflation float64 `json:"tpot_inflation"`
}
