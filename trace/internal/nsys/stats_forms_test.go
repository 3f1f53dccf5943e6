package nsys

import (
	"fmt"
	"strings"
	"testing"
)

// formOf is all that a text of tables tells, a line each.
func formOf(t *testing.T, text string) string {
	t.Helper()
	x, got, err := readText(t, text)
	if err != nil {
		return "refused: " + err.Error() + "\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d rows, %d skipped\n", x.Format, x.Events, x.Skipped)
	for _, r := range got.all {
		fmt.Fprintf(&b, "event %d %d+%d d%d s%d c%d %q\n", r.Kind, r.Start, r.End-r.Start, r.Device, r.Stream, r.Corr, x.Names[r.Name])
	}
	for _, s := range x.Summary {
		fmt.Fprintf(&b, "sum %q %d %d %d %d/%d/%d /%d\n", s.Name, s.Kind, s.Launches, s.TotalNS, s.MinNS, s.MedNS, s.MaxNS, s.DigitNS)
	}
	for _, d := range x.Damage {
		fmt.Fprintf(&b, "at %d: %s\n", d.Offset, d.What)
	}
	return b.String()
}

// speech is what nsys stats says around its tables.
const speech = "Generating SQLite file report1.sqlite from report1.nsys-rep\n" + saying + "\n ** CUDA GPU Kernel Summary (cuda_gpu_kern_sum):\n\n"

// statsForms are tables as nsys stats wrote them over the years and as its
// options, other programs and other systems change them, and what is told of
// each.
var statsForms = []struct{ what, text, want string }{
	{"speech before and between tables", speech + sumHead + sumRow + "\n" + saying + "SKIPPED: /x/a,b,c,d,e,f,g,h,i.sqlite does not contain CUDA memory data.\n\n", `nsys.stats.csv, 0 rows, 0 skipped
sum "void k<(int)4, char *>(int, T2)" 0 2706 29496202 3808/4576/556321 /1
`},
	{"speech inside a table, its path of as many commas as columns", sumHead + sumRow + "SKIPPED: /x/a,b,c,d,e,f,g,h,i.sqlite does not contain CUDA memory data.\n", `nsys.stats.csv, 0 rows, 0 skipped
sum "void k<(int)4, char *>(int, T2)" 0 2706 29496202 3808/4576/556321 /1
`},
	{"events, then sums of the same report", saying + traceHead + kernelRow + "\n" + saying + sumHead + sumRow, `nsys.stats.csv, 1 rows, 0 skipped
event 0 33347014+768 d1 s17 c30953 "void k<(int)4, char *>(int, T2)"
sum "void k<(int)4, char *>(int, T2)" 0 2706 29496202 3808/4576/556321 /1
`},
	{"milliseconds", strings.ReplaceAll(sumHead, "(ns)", "(ms)") + "13.0,29.496202,2706,0.010900,0.004576,0.003808,0.556321,0.024,k\n", `nsys.stats.csv, 0 rows, 0 skipped
sum "k" 0 2706 29496202 3808/4576/556321 /1
`},
	{"microseconds, cut", strings.ReplaceAll(sumHead, "(ns)", "(us)") + "13.0,29496.2,2706,10.9,4.576,3.808,556.321,24.2,k\n", `nsys.stats.csv, 0 rows, 0 skipped
sum "k" 0 2706 29496200 3808/4576/556321 /100
`},
	{"seconds", strings.ReplaceAll(sumHead, "(ns)", "(s)") + "13.0,0.029496202,2706,0.0000109,0.000004576,0.000003808,0.000556321,0.1,k\n", `nsys.stats.csv, 0 rows, 0 skipped
sum "k" 0 2706 29496202 3808/4576/556321 /1
`},
	{"gpukernsum of 2020", "Time(%),Total Time (ns),Instances,Average,Minimum,Maximum,Name\n50.0,1000,4,250.0,200,300,k\n", `nsys.stats.csv, 0 rows, 0 skipped
sum "k" 0 4 1000 200/-1/300 /1
`},
	{"gputrace", "Start(nsec),Duration(nsec),CorrId,GrdX,GrdY,GrdZ,BlkX,BlkY,BlkZ,Reg/Trd,StcSMem,DymSMem,Bytes,Thru,SrcMemKd,DstMemKd,Device,Ctx,Strm,Name\n100,20,7,1,1,1,128,1,1,16,0,0,,,,,NVIDIA A100 (0),1,7,k\n",
		`nsys.stats.csv, 1 rows, 0 skipped
event 0 100+20 d0 s7 c7 "k"
`},
	{"grids and blocks: one kernel's rows are one", "Time (%),Total Time (ns),Instances,Avg (ns),Med (ns),Min (ns),Max (ns),StdDev (ns),GridXYZ,BlockXYZ,Name\n" +
		"60.0,600,3,200.0,200.0,100,300,1.0,   1    1    1, 128    1    1,nvjet_tst_TNT\n30.0,300,1,300.0,300.0,300,300,0.0,   2    1    1, 128    1    1,nvjet_tst_TNT\n10.0,100,1,100.0,100.0,100,100,0.0,   2    1    1, 128    1    1,other\n",
		`nsys.stats.csv, 0 rows, 0 skipped
sum "nvjet_tst_TNT" 0 4 900 100/-1/300 /1
sum "other" 0 1 100 100/100/100 /1
`},
	{"whole names, then base names: counted once", sumHead + "50.0,500,2,1,2,3,4,0," + `"void k<(int)4, char *>(int, T2)"` + "\n50.0,500,3,1,2,3,4,0,nvjet_tst_TNT\n\n" + sumHead + "100.0,1000,5,1,2,3,4,0,k\n", `nsys.stats.csv, 0 rows, 0 skipped
sum "void k<(int)4, char *>(int, T2)" 0 2 500 3/2/4 /1
sum "nvjet_tst_TNT" 0 3 500 3/2/4 /1
`},
	{"two reports in one text: the second is lost, and said to be", sumHead + sumRow + "\n" + sumHead + "100.0,1000,5,1,2,3,4,0,k\n", `nsys.stats.csv, 0 rows, 1 skipped
sum "void k<(int)4, char *>(int, T2)" 0 2706 29496202 3808/4576/556321 /1
at 265: a table of another report's sums follows: give each report's table a file of its own
`},
	{"kernels, then copies", sumHead + sumRow + "\n" + "Time (%),Total Time (ns),Count,Avg (ns),Med (ns),Min (ns),Max (ns),StdDev (ns),Operation\n80.0,800,4,200.0,200.0,100,300,1.0,[CUDA memcpy Host-to-Device]\n20.0,200,1,200,200,200,200,0,[CUDA memset]\n", `nsys.stats.csv, 0 rows, 0 skipped
sum "void k<(int)4, char *>(int, T2)" 0 2706 29496202 3808/4576/556321 /1
sum "Memcpy HtoD" 1 4 800 100/200/300 /1
sum "Memset" 2 1 200 200/200/200 /1
`},
	{"sizes of copies are no times", sumHead + sumRow + "\n" + "Total (MB),Count,Avg (MB),Med (MB),Min (MB),Max (MB),StdDev (MB),Operation\n12.345,4,3.0,3.0,1.0,9.0,1.0,[CUDA memcpy Host-to-Device]\n", `nsys.stats.csv, 0 rows, 0 skipped
sum "void k<(int)4, char *>(int, T2)" 0 2706 29496202 3808/4576/556321 /1
`},
	{"sizes alone", "Total (MB),Count,Avg (MB),Med (MB),Min (MB),Max (MB),StdDev (MB),Operation\n12.345,4,3.0,3.0,1.0,9.0,1.0,[CUDA memcpy Host-to-Device]\n",
		"refused: is no Nsight Systems export: give an Nsight Systems export: nsys export --type sqlite report.nsys-rep\n"},
	{"calls on the host are no GPU work", bothHead + "90.0,9000,3,1,2,3,4,0,CUDA_API,cudaGraphLaunch\n" + bothRow + memoryRow, `nsys.stats.csv, 0 rows, 0 skipped
sum "void k<(int)4, char *>(int, T2)" 0 2706 29496202 3808/4576/556321 /1
sum "Memcpy DtoD" 1 5 2500 400/500/600 /1
`},
	{"ranges of MPI are no GPU work", saying + "Time (%),Total Time (ns),Instances,Avg (ns),Med (ns),Min (ns),Max (ns),StdDev (ns),Source,Name\n90.0,9000,3,1,2,3,4,0,MPI,MPI_Wait\n",
		"refused: holds no table of GPU events or kernels: write one with nsys stats --report cuda_gpu_trace --format csv\n"},
	{"thousands, quoted", sumHead + `13.0,"29,496,202","2,706",10900.3,"4,576.0","3,808","556,321",24291.6,k` + "\n", `nsys.stats.csv, 0 rows, 0 skipped
sum "k" 0 2706 29496202 3808/4576/556321 /1
`},
	{"a comma for a point is no thousand", sumHead + `13.0,"29,4962",2706,1,2,3,4,0,k` + "\n" + sumRow, `nsys.stats.csv, 0 rows, 1 skipped
sum "void k<(int)4, char *>(int, T2)" 0 2706 29496202 3808/4576/556321 /1
at 88: a row holds no number where one must be
`},
	{"quotes, commas and a line's end in a name", sumHead + "13.0,100,1,100.0,100.0,100,100,0.0,\"void k<a, \"\"b\"\">(\n  int)\"\n", `nsys.stats.csv, 0 rows, 0 skipped
sum "void k<a, \"b\">(\n  int)" 0 1 100 100/100/100 /1
`},
	{"byte order mark and CRLF", strings.ReplaceAll(byteOrderMark+saying+sumHead+sumRow, "\n", "\r\n"), `nsys.stats.csv, 0 rows, 0 skipped
sum "void k<(int)4, char *>(int, T2)" 0 2706 29496202 3808/4576/556321 /1
`},
	{"JSON behind speech, two reports", "Generating SQLite file a.sqlite from a.nsys-rep\n" + saying + "[\n  {\n    \"Time (%)\": 60.0,\n    \"Total Time (ns)\": \"5,850,000\",\n    \"Instances\": 3,\n    \"Avg (ns)\": 1.0,\n    \"Med (ns)\": null,\n    \"Min (ns)\": 1,\n    \"Max (ns)\": 9,\n    \"Name\": \"k\"\n  }\n]\n\n" +
		saying + "[\n  {\"Time (%)\": 1.0, \"Total Time (ns)\": 7, \"Count\": 2, \"Min (ns)\": 3, \"Max (ns)\": 4, \"Operation\": \"[CUDA memset]\"}\n]\n", `nsys.stats.json, 0 rows, 0 skipped
sum "k" 0 3 5850000 1/-1/9 /1
sum "Memset" 2 2 7 3/-1/4 /1
`},
	{"JSON behind a byte order mark, microseconds", byteOrderMark + "[\r\n  {\r\n    \"Time (%)\": 60.0, \"Total Time (us)\": 5850.5, \"Instances\": 3, \"Min (us)\": 1.25, \"Name\": \"k\"}]", `nsys.stats.json, 0 rows, 0 skipped
sum "k" 0 3 5850500 1250/-1/-1 /100
`},
	{"progress in brackets", "Generating SQLite file a.sqlite from a.nsys-rep\n[1/2] [0%  ] a.sqlite\n[2/2] Executing 'cuda_gpu_kern_sum' stats report\n\n" + sumHead + sumRow, `nsys.stats.csv, 0 rows, 0 skipped
sum "void k<(int)4, char *>(int, T2)" 0 2706 29496202 3808/4576/556321 /1
`},
	{"names behind their range, of one kernel in two", sumHead + "13.0,100,1,100.0,100.0,100,100,0.0,:execute_context_2(135)_generation_0(0)/nvjet_tst_TNT\n13.0,50,1,50.0,50.0,50,50,0.0,a/b/nvjet_tst_TNT\n" +
		"13.0,100,1,100.0,100.0,100,100,0.0,f<&operator/(int)>\n13.0,100,1,100.0,100.0,100,100,0.0,a/[CUDA memset]\n", `nsys.stats.csv, 0 rows, 0 skipped
sum "nvjet_tst_TNT" 0 2 150 50/-1/100 /1
sum "f<&operator/(int)>" 0 1 100 100/100/100 /1
sum "Memset" 2 1 100 100/100/100 /1
`},
	{"events behind their range", "Start (ns),Duration (ns),CorrId,Device,Strm,Name\n100,20,7,GPU (0),7,step/nvjet_tst_TNT\n200,20,8,GPU (0),7,step/[CUDA memcpy Host-to-Device]\n", `nsys.stats.csv, 2 rows, 0 skipped
event 0 100+20 d0 s7 c7 "nvjet_tst_TNT"
event 1 200+20 d0 s7 c8 "Memcpy HtoD"
`},
	{"the GUI's table with semicolons", strings.NewReplacer("\t", ";").Replace(guiSum), `nsys.stats.csv, 0 rows, 0 skipped
sum "void k<(int)4, char *>(int, T2)" 0 2706 29496000 3808/4576/556321 /1000
`},
	{"the GUI's table of copies", "Time\tTotal Time\tCount\tAvg\tMed\tMin\tMax\tStdDev\tOperation\n48.0%\t1.5 ms\t2\t750 μs\t750 μs\t700 μs\t800 μs\t50 μs\t[CUDA memcpy Device-to-Host]\n", `nsys.stats.csv, 0 rows, 0 skipped
sum "Memcpy DtoH" 1 2 1500000 700000/750000/800000 /100000
`},
	{"nothing to show", saying + "SKIPPED: report1.sqlite does not contain CUDA kernel data.\n\n",
		"refused: is what nsys stats says of a report without GPU work (SKIPPED): record with nsys profile --trace=cuda,nvtx --cuda-graph-trace=node, and let the server's workers be traced too (--trace-fork-before-exec=true)\n"},
	{"no rows", saying + sumHead, "refused: holds a table of GPU work without a row: the report recorded none: record with nsys profile --trace=cuda,nvtx --cuda-graph-trace=node\n"},
	{"columns for the eye", saying + "\n ** CUDA GPU Kernel Summary (cuda_gpu_kern_sum):\n\n Time (%)  Total Time (ns)  Instances  Name \n --------  ---------------  ---------  ---- \n     34.4       61,602,133     16,448  k    \n",
		"refused: holds a table in columns, as nsys stats prints it for the eye, with names cut short: write it again with --format csv\n"},
	{"another report's table", saying + "Time (%),Total Time (ns),Num Calls,Avg (ns),Med (ns),Min (ns),Max (ns),StdDev (ns),Name\n1,2,3,4,5,6,7,8,cudaLaunchKernel\n",
		"refused: holds no table of GPU events or kernels: write one with nsys stats --report cuda_gpu_trace --format csv\n"},
	{"damage alone", sumHead + "a,b,c,d,e,f,g,h,i\n", "refused: holds no row of GPU events or kernels that can be read (1 are damaged): write the table again with nsys stats --format csv\n"},
}

func TestStatsForms(t *testing.T) {
	for _, c := range statsForms {
		if got := formOf(t, c.text); got != c.want {
			t.Errorf("%s:\n%swant:\n%s", c.what, got, c.want)
		}
	}
}

func TestHasSums(t *testing.T) {
	for text, want := range map[string]bool{
		saying + sumHead: true, guiSum: true, oldSum: true, byteOrderMark + sumHead: true, bothHead: true,
		"[\n {\"Time (%)\": 1.0, \"Total Time (ns)\": 7, \"Count\": 2, \"Min (ns)\": 3, \"Operation\": \"[CUDA memset]\"}\n]": true,
		saying + traceHead: false, saying: false, "": false, "a,b,c\n": false, `{"data":["a"]}`: false,
		"[\n {\"Time (%)\": 1.0, \"Total Time (ns)\": 7, \"Instances\": 2, \"Min (ns)\": 3, \"Range\": \"x\"}\n]": false,
	} {
		if got := HasSums([]byte(text)); got != want {
			t.Errorf("HasSums(%.60q) = %v", text, got)
		}
	}
}
