package tagging

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"autotag/pkg/decision"
	"autotag/pkg/livechat"
	"autotag/pkg/rules"
	"autotag/pkg/transcript"
)

var (
	lives = flag.Int("lives", 20000, "how many thread lives TestLives runs")
	seed  = flag.Uint64("seed", 0, "run only the life of this seed, with its trace")
)

// simRules are the versions of the rules file in the world: the second changes
// what some words mean.
var simRules = sync.OnceValue(func() []*rules.Set {
	var sets []*rules.Set
	for _, text := range []string{`
version: 1
rules:
  - tag: refund
    from: customer
    any: [refund*]
    none: [joke]
  - tag: billing
    any: [invoice]
    groups: [3]
  - {tag: late, any: [late], unless_tagged: [vip]}
  - {tag: first, any: [{word: hello, first: 1}]}
  - {tag: both, within: message, all: [parcel, {any: [late, lost]}]}
  - {tag: noted, internal: true, from: agent, any: [secretly]}
  - {tag: unsorted, fallback: true}
`, `
version: 1
rules:
  - {tag: refund, any: [chargeback, refund]}
  - {tag: late, any: [late, lost], unless_tagged: [vip]}
  - {tag: billing, any: [invoice], groups: [3]}
  - {tag: first, any: [{word: hello, last: 1}]}
  - {tag: unsorted, fallback: true}
`} {
		set, problems := rules.Parse("rules.yaml", []byte(text))
		if set == nil {
			panic(fmt.Sprint(problems))
		}
		sets = append(sets, set)
	}
	return sets
})

var simWords = []string{"hello", "refund", "refunds please", "a joke", "invoice", "late", "parcel late", "lost parcel", "thanks", "secretly", "chargeback", "ok"}

// Lives: whatever happens to a thread's webhooks and to the workers, it ends
// with the tags that the rules ask for on its true transcript.
func TestLives(t *testing.T) {
	simRules()
	if *seed != 0 {
		w, err := live(*seed, true)
		t.Log("\n" + strings.Join(w.trace, "\n"))
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	var next, calls, decisions atomic.Uint64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				n := next.Add(1)
				if n > uint64(*lives) || t.Failed() {
					return
				}
				w, err := live(n, false)
				calls.Add(uint64(len(w.platform.changes)))
				decisions.Add(w.recordSeq)
				if err != nil {
					t.Errorf("seed %d: %v\nreplay it with:\n\tgo test ./services/tagger/internal/tagging -run TestLives -seed %d -v", n, err, n)
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	if calls.Load() == 0 || decisions.Load() < uint64(*lives) {
		t.Fatalf("the lives were empty: %d changes of tags, %d records", calls.Load(), decisions.Load())
	}
	t.Logf("%d lives: %d changes of tags, %d records", *lives, calls.Load(), decisions.Load())
}

// live runs one chat's life to its end and checks it.
func live(seed uint64, tracing bool) (*world, error) {
	rng := rand.New(rand.NewPCG(seed, 7))
	w := &world{
		rng: rng, now: epoch, faults: true, yielded: make(chan struct{}), tracing: tracing,
		schedules: map[string]schedule{}, records: map[transcript.Key][]any{},
		redis: map[transcript.Key]map[string]transcript.Fact{}, runs: map[transcript.Key]string{},
		probes: map[string]*probe{},
		sets:   simRules(),
	}
	bit := func() bool { return rng.IntN(2) == 0 }
	w.cfg = simConfig{crashes: bit(), freezes: bit(), redisLoss: bit(), apiFaults: bit(), people: bit(), losses: bit(), rulesChange: rng.IntN(4) == 0, young: rng.IntN(8) == 0}
	w.platform = &platform{w: w, threads: map[string]*simThread{}, retagOK: bit(), mute: bit()}
	w.cfg.reconcile = ReconcileAuto
	switch rng.IntN(24) {
	case 0, 1:
		w.cfg.reconcile = ReconcileAlways
	case 2:
		w.cfg.reconcile = ReconcileNever
	case 3:
		w.cfg.off = true
	case 4:
		w.cfg.foreign = true
	case 5:
		w.platform.restricted = true
	case 6:
		w.platform.chatRefused = true
	case 7, 8:
		w.platform.mismatch = "first"
	case 9, 10:
		w.platform.outage = &livechat.Error{Type: "authentication", Status: 401}
		w.platform.outageUntil = epoch.Add(w.between(time.Minute, 30*time.Minute))
	case 11:
		w.platform.outage = &livechat.Error{Type: "service_unavailable", Status: 503}
		w.platform.outageUntil = epoch.Add(w.between(time.Minute, 30*time.Minute))
	}
	w.tracef("%+v", w.cfg)
	if w.cfg.young {
		w.platform.youngTag, w.platform.youngUntil = "billing", epoch.Add(w.between(0, 4*time.Minute))
	}
	for i := range 1 + rng.IntN(3) {
		k := &worker{id: i}
		w.workers = append(w.workers, k)
		w.boot(k)
	}
	w.script()
	for n := 0; ; n++ {
		if w.err != nil {
			return w, w.err
		}
		if w.faults && w.now.After(epoch.Add(6*time.Minute)) {
			w.heal()
		}
		if !w.step() {
			if !w.faults {
				break
			}
			w.heal()
		}
		if n > 200_000 || w.now.After(epoch.Add(72*time.Hour)) {
			w.stop()
			return w, fmt.Errorf("does not come to rest: at %s, %d tasks, %d messages, %d schedules", w.now.Sub(epoch), len(w.tasks), len(w.queues), len(w.schedules))
		}
	}
	return w, w.check()
}

func (w *world) stop() {
	for _, t := range slices.Clone(w.tasks) {
		w.run1(t, true)
	}
}

// heal ends the faulty phase.
func (w *world) heal() {
	w.tracef("all faults heal")
	w.faults = false
	w.redisUp = time.Time{}
	for _, k := range w.workers {
		k.frozen = time.Time{}
		if w.cfg.rulesChange {
			k.order = uint64(len(w.sets))
			k.set = w.sets[k.order-1]
		}
	}
}

const (
	simCustomer = "2c8f1e5a-9b34-4d7e-8a61-0f5d3c7b9e20"
	simAgent    = "smith@example.com"
	simBot      = "0123456789abcdef0123456789abcdef"
)

// script lets the platform's people live the chat, and puts its webhooks on
// their way.
func (w *world) script() {
	at := epoch
	var previous *simThread
	threads := 1 + w.rng.IntN(2)
	for n := range threads {
		t := &simThread{key: transcript.Key{Org: "org", Chat: "C1", Thread: "T" + strconv.Itoa(n)}, active: true}
		t.groups = []int{0}
		if w.chance(0.3) {
			t.groups = []int{0, 3}
		}
		t.users = []livechat.User{{ID: simCustomer, Type: "customer"}, {ID: simAgent, Type: "agent"}}
		w.platform.threads[t.key.Thread] = t
		w.platform.order = append(w.platform.order, t)
		at = w.liveThread(t, previous, at, n+1 < threads)
		previous = t
	}
}

func (w *world) liveThread(t *simThread, previous *simThread, at time.Time, more bool) time.Time {
	late := 60 * time.Second
	if w.chance(0.3) {
		late = 10 * time.Millisecond // in order, but for the network
	}
	send := func(at time.Time, action string, p livechat.Payload, lossy bool) {
		p.ChatID, p.ThreadID = t.key.Chat, t.key.Thread
		if lossy && w.cfg.losses && w.chance(0.2) {
			t.lossy = true
			w.tracef("lost: %s %s", action, describe(p))
			return
		}
		w.send(at.Add(w.between(0, late)), t.key, action, p)
		for w.chance(0.2) {
			w.send(at.Add(w.between(0, late)), t.key, action, p)
		}
	}
	event := func(at time.Time) *livechat.Event {
		t.n++
		e := &livechat.Event{ID: fmt.Sprintf("%s_%d", t.key.Thread, t.n), Type: "message", CreatedAt: at, Text: simWords[w.rng.IntN(len(simWords))]}
		e.AuthorID = []string{simCustomer, simCustomer, simAgent, simBot}[w.rng.IntN(4)]
		switch {
		case w.chance(0.1):
			e.Internal = true
			e.AuthorID = simAgent
		case w.chance(0.1):
			e.Type, e.AuthorID = "system_message", ""
		case w.chance(0.1):
			// An automatic greeting.
			e.Properties = livechat.Properties{"lc2": {"welcome_message": []byte("true")}}
		case w.chance(0.15):
			e.Type, e.Fields, e.Text = "filled_form", []livechat.Field{
				{ID: "1", Type: "name", Answers: []livechat.Answer{{Text: "refund"}}},
				{ID: "2", Type: "question", Answers: []livechat.Answer{{Text: e.Text}}},
			}, ""
		}
		t.events = append(t.events, e)
		return e
	}
	for range w.rng.IntN(3) {
		event(at)
	}
	started := at
	chat := w.platform.chat(t.key)
	chat.Thread.CreatedAt = started
	if previous != nil {
		chat.Thread.PreviousThreadID = previous.key.Thread
	}
	sendChat := func(lossy bool) {
		send(started, livechat.IncomingChat, livechat.Payload{Chat: &chat}, lossy)
	}
	sendEnd := true
	if w.chance(0.1) {
		// It begins inactive, and nothing else will tell its end.
		t.active, chat.Thread.Active, sendEnd = false, false, false
	}
	if more && sendEnd && w.chance(0.3) {
		sendEnd, t.endLost = false, true // only the next thread tells
	}
	sendChat(t.active && (previous == nil || !previous.endLost))
	steps := w.rng.IntN(9)
	for range steps {
		at = at.Add(w.between(100*time.Millisecond, 20*time.Second))
		switch {
		case w.chance(0.6):
			e := *event(at)
			send(at, livechat.IncomingEvent, livechat.Payload{Event: &e}, true)
		case w.chance(0.4) && len(t.events) > 0:
			e := t.events[w.rng.IntN(len(t.events))]
			if e.Type == "message" && !e.Deleted {
				e.Text = simWords[w.rng.IntN(len(simWords))]
				c := *e
				send(at, livechat.EventUpdated, livechat.Payload{Event: &c}, false)
			}
		case w.chance(0.3) && len(t.events) > 0:
			e := t.events[w.rng.IntN(len(t.events))]
			if !e.Deleted {
				e.Deleted = true
				send(at, livechat.EventDeleted, livechat.Payload{EventID: e.ID}, false)
			}
		case w.chance(0.3) && len(t.events) > 0:
			e := t.events[w.rng.IntN(len(t.events))]
			if e.Properties == nil && !e.Deleted && e.Type == "message" {
				e.Properties = livechat.Properties{"lc2": {"greeting_id": []byte("7")}}
				send(at, livechat.EventPropertiesUpdated, livechat.Payload{EventID: e.ID, Properties: e.Properties}, false)
			}
		case w.chance(0.3):
			t.groups = [][]int{{0}, {3}, {0, 3}}[w.rng.IntN(3)]
			p := livechat.Payload{ChatID: t.key.Chat, GroupIDs: slices.Clone(t.groups), HasGroups: true}
			if w.chance(0.5) {
				// It changes every thread of the chat.
				for _, x := range w.platform.order {
					x.groups = slices.Clone(t.groups)
				}
				w.send(at.Add(w.between(0, late)), transcript.Key{Org: "org", Chat: t.key.Chat, Thread: "_"}, livechat.ChatAccessUpdated, p)
			} else {
				send(at, livechat.ChatTransferred, p, false)
			}
		case w.chance(0.3):
			send(at, "events_marked_as_seen", livechat.Payload{}, false)
		}
	}
	at = at.Add(w.between(100*time.Millisecond, 20*time.Second))
	if t.lossy {
		// A loss at the end leaves no trace in the webhooks, so a message that
		// comes through ends the chat.
		t.n++
		e := livechat.Event{ID: fmt.Sprintf("%s_%d", t.key.Thread, t.n), Type: "message", CreatedAt: at, Text: "ok", AuthorID: simCustomer}
		t.events = append(t.events, &e)
		last := e
		send(at, livechat.IncomingEvent, livechat.Payload{Event: &last}, false)
	}
	if sendEnd {
		send(at, livechat.ChatDeactivated, livechat.Payload{}, false)
	}
	t.active = false
	if w.cfg.people {
		w.people(t, at)
	}
	return at
}

// people tag and untag while the workers work.
func (w *world) people(t *simThread, ended time.Time) {
	for range 1 + w.rng.IntN(3) {
		tag := []string{"vip", "vip", "refund", "late"}[w.rng.IntN(4)]
		untag := w.chance(0.4)
		w.acts = append(w.acts, act{at: ended.Add(w.between(-20*time.Second, 3*time.Minute)), key: t.key, tag: tag, untag: untag})
	}
	w.sortActs()
}

// act is what a person does to a tag, or what a call of ours does whose worker
// is gone.
type act struct {
	at    time.Time
	key   transcript.Key
	tag   string
	untag bool
	ours  bool
}

func (w *world) sortActs() {
	slices.SortStableFunc(w.acts, func(a, b act) int { return a.at.Compare(b.at) })
}

// simTags are the tags of the platform that rules ask for.
var simTags = []string{"refund", "billing", "late", "first", "both", "noted", "unsorted"}

// check is the oracle.
func (w *world) check() error {
	for _, t := range w.platform.order {
		if err := w.checkThread(t); err != nil {
			w.dump(t)
			return fmt.Errorf("thread %s: %w", t.key.Thread, err)
		}
	}
	return nil
}

func (w *world) checkThread(t *simThread) error {
	records := w.recordsOf(t.key)
	if records.Decision == nil {
		return fmt.Errorf("never decided")
	}
	var set *rules.Set
	for _, s := range w.sets {
		if s.Version == records.Decision.RulesVersion {
			set = s
		}
	}
	truth := w.platform.transcript(t)
	hands := map[string]bool{} // tags that a person touched
	for _, c := range w.platform.changes {
		if c.key == t.key && !c.ours {
			hands[c.tag] = true
		}
	}
	if slices.Contains(t.tags, "vip") {
		truth.Tagged = []string{"vip"}
	}
	if done, err := w.checkSettings(t, records, hands); done || err != nil {
		return err
	}
	expected := set.Match(truth).TagSet()
	for _, tag := range simTags {
		if tag == w.platform.mismatch {
			if slices.Contains(t.tags, tag) && !hands[tag] {
				return fmt.Errorf("tag %s is set, though the platform refuses it", tag)
			}
			if slices.Contains(tagsOf(records.Decision.Tags), tag) && !hands[tag] && !w.isDead(t.key, tag, "validation") {
				return fmt.Errorf("tag %s was dropped silently", tag)
			}
			continue
		}
		if hands[tag] {
			if err := w.checkHands(t, tag); err != nil {
				return err
			}
			continue
		}
		if want, got := slices.Contains(expected, tag), slices.Contains(t.tags, tag); want != got {
			return fmt.Errorf("tag %s: want %t, got %t (expected %v, got %v, decided %v)", tag, want, got, expected, t.tags, tagsOf(records.Decision.Tags))
		}
	}
	if d := records.Decision; !d.Transcript.Complete {
		return fmt.Errorf("decided on an incomplete transcript")
	}
	for _, o := range records.Outcomes {
		if o.Calls[0].Result == resultGivenUp && o.Calls[0].Tag != w.platform.mismatch {
			return fmt.Errorf("a call was given up: %v", w.dead)
		}
	}
	return w.checkCalls(t, records)
}

// checkSettings: settings and refusals under which the truth cannot be known or
// must not be called for. done: nothing else can be asked of the thread.
func (w *world) checkSettings(t *simThread, records Records, hands map[string]bool) (done bool, err error) {
	calls := func(method string) (n int) {
		for _, c := range w.platform.calls {
			if method == "" || c.method == method {
				n++
			}
		}
		return n
	}
	decided := tagsOf(records.Decision.Tags)
	switch {
	case (w.cfg.off || w.cfg.foreign) && calls("") > 0:
		return true, fmt.Errorf("%d calls, though none is allowed", calls(""))
	case w.cfg.off && len(w.dead) > 0:
		return true, fmt.Errorf("%d dead letters, though nothing was to be called", len(w.dead))
	case w.cfg.foreign:
		for _, tag := range decided {
			if !hands[tag] && !w.isDead(t.key, tag, "foreign_organization") {
				return true, fmt.Errorf("tag %s of a foreign organization was dropped silently", tag)
			}
		}
		return true, nil
	case w.cfg.off:
		return true, nil
	case w.cfg.reconcile == ReconcileNever && calls("get_chat") > 0:
		return true, fmt.Errorf("%d get_chat, though it must never be asked", calls("get_chat"))
	case w.cfg.reconcile == ReconcileNever, w.platform.restricted, w.platform.chatRefused:
		if !records.Decision.Transcript.Complete && slices.Contains(decided, "unsorted") {
			return true, fmt.Errorf("a fallback applies to an incomplete transcript")
		}
		for _, tag := range simTags {
			if !hands[tag] && slices.Contains(decided, tag) != slices.Contains(t.tags, tag) {
				return true, fmt.Errorf("decided %v, but the thread bears %v", decided, t.tags)
			}
		}
		return true, nil
	}
	return false, nil
}

func (w *world) isDead(k transcript.Key, tag, reason string) bool {
	return slices.ContainsFunc(w.dead, func(d deadLetter) bool {
		return d.key == k && d.call.Tag == tag && d.reason == reason
	})
}

// checkHands: a tag that a person set is never removed by us; one that a person
// removed is never set again.
// What a person does within the echo window of our own call of the same kind
// cannot be told from its echo, and what a person does after the worker looked,
// or whose webhook is still on its way then, cannot be known: there the promise
// ends.
func (w *world) checkHands(t *simThread, tag string) error {
	known := func(hand, call time.Time) bool {
		var intended time.Time
		for _, o := range w.recordsOf(t.key).Outcomes {
			c := o.Calls[0]
			if c.State == decision.Intended && c.Tag == tag && c.Op == decision.Untag && !o.At.After(call) {
				intended = o.At
			}
		}
		// The look is older than the intent by the wait for a permit.
		return intended.Sub(hand) > time.Second+2*shortWait
	}
	untold := func(at time.Time, op string) bool {
		for _, o := range w.recordsOf(t.key).Outcomes {
			c := o.Calls[0]
			// A second for the person's own webhook to arrive.
			if c.State == decision.Intended && c.Tag == tag && c.Op == op && within(o.At, at.Add(time.Second)) {
				return true
			}
		}
		return false
	}
	var handRemoved, handSet time.Time
	ours := false
	for _, c := range w.platform.changes {
		if c.key != t.key || c.tag != tag {
			continue
		}
		switch {
		case c.ours && c.untag && !ours && !known(handSet, c.at):
			return nil
		case c.ours && c.untag && !ours:
			return fmt.Errorf("tag %s: removed, though a person set it at %s", tag, handSet.Sub(epoch))
		case c.ours && !c.untag && !handRemoved.IsZero() && c.at.Sub(handRemoved) > 2*time.Minute:
			return fmt.Errorf("tag %s: set at %s, though a person removed it at %s", tag, c.at.Sub(epoch), handRemoved.Sub(epoch))
		case c.ours:
			ours = !c.untag
		case c.untag && untold(c.at, decision.Untag), !c.untag && untold(c.at, decision.Tag):
			return nil
		case c.untag:
			handRemoved, ours = c.at, false
		default:
			handSet, ours = c.at, false
		}
	}
	return nil
}

// checkCalls: without faults, exactly the tags that changed are called for.
func (w *world) checkCalls(t *simThread, records Records) error {
	if w.cfg.apiFaults || w.cfg.crashes || w.cfg.freezes || w.cfg.people || w.cfg.young || w.platform.mismatch != "" || w.platform.outage != nil {
		return nil
	}
	intents := 0
	for _, o := range records.Outcomes {
		for _, c := range o.Calls {
			if c.State == decision.Intended {
				intents++
			}
			if c.State == decision.Failed && c.Result != resultNotSent {
				return fmt.Errorf("a call failed without a fault: %+v", c)
			}
		}
	}
	changes := 0
	for _, c := range w.platform.changes {
		if c.key == t.key {
			changes++
		}
	}
	held := 0
	for _, o := range records.Outcomes {
		if o.Calls[0].Result == resultNotSent {
			held++
		}
	}
	if intents-held != changes {
		return fmt.Errorf("%d calls for %d changes", intents-held, changes)
	}
	return nil
}

// transcript is what the platform knows to be true, replayed plainly.
func (p *platform) transcript(t *simThread) *transcript.Transcript {
	tr := &transcript.Transcript{Groups: slices.Sorted(slices.Values(t.groups)), Complete: true}
	for _, e := range t.events {
		if e.Deleted || e.Type == "system_message" || e.Properties != nil {
			continue
		}
		m := transcript.Message{EventID: e.ID, At: e.CreatedAt, Internal: e.Internal}
		switch e.AuthorID {
		case simCustomer:
			m.Author = transcript.Customer
		case simAgent:
			m.Author = transcript.Agent
		case simBot:
			m.Author = transcript.Bot
		}
		if e.Type == "filled_form" {
			m.Texts = []transcript.Text{{Field: "answer:2", Text: e.Fields[1].Answers[0].Text}}
		} else {
			m.Texts = []transcript.Text{{Field: "text", Text: e.Text}}
		}
		tr.Messages = append(tr.Messages, m)
	}
	return tr
}

// dump shows what was known and what is true, for a replay.
func (w *world) dump(t *simThread) {
	facts := &transcript.Facts{}
	for _, h := range w.log {
		if h.Key == t.key || h.Key.Thread == "_" {
			facts.AddAll(transcript.Read(h.Key, h.Action, h.Payload, h.At).Facts)
		}
	}
	readings, more := transcript.Reduce(t.key, facts).Readings(maxReadings)
	for i, r := range readings {
		w.tracef("reading %d of the log (more %t): %+v", i, more, *r)
	}
	w.tracef("truth: %+v", *w.platform.transcript(t))
}
