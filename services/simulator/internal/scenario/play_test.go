package scenario

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
	if err := p.AddOrganization(livechattest.Organization{ID: "org", Secret: "s", AccountID: "account", PAT: "pat"}); err != nil {
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

// What a scenario leaves open follows the delivery switches, what it says does
// not.
func TestDeliveryOf(t *testing.T) {
	t.Parallel()
	d := Delivery{Order: EndFirst, Copies: 3, Delay: time.Second, Webhooks: "v3.3"}
	deletes := []Thread{{Says: []Step{{Kind: Says}, {Kind: Delete}}}}
	for name, tc := range map[string]struct {
		switches Delivery
		chat     Chat
		want     Chat
	}{
		"nothing said":          {Delivery{}, Chat{}, Chat{Order: AsSent, Copies: 1, Webhooks: "3.6"}},
		"by the switches":       {d, Chat{}, Chat{Order: EndFirst, Copies: 3, Delay: time.Second, Webhooks: "3.3"}},
		"by the scenario":       {d, Chat{Order: AsSent, Copies: 1, Delay: 1, Webhooks: "3.7"}, Chat{Order: AsSent, Copies: 1, Delay: 1, Webhooks: "3.7"}},
		"deletions need v3.6":   {d, Chat{Threads: deletes}, Chat{Order: EndFirst, Copies: 3, Delay: time.Second, Webhooks: "3.6", Threads: deletes}},
		"newer tells of it too": {Delivery{Webhooks: "v3.7"}, Chat{Threads: deletes}, Chat{Order: AsSent, Copies: 1, Webhooks: "3.7", Threads: deletes}},
	} {
		if got := tc.switches.of(tc.chat); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// words collects what arrives of one chat, played as the steps say.
func words(t *testing.T, says string) []string {
	t.Helper()
	r := &receiver{}
	report := play(t, "chats:\n  - name: one\n    pace: 1ms\n"+says+"    expect: []\n", r, nil)
	if !report.OK {
		t.Fatalf("report %+v", report)
	}
	return r.got
}

func TestWordsOfScenarios(t *testing.T) {
	t.Parallel()
	const start, end, event = "incoming_chat", "chat_deactivated", "incoming_event"
	for name, tc := range map[string]struct {
		says string
		want []string
	}{
		"who comes and goes": {
			"    starts: queued\n    says: [{customer: a}, {joins: agent}, {agent: b}, {leaves: agent}, {joins: bot}, {end: router}]\n",
			[]string{start, "user_added_to_chat", "b", "user_removed_from_chat", "user_added_to_chat", end},
		},
		"a rating": {"    says: [{customer: a}, {rates: good}, {end: agent}]\n", []string{start, "thread_properties_updated", end}},
		"a summary": {
			"    says: [{customer: a}, {end: agent}, {summary: short}]\n", []string{start, end, "thread_summary_set"},
		},
		"a summary that old webhooks do not tell": {
			"    webhooks: v3.5\n    says: [{customer: a}, {end: agent}, {summary: short}]\n", []string{start, end},
		},
		"an unknown webhook": {"    says: [{customer: a}, {webhook: chat_whispered}, {end: agent}]\n", []string{start, "chat_whispered", end}},
		"files and choices": {
			"    says: [{customer: a}, {customer: {file: x.pdf}}, {customer: {form: {Topic: {choice: b}}}}, {end: agent}]\n",
			[]string{start, event, event, end},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Each is sent without waiting for the one before.
			got := words(t, tc.says)
			slices.Sort(got)
			slices.Sort(tc.want)
			if !slices.Equal(got, tc.want) {
				t.Errorf("arrived %v, want %v", got, tc.want)
			}
		})
	}
}

func TestTagsOfGroups(t *testing.T) {
	t.Parallel()
	list := func(text string) Scenario {
		s, err := Parse("test.yaml", []byte(text+minimal))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	server := httptest.NewServer(&receiver{})
	defer server.Close()
	out := sender.New(sender.Options{URLs: []string{server.URL}})
	defer out.Close()
	p := livechattest.New(livechattest.Config{})
	if err := p.AddOrganization(livechattest.Organization{ID: "org", Groups: []int{3}}); err != nil {
		t.Fatal(err)
	}
	player := NewPlayer(Options{Platform: p, Organization: "org", Groups: []int{0, 3}, Sender: out, Limit: time.Minute})
	if _, err := player.Play(t.Context(), []Scenario{list("tags: [all, {name: some, groups: [3]}]\n")}); err != nil {
		t.Fatal(err)
	}
	hooks, err := p.StartChat("org", livechattest.Chat{})
	if err != nil {
		t.Fatal(err)
	}
	thread := hooks[0].Thread
	if _, err := p.TagAsPerson(thread, "all"); err != nil {
		t.Error(err)
	}
	if _, err := p.TagAsPerson(thread, "some"); err == nil {
		t.Error("the tag of group 3 fits a chat of group 0")
	}
	_, err = player.Play(t.Context(), []Scenario{list("tags: [{name: x, groups: [3]}]\n"), list("tags: [{name: x, groups: [0]}]\n")})
	if err == nil || !strings.Contains(err.Error(), "the tag x has other groups in another scenario") {
		t.Errorf("two scenarios, two groups: %v", err)
	}
}

func TestWithheldMessages(t *testing.T) {
	t.Parallel()
	var platform *livechattest.Platform
	var chat string
	play(t, strings.Replace(minimal, "name: one", "name: one\n    restricted: true", 1), &receiver{}, func(p *livechattest.Platform, e Event) {
		platform, chat = p, e.ChatID
	})
	api := httptest.NewServer(platform)
	defer api.Close()
	req, err := http.NewRequest(http.MethodPost, api.URL+"/v3.6/agent/action/get_chat", strings.NewReader(`{"chat_id":"`+chat+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth("account", "pat")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		Thread struct {
			Restricted string `json:"restricted_access"`
			Events     []any
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || answer.Thread.Restricted == "" || len(answer.Thread.Events) > 0 {
		t.Errorf("%d, %v, %+v", res.StatusCode, err, answer)
	}
}

// A receiver that always fails loses its webhooks, until an app enables them
// again.
func TestWebhooksAreDisabled(t *testing.T) {
	t.Parallel()
	s, err := Parse("test.yaml", []byte(strings.Replace(minimal, "{end: agent}", "{customer: b, after: 1s}, {end: agent}", 1)))
	if err != nil {
		t.Fatal(err)
	}
	var tries atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		tries.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	out := sender.New(sender.Options{URLs: []string{server.URL}, Speed: 1e6})
	defer out.Close()
	p := livechattest.New(livechattest.Config{})
	if err := p.AddOrganization(livechattest.Organization{ID: "org"}); err != nil {
		t.Fatal(err)
	}
	gone := map[EventKind]int{}
	disabled := make(chan struct{})
	report, err := NewPlayer(Options{
		Platform: p, Organization: "org", Sender: out, Limit: time.Minute, Delivery: Delivery{DisableAfter: 1},
		OnEvent: func(e Event) {
			if gone[e.Kind]++; e.Kind == WebhookGivenUp && gone[e.Kind] == 1 {
				close(disabled)
			}
		},
	}).Play(t.Context(), []Scenario{s})
	if err != nil {
		t.Fatal(err)
	}
	<-disabled
	if p.WebhooksEnabled("org") || report.GivenUp < 1 || gone[WebhookDropped] < 1 || report.Webhooks > 0 {
		t.Errorf("enabled %v, %v, %+v", p.WebhooksEnabled("org"), gone, report)
	}
}
