package gpus

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"tokprof/nvml"
	"tokprof/report/figures"
)

// place is one device of one rank, by the rank's index in Joined.ranks.
type place struct{ rank, device int }

// crew is ranks that ran on just these GPUs, one each. Of a crew of one it is
// known which rank ran where.
type crew struct {
	places []place
	gpus   []int // the driver's indices, ascending; more than places when ranks have no file
	how    string
}

// How places are known to be on GPUs.
const (
	howUUID    = "uuid"
	howPCI     = "pci"
	howVisible = "visible_devices"
	howOnly    = "only_gpu"
	howLoad    = "correlation"
	howAll     = "all_gpus"
	howActive  = "active_gpus"
)

// placing is where the ranks ran, as far as that is known.
type placing struct {
	crews []crew
	// why says in a clause why some rank is in no crew, "" when all are.
	why string
}

// of finds the crew of a rank's first device.
func (p placing) of(rank int) *crew {
	for i := range p.crews {
		if slices.ContainsFunc(p.crews[i].places, func(x place) bool { return x.rank == rank }) {
			return &p.crews[i]
		}
	}
	return nil
}

// on lists the ranks of the crew that has a GPU.
func (p placing) on(gpu int) *crew {
	for i := range p.crews {
		if slices.Contains(p.crews[i].gpus, gpu) {
			return &p.crews[i]
		}
	}
	return nil
}

// matcher finds the GPU of each place. A CUDA ordinal counts the GPUs that a
// process sees, a driver's index all of the host: equal numbers prove nothing.
type matcher struct {
	j     *Joined
	rec   *nvml.Recording // of the window
	after *nvml.Recording // of the window and utilLag behind it; nil when the readings end before
	free  []int           // GPUs that no place has
	left  []place         // places without a GPU
	crews []crew
}

// utilLag is the longest stretch that a reading of utilisation is the mean of
// (nvmlDeviceGetUtilizationRates): work shows in it that much later.
const utilLag = int64(1e9)

// place matches all places of the document.
func (j *Joined) place(rec *nvml.Recording) placing {
	m := &matcher{j: j, rec: rec, free: rec.GPUs()}
	from, to := j.span()
	if all := j.host.Readings.Readings; all[len(all)-1].UnixNS >= to+utilLag {
		m.after = j.host.Readings.Between(from, to+utilLag)
	}
	for i, r := range j.ranks {
		for _, d := range r.Devices {
			m.left = append(m.left, place{i, d.Device})
		}
	}
	why := m.identified()
	m.visible()
	for len(m.left) > 0 {
		if w := m.rest(); w != "" {
			why = cmp.Or(why, w)
			break
		}
	}
	slices.SortStableFunc(m.crews, func(x, y crew) int { return cmp.Compare(x.gpus[0], y.gpus[0]) })
	return placing{m.crews, why}
}

// assign books a place on a GPU; it says no when the GPU is taken.
func (m *matcher) assign(p place, gpu int, how string) bool {
	at, where := slices.Index(m.free, gpu), slices.Index(m.left, p)
	if at < 0 || where < 0 {
		return false
	}
	m.free, m.left = slices.Delete(m.free, at, at+1), slices.Delete(m.left, where, where+1)
	m.crews = append(m.crews, crew{[]place{p}, []int{gpu}, how})
	return true
}

// identified places what is known by its hardware, from outside the traces or
// from what an export says of its processes' GPUs. A place that is known to be
// elsewhere than on a GPU of its own among those read is left to no guess: why
// says so.
func (m *matcher) identified() (why string) {
	ids := map[place][]Identity{}
	for _, id := range m.j.host.GPUs {
		p := place{slices.Index(m.j.number, id.Rank), id.Device}
		ids[p] = append(ids[p], id)
	}
	for i, r := range m.j.ranks {
		for _, g := range r.Info.GPUs {
			p := place{i, g.Device}
			ids[p] = append(ids[p], Identity{Device: g.Device, UUID: g.UUID, PCI: g.PCI})
		}
	}
	on, hows := map[int][]place{}, map[int]string{}
	for _, p := range slices.Clone(m.left) {
		for _, id := range ids[p] {
			gpu, how, known := m.hardware(id)
			if !known {
				continue
			}
			if how == "" {
				why = "the readings are of no GPU that the traces name"
				m.drop(p)
			} else {
				on[gpu], hows[gpu] = append(on[gpu], p), how
			}
			break
		}
	}
	for gpu, places := range on {
		if len(places) == 1 {
			m.assign(places[0], gpu, hows[gpu])
			continue
		}
		why = "the traces say that several share one"
		m.drop(places...)
		m.free = slices.DeleteFunc(m.free, func(g int) bool { return g == gpu })
	}
	return why
}

// drop leaves places where they are: on no GPU of their own.
func (m *matcher) drop(places ...place) {
	m.left = slices.DeleteFunc(m.left, func(p place) bool { return slices.Contains(places, p) })
}

// hardware finds the GPU that an identity names; how is "" when it is none of
// those read. It is not known where the two sides have no identity in common.
func (m *matcher) hardware(id Identity) (gpu int, how string, known bool) {
	for _, kind := range []struct {
		how, want string
		of        func(nvml.Device) string
	}{
		{howUUID, uuidKey(id.UUID), func(d nvml.Device) string { return uuidKey(d.UUID) }},
		{howPCI, pciKey(id.PCI), func(d nvml.Device) string { return pciKey(d.PCI) }},
	} {
		if kind.want == "" {
			continue
		}
		all := len(m.rec.Devices) > 0
		for _, d := range m.rec.Devices {
			has := kind.of(d)
			if has == kind.want {
				return d.Index, kind.how, true
			}
			all = all && has != ""
		}
		if all {
			return 0, "", true
		}
	}
	return 0, "", false
}

// uuidKey brings spellings of a GPU's UUID together: the driver writes "GPU-"
// before it. Part of a GPU has a UUID of its own, which says nothing of the GPU.
func uuidKey(uuid string) string {
	uuid = strings.ToLower(strings.TrimSpace(uuid))
	if strings.HasPrefix(uuid, "mig-") {
		return ""
	}
	return strings.TrimPrefix(uuid, "gpu-")
}

// pciKey brings spellings of an address together: the driver writes domains
// with eight digits, Linux with four.
func pciKey(address string) string {
	domain, rest, ok := strings.Cut(strings.ToLower(address), ":")
	if !ok || strings.Count(rest, ":") != 1 {
		return strings.ToLower(address)
	}
	return strings.TrimLeft(domain, "0") + ":" + rest
}

// visible resolves ordinals by CUDA_VISIBLE_DEVICES, if all of them lead to
// GPUs of their own: otherwise it is not what these processes ran under.
func (m *matcher) visible() {
	list := strings.Split(m.j.host.VisibleDevices, ",")
	if m.j.host.VisibleDevices == "" {
		return
	}
	found := map[place]int{}
	taken := map[int]bool{}
	for _, p := range m.left {
		// An export names only the GPUs that a process used, but lists all.
		info := m.j.ranks[p.rank].Info
		seen := max(len(info.GPUNames), len(info.GPUs))
		if p.device < 0 || p.device >= len(list) || seen > 0 && seen != len(list) {
			return
		}
		gpu, ok := m.visibleGPU(strings.TrimSpace(list[p.device]))
		if !ok || taken[gpu] || !slices.Contains(m.free, gpu) {
			return
		}
		found[p], taken[gpu] = gpu, true
	}
	for p, gpu := range found {
		m.assign(p, gpu, howVisible)
	}
}

// visibleGPU finds what an entry of CUDA_VISIBLE_DEVICES names. A number counts
// GPUs in CUDA's order, which is that of the bus, as the driver's, only where
// all are of one kind: else the fastest come first.
func (m *matcher) visibleGPU(entry string) (int, bool) {
	if n, err := strconv.Atoi(entry); err == nil {
		if _, uniform := m.name(m.rec.GPUs()); !uniform || !slices.Contains(m.rec.GPUs(), n) {
			return 0, false
		}
		return n, true
	}
	gpu, hits := 0, 0
	for _, d := range m.rec.Devices {
		if strings.HasPrefix(entry, "GPU-") && strings.HasPrefix(d.UUID, entry) {
			gpu = d.Index
			hits++
		}
	}
	return gpu, hits == 1
}

// name is the one name of some GPUs.
func (m *matcher) name(gpus []int) (string, bool) {
	name := ""
	for i, g := range gpus {
		d, _ := m.rec.Device(g)
		if i > 0 && d.Name != name {
			return "", false
		}
		name = d.Name
	}
	return name, len(gpus) > 0
}

// rest places the ranks on GPUs of one kind: by number, by who worked, by whose
// load the power follows. It says why when it cannot.
func (m *matcher) rest() (why string) {
	kind := m.kind(m.left[0])
	places := slices.DeleteFunc(slices.Clone(m.left), func(p place) bool { return m.kind(p) != kind })
	gpus := slices.DeleteFunc(slices.Clone(m.free), func(g int) bool {
		d, _ := m.rec.Device(g)
		return kind != "" && d.Name != "" && d.Name != kind
	})
	n := len(places) + m.j.window.Unseen
	how := howAll
	if len(gpus) > n {
		gpus, how = slices.DeleteFunc(gpus, m.idle), howActive
	}
	switch {
	case len(gpus) == 0:
		return "the readings are of no GPU that the traces name"
	case len(gpus) != n:
		return "the readings are of " + counted(len(gpus), "GPU") + " that may be theirs, for " + counted(n, "rank")
	case n == 1:
		m.assign(places[0], gpus[0], howOnly)
		return ""
	}
	if pairs, ok := m.byLoad(places, gpus); ok && len(places) == n {
		for p, gpu := range pairs {
			m.assign(places[p], gpu, howLoad)
		}
		return ""
	}
	m.crews = append(m.crews, crew{places, gpus, how})
	m.left = slices.DeleteFunc(m.left, func(p place) bool { return slices.Contains(places, p) })
	m.free = slices.DeleteFunc(m.free, func(g int) bool { return slices.Contains(gpus, g) })
	return ""
}

func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return figures.Count(int64(n)) + " " + what
}

// kind is the model of a place's GPU, "" when the trace does not say.
func (m *matcher) kind(p place) string { return m.j.ranks[p.rank].Info.GPUNames[p.device] }

// idle says that a GPU did nothing in the window nor right behind it.
func (m *matcher) idle(gpu int) bool {
	if m.after == nil {
		return false
	}
	s := m.after.Series(gpu)
	util, ok := s.Levels(nvml.UtilGPU)
	if !ok || util.Max > 0 {
		return false
	}
	sent, ok := s.Delta(nvml.NVLinkTx)
	return !ok || sent.Value == 0
}
