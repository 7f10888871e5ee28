package transcript

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"autotag/pkg/livechat"
)

const (
	maya  = "2c8f1e5a-9b34-4d7e-8a61-0f5d3c7b9e20"
	smith = "smith@example.com"
	robot = "9f3ad1c07be24d6a8e15c2b47d60fa93"
)

var (
	key  = Key{Org: "org", Chat: "C", Thread: "T"}
	noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
)

// hook is a webhook that was stored.
type hook struct {
	action string
	p      livechat.Payload
	at     time.Time
}

func (h hook) facts() []Fact { return Read(key, h.action, h.p, h.at).Facts }

func factsOf(hooks ...hook) *Facts {
	f := new(Facts)
	for _, h := range hooks {
		f.AddAll(h.facts())
	}
	return f
}

// sec is a moment, s seconds after noon.
func sec(s int) time.Time { return noon.Add(time.Duration(s) * time.Second) }

// The n-th event of the thread, created n seconds after noon.
func message(n int, author, text string) livechat.Event {
	return livechat.Event{ID: fmt.Sprintf("T_%d", n), Type: "message", CreatedAt: sec(n), AuthorID: author, Text: text}
}

func rich(n int, labels ...string) livechat.Event {
	e := livechat.Event{ID: fmt.Sprintf("T_%d", n), Type: "rich_message", CreatedAt: sec(n), AuthorID: robot}
	for i, label := range labels {
		e.Elements = append(e.Elements, livechat.Element{Buttons: []livechat.Button{{PostbackID: fmt.Sprintf("b%d", i), Text: label}}})
	}
	return e
}

func start(at int, events ...livechat.Event) hook {
	return hook{livechat.IncomingChat, livechat.Payload{Chat: &livechat.Chat{
		ID:     "C",
		Users:  []livechat.User{{ID: maya, Type: "customer"}, {ID: smith, Type: "agent"}},
		Thread: &livechat.Thread{ID: "T", Active: true, CreatedAt: noon, Events: events, GroupIDs: []int{0}, HasGroups: true},
	}}, sec(at)}
}

func incoming(at int, e livechat.Event) hook {
	return hook{livechat.IncomingEvent, livechat.Payload{Event: &e}, sec(at)}
}

func edited(at int, e livechat.Event) hook {
	return hook{livechat.EventUpdated, livechat.Payload{Event: &e}, sec(at)}
}

func deleted(at int, id string) hook {
	return hook{livechat.EventDeleted, livechat.Payload{EventID: id}, sec(at)}
}

func properties(text string) livechat.Properties {
	var p livechat.Properties
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		panic(err)
	}
	return p
}

func set(at int, id, text string) hook {
	return hook{livechat.EventPropertiesUpdated, livechat.Payload{EventID: id, Properties: properties(text)}, sec(at)}
}

func unset(at int, id, namespace, name string) hook {
	return hook{livechat.EventPropertiesDeleted,
		livechat.Payload{EventID: id, Removed: map[string][]string{namespace: {name}}}, sec(at)}
}

func press(at int, id, button string, on bool) hook {
	return hook{livechat.IncomingRichMessagePostback, livechat.Payload{EventID: id, UserID: maya,
		Postback: &livechat.Postback{ID: button, Toggled: on}}, sec(at)}
}

func groups(at int, ids ...int) hook {
	return hook{livechat.ChatAccessUpdated, livechat.Payload{GroupIDs: ids, HasGroups: true}, sec(at)}
}

func userAdded(at int, id, typ string) hook {
	return hook{livechat.UserAddedToChat, livechat.Payload{User: &livechat.User{ID: id, Type: typ}}, sec(at)}
}

func with(e livechat.Event, text string) livechat.Event {
	e.Properties = properties(text)
	return e
}

// lines shows a transcript, a message a line.
func lines(t *Transcript) []string {
	out := []string{}
	for _, m := range t.Messages {
		s := m.EventID + " " + string(m.Author)
		if m.Internal {
			s += " internal"
		}
		for _, x := range m.Texts {
			s += fmt.Sprintf(" %s=%q", x.Field, x.Text)
			if x.Markdown {
				s += " markdown"
			}
		}
		out = append(out, s)
	}
	return out
}

func TestReadings(t *testing.T) {
	t.Parallel()
	const greeting = `{"lc2":{"welcome_message":true}}`
	hello := message(1, maya, "hello")
	form := livechat.Event{ID: "T_1", Type: "filled_form", CreatedAt: sec(1), AuthorID: maya, Fields: []livechat.Field{
		{ID: "1", Type: "name", Answers: []livechat.Answer{{Text: "Maya"}}},
		{ID: "2", Type: "email", Answers: []livechat.Answer{{Text: "maya@example.net"}}},
		{ID: "3", Type: "question", Answers: []livechat.Answer{{Text: "A-1"}}},
		{ID: "4", Type: "radio", Answers: []livechat.Answer{{ID: "9", Text: "Billing"}}},
		{ID: "5", Type: "checkbox", Answers: []livechat.Answer{{ID: "0", Text: "Shop"}, {ID: "2", Text: "App"}}},
		{ID: "6", Type: "checkbox", Answers: []livechat.Answer{{ID: "1", Text: "Only"}}},
		{ID: "7", Type: "textarea", Answers: []livechat.Answer{{Text: " \n"}}},
	}}
	postback := message(3, maya, "Billing")
	postback.Postback = &livechat.Postback{ID: "b0", EventID: "T_2", Toggled: true}
	internal := message(1, smith, "note")
	internal.Internal = true
	stub := message(1, maya, "")
	stub.Deleted = true

	for name, c := range map[string]struct {
		hooks []hook
		want  [][]string
	}{
		"nothing":              {nil, [][]string{{}}},
		"initial events":       {[]hook{start(0, hello)}, [][]string{{`T_1 customer text="hello"`}}},
		"sent twice":           {[]hook{start(0, hello), incoming(2, hello)}, [][]string{{`T_1 customer text="hello"`}}},
		"authors":              {[]hook{incoming(1, message(1, maya, "a")), incoming(2, message(2, smith, "b")), incoming(3, message(3, robot, "c")), incoming(4, message(4, "x", "d"))}, [][]string{{`T_1 customer text="a"`, `T_2 agent text="b"`, `T_3 bot text="c"`, `T_4  text="d"`}}},
		"user tells the side":  {[]hook{incoming(1, message(1, "x", "a")), userAdded(2, "x", "agent")}, [][]string{{`T_1 agent text="a"`}}},
		"order":                {[]hook{incoming(1, message(2, maya, "b")), incoming(2, hello)}, [][]string{{`T_1 customer text="hello"`, `T_2 customer text="b"`}}},
		"internal":             {[]hook{incoming(1, internal)}, [][]string{{`T_1 agent internal text="note"`}}},
		"blank":                {[]hook{incoming(1, message(1, maya, " \u200b\u00a0\n"))}, [][]string{{}}},
		"form":                 {[]hook{incoming(1, form)}, [][]string{{`T_1 customer answer:3="A-1" answer:4="Billing" answer:5:0="Shop" answer:5:2="App" answer:6:1="Only"`}}},
		"greeting":             {[]hook{start(0, with(message(1, smith, "Hi!"), greeting), with(message(2, smith, "Hi!"), `{"lc2":{"greeting_id":"7"}}`))}, [][]string{{}}},
		"no greeting":          {[]hook{start(0, with(hello, `{"lc2":{"welcome_message":false,"greeting_id":null}}`))}, [][]string{{`T_1 customer text="hello"`}}},
		"late greeting mark":   {[]hook{set(1, "T_1", greeting), incoming(2, hello)}, [][]string{{}}},
		"late markdown":        {[]hook{incoming(1, hello), set(2, "T_1", `{"chats":{"formatting":"commonmark"}}`)}, [][]string{{`T_1 customer text="hello" markdown`}}},
		"translation":          {[]hook{incoming(1, hello), set(2, "T_1", `{"translation":{"target_message":"bonjour"}}`)}, [][]string{{`T_1 customer text="hello"`}}},
		"marked and unmarked":  {[]hook{incoming(1, hello), set(2, "T_1", greeting), unset(3, "T_1", "lc2", "welcome_message")}, [][]string{{`T_1 customer text="hello"`}, {}}},
		"two values, same":     {[]hook{incoming(1, hello), set(2, "T_1", `{"lc2":{"greeting_id":1}}`), set(3, "T_1", `{"lc2":{"greeting_id":2}}`)}, [][]string{{}}},
		"mark on an edit":      {[]hook{edited(1, hello), set(2, "T_1", greeting)}, [][]string{{}, {`T_1 customer text="hello"`}}},
		"edit drops the mark":  {[]hook{incoming(0, hello), set(1, "T_1", greeting), edited(2, hello)}, [][]string{{`T_1 customer text="hello"`}, {}}},
		"two types of a user":  {[]hook{incoming(1, message(1, "x", "a")), userAdded(2, "x", "agent"), userAdded(3, "x", "customer")}, [][]string{{`T_1 agent text="a"`}}},
		"types, reordered":     {[]hook{incoming(1, message(1, "x", "a")), userAdded(2, "x", "customer"), userAdded(3, "x", "agent")}, [][]string{{`T_1 agent text="a"`}}},
		"edit keeps the mark":  {[]hook{incoming(1, hello), set(2, "T_1", greeting), edited(3, with(message(1, maya, "new"), greeting))}, [][]string{{}}},
		"one edit":             {[]hook{edited(1, message(1, maya, "new")), incoming(2, hello)}, [][]string{{`T_1 customer text="new"`}}},
		"edit alone":           {[]hook{edited(1, message(1, maya, "new"))}, [][]string{{`T_1 customer text="new"`}}},
		"two edits":            {[]hook{incoming(0, hello), edited(1, message(1, maya, "b")), edited(2, message(1, maya, "a"))}, [][]string{{`T_1 customer text="a"`}, {`T_1 customer text="b"`}}},
		"edit and edit back":   {[]hook{edited(1, message(1, maya, "b")), edited(2, message(1, maya, "a")), edited(3, message(1, maya, "b"))}, [][]string{{`T_1 customer text="b"`}, {`T_1 customer text="a"`}}},
		"edit to nothing":      {[]hook{incoming(0, hello), edited(1, message(1, maya, ""))}, [][]string{{}}},
		"deleted":              {[]hook{deleted(0, "T_1"), incoming(1, hello), edited(2, hello), edited(3, message(1, maya, "b"))}, [][]string{{}}},
		"deleted stub":         {[]hook{start(0, stub), incoming(1, hello)}, [][]string{{}}},
		"two originals":        {[]hook{start(0, hello), incoming(1, message(1, maya, "other"))}, [][]string{{`T_1 customer text="other"`}, {`T_1 customer text="hello"`}}},
		"unsearched types":     {[]hook{incoming(1, livechat.Event{ID: "T_1", Type: "system_message", Text: "closed"}), incoming(2, livechat.Event{ID: "T_2", Type: "file", Text: "x"}), incoming(3, livechat.Event{ID: "T_3", Type: "form", Text: "x"}), incoming(4, rich(4, "Billing"))}, [][]string{{}}},
		"button message":       {[]hook{incoming(1, rich(2, "Billing")), press(2, "T_2", "b0", true), incoming(3, postback)}, [][]string{{`T_3 customer button="Billing"`}}},
		"click only":           {[]hook{press(2, "T_2", "b0", true), incoming(5, rich(2, "Billing")), incoming(6, message(3, maya, "x"))}, [][]string{{`T_2 customer button="Billing"`, `T_3 customer text="x"`}}},
		"click off":            {[]hook{press(2, "T_2", "b0", false), incoming(5, rich(2, "Billing"))}, [][]string{{}}},
		"click on and off":     {[]hook{incoming(1, rich(2, "Billing")), press(2, "T_2", "b0", true), press(3, "T_2", "b0", false)}, [][]string{{}, {`T_2 customer button="Billing"`}}},
		"two buttons":          {[]hook{incoming(1, rich(2, "A", "B")), press(2, "T_2", "b1", true), press(3, "T_2", "b0", true)}, [][]string{{`T_2 customer button="A"`, `T_2 customer button="B"`}}},
		"unknown button":       {[]hook{incoming(1, rich(2, "A")), press(2, "T_2", "zz", true), press(3, "T_2", "zz", false)}, [][]string{{}}},
		"labels of two edits":  {[]hook{edited(1, rich(2, "A")), edited(2, rich(2, "B")), press(3, "T_2", "b0", true)}, [][]string{{`T_2 customer button="B"`}, {`T_2 customer button="A"`}}},
		"labels do not matter": {[]hook{edited(1, rich(2, "A")), edited(2, rich(2, "B"))}, [][]string{{}}},
		"deleted rich message": {[]hook{incoming(1, rich(2, "A")), press(3, "T_2", "b0", true), deleted(4, "T_2")}, [][]string{{}}},
		"deleted button message, click stays hidden": {[]hook{incoming(1, rich(2, "Billing")), press(2, "T_2", "b0", true), incoming(3, postback), deleted(4, "T_3")}, [][]string{{}}},
		"same groups": {[]hook{start(0, hello), groups(1, 0)}, [][]string{{`T_1 customer text="hello"`}}},
		"other forms of ids": {[]hook{incoming(1, livechat.Event{ID: "a|b", Type: "message", CreatedAt: sec(1), AuthorID: maya, Text: "x"}),
			edited(2, livechat.Event{ID: "a|b", Type: "message", CreatedAt: sec(1), AuthorID: maya, Text: "y"})}, [][]string{{`a|b customer text="y"`}}},
		"no id": {[]hook{incoming(1, livechat.Event{Type: "message", Text: "x"})}, [][]string{{}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ts, more := Reduce(key, factsOf(c.hooks...)).Readings(10)
			got := [][]string{}
			for _, x := range ts {
				got = append(got, lines(x))
				if x.Cut || x.Complete || x.Tagged != nil {
					t.Errorf("cut %v, complete %v, tagged %v", x.Cut, x.Complete, x.Tagged)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" || more {
				t.Errorf("readings (-want +got), more %v:\n%s", more, diff)
			}
		})
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	granted := hook{livechat.ChatAccessGranted, livechat.Payload{GroupIDs: []int{5}, HasGroups: true}, sec(3)}
	revoked := hook{livechat.ChatAccessRevoked, livechat.Payload{GroupIDs: []int{0}, HasGroups: true}, sec(4)}
	transfer := hook{livechat.ChatTransferred, livechat.Payload{GroupIDs: []int{7}, HasGroups: true}, sec(2)}
	assigned := hook{livechat.ChatTransferred, livechat.Payload{GroupIDs: []int{}, HasGroups: true}, sec(2)}
	ofChat := start(0)
	ofChat.p.Chat.Thread.HasGroups, ofChat.p.Chat.Thread.GroupIDs = false, nil
	ofChat.p.Chat.HasGroups, ofChat.p.Chat.GroupIDs = true, []int{3, 1, 3}
	for name, c := range map[string]struct {
		hooks []hook
		want  [][]int
	}{
		"unknown":            {nil, [][]int{nil}},
		"start":              {[]hook{start(0)}, [][]int{{0}}},
		"of the chat":        {[]hook{ofChat}, [][]int{{1, 3}}},
		"changed":            {[]hook{start(0), groups(1, 3, 0)}, [][]int{{0, 3}, {0}}},
		"changed, reordered": {[]hook{start(5), groups(1, 3, 0)}, [][]int{{0}, {0, 3}}},
		"none":               {[]hook{start(0), groups(1)}, [][]int{{}, {0}}},
		"transferred":        {[]hook{start(0), groups(1, 3), transfer}, [][]int{{7}, {0}, {3}}},
		"to an agent":        {[]hook{start(0), assigned}, [][]int{{0}}},
		"granted":            {[]hook{start(0), granted}, [][]int{{0, 5}, {0}}},
		"granted, reordered": {[]hook{granted, start(9)}, [][]int{{0}, {0, 5}}},
		"granted, revoked":   {[]hook{start(0), granted, revoked}, [][]int{{5}, {0}, {0, 5}}},
		"only granted":       {[]hook{granted}, [][]int{{5}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ts, more := Reduce(key, factsOf(c.hooks...)).Readings(10)
			var got [][]int
			for _, x := range ts {
				got = append(got, x.Groups)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" || more {
				t.Errorf("groups (-want +got), more %v:\n%s", more, diff)
			}
		})
	}
}

func TestReadingsAreCounted(t *testing.T) {
	t.Parallel()
	var hooks []hook
	for n := 1; n <= 300; n++ { // 2 to the 300th readings
		hooks = append(hooks, edited(n, message(n, maya, "a")), edited(n+1, message(n, maya, "b")))
	}
	r := Reduce(key, factsOf(hooks...))
	for _, limit := range []int{0, 1, 2, 7, 64} {
		ts, more := r.Readings(limit)
		if len(ts) != max(limit, 1) || !more {
			t.Errorf("Readings(%d) gave %d, more %v", limit, len(ts), more)
		}
	}
	for n, x := range first(r.Readings(1))[0].Messages {
		if x.Texts[0].Text != "b" {
			t.Errorf("message %d of the first reading is %q, want the edit that arrived last", n, x.Texts[0].Text)
		}
	}

	r = Reduce(key, factsOf(hooks[:6]...)) // 8 readings
	for _, limit := range []int{7, 8, 9} {
		ts, more := r.Readings(limit)
		if len(ts) != min(limit, 8) || more != (limit < 8) {
			t.Errorf("Readings(%d) of 8 gave %d, more %v", limit, len(ts), more)
		}
	}

	// Very many buttons of one message, all of them undecided.
	labels := make([]string, 100)
	for i := range labels {
		labels[i] = fmt.Sprint(i)
	}
	hooks = []hook{incoming(1, rich(1, labels...))}
	for i := range labels {
		id := fmt.Sprintf("b%d", i)
		hooks = append(hooks, press(2, "T_1", id, true), press(3, "T_1", id, false))
	}
	if ts, more := Reduce(key, factsOf(hooks...)).Readings(16); len(ts) != 16 || !more {
		t.Errorf("buttons: %d readings, more %v", len(ts), more)
	}
}

func first[A, B any](a A, _ B) A { return a }

func TestGaps(t *testing.T) {
	t.Parallel()
	event := func(id string) hook { return incoming(1, livechat.Event{ID: id, Type: "system_message"}) }
	for name, c := range map[string]struct {
		hooks []hook
		want  int
	}{
		"none":               {nil, 0},
		"first":              {[]hook{event("T_1")}, 0},
		"before":             {[]hook{event("T_4")}, 3},
		"between":            {[]hook{event("T_1"), event("T_4"), event("T_3")}, 1},
		"huge":               {[]hook{event("T_1"), event("T_999999999")}, 999999997},
		"not a number":       {[]hook{event("T_1"), event("T_9999999999"), event("T_x"), event("T_03"), event("T_+4"), event("T_")}, 0},
		"other forms":        {[]hook{event("8e1e1cf8-6be2-4f7e-b3a7-a1b3cf1b6d6e"), event("OTHER_7")}, 0},
		"deletion":           {[]hook{event("T_1"), deleted(1, "T_2"), event("T_3")}, 0},
		"edit":               {[]hook{event("T_1"), edited(1, message(2, maya, "x")), event("T_3")}, 0},
		"only its property":  {[]hook{event("T_1"), set(1, "T_2", `{"translation":{"target_message":"x"}}`), event("T_3")}, 1},
		"only a click on it": {[]hook{event("T_1"), press(1, "T_2", "b0", true)}, 1},
		"uuid, a property":   {[]hook{set(1, "8e1e1cf8-6be2-4f7e-b3a7-a1b3cf1b6d6e", `{}`)}, 1},
	} {
		if got := Reduce(key, factsOf(c.hooks...)).Gaps; got != c.want {
			t.Errorf("%s: %d gaps, want %d", name, got, c.want)
		}
	}
}

func TestEffects(t *testing.T) {
	t.Parallel()
	inactive := start(0, message(1, maya, "hello"))
	inactive.p.Chat.Thread.Active = false
	inactive.p.Chat.Thread.PreviousThreadID = "S"
	hash := regexp.MustCompile(`\|[0-9a-f]{16}$`)
	odd := start(0)
	odd.p.Chat.Thread.PreviousThreadID = "a.b"
	tagged := start(0)
	tagged.p.Chat.Thread.Tags = []string{"vip", "a|b"}
	for name, c := range map[string]struct {
		hook   hook
		effect Effect
		ended  string
		fields string // separated by blanks, "#" is a hash
	}{
		"start":       {start(0, message(1, maya, "x")), Changes, "", "user|" + maya + " user|" + smith + " e|T_1 groups|0 start"},
		"inactive":    {inactive, Ends, "S", "user|" + maya + " user|" + smith + " e|T_1 groups|0 start ended"},
		"tagged":      {tagged, Changes, "", "user|" + maya + " user|" + smith + " groups|0 tags|# start"},
		"odd thread":  {odd, Changes, "", "user|" + maya + " user|" + smith + " groups|0 start"},
		"no chat":     {hook{livechat.IncomingChat, livechat.Payload{}, noon}, Nothing, "", ""},
		"message":     {incoming(1, message(1, maya, "x")), Changes, "", "e|T_1"},
		"system":      {incoming(1, livechat.Event{ID: "T_1", Type: "system_message"}), Nothing, "", "e|T_1"},
		"no event":    {hook{livechat.IncomingEvent, livechat.Payload{}, noon}, Nothing, "", ""},
		"edit":        {edited(1, message(1, maya, "x")), Changes, "", "u|T_1|#"},
		"deletion":    {deleted(1, "T_1"), Changes, "", "d|T_1"},
		"property":    {set(1, "T_1", `{"chats":{"formatting":"commonmark"}}`), Changes, "", "p|T_1|#"},
		"unset":       {unset(1, "T_1", "lc2", "greeting_id"), Changes, "", "p|T_1|#"},
		"translation": {set(1, "T_1", `{"translation":{"target_message":"x"}}`), Nothing, "", "p|T_1|#"},
		"click":       {press(1, "T_1", "b0", true), Changes, "", "c|T_1|#"},
		"end":         {hook{livechat.ChatDeactivated, livechat.Payload{}, noon}, Ends, "", "ended"},
		"groups":      {groups(1, 3, 0), Changes, "", "groups|0,3"},
		"no groups":   {hook{livechat.ChatAccessUpdated, livechat.Payload{}, noon}, Nothing, "", ""},
		"tag":         {hook{livechat.ThreadTagged, livechat.Payload{Tag: "a|b"}, time.Unix(0, 7)}, TagChanges, "", "tag|7|tag|a|b"},
		"untag":       {hook{livechat.ThreadUntagged, livechat.Payload{Tag: "a"}, time.Unix(0, 7)}, TagChanges, "", "tag|7|untag|a"},
		"left":        {hook{livechat.UserRemovedFromChat, livechat.Payload{UserID: smith}, noon}, Nothing, "", ""},
		"unknown":     {hook{"events_marked_as_seen", livechat.Payload{}, noon}, Nothing, "", ""},
	} {
		got := Read(key, c.hook.action, c.hook.p, c.hook.at)
		var fields []string
		for _, f := range got.Facts {
			fields = append(fields, hash.ReplaceAllString(f.Field, "|#"))
			if event := strings.IndexByte(f.Field, '|') == 1; f.Meta == event {
				t.Errorf("%s: %s has Meta %v", name, f.Field, f.Meta)
			}
			if !json.Valid(f.Value) {
				t.Errorf("%s: %s is %s", name, f.Field, f.Value)
			}
		}
		if got.Effect != c.effect || got.EndedThread != c.ended || strings.Join(fields, " ") != c.fields {
			t.Errorf("%s: effect %v, ended %q, facts %q", name, got.Effect, got.EndedThread, fields)
		}
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	s := start(3)
	s.p.Chat.Thread.Tags = []string{"vip", "billing"}
	f := factsOf(s,
		hook{livechat.ThreadUntagged, livechat.Payload{Tag: "vip"}, sec(9)},
		hook{livechat.ThreadTagged, livechat.Payload{Tag: "a|b"}, sec(4)},
		hook{livechat.ThreadTagged, livechat.Payload{Tag: "a|b"}, sec(4)})
	f.AddAll(FromChat(key, f, livechat.Chat{Thread: &livechat.Thread{ID: "T", Tags: []string{"z"}}}, sec(20)))
	f.AddAll(FromChat(key, f, livechat.Chat{Thread: &livechat.Thread{ID: "T"}}, sec(21)))
	r := Reduce(key, f)
	if diff := cmp.Diff([]TagEvent{{At: sec(4), Tag: "a|b"}, {At: sec(9), Tag: "vip", Untag: true}}, r.TagEvents); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]TagSet{{At: sec(3), Tags: []string{"billing", "vip"}}}, r.InitialTags); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]TagSet{{At: sec(20), Tags: []string{"z"}}, {At: sec(21)}}, r.APITags, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if !r.Started || !r.Ended {
		t.Errorf("started %v, ended %v", r.Started, r.Ended)
	}
}

// chatOf is a chat as get_chat answers.
func chatOf(events ...livechat.Event) livechat.Chat {
	return livechat.Chat{ID: "C", Users: []livechat.User{{ID: maya, Type: "customer"}},
		Thread: &livechat.Thread{ID: "T", Events: events, GroupIDs: []int{3}, HasGroups: true}}
}

func TestFromChat(t *testing.T) {
	t.Parallel()
	gone := message(2, maya, "secret")
	gone.Deleted = true
	f := factsOf(
		edited(1, message(1, maya, "a")), edited(2, message(1, maya, "b")),
		incoming(3, message(2, maya, "secret")),
		set(4, "8e1e1cf8-6be2-4f7e-b3a7-a1b3cf1b6d6e", `{}`),
		incoming(5, message(4, maya, "x")), set(6, "T_4", `{"lc2":{"welcome_message":true}}`), unset(7, "T_4", "lc2", "welcome_message"),
		incoming(8, rich(5, "Billing")), press(9, "T_5", "b0", true), press(10, "T_5", "b0", false),
		groups(11, 1), groups(12, 3),
		incoming(13, message(9, maya, "y")))
	if ts, _ := Reduce(key, f).Readings(64); len(ts) != 16 {
		t.Fatalf("%d readings before", len(ts))
	}
	f.AddAll(FromChat(key, f, chatOf(message(1, maya, "a"), gone, message(4, maya, "x"), rich(5, "Billing"), message(7, maya, "only there")), sec(20)))
	want := []string{`T_1 customer text="a"`, `T_4 customer text="x"`, `T_7 customer text="only there"`, `T_9 customer text="y"`}
	check := func(what string, want ...[]string) {
		t.Helper()
		r := Reduce(key, f)
		ts, more := r.Readings(10)
		var got [][]string
		for _, x := range ts {
			got = append(got, lines(x))
		}
		if diff := cmp.Diff(want, got); diff != "" || more {
			t.Errorf("%s (-want +got), more %v:\n%s", what, more, diff)
		}
		if r.Gaps != 1 || r.Restricted || !r.Started || !r.Ended { // T_8 alone: 3 and 6 are below what was shown
			t.Errorf("%s: gaps %d, restricted %v, started %v, ended %v", what, r.Gaps, r.Restricted, r.Started, r.Ended)
		}
	}
	check("settled", want)

	f.AddAll(edited(1, message(1, maya, "b")).facts())
	f.AddAll(incoming(22, message(1, maya, "first")).facts())
	check("what it covers changes nothing", want)

	f.AddAll(edited(30, message(1, maya, "c")).facts())
	check("a later edit", append([]string{`T_1 customer text="c"`}, want[1:]...), want)

	f.AddAll(FromChat(key, f, chatOf(message(1, maya, "c")), sec(31)))
	want[0] = `T_1 customer text="c"`
	check("settled again", want)

	f.AddAll(edited(40, message(1, maya, "b")).facts())
	check("edited back", append([]string{`T_1 customer text="b"`}, want[1:]...), want)
}

// Order tells nothing of a button that was switched on and off; get_chat shows
// who has it on.
func TestFromChatSettlesButtons(t *testing.T) {
	t.Parallel()
	shown := func(users ...string) livechat.Event {
		e := rich(5, "Billing")
		e.Elements[0].Buttons[0].UserIDs, e.Elements[0].Buttons[0].HasUsers = users, true
		return e
	}
	on, off := []string{`T_5 customer button="Billing"`}, []string{}
	for name, c := range map[string]struct {
		first, second bool // in order of arrival
		answer        livechat.Event
		want          []string
	}{
		"shown on":      {true, false, shown(smith, maya), on},
		"shown off":     {false, true, shown(smith), off},
		"nobody on":     {false, true, shown(), off},
		"off was lost":  {true, true, shown(), off},
		"not shown":     {false, true, rich(5, "Billing"), on},
		"not shown off": {true, false, rich(5, "Billing"), off},
	} {
		f := factsOf(start(0), incoming(8, rich(5, "Billing")), press(9, "T_5", "b0", c.first), press(10, "T_5", "b0", c.second))
		f.AddAll(FromChat(key, f, chatOf(c.answer), sec(20)))
		ts, more := Reduce(key, f).Readings(10)
		if diff := cmp.Diff(c.want, lines(ts[0])); diff != "" || len(ts) != 1 || more {
			t.Errorf("%s: %d readings, more %v (-want +got):\n%s", name, len(ts), more, diff)
		}
	}
}

func TestFromChatOfAnotherThread(t *testing.T) {
	t.Parallel()
	for _, c := range []livechat.Chat{{}, {Thread: &livechat.Thread{ID: "U", Events: []livechat.Event{message(1, maya, "x")}}}} {
		if got := FromChat(key, new(Facts), c, noon); got != nil {
			t.Errorf("facts %v", got)
		}
	}
}

func TestRestricted(t *testing.T) {
	t.Parallel()
	f := factsOf(incoming(1, message(2, maya, "x")), press(2, "T_3", "b0", true))
	f.AddAll(FromChat(key, f, livechat.Chat{Thread: &livechat.Thread{ID: "T", Restricted: "history limit"}}, sec(9)))
	r := Reduce(key, f)
	if !r.Restricted || r.Started || r.Gaps != 2 {
		t.Errorf("restricted %v, started %v, gaps %d", r.Restricted, r.Started, r.Gaps)
	}
	f.AddAll(FromChat(key, f, chatOf(message(1, maya, "w"), message(2, maya, "x"), rich(3)), sec(10)))
	if r = Reduce(key, f); r.Restricted || !r.Started || r.Gaps != 0 {
		t.Errorf("after a full answer: restricted %v, started %v, gaps %d", r.Restricted, r.Started, r.Gaps)
	}
}

func TestCaps(t *testing.T) {
	t.Parallel()
	var events []hook
	for n := 1; n <= 6000; n++ {
		events = append(events, incoming(n, message(n, maya, fmt.Sprint(n))))
	}
	whole := Reduce(key, factsOf(events[:5000]...))
	if ts, _ := whole.Readings(1); whole.Cut || ts[0].Cut || len(ts[0].Messages) != 5000 {
		t.Errorf("5,000 events: cut %v, %d messages", whole.Cut, len(ts[0].Messages))
	}
	r := Reduce(key, factsOf(events...))
	ts, _ := r.Readings(1)
	ms := ts[0].Messages
	if !r.Cut || !ts[0].Cut || r.Events != 6000 || r.Gaps != 0 || len(ms) != 5000 || ms[999].EventID != "T_1000" || ms[1000].EventID != "T_2001" {
		t.Errorf("6,000 events: cut %v, events %d, gaps %d, messages %d, %s, %s", r.Cut, r.Events, r.Gaps, len(ms), ms[999].EventID, ms[1000].EventID)
	}

	text := strings.Repeat("x", 16<<10)
	events = nil
	for n := 1; n <= 100; n++ {
		events = append(events, incoming(n, message(n, maya, text)))
	}
	r = Reduce(key, factsOf(events...))
	ts, _ = r.Readings(1)
	ms = ts[0].Messages
	if !r.Cut || len(ms) != 64 || ms[31].EventID != "T_32" || ms[32].EventID != "T_69" {
		t.Errorf("1.6 MB: cut %v, messages %d", r.Cut, len(ms))
	}
	if r = Reduce(key, factsOf(events[:64]...)); r.Cut {
		t.Error("1 MB is cut")
	}
	// What differs only in what is cut away does not.
	f := factsOf(append(events, edited(1, message(50, maya, text)), edited(2, message(50, maya, text[1:])))...)
	if ts, more := Reduce(key, f).Readings(10); len(ts) != 1 || more {
		t.Errorf("%d readings, more %v", len(ts), more)
	}
}

func TestFactsKeepLatestArrivalAndWhatDiffers(t *testing.T) {
	t.Parallel()
	f := factsOf(start(5), start(9), start(7))
	if f.Len() != 4 || f.Events() != 0 {
		t.Errorf("%d facts, %d events", f.Len(), f.Events())
	}
	f = factsOf(start(1, message(1, maya, "a")), incoming(2, message(1, maya, "b")), deleted(3, "T_2"))
	if f.Len() != 4+3 || f.Events() != 2 {
		t.Errorf("%d facts, %d events", f.Len(), f.Events())
	}
	for k, it := range factsOf(groups(5, 1), groups(9, 1), groups(7, 1)).items {
		if it.at != sec(9).UnixNano() {
			t.Errorf("%s arrived %v", k.field, unixNano(it.at))
		}
	}
}

func TestUnreadableFacts(t *testing.T) {
	t.Parallel()
	f := new(Facts)
	good := incoming(1, message(1, maya, "x")).facts()[0]
	for _, value := range []string{"", "null", `{"at":1}`, `{"at":1,"v":{}`, `{"at":x,"v":{}}`, `{"at":1,"v":[]}`, `{"at":1,"v":{"created_at":"now"}}`} {
		f.Add(Fact{Field: good.Field, Value: []byte(value)})
	}
	f.Add(Fact{Field: "tag|x|tag|a", Meta: true, Value: value(noon, "{}")})
	for _, field := range []string{"", "e", "e|", "u|T_1", "u||x", "zz|T_1", "started"} { // not of this package
		f.Add(Fact{Field: field, Value: []byte("?")})
		f.Add(Fact{Field: "decided" + field, Meta: true, Value: []byte("?")})
	}
	if got := Reduce(key, f).Unreadable; got != 2 || f.Len() != 0 {
		t.Errorf("unreadable %d, facts %d", got, f.Len())
	}
	f.Add(good)
	if got := Reduce(key, f).Unreadable; got != 1 {
		t.Errorf("unreadable %d after the log told one of them", got)
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	base := Transcript{Messages: []Message{{EventID: "T_1", Author: Customer, Texts: []Text{{Field: "text", Text: "ab"}}}}}
	seen := map[string]string{base.Digest(): "base"}
	for name, change := range map[string]func(m *Message){
		"id":     func(m *Message) { m.EventID = "T_2" },
		"author": func(m *Message) { m.Author = Agent },
		"field":  func(m *Message) { m.Texts = []Text{{Field: "button", Text: "ab"}} },
		"text":   func(m *Message) { m.Texts = []Text{{Field: "text", Text: "a"}} },
		"split":  func(m *Message) { m.Texts = []Text{{Field: "text", Text: "a"}, {Field: "", Text: "b"}} },
	} {
		m := base.Messages[0]
		change(&m)
		d := (&Transcript{Messages: []Message{m}}).Digest()
		if other := seen[d]; other != "" || len(d) != 64 {
			t.Errorf("%s: %s, like %s", name, d, other)
		}
		seen[d] = name
	}
	same := base
	same.Groups, same.Tagged, same.Complete = []int{1}, []string{"x"}, true
	if same.Digest() != base.Digest() {
		t.Error("groups, tags and completeness are not part of the digest")
	}
}

// What the facts hold is all that is kept of a person.
func TestNoPersonalData(t *testing.T) {
	t.Parallel()
	w, p := sample(t, "webhook.incoming_chat.v3.6.json")
	for _, f := range Read(Key{Thread: p.ThreadID}, w.Action, p, noon).Facts {
		for _, private := range []string{"Maya", "maya", "Agent Smith", "203.0.113", "+486", "Wroclaw", "secret"} {
			if strings.Contains(f.Field+string(f.Value), private) {
				t.Errorf("%s holds %q", f.Field, private)
			}
		}
	}
}

func sample(t *testing.T, name string) (livechat.Webhook, livechat.Payload) {
	t.Helper()
	body, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	w, err := livechat.ParseWebhook(body)
	if err != nil {
		t.Fatal(err)
	}
	p, err := livechat.ParsePayload(w.Action, w.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return w, p
}

func sampleChat(t *testing.T, name string) livechat.Chat {
	t.Helper()
	body, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var c livechat.Chat
	if err := json.Unmarshal(body, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSamples(t *testing.T) {
	t.Parallel()
	k := Key{Org: "o", Chat: "SJ4K2R8V0P", Thread: "SJ4K2R8WQ3"}
	f := new(Facts)
	for i, name := range []string{
		"webhook.incoming_chat.v3.6.json",
		"webhook.user_added_to_chat.v3.6.json",
		"webhook.incoming_event.rich_message.v3.6.json",
		"webhook.incoming_rich_message_postback.v3.6.json",
		"webhook.incoming_event.message_postback.v3.6.json",
		"webhook.incoming_event.system_message.v3.6.json",
		"webhook.incoming_event.file.v3.6.json",
		"webhook.incoming_event.message_agents_only.v3.3.json",
		"webhook.event_properties_updated.v3.6.json",
		"webhook.event_updated.v3.6.json",
		"webhook.incoming_event.filled_form.v3.6.json",
		"webhook.chat_access_updated.v3.6.json",
		"webhook.chat_transferred.v3.6.json",
		"webhook.thread_tagged.v3.6.json",
		"webhook.chat_deactivated.v3.6.json",
	} {
		w, p := sample(t, name)
		f.AddAll(Read(k, w.Action, p, sec(i)).Facts)
	}
	r := Reduce(k, f)
	ts, more := r.Readings(10)
	if len(ts) != 2 || more || len(r.TagEvents) != 1 || !r.Started || !r.Ended {
		t.Fatalf("%d readings, more %v, tag events %v, started %v, ended %v", len(ts), more, r.TagEvents, r.Started, r.Ended)
	}
	if diff := cmp.Diff([][]int{{3}, {0, 3}}, [][]int{ts[0].Groups, ts[1].Groups}); diff != "" {
		t.Error(diff)
	}
	want := []string{
		`SJ4K2R8WQ3_1 customer answer:171697112233403="Double charge on invoice INV-2291" answer:171697112233404="A-77120" answer:171697112233405="I was billed twice, I want a refund." answer:171697112233406="Billing" answer:171697112233407="Poland" answer:171697112233408:0="Shop" answer:171697112233408:2="Mobile app" answer:171697112233409="Billing"`,
		`SJ4K2R8WQ3_2 customer text="Hi! My card was charged twice for invoice INV-2291, can I get a refund?"`,
		`SJ4K2R8WQ3_4 customer text="Yes please, the refund should go to my OTHER card."`,
		`SJ4K2R8WQ3_6 agent internal text="note: customer threatened a chargeback"`,
		`SJ4K2R8WQ3_8 customer button="Billing and refunds"`,
		`SJ4K2R8WQ3_21 customer answer:1="Great" answer:2="Next time please do not charge me twice"`,
	}
	if diff := cmp.Diff(want, lines(ts[0])); diff != "" {
		t.Error(diff)
	}

	f.AddAll(FromChat(k, f, sampleChat(t, "api.get_chat.response.v3.6.json"), sec(30)))
	if ts, _ := Reduce(k, f).Readings(10); len(ts) != 1 || !cmp.Equal(ts[0].Groups, []int{0, 3}) {
		t.Errorf("after get_chat: %d readings, groups %v", len(ts), ts[0].Groups)
	}
	for _, name := range []string{"admin", "normal"} {
		c := sampleChat(t, "api.get_chat.deleted_event_"+name+"_token.response.v3.6.json")
		g := new(Facts)
		g.AddAll(FromChat(k, g, c, sec(40)))
		r := Reduce(k, g)
		ts, _ := r.Readings(10)
		if len(ts) != 1 || len(ts[0].Messages) != 1 || r.Gaps != 0 || r.Events != 2 {
			t.Errorf("%s: %d readings, %v, gaps %d, events %d", name, len(ts), lines(ts[0]), r.Gaps, r.Events)
		}
	}
}
