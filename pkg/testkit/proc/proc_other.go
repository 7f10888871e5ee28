//go:build unix && !linux

package proc

import "os/exec"

// endWithTest does nothing: only Linux ties a process to its parent's life.
func endWithTest(*exec.Cmd) {}

// awaitFrozen does nothing: the signal takes effect a moment later.
func awaitFrozen(int) error { return nil }
