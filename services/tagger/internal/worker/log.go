// Package worker joins the tagging core to the world: NATS as its log, the
// LiveChat client as its API, a rules file, logs and metrics, and the consumers
// that hand it messages. What is decided and why is the core's business, not
// this package's.
package worker

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"autotag/pkg/decision"
	"autotag/pkg/livechat"
	"autotag/pkg/stream"
	"autotag/pkg/transcript"
	"autotag/services/tagger/internal/tagging"
)

// Log is NATS as the core sees it.
type Log struct {
	nc *nats.Conn
	js jetstream.JetStream
}

// NewLog makes a Log.
func NewLog(nc *nats.Conn, js jetstream.JetStream) *Log { return &Log{nc: nc, js: js} }

// Reasons why a webhook goes to AUTOTAG_DEAD.
const (
	reasonUnreadable = "unreadable webhook"
	reasonNoIDs      = "chat or thread id is missing"
	reasonNoEvent    = "event or its id is missing"
	reasonSubject    = "unexpected subject"
	reasonTooLarge   = "thread is too large to read"
)

// webhook reads a message of LIVECHAT_EVENTS. skip says that it is not about a
// chat; otherwise reason says why it cannot be used.
func webhook(m stream.Stored) (w tagging.Webhook, skip bool, reason string) {
	key, action, ok := stream.ParseEventSubject(m.Subject)
	if !ok {
		return w, false, reasonSubject
	}
	if key.Chat == stream.None || key.Thread == stream.None {
		if needsIDs(action) {
			return w, false, reasonNoIDs
		}
		if key.Chat == stream.None {
			return w, true, ""
		}
	}
	envelope, err := livechat.ParseWebhook(m.Data)
	if err != nil {
		return w, false, reasonUnreadable
	}
	payload, err := livechat.ParsePayload(action, envelope.Payload)
	if err != nil {
		return w, false, reasonUnreadable
	}
	if lacksEvent(action, payload) {
		return w, false, reasonNoEvent
	}
	if c := payload.Chat; c != nil && c.Thread != nil {
		// It becomes part of subjects and keys.
		if id, ok := stream.Token(c.Thread.PreviousThreadID); !ok || id == stream.None {
			c.Thread.PreviousThreadID = ""
		}
	}
	return tagging.Webhook{Key: key, Action: action, Payload: payload, At: m.Time, Seq: m.Seq}, false, ""
}

// needsIDs says of an action that it is of no use without chat and thread.
func needsIDs(action string) bool {
	switch action {
	case livechat.IncomingChat, livechat.IncomingEvent, livechat.ChatDeactivated, livechat.ThreadTagged, livechat.ThreadUntagged:
		return true
	}
	return strings.HasPrefix(action, "event_")
}

// lacksEvent says of a webhook about one event that the event cannot be told
// from others: what it says would be lost without a word.
func lacksEvent(action string, p livechat.Payload) bool {
	switch action {
	case livechat.IncomingEvent, livechat.EventUpdated:
		return p.Event == nil || p.Event.ID == ""
	case livechat.EventDeleted, livechat.EventPropertiesUpdated, livechat.EventPropertiesDeleted:
		return p.EventID == ""
	}
	return false
}

// webhooks reads those on a subject, leaving out what accumulate has put into
// AUTOTAG_DEAD.
func (l *Log) webhooks(ctx context.Context, filter string, reach uint64) ([]tagging.Webhook, error) {
	msgs, err := stream.Read(ctx, l.nc, stream.ReadOptions{Stream: stream.Events, Filter: filter, Reach: reach})
	if err != nil {
		return nil, err
	}
	all := make([]tagging.Webhook, 0, len(msgs))
	for _, m := range msgs {
		if w, skip, reason := webhook(m); !skip && reason == "" {
			all = append(all, w)
		}
	}
	return all, nil
}

// Thread reads every webhook that names the thread, or its chat and no thread,
// in the order of the stream.
func (l *Log) Thread(ctx context.Context, k transcript.Key, reach uint64) ([]tagging.Webhook, error) {
	own, err := l.webhooks(ctx, stream.ThreadSubject(k), reach)
	if err != nil {
		return nil, err
	}
	wide, err := l.webhooks(ctx, stream.ChatWideSubject(k.Org, k.Chat), reach)
	if err != nil {
		return nil, err
	}
	all := append(own, wide...)
	slices.SortFunc(all, func(a, b tagging.Webhook) int { return cmp.Compare(a.Seq, b.Seq) })
	return all, nil
}

// Starts reads the incoming_chat of every thread of the chat, none that was
// acknowledged before the call missing: the caller has no sequence to reach,
// so the stream's leader is asked for it.
func (l *Log) Starts(ctx context.Context, org, chat string) ([]tagging.Webhook, error) {
	return l.upToDate(ctx, stream.ChatStartsSubject(org, chat))
}

// TagEvents reads the taggings and untaggings of the thread in the order in
// which they were stored.
func (l *Log) TagEvents(ctx context.Context, k transcript.Key) ([]transcript.TagEvent, error) {
	var events []transcript.TagEvent
	for _, action := range []string{livechat.ThreadTagged, livechat.ThreadUntagged} {
		webhooks, err := l.upToDate(ctx, stream.EventSubject(k, action))
		if err != nil {
			return nil, err
		}
		for _, w := range webhooks {
			if w.Payload.Tag != "" {
				events = append(events, transcript.TagEvent{At: w.At, Tag: w.Payload.Tag, Untag: action == livechat.ThreadUntagged})
			}
		}
	}
	slices.SortStableFunc(events, func(a, b transcript.TagEvent) int { return a.At.Compare(b.At) })
	return events, nil
}

func (l *Log) upToDate(ctx context.Context, subject string) ([]tagging.Webhook, error) {
	last, found, err := stream.Last(ctx, l.nc, stream.Events, subject)
	if err != nil || !found {
		return nil, err
	}
	return l.webhooks(ctx, subject, last.Seq)
}

// Records reads the thread's newest decision and all its outcomes. Reading the
// decision first and again after newer outcomes makes sure that no decision is
// missed that is older than the newest outcome: one that is newer makes the
// caller's next record fail.
func (l *Log) Records(ctx context.Context, k transcript.Key) (tagging.Records, error) {
	for {
		before, found, err := stream.Last(ctx, l.nc, stream.Decisions, stream.DecisionSubject(k))
		if err != nil {
			return tagging.Records{}, err
		}
		r, err := l.outcomes(ctx, k)
		if err != nil {
			return tagging.Records{}, err
		}
		if r.Last > before.Seq {
			after, _, err := stream.Last(ctx, l.nc, stream.Decisions, stream.DecisionSubject(k))
			if err != nil {
				return tagging.Records{}, err
			}
			if after.Seq != before.Seq {
				continue
			}
		}
		if !found {
			return r, nil
		}
		d := tagging.StoredRecord{Seq: before.Seq, At: before.Time}
		if err := json.Unmarshal(before.Data, &d.Record); err != nil {
			return tagging.Records{}, fmt.Errorf("decision %d cannot be read", before.Seq)
		}
		r.Decision, r.Last = &d, max(r.Last, before.Seq)
		return r, nil
	}
}

func (l *Log) outcomes(ctx context.Context, k transcript.Key) (tagging.Records, error) {
	var r tagging.Records
	last, found, err := stream.Last(ctx, l.nc, stream.Decisions, stream.OutcomeSubject(k))
	if err != nil || !found {
		return r, err
	}
	msgs, err := stream.Read(ctx, l.nc, stream.ReadOptions{Stream: stream.Decisions, Filter: stream.OutcomeSubject(k), Reach: last.Seq})
	if err != nil {
		return r, err
	}
	for _, m := range msgs {
		o := tagging.StoredOutcome{Seq: m.Seq, At: m.Time}
		if err := json.Unmarshal(m.Data, &o.Outcome); err != nil {
			return r, fmt.Errorf("outcome %d cannot be read", m.Seq)
		}
		r.Outcomes = append(r.Outcomes, o)
		r.Last = m.Seq
	}
	return r, nil
}

// Decide appends a decision.
func (l *Log) Decide(ctx context.Context, k transcript.Key, r decision.Record, expect uint64) (uint64, error) {
	return l.record(ctx, k, stream.DecisionSubject(k), r, expect)
}

// Outcome appends an outcome.
func (l *Log) Outcome(ctx context.Context, k transcript.Key, o decision.Outcome, expect uint64) (uint64, error) {
	return l.record(ctx, k, stream.OutcomeSubject(k), o, expect)
}

func (l *Log) record(ctx context.Context, k transcript.Key, subject string, record any, expect uint64) (uint64, error) {
	data, err := json.Marshal(record)
	if err != nil {
		return 0, err
	}
	// The id is this call's alone: a record of the same content that somebody
	// else stored is somebody else's.
	seq, err := stream.PublishExpecting(ctx, l.js, subject, data, stream.RecordsSubject(k), expect, rand.Text())
	if errors.Is(err, stream.ErrConflict) {
		return 0, tagging.ErrConflict
	}
	return seq, err
}

// Arm sets threads' timers.
func (l *Log) Arm(ctx context.Context, timers []tagging.Timer) []error {
	all := make([]stream.Timer, len(timers))
	for i, t := range timers {
		all[i] = stream.Timer{Key: t.Key, At: t.At, Seq: t.Reach}
	}
	return stream.ArmAll(ctx, l.js, all)
}

// Dead puts a call into AUTOTAG_DEAD; it holds no text of anybody.
func (l *Log) Dead(ctx context.Context, stage string, k transcript.Key, reason string, call decision.Call) error {
	data, err := json.Marshal(call)
	if err != nil {
		return err
	}
	return stream.DeadLetter(ctx, l.js, stream.DeadMessage{
		Stage: stage, Key: k, Reason: reason, Data: data,
		Subject: stream.DecisionSubject(k), Attempts: uint64(max(call.Attempt, 0)),
		MsgID: strings.Join([]string{stage, k.Org, k.Chat, k.Thread, call.Op, call.Tag, strconv.Itoa(call.Attempt), reason}, ":"),
	})
}
