//go:build unix && !linux

package proc

import (
	"net"
	"os/exec"
)

// endWithTest does nothing: only Linux ties a process to its parent's life.
func endWithTest(*exec.Cmd) {}

// awaitFrozen does nothing: the signal takes effect a moment later.
func awaitFrozen(int) error { return nil }

// reservePort finds a port that nobody listened on a moment ago: only Linux can
// keep it for a program that is still to come.
func reservePort() (port int, release func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, nil, err
	}
	return l.Addr().(*net.TCPAddr).Port, func() {}, l.Close()
}
