package app

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"autotag/pkg/livechat"
	"autotag/pkg/rules"
)

func read(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// refunder is a receiver of webhooks that knows one rule: a chat that has ended
// gets the tag refund.
type refunder struct {
	t        *testing.T
	client   atomic.Pointer[livechat.Client]
	webhooks atomic.Int32
}

func (g *refunder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.webhooks.Add(1)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if !strings.Contains(string(body), `"secret_key":"simulator"`) {
		g.t.Errorf("no secret_key in %s", body)
	}
	hook, err := livechat.ParseWebhook(body)
	if err != nil {
		g.t.Errorf("webhook: %v", err)
		return
	}
	if hook.Action != livechat.ChatDeactivated {
		return
	}
	p, err := livechat.ParsePayload(hook.Action, hook.Payload)
	if err == nil {
		err = g.client.Load().TagThread(r.Context(), hook.Organization, p.ChatID, p.ThreadID, "refund")
	}
	if err != nil {
		g.t.Errorf("tag_thread: %v", err)
	}
}

// start returns a simulator that sends its webhooks to the receivers in turn.
func start(t *testing.T, switches string, onEvent func(Event), receivers ...*refunder) *Simulator {
	t.Helper()
	cfg, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, g := range receivers {
		server := httptest.NewServer(g)
		t.Cleanup(server.Close)
		targets = append(targets, server.URL)
	}
	cfg.Addr, cfg.Target, cfg.Switches = "127.0.0.1:0", strings.Join(targets, ", "), switches
	cfg.Quiet, cfg.Limit = 200*time.Millisecond, time.Minute
	for _, fault := range cfg.Validate() {
		t.Fatal(fault)
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
	client := livechat.New(livechat.Options{
		BaseURL: s.URL(),
		Token: func(context.Context, string) (livechat.Token, error) {
			return livechat.Token{AccountID: "simulator", PAT: "simulator"}, nil
		},
	})
	t.Cleanup(client.Close)
	for _, g := range receivers {
		g.client.Store(client)
	}
	return s
}

func parse(t *testing.T, text string) []Scenario {
	t.Helper()
	list, err := Load(fstest.MapFS{"one.yaml": {Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

const oneChat = `chats:
  - name: one
    repeat: 2
    says:
      - customer: "I want a refund"
      - customer: "Hello"
        arrives: lost
      - end: agent
        arrives: twice
    expect: [refund]
`

func TestPlay(t *testing.T) {
	t.Parallel()
	kinds := map[EventKind]int{}
	first, second := &refunder{t: t}, &refunder{t: t}
	s := start(t, "", func(e Event) { kinds[e.Kind]++ }, first, second)
	report, err := s.Play(t.Context(), parse(t, oneChat))
	if err != nil || !report.OK || len(report.Results) != 2 {
		t.Fatalf("%v, %+v", err, report)
	}
	if kinds[ChatStarted] != 2 || kinds[ChatFinished] != 2 || kinds[WebhookDropped] != 2 || kinds[TagCalled] != 4 ||
		kinds[WebhookSent] != report.Webhooks || kinds[WebhookDuplicate] == 0 {
		t.Errorf("events %v for %+v", kinds, report)
	}
	a, b := int(first.webhooks.Load()), int(second.webhooks.Load())
	if a+b != report.Webhooks || a-b > 1 || b-a > 1 {
		t.Errorf("%d and %d of %d webhooks", a, b, report.Webhooks)
	}
}

// The switches of both kinds reach the play: the platform's and those of the
// delivery.
func TestPlayUnderSwitches(t *testing.T) {
	t.Parallel()
	copied := 0
	g := &refunder{t: t}
	s := start(t, "copies=2,system_messages=none,no_echoes=true", func(e Event) {
		if e.Kind == WebhookSent && e.ThreadID != "" {
			copied++
		}
	}, g)
	report, err := s.Play(t.Context(), parse(t, strings.ReplaceAll(oneChat, "repeat: 2", "repeat: 1")))
	// incoming_chat and chat_deactivated, each twice.
	if err != nil || !report.OK || copied != 4 {
		t.Errorf("%v, %d webhooks of the chat, %+v", err, copied, report)
	}
}

// The scenarios that come with the program are stories: each says what it
// shows. Together they show every tag of the rules that come with the programs,
// and expect no others but those that people set.
func TestScenariosShowEveryRule(t *testing.T) {
	t.Parallel()
	list, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	set, problems := rules.Parse("rules.yaml", read(t, "../../../configs/rules.yaml"))
	if set == nil {
		t.Fatal(problems)
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
	for _, r := range set.Rules {
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
