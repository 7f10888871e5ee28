package livechat

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const (
	chatID     = "SJ4K2R8V0P"
	threadID   = "SJ4K2R8WQ3"
	customerID = "2c8f1e5a-9b34-4d7e-8a61-0f5d3c7b9e20"
	agentID    = "smith@example.com"
	botID      = "9f3ad1c07be24d6a8e15c2b47d60fa93"
	orgID      = "5f0b2c4e-7a1d-4c39-9f57-3d2a61b8e0c4"
)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func samples(t testing.TB, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no samples %s: %v", pattern, err)
	}
	for i, p := range paths {
		paths[i] = filepath.Base(p)
	}
	return paths
}

func payload(t testing.TB, name string) (Webhook, Payload) {
	t.Helper()
	w, err := ParseWebhook(sample(t, name))
	if err != nil {
		t.Fatal(err)
	}
	p, err := ParsePayload(w.Action, w.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return w, p
}

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

// TestSampleEnvelopes reads every sample and checks what all of them must give.
func TestSampleEnvelopes(t *testing.T) {
	t.Parallel()
	withoutChat := map[string]bool{
		"customer_session_fields_updated": true, "group_created": true, "group_updated": true, "group_deleted": true,
		"routing_status_set": true, "tag_created": true, "tag_updated": true, "tag_deleted": true,
	}
	withoutThread := map[string]bool{
		ChatAccessUpdated: true, "chat_properties_updated": true, "chat_properties_deleted": true, "events_marked_as_seen": true,
	}
	for _, name := range samples(t, "webhook.*.json") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, p := payload(t, name)
			action, _, _ := strings.Cut(strings.TrimPrefix(name, "webhook."), ".")
			if w.Action != action || w.WebhookID == "" {
				t.Errorf("action %q, webhook id %q", w.Action, w.WebhookID)
			}
			org := orgID
			if strings.Contains(name, ".v3.3.") {
				org = "license-15872341"
			}
			if w.Organization != org {
				t.Errorf("organization %q", w.Organization)
			}
			wantChat, wantThread := chatID, threadID
			if withoutChat[action] {
				wantChat, wantThread = "", ""
			}
			if withoutThread[action] {
				wantThread = ""
			}
			if strings.Contains(name, "resumed_next_thread") {
				wantThread = "SJ71QXB9EF"
			}
			if p.ChatID != wantChat || p.ThreadID != wantThread {
				t.Errorf("chat %q, thread %q", p.ChatID, p.ThreadID)
			}
		})
	}
}

// TestSamplePayloads compares the whole of what is read from the samples.
func TestSamplePayloads(t *testing.T) {
	t.Parallel()
	ids := func(p Payload) Payload { p.ChatID, p.ThreadID = chatID, threadID; return p }
	event := func(e Event) Payload { return ids(Payload{Event: &e}) }
	source := func(client string) Properties {
		return Properties{"source": {"client_id": json.RawMessage(`"` + client + `"`)}}
	}
	menu := []Element{
		{Buttons: []Button{{Text: "Billing and refunds", PostbackID: "choose_billing", HasUsers: true}, {Text: "Shipping FAQ", PostbackID: "open_faq", HasUsers: true}}},
		{Buttons: []Button{{Text: "Call me", PostbackID: "call_me", HasUsers: true}}},
	}
	richMessage := Event{
		ID: threadID + "_7", Type: "rich_message", CreatedAt: at("2026-06-01T09:18:20.45Z"), AuthorID: botID, Elements: menu,
		Properties: source("7d1e90c4b6a24f538c0e2a9b71f3d685"),
	}
	toggled := richMessage
	toggled.Elements = []Element{{Buttons: slices.Clone(menu[0].Buttons)}, menu[1]}
	toggled.Elements[0].Buttons[0].UserIDs = []string{customerID}
	note := Event{
		ID: threadID + "_6", Type: "message", CreatedAt: at("2026-06-01T09:18:01.0003Z"), AuthorID: agentID, Internal: true,
		Text: "note: customer threatened a chargeback",
	}
	message := func(text string, p Properties) Event {
		return Event{
			ID: threadID + "_4", Type: "message", CreatedAt: at("2026-06-01T09:16:20.118001Z"), AuthorID: customerID, Text: text, Properties: p,
		}
	}
	const first, edited = "Yes please, the REFUND should go to the same card.", "Yes please, the refund should go to my OTHER card."
	web := source("c5e4f61e1a6c3b1521b541bc5c5a2ac5")

	for name, want := range map[string]Payload{
		"incoming_event.v3.6":                     event(message(first, web)),
		"incoming_event.v3.3":                     event(message(first, nil)),
		"event_updated.v3.6":                      event(message(edited, web)),
		"event_updated.v3.3":                      event(message(edited, nil)),
		"event_updated.rich_message_toggle.v3.6":  event(toggled),
		"incoming_event.rich_message.v3.6":        event(richMessage),
		"incoming_event.message_agents_only.v3.6": event(note),
		"incoming_event.message_agents_only.v3.3": event(note),
		"incoming_event.message_agent.v3.6": event(Event{
			ID: threadID + "_5", Type: "message", CreatedAt: at("2026-06-01T09:17:44.904Z"), AuthorID: agentID,
			Text:       "Sure, I have just issued the refund. It takes **3-5 days**.",
			Properties: Properties{"chats": {"formatting": json.RawMessage(`"commonmark"`)}},
		}),
		"incoming_event.message_postback.v3.6": event(Event{
			ID: threadID + "_8", Type: "message", CreatedAt: at("2026-06-01T09:18:40Z"), AuthorID: customerID, Text: "Billing and refunds",
			Postback: &Postback{ID: "choose_billing", EventID: threadID + "_7", ThreadID: threadID, Toggled: true},
		}),
		"incoming_event.message_translated.v3.6": event(Event{
			ID: threadID + "_9", Type: "message", CreatedAt: at("2026-06-01T09:18:58.73Z"), AuthorID: customerID, Text: "Chcę zwrotu pieniędzy 😡",
			Properties: Properties{"translation": {
				"source_lang_code": json.RawMessage(`"pl"`), "target_lang_code": json.RawMessage(`"en"`),
				"target_message": json.RawMessage(`"I want my money back 😡"`),
			}},
		}),
		"incoming_event.rich_message_quick_replies.v3.6": event(Event{
			ID: threadID + "_10", Type: "rich_message", CreatedAt: at("2026-06-01T09:19:10Z"), AuthorID: botID,
			Elements: []Element{{Buttons: []Button{{Text: "Yes", PostbackID: "yes", HasUsers: true}, {Text: "No", PostbackID: "no", HasUsers: true}}}},
		}),
		"incoming_event.file.v3.6": event(Event{
			ID: threadID + "_11", Type: "file", CreatedAt: at("2026-06-01T09:19:31.22Z"), AuthorID: customerID,
			Properties: Properties{"lc2": {"file_safety_confirmation": json.RawMessage("false")}},
		}),
		"incoming_event.file_image.v3.6": event(Event{
			ID: threadID + "_12", Type: "file", CreatedAt: at("2026-06-01T09:19:52.66Z"), AuthorID: customerID,
		}),
		"incoming_event.form.v3.6": event(Event{
			ID: threadID + "_13", Type: "form", CreatedAt: at("2026-06-01T09:20:05Z"), AuthorID: botID, FormType: "ask_for_email",
			Fields: []Field{
				{ID: "171697112239901", Type: "email", Label: "Your e-mail"},
				{ID: "171697112239902", Type: "select", Label: "Topic"},
			},
		}),
		"incoming_event.filled_form.v3.6": event(Event{
			ID: threadID + "_21", Type: "filled_form", CreatedAt: at("2026-06-01T09:40:12Z"), AuthorID: customerID, FormType: "postchat",
			Fields: []Field{
				{ID: "1", Type: "radio", Label: "How was the chat?", Answers: []Answer{{"0", "Great"}}},
				{ID: "2", Type: "textarea", Label: "Anything else?", Answers: []Answer{{"", "Next time please do not charge me twice"}}},
				{ID: "3", Type: "checkbox", Label: "Contact me about"},
				{ID: "4", Type: "question", Label: "Order number?"},
			},
			Properties: Properties{"lc2": {"form_type": json.RawMessage(`"postchat"`)}},
		}),
		"incoming_event.system_message.v3.6": event(Event{
			ID: threadID + "_14", Type: "system_message", CreatedAt: at("2026-06-01T09:22:48.09Z"),
			Text: "Chat assigned to Agent Jones because Agent Smith hasn't replied in 5 minutes",
		}),
		"incoming_event.system_message_rating.v3.6": event(Event{
			ID: threadID + "_20", Type: "system_message", CreatedAt: at("2026-06-01T09:39:58.41Z"),
			Text: "Maya Okafor left the following comment: refund handled quickly",
		}),
		"incoming_event.system.v3.6": event(Event{
			ID: threadID + "_15", Type: "system", CreatedAt: at("2026-06-01T09:23:30Z"),
		}),
		"incoming_event.custom.v3.6": event(Event{
			ID: threadID + "_16", Type: "custom", CreatedAt: at("2026-06-01T09:24:00Z"), AuthorID: agentID, Internal: true,
		}),
		"event_deleted.v3.6": ids(Payload{EventID: threadID + "_4"}),
		"event_properties_updated.v3.6": ids(Payload{EventID: threadID + "_9", Properties: Properties{"translation": {
			"target_lang_code": json.RawMessage(`"en"`), "target_message": json.RawMessage(`"I want a refund"`),
		}}}),
		"event_properties_deleted.v3.6":     ids(Payload{EventID: threadID + "_9", Removed: map[string][]string{"translation": {"target_message"}}}),
		"chat_deactivated.v3.6":             ids(Payload{UserID: agentID}),
		"chat_deactivated.v3.3":             ids(Payload{UserID: agentID}),
		"chat_deactivated.by_customer.v3.6": ids(Payload{UserID: customerID}),
		"chat_deactivated.by_router.v3.6":   ids(Payload{}),
		"chat_access_updated.v3.6":          {ChatID: chatID, GroupIDs: []int{3}, HasGroups: true},
		"chat_transferred.v3.6":             ids(Payload{GroupIDs: []int{3}, HasGroups: true}),
		"chat_transferred.queued.v3.6":      ids(Payload{GroupIDs: []int{3}, HasGroups: true}),
		"chat_transferred.queued.v3.3":      ids(Payload{GroupIDs: []int{3}, HasGroups: true}),
		"thread_tagged.v3.6":                ids(Payload{Tag: "refund"}),
		"thread_tagged.v3.3":                ids(Payload{Tag: "refund"}),
		"thread_untagged.v3.6":              ids(Payload{Tag: "refund"}),
		"user_added_to_chat.v3.6":           ids(Payload{User: &User{"jones@example.com", "agent"}}),
		"user_removed_from_chat.v3.6":       ids(Payload{UserID: "jones@example.com"}),
		"incoming_rich_message_postback.v3.6": ids(Payload{
			EventID: threadID + "_7", UserID: customerID, Postback: &Postback{ID: "choose_billing", Toggled: true},
		}),
		"incoming_rich_message_postback.ecommerce.v3.6": ids(Payload{
			EventID: threadID + "_17", UserID: customerID, Postback: &Postback{ID: "add_to_cart", Toggled: true},
		}),
		"thread_properties_updated.v3.6": ids(Payload{}),
		"chat_properties_updated.v3.6":   {ChatID: chatID},
		"tag_created.v3.6":               {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, got := payload(t, "webhook."+name+".json")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func prechatFields() []Field {
	text := func(n, kind, label, answer string) Field {
		return Field{ID: "1716971122334" + n, Type: kind, Label: label, Answers: []Answer{{"", answer}}}
	}
	choice := func(n, kind, label string, answers ...Answer) Field {
		return Field{ID: "1716971122334" + n, Type: kind, Label: label, Answers: answers}
	}
	return []Field{
		text("01", "name", "Name:", "Maya Okafor"),
		text("02", "email", "E-mail:", "maya.okafor@example.net"),
		text("03", "subject", "Subject:", "Double charge on invoice INV-2291"),
		text("04", "question", "Order number?", "A-77120"),
		text("05", "textarea", "Describe the problem", "I was billed twice, I want a refund."),
		choice("06", "radio", "Chat purpose", Answer{"1", "Billing"}),
		choice("07", "select", "Country", Answer{"0", "Poland"}),
		choice("08", "checkbox", "Products", Answer{"0", "Shop"}, Answer{"2", "Mobile app"}),
		choice("09", "group_chooser", "Department", Answer{"2", "Billing"}),
	}
}

func TestSampleIncomingChats(t *testing.T) {
	t.Parallel()
	both := []User{{customerID, "customer"}, {agentID, "agent"}}
	for name, want := range map[string]struct {
		users    []User
		active   bool
		events   int
		previous string
	}{
		"incoming_chat.v3.6":                     {both, true, 3, "SHT07M1XZD"},
		"incoming_chat.v3.3":                     {both, true, 3, "SHT07M1XZD"},
		"incoming_chat.no_events.v3.6":           {both, true, 0, "SHT07M1XZD"},
		"incoming_chat.queued.v3.6":              {both[:1], true, 2, "SHT07M1XZD"},
		"incoming_chat.inactive_thread.v3.6":     {both[:1], false, 1, "SHT07M1XZD"},
		"incoming_chat.bot_first.v3.6":           {[]User{{customerID, "customer"}, {botID, "agent"}}, true, 2, "SHT07M1XZD"},
		"incoming_chat.resumed_next_thread.v3.6": {both, true, 1, threadID},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, p := payload(t, "webhook."+name+".json")
			c := p.Chat
			if c == nil || c.Thread == nil {
				t.Fatalf("no chat or thread: %+v", p)
			}
			th := c.Thread
			if diff := cmp.Diff(want.users, c.Users); diff != "" {
				t.Error(diff)
			}
			var ids []string
			for _, u := range want.users {
				ids = append(ids, u.ID)
			}
			if diff := cmp.Diff(ids, th.UserIDs); diff != "" {
				t.Error(diff)
			}
			if th.Active != want.active || len(th.Events) != want.events || th.PreviousThreadID != want.previous {
				t.Errorf("active %v, %d events, previous %q", th.Active, len(th.Events), th.PreviousThreadID)
			}
			groups := []int{0, 3}
			if !c.HasGroups || !th.HasGroups || !reflect.DeepEqual(c.GroupIDs, groups) || !reflect.DeepEqual(th.GroupIDs, groups) {
				t.Errorf("groups %v %v", c.GroupIDs, th.GroupIDs)
			}
			if th.CreatedAt.IsZero() || th.Tags != nil || th.Restricted != "" {
				t.Errorf("created %v, tags %v, restricted %q", th.CreatedAt, th.Tags, th.Restricted)
			}
			if _, ok := c.Properties["routing"]["continuous"]; !ok {
				t.Error("no chat properties")
			}
			if got := string(th.Properties["routing"]["offline_message"]); (got == "true") == want.active {
				t.Errorf("offline_message %q", got)
			}
		})
	}
	for _, name := range []string{"incoming_chat.v3.6", "incoming_chat.v3.3"} {
		_, p := payload(t, "webhook."+name+".json")
		events := p.Chat.Thread.Events
		form := events[0]
		if form.Type != "filled_form" || form.FormType != "prechat" || form.Internal {
			t.Errorf("%s: form is %q of type %q, internal %v", name, form.Type, form.FormType, form.Internal)
		}
		if diff := cmp.Diff(prechatFields(), form.Fields); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if got := string(events[2].Properties["lc2"]["welcome_message"]); got != "true" {
			t.Errorf("%s: welcome_message %q", name, got)
		}
	}
}

func TestSampleAPIChats(t *testing.T) {
	t.Parallel()
	read := func(name string) (c Chat) {
		if err := json.Unmarshal(sample(t, name), &c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := read("api.get_chat.response.v3.6.json")
	if diff := cmp.Diff([]string{"refund", "vip"}, c.Thread.Tags); diff != "" {
		t.Error(diff)
	}
	if c.ID != chatID || c.Thread.ID != threadID || c.Thread.Active || c.Thread.NextThreadID != "SJ71QXB9EF" || len(c.Thread.Events) != 8 {
		t.Errorf("%+v", c)
	}
	if diff := cmp.Diff(prechatFields(), c.Thread.Events[0].Fields); diff != "" {
		t.Error(diff)
	}

	offset := read("api.get_chat.active_untagged_offset_timestamps.response.v3.6.json").Thread
	if want := at("2026-06-01T09:15:03.201Z"); !offset.CreatedAt.Equal(want) || !offset.Active || offset.Tags != nil {
		t.Errorf("created %v, active %v, tags %v", offset.CreatedAt, offset.Active, offset.Tags)
	}

	for name, text := range map[string]string{
		"api.get_chat.deleted_event_admin_token.response.v3.6.json":  "my card number is 4111 1111 1111 1111",
		"api.get_chat.deleted_event_normal_token.response.v3.6.json": "",
	} {
		e := read(name).Thread.Events[1]
		if !e.Deleted || e.Type != "message" || e.Text != text || e.AuthorID != customerID {
			t.Errorf("%s: %+v", name, e)
		}
	}

	var threads struct{ Threads []Thread }
	if err := json.Unmarshal(sample(t, "api.list_threads.response.v3.6.json"), &threads); err != nil {
		t.Fatal(err)
	}
	if len(threads.Threads) == 0 || threads.Threads[0].ID == "" {
		t.Errorf("%+v", threads)
	}
	var archives struct{ Chats []Chat }
	if err := json.Unmarshal(sample(t, "api.list_archives.response.v3.6.json"), &archives); err != nil {
		t.Fatal(err)
	}
	if len(archives.Chats) == 0 || archives.Chats[0].Thread == nil {
		t.Errorf("%+v", archives)
	}
}

func TestParseWebhookEnvelope(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body string
		want       Webhook
	}{
		{"license as number", `{"license_id":42}`, Webhook{Organization: "license-42"}},
		{"license as string", `{"license_id":"42"}`, Webhook{Organization: "license-42"}},
		{"both", `{"license_id":42,"organization_id":"o"}`, Webhook{Organization: "o"}},
		{"organization empty", `{"organization_id":"","license_id":42}`, Webhook{Organization: "license-42"}},
		{"license no number", `{"license_id":"4.2","action":"a"}`, Webhook{Action: "a"}},
		{"license null", `{"license_id":null}`, Webhook{}},
		{"organization of another type", `{"organization_id":7,"license_id":42}`, Webhook{Organization: "license-42"}},
		{"every field of another type", `{"webhook_id":[],"action":{},"organization_id":true,"license_id":{"a":1},"payload":3}`,
			Webhook{Payload: json.RawMessage("3")}},
		{"payload as it came", ` { "payload" : {"a" : [1, "}"]} , "action":"x" } `, Webhook{Action: "x", Payload: json.RawMessage(`{"a" : [1, "}"]}`)}},
		{"escaped key", `{"\u0061ction":"x"}`, Webhook{Action: "x"}},
		{"key of another case", `{"Action":"x"}`, Webhook{}},
		{"empty", `{}`, Webhook{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseWebhook([]byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, body := range []string{"", " ", "null", "[]", `"x"`, "1", "{", `{"a":}`, `{"a":1}{}`, `{"a":1},`, "\xef\xbb\xbf{}"} {
		if _, err := ParseWebhook([]byte(body)); err == nil {
			t.Errorf("webhook %q was read", body)
		}
		if _, err := ParsePayload(IncomingEvent, []byte(body)); err == nil {
			t.Errorf("payload %q was read", body)
		}
	}
}

// event reads an event through ParsePayload.
func event(t testing.TB, body string) Event {
	t.Helper()
	p, err := ParsePayload(IncomingEvent, []byte(`{"event":`+body+`}`))
	if err != nil {
		t.Fatal(err)
	}
	if p.Event == nil {
		t.Fatal("no event")
	}
	return *p.Event
}

func TestVisibility(t *testing.T) {
	t.Parallel()
	for body, internal := range map[string]bool{
		`{}`:                                          false,
		`{"visibility":"all"}`:                        false,
		`{"recipients":"all"}`:                        false,
		`{"visibility":null}`:                         false,
		`{"visibility":"agents"}`:                     true,
		`{"recipients":"agents"}`:                     true,
		`{"visibility":"supervisors"}`:                true,
		`{"visibility":""}`:                           true,
		`{"visibility":"ALL"}`:                        true,
		`{"visibility":7}`:                            true,
		`{"visibility":["all"]}`:                      true,
		`{"visibility":"all","recipients":"agents"}`:  true,
		`{"recipients":"agents","visibility":"all"}`:  true,
		`{"recipients": "all" , "visibility": "all"}`: false,
	} {
		if got := event(t, body).Internal; got != internal {
			t.Errorf("%s: internal %v", body, got)
		}
	}
}

func TestAnswerShapes(t *testing.T) {
	t.Parallel()
	for body, want := range map[string][]Answer{
		`{}`:                                  nil,
		`{"answer":null}`:                     nil,
		`{"answer":""}`:                       nil,
		`{"answer":"a"}`:                      {{"", "a"}},
		`{"value":"a"}`:                       {{"", "a"}},
		`{"answer":7.50}`:                     {{"", "7.50"}},
		`{"answer":true}`:                     nil,
		`{"answer":{"id":2,"label":"B"}}`:     {{"2", "B"}},
		`{"answer":{"id":"2","label":"B"}}`:   {{"2", "B"}},
		`{"answer":{"id":"2","label":{}}}`:    {{"2", ""}},
		`{"answer":{"label":"B","id":[1]}}`:   {{"", "B"}},
		`{"answers":[]}`:                      nil,
		`{"answers":{"id":"1","label":"A"}}`:  {{"1", "A"}},
		`{"answers":"A"}`:                     {{"", "A"}},
		`{"answer":[{"id":"1","label":"A"}]}`: {{"1", "A"}},
		`{"answers":[{"id":"1","label":"A"},"B",3,null,[{"id":"9"}],{}]}`: {{"1", "A"}, {"", "B"}, {"", "3"}},
		`{"answers":[],"answer":"a"}`:                                     {{"", "a"}},
		`{"answer":"","answers":[{"label":"A"}]}`:                         {{"", "A"}},
		`{"value":"v","answer":"a"}`:                                      {{"", "a"}},
	} {
		e := event(t, `{"fields":[`+body+`]}`)
		if len(e.Fields) != 1 {
			t.Errorf("%s: fields %+v", body, e.Fields)
			continue
		}
		if diff := cmp.Diff(want, e.Fields[0].Answers); diff != "" {
			t.Errorf("%s: %s", body, diff)
		}
	}
}

func TestEventShapes(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]Event{
		`{"id":7,"author_id":12}`:   {ID: "7", AuthorID: "12"},
		`{"text":{"a":1},"id":"x"}`: {ID: "x"},
		`{"text":"a","text":"b"}`:   {Text: "b"},
		`{"Text":"a"}`:              {},
		`{"deleted":"true"}`:        {},
		`{"deleted":true}`:          {Deleted: true},
		`{"form_type":"","properties":{"lc2":{"form_type":"ticket"}}}`: {FormType: "ticket", Properties: Properties{"lc2": {"form_type": json.RawMessage(`"ticket"`)}}},
		`{"form_type":"prechat"}`:                                      {FormType: "prechat"},
		`{"postback":{"id":3}}`:                                        {Postback: &Postback{ID: "3", Toggled: true}},
		`{"postback":{"id":"p","toggled":false}}`:                      {Postback: &Postback{ID: "p"}},
		`{"postback":{"id":"p","toggled":"no"}}`:                       {Postback: &Postback{ID: "p", Toggled: true}},
		`{"postback":"p"}`:                                             {},
		`{"postback":null}`:                                            {},
		`{"fields":[1,null,{"id":5,"label":7}]}`:                       {Fields: []Field{{ID: "5"}}},
		`{"fields":{}}`:                                                {},
		`{"elements":[3,{"buttons":7},{"buttons":[1,{"text":"T","postback_id":4,"user_ids":[1,{},"u"]},{"user_ids":null}]}]}`: {Elements: []Element{{}, {Buttons: []Button{
			{Text: "T", PostbackID: "4", UserIDs: []string{"1", "u"}, HasUsers: true}, {},
		}}}},
		`{"properties":[]}`:                               {},
		`{"properties":{"a":1,"b":{"c":[1, {}]}}}`:        {Properties: Properties{"b": {"c": json.RawMessage(`[1, {}]`)}}},
		`{"created_at":"2026-06-01T09:15:03+02:00"}`:      {CreatedAt: at("2026-06-01T07:15:03Z")},
		`{"created_at":"2026-06-01T09:15:03.123456789Z"}`: {CreatedAt: at("2026-06-01T09:15:03.123456789Z")},
		`{"created_at":"2026-06-01 09:15:03"}`:            {},
		`{"created_at":"9999999-01-01T00:00:00Z"}`:        {},
		`{"created_at":"9999-12-31T23:59:59-01:00"}`:      {},
		`{"created_at":"0000-01-01T00:00:00+01:00"}`:      {},
		`{"created_at":1780305601}`:                       {},
		`{"text":"a\ud800b"}`:                             {Text: "a\ufffdb"},
		`{"text":"\udc00\ud83d\ude00"}`:                   {Text: "\ufffd😀"},
		"{\"text\":\"a\xffb\"}":                           {Text: "a\ufffdb"},
		`{"text":"\"\\"}`:                                 {Text: `"\`},
		`{"text":"\\\\\"","id":"x"}`:                      {Text: `\\"`, ID: "x"},
		`{"id":null,"type":null,"text":null}`:             {},
	} {
		if diff := cmp.Diff(want, event(t, body)); diff != "" {
			t.Errorf("%s: %s", body, diff)
		}
	}
}

func TestPayloadShapes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		action, body string
		want         Payload
	}{
		{IncomingEvent, `{"chat_id":[],"thread_id":5,"event":{"id":"e"}}`, Payload{ThreadID: "5", Event: &Event{ID: "e"}}},
		{IncomingEvent, `{"event":[]}`, Payload{}},
		{IncomingEvent, `{"id":"x","chat_id":"c"}`, Payload{ChatID: "c"}},
		{IncomingChat, `{"chat":{"id":"c","users":[1,{"id":3}],"thread":{"id":4,"active":"yes","tags":["a",1,"b"],"user_ids":["u",2,{}]}}}`,
			Payload{ChatID: "c", ThreadID: "4", Chat: &Chat{ID: "c", Users: []User{{ID: "3"}},
				Thread: &Thread{ID: "4", Tags: []string{"a", "b"}, UserIDs: []string{"u", "2"}}}}},
		{IncomingChat, `{"chat":{"id":"c","thread":[]}}`, Payload{ChatID: "c", Chat: &Chat{ID: "c"}}},
		{IncomingChat, `{"chat":null,"chat_id":"c"}`, Payload{ChatID: "c"}},
		{ChatAccessUpdated, `{"id":"c","access":{"group_ids":[]}}`, Payload{ChatID: "c", HasGroups: true}},
		{ChatAccessUpdated, `{"chat_id":"c","access":{"group_ids":["4",5,"x",1.5,null]}}`, Payload{ChatID: "c", GroupIDs: []int{4, 5}, HasGroups: true}},
		{ChatAccessGranted, `{"id":"c","access":{"group_ids":[1]}}`, Payload{ChatID: "c", GroupIDs: []int{1}, HasGroups: true}},
		{ChatAccessRevoked, `{"id":"c","access":{}}`, Payload{ChatID: "c"}},
		{ChatTransferred, `{"chat_id":"c","transferred_to":{"agent_ids":["a"]}}`, Payload{ChatID: "c"}},
		{EventPropertiesDeleted, `{"event_id":8,"properties":{"a":["x",1],"b":{}}}`, Payload{EventID: "8", Removed: map[string][]string{"a": {"x"}}}},
		{UserAddedToChat, `{"user":{"id":"u","type":1}}`, Payload{User: &User{ID: "u"}}},
		{"something_new", `{"chat_id":"c","thread_id":"t","event":{"id":"e"},"id":"x"}`, Payload{ChatID: "c", ThreadID: "t"}},
	} {
		got, err := ParsePayload(tt.action, []byte(tt.body))
		if err != nil {
			t.Errorf("%s: %v", tt.body, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.body, diff)
		}
	}
}

func TestRestrictedThread(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{}`:                                   "",
		`{"restricted_access":null}`:           "",
		`{"restricted_access":false}`:          "",
		`{"restricted_access":"plan history"}`: "plan history",
		`{"restricted_access":true}`:           "unknown reason",
		`{"restricted_access":{"reason":"x"}}`: "unknown reason",
	} {
		var th Thread
		if err := json.Unmarshal([]byte(body), &th); err != nil {
			t.Fatal(err)
		}
		if th.Restricted != want {
			t.Errorf("%s: %q", body, th.Restricted)
		}
	}
}

// TestUnmarshalKeepsNothing changes the bytes after reading, as json.Decoder
// does with its buffer.
func TestUnmarshalKeepsNothing(t *testing.T) {
	t.Parallel()
	body := []byte(`{"id":"e","properties":{"a":{"b":"kept"}}}`)
	var e Event
	if err := e.UnmarshalJSON(body); err != nil {
		t.Fatal(err)
	}
	var p Properties
	if err := p.UnmarshalJSON([]byte(`{"a":{"b":"kept"}}`)); err != nil {
		t.Fatal(err)
	}
	for i := range body {
		body[i] = 'x'
	}
	if got := string(e.Properties["a"]["b"]); got != `"kept"` || e.ID != "e" {
		t.Errorf("%+v", e)
	}
	if diff := cmp.Diff(e.Properties, p); diff != "" {
		t.Error(diff)
	}
	var all struct {
		User     User
		Field    Field
		Postback Postback
		Tag      Tag
	}
	if err := json.Unmarshal([]byte(`{"user":{"id":1},"field":7,"postback":{"id":"p"},"tag":{"name":"t","group_ids":[1]}}`), &all); err != nil {
		t.Fatal(err)
	}
	if all.User.ID != "1" || all.Postback.ID != "p" || all.Tag.Name != "t" || len(all.Tag.GroupIDs) != 1 {
		t.Errorf("%+v", all)
	}
}

// TestOneWrongField replaces one value of a sample by a value of any other
// type: whatever else the payload says must be read as before.
func TestOneWrongField(t *testing.T) {
	t.Parallel()
	others := []string{`null`, `true`, `17`, `"x"`, `[]`, `{}`, `[[{"a":1}]]`, `{"id":{"id":[]}}`, `-1e999`}
	_, p := payload(t, "webhook.incoming_chat.v3.6.json")
	want := p.Chat
	body := sample(t, "webhook.incoming_chat.v3.6.json")
	w, err := ParseWebhook(body)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range others {
		for _, key := range []string{"answer", "answers", "form_id", "custom_id", "label", "visit", "properties", "statistics", "customer_visit", "type", "fields"} {
			changed := replaceValues(t, w.Payload, key, other)
			got, err := ParsePayload(IncomingChat, changed)
			if err != nil {
				t.Fatalf("%s: %s: %v", key, other, err)
			}
			if got.Chat.ID != want.ID || len(got.Chat.Users) != 2 || len(got.Chat.Thread.Events) != 3 ||
				got.Chat.Thread.Events[2].Text != want.Thread.Events[2].Text || !got.Chat.Thread.Active || len(got.Chat.Thread.GroupIDs) != 2 {
				t.Errorf("%s: %s: %+v", key, other, got.Chat)
			}
		}
	}
}

// replaceValues sets every field of the name, at any depth.
func replaceValues(t *testing.T, body []byte, name, value string) []byte {
	t.Helper()
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for k := range v {
				if k == name {
					v[k] = json.RawMessage(value)
				} else {
					walk(v[k])
				}
			}
		case []any:
			for _, item := range v {
				walk(item)
			}
		}
	}
	walk(v)
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestStringsLikeStandardLibrary: the cursor reads strings as encoding/json
// does.
func TestStringsLikeStandardLibrary(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{`\"`, `\\`, `\n`, `\u0041`, `\ud83d`, `\ude00`, "\xff", "\xc3", `\/`, "é"}))
		parts := rapid.SliceOf(part).Draw(t, "parts")
		body := []byte(`{"text":"` + strings.Join(parts, "") + `"}`)
		var want struct{ Text string }
		if json.Unmarshal(body, &want) != nil {
			t.Skip("not JSON")
		}
		var got Event
		if err := got.UnmarshalJSON(body); err != nil {
			t.Fatal(err)
		}
		if got.Text != want.Text {
			t.Fatalf("%q: got %q, want %q", body, got.Text, want.Text)
		}
	})
}

func TestAuthorSide(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		id, userType string
		want         Side
	}{
		{customerID, "customer", Customer},
		{customerID, "", Customer},
		{strings.ToUpper(customerID), "", Customer},
		{agentID, "agent", Agent},
		{agentID, "", Agent},
		{agentID, "customer", Customer},
		{botID, "agent", Bot},
		{botID, "", Bot},
		{strings.ToUpper(botID), "", Bot},
		{botID, "customer", Customer},
		{customerID, "agent", Agent},
		{"somebody", "agent", Agent},
		{"somebody", "", NoSide},
		{"somebody", "robot", NoSide},
		{"", "", NoSide},
		{botID[:31] + "g", "", NoSide},
		{botID[:31], "", NoSide},
		{customerID[:35] + "-", "", NoSide},
		{strings.ReplaceAll(customerID, "-", "_"), "", NoSide},
	} {
		if got := AuthorSide(tt.id, tt.userType); got != tt.want {
			t.Errorf("AuthorSide(%q, %q) = %q, want %q", tt.id, tt.userType, got, tt.want)
		}
	}
}

// FuzzPayload: nothing panics, and every JSON object is read. The types are
// also given the bytes as they are, JSON or not.
func FuzzPayload(f *testing.F) {
	for _, name := range samples(f, "*.json") {
		f.Add("incoming_chat", sample(f, name))
		if w, err := ParseWebhook(sample(f, name)); err == nil && w.Payload != nil {
			f.Add(w.Action, []byte(w.Payload))
		}
	}
	f.Add(IncomingEvent, []byte(`{"event":{"text":"\ud800","fields":[{"answers":[[[]]]}],"properties":{"a":{"b":1}}}}`))
	f.Add(IncomingEvent, bytes.Repeat([]byte(`{"event":`), 100))
	f.Fuzz(func(t *testing.T, action string, data []byte) {
		object := json.Valid(data) && bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{"))
		if _, err := ParseWebhook(data); (err == nil) != object {
			t.Fatalf("object %v, webhook error %v", object, err)
		}
		p, err := ParsePayload(action, data)
		if (err == nil) != object {
			t.Fatalf("object %v, payload error %v", object, err)
		}
		if p.Event != nil && !utf8.ValidString(p.Event.Text) {
			t.Fatalf("text is not UTF-8: %q", p.Event.Text)
		}
		var (
			chat     Chat
			thread   Thread
			event    Event
			user     User
			field    Field
			postback Postback
			tag      Tag
			props    Properties
		)
		for _, x := range []json.Unmarshaler{&chat, &thread, &event, &user, &field, &postback, &tag, &props} {
			if err := x.UnmarshalJSON(data); err != nil {
				t.Fatalf("%T: %v", x, err)
			}
		}
	})
}

func BenchmarkParsePayload(b *testing.B) {
	for _, name := range []string{"incoming_event", "incoming_chat"} {
		body := sample(b, "webhook."+name+".v3.6.json")
		var compact bytes.Buffer
		if err := json.Compact(&compact, body); err != nil {
			b.Fatal(err)
		}
		w, err := ParseWebhook(compact.Bytes())
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(w.Payload)))
			for b.Loop() {
				if _, err := ParsePayload(w.Action, w.Payload); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/webhook", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(compact.Len()))
			for b.Loop() {
				if _, err := ParseWebhook(compact.Bytes()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
