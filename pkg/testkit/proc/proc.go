//go:build unix

// Package proc runs servers of tests as processes that can be killed, frozen
// and started again.
package proc

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// startTimeout is generous: whoever waits goes on as soon as the program is
// ready.
const startTimeout = time.Minute

// Process is a program that ends with the test, also when the test binary is
// killed (Linux only). What it printed is logged when the test fails.
type Process struct {
	t    testing.TB
	path string
	args []string
	cmd  *exec.Cmd
	done chan struct{}
	out  bytes.Buffer
}

// New prepares a program; Launch starts it.
func New(t testing.TB, path string, args ...string) *Process {
	p := &Process{t: t, path: path, args: args}
	t.Cleanup(func() {
		if t.Failed() && p.out.Len() > 0 {
			t.Logf("%s said:\n%s", p.name(), p.out.String())
		}
	})
	t.Cleanup(p.Kill)
	return p
}

func (p *Process) name() string { return filepath.Base(p.path) }

// Launch starts the program, for the first time or after Kill or Terminate,
// and does not wait until it is ready.
func (p *Process) Launch() {
	p.t.Helper()
	cmd, done := exec.Command(p.path, p.args...), make(chan struct{})
	cmd.Stdout, cmd.Stderr = &p.out, &p.out
	endWithTest(cmd)
	if err := cmd.Start(); err != nil {
		p.t.Fatalf("start %s: %v", p.name(), err)
	}
	p.cmd, p.done = cmd, done
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
}

// Await waits until ready gives no error; the test fails when the program ends
// before or takes longer than a minute.
func (p *Process) Await(ready func() error) {
	p.t.Helper()
	for deadline := time.Now().Add(startTimeout); ; {
		err := ready()
		if err == nil {
			return
		}
		select {
		case <-p.done:
			p.t.Fatalf("%s ended at its start", p.name()) // what it said is logged at the end
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s is not ready after %v: %v", p.name(), startTimeout, err)
		}
	}
}

// Kill ends the process with SIGKILL and waits until it is gone; it may be
// gone already.
func (p *Process) Kill() { p.end(syscall.SIGKILL) }

// Terminate asks the process to end and waits until it is gone.
func (p *Process) Terminate() { p.end(syscall.SIGTERM) }

// Freeze stops the process without ending it: connections stay, nothing
// answers. Kill works on a frozen process.
func (p *Process) Freeze() {
	p.t.Helper()
	p.Signal(syscall.SIGSTOP)
	if err := awaitFrozen(p.cmd.Process.Pid); err != nil {
		p.t.Errorf("freeze %s: %v", p.name(), err)
	}
}

// Thaw lets a frozen process go on.
func (p *Process) Thaw() { p.Signal(syscall.SIGCONT) }

func (p *Process) end(sig syscall.Signal) {
	if p.cmd == nil {
		return
	}
	p.Signal(sig)
	<-p.done
	p.cmd = nil
}

// Signal sends the process a signal.
func (p *Process) Signal(sig syscall.Signal) {
	p.t.Helper()
	if p.cmd == nil {
		p.t.Fatalf("%s does not run", p.name())
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("signal %s: %v", p.name(), err)
	}
}

// FreePort returns a TCP port of 127.0.0.1 that nobody else gets until the test
// ends, so that a program can listen on it, end, and listen on it again.
func FreePort(t testing.TB) string {
	t.Helper()
	port, release, err := reservePort()
	if err != nil {
		t.Fatalf("reserve a port: %v", err)
	}
	t.Cleanup(release)
	return strconv.Itoa(port)
}
