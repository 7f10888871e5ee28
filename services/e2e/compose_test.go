//go:build compose && unix

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"autotag/pkg/stream"
)

// The whole in containers, as docker-compose.yml starts it: two ingresses, three
// taggers, NATS, Redis, and the simulator in LiveChat's place. The parts share
// one stack and come one after the other. Only Linux lets the test reach the
// containers' own addresses.
func TestCompose(t *testing.T) {
	s := newStack(t)
	start := time.Now()
	s.docker(t, s.compose("build", "--quiet")...)
	t.Logf("the images are built after %v", time.Since(start).Round(time.Second))

	t.Run("an image holds one program", func(t *testing.T) {
		for program, limit := range map[string]int64{"ingress": imageLimit, "tagger": imageLimit, "tagctl": 0, "simulator": 0} {
			s.testImage(t, program, limit)
		}
	})
	start = time.Now()
	s.up(t)
	t.Logf("all is healthy after %v", time.Since(start).Round(time.Second))

	t.Run("the examples of the rules hold", s.testShippedRules)
	t.Run("nothing missing and nothing wrong", s.testFaults)
	t.Run("a broken edit of the rules", s.testBrokenEdit)
	t.Run("what was decided is explained", s.testExplained)
	t.Run("every container is confined", s.testConfined)
	t.Run("nothing secret is told", s.testTold)
	t.Run("down keeps the data", s.testDown)
}

const (
	rulesFile    = "configs/rules.yaml"
	composeRules = `version: 1
rules:
  - tag: refund
    from: customer
    any: [refund*]
  - tag: late
    from: customer
    any: ["where is my parcel"]
  - tag: unsorted
    fallback: true
`
	renamedRule = "  - tag: renamed\n    any: [umbrella]\n"
	writtenRule = "  - tag: written\n    any: [lantern]\n"
)

// The command line works in its container, on the rules that come with the
// programs.
func (s *stack) testShippedRules(t *testing.T) {
	out := s.docker(t, s.compose("run", "--rm", "--no-deps", "tagctl", "rules", "test")...)
	t.Log(out)
	if out := s.docker(t, s.compose("run", "--rm", "--no-deps", "tagctl", "version")...); !strings.Contains(out, buildVersion) {
		t.Errorf("tagctl version prints %q, the image was built as %s", out, buildVersion)
	}
}

// kindsOfConversation are those that the simulator plays; %[1]s is the word that
// every message holds, %[2]v the pause between two steps.
const kindsOfConversation = `
  - name: refund, pause %[2]v
    repeat: 5
    pace: %[2]v
    says:
      - customer: "Hello %[1]s"
      - agent: "How can I help? %[1]s"
      - customer: "I want a refund %[1]s"
      - agent: "Of course %[1]s"
      - end: agent
    expect: [refund]
  - name: nothing of interest, pause %[2]v
    repeat: 5
    pace: %[2]v
    says:
      - customer: "Do you have this lamp in green? %[1]s"
      - agent: "Yes %[1]s"
      - customer: "Thank you %[1]s"
      - end: customer
    expect: [unsorted]
  - name: twice and shuffled, pause %[2]v
    repeat: 5
    pace: %[2]v
    order: shuffled
    copies: 2
    says:
      - customer: "Hello %[1]s"
      - customer: "Where is my parcel? %[1]s"
      - agent: "On its way %[1]s"
      - customer: "I want a refund %[1]s"
      - end: agent
    expect: [late, refund]
  - name: the end first, pause %[2]v
    repeat: 5
    pace: %[2]v
    order: end first
    says:
      - customer: "Hello %[1]s"
      - customer: "I want refunds %[1]s"
      - agent: "I see %[1]s"
      - end: router
    expect: [refund]
  - name: a message is lost, pause %[2]v
    repeat: 5
    pace: %[2]v
    says:
      - customer: "Hello %[1]s"
      - customer: "I want a refund %[1]s"
        arrives: lost
      - agent: "I see %[1]s"
      - end: agent
    expect: [refund]
  - name: a message after the end, pause %[2]v
    repeat: 5
    pace: %[2]v
    says:
      - customer: "Hello %[1]s"
      - agent: "Hello %[1]s"
      - customer: "Where is my parcel? %[1]s"
        arrives: 3s after the end
      - end: agent
    expect: [late]
  - name: edited away, pause %[2]v
    repeat: 5
    pace: %[2]v
    says:
      - customer: "Hello %[1]s"
      - customer: "I want a refund %[1]s"
        as: request
      - edit: request
        to: "I want a lamp %[1]s"
      - end: agent
    expect: [unsorted]
  - name: LiveChat loses its answer, pause %[2]v
    repeat: 5
    pace: %[2]v
    api: ["503", lost answer]
    says:
      - customer: "Hello %[1]s"
      - customer: "A refund, and where is my parcel? %[1]s"
      - agent: "I see %[1]s"
      - end: agent
    expect: [late, refund]
  - name: two conversations, pause %[2]v
    repeat: 5
    pace: %[2]v
    threads:
      - says:
          - customer: "I want a refund %[1]s"
          - end: agent
        expect: [refund]
      - says:
          - customer: "Thank you %[1]s"
          - end: customer
        expect: [unsorted]
  - name: a person takes the tag away, pause %[2]v
    repeat: 5
    pace: %[2]v
    says:
      - customer: "I want a refund %[1]s"
      - end: agent
      - until_tagged: [refund]
      - person_removes: refund
        after: 500ms
      - customer: "A refund! %[1]s"
    expect: []
`

// gated conversations stay open until the test sets the tag gate, which it does
// when the new rules are in force.
const gatedConversations = `
  - name: held until rules have come by rename
    repeat: 20
    says:
      - customer: "Please hold the line %[1]s"
      - until_tagged: [gate]
      - customer: "I want an umbrella %[1]s"
      - end: agent
    expect: [gate, renamed]
  - name: held until rules have been written
    repeat: 20
    says:
      - customer: "Please hold the line %[1]s"
      - until_tagged: [gate]
      - customer: "I want a lantern %[1]s"
      - end: agent
    expect: [gate, written]
`

// Under load one tagger is killed, NATS and Redis are restarted, and the rules
// are changed twice; yet every conversation gets exactly its tags.
func (s *stack) testFaults(t *testing.T) {
	s.change(t, s.write, composeRules)
	scenarios := "chats:" + fmt.Sprintf(gatedConversations, s.word)
	for _, pause := range []int{2, 5, 8, 11, 14, 17, 20} {
		scenarios += fmt.Sprintf(kindsOfConversation, s.word, time.Duration(pause)*time.Second)
	}
	playing := s.play(t, scenarios)
	ingresses, taggers := s.containers(t, "ingress"), s.containers(t, "tagger")
	if len(ingresses) != 2 || len(taggers) != 3 {
		t.Fatalf("%d ingresses and %d taggers", len(ingresses), len(taggers))
	}
	busy := func() {
		t.Helper()
		eventually(t, composePatience, func() error {
			for _, c := range taggers {
				if err := s.atLeast(t, c, "autotag_decisions_total", 3); err != nil {
					return err
				}
			}
			return nil
		})
	}
	busy()

	killed := taggers[0]
	s.crash(t, killed)
	eventually(t, composePatience, func() error {
		if c := s.inspect(t, killed.ID)[0]; c.RestartCount != 1 || c.State.Status != "running" {
			return fmt.Errorf("%s is %s, started again %d times", c.Name, c.State.Status, c.RestartCount)
		}
		return nil
	})
	s.docker(t, s.compose("restart", "nats")...)
	s.awaitReady(t)
	s.docker(t, s.compose("restart", "redis")...)
	s.awaitReady(t)
	s.change(t, s.rename, composeRules+renamedRule)
	s.change(t, s.write, composeRules+renamedRule+writtenRule)
	s.openGates(t, playing, 40)
	if r := s.finish(t, playing); len(r.Results) < 300 {
		t.Errorf("only %d conversations", len(r.Results))
	}
	busy() // the killed one too, which began to count anew
	for _, c := range slices.Concat(s.containers(t, "ingress"), s.containers(t, "tagger")) {
		if want := map[string]int{killed.ID: 1}[c.ID]; c.RestartCount != want {
			t.Errorf("%s has been started again %d times, want %d", c.Name, c.RestartCount, want)
		}
	}

	for _, c := range ingresses {
		if err := s.atLeast(t, c, "autotag_webhooks_total", 50); err != nil {
			t.Error(err)
		}
	}
	w := s.streams(t)
	w.checkNoneDead()
	decided, threads := w.messages(stream.Decisions), map[string]bool{}
	for _, m := range decided {
		threads[m.Subject[strings.LastIndex(m.Subject, ".")+1:]] = true
	}
	t.Logf("%d webhooks stored, %d records on %d conversations", len(w.messages(stream.Events)), len(decided), len(threads))
}

// crash ends a container's process as the system ends one that runs out of
// memory. What docker kill ends, docker takes for ended on purpose.
func (s *stack) crash(t *testing.T, c container) {
	t.Helper()
	s.docker(t, "run", "--rm", "--network", "none", "--user", "root", "--pid", "host", "--entrypoint", "sh",
		s.container(t, "redis").Config.Image, "-ec", fmt.Sprint("kill -9 ", s.inspect(t, c.ID)[0].State.Pid))
}

// change changes the rules, which must be in force in every tagger soon after. A
// machine that is busy with something else gets three tries.
func (s *stack) change(t *testing.T, write func(t *testing.T, name, text string), rules string) {
	t.Helper()
	for try := range 3 {
		took := s.inForce(t, func() { write(t, rulesFile, rules+strings.Repeat("# Once more.\n", try)) })
		t.Logf("new rules are in force everywhere after %v", took.Round(100*time.Millisecond))
		if took <= reloadLimit {
			return
		}
	}
	t.Errorf("new rules are in force after more than %v, three times in a row", reloadLimit)
}

// inForce makes a change and gives the time until every tagger has other rules
// in force than before, the same in all.
func (s *stack) inForce(t *testing.T, change func()) time.Duration {
	t.Helper()
	taggers := s.containers(t, "tagger")
	old := map[string]string{}
	for _, c := range taggers {
		version, err := s.rulesVersion(t, c.ID)
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		old[c.ID] = version
	}
	change()
	start := time.Now()
	eventually(t, composePatience, func() error {
		now := map[string]bool{}
		for _, c := range taggers {
			version, err := s.rulesVersion(t, c.ID)
			if err != nil {
				return err
			}
			if version == old[c.ID] {
				return fmt.Errorf("%s has the old rules", c.Name)
			}
			now[version] = true
		}
		if len(now) != 1 {
			return fmt.Errorf("different rules: %v", now)
		}
		return nil
	})
	return time.Since(start)
}

// openGates sets the tag gate, as a person would, in the n conversations that
// wait for it.
func (s *stack) openGates(t *testing.T, simulator string, n int) {
	t.Helper()
	waiting := regexp.MustCompile(`^livechat\.[^.]+\.([^.]+)\.([^.]+)\.incoming_chat$`)
	opened, w := map[string]bool{}, s.streams(t)
	eventually(t, composePatience, func() error {
		for _, m := range w.messages(stream.Events) {
			ids := waiting.FindStringSubmatch(m.Subject)
			if ids == nil || !strings.Contains(string(m.Data), "Please hold the line") || opened[ids[2]] {
				continue
			}
			status, answer, err := s.do(t, http.MethodPost, "http://"+s.address(t, simulator, 9400)+"/v3.6/agent/action/tag_thread",
				fmt.Sprintf(`{"chat_id": %q, "thread_id": %q, "tag": "gate"}`, ids[1], ids[2]), map[string]string{
					"Content-Type":  "application/json",
					"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(account+":"+s.pat)),
				})
			if err != nil || status != http.StatusOK {
				return fmt.Errorf("tag_thread answers %d %v: %s", status, err, answer)
			}
			opened[ids[2]] = true
		}
		if len(opened) != n {
			return fmt.Errorf("%d conversations of %d wait", len(opened), n)
		}
		return nil
	})
}

// Rules with a fault are refused: the old ones go on, which the log, /readyz and
// the metric say, until the file is good again.
func (s *stack) testBrokenEdit(t *testing.T) {
	good := composeRules + renamedRule + writtenRule
	s.write(t, rulesFile, good+"    wihtin: message\n")
	for _, c := range s.containers(t, "tagger") {
		before, err := s.rulesVersion(t, c.ID)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, composePatience, func() error {
			valid, ok, err := s.metric(t, c.ID, "autotag_rules_valid")
			if err == nil && (!ok || valid != 0) {
				err = fmt.Errorf("autotag_rules_valid of %s is %v", c.Name, valid)
			}
			return err
		})
		status, body, err := s.get(t, c.ID, adminPort, "/readyz")
		if err != nil || status != http.StatusOK || !strings.Contains(body, "wihtin") || !strings.Contains(body, "older rules are in force") {
			t.Errorf("%s: /readyz answers %d %v: %s", c.Name, status, err, body)
		}
		if !strings.Contains(s.logs(t, c.ID), "the rules file cannot be used") {
			t.Errorf("%s logs nothing of a broken file", c.Name)
		}
		if now, err := s.rulesVersion(t, c.ID); err != nil || now != before {
			t.Errorf("%s: the rules went from %s to %s (%v)", c.Name, before, now, err)
		}
	}
	exit, out, errs := s.run("run tagctl", s.compose("run", "--rm", "--no-deps", "tagctl", "rules", "check")...)
	if exit != exitFailure || !strings.Contains(out+errs, "wihtin") {
		t.Errorf("tagctl rules check of a broken file: exit status %d\n%s%s", exit, out, errs)
	}
	s.finish(t, s.play(t, s.fewConversations()))
	s.rename(t, rulesFile, good)
	for _, c := range s.containers(t, "tagger") {
		eventually(t, composePatience, func() error { return s.atLeast(t, c, "autotag_rules_valid", 1) })
		if _, body, err := s.get(t, c.ID, adminPort, "/readyz"); err != nil || strings.Contains(body, "older rules") {
			t.Errorf("%s: /readyz answers %v: %s", c.Name, err, body)
		}
	}
}

// fewConversations are enough to see that all works.
func (s *stack) fewConversations() string {
	return fmt.Sprintf(`chats:
  - name: refund
    repeat: 3
    says: [{customer: "I want a refund %[1]s"}, {end: agent}]
    expect: [refund]
  - name: a lantern
    repeat: 3
    says: [{customer: "I want a lantern %[1]s"}, {end: agent}]
    expect: [written]
`, s.word)
}

// What was decided can be looked up in the command line's container; what people
// wrote is shown to those alone who ask for it.
func (s *stack) testExplained(t *testing.T) {
	tagctl := func(args ...string) string {
		t.Helper()
		return s.docker(t, s.compose(append([]string{"run", "--rm", "--no-deps", "tagctl"}, args...)...)...)
	}
	list := tagctl("decisions", "--tag", "renamed", "--limit", "100", "-o", "json")
	var record struct {
		Chat   string `json:"chat_id"`
		Thread string `json:"thread_id"`
	}
	n := 0
	for line := range strings.Lines(list) {
		n++
		if err := json.Unmarshal([]byte(line), &record); err != nil || record.Thread == "" {
			t.Fatalf("tagctl decisions prints %q: %v", line, err)
		}
	}
	if n != 20 {
		t.Errorf("tagctl decisions lists %d conversations with the tag of the new rule, there were 20", n)
	}
	told := tagctl("rules", "explain", record.Thread)
	for _, want := range []string{record.Chat, record.Thread, "renamed", "umbrella"} {
		if !strings.Contains(told, want) {
			t.Errorf("tagctl rules explain says nothing of %s:\n%s", want, told)
		}
	}
	if strings.Contains(list+told, s.word) {
		t.Errorf("tagctl shows text of people without being asked:\n%s", told)
	}
	if told := tagctl("rules", "explain", record.Thread, "--text"); !strings.Contains(told, s.word) {
		t.Errorf("tagctl rules explain --text does not show the message:\n%s", told)
	}
}

// confinement is what a service's containers must be.
type confinement struct {
	user   string            // as configured; "" is root
	mounts map[string]string // by destination
	health bool
	ports  []string // published, of the container
	always bool     // restarted whenever it ends
}

// Every container can do what it must and no more.
func (s *stack) testConfined(t *testing.T) {
	secrets := func(folder string) string { return "bind " + filepath.Join(s.dir, "configs/secrets", folder) }
	configs := map[string]string{"/configs": "bind " + filepath.Join(s.dir, "configs"), "/configs/secrets": "tmpfs"}
	with := func(folder string) map[string]string {
		m := maps.Clone(configs)
		m["/run/secrets"] = secrets(folder)
		return m
	}
	want := map[string]confinement{
		"nats": {mounts: map[string]string{
			"/data": "volume " + s.project + "_nats", "/etc/nats/nats.conf": "bind " + filepath.Join(s.dir, "deployments/nats.conf"),
		}, always: true},
		"redis":     {user: "redis", mounts: map[string]string{"/data": "volume " + s.project + "_redis"}, health: true, always: true},
		"ingress":   {user: "65532:65532", mounts: with("ingress"), health: true, ports: []string{"8080/tcp"}, always: true},
		"tagger":    {user: "65532:65532", mounts: with("tagger"), health: true, always: true},
		"tagctl":    {user: "65532:65532", mounts: with("tagger")},
		"simulator": {user: "65532:65532", mounts: map[string]string{"/run/secrets": secrets("simulator")}, health: true},
	}
	s.docker(t, s.compose("run", "--detach", "--no-deps", "tagctl", "rules", "test")...) // stays, to be looked at
	simulator := s.simulate(t, "simulator", "--verbose")                                 // without scenarios it serves until it is stopped
	for service, want := range want {
		all := s.containers(t, service)
		if service == "simulator" {
			all = s.inspect(t, simulator)
		}
		for _, c := range all {
			s.checkConfined(t, c, want)
			if service != "tagctl" { // it has ended
				s.checkInside(t, c, service)
			}
		}
	}
	s.docker(t, "rm", "--force", simulator)
	s.checkServers(t)
	s.checkPublished(t)
}

// checkConfined looks at how a container was made.
func (s *stack) checkConfined(t *testing.T, c container, want confinement) {
	t.Helper()
	fault := func(format string, args ...any) {
		t.Helper()
		t.Errorf(c.Name+": "+format, args...)
	}
	h := c.HostConfig
	if !h.ReadonlyRootfs {
		fault("the root file system can be written")
	}
	if h.Privileged || !slices.Equal(h.CapDrop, []string{"ALL"}) || len(h.CapAdd) > 0 {
		fault("privileged %v, capabilities dropped %v, added %v", h.Privileged, h.CapDrop, h.CapAdd)
	}
	if !slices.Equal(h.SecurityOpt, []string{"no-new-privileges:true"}) {
		fault("security options %v", h.SecurityOpt)
	}
	if h.Memory <= 0 || h.NanoCpus <= 0 || h.PidsLimit <= 0 {
		fault("limits: memory %d, cpus %d, processes %d", h.Memory, h.NanoCpus, h.PidsLimit)
	}
	if strings.Contains(h.NetworkMode, "host") || h.PidMode != "" || h.IpcMode == "host" {
		fault("network %q, processes %q, memory %q", h.NetworkMode, h.PidMode, h.IpcMode)
	}
	if h.LogConfig.Config["max-size"] == "" || h.LogConfig.Config["max-file"] == "" {
		fault("the log is not bounded: %v", h.LogConfig.Config)
	}
	if c.Config.User != want.user {
		fault("user %q, want %q", c.Config.User, want.user)
	}
	if always := h.RestartPolicy.Name == "unless-stopped" || h.RestartPolicy.Name == "always"; always != want.always {
		fault("restart policy %q", h.RestartPolicy.Name)
	}
	if health := c.State.Health != nil; health != want.health {
		fault("health check %v, want %v", health, want.health)
	}
	if c.State.Health != nil && want.always && c.State.Health.Status != "healthy" {
		fault("is %s", c.State.Health.Status)
	}
	var ports []string
	for port, at := range c.NetworkSettings.Ports {
		for _, a := range at {
			ports = append(ports, port)
			if a.HostIp != "127.0.0.1" {
				fault("port %s is published on %q", port, a.HostIp)
			}
		}
	}
	if !slices.Equal(ports, want.ports) {
		fault("publishes %v, want %v", ports, want.ports)
	}
	mounts := map[string]string{}
	for _, m := range c.Mounts {
		switch m.Type {
		case "bind":
			mounts[m.Destination] = "bind " + m.Source
		case "volume":
			mounts[m.Destination] = "volume " + m.Name
		default:
			mounts[m.Destination] = m.Type
		}
		if m.Type == "bind" && m.RW {
			fault("can write %s", m.Destination)
		}
	}
	if !maps.Equal(mounts, want.mounts) {
		fault("mounts %v\nwant %v", mounts, want.mounts)
	}
}

// checkInside looks at a running container from inside: at what its process may
// do, and which files it sees.
func (s *stack) checkInside(t *testing.T, c container, service string) {
	t.Helper()
	status := s.inside(t, c, "grep -E '^(Uid|Gid|Cap[A-Z][a-z]+|NoNewPrivs):' /proc/1/status")
	wants := []string{`CapPrm:\s+0+\n`, `CapEff:\s+0+\n`, `CapBnd:\s+0+\n`, `NoNewPrivs:\s+1\n`}
	switch service {
	case "nats":
	case "redis":
		wants = append(wants, `Uid:\s+999\s`)
	default:
		wants = append(wants, `Uid:\s+65532\s+65532\s+65532\s+65532\n`, `Gid:\s+65532\s`)
	}
	for _, want := range wants {
		if !regexp.MustCompile(want).MatchString(status + "\n") {
			t.Errorf("%s: not %s:\n%s", c.Name, want, status)
		}
	}
	files := strings.Fields(s.inside(t, c, `cd /proc/1/root
		for folder in configs run/secrets; do [ ! -d $folder ] || find $folder -type f; done
		for file in touched configs/touched run/secrets/touched; do
			[ ! -d $(dirname $file) ] || ! touch $file 2>/dev/null || echo written/$file
		done`))
	slices.Sort(files)
	want := map[string][]string{
		"ingress":   {"run/secrets/livechat_webhook_secrets"},
		"tagger":    {"run/secrets/livechat_pat"},
		"simulator": {"run/secrets/livechat_pat", "run/secrets/livechat_webhook_secret"},
	}[service]
	if service == "ingress" || service == "tagger" {
		for _, name := range s.configFiles(t) {
			want = append(want, "configs/"+name)
		}
	}
	files = slices.DeleteFunc(files, func(name string) bool { return filepath.Base(name) == ".gitignore" })
	slices.Sort(want)
	if !slices.Equal(files, want) {
		t.Errorf("%s sees, or could write, %v\nwant %v", c.Name, files, want)
	}
}

// configFiles are the files in the folder of the rules, without the secrets.
func (s *stack) configFiles(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.dir, "configs"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if !e.IsDir() {
			out = append(out, e.Name())
		}
	}
	return out
}

// checkServers asks NATS and Redis whether they keep what they are given, and
// looks at their network.
func (s *stack) checkServers(t *testing.T) {
	t.Helper()
	var varz struct {
		Jetstream struct {
			Config struct {
				SyncAlways bool `json:"sync_always"`
			}
		}
	}
	_, body, err := s.get(t, s.container(t, "nats").ID, 8222, "/varz")
	if err == nil {
		err = json.Unmarshal([]byte(body), &varz)
	}
	if err != nil || !varz.Jetstream.Config.SyncAlways {
		t.Errorf("nats does not sync always: %+v %v", varz, err)
	}
	redis := s.container(t, "redis")
	for setting, want := range map[string]string{"appendonly": "yes", "maxmemory-policy": "noeviction"} {
		if got := strings.Fields(s.docker(t, "exec", redis.ID, "redis-cli", "config", "get", setting)); !slices.Equal(got, []string{setting, want}) {
			t.Errorf("redis: %v, want %s %s", got, setting, want)
		}
	}
	if info := s.docker(t, "exec", redis.ID, "redis-cli", "info", "persistence"); !strings.Contains(info, "aof_enabled:1") {
		t.Errorf("redis writes no log of its own:\n%s", info)
	}
	for _, service := range []string{"nats", "redis"} {
		for network := range s.container(t, service).NetworkSettings.Networks {
			if internal := s.docker(t, "network", "inspect", "--format", "{{.Internal}}", network); internal != "true" {
				t.Errorf("%s is in %s, which leads outside", service, network)
			}
		}
	}
}

// checkPublished looks at the ports of docker-compose.yml alone: those of the
// demo are others.
func (s *stack) checkPublished(t *testing.T) {
	t.Helper()
	var config struct {
		Services map[string]struct {
			Ports []struct {
				HostIP string `json:"host_ip"`
				Target int
			}
		}
	}
	text := s.docker(t, "compose", "--project-name", s.project, "--file", "docker-compose.yml", "--profile", "tools", "config", "--format", "json")
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	published := []string{}
	for service, c := range config.Services {
		for _, port := range c.Ports {
			published = append(published, fmt.Sprintf("%s %s:%d", service, port.HostIP, port.Target))
		}
	}
	if want := []string{"ingress 127.0.0.1:8080"}; !slices.Equal(published, want) {
		t.Errorf("published: %v, want %v", published, want)
	}
}

// No secret and no text of people is anywhere but where it must be.
func (s *stack) testTold(t *testing.T) {
	// Webhooks that nobody can use or that are refused, through the port that is
	// published: programs might speak of them.
	port := s.docker(t, s.compose("port", "--index", "1", "ingress", "8080")...)
	if !strings.HasPrefix(port, "127.0.0.1:") {
		t.Fatalf("the ingress is published at %s", port)
	}
	post := func(want int, body string) {
		t.Helper()
		status, answer, err := s.do(t, http.MethodPost, "http://"+port+webhookPath, body, map[string]string{"Content-Type": "application/json"})
		if err != nil || status != want {
			t.Errorf("the ingress answers %d %v %s, want %d", status, err, answer, want)
		}
	}
	webhook := func(secret, chat string) string {
		return fmt.Sprintf(`{"webhook_id": "1", "secret_key": %q, "action": "incoming_event", "organization_id": %q,
			"payload": {"chat_id": %q, "thread_id": "ST1", "event": {"id": "ST1_1", "type": "message", "text": %q}}}`,
			secret, organization, chat, s.word)
	}
	post(http.StatusOK, webhook(s.secret, "a chat of "+s.word))
	post(http.StatusUnauthorized, webhook(s.secret+s.word, "SC1"))
	post(http.StatusBadRequest, `{"secret_key": "`+s.secret+`", "`+s.word+`": `)

	pages := map[string]string{}
	for _, service := range []string{"nats", "redis", "ingress", "tagger", "tagctl", "simulator"} {
		for _, c := range s.containers(t, service) {
			name := service + " " + c.Name
			pages["docker inspect of "+name] = s.docker(t, "inspect", c.ID)
			pages["docker image inspect of "+name] = s.docker(t, "image", "inspect", c.Config.Image)
			log := s.logs(t, c.ID)
			pages["the log of "+name] = log
			if (service == "ingress" || service == "tagger") && !strings.Contains(log, `"level":"debug"`) {
				t.Errorf("%s does not log at debug level", name)
			}
			if log == "" || strings.Contains(log, "panic:") || strings.Contains(log, "fatal error:") {
				t.Errorf("%s logs nothing, or that it has broken down:\n%s", name, log)
			}
			if service != "ingress" && service != "tagger" {
				continue
			}
			for _, page := range []string{"/metrics", "/readyz", "/healthz"} {
				_, body, err := s.get(t, c.ID, adminPort, page)
				if err != nil || body == "" {
					t.Errorf("%s of %s: %v %q", page, name, err, body)
				}
				pages[page+" of "+name] = body
			}
		}
	}
	for _, page := range []string{"/varz", "/connz?subs=1", "/jsz?consumers=1&config=1"} {
		_, body, err := s.get(t, s.container(t, "nats").ID, 8222, page)
		if err != nil {
			t.Error(err)
		}
		pages[page+" of nats"] = body
	}
	secrets, all := []string{s.secret, s.pat}, s.canaries()
	look := func(where, text string, canaries []string) {
		t.Helper()
		for _, c := range canaries {
			if i := strings.Index(text, c); i >= 0 {
				t.Errorf("%s tells %q: ...%s", where, c, text[max(0, i-200):min(len(text), i+50)])
				return
			}
		}
	}
	for name, text := range pages {
		look(name, text, all)
	}
	w := s.streams(t)
	ctx, cancel := w.within()
	defer cancel()
	streams := w.js.StreamNames(ctx) // those of the buckets too
	holds := map[string][]stored{}
	for name := range streams.Name() {
		holds[name] = nil
	}
	if err := streams.Err(); err != nil {
		t.Error(err)
	}
	for name := range holds {
		holds[name] = w.messages(name)
		for _, m := range holds[name] {
			where := name + ", " + m.Subject
			look("the header of "+where, fmt.Sprint(m.Subject, m.Header), all)
			if name == stream.Events || name == stream.Dead {
				look(where, string(m.Data), secrets)
			} else {
				look(where, string(m.Data), all)
			}
		}
	}

	// The looking finds what is there.
	texts, headers, evidence := 0, 0, 0
	for _, m := range holds[stream.Events] {
		if strings.Contains(string(m.Data), s.word) {
			texts++
		}
		if m.Header.Get(jetstream.MsgIDHeader) != "" {
			headers++
		}
	}
	for _, m := range holds[stream.Decisions] {
		if strings.HasPrefix(m.Subject, "autotag.decision.") && strings.Contains(string(m.Data), `"evidence":[{`) {
			evidence++
		}
	}
	if texts < 300 || headers < 300 || evidence < 200 {
		t.Errorf("%d webhooks hold text of people, %d have a header, %d decisions name their evidence", texts, headers, evidence)
	}
	dead := holds[stream.Dead]
	if len(dead) != 1 || dead[0].Header.Get(stream.ReasonHeader) == "" || !strings.Contains(string(dead[0].Data), s.word) {
		t.Errorf("%d dead letters, not the one with text: %v", len(dead), dead)
	}
	for _, name := range []string{stream.Timers, "KV_" + stream.RulesBucket} {
		if len(holds[name]) == 0 {
			t.Errorf("nothing in %s", name)
		}
	}
	for name, text := range pages {
		for page, holds := range map[string]string{"docker inspect": s.project, "/metrics": "autotag_"} {
			if strings.HasPrefix(name, page) && !strings.Contains(text, holds) {
				t.Errorf("%s does not hold %s", name, holds)
			}
		}
	}
}

// docker compose down keeps the data: what comes up again finds it and goes on.
func (s *stack) testDown(t *testing.T) {
	kept := func() (state, first string) {
		t.Helper()
		w := s.streams(t)
		eventually(t, composePatience, w.busy)
		ctx, cancel := w.within()
		defer cancel()
		for _, name := range []string{stream.Events, stream.Decisions, stream.Dead} {
			info, err := w.js.Stream(ctx, name)
			if err != nil {
				t.Fatalf("stream %s: %v", name, err)
			}
			i := info.CachedInfo()
			state += fmt.Sprintf("%s of %v: messages %d to %d; ", name, i.Created, i.State.FirstSeq, i.State.LastSeq)
		}
		keys := strings.Fields(s.docker(t, "exec", s.container(t, "redis").ID, "redis-cli", "--scan", "--pattern", "autotag:*:events"))
		if len(keys) == 0 {
			t.Error("nothing in Redis")
		}
		state += fmt.Sprint("conversations in Redis: ", len(keys))
		events, err := w.js.Stream(ctx, stream.Events)
		if err != nil {
			t.Fatal(err)
		}
		m, err := events.GetMsg(ctx, 1)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			t.Fatal("the first webhook is gone")
		}
		if err != nil {
			t.Fatal(err)
		}
		return state, string(m.Data)
	}
	before, first := kept()
	s.docker(t, s.compose("stop")...)
	for _, service := range []string{"ingress", "tagger", "redis"} {
		for _, c := range s.containers(t, service) {
			if c.State.ExitCode != exitOK {
				t.Errorf("%s: exit status %d after docker compose stop", c.Name, c.State.ExitCode)
			}
		}
	}
	s.docker(t, s.compose("down", "--remove-orphans")...)
	mine := "label=com.docker.compose.project=" + s.project
	if left := s.docker(t, "ps", "--all", "--quiet", "--filter", mine); left != "" {
		t.Errorf("containers after down: %s", left)
	}
	volumes := strings.Fields(s.docker(t, "volume", "ls", "--quiet", "--filter", mine))
	slices.Sort(volumes)
	if want := []string{s.project + "_nats", s.project + "_redis"}; !slices.Equal(volumes, want) {
		t.Fatalf("volumes after down: %v, want %v", volumes, want)
	}
	s.up(t)
	after, again := kept()
	if after != before || again != first {
		t.Errorf("before: %s\nafter:  %s", before, after)
	}
	s.finish(t, s.play(t, s.fewConversations()))
}

// Whoever has just cloned the repository is told in a few lines what is missing,
// and nothing is started.
func TestComposeWithoutSettings(t *testing.T) {
	clone := filepath.Join(t.TempDir(), "autotag")
	if out, err := exec.Command("git", "clone", "--quiet", root, clone).CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v\n%s", err, out)
	}
	project := "autotag-test-" + random()
	var stdout, stderr strings.Builder
	cmd := exec.Command("make", "up")
	cmd.Dir, cmd.Env = clone, append(bareEnv(), "COMPOSE_PROJECT_NAME="+project)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Errorf("make up in a fresh clone: %v", err)
	}
	said := stdout.String() + stderr.String()
	t.Log(said)
	for _, name := range []string{"livechat_webhook_secrets", "LIVECHAT_ACCOUNT_ID", "livechat_pat"} {
		if !strings.Contains(said, name) {
			t.Errorf("make up says nothing of %s", name)
		}
	}
	if lines := strings.Count(said, "\n"); lines > 15 {
		t.Errorf("make up says %d lines", lines)
	}
	left, err := exec.Command("docker", "ps", "--all", "--quiet", "--filter", "label=com.docker.compose.project="+project).Output()
	if err != nil || len(left) > 0 {
		t.Errorf("containers started: %v %s", err, left)
	}
}
