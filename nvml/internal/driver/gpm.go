//go:build cgo && linux

package driver

import (
	"sync"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// gpmState is what GPM needs between two calls for one GPU.
type gpmState struct {
	mu            sync.Mutex
	before, after nvml.GpmSample
	primed        bool
	err           error // why the GPU cannot be measured, for good
}

// gpmFunctions are all needed for one measurement.
var gpmFunctions = []string{"nvmlGpmQueryDeviceSupport", "nvmlGpmSampleAlloc", "nvmlGpmSampleGet", "nvmlGpmSampleFree", "nvmlGpmMetricsGet"}

// Activity takes a sample and measures against the one before.
func (l *library) Activity(gpu int) (Activity, error) {
	s := &l.gpm[gpu]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before == nil && s.err == nil {
		s.err = l.prepareGPM(gpu, s)
	}
	if s.err != nil {
		return Activity{}, s.err
	}
	if code := l.devices[gpu].GpmSampleGet(s.after); code != nvml.SUCCESS {
		return Activity{}, Error{"nvmlGpmSampleGet", int(code)}
	}
	s.before, s.after = s.after, s.before
	if !s.primed {
		s.primed = true
		return Activity{}, ErrNotReady
	}
	return l.measure(s.after, s.before)
}

func (l *library) prepareGPM(gpu int, s *gpmState) error {
	d, err := l.device(gpu)
	if err != nil {
		return err
	}
	for _, name := range gpmFunctions {
		if !l.has[name] {
			return Error{name, missing}
		}
	}
	support, code := d.GpmQueryDeviceSupport()
	if code != nvml.SUCCESS {
		return Error{"nvmlGpmQueryDeviceSupport", int(code)}
	}
	if support.IsSupportedDevice == 0 {
		return Error{"nvmlGpmQueryDeviceSupport", int(nvml.ERROR_NOT_SUPPORTED)}
	}
	before, code := l.lib.GpmSampleAlloc()
	if code != nvml.SUCCESS {
		return Error{"nvmlGpmSampleAlloc", int(code)}
	}
	after, code := l.lib.GpmSampleAlloc()
	if code != nvml.SUCCESS {
		before.Free()
		return Error{"nvmlGpmSampleAlloc", int(code)}
	}
	s.before, s.after = before, after
	return nil
}

// measure asks what happened between two samples.
func (l *library) measure(from, to nvml.GpmSample) (Activity, error) {
	var a Activity
	wanted := []struct {
		id nvml.GpmMetricId
		to *float64
	}{
		{nvml.GPM_METRIC_SM_UTIL, &a.SMActive},
		{nvml.GPM_METRIC_SM_OCCUPANCY, &a.SMOccupancy},
		{nvml.GPM_METRIC_ANY_TENSOR_UTIL, &a.TensorActive},
		{nvml.GPM_METRIC_DRAM_BW_UTIL, &a.DRAMActive},
		{nvml.GPM_METRIC_NVLINK_TOTAL_RX_PER_SEC, &a.NVLinkRx},
		{nvml.GPM_METRIC_NVLINK_TOTAL_TX_PER_SEC, &a.NVLinkTx},
	}
	get := nvml.GpmMetricsGetType{NumMetrics: uint32(len(wanted)), Sample1: from, Sample2: to}
	for i, w := range wanted {
		get.Metrics[i].MetricId = uint32(w.id)
	}
	if code := l.lib.GpmMetricsGet(&get); code != nvml.SUCCESS {
		return Activity{}, Error{"nvmlGpmMetricsGet", int(code)}
	}
	for i, w := range wanted {
		*w.to = -1
		if get.Metrics[i].NvmlReturn == uint32(nvml.SUCCESS) {
			*w.to = get.Metrics[i].Value
		}
	}
	return a, nil
}

func (l *library) freeGPM() {
	for i := range l.gpm {
		if s := &l.gpm[i]; s.before != nil {
			s.before.Free()
			s.after.Free()
			s.before, s.after = nil, nil
		}
	}
}
