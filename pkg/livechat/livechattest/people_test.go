package livechattest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// reduced is a thread as a reader of its webhooks, in the order of their
// making, sees it.
type reduced struct {
	events map[string]map[string]any
	order  []string
	active bool
	groups any
	tags   []string
}

func newReduced() *reduced {
	return &reduced{events: map[string]map[string]any{}}
}

func (r *reduced) put(e map[string]any) {
	id := e["id"].(string)
	if r.events[id] == nil {
		r.order = append(r.order, id)
	}
	r.events[id] = e
}

func (r *reduced) take(t *rapid.T, body []byte) {
	var w struct {
		Action  string
		Payload map[string]any
	}
	if err := json.Unmarshal(body, &w); err != nil {
		t.Fatal(err)
	}
	p := w.Payload
	event := func() map[string]any { return r.events[p["event_id"].(string)] }
	switch w.Action {
	case "incoming_chat":
		thread := p["chat"].(map[string]any)["thread"].(map[string]any)
		r.active = thread["active"].(bool)
		r.groups = thread["access"].(map[string]any)["group_ids"]
		for _, e := range thread["events"].([]any) {
			r.put(e.(map[string]any))
		}
	case "incoming_event", "event_updated":
		r.put(p["event"].(map[string]any))
	case "event_deleted":
		event()["deleted"] = true
	case "event_properties_updated":
		e := event()
		if e["properties"] == nil {
			e["properties"] = map[string]any{}
		}
		for ns, values := range p["properties"].(map[string]any) {
			of := e["properties"].(map[string]any)
			if of[ns] == nil {
				of[ns] = map[string]any{}
			}
			for name, v := range values.(map[string]any) {
				of[ns].(map[string]any)[name] = v
			}
		}
	case "event_properties_deleted":
		e := event()
		of, _ := e["properties"].(map[string]any)
		for ns, names := range p["properties"].(map[string]any) {
			values, _ := of[ns].(map[string]any)
			for _, name := range names.([]any) {
				delete(values, name.(string))
			}
			if len(values) == 0 {
				delete(of, ns)
			}
		}
		if len(of) == 0 {
			delete(e, "properties")
		}
	case "chat_access_updated":
		r.groups = p["access"].(map[string]any)["group_ids"]
	case "thread_tagged":
		r.tags = append(r.tags, p["tag"].(string))
	case "thread_untagged":
		i := slices.Index(r.tags, p["tag"].(string))
		r.tags = slices.Delete(r.tags, i, i+1)
	case "chat_deactivated":
		r.active = false
	}
}

// What the webhooks of a thread say, taken in order, is what get_chat answers.
func TestWebhooksTellWhatGetChatTells(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC)
		p := New(Config{Seed: 1, Now: func() time.Time { return now }, Switches: Switches{
			SystemMessages:      rapid.SampledFrom([]string{"", SystemMessagesNone}).Draw(t, "system messages"),
			ResendInitialEvents: rapid.Bool().Draw(t, "resend"),
			ClickUpdatesEvent:   true,
			Timestamps:          rapid.SampledFrom([]string{"", TimestampsOffset}).Draw(t, "timestamps"),
			ClickMessage:        rapid.SampledFrom([]string{"", ClickPlain, ClickNone}).Draw(t, "click message"),
		}})
		if err := p.AddOrganization(Organization{ID: testOrg, Secret: "s", AccountID: "a", PAT: "b", Groups: []int{3}}); err != nil {
			t.Fatal(err)
		}
		for _, tag := range []string{"refund", "vip"} {
			if _, err := p.CreateTag(testOrg, tag, 0, 3); err != nil {
				t.Fatal(err)
			}
		}
		var hooks []Webhook
		add := func(w []Webhook, err error) {
			if err != nil && !errors.Is(err, ErrRefused) && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrExists) {
				t.Fatal(err)
			}
			hooks = append(hooks, w...)
		}
		menu := Event{Type: "rich_message", Author: agent, Elements: []Element{{Buttons: []Button{{Type: "message", Text: "Billing", PostbackID: "b"}}}}}
		add(p.StartChat(testOrg, Chat{Users: []User{{ID: customer}, {ID: agent}}, Thread: Thread{
			Inactive: rapid.Bool().Draw(t, "inactive"), Events: []Event{{Author: customer, Text: "hello"}, menu},
		}}))
		thread := hooks[0].Thread
		last := 2
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			// Two steps may share an instant; created_at must still rise.
			now = now.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "pause")) * time.Millisecond)
			id := fmt.Sprintf("%s_%d", thread, rapid.IntRange(1, last).Draw(t, "event"))
			before := len(hooks)
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0, 1:
				add(p.AddEvent(thread, Event{Author: customer, Text: rapid.String().Draw(t, "text")}))
			case 2:
				add(p.EditEvent(thread, id, rapid.String().Draw(t, "text")))
			case 3:
				add(p.DeleteEvent(thread, id))
			case 4:
				add(p.SetProperties(thread, id, Properties{"translation": {"target_message": "x"}, "chats": {"formatting": "commonmark"}}))
			case 5:
				add(p.DeleteProperties(thread, id, map[string][]string{"translation": {"target_message"}}))
			case 6:
				add(p.TagAsPerson(thread, rapid.SampledFrom([]string{"refund", "vip"}).Draw(t, "tag")))
			case 7:
				add(p.UntagAsPerson(thread, rapid.SampledFrom([]string{"refund", "vip"}).Draw(t, "tag")))
			case 8:
				add(p.Transfer(thread, []int{rapid.SampledFrom([]int{0, 3}).Draw(t, "group")}, agent))
			case 9:
				add(p.Deactivate(thread, agent))
				add(p.Click(thread, thread+"_2", customer, "b"))
			}
			for _, w := range hooks[before:] {
				if w.Action == "incoming_event" {
					last++
				}
			}
		}
		seen := newReduced()
		for _, w := range hooks {
			if w.Thread != "" && w.Thread != thread {
				t.Fatalf("webhook of thread %s", w.Thread)
			}
			seen.take(t, w.Body)
		}

		record := httptest.NewRecorder()
		req := httptest.NewRequest("POST", "/v3.6/agent/action/get_chat", jsonBody(object{"chat_id": hooks[0].Chat}))
		req.Header.Set("Content-Type", "application/json")
		req.SetBasicAuth("a", "b")
		p.ServeHTTP(record, req)
		var chat struct {
			Thread struct {
				Active bool
				Events []map[string]any
				Tags   []string
				Access map[string]any
			}
		}
		if err := json.Unmarshal(record.Body.Bytes(), &chat); err != nil {
			t.Fatal(err)
		}
		var events []map[string]any
		for _, id := range seen.order {
			events = append(events, seen.events[id])
		}
		if diff := cmp.Diff(chat.Thread.Events, events); diff != "" {
			t.Errorf("events (-get_chat +webhooks):\n%s", diff)
		}
		if chat.Thread.Active != seen.active {
			t.Errorf("active %v, webhooks say %v", chat.Thread.Active, seen.active)
		}
		if !slices.Equal(chat.Thread.Tags, seen.tags) || !slices.Equal(p.Tags(thread), seen.tags) {
			t.Errorf("tags %v, webhooks say %v", chat.Thread.Tags, seen.tags)
		}
		if diff := cmp.Diff(chat.Thread.Access["group_ids"], seen.groups); diff != "" {
			t.Errorf("groups (-get_chat +webhooks):\n%s", diff)
		}
		var at time.Time
		for i, e := range chat.Thread.Events {
			if want := fmt.Sprintf("%s_%d", thread, i+1); e["id"] != want {
				t.Errorf("event %d has id %v, want %s", i, e["id"], want)
			}
			created, err := time.Parse(time.RFC3339Nano, e["created_at"].(string))
			if err != nil || !created.After(at) {
				t.Errorf("created_at of %v does not rise: %v (%v)", e["id"], created, err)
			}
			at = created
		}
	})
}

func decode(t *testing.T, w Webhook) map[string]any {
	t.Helper()
	var body map[string]any
	must(t, json.Unmarshal(w.Body, &body))
	return body
}

func TestOldShape(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(_ *Config, o *Organization) { o.WebhookVersion = "3.3" })
	w := decode(t, r.do(r.AddEvent(r.thread, Event{Author: agent, Text: "note", Internal: true}))[0])
	if w["license_id"] != float64(15872341) || w["organization_id"] != nil {
		t.Errorf("envelope %v", w)
	}
	e := w["payload"].(map[string]any)["event"].(map[string]any)
	if e["recipients"] != "agents" || e["visibility"] != nil {
		t.Errorf("event %v", e)
	}
	if hooks := r.do(r.DeleteEvent(r.thread, r.thread+"_2")); len(hooks) != 0 {
		t.Errorf("event_deleted in v3.3: %v", hooks)
	}
}

func TestTransferInOldShapes(t *testing.T) {
	t.Parallel()
	for version, want := range map[string][]string{
		"3.2": {"chat_access_granted [7]", "chat_access_revoked [0]"},
		"3.3": {"chat_transferred <nil>", "chat_access_granted [7]", "chat_access_revoked [0]"},
		"3.4": {"chat_transferred <nil>", "chat_access_updated [3 7]"},
	} {
		r := newRig(t, func(c *Config, o *Organization) {
			o.WebhookVersion, c.Switches.SystemMessages = version, SystemMessagesNone
		})
		start := r.do(r.StartChat(testOrg, Chat{Users: []User{{ID: customer}}, Groups: []int{0, 3}}))
		var got []string
		for _, w := range r.do(r.Transfer(start[0].Thread, []int{3, 7}, "")) {
			access, _ := decode(t, w)["payload"].(map[string]any)["access"].(map[string]any)
			got = append(got, fmt.Sprintf("%s %v", w.Action, access["group_ids"]))
		}
		if !slices.Equal(got, want) {
			t.Errorf("v%s: transfer sends %v, want %v", version, got, want)
		}
	}
}

func TestFormAnswersOnTheWire(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	w := decode(t, r.do(r.AddEvent(r.thread, Event{Type: "filled_form", Author: customer, FormType: "prechat", Fields: []Field{
		{ID: "1", Type: "textarea", Label: "What", Text: "broken"},
		{ID: "2", Type: "radio", Label: "Topic", Choices: []Choice{{ID: "0", Label: "Billing"}}},
		{ID: "3", Type: "checkbox", Label: "Products", Choices: []Choice{{ID: "0", Label: "Shop"}, {ID: "2", Label: "App"}}},
		{ID: "4", Type: "group_chooser", Label: "Department", Choices: []Choice{{ID: "2", Label: "Billing", GroupID: 3}}},
	}}))[0])
	got := w["payload"].(map[string]any)["event"].(map[string]any)["fields"]
	want := []any{
		map[string]any{"id": "1", "type": "textarea", "label": "What", "answer": "broken"},
		map[string]any{"id": "2", "type": "radio", "label": "Topic", "answer": map[string]any{"id": "0", "label": "Billing"}},
		map[string]any{"id": "3", "type": "checkbox", "label": "Products", "answers": []any{
			map[string]any{"id": "0", "label": "Shop"}, map[string]any{"id": "2", "label": "App"}}},
		map[string]any{"id": "4", "type": "group_chooser", "label": "Department",
			"answer": map[string]any{"id": "2", "label": "Billing", "group_id": float64(3)}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

func TestSilentSystemMessagesLeaveAGap(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config, _ *Organization) { c.Switches.SystemMessages = SystemMessagesSilent })
	if hooks := r.do(r.Transfer(r.thread, []int{0}, "")); hooks[0].Action != "chat_transferred" {
		t.Errorf("first webhook %s", hooks[0].Action)
	}
	w := r.do(r.AddEvent(r.thread, Event{Author: customer, Text: "still there?"}))
	if w[0].Event != r.thread+"_3" {
		t.Errorf("event id %s", w[0].Event)
	}
}

func TestUsersComeAndGo(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(_ *Config, o *Organization) { o.AdditionalData = true })
	joined := decode(t, r.do(r.AddUser(r.thread, User{ID: "jones@example.com", Silent: true}))[0])
	user := joined["payload"].(map[string]any)["user"].(map[string]any)
	if user["type"] != "agent" || user["visibility"] != "agents" {
		t.Errorf("user %v", user)
	}
	left := decode(t, r.do(r.RemoveUser(r.thread, "jones@example.com"))[0])
	present := left["additional_data"].(map[string]any)["chat_presence_user_ids"]
	if diff := cmp.Diff([]any{customer, agent}, present); diff != "" {
		t.Errorf("present (-want +got):\n%s", diff)
	}
}

func TestPeopleAreRefusedToo(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for name, try := range map[string]func() ([]Webhook, error){
		"resume an open chat": func() ([]Webhook, error) { return r.ResumeChat(r.chat, Thread{}) },
		"unknown tag":         func() ([]Webhook, error) { return r.TagAsPerson(r.thread, "nope") },
		"untag what is not":   func() ([]Webhook, error) { return r.UntagAsPerson(r.thread, "vip") },
		"unknown thread":      func() ([]Webhook, error) { return r.Deactivate("X", agent) },
		"unknown event":       func() ([]Webhook, error) { return r.EditEvent(r.thread, "X", "text") },
		"unknown button":      func() ([]Webhook, error) { return r.Click(r.thread, r.thread+"_1", customer, "b") },
		"unknown group":       func() ([]Webhook, error) { return r.Transfer(r.thread, []int{9}, "") },
		"same chat id":        func() ([]Webhook, error) { return r.StartChat(testOrg, Chat{ID: r.chat}) },
		"same tag":            func() ([]Webhook, error) { return r.CreateTag(testOrg, "VIP") },
	} {
		if hooks, err := try(); err == nil || hooks != nil {
			t.Errorf("%s: %v, %v", name, hooks, err)
		}
	}
}

func jsonBody(o object) io.Reader { return bytes.NewReader(encode(o)) }
