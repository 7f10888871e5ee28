//go:build unix

package e2e

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"autotag/pkg/testkit/proc"
)

// Exit statuses of the programs.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

var (
	binDir string // the programs, built once per run
	seed   uint64 // what is random follows from it
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	seed = rand.Uint64() >> 32
	if v := os.Getenv("E2E_SEED"); v != "" {
		var err error
		if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			fmt.Fprintf(os.Stderr, "E2E_SEED: must be a whole number, not %q\n", v)
			return 1
		}
	}
	fmt.Printf("E2E_SEED=%d\n", seed)
	// The tests mostly wait: until a chat has been quiet, until NATS takes from a
	// dead worker what it held.
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	dir, err := os.MkdirTemp("", "autotag-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binDir = dir
	return m.Run()
}

func build(dir string) error {
	args := []string{"build", "-o", dir + "/"}
	race := raceDetector
	if v := os.Getenv("E2E_RACE"); v != "" {
		var err error
		if race, err = strconv.ParseBool(v); err != nil {
			return fmt.Errorf("E2E_RACE: must be 1 or 0, not %q", v)
		}
	}
	if race {
		args = append(args, "-race")
	}
	for _, program := range []string{"ingress", "tagger", "simulator"} {
		args = append(args, "autotag/services/"+program)
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return nil
}

// long says whether the tests may take minutes.
func long() bool { return os.Getenv("E2E_LONG") == "1" }

// process is one of the programs with its environment, over all its starts.
type process struct {
	t     testing.TB
	name  string // for people, such as tagger 2
	path  string
	args  []string
	env   map[string]string
	admin string // host:port, "" for none

	mu    sync.Mutex
	cmd   *exec.Cmd // nil while it does not run
	done  chan struct{}
	exit  int
	end   string // in words: the status, or the signal
	lines []string
	rest  []byte
}

// newProcess prepares a program; start starts it. It ends with the test, and
// what it logs never says that it panicked or raced.
func newProcess(t testing.TB, name, program string, env map[string]string, args ...string) *process {
	p := &process{t: t, name: name, path: filepath.Join(binDir, program), args: args, env: env, admin: env["ADMIN_ADDR"]}
	t.Cleanup(func() {
		p.kill()
		for _, sign := range []string{"panic:", "WARNING: DATA RACE", "fatal error:", "handler panic"} {
			if lines := p.grep(sign); len(lines) > 0 {
				t.Errorf("%s: %s\n%s", name, sign, strings.Join(p.tail(200), "\n"))
			}
		}
	})
	return p
}

// start starts the program, again if it has ended.
func (p *process) start() {
	p.t.Helper()
	cmd := exec.Command(p.path, p.args...)
	cmd.Dir = p.t.TempDir() // nothing is there
	cmd.Env = []string{}
	for name, value := range p.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.SysProcAttr = endWithTest()
	cmd.Stdout, cmd.Stderr = p, p
	done := make(chan struct{})
	if err := cmd.Start(); err != nil {
		p.t.Fatalf("start %s: %v", p.name, err)
	}
	p.mu.Lock()
	p.cmd, p.done = cmd, done
	p.mu.Unlock()
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.exit, p.end = cmd.ProcessState.ExitCode(), cmd.ProcessState.String()
		var ended *exec.ExitError
		if err != nil && !errors.As(err, &ended) {
			p.lines = append(p.lines, "wait: "+err.Error())
		}
		p.mu.Unlock()
		close(done)
	}()
}

// Write takes what the program prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest = append(p.rest, b...)
	for {
		i := bytes.IndexByte(p.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		p.lines = append(p.lines, string(p.rest[:i]))
		p.rest = p.rest[i+1:]
	}
}

// printed is every line so far.
func (p *process) printed() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	lines := slices.Clone(p.lines)
	if len(p.rest) > 0 {
		lines = append(lines, string(p.rest))
	}
	return lines
}

// grep gives the lines that hold text.
func (p *process) grep(text string) []string {
	return slices.DeleteFunc(p.printed(), func(l string) bool { return !strings.Contains(l, text) })
}

// tail gives the last n lines.
func (p *process) tail(n int) []string {
	lines := p.printed()
	return lines[max(0, len(lines)-n):]
}

// patience is how long the tests wait for what must come. It says nothing of how
// soon that is: the machine may be busy with something else.
const patience = 2 * time.Minute

// wait waits until the program has ended and gives its exit status.
func (p *process) wait(limit time.Duration) int {
	p.t.Helper()
	p.mu.Lock()
	done := p.done
	p.mu.Unlock()
	select {
	case <-done:
	case <-time.After(limit):
		p.thaw()
		p.signal(syscall.SIGQUIT) // shows the stacks
		<-done
		p.t.Errorf("%s has not ended after %v\n%s", p.name, limit, strings.Join(p.tail(100), "\n"))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = nil
	return p.exit
}

func (p *process) running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd != nil
}

func (p *process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("signal %s: %v", p.name, err)
	}
}

// kill ends the program at once (SIGKILL).
func (p *process) kill() {
	if p.running() {
		p.signal(syscall.SIGKILL)
		p.wait(patience)
	}
}

// freeze stops the program without ending it, thaw lets it go on.
func (p *process) freeze() { p.signal(syscall.SIGSTOP) }
func (p *process) thaw()   { p.signal(syscall.SIGCONT) }

// terminate asks the program to end, which it must do with status 0.
func (p *process) terminate() {
	p.t.Helper()
	if !p.running() {
		return
	}
	p.signal(syscall.SIGTERM)
	if exit := p.wait(patience); exit != exitOK {
		p.t.Errorf("%s: %s after SIGTERM\n%s", p.name, p.end, strings.Join(p.tail(40), "\n"))
	}
}

// restart asks the program to end and starts it again.
func (p *process) restart() {
	p.t.Helper()
	p.awaitAlive()
	p.terminate()
	p.start()
}

// awaitAlive waits until the program answers. Before that the kernel ends it
// when it is asked to end.
func (p *process) awaitAlive() {
	p.t.Helper()
	eventually(p.t, patience, func() error {
		_, _, err := p.ask("/healthz")
		return err
	})
}

// ask gets a page of the admin listener.
func (p *process) ask(path string) (status int, body string, err error) {
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + p.admin + path)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

// awaitReady waits until the program says that it is ready.
func (p *process) awaitReady() {
	p.t.Helper()
	eventually(p.t, patience, func() error {
		select {
		case <-p.done:
			p.t.Fatalf("%s ended at its start:\n%s", p.name, strings.Join(p.tail(40), "\n"))
		default:
		}
		status, body, err := p.ask("/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%s is not ready: %s", p.name, body)
		}
		return err
	})
}

// metric gives the value of a metric with exactly these labels as they are
// printed, such as autotag_rules_valid or autotag_x_total{a="b"}.
func (p *process) metric(series string) (float64, bool) {
	p.t.Helper()
	_, body, err := p.ask("/metrics")
	if err != nil {
		p.t.Fatalf("metrics of %s: %v", p.name, err)
	}
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), series+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				p.t.Fatalf("metric %s: %v", line, err)
			}
			return n, true
		}
	}
	return 0, false
}

// command runs a program to its end.
func command(t testing.TB, program string, env map[string]string, args ...string) (exit int, output string) {
	t.Helper()
	p := newProcess(t, program, program, env, args...)
	p.start()
	exit = p.wait(patience)
	return exit, strings.Join(p.printed(), "\n")
}

// eventually waits until ok gives no error.
func eventually(t testing.TB, limit time.Duration, ok func() error) {
	t.Helper()
	if err := poll(limit, ok); err != nil {
		t.Fatalf("after %v: %v", limit, err)
	}
}

// poll asks ok until it gives no error, and gives the last one when the time is
// up.
func poll(limit time.Duration, ok func() error) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	over := time.After(limit)
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-over:
			return err
		}
	}
}

// freeAddr gives an address of this machine to listen on.
func freeAddr(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", proc.FreePort(t))
}
