//go:build unix

package capture

import (
	"os/exec"
	"syscall"
)

// ownGroup takes a process out of our group: a Ctrl-C goes to all of it, and
// must not cut off nsys stop.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
