package transcript

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"autotag/pkg/livechat"
)

// platform is the other side: it holds a thread as LiveChat does, changes it
// step by step and sends a webhook for every step. What it holds in the end is
// what a transcript must say.
type platform struct {
	events  map[string]*held
	order   []string
	number  int
	clicked map[[3]string]bool // rich message, button, user
	groups  []int
	users   map[string]string
	hooks   []hook
	// What makes webhooks without an order ambiguous.
	ambiguous map[string]bool
	told      map[string][]string // edits by event, values by property, ...
}

type held struct {
	e       livechat.Event
	deleted bool
}

func newPlatform() *platform {
	return &platform{events: map[string]*held{}, clicked: map[[3]string]bool{}, users: map[string]string{maya: "customer", smith: "agent"},
		groups: []int{0}, ambiguous: map[string]bool{}, told: map[string][]string{}}
}

func (p *platform) send(action string, payload livechat.Payload) {
	p.hooks = append(p.hooks, hook{action: action, p: payload})
}

// tell notes that a webhook says value of what; two different values of one
// thing are what order alone would tell apart.
func (p *platform) tell(what, value string) {
	if !slices.Contains(p.told[what], value) {
		p.told[what] = append(p.told[what], value)
	}
	if len(p.told[what]) > 1 {
		p.ambiguous[what] = true
	}
}

func (p *platform) id(t *rapid.T) string {
	p.number++
	if rapid.IntRange(0, 9).Draw(t, "form of id") == 0 {
		return fmt.Sprintf("1f0e5a3c-0000-4000-8000-%012d", p.number)
	}
	return fmt.Sprintf("T_%d", p.number)
}

var (
	texts      = rapid.SampledFrom([]string{"refund", "thanks", "refund now", " ", ""})
	authors    = rapid.SampledFrom([]string{maya, smith, robot, "somebody"})
	markValues = rapid.SampledFrom([]string{"lc2.welcome_message=true", "lc2.welcome_message=false", "lc2.greeting_id=7",
		"chats.formatting=\"commonmark\"", "chats.formatting=\"plain\"", "translation.target_message=\"x\""})
)

func (p *platform) newEvent(t *rapid.T) livechat.Event {
	e := livechat.Event{ID: p.id(t), AuthorID: authors.Draw(t, "author"), Internal: rapid.IntRange(0, 5).Draw(t, "internal") == 0,
		// Some events share a moment.
		CreatedAt: noon.Add(time.Duration(p.number/2) * time.Millisecond)}
	switch e.Type = rapid.SampledFrom([]string{"message", "message", "message", "filled_form", "rich_message", "system_message"}).Draw(t, "type"); e.Type {
	case "message":
		e.Text = texts.Draw(t, "text")
		if rapid.IntRange(0, 3).Draw(t, "marked") == 0 {
			setMark(&e, markValues.Draw(t, "mark"))
		}
		if rich := p.pick(t, "rich_message"); rich != "" && rapid.Bool().Draw(t, "postback") {
			e.Text, e.Postback = "Billing", &livechat.Postback{EventID: rich, ID: "b0", Toggled: true}
		}
	case "filled_form":
		e.Fields = []livechat.Field{{ID: "1", Type: "email", Answers: []livechat.Answer{{Text: "a@b.example"}}},
			{ID: "2", Type: "checkbox", Answers: []livechat.Answer{{ID: "x", Text: texts.Draw(t, "answer")}, {ID: "y", Text: "y"}}}}
	case "rich_message":
		e.Elements = rich(1, "Billing", texts.Draw(t, "label")).Elements
	}
	p.events[e.ID] = &held{e: e}
	p.order = append(p.order, e.ID)
	return e
}

func setMark(e *livechat.Event, mark string) {
	name, value, _ := strings.Cut(mark, "=")
	namespace, name, _ := strings.Cut(name, ".")
	old := e.Properties
	e.Properties = livechat.Properties{}
	for ns, names := range old {
		e.Properties[ns] = maps.Clone(names)
	}
	if e.Properties[namespace] == nil {
		e.Properties[namespace] = map[string]json.RawMessage{}
	}
	e.Properties[namespace][name] = json.RawMessage(value)
}

// pick gives the id of an event that is there, of the given type if any.
func (p *platform) pick(t *rapid.T, typ string) string {
	var ids []string
	for _, id := range p.order {
		if h := p.events[id]; !h.deleted && (typ == "" || h.e.Type == typ) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return ""
	}
	return rapid.SampledFrom(ids).Draw(t, "event")
}

func (p *platform) begin(t *rapid.T) {
	c := livechat.Chat{ID: "C", Thread: &livechat.Thread{ID: "T", Active: true, GroupIDs: p.groups, HasGroups: true},
		Users: []livechat.User{{ID: maya, Type: "customer"}, {ID: smith, Type: "agent"}}}
	for range rapid.IntRange(0, 2).Draw(t, "initial events") {
		c.Thread.Events = append(c.Thread.Events, p.newEvent(t))
	}
	p.tell("groups", "[0]")
	p.send(livechat.IncomingChat, livechat.Payload{Chat: &c})
	for _, e := range c.Thread.Events { // undocumented, so it may happen
		if rapid.Bool().Draw(t, "sent again") {
			p.send(livechat.IncomingEvent, livechat.Payload{Event: &e})
		}
	}
}

func (p *platform) step(t *rapid.T) {
	switch rapid.IntRange(0, 11).Draw(t, "step") {
	case 0, 1, 2, 3:
		e := p.newEvent(t)
		p.send(livechat.IncomingEvent, livechat.Payload{Event: &e})
	case 4:
		id := p.pick(t, "message")
		if id == "" {
			return
		}
		e := p.events[id].e
		e.Text = texts.Draw(t, "new text")
		if rapid.IntRange(0, 3).Draw(t, "new mark") == 0 {
			setMark(&e, markValues.Draw(t, "mark"))
		}
		p.events[id].e = e
		p.tell("edits "+id, encode(versionOf(&e)))
		for name := range p.told {
			if strings.HasPrefix(name, "property "+id+" ") {
				p.ambiguous[name] = true
			}
		}
		p.send(livechat.EventUpdated, livechat.Payload{Event: &e})
	case 5:
		if id := p.pick(t, ""); id != "" {
			p.events[id].deleted = true
			p.send(livechat.EventDeleted, livechat.Payload{EventID: id})
		}
	case 6, 7:
		id := p.pick(t, "message")
		if id == "" {
			return
		}
		mark := markValues.Draw(t, "property")
		name, value, _ := strings.Cut(mark, "=")
		namespace, short, _ := strings.Cut(name, ".")
		h := p.events[id]
		setMark(&h.e, mark)
		payload, action := livechat.Payload{EventID: id}, livechat.EventPropertiesUpdated
		if rapid.Bool().Draw(t, "removed") {
			delete(h.e.Properties[namespace], short)
			payload.Removed = map[string][]string{namespace: {short}}
			action, value = livechat.EventPropertiesDeleted, ""
		} else {
			payload.Properties = livechat.Properties{namespace: {short: json.RawMessage(value)}}
		}
		p.tell("property "+id+" "+name, value)
		if p.told["edits "+id] != nil {
			p.ambiguous["property "+id+" "+name] = true
		}
		p.send(action, payload)
	case 8:
		id := p.pick(t, "rich_message")
		if id == "" {
			return
		}
		button := rapid.SampledFrom([]string{"b0", "b1"}).Draw(t, "button")
		on := rapid.IntRange(0, 3).Draw(t, "on") > 0
		p.clicked[[3]string{id, button, maya}] = on
		p.tell("click "+id+" "+button, fmt.Sprint(on))
		p.send(livechat.IncomingRichMessagePostback, livechat.Payload{EventID: id, UserID: maya, Postback: &livechat.Postback{ID: button, Toggled: on}})
	case 9:
		p.groups = []int{rapid.IntRange(0, 2).Draw(t, "group")}
		p.tell("groups", fmt.Sprint(p.groups))
		p.send(livechat.ChatAccessUpdated, livechat.Payload{GroupIDs: p.groups, HasGroups: true})
	case 10:
		p.users["somebody"] = "agent"
		p.send(livechat.UserAddedToChat, livechat.Payload{User: &livechat.User{ID: "somebody", Type: "agent"}})
	case 11:
		p.send(livechat.ThreadTagged, livechat.Payload{Tag: "vip"})
	}
}

// transcript says what the platform holds, in the plainest way.
func (p *platform) transcript() *Transcript {
	x := &Transcript{Groups: p.groups, Messages: []Message{}}
	side := func(id string) Author { return Author(livechat.AuthorSide(id, p.users[id])) }
	shown := map[string]bool{}
	for _, h := range p.events {
		if h.e.Postback != nil {
			shown[h.e.Postback.EventID+" "+h.e.Postback.ID] = true
		}
	}
	for _, id := range p.order {
		h := p.events[id]
		if h.deleted {
			continue
		}
		m := Message{EventID: id, At: h.e.CreatedAt, Author: side(h.e.AuthorID), Internal: h.e.Internal}
		switch h.e.Type {
		case "message":
			lc2, chats := h.e.Properties["lc2"], h.e.Properties["chats"]
			if string(lc2["welcome_message"]) == "true" || lc2["greeting_id"] != nil || strings.TrimSpace(h.e.Text) == "" {
				continue
			}
			name := "text"
			if h.e.Postback != nil {
				name = "button"
			}
			m.Texts = []Text{{Field: name, Text: h.e.Text, Markdown: string(chats["formatting"]) == `"commonmark"`}}
			x.Messages = append(x.Messages, m)
		case "filled_form":
			for _, a := range h.e.Fields[1].Answers {
				if strings.TrimSpace(a.Text) != "" {
					m.Texts = append(m.Texts, Text{Field: "answer:2:" + a.ID, Text: a.Text})
				}
			}
			x.Messages = append(x.Messages, m)
		case "rich_message":
			for i, button := range []string{"b0", "b1"} {
				label := h.e.Elements[i].Buttons[0].Text
				if p.clicked[[3]string{id, button, maya}] && !shown[id+" "+button] && strings.TrimSpace(label) != "" {
					click := m
					click.Author, click.Texts = side(maya), []Text{{Field: "button", Text: label}}
					x.Messages = append(x.Messages, click)
				}
			}
		}
	}
	slices.SortStableFunc(x.Messages, func(a, b Message) int {
		_, n, _ := eventNumber(a.EventID)
		_, m, _ := eventNumber(b.EventID)
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(n, m), strings.Compare(a.EventID, b.EventID))
	})
	return x
}

// chat is what get_chat answers now.
func (p *platform) chat(t *rapid.T) livechat.Chat {
	c := livechat.Chat{ID: "C", Thread: &livechat.Thread{ID: "T", Active: true, GroupIDs: p.groups, HasGroups: true}}
	for id, typ := range p.users {
		c.Users = append(c.Users, livechat.User{ID: id, Type: typ})
	}
	stubs := rapid.Bool().Draw(t, "stubs")
	for _, id := range p.order {
		h := p.events[id]
		e := h.e
		if e.Deleted = h.deleted; h.deleted && stubs {
			e = livechat.Event{ID: e.ID, Type: e.Type, CreatedAt: e.CreatedAt, AuthorID: e.AuthorID, Deleted: true}
		}
		c.Thread.Events = append(c.Thread.Events, e)
	}
	return c
}

func play(t *rapid.T, p *platform) *platform {
	p.begin(t)
	for range rapid.IntRange(0, 25).Draw(t, "steps") {
		p.step(t)
	}
	return p
}

// stored gives every webhook its time: in the order in which they were sent.
func (p *platform) stored() []hook {
	hooks := slices.Clone(p.hooks)
	for i := range hooks {
		hooks[i].at = sec(i)
	}
	return hooks
}

// arrived gives every webhook a time in another order, some of them several
// times. Some arrive at the same moment.
func (p *platform) arrived(t *rapid.T) []hook {
	hooks := slices.Clone(p.hooks)
	for range rapid.IntRange(0, 5).Draw(t, "repeated") {
		hooks = append(hooks, rapid.SampledFrom(p.hooks).Draw(t, "repetition"))
	}
	hooks = rapid.Permutation(hooks).Draw(t, "order")
	for i := range hooks {
		hooks[i].at = sec(i / 2)
	}
	return hooks
}

const many = 512

// state is a reduction without the parts that tell of times of arrival.
type state struct {
	Started, Ended, Restricted, Cut bool
	Gaps, Events, Unreadable        int
	More                            bool
	Readings                        []string // sorted
}

func stateOf(f *Facts) state {
	r := Reduce(key, f)
	ts, more := r.Readings(many)
	s := state{r.Started, r.Ended, r.Restricted, r.Cut, r.Gaps, r.Events, r.Unreadable, more, nil}
	if !more { // else which of them are given depends on the likeliest
		for _, x := range ts {
			s.Readings = append(s.Readings, x.key())
		}
		slices.Sort(s.Readings)
	}
	return s
}

// whole is everything a reduction says.
func whole(f *Facts) any {
	r := Reduce(key, f)
	ts, more := r.Readings(many)
	return []any{r.Started, r.Ended, r.Restricted, r.Gaps, r.Cut, r.Events, r.Unreadable, r.TagEvents, r.InitialTags, r.APITags, ts, more}
}

func has(t *rapid.T, f *Facts, want *Transcript) {
	ts, more := Reduce(key, f).Readings(many)
	if more {
		return
	}
	for _, x := range ts {
		if x.key() == want.key() {
			return
		}
	}
	t.Fatalf("none of %d readings is what the platform holds:\n%s", len(ts), gocmp.Diff(want, ts[0]))
}

// The answer is a function of the set of webhooks, not of their order, number
// or timing; and the truth is always among the readings.
func TestOrderAndNumberMakeNoDifference(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := play(t, newPlatform())
		inOrder := factsOf(p.stored()...)
		scrambled := factsOf(p.arrived(t)...)
		if diff := gocmp.Diff(stateOf(inOrder), stateOf(scrambled)); diff != "" {
			t.Fatalf("another order gives another answer:\n%s", diff)
		}
		has(t, scrambled, p.transcript())

		highest, numbered := 0, 0
		for _, id := range p.order {
			if _, n, ok := eventNumber(id); ok {
				highest, numbered = max(highest, n), numbered+1
			}
		}
		r := Reduce(key, inOrder)
		if r.Gaps != highest-numbered || r.Events != len(p.order) {
			t.Fatalf("%d gaps and %d events, want %d and %d", r.Gaps, r.Events, highest-numbered, len(p.order))
		}
		ts, more := r.Readings(many)
		if ts[0].key() != p.transcript().key() {
			t.Fatalf("in the true order, the first reading is not what the platform holds:\n%s", gocmp.Diff(p.transcript(), ts[0]))
		}
		if len(p.ambiguous) == 0 && (len(ts) != 1 || more) {
			t.Fatalf("%d readings of what is not ambiguous, more %v", len(ts), more)
		}
		distinct := map[string]bool{}
		for _, x := range ts {
			distinct[x.key()] = true
		}
		if len(distinct) != len(ts) {
			t.Fatalf("%d of %d readings are distinct", len(distinct), len(ts))
		}
	})
}

// Facts are a set: how they are added, in which parts and how often, makes no
// difference at all, not even to the order of readings.
func TestFactsAreASet(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := play(t, newPlatform())
		var facts []Fact
		for _, h := range p.arrived(t) {
			facts = append(facts, h.facts()...)
		}
		f := new(Facts)
		f.AddAll(facts)

		g := new(Facts)
		g.AddAll(rapid.Permutation(facts).Draw(t, "order"))
		g.AddAll(facts[:rapid.IntRange(0, len(facts)).Draw(t, "again")])
		if diff := gocmp.Diff(whole(f), whole(g)); diff != "" || f.Len() != g.Len() || f.Events() != g.Events() {
			t.Fatalf("order or repetition matters:\n%s", diff)
		}
	})
}

// Redis keeps the first value of every field, and perhaps not all of them.
// Together with the log that is the log.
func TestRedisAddsNothingToTheLog(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := play(t, newPlatform())
		arrived := p.arrived(t)
		type name struct {
			meta  bool
			field string
		}
		redis := map[name]string{}
		for _, h := range rapid.Permutation(arrived).Draw(t, "order of writing") {
			for _, x := range h.facts() {
				if _, ok := redis[name{x.Meta, x.Field}]; !ok && rapid.IntRange(0, 9).Draw(t, "kept") > 0 {
					redis[name{x.Meta, x.Field}] = string(x.Value)
				}
			}
		}
		log := factsOf(arrived...)
		both := new(Facts)
		for n, v := range redis {
			both.Add(Fact{Field: n.field, Meta: n.meta, Value: []byte(v)})
		}
		for _, h := range arrived {
			both.AddAll(h.facts())
		}
		if diff := gocmp.Diff(whole(log), whole(both)); diff != "" {
			t.Fatalf("redis and log differ from the log:\n%s", diff)
		}
	})
}

// An answer of get_chat leaves one reading: what it shows.
func TestChatSettlesEverything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := play(t, newPlatform())
		var arrived []hook
		for _, h := range p.arrived(t) {
			if rapid.IntRange(0, 4).Draw(t, "lost") > 0 {
				arrived = append(arrived, h)
			}
		}
		f := factsOf(arrived...)
		c := p.chat(t)
		facts := FromChat(key, f, c, sec(100))
		if diff := gocmp.Diff(facts, FromChat(key, factsOf(arrived...), c, sec(100))); diff != "" {
			t.Fatalf("the facts of an answer depend on order:\n%s", diff)
		}
		f.AddAll(rapid.Permutation(facts).Draw(t, "order of the answer"))
		r := Reduce(key, f)
		ts, more := r.Readings(many)
		if len(ts) != 1 || more || r.Gaps != 0 || r.Unreadable != 0 || !r.Started {
			t.Fatalf("%d readings, more %v, gaps %d, unreadable %d, started %v", len(ts), more, r.Gaps, r.Unreadable, r.Started)
		}
		// This answer does not tell of clicks, nor a stub which button it stood for.
		want, got := p.transcript(), *ts[0]
		want.Messages = slices.DeleteFunc(want.Messages, p.isClick)
		got.Messages = slices.DeleteFunc(slices.Clone(got.Messages), p.isClick)
		if want.key() != got.key() {
			t.Fatalf("settled to something else:\n%s", gocmp.Diff(want, &got))
		}
		// The same webhooks once more (at the times at which they arrived)
		// change nothing.
		for _, h := range arrived {
			f.AddAll(h.facts())
		}
		if again, _ := Reduce(key, f).Readings(many); len(again) != 1 || again[0].key() != ts[0].key() {
			t.Fatal("known webhooks make it ambiguous again")
		}
	})
}

func (p *platform) isClick(m Message) bool { return p.events[m.EventID].e.Type == "rich_message" }

// Whatever arrives after an answer of get_chat, late or new, the truth is among
// the readings.
func TestTruthStaysAmongReadingsAfterChat(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := play(t, newPlatform())
		before := p.arrived(t)
		known := before[:rapid.IntRange(0, len(before)).Draw(t, "known")]
		f := factsOf(known...)
		f.AddAll(FromChat(key, f, p.chat(t), sec(100)))

		sent := len(p.hooks)
		for range rapid.IntRange(0, 8).Draw(t, "later steps") {
			p.step(t)
		}
		late := slices.Concat(before[len(known):], p.hooks[sent:])
		late = rapid.Permutation(late).Draw(t, "late order")
		for i, h := range late {
			h.at = sec(200 + i)
			f.AddAll(h.facts())
		}
		want := p.transcript()
		want.Messages = slices.DeleteFunc(want.Messages, p.isClick)
		ts, more := Reduce(key, f).Readings(many)
		if more {
			return
		}
		for _, x := range ts {
			got := *x
			got.Messages = slices.DeleteFunc(slices.Clone(got.Messages), p.isClick)
			if got.key() == want.key() {
				return
			}
		}
		t.Fatalf("none of %d readings is what the platform holds:\n%s", len(ts), gocmp.Diff(want, ts[0]))
	})
}
