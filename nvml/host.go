// Package nvml knows the GPUs of this host: who they are, how they are linked,
// what they read. It asks NVIDIA's management library where there is one, and
// reads recordings and saved nvidia-smi output everywhere.
//
// What a GPU does not tell is absent, never zero. A host without a driver, and
// a build that cannot load one, get a sentence (ErrNoDriver).
package nvml

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"tokprof/nvml/internal/driver"
)

// ErrNoDriver says that there is no NVIDIA driver to ask.
var ErrNoDriver = driver.ErrNoLibrary

// Host is the driver of this host, ready to be asked.
type Host struct {
	driver driver.Driver
	gpus   []gpu
	sysfs  string // where the kernel tells of PCI devices
}

// gpu is what we found out about a GPU when the host was opened.
type gpu struct {
	pci   string
	links []int  // indices of the active NVLinks
	ends  []end  // what they lead to
	scope string // what its NVLink counters can count: AllLinks, FirstLink or ""
	// scopes are what the counters must be asked for; several are summed.
	scopes []uint32
}

// end is the other end of an NVLink.
type end struct {
	pci      string
	isSwitch bool
}

// Open loads NVIDIA's management library from its usual place.
func Open() (*Host, error) { return OpenLibrary("") }

// OpenLibrary loads it from a file.
func OpenLibrary(path string) (*Host, error) {
	d, err := driver.Open(path)
	if err != nil {
		return nil, err
	}
	return newHost(d, "/sys")
}

func newHost(d driver.Driver, sysfs string) (*Host, error) {
	n, err := d.Count()
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	h := &Host{driver: d, sysfs: sysfs, gpus: make([]gpu, n)}
	for i := range h.gpus {
		g := &h.gpus[i]
		g.pci, _ = d.Text(i, driver.PCIAddress)
		for l := range h.linkCount(i) {
			if state, err := d.Link(i, l, driver.LinkState); err == nil && state == 1 {
				g.links = append(g.links, l)
				g.ends = append(g.ends, h.end(i, l))
			}
		}
		g.scope, g.scopes = h.counterScope(i)
	}
	return h, nil
}

// end asks for the other end of a link. In a virtual machine the driver hides
// the address of a switch (FFFFFFFF:FF:FF.0), and may hide its type.
func (h *Host) end(gpu, link int) end {
	pci, err := h.driver.RemotePCI(gpu, link)
	kind, kindErr := h.driver.Link(gpu, link, driver.LinkRemoteType)
	hidden := err != nil || strings.HasPrefix(strings.ToUpper(pci), "FFFFFFFF:")
	return end{pci, kindErr == nil && kind == driver.RemoteSwitch || hidden}
}

// linkCount is how many NVLinks a GPU has, up or down.
func (h *Host) linkCount(gpu int) int {
	count := []driver.FieldValue{{ID: driver.FieldLinkCount}}
	if err := h.driver.Fields(gpu, count); err == nil && count[0].Err == nil {
		return int(min(count[0].Value, driver.MaxLinks))
	}
	for l := range driver.MaxLinks {
		if _, err := h.driver.Link(gpu, l, driver.LinkState); err != nil {
			return l
		}
	}
	return driver.MaxLinks
}

// counterScope finds out how a GPU's NVLink counters can be read. Scope 0 alone
// would be one link of many, so it is the last resort.
func (h *Host) counterScope(gpu int) (scope string, scopes []uint32) {
	var each []uint32
	for _, l := range h.gpus[gpu].links {
		each = append(each, uint32(l))
	}
	switch {
	case len(each) == 0:
	case h.counts(gpu, allLinks):
		return AllLinks, allLinks
	case h.counts(gpu, each):
		return AllLinks, each
	case h.counts(gpu, noScope):
		return FirstLink, noScope
	}
	return "", nil
}

// counts says whether the NVLink counters answer for all of some scopes.
func (h *Host) counts(gpu int, scopes []uint32) bool {
	var ask []driver.FieldValue
	for _, s := range scopes {
		ask = append(ask, driver.FieldValue{ID: driver.FieldNVLinkRx, Scope: s})
	}
	return h.driver.Fields(gpu, ask) == nil && !slices.ContainsFunc(ask, func(v driver.FieldValue) bool { return v.Err != nil })
}

// Versions are those of the host's driver, empty where it does not say.
type Versions struct {
	Driver  string `json:"driver"`
	Library string `json:"library"`
	CUDA    string `json:"cuda"` // the newest that the driver supports
}

// Versions asks for the versions.
func (h *Host) Versions() Versions {
	var v Versions
	v.Driver, _ = h.driver.HostText(driver.DriverVersion)
	v.Library, _ = h.driver.HostText(driver.LibraryVersion)
	if cuda, err := h.driver.HostText(driver.CUDAVersion); err == nil {
		v.CUDA = cuda
	}
	return v
}

// Close gives the driver back.
func (h *Host) Close() error {
	if err := h.driver.Close(); err != nil {
		return fmt.Errorf("the NVIDIA driver cannot be closed: %w", err)
	}
	return nil
}
