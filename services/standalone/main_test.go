package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"autotag/pkg/admin"
	"autotag/pkg/livechat/livechattest"
	"autotag/pkg/testkit/proc"
	simulator "autotag/services/simulator/app"

	"go.uber.org/zap"
)

// asProgram makes the test binary be the program.
const asProgram = "STANDALONE_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

func lookupIn(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	side := admin.New("127.0.0.1:0", zap.NewNop())
	if err := side.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := side.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	for name, text := range map[string]string{
		"bad.yaml":    "rule_file: x\n",
		"faulty.yaml": "version: 1\nrules:\n  - tag: refund\n    some: [refund]\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := map[string]string{
		"LIVECHAT_WEBHOOK_SECRETS": "s", "APPLY": "off", "ADMIN_ADDR": "127.0.0.1:0", "INGRESS_ADDR": "127.0.0.1:0",
	}
	with := func(more map[string]string) map[string]string {
		env := map[string]string{}
		for _, m := range []map[string]string{good, more} {
			for k, v := range m {
				env[k] = v
			}
		}
		return env
	}
	for name, c := range map[string]struct {
		args   []string
		env    map[string]string
		status int
		out    []string // on either; each once
	}{
		"help":            {[]string{"--help"}, nil, 0, []string{"--demo", "\n  DATA_DIR ", "\n  INGRESS_ADDR ", "\n  ADMIN_ADDR ", "\n  LOG_LEVEL ", "\n  RULES_FILE ", "\n  EVENTS_MAX_AGE "}},
		"version":         {[]string{"version"}, nil, 0, []string{"standalone "}},
		"nothing is set":  {nil, nil, 2, []string{"\n  LIVECHAT_WEBHOOK_SECRETS: ", "\n  LIVECHAT_PAT: ", "LIVECHAT_ACCOUNT_ID", "LIVECHAT_ACCESS_TOKEN", "--demo"}},
		"bad settings":    {nil, map[string]string{"EVENTS_MAX_AGE": "x", "LOG_FORMAT": "xml", "SETTLE": "2h", "ADMIN_ADDR": "here"}, 2, []string{"  EVENTS_MAX_AGE: ", "  LOG_FORMAT: ", "  SETTLE: ", "  LIVECHAT_PAT: "}},
		"bad file":        {[]string{"--config", "bad.yaml"}, good, 2, []string{`bad.yaml:1: unknown setting "rule_file"`}},
		"no file":         {[]string{"--config=none.yaml"}, good, 2, []string{"none.yaml"}},
		"no folder":       {[]string{"--data"}, good, 2, []string{"--data: needs a folder"}},
		"flag as folder":  {[]string{"--data", "--demo"}, good, 2, []string{"--data: needs a folder"}},
		"junk":            {[]string{"serve"}, good, 2, []string{`"serve"`, "--help"}},
		"ready alone":     {[]string{"--ready"}, good, 2, []string{"healthcheck"}},
		"demo with data":  {[]string{"--demo", "--data", "d"}, nil, 2, []string{"--data and --config do not go with it"}},
		"demo and health": {[]string{"--demo", "healthcheck"}, nil, 2, []string{"do not go together"}},
		"demo, no rules":  {[]string{"--demo"}, map[string]string{"RULES_FILE": "none.yaml"}, 2, []string{"RULES_FILE: open none.yaml: "}},
		"demo, bad rules": {[]string{"--demo"}, map[string]string{"RULES_FILE": "faulty.yaml"}, 2, []string{"faulty.yaml:4:5: "}},
		"demo, bad level": {[]string{"--demo"}, map[string]string{"LOG_LEVEL": "loud"}, 2, []string{"LOG_LEVEL: "}},
		"healthy":         {[]string{"healthcheck"}, map[string]string{"ADMIN_ADDR": side.Addr()}, 0, nil},
		"ready":           {[]string{"healthcheck", "--ready"}, map[string]string{"ADMIN_ADDR": side.Addr()}, 0, nil},
		"not there":       {[]string{"healthcheck"}, map[string]string{"ADMIN_ADDR": "127.0.0.1:1"}, 1, []string{"refused"}},
		"port is taken":   {nil, with(map[string]string{"ADMIN_ADDR": side.Addr()}), 1, []string{"address already in use"}},
		"data is a file":  {[]string{"--data", "bad.yaml"}, good, 1, []string{"make the data folder"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if status := run(c.args, lookupIn(c.env), &out, &out); status != c.status {
				t.Errorf("exit status %d, should be %d", status, c.status)
			}
			for _, want := range c.out {
				if n := strings.Count(out.String(), want); n == 0 || n > 1 && strings.HasPrefix(want, "\n") {
					t.Errorf("%q is there %d times:\n%s", want, n, out.String())
				}
			}
			for _, not := range []string{"NATS_URL", "REDIS_URL", "NATS_REPLICAS"} {
				if strings.Contains(out.String(), not) {
					t.Errorf("%s does not count here:\n%s", not, out.String())
				}
			}
		})
	}
}

// program is a running standalone.
type program struct {
	t   *testing.T
	cmd *exec.Cmd
	dir string // working directory; its temporary files are in tmp
	tmp string
	out *output
}

// output is what a program has printed so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// start starts the program in dir with nothing in its environment but env.
func start(t *testing.T, dir string, env map[string]string, args ...string) *program {
	t.Helper()
	p := prepare(t, dir, env, args...)
	p.launch()
	return p
}

func prepare(t *testing.T, dir string, env map[string]string, args ...string) *program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, cmd: exec.Command(self, args...), dir: dir, tmp: t.TempDir(), out: &output{}}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, p.out, p.out
	p.cmd.Env = []string{asProgram + "=1", "TMPDIR=" + p.tmp}
	for k, v := range env {
		p.cmd.Env = append(p.cmd.Env, k+"="+v)
	}
	return p
}

func (p *program) launch() {
	p.t.Helper()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
		if p.t.Failed() {
			p.t.Logf("standalone %q said:\n%s", p.cmd.Args[1:], p.out)
		}
	})
}

// wait returns the exit status, -1 after a kill.
func (p *program) wait() int {
	p.t.Helper()
	timer := time.AfterFunc(5*time.Minute, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	var exit *exec.ExitError
	if err := p.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *program) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, is func() error) {
	t.Helper()
	var err error
	for limit := time.Now().Add(3 * time.Minute); time.Now().Before(limit); time.Sleep(20 * time.Millisecond) {
		if err = is(); err == nil {
			return
		}
	}
	t.Fatalf("%s: %v", what, err)
}

func (p *program) says(text string) {
	p.t.Helper()
	eventually(p.t, "output", func() error {
		if !strings.Contains(p.out.String(), text) {
			return fmt.Errorf("%q is not said", text)
		}
		return nil
	})
}

func (p *program) isGone() {
	p.t.Helper()
	for _, dir := range []string{p.dir, p.tmp} {
		left, err := os.ReadDir(dir)
		if err != nil || len(left) > 0 {
			p.t.Errorf("left in %s: %v %v", dir, left, err)
		}
	}
}

// TestDemo runs two demos at once, in folders without anything, while the ports
// of a standalone are in use, with an environment that means another site.
func TestDemo(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{":8080", ":9090"} {
		if l, err := net.Listen("tcp", addr); err == nil { // else somebody else has it
			defer l.Close()
		}
	}
	env := map[string]string{
		"LIVECHAT_ACCESS_TOKEN": "real", "LIVECHAT_API_URL": "http://127.0.0.1:1", "LIVECHAT_WEBHOOK_SECRETS_FILE": "/none",
		"NATS_URL": "nats://127.0.0.1:1", "REDIS_URL": "redis://127.0.0.1:1", "APPLY": "off", "RECONCILE": "never", "SETTLE": "1h", "DATA_DIR": "/proc/none",
		"INGRESS_ADDR": ":8080", "ADMIN_ADDR": ":9090", "API_RATE": "0.01",
	}
	demos := []*program{start(t, t.TempDir(), env, "--demo"), start(t, t.TempDir(), env, "--demo")}
	for _, p := range demos {
		if status := p.wait(); status != 0 {
			t.Errorf("exit status %d", status)
		}
		out := p.out.String()
		if !strings.Contains(out, "built in (there is no configs/rules.yaml here)") ||
			!strings.Contains(out, `customer's message 3: "money back"`) || strings.Contains(out, "WRONG") {
			t.Errorf("the demo shows:\n%s", out)
		}
		for line := range strings.Lines(out) {
			if len([]rune(strings.TrimRight(line, "\n"))) > 80 {
				t.Errorf("more than 80 columns: %q", line)
			}
		}
		for _, said := range texts(t) {
			if strings.Contains(out, said) {
				t.Errorf("shows what somebody wrote: %q", said)
			}
		}
		p.isGone()
	}
}

// texts is what people write in the demo, short words aside.
func texts(t *testing.T) (all []string) {
	t.Helper()
	list, err := simulator.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range list {
		for _, c := range s.Chats {
			for _, thread := range c.Threads {
				for _, step := range thread.Says {
					if len(step.Text) > 15 {
						all = append(all, step.Text)
					}
				}
			}
		}
	}
	if len(all) < 20 {
		t.Fatalf("only %d texts", len(all))
	}
	return all
}

func TestDemoWithOtherRules(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rules := filepath.Join(dir, "my.yaml")
	if err := os.WriteFile(rules, []byte("version: 1\nrules:\n  - tag: anything\n    name: greeting\n    any: [hello, hi]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, t.TempDir(), map[string]string{"RULES_FILE": rules}, "--demo")
	if status := p.wait(); status != 1 {
		t.Errorf("exit status %d", status)
	}
	for _, want := range []string{"Rules: " + rules, "WRONG ", "EXPECTED refund BUT GOT ", "rule greeting, ", "waiting for the right tags of ", "not every conversation"} {
		if !strings.Contains(p.out.String(), want) {
			t.Errorf("%q is not said", want)
		}
	}
	p.isGone()
}

func TestInterruptedDemoLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, moment := range []string{"", "\nok "} { // at the start, in the middle
		p := start(t, t.TempDir(), nil, "--demo")
		if moment == "" {
			eventually(t, "temporary folder", func() error {
				if left, _ := os.ReadDir(p.tmp); len(left) == 0 {
					return errors.New("is not there")
				}
				return nil
			})
		}
		p.says(moment)
		p.signal(os.Interrupt)
		if status := p.wait(); status != 130 {
			t.Errorf("exit status %d", status)
		}
		out := p.out.String()
		if !strings.Contains(out, "interrupted") || strings.Contains(out, "WRONG") || strings.Contains(out, "EXPECTED") {
			t.Error("the interruption is not told as what it is")
		}
		p.isGone()
	}
}

func TestDemoEndsWithItsReader(t *testing.T) {
	t.Parallel()
	// Started with nohup, a demo is right to go on. A signal that the test itself
	// listens to is not ignored by what it starts.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for _, output := range []string{"hung up", "closed"} {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p := prepare(t, t.TempDir(), nil, "--demo")
		if output == "closed" {
			p.cmd.Stdout = write
			read.Close()
		} else {
			defer read.Close()
		}
		p.launch()
		write.Close()
		if output == "hung up" {
			p.says("\nok ")
			p.signal(syscall.SIGHUP)
		}
		if status := p.wait(); status != 130 {
			t.Errorf("exit status %d", status)
		}
		p.isGone()
	}
}

// site is a LiveChat account and the standalone that serves it.
type site struct {
	*program
	platform *livechattest.Platform
	dir      string
	env      map[string]string
}

const (
	organization = "5f0b2c4e-7a1d-4c39-9f57-3d2a61b8e0c4"
	customer     = "b7eff798-f8df-4364-8059-649c35c9ed0c"
	agent        = "smith@example.com"
	secret       = "sEcReT-4711"
	canary       = "canary4711"
)

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{dir: t.TempDir()}
	s.platform = livechattest.New(livechattest.Config{})
	if err := s.platform.AddOrganization(livechattest.Organization{
		ID: organization, Secret: secret, AccountID: "account", PAT: "pAt-4711", Groups: []int{0},
	}); err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"refund", "parcel", "unsorted"} {
		if _, err := s.platform.CreateTag(organization, tag, 0); err != nil {
			t.Fatal(err)
		}
	}
	api := httptest.NewServer(s.platform)
	t.Cleanup(api.Close)
	rules := filepath.Join(s.dir, "rules.yaml")
	if err := os.WriteFile(rules, []byte(`version: 1
rules:
  - {tag: refund, any: [refund*]}
  - {tag: parcel, all: [parcel, late]}
  - {tag: unsorted, fallback: true}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = map[string]string{
		"LIVECHAT_WEBHOOK_SECRETS": secret, "LIVECHAT_ACCOUNT_ID": "account", "LIVECHAT_PAT": "pAt-4711",
		"LIVECHAT_API_URL": api.URL, "RULES_FILE": rules, "SETTLE": "4s", "LOG_LEVEL": "debug",
		"INGRESS_ADDR": "127.0.0.1:" + proc.FreePort(t), "ADMIN_ADDR": "127.0.0.1:" + proc.FreePort(t), "EVENTS_MAX_BYTES": "64MiB",
		"NATS_URL": "nats://127.0.0.1:1",
	}
	s.start(t)
	return s
}

func (s *site) start(t *testing.T) {
	t.Helper()
	s.program = start(t, s.dir, s.env, "--data", "store")
	eventually(t, "readiness", func() error {
		if s.cmd.ProcessState != nil {
			return errors.New("it has ended")
		}
		_, err := s.get("/readyz")
		return err
	})
}

func (s *site) get(path string) (string, error) {
	res, err := http.Get("http://" + s.env["ADMIN_ADDR"] + path)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s", res.Status, body)
	}
	return string(body), err
}

func (s *site) post(hooks []livechattest.Webhook, err error) livechattest.Webhook {
	s.t.Helper()
	for _, h := range hooks {
		if err != nil {
			break
		}
		var res *http.Response
		res, err = http.Post("http://"+s.env["INGRESS_ADDR"]+"/webhooks/livechat", "application/json", bytes.NewReader(h.Body))
		if err == nil {
			res.Body.Close()
			if res.StatusCode != http.StatusOK {
				err = errors.New(res.Status)
			}
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return hooks[0]
}

// chat begins a chat in which the customer says text; it returns its thread.
func (s *site) chat(text string) string {
	s.t.Helper()
	return s.post(s.platform.StartChat(organization, livechattest.Chat{
		Users:  []livechattest.User{{ID: customer, Type: "customer", Name: "Maya"}, {ID: agent, Name: "Smith"}},
		Thread: livechattest.Thread{Events: []livechattest.Event{{Author: customer, Text: text + " " + canary}}},
	})).Thread
}

func (s *site) says(thread, text string) {
	s.t.Helper()
	s.post(s.platform.AddEvent(thread, livechattest.Event{Author: customer, Text: text + " " + canary}))
}

func (s *site) ends(thread string) {
	s.t.Helper()
	s.post(s.platform.Deactivate(thread, agent))
}

func (s *site) expect(want map[string][]string) {
	s.t.Helper()
	eventually(s.t, "tags", func() error {
		for thread, tags := range want {
			got := s.platform.Tags(thread)
			slices.Sort(got)
			if !slices.Equal(got, tags) {
				return fmt.Errorf("thread %s has %v, should have %v", thread, got, tags)
			}
		}
		return nil
	})
}

// TestRestarts takes chats over a kill -9 and over an ordinary stop: begun
// before it and ended after it, and ended before it and due after it. A chat
// that falls due during a stop may have to wait for the acknowledgement's time
// limit, so chats settle for longer here than a stop takes.
func TestRestarts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	want := map[string][]string{}
	for _, end := range []struct {
		signal os.Signal
		status int
	}{{syscall.SIGKILL, -1}, {syscall.SIGTERM, 0}} {
		done := s.chat("a refund please")
		s.ends(done)
		want[done] = []string{"refund"}
		s.expect(want)

		open := s.chat("my parcel")
		ended := s.chat("two refunds, and my parcel")
		s.says(ended, "is late")
		s.ends(ended)
		if got := s.platform.Tags(ended); len(got) > 0 {
			t.Fatalf("decided before it had settled: %v", got)
		}
		s.signal(end.signal)
		if status := s.wait(); status != end.status {
			t.Errorf("exit status %d after %v", status, end.signal)
		}
		s.noSecrets()
		s.start(t)
		s.says(open, "is late")
		s.ends(open)
		want[ended], want[open] = []string{"parcel", "refund"}, []string{"parcel"}
		s.expect(want)
	}
	for _, c := range s.platform.Calls() {
		if c.Status != http.StatusOK || c.Method == "untag_thread" {
			t.Errorf("call %s %s: %d %s", c.Method, c.Tag, c.Status, c.Type)
		}
	}

	second := start(t, s.dir, s.env, "--data", "store")
	if status := second.wait(); status != 1 || !strings.Contains(second.out.String(), "store is in use by another standalone") {
		t.Errorf("a second standalone on the folder: exit status %d", status)
	}
	if _, err := s.get("/readyz"); err != nil {
		t.Errorf("after the second one: %v", err)
	}
	s.noSecrets()
}

// noSecrets looks for what must not be said.
func (s *site) noSecrets() {
	s.t.Helper()
	for _, word := range []string{secret, "pAt-4711", canary} {
		if strings.Contains(s.out.String(), word) {
			s.t.Errorf("%q is said", word)
		}
	}
}

func TestAdminServesBoth(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	thread := s.chat("a refund please")
	s.ends(thread)
	s.expect(map[string][]string{thread: {"refund"}})
	s.program.says("these settings do not count")

	body, err := s.get("/readyz")
	var ready admin.Readiness
	if err == nil {
		err = json.Unmarshal([]byte(body), &ready)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range []string{"nats", "events", "streams", "redis", "rules"} {
		if ready.Checks[check] != "ok" {
			t.Errorf("check %s says %q", check, ready.Checks[check])
		}
	}
	if len(ready.Notices) > 0 {
		t.Errorf("notices of a site in order: %v", ready.Notices)
	}
	metrics, err := s.get("/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`autotag_webhooks_total{action="chat_deactivated",answer="200"} 1`,
		`autotag_decisions_total{reason="ended"} 1`,
		`autotag_rules_valid 1`,
		`autotag_dead_letters_total{reason=`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("%s is not among the metrics", want)
		}
	}
	for _, args := range [][]string{{"healthcheck"}, {"healthcheck", "--ready"}} {
		var out bytes.Buffer
		if status := run(args, lookupIn(map[string]string{"ADMIN_ADDR": s.env["ADMIN_ADDR"]}), &out, &out); status != 0 {
			t.Errorf("%q: exit status %d: %s", args, status, out.String())
		}
	}
}
