//go:build unix

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

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
	// The blocks, by a word that only they have.
	secrets, connect, start, post := "openssl", "register_webhook", "nats-server", "post()"
	blocks := map[string]string{secrets: "", connect: "", start: "", post: ""}
	for _, part := range strings.Split(string(readme), "```sh\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		known := false
		for word := range blocks {
			if strings.Contains(block, word) {
				blocks[word], known = block, true
			}
		}
		if !known {
			t.Errorf("no test runs this block of the README:\n%s", block)
		}
	}

	// Ports of this test instead of the usual ones.
	addr := map[string]string{}
	var swap []string
	for _, port := range []string{"4222", "8222", "6379", "9400", "9091", "8080", "9090"} {
		addr[port] = freeAddr(t)
		_, free, _ := net.SplitHostPort(addr[port])
		swap = append(swap, port, free)
	}
	swap = append(swap,
		"https://api.livechatinc.com", "http://"+addr["9400"],
		"00000000-0000-0000-0000-000000000000", "simulator",
		"00000000000000000000000000000000", simulatorClient,
	)
	ports := strings.NewReplacer(swap...)

	dir := t.TempDir()
	bin := filepath.Join(dir, "path")
	conf, err := os.ReadFile(filepath.Join(root, "deployments/nats.conf"))
	for _, do := range []func() error{
		func() error { return err },
		func() error { return os.Mkdir(bin, 0o755) },
		func() error { return os.Symlink(natstest.Program(t), filepath.Join(bin, "nats-server")) },
		func() error { return os.Symlink(binDir, filepath.Join(dir, "bin")) },
		func() error { return os.MkdirAll(filepath.Join(dir, "configs/secrets/ingress"), 0o755) },
		func() error { return os.MkdirAll(filepath.Join(dir, "configs/secrets/tagger"), 0o755) },
		func() error {
			return os.Symlink(filepath.Join(root, "configs/rules.yaml"), filepath.Join(dir, "configs/rules.yaml"))
		},
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
	parts := shell(blocks[start])
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
		eventually(t, patience, func() error {
			c := exec.Command(filepath.Join(binDir, program), "healthcheck", "--ready")
			c.Env = append(os.Environ(), "ADMIN_ADDR="+admin)
			if said, err := c.CombinedOutput(); err != nil {
				return fmt.Errorf("%s: %w: %s", program, err, said)
			}
			return nil
		})
	}
	if said, err := shell(blocks[post]).CombinedOutput(); err != nil || string(said) != "{}{}{}" && string(bytes.ReplaceAll(said, []byte("\n"), nil)) != "{}{}{}" {
		t.Fatalf("the conversation was answered with %q, %v", said, err)
	}
	eventually(t, patience, func() error {
		if !strings.Contains(out.String(), `tag_thread  chat_id="CHAT1"  thread_id="THREAD1"  tag="refund"  status=200`) {
			return errors.New("the simulator has printed no call")
		}
		return nil
	})

	token := shell(blocks[secrets])
	token.Stdin = strings.NewReader("simulator\n")
	if said, err := token.CombinedOutput(); err != nil {
		t.Fatalf("the secrets: %v: %s", err, said)
	}
	said, err := shell(blocks[connect]).CombinedOutput()
	if err != nil {
		t.Fatalf("connecting: %v: %s", err, said)
	}
	for _, want := range []string{`"license_webhooks_enabled":true`, `"action":"chat_deactivated"`, `"action":"thread_untagged"`, "https://autotag.example.com/webhooks/livechat"} {
		if !strings.Contains(strings.ReplaceAll(string(said), ": ", ":"), want) {
			t.Errorf("connecting printed no %s:\n%s", want, said)
		}
	}
	if strings.Contains(string(said), `"error"`) {
		t.Errorf("connecting was refused something:\n%s", said)
	}
}

// simulatorClient is the client id of the simulator's app, its default.
const simulatorClient = "7d1e90c4b6a24f538c0e2a9b71f3d685"

// What make help prints and every setting stands in the README.
func TestReadmeIsComplete(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	help := exec.Command("make", "-s", "help")
	help.Dir = "../.."
	said, err := help.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(said)) {
		if !strings.Contains(string(readme), "\n  "+line) {
			t.Errorf("the README lacks this line of make help:\n%s", line)
		}
	}
	for _, program := range []string{"ingress", "tagger"} {
		said, err := exec.Command(filepath.Join(binDir, program), "--help").Output()
		if err != nil {
			t.Fatal(err)
		}
		settings := regexp.MustCompile(`(?m)^  ([A-Z][A-Z_]+)  `).FindAllSubmatch(said, -1)
		if len(settings) < 3 {
			t.Errorf("only %d settings found in %s --help", len(settings), program)
		}
		for _, setting := range settings {
			if !strings.Contains(string(readme), "`"+string(setting[1])+"`") {
				t.Errorf("the README lacks the setting %s of %s", setting[1], program)
			}
		}
	}
}

// Every test that the README names is there.
func TestReadmeNamesItsTests(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	err = filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(text, -1) {
			have[string(found[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test[A-Za-z]+)`").FindAllSubmatch(readme, -1)
	if len(named) < 20 {
		t.Errorf("only %d tests found in the README", len(named))
	}
	for _, name := range named {
		if !have[string(name[1])] {
			t.Errorf("the README names %s, which is not there", name[1])
		}
	}
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
