//go:build !(cgo && linux)

package driver

import (
	"fmt"
	"runtime"
)

// Open says that this build cannot load the library.
func Open(string) (Driver, error) {
	if runtime.GOOS != "linux" {
		return nil, fmt.Errorf("%w is asked on %s, only on Linux", ErrNoLibrary, runtime.GOOS)
	}
	return nil, fmt.Errorf("%w can be asked by this build: it was made without cgo", ErrNoLibrary)
}
