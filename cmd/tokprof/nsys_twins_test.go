package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// torchEvent is what the twin of an event needs of it.
type torchEvent struct {
	Ph, Cat, Name string
	TS, Dur       json.Number
	Tid           any
	Args          struct {
		Device, Stream, Correlation int64
		Bytes                       json.Number
	}
}

// nsysTwin writes a torch trace's GPU events, launches and step annotations as
// an export of Nsight Systems has them, so that what is known of the one can be
// held against the other. Ops, shapes and modules have no place in it.
func nsysTwin(t *testing.T, trace string) string {
	t.Helper()
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Base        int64 `json:"baseTimeNanoseconds"`
		TraceEvents []torchEvent
	}
	if err := json.Unmarshal(unpack(b), &doc); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "twin.json")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	names := newStringTable()
	const process = int64(1<<48 | 4242<<24)
	for _, e := range doc.TraceEvents {
		if e.Ph != "X" {
			continue
		}
		start := doc.Base + nanos(t, e.TS)
		end := start + nanos(t, e.Dur)
		thread := process
		if tid, ok := e.Tid.(float64); ok {
			thread |= int64(tid) & 0xffffff
		}
		gpu := func(class int, what string, fields string) {
			fmt.Fprintf(w, `{"Type":79,"CudaEvent":{"startNs":"%d","endNs":"%d","correlationId":%d,"deviceId":%d,"contextId":"1","streamId":"%d","eventClass":%d,"globalPid":"%d","%s":{%s}}}`+"\n",
				start, end, e.Args.Correlation, e.Args.Device, e.Args.Stream, class, process, what, fields)
		}
		switch e.Cat {
		case "kernel":
			n := names.id(e.Name)
			gpu(3, "kernel", fmt.Sprintf(`"shortName":"%d","demangledName":"%d","gridX":1,"gridY":1,"gridZ":1,"blockX":1,"blockY":1,"blockZ":1`, n, n))
		case "gpu_memcpy":
			gpu(1, "memcpy", fmt.Sprintf(`"sizebytes":"%s","copyKind":%d,"srcKind":%d,"dstKind":%d`, orZero(e.Args.Bytes), copyKind(e.Name), memory(e.Name, 0), memory(e.Name, 1)))
		case "gpu_memset":
			gpu(2, "memset", fmt.Sprintf(`"sizebytes":"%s","value":0,"memKind":%d`, orZero(e.Args.Bytes), memory(e.Name, 0)))
		case "cuda_runtime", "cuda_driver":
			fmt.Fprintf(w, `{"Type":47,"TraceProcessEvent":{"startNs":"%d","endNs":"%d","correlationId":%d,"eventClass":0,"name":"%d","globalTid":"%d"}}`+"\n",
				start, end, e.Args.Correlation, names.id(e.Name+"_v7000"), thread)
		case "user_annotation":
			text, _ := json.Marshal(e.Name)
			fmt.Fprintf(w, `{"Type":59,"NvtxEvent":{"Type":59,"Timestamp":"%d","EndTimestamp":"%d","Text":%s,"GlobalTid":"%d","DomainId":"0","NsTime":true}}`+"\n", start, end, text, thread)
		}
	}
	table, _ := json.Marshal(map[string]any{"data": names.all})
	fmt.Fprintf(w, "%s\n", table)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// nanos reads decimal microseconds.
func nanos(t *testing.T, n json.Number) int64 {
	t.Helper()
	whole, part, _ := strings.Cut(n.String(), ".")
	ns, err := strconv.ParseInt("0"+whole+(part + "000")[:3], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

func orZero(n json.Number) json.Number {
	if n == "" {
		return "0"
	}
	return n
}

func copyKind(name string) int {
	for word, kind := range map[string]int{"HtoD": 1, "DtoH": 2, "DtoD": 8, "PtoP": 10} {
		if strings.Contains(name, word) {
			return kind
		}
	}
	return 0
}

// memory is the kind of memory on one side of "Memcpy HtoD (Pinned -> Device)".
func memory(name string, side int) int {
	_, in, _ := strings.Cut(name, "(")
	from, to, _ := strings.Cut(in, " -> ")
	switch strings.TrimSuffix([]string{from, to}[side], ")") {
	case "Pageable":
		return 0
	case "Pinned":
		return 1
	}
	return 2
}

type stringTable struct {
	all []string
	at  map[string]int
}

func newStringTable() *stringTable {
	return &stringTable{all: []string{"[Unknown]"}, at: map[string]int{}}
}

func (s *stringTable) id(text string) int {
	if _, ok := s.at[text]; !ok {
		s.at[text] = len(s.all)
		s.all = append(s.all, text)
	}
	return s.at[text]
}

// TestNsysTwins: a recording reads alike from either profiler. Roles rest on
// less where ops and shapes are missing, but must be none the worse.
func TestNsysTwins(t *testing.T) { checkTwins(t, "../../fixtures/traces") }

func checkTwins(t *testing.T, dir string) {
	t.Helper()
	for trace, truth := range truths(t, dir) {
		t.Run(filepath.Base(filepath.Dir(truth))+"/"+filepath.Base(trace), func(t *testing.T) {
			s := eventsScore(t, nsysTwin(t, trace), truth)
			if s.group < 0.995 || s.subgroup < 0.95 || s.phase < 0.999 || s.step < 0.999 || s.role < 0.99 || s.roleWrong > 0.001 || s.layer < 0.99 {
				t.Errorf("%d events: group %.4f subgroup %.4f phase %.4f step %.4f role %.4f (wrong %.4f) layer %.4f: %v",
					s.events, s.group, s.subgroup, s.phase, s.step, s.role, s.roleWrong, s.layer, s.wrong)
			}
		})
	}
}
