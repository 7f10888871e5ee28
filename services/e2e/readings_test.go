//go:build unix

package e2e

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"autotag/pkg/rules"
	simulator "autotag/services/simulator/app"
	standalone "autotag/services/standalone/app"
)

// LiveChat leaves a lot open. However one reads it, every scenario ends with
// the tags that it expects. The plays below are in one process each, with the
// real ingress and tagger on an embedded NATS and Redis.

// Every value of every switch has its turn in a few mixes of readings; with
// E2E_LONG=1 each is also played alone, and there are twenty mixes more.
func TestReadingsOfLiveChat(t *testing.T) {
	t.Parallel()
	// The same mixes in every run but the long one, unless a seed is set.
	from := uint64(309007591)
	if long() || os.Getenv("E2E_SEED") != "" {
		from = seed
	}
	r := rand.New(rand.NewPCG(from, 1))
	most := 0
	for _, s := range simulator.Switches() {
		most = max(most, len(s.Values))
	}
	mixes := make([]string, most)
	for _, s := range simulator.Switches() {
		first := r.IntN(len(s.Values))
		for i := range mixes {
			mixes[i] += "," + reading(s, first+i)
		}
	}
	for i, mix := range mixes {
		playReading(t, from, fmt.Sprint("mix ", i+1), strings.Trim(mix, ","))
	}
	if !long() {
		return
	}
	for _, s := range simulator.Switches() {
		for _, v := range s.Values[1:] {
			one := s.Name + "=" + v
			playReading(t, from, one, one)
		}
	}
	playReading(t, from, "unknown tags are not found", "unknown_tag=not_found,tag_delay=3s")
	for i := range 20 {
		var mix []string
		for _, s := range simulator.Switches() {
			mix = append(mix, reading(s, r.IntN(len(s.Values))))
		}
		playReading(t, from, fmt.Sprint("random mix ", i+1), strings.Join(mix, ","))
	}
}

// reading sets a switch to its n-th value, counted round and round.
func reading(s simulator.Switch, n int) string {
	v := s.Values[n%len(s.Values)]
	if s.Name == "tag_delay" && v != s.Values[0] {
		// A refused tag is tried again after half a minute: what that costs is
		// paid where the switch is played alone.
		v = "500ms"
	}
	return s.Name + "=" + v
}

// playReading plays the scenarios that come with the simulator on a platform
// with these switches, side by side with other readings.
func playReading(t *testing.T, from uint64, name, switches string) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		list, err := simulator.Builtin()
		if err != nil {
			t.Fatal(err)
		}
		if !long() {
			list = slices.DeleteFunc(list, func(s simulator.Scenario) bool { return !slices.Contains(telling, s.Name) })
		}
		list = playable(list, switches)
		s := newSite(t, switches)
		report, err := s.simulator.Play(t.Context(), append(list, simulator.Scenario{Name: "rules", Tags: s.tags}))
		if err != nil {
			t.Fatal(err)
		}
		if !report.OK {
			var table strings.Builder
			if err := report.WriteTable(&table); err != nil {
				t.Error(err)
			}
			lines := slices.DeleteFunc(strings.Split(table.String(), "\n"), func(l string) bool { return strings.HasPrefix(l, "yes") })
			t.Errorf("SIMULATOR_SWITCHES=%q E2E_SEED=%d\n%s", switches, from, strings.Join(lines, "\n"))
			s.mu.Lock()
			for _, result := range report.Results {
				if !result.OK {
					t.Errorf("calls about %s:\n%s", result.Chat, strings.Join(s.calls[result.Chat], "\n"))
				}
			}
			t.Errorf("calls about no chat:\n%s", strings.Join(s.calls[""], "\n"))
			s.mu.Unlock()
		}
		if dead := s.metric("autotag_dead_letters_total"); len(dead) > 0 {
			t.Errorf("SIMULATOR_SWITCHES=%q E2E_SEED=%d: dead letters: %v", switches, from, dead)
		}
		t.Logf("%d conversations, %d webhooks, %s", len(report.Results), report.Webhooks, report.Took.Round(time.Second))
	})
}

// telling are the scenarios that feel the switches most. With E2E_LONG=1 all are
// played.
var telling = []string{
	"05-people", "07-forms-notes-buttons", "10-offline-message", "12-trouble-at-livechat", "16-bots",
	"21-all-shapes", "22-handed-over-after-the-end", "23-one-after-the-other", "25-people-again", "31-deletions",
}

// playable leaves out the chats of which a message is lost where a reading
// hides the loss: event ids without numbers show no gap, and when system
// messages leave gaps everywhere, the tagger soon stops asking for each.
func playable(list []simulator.Scenario, switches string) []simulator.Scenario {
	if !strings.Contains(switches, "event_ids=uuid") && !strings.Contains(switches, "event_ids=short") &&
		!strings.Contains(switches, "system_messages=silent") {
		return list
	}
	for i := range list {
		list[i].Chats = slices.DeleteFunc(slices.Clone(list[i].Chats), losesMessages)
	}
	return list
}

func losesMessages(c simulator.Chat) bool {
	return c.Lose > 0 || slices.ContainsFunc(c.Threads, func(t simulator.Thread) bool {
		return slices.ContainsFunc(t.Says, func(s simulator.Step) bool { return s.Kind == simulator.Says && s.Arrives.Lost })
	})
}

// site is Autotag in one process with a simulated LiveChat.
type site struct {
	t         *testing.T
	app       *standalone.App
	simulator *simulator.Simulator
	tags      []string // of the rules

	mu    sync.Mutex
	calls map[string][]string // of the API, by chat
}

func newSite(t *testing.T, switches string) *site {
	t.Helper()
	const rulesFile = "../../configs/rules.yaml"
	s := &site{t: t, calls: map[string][]string{}}
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	set, problems := rules.Parse(rulesFile, text)
	if set == nil {
		t.Fatal(problems)
	}
	for _, r := range set.Rules {
		s.tags = append(s.tags, r.Tag)
	}
	// The tagger must know where the platform is before the platform can know
	// where the ingress is.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	env := map[string]string{
		"DATA_DIR": t.TempDir(), "INGRESS_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0", "RULES_FILE": rulesFile,
		"LIVECHAT_WEBHOOK_SECRETS": "secret", "LIVECHAT_ACCOUNT_ID": "account", "LIVECHAT_PAT": "pat",
		"LIVECHAT_API_URL": "http://" + l.Addr().String(), "SETTLE": settle.String(),
		// Below what the switch rate allows, but for bursts.
		"API_RATE": "40",
	}
	cfg, err := standalone.LoadConfig(os.DevNull, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	if s.app, err = standalone.New(cfg, zap.NewNop()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.app.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := s.app.Start(); err != nil {
		t.Fatal(err)
	}

	sim, err := simulator.Default()
	if err != nil {
		t.Fatal(err)
	}
	sim.Target, sim.Secret, sim.AccountID, sim.PAT = "http://"+s.app.Addr()+webhookPath, cfg.Ingress.Secrets, "account", cfg.Tagger.PAT
	sim.Quiet, sim.Limit, sim.Switches = 3*time.Second, 3*time.Minute, switches
	began := time.Now()
	watch := func(e simulator.Event) {
		switch e.Kind {
		case simulator.WebhookRetry, simulator.WebhookGivenUp:
			t.Logf("%s: %s: %s, status %d %s", e.Chat, e.Action, e.Kind, e.Status, e.Error)
		case simulator.TagCalled, simulator.APICalled:
			s.mu.Lock()
			s.calls[e.Chat] = append(s.calls[e.Chat], fmt.Sprintf("after %s %s %s: status %d %s", e.At.Sub(began).Round(time.Millisecond), e.Method, e.Tag, e.Status, e.Error))
			s.mu.Unlock()
		}
	}
	if s.simulator, err = simulator.New(sim, watch); err != nil {
		t.Fatal(err)
	}
	api := &http.Server{Handler: s.simulator.Platform(), ReadHeaderTimeout: 5 * time.Second}
	go api.Serve(l)
	t.Cleanup(func() { api.Close() })
	t.Cleanup(func() {
		if err := s.simulator.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.app.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

// metric gives the lines of a metric that are not 0.
func (s *site) metric(name string) []string {
	s.t.Helper()
	res, err := http.Get("http://" + s.app.AdminAddr() + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(text), "# TYPE "+name) {
		s.t.Fatalf("no metric %s: %v", name, err)
	}
	return slices.DeleteFunc(strings.Split(string(text), "\n"), func(l string) bool {
		return !strings.HasPrefix(l, name) || strings.HasSuffix(l, " 0")
	})
}
