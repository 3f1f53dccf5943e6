package document

import "tokprof/report/figures"

// How drawings write the numbers of a document; figures says more.

// FormatDur writes nanoseconds: "1.03 ms".
func FormatDur(ns int64) string { return figures.Dur(ns) }

// FormatBytes writes a size: "63.2 MB".
func FormatBytes(n int64) string { return figures.Bytes(n) }

// FormatRate writes bytes a second: "41.2 GB/s"; "n/a" when unknown (0).
func FormatRate(bytesPerS float64) string { return figures.Rate(bytesPerS) }

// FormatEnergy writes joules: "2.40 kJ".
func FormatEnergy(joule float64) string { return figures.Energy(joule) }

// FormatShare writes a fraction as percent: "43 %".
func FormatShare(f float64) string { return figures.Percent(f) }

// FormatChange writes a relative change with its sign: "+37 %".
func FormatChange(f float64) string { return figures.Change(f) }

// FormatMean writes a plain mean: "7.62".
func FormatMean(v float64) string { return figures.Mean(v) }

// FormatCount writes a whole number: "12 345".
func FormatCount(n int64) string { return figures.Count(n) }
