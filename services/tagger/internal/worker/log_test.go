package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"autotag/pkg/decision"
	"autotag/pkg/livechat"
	"autotag/pkg/stream"
	"autotag/pkg/testkit/leaktest"
	"autotag/pkg/testkit/natstest"
	"autotag/pkg/transcript"
	"autotag/services/tagger/internal/tagging"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

var key = transcript.Key{Org: "org1", Chat: "CHAT1", Thread: "THREAD1"}

func newLog(t *testing.T) *Log {
	t.Helper()
	nc, js := natstest.Start(t, nil).Connect()
	if _, err := stream.Provision(t.Context(), js, stream.ProvisionOptions{EventsMaxBytes: 64 << 20}); err != nil {
		t.Fatal(err)
	}
	return NewLog(nc, js)
}

func (l *Log) publish(t *testing.T, k transcript.Key, action, payload string) uint64 {
	t.Helper()
	ack, err := l.js.Publish(t.Context(), stream.EventSubject(k, action), []byte(`{"action":"`+action+`","payload":`+payload+`}`))
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

func TestWebhook(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		subject, body string
		skip          bool
		reason        string
	}{
		{"livechat.o.C.T.incoming_event", `{"payload":{"event":{"id":"1"}}}`, false, ""},
		{"livechat.o.C._.chat_access_updated", `{"payload":{}}`, false, ""},
		{"livechat.o.C._.user_added_to_chat", `{"payload":{}}`, false, ""},
		{"livechat.o._._.tag_created", `no JSON`, true, ""},
		{"livechat.o.C.T.unknown_action", `{"payload":{}}`, false, ""},
		{"livechat.o.C._.incoming_event", `{"payload":{}}`, false, reasonNoIDs},
		{"livechat.o.C._.incoming_chat", `{"payload":{}}`, false, reasonNoIDs},
		{"livechat.o._._.chat_deactivated", `{"payload":{}}`, false, reasonNoIDs},
		{"livechat.o.C._.event_properties_updated", `{"payload":{}}`, false, reasonNoIDs},
		{"livechat.o.C._.thread_tagged", `{"payload":{}}`, false, reasonNoIDs},
		{"livechat.o.C.T.incoming_event", `{"payload":{"event_id":"1"}}`, false, reasonNoEvent},
		{"livechat.o.C.T.incoming_event", `{"payload":{"event":{"type":"message","text":"refund"}}}`, false, reasonNoEvent},
		{"livechat.o.C.T.event_updated", `{"payload":{"event":[]}}`, false, reasonNoEvent},
		{"livechat.o.C.T.event_deleted", `{"payload":{"event_id":null}}`, false, reasonNoEvent},
		{"livechat.o.C.T.event_deleted", `{"payload":{"event_id":"1"}}`, false, ""},
		{"livechat.o.C.T.event_properties_updated", `{"payload":{"properties":{}}}`, false, reasonNoEvent},
		{"livechat.o.C.T.incoming_event", ``, false, reasonUnreadable},
		{"livechat.o.C.T.incoming_event", `{"payload":"text"}`, false, reasonUnreadable},
		{"livechat.o.C.T.incoming_event", `{}`, false, reasonUnreadable},
		{"livechat.o.C.T.X", `{}`, false, reasonSubject},
		{"other", `{}`, false, reasonSubject},
	} {
		w, skip, reason := webhook(stream.Stored{Subject: c.subject, Data: []byte(c.body), Seq: 7, Time: time.Unix(5, 0)})
		if skip != c.skip || reason != c.reason {
			t.Errorf("%s %s: skip %v, reason %q", c.subject, c.body, skip, reason)
		}
		if reason == "" && !skip && (w.Seq != 7 || !w.At.Equal(time.Unix(5, 0)) || w.Key.Chat != "C") {
			t.Errorf("%s: %+v", c.subject, w)
		}
	}
}

// FuzzWebhook: whatever lies in the stream, nothing of it but a token becomes
// the name of another thread.
func FuzzWebhook(f *testing.F) {
	f.Add(`{"payload":{"chat":{"id":"C","thread":{"id":"T","previous_thread_id":"a.> {x}"}}}}`)
	f.Add(`{"payload":{"chat":{"id":"C","thread":{"id":"T","active":false,"previous_thread_id":"P"}}}}`)
	f.Add(`{"payload":{"chat":null}}`)
	f.Fuzz(func(t *testing.T, body string) {
		w, _, reason := webhook(stream.Stored{Subject: "livechat.o.C.T.incoming_chat", Data: []byte(body)})
		if reason != "" {
			return
		}
		ended := transcript.Read(w.Key, w.Action, w.Payload, w.At).EndedThread
		if _, ok := stream.Token(ended); ended != "" && !ok || ended == stream.None {
			t.Errorf("ended thread %q", ended)
		}
	})
}

func TestThread(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	wide := transcript.Key{Org: "org1", Chat: "CHAT1", Thread: stream.None}
	l.publish(t, key, livechat.IncomingEvent, `{"event":{"id":"1"}}`)
	l.publish(t, wide, livechat.ChatAccessUpdated, `{"access":{"group_ids":[1]}}`)
	l.publish(t, key, livechat.IncomingEvent, `"unusable"`)
	l.publish(t, transcript.Key{Org: "org1", Chat: "CHAT1", Thread: "OTHER"}, livechat.IncomingEvent, `{}`)
	last := l.publish(t, key, livechat.ChatDeactivated, `{}`)
	webhooks, err := l.Thread(t.Context(), key, last)
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, w := range webhooks {
		actions = append(actions, w.Action)
	}
	if want := []string{livechat.IncomingEvent, livechat.ChatAccessUpdated, livechat.ChatDeactivated}; !slices.Equal(actions, want) {
		t.Errorf("read %q, want %q", actions, want)
	}
}

// A thread that is larger than what is read at once is not tried for ever.
func TestThreadTooLarge(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	if _, err := stream.Provision(t.Context(), l.js, stream.ProvisionOptions{EventsMaxBytes: 2 * stream.DefaultMaxRead}); err != nil {
		t.Fatal(err)
	}
	payload := `{"event":{"id":"1","type":"message","text":"` + strings.Repeat("x", 1_000_000) + `"}}`
	for range stream.DefaultMaxRead/len(payload) + 1 {
		l.publish(t, key, livechat.IncomingEvent, payload)
	}
	_, err := l.Thread(t.Context(), key, 0)
	if !errors.Is(err, stream.ErrTooMuch) {
		t.Fatal(err)
	}
	// What the consumer makes of it shows in the reason that it has then.
	if got := answer(fmt.Errorf("read the thread's log: %w", err)); !strings.HasPrefix(got.Error(), reasonTooLarge) {
		t.Errorf("answered by %v", got)
	}
}

func TestStartsAndTagEvents(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	if starts, err := l.Starts(t.Context(), "org1", "CHAT1"); err != nil || len(starts) > 0 {
		t.Errorf("%v, %v", starts, err)
	}
	other := transcript.Key{Org: "org1", Chat: "CHAT1", Thread: "OTHER"}
	l.publish(t, key, livechat.IncomingChat, `{"chat":{"id":"CHAT1","thread":{"id":"THREAD1"}}}`)
	l.publish(t, other, livechat.IncomingChat, `{"chat":{"id":"CHAT1","thread":{"id":"OTHER","previous_thread_id":"THREAD1"}}}`)
	l.publish(t, key, livechat.ThreadTagged, `{"tag":"a"}`)
	l.publish(t, key, livechat.ThreadUntagged, `{"tag":"a"}`)
	l.publish(t, key, livechat.ThreadTagged, `{"tag":"b"}`)
	l.publish(t, other, livechat.ThreadTagged, `{"tag":"c"}`)
	starts, err := l.Starts(t.Context(), "org1", "CHAT1")
	if err != nil || len(starts) != 2 || starts[1].Key != other || starts[1].Payload.Chat.Thread.PreviousThreadID != "THREAD1" {
		t.Errorf("starts %+v, %v", starts, err)
	}
	events, err := l.TagEvents(t.Context(), key)
	if err != nil || len(events) != 3 {
		t.Fatalf("%+v, %v", events, err)
	}
	if events[0].Untag || !events[1].Untag || events[2].Tag != "b" || events[1].At.Before(events[0].At) {
		t.Errorf("tag events %+v", events)
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	ctx := t.Context()
	if r, err := l.Records(ctx, key); err != nil || r.Last != 0 || r.Decision != nil || r.Outcomes != nil {
		t.Fatalf("of a new thread: %+v, %v", r, err)
	}
	first, err := l.Decide(ctx, key, decision.Record{V: 1, RulesVersion: "one"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Decide(ctx, key, decision.Record{V: 1, RulesVersion: "one"}, 0); !errors.Is(err, tagging.ErrConflict) {
		t.Errorf("a second first decision: %v", err)
	}
	call := decision.Call{Op: decision.Tag, Tag: "a", State: decision.Intended, Attempt: 1}
	intent, err := l.Outcome(ctx, key, decision.Outcome{DecisionSeq: first, Calls: []decision.Call{call}}, first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Decide(ctx, key, decision.Record{}, first); !errors.Is(err, tagging.ErrConflict) {
		t.Errorf("a decision over an intent that was not seen: %v", err)
	}
	second, err := l.Decide(ctx, key, decision.Record{V: 1, RulesVersion: "two"}, intent)
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Records(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	if r.Last != second || r.Decision.Seq != second || r.Decision.RulesVersion != "two" || r.Decision.At.IsZero() ||
		len(r.Outcomes) != 1 || r.Outcomes[0].Seq != intent || r.Outcomes[0].Calls[0] != call {
		t.Errorf("records %+v", r)
	}
	// An outcome of the older decision that comes after the newer decision.
	late, err := l.Outcome(ctx, key, decision.Outcome{DecisionSeq: first}, second)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := l.Records(ctx, key); err != nil || r.Last != late || r.Decision.Seq != second || len(r.Outcomes) != 2 {
		t.Errorf("records %+v, %v", r, err)
	}
}

// TestRecordsUnderWrites: whoever appends by what it has read knew everything
// that was there.
func TestRecordsUnderWrites(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	const writers, each = 4, 25
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for stored := 0; stored < each; {
				r, err := l.Records(context.WithoutCancel(t.Context()), key)
				if err != nil {
					t.Error(err)
					return
				}
				// Each record counts the records before it.
				n := len(r.Outcomes)
				if r.Decision != nil {
					n += r.Decision.V
				}
				if w%2 == 0 {
					v := 1
					if r.Decision != nil {
						v = r.Decision.V + 1
					}
					_, err = l.Decide(context.WithoutCancel(t.Context()), key, decision.Record{V: v, Transcript: decision.Transcript{Messages: n}}, r.Last)
				} else {
					_, err = l.Outcome(context.WithoutCancel(t.Context()), key, decision.Outcome{DecisionSeq: uint64(n)}, r.Last)
				}
				switch {
				case err == nil:
					stored++
				case !errors.Is(err, tagging.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	all, err := stream.ReadAll(t.Context(), l.nc, stream.Decisions, stream.RecordsSubject(key), 0)
	if err != nil || len(all) != writers*each {
		t.Fatalf("%d records, %v", len(all), err)
	}
	for i, m := range all {
		var r struct {
			Transcript  decision.Transcript
			DecisionSeq int `json:"decision_seq"`
		}
		if err := json.Unmarshal(m.Data, &r); err != nil {
			t.Fatal(err)
		}
		if known := r.Transcript.Messages + r.DecisionSeq; known != i {
			t.Errorf("record %d was appended by somebody who knew %d", i, known)
		}
	}
}

func TestArmAndDead(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	ctx := t.Context()
	for _, err := range l.Arm(ctx, []tagging.Timer{{Key: key, At: time.Now(), Reach: 42}}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	var due stream.Stored
	for found := false; !found; time.Sleep(10 * time.Millisecond) {
		var err error
		if due, found, err = stream.Last(ctx, l.nc, stream.Timers, stream.DueSubject(key)); err != nil {
			t.Fatal(err)
		}
	}
	if got := reach(stream.Msg{Stored: due}); got != 42 {
		t.Errorf("the due message carries %d", got)
	}
	if got := reach(stream.Msg{}); got != 0 {
		t.Errorf("a due message without a sequence carries %d", got)
	}
	call := decision.Call{Op: decision.Tag, Tag: "a", State: decision.Failed, Attempt: 3}
	for range 2 {
		if err := l.Dead(ctx, stream.StageApply, key, "unknown_tag", call); err != nil {
			t.Fatal(err)
		}
	}
	dead, err := stream.ReadAll(ctx, l.nc, stream.Dead, stream.DeadSubject(stream.StageApply, key), 0)
	if err != nil || len(dead) != 1 {
		t.Fatalf("%d dead letters, %v", len(dead), err)
	}
	var kept decision.Call
	if err := json.Unmarshal(dead[0].Data, &kept); err != nil || kept != call || dead[0].Header.Get(stream.ReasonHeader) != "unknown_tag" {
		t.Errorf("dead letter %s %v, %v", dead[0].Data, dead[0].Header, err)
	}
}
