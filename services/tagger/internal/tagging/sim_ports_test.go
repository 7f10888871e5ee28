package tagging

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"autotag/pkg/chatstore"
	"autotag/pkg/decision"
	"autotag/pkg/livechat"
	"autotag/pkg/rules"
	"autotag/pkg/transcript"
)

// port is every interface of the core, for one task, on the world.
type port struct {
	world  *world
	task   *task
	worker *worker
}

var errRedis = errors.New("redis is away")

func (p *port) Now() time.Time { return p.world.now }

func (p *port) Sleep(_ context.Context, d time.Duration) error {
	if p.task == nil { // a test that calls the core itself
		p.world.now = p.world.now.Add(d)
		return nil
	}
	p.task.wakeAt = p.world.now.Add(d)
	p.task.effect("sleep")
	return nil
}

// The log.

func (p *port) Thread(_ context.Context, k transcript.Key, reach uint64) ([]Webhook, error) {
	p.task.effect("read thread")
	var hooks []Webhook
	var reached uint64
	for _, h := range p.world.log {
		if h.Key == k || h.Key == (transcript.Key{Org: k.Org, Chat: k.Chat, Thread: "_"}) {
			hooks = append(hooks, h)
			reached = h.Seq
		}
	}
	if reached < reach && p.world.err == nil {
		// A schedule never carries a sequence of another thread, but for ends
		// that a later thread's start told.
		for _, h := range p.world.log {
			if h.Seq == reach && h.Key.Chat != k.Chat {
				p.world.err = errors.New("the timer's sequence is not the chat's")
			}
		}
	}
	return hooks, nil
}

func (p *port) Starts(_ context.Context, org, chat string) ([]Webhook, error) {
	p.task.effect("read starts")
	var hooks []Webhook
	for _, h := range p.world.log {
		if h.Key.Chat == chat && h.Action == livechat.IncomingChat {
			hooks = append(hooks, h)
		}
	}
	return hooks, nil
}

func (p *port) TagEvents(_ context.Context, k transcript.Key) ([]transcript.TagEvent, error) {
	p.task.effect("read tag events")
	return p.world.tagEvents(k), nil
}

func (w *world) tagEvents(k transcript.Key) []transcript.TagEvent {
	var events []transcript.TagEvent
	for _, h := range w.log {
		if h.Key == k && (h.Action == livechat.ThreadTagged || h.Action == livechat.ThreadUntagged) {
			events = append(events, transcript.TagEvent{At: h.At, Tag: h.Payload.Tag, Untag: h.Action == livechat.ThreadUntagged})
		}
	}
	return events
}

func (p *port) Records(_ context.Context, k transcript.Key) (Records, error) {
	p.task.effect("read records")
	return p.world.recordsOf(k), nil
}

func (w *world) recordsOf(k transcript.Key) Records {
	var r Records
	for _, x := range w.records[k] {
		switch x := x.(type) {
		case StoredRecord:
			r.Decision, r.Last = &x, x.Seq
		case StoredOutcome:
			r.Outcomes, r.Last = append(r.Outcomes, x), x.Seq
		}
	}
	return r
}

func (p *port) Decide(_ context.Context, k transcript.Key, r decision.Record, expect uint64) (uint64, error) {
	p.task.effect("publish decision")
	w := p.world
	if w.recordsOf(k).Last != expect {
		return 0, ErrConflict
	}
	w.recordSeq++
	w.records[k] = append(w.records[k], StoredRecord{Seq: w.recordSeq, At: w.tick(), Record: r})
	w.queues = append(w.queues, &message{queue: "decision", key: k, at: w.now})
	w.tracef("decision %d %s %v skipped %v complete %t rules %s by worker %d", w.recordSeq, k.Thread, tagsOf(r.Tags), r.Skipped, r.Transcript.Complete, r.RulesVersion, p.worker.id)
	return w.recordSeq, nil
}

func (p *port) Outcome(_ context.Context, k transcript.Key, o decision.Outcome, expect uint64) (uint64, error) {
	w := p.world
	if w.slow > 0 {
		p.task.wakeAt = w.now.Add(w.slow)
	}
	p.task.effect("publish outcome")
	if w.recordsOf(k).Last != expect {
		return 0, ErrConflict
	}
	w.recordSeq++
	w.records[k] = append(w.records[k], StoredOutcome{Seq: w.recordSeq, At: w.tick(), Outcome: o})
	w.tracef("outcome %d %s %+v by worker %d", w.recordSeq, k.Thread, o.Calls[0], p.worker.id)
	return w.recordSeq, nil
}

func (p *port) Arm(_ context.Context, timers []Timer) []error {
	errs := make([]error, len(timers))
	for _, t := range timers {
		p.task.effect("arm")
		p.world.arm(t, "due")
	}
	return errs
}

func (p *port) Dead(_ context.Context, stage string, k transcript.Key, reason string, call decision.Call) error {
	p.task.effect("dead letter")
	p.world.tracef("dead letter %s %s %+v", stage, reason, call)
	p.world.dead = append(p.world.dead, deadLetter{k, reason, call, p.world.now})
	return nil
}

// The store.

func (p *port) Put(_ context.Context, writes []chatstore.Write) ([]chatstore.Marks, error) {
	p.task.effect("put")
	w := p.world
	if w.redisUp.After(w.now) {
		return nil, errRedis
	}
	marks := make([]chatstore.Marks, len(writes))
	for i, x := range writes {
		h := w.redis[x.Key]
		if h == nil {
			h = map[string]transcript.Fact{}
			w.redis[x.Key] = h
		}
		for _, f := range x.Facts {
			if _, ok := h[f.Field]; !ok {
				h[f.Field] = f
				w.written = append(w.written, written{x.Key, f.Field})
			}
		}
		if _, ok := w.runs[x.Key]; !ok && x.Fresh {
			w.runs[x.Key] = w.runID()
		}
		_, start := h[transcript.FieldStart]
		_, end := h[transcript.FieldEnded]
		marks[i].Open = start && !end && w.runs[x.Key] == w.runID()
	}
	return marks, nil
}

func (w *world) runID() string {
	return "run" + string(rune('a'+w.run%26)) + string(rune('a'+w.run/26%26))
}

func (p *port) Get(_ context.Context, k transcript.Key) (chatstore.Known, error) {
	p.task.effect("get")
	w := p.world
	if w.redisUp.After(w.now) {
		return chatstore.Known{}, errRedis
	}
	var facts []transcript.Fact
	for _, key := range []transcript.Key{k, {Org: k.Org, Chat: k.Chat, Thread: "_"}} {
		fields := make([]string, 0, len(w.redis[key]))
		for f := range w.redis[key] {
			fields = append(fields, f)
		}
		sort.Strings(fields)
		for _, f := range fields {
			facts = append(facts, w.redis[key][f])
		}
	}
	return chatstore.Known{Facts: facts, Run: w.runID()}, nil
}

func (p *port) Rebuild(ctx context.Context, k transcript.Key, facts []transcript.Fact, run string) error {
	if _, err := p.Put(ctx, []chatstore.Write{{Key: k, Facts: facts}}); err != nil {
		return err
	}
	p.world.runs[k] = run
	return nil
}

func (p *port) Decided(context.Context, transcript.Key, uint64) error { return nil }

// The rules.

func (p *port) Current() (*rules.Set, uint64) { return p.worker.set, p.worker.order }

func (p *port) Order(_ context.Context, version string) (uint64, error) {
	p.task.effect("rules order")
	for i, s := range p.world.sets {
		if s.Version == version {
			return uint64(i) + 1, nil
		}
	}
	return 0, nil
}

func (p *port) Behind() bool {
	if p.worker.behind.IsZero() {
		p.worker.behind = p.world.now
	}
	return false // in the world every worker loads the newest rules in the end
}

// The limits.

func (p *port) Reserve(_ context.Context, _, tag string) (chatstore.Permit, error) {
	p.task.effect("reserve")
	w := p.world
	if w.redisUp.After(w.now) {
		return chatstore.Permit{}, errRedis
	}
	if b := w.probes[tag]; tag != "" && b != nil {
		if b.next.After(w.now) {
			return chatstore.Permit{Wait: b.next.Sub(w.now), Probe: true}, nil
		}
		b.n++
		b.next = w.now.Add(probePause(b.n))
		p.task.permit = w.now
		return chatstore.Permit{At: w.now, Probe: true}, nil
	}
	if w.faults && w.chance(0.1) {
		return chatstore.Permit{Wait: w.between(time.Millisecond, 3*time.Second)}, nil
	}
	at := w.now.Add(w.between(0, 200*time.Millisecond))
	if p.task != nil {
		p.task.permit = at
	}
	return chatstore.Permit{At: at}, nil
}

func (p *port) Refused(_ context.Context, _, tag string) error {
	p.task.effect("refused")
	w := p.world
	if w.probes[tag] == nil {
		w.probes[tag] = &probe{next: w.now.Add(probePause(0))}
	}
	return nil
}

func (p *port) Accepted(_ context.Context, _, tag string) error {
	p.task.effect("accepted")
	delete(p.world.probes, tag)
	return nil
}

func probePause(n int) time.Duration {
	if n < 5 {
		return 36 * time.Second
	}
	return 10 * time.Minute
}

func (p *port) GapsHarmless(context.Context, string) (bool, error) { return p.world.harmless, nil }

func (p *port) Gap(_ context.Context, k transcript.Key, brought bool) error {
	p.task.effect("gap")
	p.world.gaps = append(p.world.gaps, brought)
	return nil
}

// LiveChat.

func (p *port) GetChat(_ context.Context, k transcript.Key) (livechat.Chat, error) {
	if err := p.trouble("get_chat", k, p.world.hitch()); err != nil {
		return livechat.Chat{}, err
	}
	p.world.tracef("get_chat %s", k.Thread)
	pl := p.world.platform
	if pl.chatRefused {
		return livechat.Chat{}, &livechat.Error{Method: "get_chat", Type: "missing_access", Status: 403}
	}
	chat := pl.chat(k)
	chat.Thread.Events = slices.DeleteFunc(chat.Thread.Events, func(e livechat.Event) bool { return e.CreatedAt.After(p.world.now) })
	if pl.restricted {
		chat.Thread.Events, chat.Thread.Restricted = nil, "plan"
	}
	return chat, nil
}

func (p *port) ListTags(_ context.Context, org string) ([]livechat.Tag, error) {
	if err := p.trouble("list_tags", transcript.Key{Org: org}, p.world.hitch()); err != nil {
		return nil, err
	}
	var tags []livechat.Tag
	for _, name := range simTags {
		if !p.world.platform.unknown(name) {
			tags = append(tags, livechat.Tag{Name: name})
		}
	}
	return tags, nil
}

func (p *port) Tag(_ context.Context, k transcript.Key, tag string) error {
	return p.change(k, tag, false)
}

func (p *port) Untag(_ context.Context, k transcript.Key, tag string) error {
	return p.change(k, tag, true)
}

func (p *port) change(k transcript.Key, tag string, untag bool) error {
	method := "tag_thread"
	if untag {
		method = "untag_thread"
	}
	before, after := p.world.hitch(), p.world.hitch()
	begun := p.world.now
	p.task.sent = func() {
		// LiveChat ends a request after 15 s, whatever became of who sent it.
		if at := begun.Add(p.world.between(0, 18*time.Second)); at.After(p.world.now) {
			p.world.acts = append(p.world.acts, act{at: at, key: k, tag: tag, untag: untag, ours: true})
		}
		p.world.sortActs()
	}
	err := p.trouble(method, k, before)
	p.task.sent = nil
	if err != nil {
		return err
	}
	err = p.world.platform.change(k, tag, untag, true)
	p.world.tracef("%s %s %s by worker %d: %v", method, k.Thread, tag, p.worker.id, err)
	if err != nil {
		return err
	}
	if after {
		// Carried out, but the answer never comes.
		p.task.wakeAt = p.world.now.Add(16 * time.Second)
		p.task.effect("no answer")
		return &livechat.Error{Method: method}
	}
	p.task.effect("answer")
	return nil
}

func (w *world) hitch() bool { return w.cfg.apiFaults && w.faults && w.chance(0.15) }

// trouble is what may go wrong before a call is carried out.
func (p *port) trouble(method string, k transcript.Key, hitch bool) error {
	w := p.world
	if late := w.now.Sub(p.task.permit); late > chatstore.PermitLife && w.err == nil {
		w.err = fmt.Errorf("%s uses a permit %s after its time", method, late)
	}
	p.task.permit = time.Time{} // good for one call
	p.task.effect(method)
	tooSoon := len(w.platform.calls) > 0 && w.now.Sub(w.platform.calls[len(w.platform.calls)-1].at) < w.platform.spacing
	w.platform.calls = append(w.platform.calls, simCall{at: w.now, key: k, method: method})
	e := &livechat.Error{Method: method}
	if tooSoon {
		e.Type, e.Status = "too_many_requests", 429
		return e
	}
	if f := w.platform.outage; f != nil && w.now.Before(w.platform.outageUntil) {
		*e = *f
		e.Method = method
		w.tracef("%s fails: %v", method, e)
		return e
	}
	if !hitch {
		return nil
	}
	switch w.rng.IntN(5) {
	case 0:
		e.Type, e.Status = "too_many_requests", 429
		if w.chance(0.5) {
			e.RetryAfter = w.between(time.Second, 40*time.Second)
		}
	case 1:
		e.Type, e.Status = "service_unavailable", 503
	case 2:
		e.Type, e.Status = "authentication", 401
	case 3:
		e.Type, e.Status = "internal", 500
	default: // no answer
		p.task.wakeAt = w.now.Add(16 * time.Second)
		p.task.effect("no answer")
	}
	w.tracef("%s fails: %v", method, e.Type)
	return e
}

// platform is what LiveChat itself knows.
type platform struct {
	w          *world
	threads    map[string]*simThread
	order      []*simThread
	calls      []simCall
	changes    []change
	youngUntil time.Time
	youngTag   string // unknown until then
	// outage is what every call is answered until outageUntil.
	outage      *livechat.Error
	outageUntil time.Time
	spacing     time.Duration // a call sooner than this after another is one too many
	mismatch    string        // a tag that shares no group with any thread
	restricted  bool          // get_chat withholds the events
	chatRefused bool          // get_chat is refused for good
	retagOK     bool          // tagging what is tagged answers 200
	mute        bool          // or a refusal that does not say why, as does untagging what is not there
}

// simCall is a call that reached the platform.
type simCall struct {
	at     time.Time
	key    transcript.Key
	method string
}

func (p *platform) unknown(tag string) bool {
	return tag == p.youngTag && p.w.now.Before(p.youngUntil)
}

type change struct {
	at    time.Time
	key   transcript.Key
	tag   string
	untag bool
	ours  bool
}

type simThread struct {
	key    transcript.Key
	events []*livechat.Event
	users  []livechat.User
	groups []int
	tags   []string
	active bool
	n      int
	lossy  bool
	// endLost: the next thread's start alone tells that this one has ended.
	endLost bool
}

func (p *platform) keyOf(chatThread string) transcript.Key {
	for _, t := range p.order {
		if t.key.Chat+t.key.Thread == chatThread {
			return t.key
		}
	}
	return transcript.Key{Org: "org", Chat: chatThread[:2], Thread: chatThread[2:]}
}

func (p *platform) chat(k transcript.Key) livechat.Chat {
	t := p.threads[k.Thread]
	thread := &livechat.Thread{ID: k.Thread, Active: t.active, Tags: slices.Clone(t.tags), GroupIDs: slices.Clone(t.groups), HasGroups: true}
	for _, e := range t.events {
		c := *e
		thread.Events = append(thread.Events, c)
	}
	return livechat.Chat{ID: k.Chat, Users: t.users, Thread: thread, GroupIDs: thread.GroupIDs, HasGroups: true}
}

// change tags or untags, by us or by a person, and sends the webhook of it.
func (p *platform) change(k transcript.Key, tag string, untag, ours bool) error {
	t := p.threads[k.Thread]
	if p.unknown(tag) || tag == p.mismatch {
		return &livechat.Error{Method: "tag_thread", Type: "validation", Status: 400}
	}
	has := slices.Contains(t.tags, tag)
	switch {
	case has && !untag:
		if p.retagOK && ours {
			return nil
		}
		if p.mute && ours {
			return &livechat.Error{Method: "tag_thread", Type: "validation", Status: 400}
		}
		return &livechat.Error{Method: "tag_thread", Type: "already_exists", Status: 409}
	case !has && untag && p.mute && ours:
		return &livechat.Error{Method: "untag_thread", Type: "validation", Status: 400}
	case !has && untag:
		return &livechat.Error{Method: "untag_thread", Type: "not_found", Status: 404}
	case untag:
		t.tags = slices.DeleteFunc(t.tags, func(x string) bool { return x == tag })
	default:
		t.tags = append(t.tags, tag)
	}
	p.changes = append(p.changes, change{at: p.w.now, key: k, tag: tag, untag: untag, ours: ours})
	action := livechat.ThreadTagged
	if untag {
		action = livechat.ThreadUntagged
	}
	hook := livechat.Payload{ChatID: k.Chat, ThreadID: k.Thread, Tag: tag}
	// A person's hand is seen at once: what we do before its webhook comes
	// cannot be told from it, as the promise says.
	delay := 40 * time.Millisecond
	if ours {
		delay = 60 * time.Second
	}
	p.w.post(k, action, hook, delay)
	return nil
}

// post sends a webhook: late, or twice.
func (w *world) post(k transcript.Key, action string, p livechat.Payload, delay time.Duration) {
	w.send(w.now.Add(w.between(0, delay)), k, action, p)
	for w.chance(0.2) {
		w.send(w.now.Add(w.between(0, delay)), k, action, p)
	}
}
