package scenario

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"autotag/pkg/livechat/livechattest"
	"autotag/services/simulator/internal/sender"
)

// receiver records the webhooks that arrive and answers with a status.
type receiver struct {
	mu     sync.Mutex
	got    []string // action, or the text of a message
	status func(action string) int
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var body struct {
		Action  string
		Payload struct {
			Event struct{ Type, Text string }
			Tag   string
		}
	}
	json.NewDecoder(req.Body).Decode(&body)
	what := body.Action
	if body.Payload.Event.Type == "message" {
		what = body.Payload.Event.Text
	}
	if body.Action == "tag_created" || body.Payload.Event.Type == "system_message" {
		return
	}
	status := http.StatusOK
	if r.status != nil {
		status = r.status(body.Action)
	}
	r.mu.Lock()
	r.got = append(r.got, what)
	r.mu.Unlock()
	w.WriteHeader(status)
}

// play plays one file and returns what arrived and the report. during, if not
// nil, sees every event and may act on the platform.
func play(t *testing.T, text string, r *receiver, during func(*livechattest.Platform, Event)) Report {
	t.Helper()
	s, err := Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r)
	defer server.Close()
	out := sender.New(sender.Options{URLs: []string{server.URL}, Speed: 1000})
	defer out.Close()
	p := livechattest.New(livechattest.Config{})
	if err := p.AddOrganization(livechattest.Organization{ID: "org", Secret: "s"}); err != nil {
		t.Fatal(err)
	}
	report, err := NewPlayer(Options{
		Platform: p, Organization: "org", Groups: []int{0}, Sender: out,
		Quiet: 50 * time.Millisecond, Limit: 500 * time.Millisecond,
		OnEvent: func(e Event) {
			if during != nil {
				during(p, e)
			}
		},
	}).Play(t.Context(), []Scenario{s})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestArrivals(t *testing.T) {
	t.Parallel()
	const (
		start = "incoming_chat"
		end   = "chat_deactivated"
	)
	for _, tc := range []struct {
		name, chat, says, arrived string
		want                      []string
	}{
		{name: "as sent", says: "[{customer: a}, {customer: b}, {end: agent}]", want: []string{start, "b", end}, arrived: "as sent"},
		{name: "nothing inside incoming_chat", chat: "opens_with: 0", says: "[{customer: a}, {end: agent}]", want: []string{start, "a", end}, arrived: "as sent"},
		{name: "end first", chat: "order: end first", says: "[{customer: a}, {customer: b}, {end: agent}]", want: []string{end, start, "b"}, arrived: "end first"},
		{name: "reversed", chat: "order: reversed", says: "[{customer: a}, {customer: b}, {customer: c}, {end: agent}]", want: []string{end, "c", "b", start}, arrived: "reversed"},
		{name: "copies", chat: "copies: 2\n    order: reversed", says: "[{customer: a}, {end: agent}]", want: []string{end, end, start, start}, arrived: "reversed, each 2 times"},
		{name: "one twice", says: "[{customer: a}, {customer: b, arrives: twice}, {end: agent}]", want: []string{start, "b", "b", end}, arrived: "1 repeated"},
		{name: "lost", says: "[{customer: a, arrives: lost}, {customer: b}, {end: agent, arrives: lost}]", want: []string{"b"}, arrived: "2 lost"},
		{name: "late", says: "[{customer: a}, {customer: b, arrives: 400ms late}, {customer: c}, {end: agent}]", want: []string{start, "c", end, "b"}, arrived: "1 late"},
		{name: "after the end", says: "[{customer: a}, {customer: b, arrives: 200ms after the end}, {end: agent}]", want: []string{start, end, "b"}, arrived: "1 after the end"},
		{name: "all messages lost", chat: "lose: 100%", says: "[{customer: a}, {customer: b}, {bot: c}, {end: agent}]", want: []string{start, end}, arrived: "100% lost"},
		{name: "offline", chat: "starts: offline", says: "[{customer: a}]", want: []string{start}, arrived: "offline"},
		{name: "old", chat: "webhooks: v3.3", says: "[{customer: a}, {end: agent}]", want: []string{start, end}, arrived: "v3.3 shape"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := &receiver{}
			report := play(t, "chats:\n  - name: one\n    pace: 50ms\n    "+tc.chat+"\n    says: "+tc.says+"\n    expect: []\n", r, nil)
			if !slices.Equal(r.got, tc.want) {
				t.Errorf("arrived %v, want %v", r.got, tc.want)
			}
			if got := report.Results[0].Arrived; got != tc.arrived || !report.OK {
				t.Errorf("reported %q, %+v", got, report)
			}
		})
	}
}

func TestShuffleFollowsTheSeed(t *testing.T) {
	t.Parallel()
	order := func(seed string) []string {
		r := &receiver{}
		play(t, "chats:\n  - name: one\n    pace: 1ms\n    order: shuffled\n    seed: "+seed+`
    says: [{customer: a}, {customer: b}, {customer: c}, {customer: d}, {customer: e}, {end: agent}]
    expect: []
`, r, nil)
		return r.got
	}
	first := order("1")
	if again := order("1"); !slices.Equal(first, again) {
		t.Errorf("the same seed gave %v and %v", first, again)
	}
	sent := []string{"incoming_chat", "b", "c", "d", "e", "chat_deactivated"}
	if other := order("2"); slices.Equal(first, other) || slices.Equal(first, sent) {
		t.Errorf("seeds 1 and 2 gave %v and %v", first, other)
	}
	slices.Sort(first)
	slices.Sort(sent)
	if !slices.Equal(first, sent) {
		t.Errorf("arrived %v", first)
	}
}

func TestDelay(t *testing.T) {
	t.Parallel()
	r := &receiver{}
	report := play(t, `chats:
  - name: one
    delay: 100ms
    copies: 2
    pace: 1ms
    says: [{customer: a}, {customer: b}, {customer: c}, {end: agent}]
    expect: []
`, r, nil)
	slices.Sort(r.got)
	if want := []string{"b", "b", "c", "c", "chat_deactivated", "chat_deactivated", "incoming_chat", "incoming_chat"}; !slices.Equal(r.got, want) {
		t.Errorf("arrived %v", r.got)
	}
	if got := report.Results[0].Arrived; got != "each 2 times, up to 100ms late" {
		t.Errorf("reported %q", got)
	}
}

func TestWrongTagsAreReported(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*livechattest.Platform, Event){
		"missing": nil,
		"too many": func(p *livechattest.Platform, e Event) {
			if e.Kind == WebhookSent && e.Action == "chat_deactivated" {
				p.TagAsPerson(e.ThreadID, "refund")
				p.TagAsPerson(e.ThreadID, "vip")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var finished []Event
			report := play(t, "tags: [vip]\n"+strings.Replace(minimal, "[]", "[refund]", 1), &receiver{}, func(p *livechattest.Platform, e Event) {
				if change != nil {
					change(p, e)
				}
				if e.Kind == ChatFinished {
					finished = append(finished, e)
				}
			})
			if report.OK || report.Results[0].OK {
				t.Errorf("report %+v", report)
			}
			if len(finished) != 1 || finished[0].OK {
				t.Errorf("finished %+v", finished)
			}
			var table strings.Builder
			if err := report.WriteTable(&table); err != nil || !strings.Contains(table.String(), "NO") || !strings.Contains(table.String(), "0 of 1") {
				t.Errorf("table (%v):\n%s", err, table.String())
			}
		})
	}
}

func TestRetriesAndGivingUp(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	tries := map[string]int{}
	r := &receiver{status: func(action string) int {
		mu.Lock()
		defer mu.Unlock()
		tries[action]++
		if action == "incoming_chat" && tries[action] > 1 {
			return http.StatusOK
		}
		return http.StatusServiceUnavailable
	}}
	kinds := map[EventKind]int{}
	report := play(t, minimal, r, func(_ *livechattest.Platform, e Event) {
		if e.Action == "incoming_chat" || e.Action == "chat_deactivated" {
			kinds[e.Kind]++
		}
	})
	if tries["incoming_chat"] != 2 || tries["chat_deactivated"] != 4 {
		t.Errorf("tries %v", tries)
	}
	if kinds[WebhookSent] != 1 || kinds[WebhookRetry] != 4 || kinds[WebhookGivenUp] != 1 || report.GivenUp != 1 || report.Retries != 4 {
		t.Errorf("events %v, report %+v", kinds, report)
	}
}

func TestWaitingForTagsThatDoNotCome(t *testing.T) {
	t.Parallel()
	report := play(t, `chats:
  - name: one
    threads:
      - says: [{customer: hello}, {customer: late, arrives: 1s after the end}, {until_tagged: [refund]}, {end: agent}]
        expect: []
      - says: [{customer: hello}, {end: agent}]
        expect: []
`, &receiver{}, nil)
	if report.OK || len(report.Results) != 2 {
		t.Fatalf("report %+v", report)
	}
	if why := report.Results[0].Why; !strings.Contains(why, "for the tags [refund]") {
		t.Errorf("first thread: %q", why)
	}
	if why := report.Results[1].Why; !strings.Contains(why, "thread before it") {
		t.Errorf("second thread: %q", why)
	}
}

func TestRepeatedChats(t *testing.T) {
	t.Parallel()
	report := play(t, strings.Replace(minimal, "name: one", "name: one\n    repeat: 20", 1), &receiver{}, nil)
	ids := map[string]bool{}
	for _, r := range report.Results {
		ids[r.ThreadID] = true
	}
	if len(ids) != 20 || report.Results[19].Chat != "one #20" || report.Webhooks != 20*3 {
		t.Errorf("report %+v", report)
	}
}

func TestContextStopsThePlay(t *testing.T) {
	t.Parallel()
	s, err := Parse("test.yaml", []byte(strings.Replace(minimal, "{end: agent}", "{end: agent, after: 1h}", 1)))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(&receiver{})
	defer server.Close()
	p := livechattest.New(livechattest.Config{})
	if err := p.AddOrganization(livechattest.Organization{ID: "org"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	report, err := NewPlayer(Options{Platform: p, Organization: "org", Sender: sender.New(sender.Options{URLs: []string{server.URL}}), Limit: time.Hour}).Play(ctx, []Scenario{s})
	if err == nil || report.OK {
		t.Errorf("got %v, %+v", err, report)
	}
}
