package tagging

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"autotag/pkg/decision"
	"autotag/pkg/livechat"
	"autotag/pkg/rules"
	"autotag/pkg/transcript"
)

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// at is a moment of the tables, in seconds.
func at(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }

func TestOwnership(t *testing.T) {
	type call = decision.Call
	const tag, untag = decision.Tag, decision.Untag
	own := func(seconds int, op, state, result string, attempt int) StoredOutcome {
		return StoredOutcome{At: at(seconds), Outcome: decision.Outcome{Calls: []call{{Op: op, Tag: "x", State: state, Result: result, Attempt: attempt}}}}
	}
	intended := func(seconds int, op string, attempt int) StoredOutcome {
		return own(seconds, op, decision.Intended, "", attempt)
	}
	done := func(seconds int, op string) StoredOutcome { return own(seconds, op, decision.Done, "", 1) }
	failed := func(seconds int, op, result string, attempt int) StoredOutcome {
		return own(seconds, op, decision.Failed, result, attempt)
	}
	hook := func(seconds int, untag bool) transcript.TagEvent {
		return transcript.TagEvent{At: at(seconds), Tag: "x", Untag: untag}
	}
	shown := func(seconds int, tags ...string) *transcript.TagSet {
		return &transcript.TagSet{At: at(seconds), Tags: tags}
	}
	type state struct {
		ours, set, removed, unclear, unfinished bool
		failed                                  string
	}
	var (
		ours    = state{ours: true}
		perhaps = state{ours: true, unfinished: true}
		set     = state{set: true}
		removed = state{removed: true}
	)
	for _, c := range []struct {
		name     string
		outcomes []StoredOutcome
		events   []transcript.TagEvent
		known    people
		shown    *transcript.TagSet
		want     state
	}{
		{name: "nobody's"},
		{name: "ours from its intended tagging", outcomes: []StoredOutcome{intended(0, tag, 1)}, want: perhaps},
		{name: "tagged", outcomes: []StoredOutcome{intended(0, tag, 1), done(1, tag)}, want: ours},
		{name: "our echo", outcomes: []StoredOutcome{intended(0, tag, 1), done(1, tag)}, events: []transcript.TagEvent{hook(70, false)}, want: ours},
		{name: "our echo before our outcome", outcomes: []StoredOutcome{intended(0, tag, 1), done(9, tag)}, events: []transcript.TagEvent{hook(1, false)}, want: ours},
		{name: "tagged too late to be our echo", outcomes: []StoredOutcome{intended(0, tag, 1), done(1, tag)}, events: []transcript.TagEvent{hook(130, false)}, want: set},
		{name: "tagged before our intent", outcomes: []StoredOutcome{intended(5, tag, 1)}, events: []transcript.TagEvent{hook(4, false)}, want: state{set: true, unfinished: true}},
		{name: "tagged by a person", events: []transcript.TagEvent{hook(4, false)}, want: set},
		{name: "untagged by a person", outcomes: []StoredOutcome{intended(0, tag, 1), done(1, tag)}, events: []transcript.TagEvent{hook(2, false), hook(60, true)}, want: removed},
		{name: "untagged by us", outcomes: []StoredOutcome{intended(0, tag, 1), done(1, tag), intended(10, untag, 1), done(11, untag)}, events: []transcript.TagEvent{hook(2, false), hook(60, true)}},
		{name: "untagged long after our untagging", outcomes: []StoredOutcome{intended(0, tag, 1), done(1, tag), intended(10, untag, 1), done(11, untag)}, events: []transcript.TagEvent{hook(2, false), hook(600, true)}, want: removed},
		{name: "removed once is removed for ever", outcomes: []StoredOutcome{intended(200, tag, 1), done(201, tag)}, events: []transcript.TagEvent{hook(2, false), hook(60, true)}, want: state{removed: true, unclear: true}},
		{name: "set and removed by a person", events: []transcript.TagEvent{hook(2, false), hook(60, true)}, want: state{removed: true, unclear: true}},
		{name: "removed and set by a person", events: []transcript.TagEvent{hook(2, true), hook(60, false)}, want: state{set: true, removed: true, unclear: true}},
		{name: "already tagged without an unfinished intent", outcomes: []StoredOutcome{intended(0, tag, 1), failed(1, tag, resultAlready, 1)}, want: set},
		{name: "already tagged after an attempt without an end", outcomes: []StoredOutcome{intended(0, tag, 1), intended(30, tag, 2), failed(31, tag, resultAlready, 2)}, want: ours},
		{name: "already tagged, another worker was faster", outcomes: []StoredOutcome{intended(0, tag, 1), intended(30, tag, 2), done(31, tag), failed(40, tag, resultAlready, 1)}, want: ours},
		{name: "no answer", outcomes: []StoredOutcome{intended(0, tag, 1), failed(16, tag, resultUnreachable, 1)}, want: perhaps},
		{name: "no answer, then refused", outcomes: []StoredOutcome{intended(0, tag, 1), failed(16, tag, resultUnreachable, 1), intended(20, tag, 2), failed(21, tag, "validation", 2)}, want: perhaps},
		{name: "refused for certain", outcomes: []StoredOutcome{intended(0, tag, 1), failed(1, tag, "too_many_requests", 1)}},
		{name: "not sent", outcomes: []StoredOutcome{intended(0, tag, 1), failed(1, tag, resultNotSent, 1)}},
		{name: "untagging refused", outcomes: []StoredOutcome{intended(0, tag, 1), done(1, tag), intended(10, untag, 1), failed(11, untag, "internal", 1)}, want: perhaps},
		{name: "tagging given up", outcomes: []StoredOutcome{intended(0, tag, 1), failed(1, tag, "validation", 1), failed(200, tag, resultGivenUp, 1)}, want: state{failed: tag}},
		{name: "untagging given up", outcomes: []StoredOutcome{intended(0, tag, 1), done(1, tag), intended(10, untag, 1), failed(11, untag, "validation", 1), failed(12, untag, resultGivenUp, 1)}, want: state{ours: true, failed: untag}},
		{name: "untagging given up after an attempt without an end", outcomes: []StoredOutcome{intended(0, tag, 1), done(1, tag), intended(10, untag, 1), failed(26, untag, resultUnreachable, 1), intended(30, untag, 2), failed(31, untag, "validation", 2), failed(32, untag, resultGivenUp, 2)}, want: state{ours: true, unfinished: true, failed: untag}},
		{name: "borne at the start", known: people{initial: []string{"x"}}, want: set},
		{name: "borne at the start, untagged", known: people{initial: []string{"x"}}, events: []transcript.TagEvent{hook(60, true)}, want: state{removed: true, unclear: true}},
		{name: "borne at the start, and intended by us", known: people{initial: []string{"x"}}, outcomes: []StoredOutcome{intended(5, tag, 1), done(6, tag)}, want: set},
		{name: "left to a person before", known: people{set: []string{"x"}}, want: set},
		{name: "left off by a person before", known: people{removed: []string{"x"}}, outcomes: []StoredOutcome{intended(0, tag, 1), done(1, tag)}, want: removed},
		{name: "shown, and nothing of ours", shown: shown(60, "x"), want: set},
		{name: "shown, perhaps ours", outcomes: []StoredOutcome{intended(0, tag, 1), done(1, tag)}, shown: shown(60, "x"), want: ours},
		{name: "shown without it, after a person set it", events: []transcript.TagEvent{hook(2, false)}, shown: shown(60), want: removed},
		{name: "shown settles what webhooks leave open: there", events: []transcript.TagEvent{hook(2, false), hook(3, true)}, shown: shown(60, "x"), want: state{set: true, removed: true}},
		{name: "shown settles what webhooks leave open: gone", events: []transcript.TagEvent{hook(3, true), hook(4, false)}, shown: shown(60), want: removed},
		{name: "shown before the newest hand says nothing", events: []transcript.TagEvent{hook(2, false), hook(90, true)}, shown: shown(60, "x"), want: state{removed: true, unclear: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got state
			if s := ownership(c.outcomes, c.events, c.known, c.shown)["x"]; s != nil {
				got = state{s.ours, s.personSet, s.personRemoved, s.unclear, s.unfinished != nil, s.failed}
			}
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestGate(t *testing.T) {
	t.Run("growing pauses", func(t *testing.T) {
		t.Parallel()
		var g gate
		now := epoch
		var pauses []int
		for range 8 {
			probe, wait := g.enter("org", now)
			if wait > 0 {
				t.Fatalf("held back for %s", wait)
			}
			g.report("org", now, probe, "authentication", true, 0)
			pause := g.wait("org", now)
			pauses = append(pauses, int(pause.Seconds()))
			now = now.Add(pause)
		}
		if want := []int{1, 2, 4, 8, 16, 30, 30, 30}; !slices.Equal(pauses, want) {
			t.Errorf("pauses %v, want %v", pauses, want)
		}
	})
	t.Run("the breaker opens after failures in a row", func(t *testing.T) {
		t.Parallel()
		var g gate
		fail := func() { g.report("org", epoch, false, "internal", false, 0) }
		for range failuresToOpen - 1 {
			fail()
		}
		g.report("org", epoch, false, "", false, 0)
		for range failuresToOpen - 1 {
			fail()
		}
		if d := g.wait("org", epoch); d > 0 {
			t.Fatalf("closed for %s too early", d)
		}
		changed, until := g.report("org", epoch, false, "internal", false, 0)
		if !changed || !until.Equal(epoch.Add(firstPause)) || g.wait("org", epoch) != firstPause {
			t.Errorf("changed %t until %s", changed, until)
		}
		if d := g.wait("another", epoch); d > 0 {
			t.Errorf("another organization waits for %s", d)
		}
	})
	t.Run("one probe at a time, and it opens", func(t *testing.T) {
		t.Parallel()
		var g gate
		g.report("org", epoch, false, "authentication", true, 0)
		now := at(1)
		if probe, d := g.enter("org", now); !probe || d > 0 {
			t.Fatalf("probe %t after %s", probe, d)
		}
		if _, d := g.enter("org", now); d == 0 {
			t.Error("two probes")
		}
		// A probe that never tells its end does not hold up the others for ever.
		if probe, d := g.enter("org", now.Add(probeLife)); !probe || d > 0 {
			t.Errorf("a lost probe still holds the gate: %t, %s", probe, d)
		}
		if changed, until := g.report("org", now, true, "", false, 0); !changed || !until.IsZero() {
			t.Error("the probe's success did not open it")
		}
		if probe, d := g.enter("org", now); probe || d > 0 {
			t.Error("not open")
		}
	})
	t.Run("calls under way do not open, close or shorten it", func(t *testing.T) {
		t.Parallel()
		var g gate
		g.report("org", epoch, false, tooMany, true, 40*time.Second)
		for _, fault := range []string{"", "internal", tooMany} {
			g.report("org", at(1), false, fault, fault == tooMany, 0)
			if d := g.wait("org", at(1)); d != 39*time.Second {
				t.Errorf("after %q: waits %s", fault, d)
			}
		}
		g.report("org", at(1), false, tooMany, true, time.Minute)
		if d := g.wait("org", at(1)); d != time.Minute {
			t.Errorf("a longer pause is not kept: %s", d)
		}
	})
	t.Run("a new reason is told", func(t *testing.T) {
		t.Parallel()
		var g gate
		g.report("org", epoch, false, "internal", true, 0)
		if changed, _ := g.report("org", at(1), true, "authentication", true, 0); !changed {
			t.Error("not told")
		}
		if changed, _ := g.report("org", at(9), true, "authentication", true, 0); changed {
			t.Error("told twice")
		}
	})
}

func TestBackoff(t *testing.T) {
	for attempt, want := range map[int]time.Duration{
		-1: time.Second, 0: time.Second, 1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second,
		9: 256 * time.Second, 10: 5 * time.Minute, 1_000_000: 5 * time.Minute,
	} {
		if got := backoff(attempt); got != want {
			t.Errorf("attempt %d: %s, want %s", attempt, got, want)
		}
	}
}

// A call that was held back often and then fails once waits as long as one that
// fails at the first attempt.
func TestOnlyFailuresMakeThePauseLonger(t *testing.T) {
	s := &tagState{}
	var lastTag, lastUntag time.Time
	at := time.Unix(1_800_000_000, 0)
	attempt := 0
	try := func(result string) {
		attempt++
		at = at.Add(time.Second)
		s.own(&decision.Call{Op: decision.Tag, Tag: "x", State: decision.Intended, Attempt: attempt}, at, &lastTag, &lastUntag)
		s.own(&decision.Call{Op: decision.Tag, Tag: "x", State: decision.Failed, Result: result, Attempt: attempt}, at, &lastTag, &lastUntag)
	}
	for _, step := range []struct {
		result string
		want   time.Duration // after one failure more
	}{
		{resultNotSent, time.Second}, {tooMany, time.Second}, {"authentication", time.Second}, {resultNotSent, time.Second},
		{"service_unavailable", 2 * time.Second}, {resultNotSent, 2 * time.Second}, {"internal", 4 * time.Second},
	} {
		try(step.result)
		if got := s.pause(decision.Tag); got != step.want {
			t.Errorf("attempt %d, %s: pause %s, want %s", attempt, step.result, got, step.want)
		}
	}
	if got := s.pause(decision.Untag); got != time.Second {
		t.Errorf("of the other operation: %s", got)
	}
	s.own(&decision.Call{Op: decision.Tag, Tag: "x", State: decision.Done}, at, &lastTag, &lastUntag)
	if got := s.pause(decision.Tag); got != time.Second {
		t.Errorf("after a success: %s", got)
	}
}

// That LiveChat refused a call for what it asks is known until the next attempt.
func TestARefusalIsRemembered(t *testing.T) {
	s := &tagState{}
	var lastTag, lastUntag time.Time
	at := time.Unix(1_800_000_000, 0)
	for i, step := range []struct{ result, want string }{
		{"validation", "validation"}, {"not_found", "not_found"}, {"service_unavailable", ""}, {"validation", "validation"}, {tooMany, ""},
	} {
		s.own(&decision.Call{Op: decision.Untag, Tag: "x", State: decision.Intended, Attempt: i + 1}, at, &lastTag, &lastUntag)
		if s.refused != "" {
			t.Errorf("attempt %d: refused for %q before it ended", i+1, s.refused)
		}
		s.own(&decision.Call{Op: decision.Untag, Tag: "x", State: decision.Failed, Result: step.result, Attempt: i + 1}, at, &lastTag, &lastUntag)
		if s.refused != step.want {
			t.Errorf("attempt %d, %s: refused for %q, want %q", i+1, step.result, s.refused, step.want)
		}
	}
}

func TestResults(t *testing.T) {
	for _, c := range []struct {
		err             error
		result          string
		uncertain, held bool
	}{
		{nil, "", false, false},
		{fmt.Errorf("broken"), resultUnreachable, true, false},
		{&livechat.Error{}, resultUnreachable, true, false},
		{&livechat.Error{Status: 401}, "authentication", false, true},
		{&livechat.Error{Type: "authentication"}, "authentication", false, true},
		{&livechat.Error{Type: "license_expired"}, "license_expired", false, true},
		{&livechat.Error{Type: tooMany}, tooMany, false, true},
		{&livechat.Error{Type: "internal"}, "internal", true, false},
		{&livechat.Error{Type: "request_timeout"}, "request_timeout", true, false},
		{&livechat.Error{Type: "validation"}, "validation", false, false},
		{&livechat.Error{Method: "tag_thread", Type: "already_exists"}, resultAlready, false, false},
		{&livechat.Error{Method: "untag_thread", Type: "not_found"}, resultNotTagged, false, false},
	} {
		if got := resultOf(c.err); got != c.result || uncertain(got) != c.uncertain || held(got) != c.held {
			t.Errorf("%v: %q, uncertain %t, held %t", c.err, got, uncertain(got), held(got))
		}
	}
	if !held(resultNotSent) {
		t.Error("what was not sent was held")
	}
}

// What arms the timer of a thread that has ended, of one that is open, and of
// one of which the store knows nothing.
func TestWhatArms(t *testing.T) {
	message := livechat.Event{ID: "T0_9", Type: "message", Text: "refund", AuthorID: simCustomer}
	system := livechat.Event{ID: "T0_9", Type: "system_message"}
	start := func(active bool, previous string) livechat.Payload {
		return livechat.Payload{Chat: &livechat.Chat{ID: "C1", Thread: &livechat.Thread{ID: "T0", Active: active, CreatedAt: epoch, PreviousThreadID: previous}}}
	}
	always, closed := []bool{true, true, true}, []bool{true, false, true} // ended, open, unknown
	never := []bool{false, false, false}
	for _, c := range []struct {
		name   string
		action string
		p      livechat.Payload
		arms   []bool
	}{
		{"a message", livechat.IncomingEvent, livechat.Payload{Event: &message}, closed},
		{"a system message", livechat.IncomingEvent, livechat.Payload{Event: &system}, never},
		{"an edit", livechat.EventUpdated, livechat.Payload{Event: &message}, closed},
		{"a deletion", livechat.EventDeleted, livechat.Payload{EventID: "T0_1"}, closed},
		{"a greeting's property", livechat.EventPropertiesUpdated, livechat.Payload{EventID: "T0_1", Properties: livechat.Properties{"lc2": {"greeting_id": []byte("7")}}}, closed},
		{"the end", livechat.ChatDeactivated, livechat.Payload{}, always},
		{"a start", livechat.IncomingChat, start(true, ""), []bool{true, false, false}},
		{"a start that is not active", livechat.IncomingChat, start(false, ""), always},
		{"a user", livechat.UserAddedToChat, livechat.Payload{User: &livechat.User{ID: "u", Type: "agent"}}, closed},
		{"a transfer to groups", livechat.ChatTransferred, livechat.Payload{GroupIDs: []int{3}}, closed},
		{"a transfer to agents", livechat.ChatTransferred, livechat.Payload{}, never},
		{"a tag that a rule's unless_tagged names", livechat.ThreadTagged, livechat.Payload{Tag: "vip"}, closed},
		{"its untagging", livechat.ThreadUntagged, livechat.Payload{Tag: "vip"}, closed},
		{"another tag", livechat.ThreadTagged, livechat.Payload{Tag: "refund"}, never},
		{"seen marks", "events_marked_as_seen", livechat.Payload{}, never},
		{"a summary", "thread_summary_set", livechat.Payload{}, never},
		{"an unknown action", "something_new", livechat.Payload{}, never},
	} {
		for i, state := range []string{"ended", "open", "unknown"} {
			t.Run(c.name+", "+state, func(t *testing.T) {
				t.Parallel()
				w := newScene(t, nil)
				w.thread("T0")
				prepare := map[string][]Webhook{
					"ended": {{Key: orgT0, Action: livechat.IncomingChat, Payload: start(true, ""), At: at(0), Seq: 1}, {Key: orgT0, Action: livechat.ChatDeactivated, At: at(1), Seq: 2}},
					"open":  {{Key: orgT0, Action: livechat.IncomingChat, Payload: start(true, ""), At: at(0), Seq: 1}},
				}[state]
				if err := slices.DeleteFunc(w.core().Accumulate(t.Context(), prepare), func(err error) bool { return err == nil }); len(err) > 0 {
					t.Fatal(err)
				}
				w.schedules = map[string]schedule{}
				hook := Webhook{Key: orgT0, Action: c.action, Payload: c.p, At: at(5), Seq: 7}
				if errs := w.core().Accumulate(t.Context(), []Webhook{hook}); errs[0] != nil {
					t.Fatal(errs[0])
				}
				s, armed := w.schedules["dueC1T0"]
				if armed != c.arms[i] {
					t.Fatalf("armed: %t", armed)
				}
				if armed && (!s.at.Equal(at(8)) || s.reach != 7) {
					t.Errorf("at %s reaching %d, want 8s reaching 7", s.at.Sub(epoch), s.reach)
				}
			})
		}
	}
}

func TestArmingOfOtherThreads(t *testing.T) {
	t1 := transcript.Key{Org: "org", Chat: "C1", Thread: "T1"}
	start := func(k transcript.Key, created int, previous string) Webhook {
		return Webhook{Key: k, Action: livechat.IncomingChat, At: at(created), Seq: 1, Payload: livechat.Payload{
			Chat: &livechat.Chat{ID: "C1", Thread: &livechat.Thread{ID: k.Thread, Active: true, CreatedAt: at(created), PreviousThreadID: previous}},
		}}
	}
	t.Run("a thread ends the one before it", func(t *testing.T) {
		t.Parallel()
		w := newScene(t, nil)
		w.core().Accumulate(t.Context(), []Webhook{start(t1, 0, "T0")})
		if _, ok := w.schedules["dueC1T0"]; !ok || len(w.schedules) != 1 {
			t.Errorf("armed: %v", w.schedules)
		}
	})
	t.Run("a change of the whole chat concerns all its threads", func(t *testing.T) {
		t.Parallel()
		w := newScene(t, nil)
		w.log = []Webhook{start(orgT0, 0, ""), start(t1, 50, "T0")}
		errs := w.core().Accumulate(t.Context(), []Webhook{{
			Key: transcript.Key{Org: "org", Chat: "C1", Thread: "_"}, Action: livechat.ChatAccessUpdated, At: at(60), Seq: 9,
			Payload: livechat.Payload{GroupIDs: []int{3}, HasGroups: true},
		}})
		if errs[0] != nil || len(w.schedules) != 2 || w.schedules["dueC1T0"].reach != 9 || w.schedules["dueC1T1"].reach != 9 {
			t.Errorf("armed %v: %v", w.schedules, errs)
		}
	})
	t.Run("one timer for a batch, by its newest webhook", func(t *testing.T) {
		t.Parallel()
		w := newScene(t, nil)
		message := func(seq, seconds int) Webhook {
			e := livechat.Event{ID: fmt.Sprintf("T0_%d", seq), Type: "message", Text: "ok"}
			return Webhook{Key: orgT0, Action: livechat.IncomingEvent, At: at(seconds), Seq: uint64(seq), Payload: livechat.Payload{Event: &e}}
		}
		w.core().Accumulate(t.Context(), []Webhook{message(4, 9), message(5, 11), message(3, 2)})
		if s := w.schedules["dueC1T0"]; !s.at.Equal(at(14)) || s.reach != 5 {
			t.Errorf("armed at %s reaching %d", s.at.Sub(epoch), s.reach)
		}
	})
	t.Run("our own echo arms nothing", func(t *testing.T) {
		t.Parallel()
		w := newScene(t, nil)
		intent := decision.Outcome{Calls: []decision.Call{{Op: decision.Tag, Tag: "vip", State: decision.Intended, Attempt: 1}}}
		w.records[orgT0] = []any{StoredOutcome{Seq: 1, At: at(0), Outcome: intent}}
		for _, c := range []struct {
			action  string
			seconds int
			arms    bool
		}{
			{livechat.ThreadTagged, 60, false}, {livechat.ThreadTagged, 121, true}, {livechat.ThreadUntagged, 60, true},
		} {
			w.schedules = map[string]schedule{}
			w.core().Accumulate(t.Context(), []Webhook{{Key: orgT0, Action: c.action, At: at(c.seconds), Payload: livechat.Payload{Tag: "vip"}}})
			if armed := len(w.schedules) > 0; armed != c.arms {
				t.Errorf("%s after %d s arms: %t", c.action, c.seconds, armed)
			}
		}
	})
	t.Run("a store that is away stops the whole batch", func(t *testing.T) {
		t.Parallel()
		w := newScene(t, nil)
		w.redisUp = at(60)
		errs := w.core().Accumulate(t.Context(), []Webhook{start(orgT0, 0, ""), {Key: orgT0, Action: livechat.ChatDeactivated}})
		if errs[0] == nil || errs[1] == nil || len(w.schedules) > 0 {
			t.Errorf("%v, armed %v", errs, w.schedules)
		}
	})
}

func TestFresh(t *testing.T) {
	start := func(stored int) Webhook {
		return Webhook{Action: livechat.IncomingChat, At: at(stored), Payload: livechat.Payload{Chat: &livechat.Chat{Thread: &livechat.Thread{CreatedAt: at(0)}}}}
	}
	for _, c := range []struct {
		stored, seen int
		want         bool
	}{
		{0, 0, true}, {3, 4, true}, {9, 9, true}, {10, 10, false}, {0, 60, false}, {60, 60, false}, {-1, 0, true}, {-60, 0, false}, {0, -60, false},
	} {
		if got := fresh(start(c.stored), at(c.seen)); got != c.want {
			t.Errorf("stored at %d s, seen at %d s: %t", c.stored, c.seen, got)
		}
	}
	end := start(0)
	end.Action = livechat.ChatDeactivated
	if fresh(end, at(0)) || fresh(Webhook{Action: livechat.IncomingChat}, at(0)) {
		t.Error("only a start that shows its thread is fresh")
	}
}

func TestTrim(t *testing.T) {
	many := func(n int) []rules.Hit {
		hits := make([]rules.Hit, n)
		for i := range hits {
			hits[i] = rules.Hit{Tag: fmt.Sprint("tag", i), Rule: "rule", Evidence: []rules.Evidence{{EventID: "T0_1", Term: "a term that is found"}}}
		}
		return hits
	}
	full := decision.Record{
		Tags: many(20), Shadow: many(20),
		NearMisses: slices.Repeat([]rules.NearMiss{{Tag: "t", Rule: "r", Missing: "one entry of all"}}, 20),
		Skipped:    slices.Repeat([]rules.Skip{{Tag: "t", Rule: "r", Why: rules.WhySet}}, 20),
	}
	size := len(mustJSON(t, full))
	before := 0
	for limit := size + 1; limit > 1_500; limit -= 100 {
		r := full.Trim(limit)
		if n := len(mustJSON(t, r)); n >= limit && len(r.Shadow) > 0 {
			t.Fatalf("%d bytes of %d", n, limit)
		}
		if len(r.Tags) != 20 {
			t.Fatalf("tags were left out at %d bytes", limit)
		}
		if r.More < before {
			t.Fatalf("more fell from %d to %d", before, r.More)
		}
		before = r.More
		if left := len(r.NearMisses) + len(r.Skipped) + len(r.Shadow); r.More != 60-left {
			t.Fatalf("more is %d, left %d", r.More, left)
		}
	}
	if before != 60 {
		t.Errorf("the smallest has %d more", before)
	}
	if len(full.Tags[0].Evidence) == 0 {
		t.Error("the original was changed")
	}
}
