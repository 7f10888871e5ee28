package livechattest

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// switched is a rig whose platform has the switches that set sets.
func switched(t *testing.T, set func(*Switches)) *rig {
	t.Helper()
	return newRig(t, func(c *Config, _ *Organization) { set(&c.Switches) })
}

func TestEverySwitchNamesItsValues(t *testing.T) {
	t.Parallel()
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Switches]()) {
		values := strings.Split(f.Tag.Get("values"), "|")
		if len(values) < 2 || f.Tag.Get("desc") == "" {
			t.Errorf("%s: values %q, desc %q", f.Name, values, f.Tag.Get("desc"))
		}
	}
}

// at gives what stands in a JSON document under a path.
func at(t *testing.T, body []byte, path ...any) any {
	t.Helper()
	var v any
	must(t, json.Unmarshal(body, &v))
	for _, step := range path {
		switch step := step.(type) {
		case string:
			v = v.(map[string]any)[step]
		case int:
			v = v.([]any)[step]
		}
	}
	return v
}

func TestEventIDSwitch(t *testing.T) {
	t.Parallel()
	for value, ok := range map[string]func(r *rig, id string) bool{
		EventIDsNumbered: func(r *rig, id string) bool { return strings.HasPrefix(id, r.thread+"_") },
		EventIDsUUID:     func(_ *rig, id string) bool { return len(id) == 36 && strings.Count(id, "-") == 4 },
		EventIDsShort:    func(_ *rig, id string) bool { return len(id) < 3 },
	} {
		r := switched(t, func(s *Switches) { s.EventIDs = value })
		hooks := r.do(r.AddEvent(r.thread, Event{Author: customer, Text: "hello"}))
		ids := r.EventIDs(r.thread)
		if id := ids[len(ids)-1]; !ok(r, id) || id != hooks[0].Event {
			t.Errorf("%s: id %q, in the webhook %q", value, id, hooks[0].Event)
		}
	}
	if ids := switched(t, func(*Switches) {}).EventIDs("nowhere"); ids != nil {
		t.Errorf("an unknown thread has events %v", ids)
	}
}

func TestClickMessageSwitch(t *testing.T) {
	t.Parallel()
	for value, want := range map[string][]string{
		ClickPostback: {"incoming_event", "incoming_rich_message_postback"},
		ClickPlain:    {"incoming_event", "incoming_rich_message_postback"},
		ClickNone:     {"incoming_rich_message_postback"},
	} {
		// The ids do not name the thread: the postback must.
		r := switched(t, func(s *Switches) { s.ClickMessage, s.EventIDs = value, EventIDsShort })
		card := r.do(r.AddEvent(r.thread, Event{Type: "rich_message", Author: agent, Elements: []Element{
			{Buttons: []Button{{Type: "message", Text: "Sales", PostbackID: "sales"}}},
		}}))
		hooks := r.do(r.Click(r.thread, card[0].Event, customer, "sales"))
		var got []string
		for _, h := range hooks {
			got = append(got, h.Action)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: sent %v", value, got)
			continue
		}
		if value == ClickNone {
			continue
		}
		postback, named := at(t, hooks[0].Body, "payload", "event", "postback").(map[string]any)
		if named != (value == ClickPostback) || named && postback["thread_id"] != r.thread {
			t.Errorf("%s: the message has the postback %v", value, postback)
		}
	}
}

func TestShapeSwitches(t *testing.T) {
	t.Parallel()
	const bot = "9f3ad1c07be24d6a8e15c2b47d60fa93"
	for _, tc := range []struct {
		name    string
		set     func(*Switches)
		version string
		path    []any
		ok      func(any) bool
	}{
		{"bots are agents", func(*Switches) {}, "3.6", []any{"payload", "chat", "users", 1, "type"}, func(v any) bool { return v == "agent" }},
		{"bots are bots", func(s *Switches) { s.BotType = BotTypeBot }, "3.6", []any{"payload", "chat", "users", 1, "type"}, func(v any) bool { return v == "bot" }},
		{"times in UTC", func(*Switches) {}, "3.6", []any{"payload", "chat", "thread", "created_at"}, func(v any) bool { return v == "2026-06-01T09:00:00.000000Z" }},
		{"times with an offset", func(s *Switches) { s.Timestamps = TimestampsOffset }, "3.6", []any{"payload", "chat", "thread", "created_at"},
			func(v any) bool { return v == "2026-06-01T10:00:00+01:00" }},
		{"license as a number", func(*Switches) {}, "3.3", []any{"license_id"}, func(v any) bool { return v == 15872341.0 }},
		{"license as a text", func(s *Switches) { s.LicenseAsText = true }, "3.3", []any{"license_id"}, func(v any) bool { return v == "15872341" }},
	} {
		r := switched(t, tc.set)
		hooks := r.do(r.StartChat(testOrg, Chat{Users: []User{{ID: customer}, {ID: bot}}, Version: tc.version}))
		if got := at(t, hooks[0].Body, tc.path...); !tc.ok(got) {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

func TestOfflineSendsEndSwitch(t *testing.T) {
	t.Parallel()
	for _, sends := range []bool{false, true} {
		r := switched(t, func(s *Switches) { s.OfflineSendsEnd = sends })
		hooks := r.do(r.StartChat(testOrg, Chat{Thread: Thread{Inactive: true}}))
		if end := hooks[len(hooks)-1].Action == "chat_deactivated"; end != sends {
			t.Errorf("sends the end: %v, want %v", end, sends)
		}
	}
}

func TestNoEchoesSwitch(t *testing.T) {
	t.Parallel()
	r := switched(t, func(s *Switches) { s.NoEchoes = true })
	if got := r.ask("tag_thread", r.tagging("vip"), nil); got != "" {
		t.Fatal(got)
	}
	if len(r.echos) > 0 || !slices.Equal(r.Tags(r.thread), []string{"vip"}) {
		t.Errorf("echoes %v, tags %v", r.echos, r.Tags(r.thread))
	}
}

func TestTagNameSwitches(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		set  func(*Switches)
		tag  string
		good bool
	}{
		{func(*Switches) {}, "naïve 👍 and quite a long name", true},
		{func(s *Switches) { s.TagMaxLength = 5 }, "naïve", true},
		{func(s *Switches) { s.TagMaxLength = 5 }, "naïve!", false},
		{func(s *Switches) { s.TagCharset = CharsetASCII }, "naive!", true},
		{func(s *Switches) { s.TagCharset = CharsetASCII }, "naïve", false},
	} {
		r := newRig(t, nil)
		r.SetSwitches(tc.set)
		if _, err := r.CreateTag(testOrg, tc.tag, 0); (err == nil) != tc.good {
			t.Errorf("tag %q: %v", tc.tag, err)
		}
	}
}

// Whatever the messages and statuses, the type tells what was refused.
func TestErrorSwitches(t *testing.T) {
	t.Parallel()
	r := switched(t, func(s *Switches) { s.ErrorStatus, s.PlainMessages = 200, true })
	status, _, body := r.send(call{path: "agent/action/tag_thread", body: `{"chat_id":"` + r.chat + `","thread_id":"` + r.thread + `","tag":"nope"}`})
	if status != 200 || at(t, []byte(body), "error", "type") != "validation" || at(t, []byte(body), "error", "message") != "Wrong format of request" {
		t.Errorf("%d %s", status, body)
	}
}

func TestRateSwitches(t *testing.T) {
	t.Parallel()
	r := switched(t, func(s *Switches) {
		s.Rate, s.RatePerMethod, s.RetryAfter, s.RetryAfterDate, s.ErrorStatus = 1, true, time.Minute, true, 503
	})
	try := func(path string) (int, string) {
		status, header, _ := r.send(call{path: path, body: `{}`})
		return status, header.Get("Retry-After")
	}
	if status, _ := try("configuration/action/list_tags"); status != 200 {
		t.Fatalf("first call: %d", status)
	}
	status, after := try("configuration/action/list_tags")
	date, err := http.ParseTime(after)
	if pause := date.Sub(r.clock()); status != 503 || err != nil || pause < time.Minute || pause > time.Minute+2*time.Second {
		t.Errorf("second call: %d, Retry-After %q: %v", status, after, err)
	}
	if status, _ := try("agent/action/list_archives"); status != 200 {
		t.Errorf("another method: %d", status)
	}
}

func TestRegionSwitch(t *testing.T) {
	t.Parallel()
	r := switched(t, func(s *Switches) { s.Region = "fra-a" })
	if got := r.ask("tag_thread", r.tagging("vip"), nil); got != "misdirected_request" {
		t.Errorf("got %q", got)
	}
}

func TestDisabledWebhooks(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	if !r.WebhooksEnabled(testOrg) {
		t.Error("disabled from the start")
	}
	r.DisableWebhooks(testOrg)
	if r.WebhooksEnabled(testOrg) {
		t.Error("still enabled")
	}
	status, _, body := r.send(call{path: "configuration/action/enable_license_webhooks", body: `{"owner_client_id":"` + testClient + `"}`})
	if status != 200 || !r.WebhooksEnabled(testOrg) {
		t.Errorf("%d %s, enabled %v", status, body, r.WebhooksEnabled(testOrg))
	}
}

func TestTagDelaySwitch(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.SetSwitches(func(s *Switches) { s.TagDelay = 2 * time.Minute })
	r.do(r.CreateTag(testOrg, "fresh", 0))
	if got := r.ask("tag_thread", r.tagging("fresh"), nil); got != "validation" {
		t.Errorf("tag_thread knows it at once: %q", got)
	}
	r.do(r.TagAsPerson(r.thread, "fresh"))
	r.do(r.UntagAsPerson(r.thread, "fresh"))
	r.advance(2 * time.Minute)
	if got := r.ask("tag_thread", r.tagging("fresh"), nil); got != "" {
		t.Errorf("tag_thread does not know it after its delay: %q", got)
	}
}
