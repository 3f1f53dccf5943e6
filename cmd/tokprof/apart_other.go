//go:build !unix

package main

import "syscall"

// apart puts a child into a process group of its own, where there are such.
func apart() *syscall.SysProcAttr { return nil }
