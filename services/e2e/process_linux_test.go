package e2e

import "syscall"

// endWithTest makes the kernel kill a program when the test binary dies.
func endWithTest() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
