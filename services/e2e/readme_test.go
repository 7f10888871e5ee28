//go:build unix

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"autotag/pkg/testkit/natstest"
	"autotag/pkg/testkit/redistest"
)

// The README's own lines, word for word but for the ports: each part started by
// hand, a conversation posted with curl, and the simulator prints the call.
func TestReadme(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("not run: the README's commands, for want of curl")
	}
	if !redistest.Available() {
		if os.Getenv("REQUIRE_REDIS") == "1" {
			t.Fatal("REQUIRE_REDIS is set, and no redis-server is on the PATH")
		}
		t.Skip("not run: the README's commands, for want of redis-server")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, part := range strings.Split(string(readme), "```sh\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		blocks = append(blocks, block)
	}
	if len(blocks) != 2 {
		t.Fatalf("the README has %d blocks of commands, not 2", len(blocks))
	}

	// Ports of this test instead of the usual ones.
	addr := map[string]string{}
	var swap []string
	for _, port := range []string{"4222", "8222", "6379", "9400", "9091", "8080", "9090"} {
		addr[port] = freeAddr(t)
		_, free, _ := net.SplitHostPort(addr[port])
		swap = append(swap, port, free)
	}
	ports := strings.NewReplacer(swap...)

	dir := t.TempDir()
	bin := filepath.Join(dir, "path")
	conf, err := os.ReadFile(filepath.Join(root, "deployments/nats.conf"))
	for _, do := range []func() error{
		func() error { return err },
		func() error { return os.Mkdir(bin, 0o755) },
		func() error { return os.Symlink(natstest.Program(t), filepath.Join(bin, "nats-server")) },
		func() error { return os.Symlink(binDir, filepath.Join(dir, "bin")) },
		func() error { return os.Symlink(filepath.Join(root, "configs"), filepath.Join(dir, "configs")) },
		func() error { return os.Mkdir(filepath.Join(dir, "deployments"), 0o755) },
		func() error {
			return os.WriteFile(filepath.Join(dir, "deployments/nats.conf"), []byte(ports.Replace(string(conf))), 0o644)
		},
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	shell := func(script string) *exec.Cmd {
		c := exec.Command("bash", "-c", "set -e\n"+ports.Replace(script)+"\nwait\n")
		c.Dir = dir
		c.Env = append(os.Environ(),
			"PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"),
			// The defaults, which the README does not spell out.
			"NATS_URL=nats://"+addr["4222"], "REDIS_URL=redis://"+addr["6379"],
			"INGRESS_ADDR="+addr["8080"], "SIMULATOR_ADDR="+addr["9400"], "ADMIN_ADDR="+addr["9090"],
			"WEBHOOK_URL=http://"+addr["8080"]+webhookPath)
		return c
	}

	var out lockedBuffer
	parts := shell(blocks[0])
	parts.Stdout, parts.Stderr = &out, &out
	parts.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := parts.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-parts.Process.Pid, syscall.SIGKILL)
		_ = parts.Wait()
		if t.Failed() {
			t.Logf("the programs said:\n%s", out.String())
		}
	})
	for _, program := range []string{"ingress", "tagger"} {
		admin := addr["9090"]
		if program == "tagger" {
			admin = addr["9091"]
		}
		eventually(t, 60*time.Second, func() error {
			c := exec.Command(filepath.Join(binDir, program), "healthcheck", "--ready")
			c.Env = append(os.Environ(), "ADMIN_ADDR="+admin)
			if said, err := c.CombinedOutput(); err != nil {
				return fmt.Errorf("%s: %w: %s", program, err, said)
			}
			return nil
		})
	}
	if said, err := shell(blocks[1]).CombinedOutput(); err != nil || string(said) != "{}{}{}" && string(bytes.ReplaceAll(said, []byte("\n"), nil)) != "{}{}{}" {
		t.Fatalf("the conversation was answered with %q, %v", said, err)
	}
	eventually(t, 30*time.Second, func() error {
		if !strings.Contains(out.String(), `tag_thread  chat_id="CHAT1"  thread_id="THREAD1"  tag="refund"  status=200`) {
			return errors.New("the simulator has printed no call")
		}
		return nil
	})
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
