package driver

import (
	"errors"
	"fmt"
)

// What an error of the library can mean.
var (
	ErrUnsupported  = errors.New("not supported")
	ErrNotPermitted = errors.New("not permitted")
	ErrNotReady     = errors.New("not ready yet")
	ErrLost         = errors.New("the GPU is lost")
	// ErrNoLibrary says that there is no library to ask: no driver, or a build
	// that cannot load one.
	ErrNoLibrary = errors.New("no NVIDIA driver")
)

// Error is an answer of the library other than success.
type Error struct {
	Call string // the function
	Code int    // nvmlReturn_t
}

// missing is the code of a function that the library does not have.
const missing = 13

// codes are the library's return codes (nvml.h, nvmlReturn_t) and what each
// means for us. Their words are ours: asking the library for its own could
// itself fail.
var codes = map[int]struct {
	words string
	is    error
}{
	1:       {"the library was not initialised", nil},
	2:       {"invalid argument", ErrUnsupported}, // our questions are right for some driver
	3:       {"not supported", ErrUnsupported},
	4:       {"not permitted for this user", ErrNotPermitted},
	6:       {"not found", nil},
	7:       {"too little room for the answer", nil},
	8:       {"the GPU's power cables are not properly attached", nil},
	9:       {"the NVIDIA kernel driver is not loaded", ErrNoLibrary},
	10:      {"timed out", nil},
	11:      {"interrupt trouble with the GPU", nil},
	12:      {"the library was not found", ErrNoLibrary},
	missing: {"this driver does not have the function", ErrUnsupported},
	14:      {"the GPU's infoROM is corrupt", nil},
	15:      {"the GPU has fallen off the bus", ErrLost},
	16:      {"the GPU needs a reset", ErrLost},
	17:      {"the operating system or a cgroup blocks the GPU", ErrNotPermitted},
	18:      {"the driver and its library have different versions: reboot or reload the driver", nil},
	19:      {"the GPU is in use", nil},
	20:      {"out of memory", nil},
	21:      {"no data", ErrNotReady},
	23:      {"out of resources", nil},
	25:      {"this driver does not have this version of the function", ErrUnsupported},
	26:      {"withdrawn from this driver", ErrUnsupported},
	27:      {"not ready yet", ErrNotReady},
	28:      {"no GPU was found", nil},
	29:      {"the GPU is not in the right state", nil},
	999:     {"the driver reports an unknown error", nil},
}

// Error says what was asked and what came back.
func (e Error) Error() string {
	words := codes[e.Code].words
	if words == "" {
		words = "an unknown error"
	}
	return fmt.Sprintf("%s: %s (NVML code %d)", e.Call, words, e.Code)
}

// Is lets errors.Is ask what the error means.
func (e Error) Is(target error) bool {
	is := codes[e.Code].is
	return is != nil && is == target
}
