package tagging

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"autotag/pkg/decision"
	"autotag/pkg/livechat"
	"autotag/pkg/rules"
	"autotag/pkg/transcript"
)

// The scenes are lives without chance: what happens is written down, in the
// world of the lives, and the tests look at what the core did about it.

var orgT0 = transcript.Key{Org: "org", Chat: "C1", Thread: "T0"}

// newScene is a world with one worker, without faults.
func newScene(t *testing.T, set func(*world)) *world {
	t.Helper()
	w := &world{
		rng: rand.New(rand.NewPCG(1, 7)), now: epoch, yielded: make(chan struct{}),
		schedules: map[string]schedule{}, records: map[transcript.Key][]any{},
		redis: map[transcript.Key]map[string]transcript.Fact{}, runs: map[transcript.Key]string{},
		probes: map[string]*probe{}, sets: simRules(),
	}
	w.cfg.reconcile = ReconcileAuto
	w.platform = &platform{w: w, threads: map[string]*simThread{}}
	if set != nil {
		set(w)
	}
	k := &worker{}
	w.workers = []*worker{k}
	w.boot(k)
	return w
}

// core is the worker's core for a test that calls it itself, in no task.
func (w *world) core() *Core {
	return w.workers[0].core.on(&port{world: w, worker: w.workers[0], task: nil})
}

// thread is the thread of that name, begun at the scene's start.
func (w *world) thread(name string) *simThread {
	if t := w.platform.threads[name]; t != nil {
		return t
	}
	t := &simThread{
		key:   transcript.Key{Org: "org", Chat: "C1", Thread: name},
		users: []livechat.User{{ID: simCustomer, Type: "customer"}, {ID: simAgent, Type: "agent"}},
	}
	t.groups = []int{0, 3}
	w.platform.threads[name] = t
	w.platform.order = append(w.platform.order, t)
	return t
}

// hook sends a webhook of the thread.
func (w *world) hook(after time.Duration, thread, action string, p livechat.Payload) {
	key := transcript.Key{Org: "org", Chat: "C1", Thread: thread}
	p.ChatID, p.ThreadID = key.Chat, key.Thread
	w.send(epoch.Add(after), key, action, p)
}

func (w *world) begins(after time.Duration, thread string) {
	t := w.thread(thread)
	chat := w.platform.chat(t.key)
	chat.Thread.CreatedAt, chat.Thread.Active, chat.Thread.Events = epoch.Add(after), true, nil
	w.hook(after, thread, livechat.IncomingChat, livechat.Payload{Chat: &chat})
}

// says adds a message of the customer; lost: its webhook never comes.
func (w *world) says(after time.Duration, thread, text string, lost bool) livechat.Event {
	t := w.thread(thread)
	t.n++
	e := livechat.Event{ID: fmt.Sprintf("%s_%d", thread, t.n), Type: "message", AuthorID: simCustomer, CreatedAt: epoch.Add(after), Text: text}
	t.events = append(t.events, &e)
	if !lost {
		w.hook(after, thread, livechat.IncomingEvent, livechat.Payload{Event: &e})
	}
	return e
}

func (w *world) ends(after time.Duration, thread string) {
	w.hook(after, thread, livechat.ChatDeactivated, livechat.Payload{})
}

// person tags or untags.
func (w *world) person(after time.Duration, thread, tag string, untag bool) {
	w.acts = append(w.acts, act{at: epoch.Add(after), key: w.thread(thread).key, tag: tag, untag: untag})
	w.sortActs()
}

// chat is a whole chat of one message.
func (w *world) chat(thread, text string) {
	w.begins(0, thread)
	w.says(time.Second, thread, text, false)
	w.ends(2*time.Second, thread)
}

// until runs the world up to a moment, or to its rest.
func (w *world) until(t *testing.T, after time.Duration) {
	t.Helper()
	for n := 0; ; n++ {
		if w.err != nil {
			t.Fatal(w.err)
		}
		if n > 500_000 {
			t.Fatal("does not come to rest")
		}
		if len(w.tasks) == 0 && w.now.After(epoch.Add(after)) || !w.step() {
			return
		}
	}
}

const rest = 100 * time.Hour

func (w *world) called(method string, from, to time.Duration) (n int) {
	for _, c := range w.platform.calls {
		if at := c.at.Sub(epoch); (method == "" || c.method == method) && at >= from && at < to {
			n++
		}
	}
	return n
}

func (w *world) newest(t *testing.T, thread string) *StoredRecord {
	t.Helper()
	r := w.recordsOf(w.thread(thread).key).Decision
	if r == nil {
		t.Fatalf("%s was never decided", thread)
	}
	return r
}

func (w *world) wantTags(t *testing.T, thread string, tags ...string) {
	t.Helper()
	got := slices.Sorted(slices.Values(w.thread(thread).tags))
	if !slices.Equal(got, tags) {
		t.Errorf("thread %s bears %v, want %v", thread, got, tags)
	}
}

func TestAnUnchangedDecisionIsRecordedAndCallsNothing(t *testing.T) {
	w := newScene(t, nil)
	w.chat("T0", "refund")
	w.says(time.Minute, "T0", "thanks", false)
	w.until(t, rest)
	w.wantTags(t, "T0", "refund")
	if n := w.called("", 0, rest); n != 1 {
		t.Errorf("%d calls, want 1", n)
	}
	if r := w.newest(t, "T0"); r.Reason != decision.ReasonLateEvent || r.Transcript.Messages != 2 {
		t.Errorf("newest record: reason %s, %d messages", r.Reason, r.Transcript.Messages)
	}
}

func TestNothingIsDecidedBeforeItHasSettled(t *testing.T) {
	w := newScene(t, nil)
	w.begins(0, "T0")
	w.ends(2*time.Second, "T0")
	w.says(4*time.Second, "T0", "refund", false)
	w.until(t, 4*time.Second)
	// A due message that fired before the last webhook had settled.
	due := Due{At: epoch.Add(5 * time.Second)}
	w.schedules = map[string]schedule{}
	if err := w.core().Decide(t.Context(), orgT0, due); err != nil {
		t.Fatal(err)
	}
	if r := w.recordsOf(orgT0).Decision; r != nil {
		t.Error("decided before it had settled")
	}
	s, ok := w.schedules["dueC1T0"]
	if at := s.at.Sub(epoch).Round(10 * time.Millisecond); !ok || at != 7*time.Second || s.reach != w.seq {
		t.Errorf("armed again: %t, at %s reaching %d, want 7s reaching %d", ok, at, s.reach, w.seq)
	}
	w.until(t, rest)
	w.wantTags(t, "T0", "refund")
}

func TestOffCallsNothing(t *testing.T) {
	w := newScene(t, func(w *world) { w.cfg.off = true })
	w.chat("T0", "refund")
	w.says(3*time.Second, "T0", "lost", true)
	w.says(4*time.Second, "T0", "ok", false) // shows the gap
	w.until(t, rest)
	if got := tagsOf(w.newest(t, "T0").Tags); !slices.Equal(got, []string{"refund"}) || len(w.platform.calls) > 0 {
		t.Errorf("decided %v with %d calls", got, len(w.platform.calls))
	}
}

func TestAForeignOrganizationIsParkedThenDead(t *testing.T) {
	w := newScene(t, func(w *world) { w.cfg.foreign = true })
	w.chat("T0", "refund")
	w.until(t, rest)
	if len(w.platform.calls) > 0 {
		t.Errorf("%d calls", len(w.platform.calls))
	}
	if !w.newest(t, "T0").Transcript.Complete {
		t.Error("decided as incomplete, though nothing was missing")
	}
	if len(w.dead) != 1 || w.dead[0].reason != "foreign_organization" {
		t.Fatalf("dead letters: %+v", w.dead)
	}
	if at := w.dead[0].at.Sub(epoch); at < giveUpAfter || at > giveUpAfter+2*foreignRetry {
		t.Errorf("dead after %s", at)
	}
}

func TestReconcile(t *testing.T) {
	refused := func(w *world) { w.platform.chatRefused = true }
	restricted := func(w *world) { w.platform.restricted = true }
	setting := func(r Reconcile) func(*world) { return func(w *world) { w.cfg.reconcile = r } }
	whole := func(w *world) { w.chat("T0", "thanks") }
	gap := func(w *world) {
		w.begins(0, "T0")
		w.says(time.Second, "T0", "invoice", true)
		w.says(time.Second, "T0", "thanks", false)
		w.ends(2*time.Second, "T0")
	}
	noStart := func(w *world) {
		w.says(time.Second, "T0", "thanks", false)
		w.ends(2*time.Second, "T0")
	}
	edits := func(w *world) {
		w.begins(0, "T0")
		e := w.says(time.Second, "T0", "thanks", false)
		for i, text := range []string{"late", "refund"} {
			e.Text = text
			p := e
			w.hook(time.Duration(i+2)*time.Second, "T0", livechat.EventUpdated, livechat.Payload{Event: &p})
		}
		w.thread("T0").events[0].Text = "late" // the webhooks came in the wrong order
		w.ends(5*time.Second, "T0")
	}
	sameEdits := func(w *world) {
		w.begins(0, "T0")
		e := w.says(time.Second, "T0", "refund", false)
		for i, text := range []string{"refund!", "refund, please"} {
			e.Text = text
			p := e
			w.hook(time.Duration(i+2)*time.Second, "T0", livechat.EventUpdated, livechat.Payload{Event: &p})
		}
		w.ends(5*time.Second, "T0")
	}
	vip := func(untag bool, late bool) func(w *world) {
		return func(w *world) {
			w.begins(0, "T0")
			text := "hello"
			if late {
				text = "late"
			}
			w.says(time.Second, "T0", text, false)
			w.hook(2*time.Second, "T0", livechat.ThreadTagged, livechat.Payload{Tag: "vip"})
			w.hook(2*time.Second, "T0", livechat.ThreadUntagged, livechat.Payload{Tag: "vip"})
			if !untag {
				w.thread("T0").tags = []string{"vip"}
			}
			w.ends(3*time.Second, "T0")
		}
	}
	long := func(w *world) {
		for range 5_200 {
			w.says(0, "T0", "thanks", true)
		}
		chat := w.platform.chat(orgT0)
		chat.Thread.Active = true
		w.hook(0, "T0", livechat.IncomingChat, livechat.Payload{Chat: &chat})
		w.ends(2*time.Second, "T0")
	}
	late := func(then func(*world)) func(*world) {
		return func(w *world) {
			then(w)
			w.says(time.Minute, "T0", "ok", false)
		}
	}
	for _, c := range []struct {
		name     string
		set      func(*world)
		script   func(*world)
		asked    int
		complete bool
		tags     []string
	}{
		{"nothing is missing", nil, whole, 0, true, []string{"unsorted"}},
		{"always", setting(ReconcileAlways), whole, 1, true, []string{"unsorted"}},
		{"a gap", nil, gap, 1, true, []string{"billing"}},
		{"a gap, never", setting(ReconcileNever), gap, 0, false, nil},
		{"gaps are harmless", func(w *world) { w.harmless = true }, gap, 0, true, []string{"unsorted"}},
		{"no start", nil, noStart, 1, true, []string{"unsorted"}},
		{"no start, and gaps are harmless", func(w *world) { w.harmless = true }, noStart, 1, true, []string{"unsorted"}},
		{"no start, never", setting(ReconcileNever), noStart, 0, false, nil},
		{"refused for good", refused, gap, 1, false, nil},
		{"refused for good, a late event", refused, late(gap), 2, false, nil},
		{"restricted", restricted, gap, 1, false, nil},
		{"restricted, a late event", restricted, late(gap), 1, false, nil},
		{"edits that conflict", nil, edits, 1, true, []string{"late"}},
		{"edits that conflict, never", setting(ReconcileNever), edits, 0, true, []string{"refund"}},
		{"edits without a difference", nil, sameEdits, 0, true, []string{"refund"}},
		{"tagged or untagged last, tagged", nil, vip(false, true), 1, true, []string{"vip"}},
		{"tagged or untagged last, untagged", nil, vip(true, true), 1, true, []string{"late"}},
		{"tagged or untagged last, of no rule that matches", nil, vip(true, false), 0, true, []string{"first"}},
		{"cut", nil, long, 0, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newScene(t, c.set)
			c.script(w)
			w.until(t, rest)
			if n := w.called("get_chat", 0, rest); n != c.asked {
				t.Errorf("%d get_chat, want %d", n, c.asked)
			}
			r := w.newest(t, "T0")
			if r.Transcript.Complete != c.complete {
				t.Errorf("complete: %t", r.Transcript.Complete)
			}
			if cut := c.name == "cut"; r.Transcript.Cut != cut {
				t.Errorf("cut: %t", r.Transcript.Cut)
			}
			w.wantTags(t, "T0", c.tags...)
		})
	}
}

// What an answer to a gap brought is told once, and by an answer that says
// something only.
func TestGapsAreLearned(t *testing.T) {
	for _, c := range []struct {
		name string
		lost livechat.Event
		set  func(*world)
		want []bool
	}{
		{"a message", livechat.Event{Type: "message", Text: "refund"}, nil, []bool{true}},
		{"a system message", livechat.Event{Type: "system_message"}, nil, []bool{false}},
		{"a message, while another was deleted", livechat.Event{Type: "message", Text: "refund"}, func(w *world) {
			w.begins(0, "T0")
			w.says(time.Second, "T0", "hello", false)
			w.thread("T0").events[0].Deleted = true
		}, []bool{true}},
		{"withheld", livechat.Event{Type: "message", Text: "refund"}, func(w *world) { w.platform.restricted = true }, nil},
		{"refused", livechat.Event{Type: "message", Text: "refund"}, func(w *world) { w.platform.chatRefused = true }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newScene(t, nil)
			if c.set != nil {
				c.set(w)
			}
			w.begins(0, "T0")
			w.says(time.Second, "T0", "", true)
			lost := w.thread("T0").events[len(w.thread("T0").events)-1]
			lost.Type, lost.Text = c.lost.Type, c.lost.Text
			w.says(time.Second, "T0", "ok", false)
			w.ends(2*time.Second, "T0")
			w.says(time.Minute, "T0", "thanks", false)
			w.until(t, rest)
			if !slices.Equal(w.gaps, c.want) {
				t.Errorf("told %v, want %v", w.gaps, c.want)
			}
		})
	}
}

func TestATagUnknownToThePlatform(t *testing.T) {
	const threads = 30
	scene := func(t *testing.T, young time.Duration) *world {
		w := newScene(t, func(w *world) {
			w.platform.youngTag, w.platform.youngUntil = "billing", epoch.Add(young)
		})
		for n := range threads {
			w.chat(fmt.Sprintf("T%d", n), "invoice")
		}
		return w
	}
	t.Run("for an hour", func(t *testing.T) {
		t.Parallel()
		w := scene(t, time.Hour)
		w.until(t, rest)
		// Those under way when the first was refused, then 5 over 3 minutes.
		if n := w.called("tag_thread", 0, 30*time.Second); n > 4 {
			t.Errorf("%d calls at first", n)
		}
		if n := w.called("tag_thread", 30*time.Second, 4*time.Minute); n != 5 {
			t.Errorf("%d calls in 3 minutes, want 5", n)
		}
		if n := w.called("tag_thread", 4*time.Minute, time.Hour); n < 4 || n > 6 {
			t.Errorf("%d calls in the rest of the hour, want about 5", n)
		}
		if n := w.called("list_tags", 0, time.Hour); n > 16 {
			t.Errorf("%d list_tags", n)
		}
		for n := range threads {
			w.wantTags(t, fmt.Sprintf("T%d", n), "billing")
		}
		if last := w.platform.calls[len(w.platform.calls)-1].at.Sub(epoch); last > 85*time.Minute {
			t.Errorf("the last thread was tagged after %s", last)
		}
		if len(w.dead) > 0 {
			t.Errorf("dead: %+v", w.dead)
		}
	})
	t.Run("for ever", func(t *testing.T) {
		t.Parallel()
		w := scene(t, 1000*time.Hour)
		w.until(t, rest)
		if len(w.dead) != threads {
			t.Fatalf("%d dead letters", len(w.dead))
		}
		for _, d := range w.dead {
			if at := d.at.Sub(epoch); d.reason != "unknown_tag" || at < giveUpAfter || at > giveUpAfter+time.Hour {
				t.Errorf("dead after %s: %+v", at, d)
			}
		}
	})
}

func TestATagThatSharesNoGroupConcernsOneThreadAlone(t *testing.T) {
	w := newScene(t, func(w *world) { w.platform.mismatch = "refund" })
	w.chat("T0", "refund, late")
	w.chat("T1", "invoice")
	w.until(t, rest)
	w.wantTags(t, "T0", "late")
	w.wantTags(t, "T1", "billing")
	if len(w.dead) != 1 || w.dead[0].key != orgT0 || w.dead[0].reason != "validation" || w.dead[0].call.Tag != "refund" {
		t.Fatalf("dead letters: %+v", w.dead)
	}
	if at := w.dead[0].at.Sub(epoch); at < giveUpThread || at > giveUpThread+time.Minute {
		t.Errorf("dead after %s", at)
	}
	if len(w.probes) > 0 {
		t.Error("other threads' calls wait for the tag")
	}
}

// Where the platform's rate has no room for a question right after a call, the
// question is not chased by the same refused call again and again.
func TestARefusedCallDoesNotUseUpTheRateOfItsQuestion(t *testing.T) {
	w := newScene(t, func(w *world) { w.platform.mismatch, w.platform.spacing = "refund", 500*time.Millisecond })
	w.chat("T0", "refund")
	w.until(t, rest)
	if len(w.dead) != 1 || w.dead[0].reason != "validation" {
		t.Fatalf("dead letters: %+v", w.dead)
	}
	// One every 36 s, the one after which the thread is asked, and one after each
	// look at the list of tags.
	if n := w.called("tag_thread", 0, rest); n > 8 {
		t.Errorf("%d calls of tag_thread", n)
	}
	if n := w.called("get_chat", 0, rest); n < 1 || n > 2 {
		t.Errorf("%d calls of get_chat", n)
	}
	if at := w.dead[0].at.Sub(epoch); at > giveUpThread+time.Minute {
		t.Errorf("dead after %s", at)
	}
}

// A tag that must wait holds up no other tag of its thread.
func TestATagThatWaitsHoldsUpNoOther(t *testing.T) {
	w := newScene(t, func(w *world) {
		w.platform.youngTag, w.platform.youngUntil = "billing", epoch.Add(time.Hour)
		w.platform.mismatch = "first"
	})
	w.chat("T0", "hello, the invoice is late: refund")
	w.until(t, time.Minute)
	w.wantTags(t, "T0", "late", "refund")
	w.until(t, rest)
	w.wantTags(t, "T0", "billing", "late", "refund")
}

// A tag that becomes known while it is probed by a thread that it does not
// suit is known to all.
func TestAProbeRefusedForItsThreadAloneEndsTheProbing(t *testing.T) {
	w := newScene(t, func(w *world) {
		w.platform.youngTag, w.platform.youngUntil = "refund", epoch.Add(3*time.Minute)
		w.platform.mismatch = "refund"
	})
	w.chat("T0", "refund")
	w.until(t, rest)
	if len(w.probes) > 0 {
		t.Error("the tag is still probed")
	}
	if len(w.dead) != 1 || w.dead[0].reason != "validation" {
		t.Errorf("dead letters: %+v", w.dead)
	}
}

func TestWhileThePlatformRefusesEverything(t *testing.T) {
	const threads = 40
	for _, c := range []struct {
		name   string
		outage livechat.Error
		calls  int // at most, in 10 minutes
	}{
		{"token", livechat.Error{Type: "authentication", Status: 401}, 30},
		{"rate limit", livechat.Error{Type: "too_many_requests", Status: 429}, 30},
		{"rate limit with a pause", livechat.Error{Type: "too_many_requests", Status: 429, RetryAfter: 2 * time.Minute}, 10},
		{"down", livechat.Error{Type: "service_unavailable", Status: 503}, 35},
		{"no answer", livechat.Error{}, 35},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newScene(t, func(w *world) {
				w.platform.outage, w.platform.outageUntil = &c.outage, epoch.Add(10*time.Minute)
			})
			for n := range threads {
				w.chat(fmt.Sprintf("T%d", n), "refund")
			}
			w.until(t, rest)
			if n := w.called("", 0, 10*time.Minute); n > c.calls {
				t.Errorf("%d calls in 10 minutes", n)
			}
			for n := range threads {
				w.wantTags(t, fmt.Sprintf("T%d", n), "refund")
			}
			if last := w.platform.calls[len(w.platform.calls)-1].at.Sub(epoch); last > 16*time.Minute {
				t.Errorf("the last thread was tagged after %s", last)
			}
			if len(w.dead) > 0 {
				t.Errorf("dead: %+v", w.dead)
			}
			if pause := c.outage.RetryAfter; pause > 0 {
				for i, call := range w.platform.calls {
					if call.at.After(w.platform.outageUntil) {
						break
					}
					if prev := w.platform.calls[max(i-1, 0)].at; call.at.Sub(prev) > time.Second && call.at.Sub(prev) < pause {
						t.Errorf("called %s after the call before it, not after %s", call.at.Sub(prev), pause)
					}
				}
			}
		})
	}
}

// A weekend with a refused token does not count against the calls that waited.
func TestCallsHeldBackForDaysAreNotGivenUp(t *testing.T) {
	w := newScene(t, func(w *world) {
		w.platform.outage, w.platform.outageUntil = &livechat.Error{Type: "authentication", Status: 401, RetryAfter: 5 * time.Minute}, epoch.Add(26*time.Hour)
	})
	w.chat("T0", "refund")
	w.until(t, 26*time.Hour-time.Minute)
	w.platform.outage, w.platform.outageUntil = &livechat.Error{Type: "internal", Status: 500}, epoch.Add(26*time.Hour+5*time.Minute)
	w.until(t, rest)
	w.wantTags(t, "T0", "refund")
	if len(w.dead) > 0 {
		t.Errorf("dead: %+v", w.dead)
	}
}

// get_chat that fails for a thread is asked with growing pauses.
// A worker that was frozen between reading a thread and asking LiveChat for it
// looks anew first.
func TestAFrozenWorkerDoesNotAskForWhatItReadLongAgo(t *testing.T) {
	w := newScene(t, nil)
	w.chat("T0", "refund")
	w.until(t, rest)
	core := w.core()
	frozen, err := core.read(t.Context(), orgT0, w.sets[0], 0)
	if err != nil {
		t.Fatal(err)
	}
	frozen.readAt = w.now.Add(-time.Minute)
	calls := len(w.platform.calls)
	if _, err := core.getChat(t.Context(), frozen); !errors.Is(err, ErrConflict) || len(w.platform.calls) > calls {
		t.Errorf("%v, %d calls", err, len(w.platform.calls)-calls)
	}
}

func TestGetChatThatFailsIsAskedEverMoreSeldom(t *testing.T) {
	w := newScene(t, func(w *world) {
		w.platform.outage, w.platform.outageUntil = &livechat.Error{Type: "internal", Status: 500}, epoch.Add(2*time.Hour)
	})
	w.says(time.Second, "T0", "refund", false)
	w.ends(2*time.Second, "T0")
	w.until(t, rest)
	w.wantTags(t, "T0", "refund")
	if n := w.called("get_chat", 0, 2*time.Hour); n > 40 {
		t.Errorf("%d get_chat in 2 hours", n)
	}
}

// An intent of a worker that is gone may still be carried out: a call to the
// contrary must not overtake it.
func TestACallDoesNotOvertakeOneToTheContrary(t *testing.T) {
	w := newScene(t, nil)
	w.begins(0, "T0")
	w.says(time.Second, "T0", "refund", false)
	w.ends(2*time.Second, "T0")
	w.until(t, 4*time.Second)
	for !slices.ContainsFunc(w.workers[0].tasks, func(k *task) bool { return k.sent != nil }) {
		w.step()
	}
	// The worker dies with its call under way; the platform is slow.
	w.acts = append(w.acts, act{at: w.now.Add(15 * time.Second), key: orgT0, tag: "refund", ours: true})
	w.workers[0].tasks[0].sent = nil
	w.crash(w.workers[0])
	// Meanwhile the answer changes.
	w.says(w.now.Sub(epoch)+time.Second, "T0", "a joke", false)
	w.until(t, rest)
	w.wantTags(t, "T0", "unsorted")
}

// A thread that is not ended is not decided; a store that does not know that
// it is open learns it from the first timer, so that no other message arms.
func TestAnOpenThreadIsNotDecided(t *testing.T) {
	w := newScene(t, nil)
	w.begins(0, "T0")
	w.arrivals[0].at = at(60) // its start comes late
	w.says(61*time.Second, "T0", "refund", false)
	w.until(t, 70*time.Second)
	if len(w.records[orgT0]) > 0 {
		t.Fatal("an open thread was decided")
	}
	w.says(80*time.Second, "T0", "thanks", false)
	w.until(t, 81*time.Second)
	if len(w.schedules) > 0 {
		t.Errorf("a message of an open thread armed: %v", w.schedules)
	}
	w.ends(90*time.Second, "T0")
	w.until(t, rest)
	w.wantTags(t, "T0", "refund")
}

// A tag that is there without an attempt of ours is a person's, though no
// webhook told; one that an attempt without an answer set is ours.
func TestAlreadyTagged(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(*world)
		state  string
		tags   []string
	}{
		{"by a person", func(w *world) { w.thread("T0").tags = []string{"refund"} }, decision.Failed, []string{"refund", "unsorted"}},
		{"by an attempt of ours", func(w *world) {
			w.platform.outage, w.platform.outageUntil = &livechat.Error{}, at(6)
			w.acts = []act{{at: at(6), key: orgT0, tag: "refund", ours: true}}
		}, decision.Done, []string{"unsorted"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newScene(t, nil)
			w.begins(0, "T0") // shows no tags
			c.before(w)
			w.says(time.Second, "T0", "refund", false)
			w.ends(2*time.Second, "T0")
			w.until(t, time.Minute)
			r := w.recordsOf(orgT0)
			if last := r.Outcomes[len(r.Outcomes)-1].Calls[0]; last.Result != resultAlready || last.State != c.state {
				t.Errorf("the last call: %+v", last)
			}
			w.says(2*time.Minute, "T0", "a joke", false) // the answer changes
			w.until(t, rest)
			w.wantTags(t, "T0", c.tags...)
		})
	}
}

// Who gives a call up looks first whether the thread has moved on.
func TestACallIsNotGivenUpOverNewerRecords(t *testing.T) {
	w := newScene(t, nil)
	w.chat("T0", "refund")
	w.until(t, rest)
	r := w.recordsOf(orgT0)
	call := r.Outcomes[0].Calls[0]
	if err := w.core().giveUp(t.Context(), orgT0, r.Decision, call, r.Last-1, "validation"); !errors.Is(err, ErrConflict) || len(w.dead) > 0 {
		t.Errorf("given up: %v, dead letters %v", err, w.dead)
	}
	if err := w.core().giveUp(t.Context(), orgT0, r.Decision, call, r.Last, "validation"); err != nil || len(w.dead) != 1 {
		t.Errorf("not given up: %v, dead letters %v", err, w.dead)
	}
}

// A decision that is older than what a person did does not undo it.
func TestAPersonsRemovalIsNotUndone(t *testing.T) {
	w := newScene(t, func(w *world) {
		w.platform.outage, w.platform.outageUntil = &livechat.Error{Type: "authentication", Status: 401}, at(300)
	})
	w.chat("T0", "refund")
	w.person(200*time.Second, "T0", "refund", false)
	w.person(201*time.Second, "T0", "refund", true)
	w.until(t, rest)
	w.wantTags(t, "T0")
}

func TestACallWaitsForTheEndOfOneToTheContrary(t *testing.T) {
	w := newScene(t, nil)
	d := &StoredRecord{}
	for _, c := range []struct {
		name   string
		intent intent
		wait   time.Duration
	}{
		{"without an answer", intent{at: at(-5), op: decision.Tag}, callBudget - 5*time.Second},
		{"under way", intent{at: at(-5), op: decision.Tag, open: true}, callBudget - 5*time.Second},
		{"over", intent{at: at(-30), op: decision.Tag, open: true}, 0},
		{"the same, without an answer", intent{at: at(-5), op: decision.Untag}, 0},
		{"the same, under way", intent{at: at(-5), op: decision.Untag, open: true}, callBudget - 5*time.Second},
		{"by a clock that is ahead", intent{at: at(3600), op: decision.Tag, open: true}, 0},
	} {
		call, _, err := w.core().next(d, map[string]*tagState{"x": {ours: true, unfinished: &c.intent}}, nil)
		var wait *Later
		if errors.As(err, &wait) != (c.wait > 0) || wait != nil && (wait.After != c.wait || wait.tag != "x") {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.wait == 0 && (call == nil || call.Op != decision.Untag) {
			t.Errorf("%s: call %+v", c.name, call)
		}
	}
}

// Storing an intent may take longer than a permit lives: the call is then made
// with another permit, unless the intent is too old.
func TestASlowLogDoesNotStopTheCalls(t *testing.T) {
	for slow, want := range map[time.Duration][]string{
		150 * time.Millisecond: {"refund"},
		time.Second:            {"refund"},
		5 * time.Second:        nil,
	} {
		w := newScene(t, func(w *world) { w.slow = slow })
		w.chat("T0", "refund")
		w.until(t, time.Minute)
		w.wantTags(t, "T0", want...)
		if n := w.called("tag_thread", 0, rest); n != len(want) {
			t.Errorf("%s: %d calls", slow, n)
		}
		w.slow = 0
		w.until(t, rest)
		w.wantTags(t, "T0", "refund")
	}
}

func TestSweepAndBackfillOnlyAdd(t *testing.T) {
	for _, reason := range []string{decision.ReasonSweep, decision.ReasonBackfill} {
		w := newScene(t, nil)
		w.chat("T0", "refund")
		w.until(t, rest)
		r := w.recordsOf(orgT0)
		next := r.Decision.Record
		next.Reason, next.Tags = reason, []rules.Hit{{Tag: "late", Rule: "late"}}
		if _, err := w.core().Log.Decide(t.Context(), orgT0, next, r.Last); err != nil {
			t.Fatal(err)
		}
		w.until(t, rest)
		w.wantTags(t, "T0", "late", "refund")
	}
}

// Tag events are kept for days, decisions for months: what a decision left to
// a person stays with that person.
func TestWhatAPersonDidOutlivesTheLog(t *testing.T) {
	for _, c := range []struct {
		name  string
		untag bool
		why   string
		tags  []string
	}{
		{"set", false, rules.WhyPersonSet, []string{"refund"}},
		{"removed", true, rules.WhyPersonRemoved, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newScene(t, nil)
			w.begins(0, "T0")
			w.says(time.Second, "T0", "refund", false)
			w.person(2*time.Second, "T0", "refund", false)
			if c.untag {
				w.person(3*time.Second, "T0", "refund", true)
			}
			w.ends(10*time.Second, "T0")
			w.until(t, rest)
			w.log, w.redis, w.written = nil, map[transcript.Key]map[string]transcript.Fact{}, nil
			e := w.says(0, "T0", "refund", true)
			w.send(w.now.Add(9*24*time.Hour), orgT0, livechat.IncomingEvent, livechat.Payload{Event: &e})
			calls := w.called("tag_thread", 0, rest) + w.called("untag_thread", 0, rest)
			w.until(t, 10*24*time.Hour)
			r := w.newest(t, "T0")
			if len(r.Tags) > 0 || !slices.ContainsFunc(r.Skipped, func(s rules.Skip) bool { return s.Tag == "refund" && s.Why == c.why }) {
				t.Errorf("decided %v, skipped %v", tagsOf(r.Tags), r.Skipped)
			}
			if n := w.called("tag_thread", 0, 11*24*time.Hour) + w.called("untag_thread", 0, 11*24*time.Hour); n != calls {
				t.Errorf("%d calls", n-calls)
			}
			w.wantTags(t, "T0", c.tags...)
		})
	}
}

// A worker never decides over a record of rules that were loaded after its own.
func TestAWorkerBehindDoesNotDecide(t *testing.T) {
	w := newScene(t, nil)
	w.workers[0].set, w.workers[0].order = w.sets[1], 2
	w.chat("T0", "lost")
	w.until(t, rest)
	w.workers[0].set, w.workers[0].order = w.sets[0], 1
	err := w.core().Decide(t.Context(), orgT0, Due{At: w.now})
	var wait *Later
	if !errors.As(err, &wait) || !errors.Is(err, errBehind) {
		t.Fatalf("decided: %v", err)
	}
	if n := len(w.records[orgT0]); n != 3 {
		t.Errorf("%d records, want a decision, an intent and its outcome", n)
	}
}

func TestARecordStaysUnder256KiB(t *testing.T) {
	w := newScene(t, nil)
	var text strings.Builder
	text.WriteString("version: 1\nrules:\n")
	for n := range 3_000 {
		fmt.Fprintf(&text, "  - {tag: t%d, status: shadow, any: [thanks]}\n", n)
	}
	text.WriteString("  - {tag: refund, any: [thanks]}\n")
	set, problems := rules.Parse("rules.yaml", []byte(text.String()))
	if set == nil {
		t.Fatal(problems)
	}
	w.sets = []*rules.Set{set}
	w.workers[0].set = set
	w.chat("T0", "thanks")
	w.until(t, rest)
	r := w.newest(t, "T0")
	if got := tagsOf(r.Tags); !slices.Equal(got, []string{"refund"}) || r.More != 3_000 {
		t.Errorf("tags %v, %d more", got, r.More)
	}
	if data := mustJSON(t, r.Record); len(data) >= maxRecord {
		t.Errorf("%d bytes", len(data))
	}
	w.wantTags(t, "T0", "refund")
}
