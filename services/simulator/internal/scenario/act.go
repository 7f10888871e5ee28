package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"autotag/pkg/livechat/livechattest"
	"autotag/services/simulator/internal/sender"
)

// actor plays the people of one chat.
type actor struct {
	*Player
	chat     *Chat
	chatID   string
	customer string
	rng      *rand.Rand
	messages map[string]string // event ids by the names that steps gave
	offered  map[string]string // the event that offers a button, by label
}

var errStopped = errors.New("stopped")

func (a *actor) playThread(ctx context.Context, r *run, t *Thread, index int) error {
	a.messages, a.offered = map[string]string{}, map[string]string{}
	opening := 0
	for opening < len(t.Says) && opening < a.chat.OpensWith && t.Says[opening].Kind == Says && t.Says[opening].Button == "" {
		opening++
	}
	hooks, err := a.open(r, t.Says[:opening], index)
	if err != nil {
		return err
	}
	var arrives Arrival
	if opening > 0 {
		arrives = t.Says[0].Arrives
	}
	a.deliver(ctx, r, hooks, a.fate(nil, arrives))
	if index == 0 && a.chat.Starts == StartsOffline {
		a.sentEnd(ctx, r)
	}
	for i := opening; i < len(t.Says); i++ {
		s := &t.Says[i]
		if !sender.Sleep(ctx, a.pause(s)) {
			return errStopped
		}
		if s.Kind == UntilTagged {
			a.flush(ctx, r)
			if err := a.untilTagged(ctx, r, s.Tags); err != nil {
				return err
			}
			continue
		}
		hooks, err := a.act(r, s)
		if err != nil {
			return fmt.Errorf("line %d: %w", s.Line, err)
		}
		a.deliver(ctx, r, hooks, a.fate(s, s.Arrives))
		if s.Kind == End {
			a.sentEnd(ctx, r)
		}
	}
	a.flush(ctx, r)
	return nil
}

func (a *actor) pause(s *Step) time.Duration {
	if s.After >= 0 {
		return s.After
	}
	return a.chat.Pace
}

// open starts the chat or its next thread.
func (a *actor) open(r *run, steps []Step, index int) ([]livechattest.Webhook, error) {
	spec := livechattest.Thread{}
	for i := range steps {
		spec.Events = append(spec.Events, a.event(&steps[i]))
	}
	var hooks []livechattest.Webhook
	var err error
	if index == 0 {
		spec.Inactive = a.chat.Starts == StartsOffline
		spec.Queued = a.chat.Starts == StartsQueued
		hooks, err = a.opts.Platform.StartChat(a.opts.Organization, livechattest.Chat{
			Users:  []livechattest.User{{ID: a.customer, Type: "customer", Name: a.chat.Customer}, colleagues["agent"], colleagues["bot"]},
			Groups: a.chat.Groups, Version: a.chat.Webhooks, Thread: spec,
		})
	} else {
		hooks, err = a.opts.Platform.ResumeChat(a.chatID, spec)
	}
	if err != nil {
		return nil, err
	}
	a.chatID = hooks[0].Chat
	a.touch(func() {
		r.chatID, r.thread = hooks[0].Chat, hooks[0].Thread
		a.runs[r.thread] = r
	})
	ids := a.opts.Platform.EventIDs(r.thread)
	for i := range steps {
		a.remember(&steps[i], ids[i])
	}
	if a.chat.Restricted {
		if err := a.opts.Platform.Restrict(r.thread, "plan_history_limit"); err != nil {
			return nil, err
		}
	}
	a.emit(Event{Kind: ChatStarted}, r)
	return hooks, nil
}

func (a *actor) remember(s *Step, eventID string) {
	if s.As != "" {
		a.messages[s.As] = eventID
	}
	for _, b := range s.Buttons {
		a.offered[b] = eventID
	}
}

// event builds what somebody says.
func (a *actor) event(s *Step) livechattest.Event {
	e := livechattest.Event{Author: a.userID(s.Author), Text: s.Text, Internal: s.Internal}
	switch {
	case s.Form != nil:
		e.Type, e.FormType = "filled_form", "prechat"
		e.Fields = fields(s.Form, true)
	case s.File != "":
		e.Type = "file"
		e.Extra = map[string]any{"name": s.File, "url": "https://cdn.example.com/file", "content_type": "application/octet-stream"}
	case s.Asks != nil:
		e.Type, e.FormType = "form", "others"
		e.Fields = fields(s.Asks, false)
	case s.Buttons != nil:
		e.Type = "rich_message"
		card := livechattest.Element{Title: "How can we help?"}
		for _, b := range s.Buttons {
			card.Buttons = append(card.Buttons, livechattest.Button{Type: "message", Text: b, Value: b, PostbackID: postbackID(b)})
		}
		e.Elements = []livechattest.Element{card}
	}
	if s.Markdown {
		e.Properties = livechattest.Properties{"chats": {"formatting": "commonmark"}}
	}
	if s.Greeting {
		e.Properties = livechattest.Properties{"lc2": {"welcome_message": true}}
	}
	return e
}

func postbackID(label string) string {
	return strings.ReplaceAll(strings.ToLower(label), " ", "_")
}

// fields turns answers into the fields of a form, filled or not. A list of
// answers is a set of checkboxes; offered options are a select; Name and E-mail
// are the fields of these types.
func fields(answers []Answer, filled bool) []livechattest.Field {
	var out []livechattest.Field
	for i, answer := range answers {
		f := livechattest.Field{ID: fmt.Sprintf("17169711223340%d", i+1), Label: answer.Question}
		var choices []livechattest.Choice
		for j, label := range answer.Answers {
			choices = append(choices, livechattest.Choice{ID: fmt.Sprint(j), Label: label})
		}
		switch {
		case filled && answer.Several:
			f.Type, f.Choices = "checkbox", choices
		case filled && answer.Choice:
			f.Type, f.Choices = "select", choices
		case filled:
			f.Type, f.Text = "textarea", answer.Answers[0]
			if kind := strings.ReplaceAll(strings.ToLower(answer.Question), "-", ""); kind == "name" || kind == "email" {
				f.Type = kind
			}
		case answer.Several:
			f.Type, f.Options = "select", choices
		default:
			f.Type = "question"
		}
		out = append(out, f)
	}
	return out
}

func (a *actor) userID(author string) string {
	switch author {
	case "customer":
		return a.customer
	case "agent":
		return agentID
	case "bot":
		return botID
	}
	return "" // the router
}

// act does one step on the platform.
func (a *actor) act(r *run, s *Step) ([]livechattest.Webhook, error) {
	p := a.opts.Platform
	switch s.Kind {
	case Says:
		if s.Button != "" {
			return p.Click(r.thread, a.offered[s.Button], a.customer, postbackID(s.Button))
		}
		hooks, err := p.AddEvent(r.thread, a.event(s))
		if err == nil {
			a.remember(s, hooks[0].Event)
		}
		return hooks, err
	case Edit:
		return p.EditEvent(r.thread, a.messages[s.Of], s.Text)
	case Delete:
		return p.DeleteEvent(r.thread, a.messages[s.Of])
	case Translate:
		return p.SetProperties(r.thread, a.messages[s.Of], livechattest.Properties{
			"translation": {"target_lang_code": "en", "target_message": s.Text},
		})
	case PersonTags:
		return p.TagAsPerson(r.thread, s.Tag)
	case PersonRemoves:
		return p.UntagAsPerson(r.thread, s.Tag)
	case Transfer:
		return p.Transfer(r.thread, s.Groups, agentID)
	case Joins:
		return p.AddUser(r.thread, colleagues[s.Author])
	case Leaves:
		return p.RemoveUser(r.thread, colleagues[s.Author].ID)
	case Rates:
		return p.Rate(r.thread, s.Text)
	case Summary:
		return p.SetSummary(r.thread, s.Text)
	case Unknown:
		return p.Tell(r.thread, s.Action)
	case End:
		return p.Deactivate(r.thread, a.userID(s.Author))
	}
	return nil, fmt.Errorf("step %q cannot be played", s.Kind)
}

// untilTagged waits until the thread has exactly these tags.
func (a *actor) untilTagged(ctx context.Context, r *run, tags []string) error {
	want := slices.Sorted(slices.Values(tags))
	limit := time.NewTimer(a.opts.Limit)
	defer limit.Stop()
	var got []string
	ok := a.wait(ctx, limit.C, func() (bool, time.Duration) {
		got = slices.Sorted(slices.Values(a.opts.Platform.Tags(r.thread)))
		return slices.Equal(got, want), 0
	})
	switch {
	case ok:
		return nil
	case ctx.Err() != nil:
		return errStopped
	}
	return fmt.Errorf("waited %s for the tags %v, they are %v", a.opts.Limit, want, got)
}

// fate adds to a step's own arrival what the whole chat asks for: messages may
// be lost, everything may be late. The step is nil for the start of a thread.
func (a *actor) fate(s *Step, arrives Arrival) Arrival {
	if s != nil && s.Kind == Says && a.rng.IntN(100) < a.chat.Lose {
		arrives.Lost = true
	}
	if a.chat.Delay > 0 && arrives.Delay == 0 {
		arrives.Delay = time.Duration(a.rng.Int64N(int64(a.chat.Delay))) + 1
	}
	return arrives
}

// deliver lets the webhooks of one step meet their fate.
func (a *actor) deliver(ctx context.Context, r *run, hooks []livechattest.Webhook, arrives Arrival) {
	copies := a.chat.Copies
	if arrives.Copies > 0 {
		copies = arrives.Copies
	}
	for _, w := range hooks {
		if arrives.Lost {
			a.emit(Event{Kind: WebhookDropped, Action: w.Action}, r)
			continue
		}
		for n := range copies {
			if n > 0 {
				a.emit(Event{Kind: WebhookDuplicate, Action: w.Action}, r)
			}
			switch {
			case arrives.Delay > 0:
				a.sendLater(ctx, r, w, arrives)
			case a.chat.Order != AsSent:
				r.held = append(r.held, w)
			default:
				a.send(ctx, r, w, nil)
			}
		}
	}
}

// sendLater sends after a delay, counted from now or from the end of the
// thread.
func (a *actor) sendLater(ctx context.Context, r *run, w livechattest.Webhook, arrives Arrival) {
	a.touch(func() { a.sending++; r.pending++ })
	go func() {
		defer a.touch(func() { a.sending--; r.pending-- })
		if arrives.AfterEnd {
			select {
			case <-r.ended:
			case <-ctx.Done():
				return
			}
		}
		if sender.Sleep(ctx, arrives.Delay) {
			a.send(ctx, r, w, nil)
		}
	}()
}

// sentEnd marks that the end of the thread is out; what was held goes with it.
func (a *actor) sentEnd(ctx context.Context, r *run) {
	a.flush(ctx, r)
	r.end()
}

// flush sends what was held back in the order that the chat asks for. Unless
// that is all at once, each webhook waits for the answer to the one before.
func (a *actor) flush(ctx context.Context, r *run) {
	held := r.held
	r.held = nil
	switch a.chat.Order {
	case Shuffled:
		a.rng.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
	case Reversed:
		slices.Reverse(held)
	case EndFirst:
		slices.SortStableFunc(held, func(x, y livechattest.Webhook) int { return endRank(x) - endRank(y) })
	}
	for _, w := range held {
		if a.chat.Order == AllAtOnce {
			a.send(ctx, r, w, nil)
			continue
		}
		answered := make(chan struct{})
		a.send(ctx, r, w, answered)
		<-answered
	}
}

func endRank(w livechattest.Webhook) int {
	if w.Action == "chat_deactivated" {
		return 0
	}
	return 1
}
