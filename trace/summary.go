package trace

import "tokprof/trace/internal/nsys"

// Summary is a table of kernels and copies with sums alone, as nsys stats
// writes it (cuda_gpu_kern_sum, cuda_gpu_sum): no moment, no stream and no
// launch of any single one is known.
type Summary struct {
	Info    Info
	Kernels []SummedKernel // in the order of the file
}

// NamesBehindRanges counts rows in Info.Counts whose name stood behind that of
// an NVTX range, which is left out.
const NamesBehindRanges = nsys.NamesBehindRanges

// SumsRead counts rows of sums in Info.Counts; beside single events they are in
// no number.
const SumsRead = nsys.SumsRead

// SummedKernel is one name's row of a summary. A value that the table lacks is
// negative.
type SummedKernel struct {
	Name                    string
	Kind                    Kind // Kernel, Copy or Set
	Launches                int64
	Total, Min, Median, Max Time
	Digit                   Time // what the last digit of Total as printed is worth, 1 ns at least
}

// SummaryOnly is the cause of the error of opening a summary as a trace. It
// brings what the file does hold.
type SummaryOnly struct{ Summary *Summary }

func (e *SummaryOnly) Error() string { return "holds sums by kernel name alone" }

func newSummary(path string, x *nsys.Export) *Summary {
	s := &Summary{Info: fileInfo(path, x)}
	for _, r := range x.Summary {
		s.Kernels = append(s.Kernels, SummedKernel{
			Name: r.Name, Kind: kinds[nsysKinds[r.Kind]], Launches: r.Launches, Digit: Time(r.DigitNS),
			Total: Time(r.TotalNS), Min: Time(r.MinNS), Median: Time(r.MedNS), Max: Time(r.MaxNS),
		})
	}
	return s
}
