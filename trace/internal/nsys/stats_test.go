package nsys

import (
	"fmt"
	"strings"
	"testing"
)

// Tables as nsys stats writes them: of 2025.3.2, and of older versions and
// other units.
const (
	saying     = "Processing [report1.sqlite] with [cuda_gpu_trace.py]... \n"
	traceHead  = "Start (ns),Duration (ns),CorrId,GrdX,GrdY,GrdZ,BlkX,BlkY,BlkZ,Reg/Trd,StcSMem (MB),DymSMem (MB),Bytes (MB),Throughput (MB/s),SrcMemKd,DstMemKd,Device,Ctx,GreenCtx,Strm,Name\n"
	copyRow    = "32563031,896,30847,,,,,,,,,,0.000,4.464,Pinned,Device,NVIDIA H200 (0),1,,17,[CUDA memcpy Host-to-Device]\n"
	setRow     = "47829581,800,31429,,,,,,,,,,0.000,5.000,Device,,NVIDIA H200 (0),1,,17,[CUDA memset]\n"
	kernelRow  = "33347014,768,30953,1,1,1,128,1,1,16,0.000,0.000,,,,,NVIDIA H200 (1),1,,17,\"void k<(int)4, char *>(int, T2)\"\n"
	sumHead    = "Time (%),Total Time (ns),Instances,Avg (ns),Med (ns),Min (ns),Max (ns),StdDev (ns),Name\n"
	sumRow     = "13.0,29496202,2706,10900.3,4576.0,3808,556321,24291.6,\"void k<(int)4, char *>(int, T2)\"\n"
	bothHead   = "Time (%),Total Time (ns),Instances,Avg (ns),Med (ns),Min (ns),Max (ns),StdDev (ns),Category,Operation\n"
	bothRow    = "12.8,29496202,2706,10900.3,4576.0,3808,556321,24291.6,CUDA_KERNEL,\"void k<(int)4, char *>(int, T2)\"\n"
	memoryRow  = "1.1,2500,5,500.0,500.0,400,600,10.0,MEMORY_OPER,[CUDA memcpy Device-to-Device]\n"
	oldSum     = "Time(%),Total Time (ns),Instances,Average,Minimum,Maximum,Name\n50.0,1000,4,250.0,200,300,k\n"
	guiSum     = "Time\tTotal Time\tInstances\tAvg\tMed\tMin\tMax\tStdDev\tName\n48.0%\t29.496 ms\t2,706\t10.900 μs\t4.576 μs\t3.808 μs\t556.321 μs\t24.292 μs\tvoid k<(int)4, char *>(int, T2)\n"
	microTrace = "Start (us);Duration (us);CorrId;Device;Strm;Name\n32563.031;0.896;30847;NVIDIA H200 (0);17;k\n"
)

func TestTables(t *testing.T) {
	for _, c := range []struct{ what, text, want string }{
		{"events", saying + traceHead + copyRow + setRow + kernelRow, `1 32563031+896 p16777216 d0 s17 c30847 "Memcpy HtoD (Pinned -> Device)" -1B
2 47829581+800 p16777216 d0 s17 c31429 "Memset (Device)" -1B
0 33347014+768 p33554432 d1 s17 c30953 "void k<(int)4, char *>(int, T2)" -1B
`},
		{"microseconds and semicolons", microTrace, `0 32563031+896 p16777216 d0 s17 c30847 "k" -1B` + "\n"},
		{"several reports", saying + sumHead + sumRow + "\n" + saying + traceHead + kernelRow, `0 33347014+768 p33554432 d1 s17 c30953 "void k<(int)4, char *>(int, T2)" -1B
sum "void k<(int)4, char *>(int, T2)" 0 2706 29496202 3808/4576/556321 /1
`},
		{"events as JSON", saying + "[\n  {\n    \"Start (ns)\": 33347014,\n    \"Duration (ns)\": 768,\n    \"CorrId\": 30953,\n    \"Device\": \"NVIDIA H200 (1)\",\n    \"Strm\": 17,\n    \"Name\": \"void k<(int)4, char *>(\\u0069nt, T2)\"\n  }\n]\n",
			`0 33347014+768 p33554432 d1 s17 c30953 "void k<(int)4, char *>(int, T2)" -1B` + "\n"},
		{"sums", sumHead + sumRow, `sum "void k<(int)4, char *>(int, T2)" 0 2706 29496202 3808/4576/556321 /1` + "\n"},
		{"sums twice", sumHead + sumRow + "\n" + bothHead + bothRow + memoryRow, `sum "void k<(int)4, char *>(int, T2)" 0 2706 29496202 3808/4576/556321 /1
sum "Memcpy DtoD" 1 5 2500 400/500/600 /1
`},
		{"sums of 2021", oldSum, `sum "k" 0 4 1000 200/-1/300 /1` + "\n"},
		{"sums of the GUI", guiSum, `sum "void k<(int)4, char *>(int, T2)" 0 2706 29496000 3808/4576/556321 /1000` + "\n"},
		{"sums as JSON", `[{"Time (%)": 13.0, "Total Time (ns)": 29496202, "Instances": 2706, "Med (ns)": 4576.5, "Min (ns)": 3808, "Max (ns)": 556321, "Name": "k"}]`,
			`sum "k" 0 2706 29496202 3808/4577/556321 /1` + "\n"},
		{"two keys of one meaning in JSON: the first counts, in its own unit", `[{"Start (ns)": 1, "Duration (ns)": 5, "Duration (ms)": 7, "CorrId": 1, "Name": "k"}, {"Start (ns)": 9, "Duration (ns)": 5, "Duration (ms)": 7, "CorrId": 2, "Name": "k"}]`,
			`0 1+5 p16777216 d0 s0 c1 "k" -1B` + "\n" + `0 9+5 p16777216 d0 s0 c2 "k" -1B` + "\n"},
		{"byte order mark", "\ufeff" + sumHead + sumRow, `sum "void k<(int)4, char *>(int, T2)" 0 2706 29496202 3808/4576/556321 /1` + "\n"},
	} {
		x, got, err := readText(t, c.text)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		var b strings.Builder
		for _, r := range got.all {
			fmt.Fprintf(&b, "%d %d+%d p%d d%d s%d c%d %q %dB\n", r.Kind, r.Start, r.End-r.Start, r.Process, r.Device, r.Stream, r.Corr, x.Names[r.Name], r.Bytes)
		}
		for _, s := range x.Summary {
			fmt.Fprintf(&b, "sum %q %d %d %d %d/%d/%d /%d\n", s.Name, s.Kind, s.Launches, s.TotalNS, s.MinNS, s.MedNS, s.MaxNS, s.DigitNS)
		}
		if b.String() != c.want || x.Skipped != 0 || x.Truncated {
			t.Errorf("%s:\n%s%+v", c.what, b.String(), x)
		}
	}
}

func TestDamagedTables(t *testing.T) {
	for _, c := range []struct {
		what, text, truncated string
		rows, skipped         int64
	}{
		{"a short row", traceHead + kernelRow + "1,2,3,4,5\n" + kernelRow, "", 2, 1},
		{"no number", traceHead + kernelRow + strings.Replace(kernelRow, "33347014", "soon", 1) + kernelRow, "", 2, 1},
		{"cut in a row", traceHead + kernelRow + kernelRow[:30], "the text ends inside a line", 1, 0},
		{"cut in a name", traceHead + kernelRow + kernelRow[:strings.LastIndex(kernelRow, `"`)], "the text ends inside a line", 1, 0},
		{"two reports' events", traceHead + kernelRow + "\n" + traceHead + kernelRow, "", 1, 1},
		{"cut JSON", `[{"Start (ns)": 1, "Duration (ns)": 2, "CorrId": 3, "Name": "k"}, {"Start`, "the text ends inside a table", 1, 0},
		{"a column of nothing", traceHead + kernelRow + strings.Replace(kernelRow, "768", "-768", 1), "", 1, 1},
	} {
		x, got, err := readText(t, c.text)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if int64(len(got.all)) != c.rows || x.Skipped != c.skipped || x.TruncatedBy != c.truncated {
			t.Errorf("%s: %d rows, %+v", c.what, len(got.all), x)
		}
	}
}

func TestQuantity(t *testing.T) {
	for _, c := range []struct {
		text   string
		factor float64
		n      int64
		digit  int64
		ok     bool
	}{
		{"33347014", 1, 33347014, 1, true},
		{"4576.0", 1, 4576, 1, true},
		{"4576.5", 1, 4577, 1, true},
		{"5,850,000", 1, 5850000, 1, true},
		{"32563.031", 1e3, 32563031, 1, true},
		{"1795400818.610817643", 1e9, 1795400818610817643, 1, true},
		{"29.496 ms", 0, 29496000, 1000, true},
		{"29.496202 ms", 0, 29496202, 1, true},
		{"3 s", 0, 3000000000, 1e9, true},
		{"10.9 μs", 0, 10900, 100, true},
		{"-7", 1, -7, 1, true},
		{"", 1, 0, 1, false},
		{".5", 1e3, 0, 1, false},
		{"1,234,567.25", 1e3, 1234567250, 10, true},
		{"1,23", 1, 0, 1, false},
		{"1.234,5", 1, 0, 1, false},
		{"soon", 1, 0, 1, false},
		{"3 parsecs", 1, 0, 1, false},
		{"1e400", 1, 0, 1, false},
		{"99999999999999999999", 1, 0, 1, false},
	} {
		n, digit, ok := quantity(c.text, c.factor)
		if ok != c.ok || ok && (n != c.n || digit != c.digit) {
			t.Errorf("quantity(%q, %g) = %d, %d, %v", c.text, c.factor, n, digit, ok)
		}
	}
}

func TestNames(t *testing.T) {
	for from, to := range map[string]string{
		"cudaLaunchKernel_v7000": "cudaLaunchKernel", "cudaMemcpyAsync_v3020_ptsz": "cudaMemcpyAsync", "cuLaunchKernelEx": "cuLaunchKernelEx",
		"cudaGraphLaunch_v10000": "cudaGraphLaunch", "cublasGemm_v2": "cublasGemm", "_v": "_v",
	} {
		if got := callName(from); got != to {
			t.Errorf("callName(%q) = %q", from, got)
		}
	}
	for want, got := range map[string]string{
		"Memcpy HtoD (Pinned -> Device)": copyName(1, 1, 2), "Memcpy PtoP (Device -> Device)": copyName(10, 2, 2), "Memcpy Unknown": copyName(0, -1, -1),
		"Memcpy DtoH (Device)": copyName(2, 2, -1), "Memset (Device)": setName(2), "Memset": setName(-1),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestDetect(t *testing.T) {
	for text, want := range map[string]Form{
		"SQLite format 3\x00": SQLite, stringLine: JSONLines, kernelLine: JSONLines, saying + traceHead: Tables, guiSum: Tables, oldSum: Tables,
		"[\n  {\n    \"Time (%)\": 13.0,": Tables, "": NoExport, "{\n  \"schemaVersion\": 1,": NoExport, `[{"ph": "X", "cat": "kernel"}]`: NoExport,
		"{\"traceEvents\": [": NoExport, "Name,Start,End\n1,2,3": NoExport, "a,b,c\n": NoExport,
	} {
		if got := Detect([]byte(text)); got != want {
			t.Errorf("Detect(%.40q) = %d, want %d", text, got, want)
		}
	}
}
