//go:build compose && unix

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"autotag/pkg/testkit/natstest"
)

// root is the folder of the repository.
const root = "../.."

// buildVersion is what the build writes into the programs: the same each time, so
// that docker need not build what has not changed.
const buildVersion = "compose-test"

// composePatience is how long the test waits for what must come. It says nothing
// of how soon that is.
const composePatience = 3 * time.Minute

// account is the account id of the personal access token.
const account = "compose-account"

// stack is a site in containers, made by docker-compose.yml with the simulator
// in LiveChat's place. The test talks to containers by their addresses, which on
// Linux the host reaches.
type stack struct {
	ctx     context.Context
	dir     string // a copy of the repository with settings and secrets in place
	project string
	version string // of the images
	secret  string // of webhooks
	pat     string
	word    string // stands in every message that people write here
	plays   int
}

// newStack prepares a stack; build and up start it. Whatever happens, its
// containers, volumes, networks and images end with the test.
func newStack(t *testing.T) *stack {
	t.Helper()
	if err := exec.Command("docker", "compose", "version").Run(); err != nil {
		t.Fatalf("docker with its compose plugin is needed: docker compose version: %v", err)
	}
	name := "autotag-test-" + random()
	s := &stack{
		dir: t.TempDir(), project: name, version: name,
		secret: "sEcReT-" + random(), pat: "pAt-" + random(), word: "canary" + random(),
	}
	// Ctrl-C, and the time limit of go test, end the test in order.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	t.Cleanup(stop)
	if deadline, ok := t.Deadline(); ok {
		ctx, stop = context.WithDeadline(ctx, deadline.Add(-time.Minute))
		t.Cleanup(stop)
	}
	s.ctx = ctx

	s.copyTree(t)
	s.write(t, ".env", fmt.Sprintf(`VERSION=%s
BUILD_VERSION=%s
INGRESSES=2
TAGGERS=3
LIVECHAT_ACCOUNT_ID=%s
LOG_LEVEL=debug
SETTLE=1s
API_RATE=50
`, s.version, buildVersion, account))
	s.write(t, "configs/secrets/ingress/livechat_webhook_secrets", s.secret+"\n")
	s.write(t, "configs/secrets/tagger/livechat_pat", s.pat+"\n")
	s.write(t, "configs/secrets/simulator/livechat_webhook_secret", s.secret+"\n")
	s.write(t, "configs/secrets/simulator/livechat_pat", s.pat+"\n")
	t.Cleanup(func() { s.remove(t) })
	return s
}

// canaries are what nobody may be told.
func (s *stack) canaries() []string { return []string{s.secret, s.pat, s.word} }

// copyTree copies what git has, or would have, of the repository.
func (s *stack) copyTree(t *testing.T) {
	t.Helper()
	list, err := exec.Command("git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatalf("list the repository's files: %v", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(root, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, and git has not been told
		}
		if err != nil {
			t.Fatal(err)
		}
		s.write(t, name, string(text))
	}
}

// write writes a file below the stack's folder, in place.
func (s *stack) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// rename writes a file beside the one of that name and puts it in its place.
func (s *stack) rename(t *testing.T, name, text string) {
	t.Helper()
	s.write(t, name+".new", text)
	if err := os.Rename(filepath.Join(s.dir, name+".new"), filepath.Join(s.dir, name)); err != nil {
		t.Fatal(err)
	}
}

// remove ends all that the stack has made; a test that failed shows the logs.
func (s *stack) remove(t *testing.T) {
	var cancel context.CancelFunc
	s.ctx, cancel = context.WithTimeout(context.Background(), time.Minute) // the test's own is over
	defer cancel()
	if t.Failed() {
		_, out, _ := s.run("compose ps", s.compose("ps", "--all")...)
		t.Logf("docker compose ps --all\n%s", out)
		_, out, _ = s.run("compose logs", s.compose("logs", "--no-color", "--tail", "60")...)
		t.Logf("docker compose logs --tail 60\n%s", out)
	}
	docker := func(args ...string) string {
		exit, out, errs := s.run(args[0], args...)
		if exit != 0 {
			t.Errorf("docker %s: exit status %d\n%s%s", strings.Join(args, " "), exit, out, errs)
		}
		return strings.TrimSpace(out)
	}
	mine := "label=com.docker.compose.project=" + s.project
	plays := strings.Fields(docker("ps", "--all", "--quiet", "--filter", mine, "--filter", "label=com.docker.compose.oneoff=True"))
	if len(plays) > 0 {
		docker(append([]string{"rm", "--force"}, plays...)...)
	}
	docker(s.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")...)
	images := strings.Fields(docker("image", "ls", "--quiet", "--filter", "reference=autotag/*:"+s.version))
	if len(images) > 0 {
		docker(append([]string{"image", "rm", "--force"}, images...)...)
	}
	for _, list := range [][]string{{"ps", "--all", "--quiet"}, {"volume", "ls", "--quiet"}, {"network", "ls", "--quiet"}} {
		if left := docker(append(list, "--filter", mine)...); left != "" {
			t.Errorf("docker %s: still there: %s", list[0], left)
		}
	}
}

// compose gives the arguments of docker for a command of compose.
func (s *stack) compose(args ...string) []string {
	return append([]string{
		"compose", "--project-name", s.project, "--file", "docker-compose.yml", "--file", "deployments/compose.demo.yml",
		"--project-directory", ".", "--profile", "tools",
	}, args...)
}

// run runs docker in the stack's folder; exit is -1 if that could not be done.
func (s *stack) run(what string, args ...string) (exit int, stdout, stderr string) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(s.ctx, "docker", args...)
	cmd.Dir, cmd.Env = s.dir, bareEnv()
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		fmt.Fprintf(&errs, "docker %s: %v", what, err)
	}
	exit = -1
	if cmd.ProcessState != nil {
		exit = cmd.ProcessState.ExitCode()
	}
	return exit, out.String(), errs.String()
}

// bareEnv is the environment without any setting of Autotag, which compose would
// take before those in .env.
func bareEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if name == "PATH" || name == "HOME" || strings.HasPrefix(name, "DOCKER_") || strings.HasPrefix(name, "XDG_") {
			env = append(env, v)
		}
	}
	return env
}

// docker runs docker, which must succeed, and gives what it prints.
func (s *stack) docker(t *testing.T, args ...string) string {
	t.Helper()
	exit, out, errs := s.run(args[0], args...)
	if exit != 0 {
		t.Fatalf("docker %s: exit status %d\n%s%s", strings.Join(args, " "), exit, out, errs)
	}
	return strings.TrimSpace(out)
}

// up starts what runs all the time and waits until it is healthy.
func (s *stack) up(t *testing.T) {
	t.Helper()
	s.docker(t, s.compose("up", "--detach", "--no-build", "--wait", "--wait-timeout", "180", "nats", "redis", "ingress", "tagger")...)
}

// container is what docker inspect says of one.
type container struct {
	ID           string `json:"Id"`
	Name         string
	RestartCount int
	State        struct {
		Status   string
		ExitCode int
		Pid      int
		Health   *struct{ Status string }
	}
	Config struct {
		Image, User string
	}
	HostConfig struct {
		ReadonlyRootfs, Privileged    bool
		CapAdd, CapDrop, SecurityOpt  []string
		Memory, NanoCpus              int64
		PidsLimit                     int64
		NetworkMode, PidMode, IpcMode string
		RestartPolicy                 struct{ Name string }
		LogConfig                     struct{ Config map[string]string }
	}
	NetworkSettings struct {
		Networks map[string]struct{ IPAddress string }
		Ports    map[string][]struct{ HostIp string }
	}
	Mounts []struct {
		Type, Name, Source, Destination string
		RW                              bool
	}
}

// containers gives those of a service, one-off ones too, in the order of their
// names.
func (s *stack) containers(t *testing.T, service string) []container {
	t.Helper()
	ids := strings.Fields(s.docker(t, "ps", "--all", "--quiet", "--filter", "label=com.docker.compose.project="+s.project,
		"--filter", "label=com.docker.compose.service="+service))
	if len(ids) == 0 {
		t.Fatalf("no container of %s", service)
	}
	return s.inspect(t, ids...)
}

func (s *stack) inspect(t *testing.T, ids ...string) []container {
	t.Helper()
	var out []container
	text := s.docker(t, append([]string{"inspect"}, ids...)...)
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("docker inspect: %v", err)
	}
	return out
}

// container gives the one of a service that has one.
func (s *stack) container(t *testing.T, service string) container {
	t.Helper()
	all := s.containers(t, service)
	if len(all) != 1 {
		t.Fatalf("%d containers of %s", len(all), service)
	}
	return all[0]
}

// address is where the container's port is reached now: an address can change
// with each start.
func (s *stack) address(t *testing.T, id string, port int) string {
	t.Helper()
	for _, network := range s.inspect(t, id)[0].NetworkSettings.Networks {
		if network.IPAddress != "" {
			return network.IPAddress + ":" + strconv.Itoa(port)
		}
	}
	t.Fatalf("container %s has no address", id)
	return ""
}

// get gets a page of a container.
func (s *stack) get(t *testing.T, id string, port int, page string) (status int, body string, err error) {
	t.Helper()
	return s.do(t, http.MethodGet, "http://"+s.address(t, id, port)+page, "", nil)
}

func (s *stack) do(t *testing.T, method, url, body string, header map[string]string) (status int, answer string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	// No connection is kept: the next container may have the address.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

const adminPort = 9090

// metric adds up the series of a metric; ok says that there are any.
func (s *stack) metric(t *testing.T, id, name string) (sum float64, ok bool, err error) {
	t.Helper()
	_, body, err := s.get(t, id, adminPort, "/metrics")
	if err != nil {
		return 0, false, err
	}
	for line := range strings.Lines(body) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if bare, _, _ := strings.Cut(series, "{"); bare != name {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, false, fmt.Errorf("metric %s: %w", line, err)
		}
		sum, ok = sum+n, true
	}
	return sum, ok, nil
}

// atLeast says, as an error, that a metric has not reached n.
func (s *stack) atLeast(t *testing.T, c container, name string, n float64) error {
	t.Helper()
	got, _, err := s.metric(t, c.ID, name)
	if err == nil && got < n {
		err = fmt.Errorf("%s of %s is %v", name, c.Name, got)
	}
	return err
}

// rulesVersion is the version of the rules that a tagger has in force.
func (s *stack) rulesVersion(t *testing.T, id string) (string, error) {
	t.Helper()
	_, body, err := s.get(t, id, adminPort, "/metrics")
	if err != nil {
		return "", err
	}
	_, rest, ok := strings.Cut(body, `autotag_rules_info{version="`)
	version, _, _ := strings.Cut(rest, `"`)
	if !ok || version == "" {
		return "", errors.New("no autotag_rules_info")
	}
	return version, nil
}

// awaitReady waits until every ingress and tagger says that it is ready.
func (s *stack) awaitReady(t *testing.T) {
	t.Helper()
	for _, service := range []string{"ingress", "tagger"} {
		for _, c := range s.containers(t, service) {
			eventually(t, composePatience, func() error {
				status, body, err := s.get(t, c.ID, adminPort, "/readyz")
				if err == nil && status != http.StatusOK {
					err = fmt.Errorf("%s is not ready: %s", c.Name, body)
				}
				return err
			})
		}
	}
}

// logs is all that a container has printed, over all its starts.
func (s *stack) logs(t *testing.T, id string) string {
	t.Helper()
	exit, out, errs := s.run("logs", "logs", id)
	if exit != 0 {
		t.Fatalf("docker logs: exit status %d\n%s", exit, errs)
	}
	return out + errs
}

// streams gives a connection to the stack's NATS, in the shape that the reading
// of streams takes.
func (s *stack) streams(t *testing.T) *world {
	t.Helper()
	nc, js := natstest.Connect(t, "nats://"+s.address(t, s.container(t, "nats").ID, 4222))
	return &world{t: t, nc: nc, js: js, secret: s.secret, pat: s.pat, word: s.word}
}

// inside runs a shell script that looks at a container from inside: its files
// are below /proc/1/root. Our images have no shell, so it is another image's.
func (s *stack) inside(t *testing.T, c container, script string) string {
	t.Helper()
	return s.docker(t, "run", "--rm", "--network", "none", "--user", "root", "--pid", "container:"+c.ID, "--cap-add", "SYS_PTRACE",
		"--entrypoint", "sh", s.container(t, "redis").Config.Image, "-ec", script)
}

// simulate starts the simulator and gives its container's id. What another one
// knew is forgotten.
func (s *stack) simulate(t *testing.T, args ...string) string {
	t.Helper()
	run := []string{"run", "--detach", "--no-deps", "--use-aliases", "--env", "SIMULATOR_QUIET=4s", "--env", "SIMULATOR_LIMIT=8m"}
	return s.docker(t, s.compose(append(run, args...)...)...)
}

// play starts the simulator with scenarios of the test.
func (s *stack) play(t *testing.T, scenarios string) (simulator string) {
	t.Helper()
	s.plays++
	folder := fmt.Sprint("scenarios-", s.plays)
	s.write(t, folder+"/scenario.yaml", scenarios)
	return s.simulate(t, "--volume", filepath.Join(s.dir, folder)+":/scenarios:ro", "simulator", "--verbose", "-o", "json", "/scenarios")
}

// report is what the simulator says in the end.
type report struct {
	OK      bool `json:"ok"`
	Results []struct {
		Chat     string   `json:"chat"`
		ThreadID string   `json:"thread_id"`
		Arrived  string   `json:"arrived"`
		Expected []string `json:"expected"`
		Got      []string `json:"got"`
		OK       bool     `json:"ok"`
		Why      string   `json:"why"`
	} `json:"results"`
	Webhooks int           `json:"webhooks"`
	Retries  int           `json:"retries"`
	GivenUp  int           `json:"given_up"`
	Took     time.Duration `json:"took_ns"`
}

// finish waits for the end of a play, in which every conversation must have got
// exactly its tags.
func (s *stack) finish(t *testing.T, simulator string) report {
	t.Helper()
	exit := s.docker(t, "wait", simulator)
	_, out, errs := s.run("logs", "logs", simulator)
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("the simulator ended with status %s and without a result: %v\n%s%s", exit, err, out, errs)
	}
	wrong := 0
	for _, result := range r.Results {
		if !result.OK {
			if wrong++; wrong <= 10 {
				t.Errorf("%s (%s), thread %s: expected %v, got %v %s", result.Chat, result.Arrived, result.ThreadID, result.Expected, result.Got, result.Why)
			}
		}
	}
	if exit != "0" || !r.OK || len(r.Results) == 0 || r.GivenUp > 0 {
		t.Errorf("the simulator's exit status is %s: %d of %d conversations wrong, %d webhooks given up", exit, wrong, len(r.Results), r.GivenUp)
	}
	t.Logf("%d of %d conversations got exactly the tags expected; %d webhooks, %d retries, %d given up; %v",
		len(r.Results)-wrong, len(r.Results), r.Webhooks, r.Retries, r.GivenUp, r.Took.Round(time.Second))
	return r
}
