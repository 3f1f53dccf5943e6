//go:build cgo && linux

package driver

import (
	"fmt"
	"strings"
	"sync"

	"github.com/NVIDIA/go-nvml/pkg/dl"
	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// libraryName is where the dynamic linker looks for the library.
const libraryName = "libnvidia-ml.so.1"

// library is the Driver that asks NVIDIA's library.
type library struct {
	lib     nvml.Interface
	has     map[string]bool // functions that the library has
	devices []nvml.Device
	dead    []error // why a GPU has no handle: it fell off the bus, say
	gpm     []gpmState

	xidOnce sync.Once
	xidSet  nvml.EventSet
	xidErr  error
}

// Open loads the library from a file, or with an empty path from its usual
// place, and starts it. The error of a host without one is ErrNoLibrary.
func Open(path string) (Driver, error) {
	if path == "" {
		path = libraryName
	}
	has, err := lookUp(path)
	if err != nil {
		return nil, err
	}
	l := &library{lib: nvml.New(nvml.WithLibraryPath(path)), has: has}
	if code := l.lib.Init(); code != nvml.SUCCESS {
		return nil, fmt.Errorf("%s did not start: %w", path, Error{"nvmlInit_v2", int(code)})
	}
	if err := l.open(); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// required are the functions without which nothing can be asked. go-nvml calls
// them without looking.
var required = []string{"nvmlInit_v2", "nvmlShutdown", "nvmlDeviceGetCount_v2", "nvmlDeviceGetHandleByIndex_v2"}

// lookUp says which of the functions that we call a library has.
func lookUp(path string) (map[string]bool, error) {
	so := dl.New(path, dl.RTLD_LAZY|dl.RTLD_GLOBAL)
	if err := so.Open(); err != nil {
		return nil, fmt.Errorf("%w on this host (%w)", ErrNoLibrary, err)
	}
	has := map[string]bool{}
	for _, name := range functions() {
		has[name] = so.Lookup(name) == nil
	}
	for _, name := range required {
		if !has[name] {
			_ = so.Close()
			return nil, fmt.Errorf("%s has no function %s: it is not NVIDIA's management library, or one older than 2013", path, name)
		}
	}
	return has, nil
}

func (l *library) open() error {
	n, code := l.lib.DeviceGetCount()
	if code != nvml.SUCCESS {
		return Error{"nvmlDeviceGetCount_v2", int(code)}
	}
	for i := range n {
		d, code := l.lib.DeviceGetHandleByIndex(i)
		var dead error
		if code != nvml.SUCCESS {
			dead = Error{"nvmlDeviceGetHandleByIndex_v2", int(code)}
		}
		l.devices, l.dead = append(l.devices, d), append(l.dead, dead)
	}
	l.gpm = make([]gpmState, n)
	return nil
}

// Count is the number of GPUs.
func (l *library) Count() (int, error) { return len(l.devices), nil }

// Close frees what was allocated and stops the library. The library stays
// mapped: unloading it while another of its users calls it would kill us.
func (l *library) Close() error {
	l.freeGPM()
	if l.xidSet != nil && l.has["nvmlEventSetFree"] {
		l.xidSet.Free()
	}
	if code := l.lib.Shutdown(); code != nvml.SUCCESS {
		return Error{"nvmlShutdown", int(code)}
	}
	return nil
}

// device is a GPU to ask, or why there is none: the others still answer.
func (l *library) device(gpu int) (nvml.Device, error) { return l.devices[gpu], l.dead[gpu] }

// guard turns the answer of a function into an error; a function that the
// library does not have is never called.
func guard[T any](l *library, name string, call func() (T, nvml.Return)) (T, error) {
	if !l.has[name] {
		var none T
		return none, Error{name, missing}
	}
	v, code := call()
	if code != nvml.SUCCESS {
		return v, Error{name, int(code)}
	}
	return v, nil
}

// HostText asks the host.
func (l *library) HostText(q HostText) (string, error) {
	switch q {
	case DriverVersion:
		return guard(l, "nvmlSystemGetDriverVersion", l.lib.SystemGetDriverVersion)
	case LibraryVersion:
		return guard(l, "nvmlSystemGetNVMLVersion", l.lib.SystemGetNVMLVersion)
	}
	v, err := guard(l, "nvmlSystemGetCudaDriverVersion", l.lib.SystemGetCudaDriverVersion)
	return fmt.Sprintf("%d.%d", v/1000, v%1000/10), err
}

// Text asks a GPU.
func (l *library) Text(gpu int, q Text) (string, error) {
	d, err := l.device(gpu)
	if err != nil {
		return "", err
	}
	switch q {
	case Name:
		return guard(l, "nvmlDeviceGetName", d.GetName)
	case UUID:
		return guard(l, "nvmlDeviceGetUUID", d.GetUUID)
	}
	pci, err := guard(l, "nvmlDeviceGetPciInfo_v3", d.GetPciInfo)
	return busID(pci), err
}

func busID(pci nvml.PciInfo) string {
	var b []byte
	for _, c := range pci.BusId {
		if c == 0 {
			break
		}
		b = append(b, byte(c))
	}
	return string(b)
}

// Fabric asks by the newest version of the function that the library has.
func (l *library) Fabric(gpu int) (Fabric, error) {
	d, err := l.device(gpu)
	if err != nil {
		return Fabric{}, err
	}
	if l.has["nvmlDeviceGetGpuFabricInfoV"] {
		v3, code := d.GetGpuFabricInfoV().V3()
		if code == nvml.SUCCESS {
			return Fabric{int(v3.State), int(v3.Status), v3.CliqueId, v3.ClusterUuid, v3.HealthMask}, nil
		}
		v2, code := d.GetGpuFabricInfoV().V2()
		if code == nvml.SUCCESS {
			return Fabric{int(v2.State), int(v2.Status), v2.CliqueId, v2.ClusterUuid, v2.HealthMask}, nil
		}
	}
	v1, err := guard(l, "nvmlDeviceGetGpuFabricInfo", d.GetGpuFabricInfo)
	return Fabric{int(v1.State), int(v1.Status), v1.CliqueId, v1.ClusterUuid, 0}, err
}

// Parts lists the partitions; a place without one is passed over.
func (l *library) Parts(gpu int) ([]Part, error) {
	d, err := l.device(gpu)
	if err != nil {
		return nil, err
	}
	n, err := guard(l, "nvmlDeviceGetMaxMigDeviceCount", d.GetMaxMigDeviceCount)
	if err != nil {
		return nil, err
	}
	var parts []Part
	for i := range n {
		m, err := guard(l, "nvmlDeviceGetMigDeviceHandleByIndex", func() (nvml.Device, nvml.Return) { return d.GetMigDeviceHandleByIndex(i) })
		if err != nil {
			continue
		}
		p := Part{Index: i}
		p.Name, _ = guard(l, "nvmlDeviceGetName", m.GetName)
		p.UUID, _ = guard(l, "nvmlDeviceGetUUID", m.GetUUID)
		p.MemoryBytes, _ = ask(l, numberWays[MemoryTotal], m)
		p.Name = strings.TrimSpace(p.Name)
		parts = append(parts, p)
	}
	return parts, nil
}

// Xid registers for Xid errors at the first call and looks for one at each.
func (l *library) Xid() (gpu int, xid uint64, ok bool, err error) {
	l.xidOnce.Do(l.registerXid)
	if l.xidErr != nil {
		return 0, 0, false, l.xidErr
	}
	e, code := l.xidSet.Wait(0)
	switch code {
	case nvml.ERROR_TIMEOUT:
		return 0, 0, false, nil
	case nvml.SUCCESS:
	default:
		return 0, 0, false, Error{"nvmlEventSetWait_v2", int(code)}
	}
	for i, d := range l.devices {
		if d == e.Device {
			return i, e.EventData, e.EventType == nvml.EventTypeXidCriticalError, nil
		}
	}
	return 0, 0, false, nil
}

func (l *library) registerXid() {
	for _, name := range []string{"nvmlEventSetCreate", "nvmlDeviceRegisterEvents", "nvmlEventSetWait_v2"} {
		if !l.has[name] {
			l.xidErr = Error{name, missing}
			return
		}
	}
	set, code := l.lib.EventSetCreate()
	if code != nvml.SUCCESS {
		l.xidErr = Error{"nvmlEventSetCreate", int(code)}
		return
	}
	l.xidSet = set
	for i, d := range l.devices {
		if l.dead[i] != nil {
			continue
		}
		if code := d.RegisterEvents(nvml.EventTypeXidCriticalError, set); code != nvml.SUCCESS {
			l.xidErr = Error{"nvmlDeviceRegisterEvents", int(code)}
			return
		}
	}
}
