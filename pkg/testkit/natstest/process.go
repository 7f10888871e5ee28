//go:build unix

package natstest

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"autotag/pkg/testkit/proc"
)

const module = "github.com/nats-io/nats-server/v2"

// Process is a nats-server in a process of its own: one node, JetStream on,
// sync_interval always, its store in a folder of the test.
type Process struct {
	Name       string // the server's name
	URL        string
	MonitorURL string
	Dir        string // the store

	*proc.Process

	t    testing.TB
	conf string
}

// Binary starts the nats-server of the version in go.mod as a process that
// ends with the test. The binary is built once per version and kept in the
// user's cache folder. extra is added to the configuration file.
func Binary(t testing.TB, extra string) *Process {
	t.Helper()
	p := configure(t, "natstest", extra)
	p.Start()
	return p
}

// Cluster starts n processes that form a cluster.
func Cluster(t testing.TB, n int) []*Process {
	t.Helper()
	ports := make([]string, n)
	routes := make([]string, n)
	for i := range n {
		ports[i] = proc.FreePort(t)
		routes[i] = fmt.Sprintf("%q", "nats://127.0.0.1:"+ports[i])
	}
	ps := make([]*Process, n)
	for i := range n {
		ps[i] = configure(t, "natstest"+strconv.Itoa(i), fmt.Sprintf("cluster { name: natstest, listen: %q, routes: [%s] }",
			"127.0.0.1:"+ports[i], strings.Join(routes, ", ")))
		ps[i].Launch()
	}
	for _, p := range ps { // none is ready before they have found each other
		p.await()
	}
	return ps
}

// configure prepares a process.
func configure(t testing.TB, name, extra string) *Process {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatalf("build nats-server: %v", err)
	}
	dir := t.TempDir()
	client, monitor := proc.FreePort(t), proc.FreePort(t)
	p := &Process{
		Name:       name,
		URL:        "nats://127.0.0.1:" + client,
		MonitorURL: "http://127.0.0.1:" + monitor,
		Dir:        filepath.Join(dir, "store"),
		t:          t, conf: filepath.Join(dir, "nats.conf"),
	}
	p.Process = proc.New(t, bin, "-c", p.conf)
	conf := fmt.Sprintf("server_name: %s\nlisten: 127.0.0.1:%s\nhttp: 127.0.0.1:%s\njetstream { store_dir: %q, sync_interval: always }\n%s\n",
		name, client, monitor, p.Dir, extra)
	if err := os.WriteFile(p.conf, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// Start starts the process again after Kill or Terminate and waits until it
// serves.
func (p *Process) Start() {
	p.t.Helper()
	p.Launch()
	p.await()
}

func (p *Process) await() {
	p.t.Helper()
	client := http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	p.Await(func() error {
		resp, err := client.Get(p.MonitorURL + "/healthz")
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("healthz answers %d", resp.StatusCode)
		}
		return nil
	})
}

// Reload makes the server read its configuration again after edit changed it.
func (p *Process) Reload(edit func(conf string) string) {
	p.t.Helper()
	conf, err := os.ReadFile(p.conf)
	if err == nil {
		err = os.WriteFile(p.conf, []byte(edit(string(conf))), 0o600)
	}
	if err != nil {
		p.t.Fatalf("edit the configuration of nats-server: %v", err)
	}
	p.Signal(syscall.SIGHUP)
}

// build returns the path of the binary, built if it is not there yet.
var build = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "autotag-test")
	name := fmt.Sprintf("nats-server-v%s-%s-%s", server.VERSION, runtime.GOOS, runtime.GOARCH)
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// Test binaries of several packages may build at once: each into a folder
	// of its own, the last rename wins.
	tmp, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(tmp, name), module)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, os.Rename(filepath.Join(tmp, name), path)
})

// Program returns the path of the nats-server binary that Binary runs.
func Program(t testing.TB) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatalf("build nats-server: %v", err)
	}
	return path
}
