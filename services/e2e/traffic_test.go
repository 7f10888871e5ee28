//go:build unix

package e2e

import (
	"fmt"
	"slices"

	"autotag/pkg/livechat/livechattest"
)

// tags are those of testdata/rules.yaml and those that people set.
var tags = []string{
	"refund", "late-delivery", "promised-callback", "complaint", "vip", "sales-lead", "new-customer", "wholesale",
	"topic-billing", "topic-technical", "unsorted", peoplesTag,
}

const peoplesTag = "complaint-handled"

const (
	customer = "2c8f1e5a-9b34-4d7e-8a61-0f5d3c7b9e20"
	agent    = "smith@example.com"
	bot      = "9f3ad1c07be24d6a8e15c2b47d60fa93"
)

// chat is what people do in one chat: the webhooks in their order, and the tags
// that its threads must have in the end.
type chat struct {
	w        *world
	what     string
	id       string
	thread   string // the newest
	hooks    []livechattest.Webhook
	expected []expectation
}

func (c *chat) did(hooks []livechattest.Webhook, err error) []livechattest.Webhook {
	c.w.t.Helper()
	if err != nil {
		c.w.t.Fatalf("%s: %v", c.what, err)
	}
	c.hooks = append(c.hooks, hooks...)
	return hooks
}

// start starts the chat, or its next thread; text is what the customer says
// first.
func (c *chat) start(spec livechattest.Chat, text string) *chat {
	c.w.t.Helper()
	spec.Users = []livechattest.User{{ID: customer, Type: "customer", Name: "Maya"}, {ID: agent, Name: "Smith"}, {ID: bot, Name: "Bot"}}
	if text != "" {
		spec.Thread.Events = append(spec.Thread.Events, livechattest.Event{Author: customer, Text: text + " " + c.w.word})
	}
	var hooks []livechattest.Webhook
	if c.id == "" {
		hooks = c.did(c.w.platform.StartChat(organization, spec))
	} else {
		hooks = c.did(c.w.platform.ResumeChat(c.id, spec.Thread))
	}
	c.id, c.thread = hooks[0].Chat, hooks[0].Thread
	return c
}

func (c *chat) event(e livechattest.Event) (id string) {
	c.w.t.Helper()
	return c.did(c.w.platform.AddEvent(c.thread, e))[0].Event
}

// says adds a message and returns its event id.
func (c *chat) says(author, text string) string {
	c.w.t.Helper()
	return c.event(livechattest.Event{Author: author, Text: text + " " + c.w.word})
}

// ends ends the thread, which must then get these tags.
func (c *chat) ends(tags ...string) *chat {
	c.w.t.Helper()
	c.did(c.w.platform.Deactivate(c.thread, agent))
	return c.expect(tags...)
}

func (c *chat) expect(tags ...string) *chat {
	c.expected = append(c.expected, expectation{c.what, c.id, c.thread, tags})
	return c
}

// kinds are the chats that traffic is made of.
var kinds = []struct {
	what string
	play func(c *chat)
}{
	{"refund", func(c *chat) {
		c.start(livechattest.Chat{}, "Hello")
		c.says(agent, "How can I help?")
		c.says(customer, "I want my MONEY-BACK")
		c.ends("refund")
	}},
	{"late parcel and a promise", func(c *chat) {
		c.start(livechattest.Chat{}, "Where is my parcel?")
		c.event(livechattest.Event{Author: agent, Text: "We will call you back within " + c.w.word + " hours."})
		c.ends("late-delivery", "promised-callback")
	}},
	{"nothing of interest", func(c *chat) {
		c.start(livechattest.Chat{}, "Do you have this lamp in green?")
		c.says(agent, "Yes")
		c.ends("unsorted")
	}},
	{"edited away", func(c *chat) {
		c.start(livechattest.Chat{}, "Hello")
		request := c.says(customer, "I want a refund")
		c.did(c.w.platform.EditEvent(c.thread, request, "I want a lamp "+c.w.word))
		c.ends("unsorted")
	}},
	{"edited twice", func(c *chat) {
		c.start(livechattest.Chat{}, "Hello")
		request := c.says(customer, "I want a lamp")
		c.did(c.w.platform.EditEvent(c.thread, request, "I want a table "+c.w.word))
		c.did(c.w.platform.EditEvent(c.thread, request, "I want a refund "+c.w.word))
		c.ends("refund")
	}},
	{"deleted", func(c *chat) {
		c.start(livechattest.Chat{}, "Hello")
		c.did(c.w.platform.DeleteEvent(c.thread, c.says(customer, "My order is late")))
		c.says(customer, "I get an error")
		c.ends("topic-technical")
	}},
	{"a veto in another message", func(c *chat) {
		c.start(livechattest.Chat{}, "What is your refund policy?")
		c.says(customer, "Then refund me")
		c.ends("refund")
	}},
	{"a veto", func(c *chat) {
		c.start(livechattest.Chat{}, "What is your refund policy?")
		c.ends("unsorted")
	}},
	{"internal note", func(c *chat) {
		c.start(livechattest.Chat{}, "Hello")
		c.event(livechattest.Event{Author: agent, Text: "VIP, asks for a refund " + c.w.word, Internal: true})
		c.ends("vip")
	}},
	{"form", func(c *chat) {
		c.start(livechattest.Chat{Thread: livechattest.Thread{Events: []livechattest.Event{{
			Author: customer, Type: "filled_form", FormType: "prechat",
			Fields: []livechattest.Field{{ID: "1", Type: "textarea", Label: "Topic", Text: "My first order " + c.w.word}},
		}}}}, "")
		c.says(customer, "Hello")
		c.ends("new-customer")
	}},
	{"button", func(c *chat) {
		c.start(livechattest.Chat{}, "Hello")
		card := c.event(livechattest.Event{Author: bot, Type: "rich_message", Elements: []livechattest.Element{{
			Title: "Choose", Buttons: []livechattest.Button{{Type: "message", Text: "Talk to sales", Value: "sales", PostbackID: "sales"}},
		}}})
		c.did(c.w.platform.Click(c.thread, card, customer, "sales"))
		c.ends("sales-lead")
	}},
	{"transferred to the group of the rule", func(c *chat) {
		c.start(livechattest.Chat{}, "I buy wholesale")
		c.did(c.w.platform.Transfer(c.thread, []int{3}, agent))
		c.ends("wholesale")
	}},
	{"transferred away from it", func(c *chat) {
		c.start(livechattest.Chat{Groups: []int{3}}, "I buy wholesale")
		c.did(c.w.platform.Transfer(c.thread, []int{1}, agent))
		c.ends("unsorted")
	}},
	{"a person has handled it", func(c *chat) {
		c.start(livechattest.Chat{}, "This is unacceptable")
		c.did(c.w.platform.TagAsPerson(c.thread, peoplesTag))
		c.ends(peoplesTag)
	}},
	{"two threads", func(c *chat) {
		c.start(livechattest.Chat{}, "I want a refund").ends("refund")
		c.start(livechattest.Chat{}, "My package is delayed")
		c.says(agent, "I am sorry")
		c.ends("late-delivery")
	}},
	{"offline message", func(c *chat) {
		c.start(livechattest.Chat{Thread: livechattest.Thread{Inactive: true}}, "My invoice is wrong").expect("topic-billing")
	}},
	{"one topic of two", func(c *chat) {
		c.start(livechattest.Chat{}, "I see an error")
		c.says(customer, "and the invoice is wrong")
		c.ends("topic-billing")
	}},
	{"old shape", func(c *chat) {
		c.start(livechattest.Chat{Version: "3.3"}, "Hello")
		c.says(agent, "Please complain")
		c.says(customer, "Where is my package?")
		c.ends("late-delivery")
	}},
	{"long", func(c *chat) {
		c.start(livechattest.Chat{}, "Hello")
		for i := range 15 {
			c.says([]string{customer, agent}[i%2], fmt.Sprint("message ", i))
		}
		c.says(customer, "a refund, please")
		c.ends("refund")
	}},
}

// traffic makes n chats, every kind in turn.
func (w *world) traffic(n int) []*chat {
	w.t.Helper()
	chats := make([]*chat, n)
	for i := range chats {
		k := kinds[i%len(kinds)]
		chats[i] = &chat{w: w, what: k.what}
		k.play(chats[i])
	}
	return chats
}

func hooks(chats []*chat) [][]livechattest.Webhook {
	var out [][]livechattest.Webhook
	for _, c := range chats {
		out = append(out, c.hooks)
	}
	return out
}

func expectations(chats []*chat) []expectation {
	var out []expectation
	for _, c := range chats {
		out = append(out, c.expected...)
	}
	return out
}

// endFirst shuffles webhooks and moves the ends to the front.
func (w *world) endFirst(hooks []livechattest.Webhook) []livechattest.Webhook {
	out := w.shuffled(hooks)
	slices.SortStableFunc(out, func(a, b livechattest.Webhook) int { return rank(a) - rank(b) })
	return out
}

func rank(h livechattest.Webhook) int {
	if h.Action == "chat_deactivated" {
		return 0
	}
	return 1
}

func (w *world) shuffled(hooks []livechattest.Webhook) []livechattest.Webhook {
	out := slices.Clone(hooks)
	w.rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func doubled(hooks []livechattest.Webhook) []livechattest.Webhook {
	var out []livechattest.Webhook
	for _, h := range hooks {
		out = append(out, h, h)
	}
	return out
}

// split gives two thirds of the webhooks, the ends among them, and those that
// come late.
func split(hooks []livechattest.Webhook) (early, late []livechattest.Webhook) {
	for i, h := range hooks {
		if i%3 == 1 && h.Action != "chat_deactivated" {
			late = append(late, h)
		} else {
			early = append(early, h)
		}
	}
	return early, late
}

// afterwards lets people go on in chats that have their tags: a message that
// asks for one more tag, then, after between, an edit that takes it back.
func (w *world) afterwards(chats []*chat, between func()) {
	w.t.Helper()
	var said, edited []*chat
	var messages []string
	for _, c := range chats {
		old := c.expected[len(c.expected)-1].tags
		tags := slices.DeleteFunc(slices.Clone(old), func(t string) bool { return t == "unsorted" })
		if !slices.Contains(tags, "late-delivery") {
			tags = append(tags, "late-delivery")
		}
		s := &chat{w: w, what: c.what + ", and a message after its tags", id: c.id, thread: c.thread}
		messages = append(messages, s.says(customer, "My parcel is late"))
		said = append(said, s.expect(tags...))
		e := &chat{w: w, what: c.what + ", and the message taken back", id: c.id, thread: c.thread}
		edited = append(edited, e.expect(old...))
	}
	w.sendAll(hooks(said))
	w.check(expectations(said))
	between()
	for i, e := range edited {
		e.did(w.platform.EditEvent(e.thread, messages[i], "It has come "+w.word))
	}
	w.sendAll(hooks(edited))
	w.check(expectations(edited))
}
