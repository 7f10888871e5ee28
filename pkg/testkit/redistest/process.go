//go:build unix

package redistest

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"autotag/pkg/testkit/proc"
)

const (
	program = "redis-server"
	// answerTimeout is generous: whoever waits goes on with the answer.
	answerTimeout = time.Minute
)

// Process is a redis-server in a process of its own, with an append-only file
// in a folder of the test.
type Process struct {
	URL  string
	Addr string // host:port
	Dir  string

	*proc.Process

	t testing.TB
}

// NewProcess starts the redis-server of the PATH as a process that ends with
// the test. extra are further arguments, such as "--maxmemory", "10mb".
func NewProcess(t testing.TB, extra ...string) *Process {
	t.Helper()
	port := proc.FreePort(t)
	p := &Process{Addr: "127.0.0.1:" + port, Dir: t.TempDir(), t: t}
	p.URL = "redis://" + p.Addr + "/0"
	p.Process = proc.New(t, program, append([]string{
		"--bind", "127.0.0.1", "--port", port, "--dir", p.Dir, "--save", "", "--appendonly", "yes",
		"--appendfsync", "everysec", "--maxmemory-policy", "noeviction",
	}, extra...)...)
	p.Start()
	return p
}

// Start starts the process again after Kill or Terminate, on what its file
// holds, and waits until it serves.
func (p *Process) Start() {
	p.t.Helper()
	p.Launch()
	p.Await(func() error { return command(p.Addr, "PING") })
}

// Flush empties the database.
func (p *Process) Flush() {
	p.t.Helper()
	flush(p.t, p.Addr, "0")
}

func flush(t testing.TB, addr, db string) {
	t.Helper()
	if err := command(addr, "SELECT "+db, "FLUSHDB"); err != nil {
		t.Fatalf("empty the test's Redis: %v", err)
	}
}

// command sends commands on a connection of their own; each must be answered
// with a plain status.
func command(addr string, lines ...string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	r := bufio.NewReader(c)
	for _, l := range lines {
		if _, err := fmt.Fprintf(c, "%s\r\n", l); err != nil {
			return err
		}
		answer, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(answer, "+") {
			return fmt.Errorf("%s is answered with %q", l, strings.TrimSpace(answer))
		}
	}
	return nil
}
