package app

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"autotag/pkg/livechat"
	"autotag/pkg/rules"
	"autotag/pkg/transcript"
)

// tagger is a small tagger in memory: it knows what the real one must get right
// without NATS and Redis.
type tagger struct {
	t      *testing.T
	rules  *rules.Set
	client *livechat.Client
	settle time.Duration

	mu      sync.Mutex
	threads map[transcript.Key]*tagged
	stop    bool
	work    sync.WaitGroup
}

type tagged struct {
	mu     sync.Mutex // held while deciding
	facts  transcript.Facts
	timer  *time.Timer
	ours   map[string]bool
	echo   map[string]int // echoes of our own calls that are still to come, by op and tag
	theirs map[string]bool
	barred map[string]bool
}

func (g *tagger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if !strings.Contains(string(body), `"secret_key":"simulator"`) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	hook, err := livechat.ParseWebhook(body)
	if err == nil {
		err = g.take(hook)
	}
	if err != nil {
		g.t.Errorf("webhook: %v", err)
	}
	io.WriteString(w, "{}")
}

func (g *tagger) take(hook livechat.Webhook) error {
	p, err := livechat.ParsePayload(hook.Action, hook.Payload)
	if err != nil {
		return err
	}
	k := transcript.Key{Org: hook.Organization, Chat: p.ChatID, Thread: p.ThreadID}
	if p.Chat != nil {
		k.Chat, k.Thread = p.Chat.ID, p.Chat.Thread.ID
	}
	if k.Chat == "" {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	keys := []transcript.Key{k}
	if k.Thread == "" { // of the whole chat
		keys = nil
		for known := range g.threads {
			if known.Org == k.Org && known.Chat == k.Chat {
				keys = append(keys, known)
			}
		}
	}
	for _, k := range keys {
		reading := transcript.Read(k, hook.Action, p, time.Now())
		g.add(k, reading.Facts, hook.Action, p.Tag)
		if reading.EndedThread != "" {
			before := transcript.Key{Org: k.Org, Chat: k.Chat, Thread: reading.EndedThread}
			end := transcript.Read(before, livechat.ChatDeactivated, livechat.Payload{ChatID: k.Chat, ThreadID: before.Thread}, time.Now())
			g.add(before, end.Facts, "", "")
		}
	}
	return nil
}

func (g *tagger) add(k transcript.Key, facts []transcript.Fact, action, tag string) {
	t := g.threads[k]
	if t == nil {
		t = &tagged{ours: map[string]bool{}, echo: map[string]int{}, theirs: map[string]bool{}, barred: map[string]bool{}}
		g.threads[k] = t
	}
	t.facts.AddAll(facts)
	if action == livechat.ThreadTagged || action == livechat.ThreadUntagged {
		if t.echo[action+tag] > 0 {
			t.echo[action+tag]--
			return
		}
		t.theirs[tag] = action == livechat.ThreadTagged
		t.barred[tag] = action == livechat.ThreadUntagged
		delete(t.ours, tag)
	}
	if g.stop {
		return
	}
	// Stop is false for a timer that has fired: its decision may have read the
	// thread already, so this webhook needs one of its own.
	if t.timer != nil && t.timer.Stop() {
		t.timer.Reset(g.settle)
		return
	}
	g.work.Add(1)
	t.timer = time.AfterFunc(g.settle, func() {
		defer g.work.Done()
		g.decide(k, t)
	})
}

func (g *tagger) decide(k transcript.Key, t *tagged) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	g.mu.Lock()
	r := transcript.Reduce(k, &t.facts)
	g.mu.Unlock()
	if !r.Ended {
		return
	}
	if _, ambiguous := r.Readings(1); ambiguous || !r.Started || r.Gaps > 0 {
		chat, err := g.client.GetChat(ctx, k.Org, k.Chat, k.Thread)
		if err != nil {
			g.t.Errorf("get_chat: %v", err)
			return
		}
		g.mu.Lock()
		t.facts.AddAll(transcript.FromChat(k, &t.facts, chat, time.Now()))
		r = transcript.Reduce(k, &t.facts)
		g.mu.Unlock()
	}
	readings, _ := r.Readings(1)
	answer := *readings[0]
	answer.Complete = true
	g.mu.Lock()
	for tag, there := range t.theirs {
		if there {
			answer.Tagged = append(answer.Tagged, tag)
		}
	}
	g.mu.Unlock()
	want := g.rules.Match(&answer).TagSet()
	for _, tag := range want {
		g.call(ctx, t, livechat.ThreadTagged, tag, func() error { return g.client.TagThread(ctx, k.Org, k.Chat, k.Thread, tag) })
	}
	g.mu.Lock()
	ours := slices.Sorted(maps.Keys(t.ours))
	g.mu.Unlock()
	for _, tag := range ours {
		if !slices.Contains(want, tag) {
			g.call(ctx, t, livechat.ThreadUntagged, tag, func() error { return g.client.UntagThread(ctx, k.Org, k.Chat, k.Thread, tag) })
		}
	}
}

func (g *tagger) call(ctx context.Context, t *tagged, op, tag string, do func() error) {
	g.mu.Lock()
	adding := op == livechat.ThreadTagged
	skip := adding && (t.ours[tag] || t.theirs[tag] || t.barred[tag])
	if !skip {
		t.echo[op+tag]++
		if adding {
			t.ours[tag] = true
		} else {
			delete(t.ours, tag)
		}
	}
	g.mu.Unlock()
	if skip {
		return
	}
	for {
		err := do()
		var refused *livechat.Error
		switch {
		case err == nil:
			return
		case !errors.As(err, &refused) || !refused.Temporary():
			g.t.Errorf("%s %s: %v", op, tag, err)
			return
		}
	}
}

func shopRules(t *testing.T) *rules.Set {
	t.Helper()
	set, problems := rules.Parse("rules.yaml", read(t, "../../../configs/rules.yaml"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return set
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// start returns a simulator whose webhooks go to handler.
func start(t *testing.T, handler http.Handler, change func(*Config), onEvent func(Event)) *Simulator {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	cfg, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Addr, cfg.Target, cfg.Speed = "127.0.0.1:0", server.URL, 1000
	cfg.Quiet, cfg.Limit = time.Second, 15*time.Second
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg, onEvent)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newTagger(t *testing.T) *tagger {
	return &tagger{t: t, rules: shopRules(t), settle: 300 * time.Millisecond, threads: map[transcript.Key]*tagged{}}
}

func (g *tagger) use(s *Simulator) {
	g.client = livechat.New(livechat.Options{
		BaseURL: s.URL(),
		Token: func(context.Context, string) (livechat.Token, error) {
			return livechat.Token{AccountID: "simulator", PAT: "simulator"}, nil
		},
	})
	g.t.Cleanup(func() {
		g.mu.Lock()
		g.stop = true
		g.mu.Unlock()
		g.work.Wait()
		g.client.Close()
	})
}

// The scenarios that come with the program are what the rules that come with
// the program give, under several readings of what LiveChat leaves open.
func TestBuiltinScenarios(t *testing.T) {
	t.Parallel()
	list, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, switches := range []string{
		"", "system_messages=silent,resend_initial_events=true,click_updates_event=true", "system_messages=none",
	} {
		t.Run(switches, func(t *testing.T) {
			t.Parallel()
			g := newTagger(t)
			kinds := map[EventKind]int{}
			s := start(t, g, func(c *Config) { c.Switches = switches }, func(e Event) { kinds[e.Kind]++ })
			g.use(s)
			report, err := s.Play(t.Context(), list)
			if err != nil {
				t.Fatal(err)
			}
			var table strings.Builder
			report.WriteTable(&table)
			if !report.OK {
				t.Errorf("\n%s", table.String())
			}
			if kinds[ChatStarted] != len(report.Results) || kinds[ChatFinished] != len(report.Results) ||
				kinds[WebhookSent] != report.Webhooks || kinds[WebhookDropped] == 0 || kinds[WebhookDuplicate] == 0 || kinds[TagCalled] == 0 {
				t.Errorf("events %v for %d threads and %d webhooks", kinds, len(report.Results), report.Webhooks)
			}
		})
	}
}

// Every tag of the rules is shown by a scenario, and the scenarios name no
// others but those that people set.
func TestScenariosShowEveryRule(t *testing.T) {
	t.Parallel()
	list, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	expected := map[string]bool{}
	for _, s := range list {
		if s.Note == "" {
			t.Errorf("%s: no note says what it shows", s.Name)
		}
		for _, c := range s.Chats {
			for _, thread := range c.Threads {
				for _, tag := range thread.Expect {
					expected[tag] = true
				}
			}
		}
	}
	known := map[string]bool{}
	for _, r := range shopRules(t).Rules {
		if r.Status == rules.Active && !expected[r.Tag] {
			t.Errorf("no scenario shows the tag %s", r.Tag)
		}
		known[r.Tag] = true
		for _, tag := range r.UnlessTagged {
			known[tag] = true
		}
	}
	for tag := range expected {
		if !known[tag] {
			t.Errorf("a scenario expects %s, which is not in the rules", tag)
		}
	}
}

func TestShopRulesHold(t *testing.T) {
	t.Parallel()
	set := shopRules(t)
	tests, problems := rules.ParseTests("rules_test.yaml", read(t, "../../../configs/rules_test.yaml"), set)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, c := range tests.Cases {
		if missing, extra := c.Run(set); len(missing)+len(extra) > 0 {
			t.Errorf("%s: missing %v, not expected %v", c.Name, missing, extra)
		}
	}
}
