package trace

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// scatter draws a trace with n GPU events on a few streams, ties included, and
// host rows among them. With sorted, each stream's rows are in order, as
// writers mostly leave them.
func scatter(r *rand.Rand, n, devices, streams int, sorted bool) []string {
	var rows []string
	clock := map[[2]int]int64{}
	for range n {
		d, s := r.IntN(devices), r.IntN(streams)
		ts := int64(r.IntN(3 * n))
		if sorted {
			clock[[2]int{d, s}] += int64(r.IntN(4))
			ts = clock[[2]int{d, s}]
		}
		cat := [...]string{"kernel", "kernel", "gpu_memcpy", "gpu_memset", "gpu_user_annotation", "cuda_sync"}[r.IntN(6)]
		rows = append(rows, gpuRow(cat, fmt.Sprint("k", r.IntN(5)), d, 7*s, ts, int64(r.IntN(9)), 0))
		if r.IntN(4) == 0 {
			rows = append(rows, hostRow("cpu_op", "aten::mm", ts, 1))
		}
	}
	return rows
}

// plainOrder is GPU() by the book: one stable sort of all rows.
func plainOrder(t *Trace) []EventID {
	var ids []EventID
	t.Each(func(id EventID, k Kind) {
		if k == Kernel || k == Copy || k == Set {
			ids = append(ids, id)
		}
	})
	slices.SortStableFunc(ids, func(a, b EventID) int {
		x, y := t.Event(a), t.Event(b)
		p, q := t.Track(x.Track), t.Track(y.Track)
		return cmp.Or(cmp.Compare(x.Start, y.Start), cmp.Compare(p.Device, q.Device), cmp.Compare(p.Stream, q.Stream), cmp.Compare(a, b))
	})
	return ids
}

func checkOrder(t *testing.T, what string, tr *Trace) {
	t.Helper()
	want := plainOrder(tr)
	if got := tr.GPU(); !slices.Equal(got, want) {
		t.Fatalf("%s: GPU() = %v\nwant %v", what, got, want)
	}
	perTrack := make([][]EventID, tr.Tracks())
	for _, id := range want {
		perTrack[tr.TrackOf(id)] = append(perTrack[tr.TrackOf(id)], id)
	}
	for i, got := range tr.ByTrack(Kind.OnGPU) {
		if !slices.Equal(got, perTrack[i]) {
			t.Fatalf("%s: ByTrack on %+v = %v\nwant %v", what, tr.Track(TrackID(i)), got, perTrack[i])
		}
	}
}

func TestOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, c := range []struct{ n, devices, streams int }{
		{0, 1, 1}, {1, 1, 1}, {2, 1, 1}, {30, 1, 1}, {60, 1, 2}, {200, 4, 3}, {400, 2, 64}, {900, 8, 40},
	} {
		for _, sorted := range []bool{true, false} {
			for range 3 {
				rows := scatter(r, c.n, c.devices, c.streams, sorted)
				checkOrder(t, fmt.Sprintf("%+v, sorted %v", c, sorted), openText(t, document("", rows...)))
			}
		}
	}
}

// TestOrderAcrossBlocks has more events than a block of columns holds.
func TestOrderAcrossBlocks(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	tr := openText(t, document("", scatter(r, 18_000, 2, 5, false)...))
	if len(tr.file.Blocks) < 3 {
		t.Fatalf("%d blocks: the test is too small", len(tr.file.Blocks))
	}
	checkOrder(t, "blocks", tr)
}

func TestOrderOfFixtures(t *testing.T) {
	for _, tr := range fixtures(t) {
		checkOrder(t, tr.Info.Path, tr)
	}
}

// TestOrderTies spells out what the properties above only compare.
func TestOrderTies(t *testing.T) {
	tr := openText(t, document("",
		kernelRow("e", 1, 7, 5000, 10, 0),
		kernelRow("d", 0, 20, 5000, 10, 0),
		kernelRow("b", 0, 7, 5000, 10, 0),
		kernelRow("c", 0, 7, 5000, 1, 0),
		kernelRow("f", 0, 7, 5001, 10, 0),
		kernelRow("a", 1, 7, 4999, 10, 0),
		// Two spellings of one stream are two tracks; the place in the file decides.
		kernelRow("g", `"GPU 0"`, 7, 5002, 10, 0),
		kernelRow("h", 0, 7, 5002, 10, 0),
		kernelRow("i", `"GPU 0"`, 7, 5002, 10, 0),
		kernelRow("k", `"GPU 0"`, 9, 5003, 10, 0),
		kernelRow("j", 0, 8, 5003, 10, 0),
		kernelRow("l", 0, 9, 5003, 10, 0)))
	var got string
	for _, id := range tr.GPU() {
		got += tr.Name(tr.NameOf(id))
	}
	if got != "abcdefghijkl" {
		t.Errorf("order %s, want abcdefghijkl: by start, device, stream and place in the file", got)
	}
}

func TestSortByStart(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	tr := openText(t, document("", scatter(r, 500, 1, 4, false)...))
	var all []EventID
	tr.Each(func(id EventID, _ Kind) { all = append(all, id) })
	for range 20 {
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		want := slices.Clone(all)
		slices.Sort(want)
		slices.SortStableFunc(want, func(a, b EventID) int { return cmp.Compare(tr.Start(a), tr.Start(b)) })
		if tr.SortByStart(all); !slices.Equal(all, want) {
			t.Fatalf("SortByStart = %v\nwant %v", all, want)
		}
	}
}

// TestByTrackOfHostKinds takes other kinds than the merge does.
func TestByTrackOfHostKinds(t *testing.T) {
	tr := openText(t, document("",
		hostRow("cpu_op", "late", 30_000, 1), callRow("cudaLaunchKernel", 100, 20_000, 1, 1),
		hostRow("cpu_op", "early", 10_000, 1), callRow("cudaLaunchKernel", 200, 15_000, 1, 2),
		kernelRow("k", 0, 7, 5_000, 1, 1)))
	var got []string
	for _, ids := range tr.ByTrack(func(k Kind) bool { return k == Op || k == Launch }) {
		text := ""
		for _, id := range ids {
			text += tr.Name(tr.NameOf(id)) + " "
		}
		got = append(got, text)
	}
	want := []string{"early cudaLaunchKernel late ", "cudaLaunchKernel ", ""}
	if !slices.Equal(got, want) {
		t.Errorf("ByTrack = %q, want %q", got, want)
	}
}
