// Package stream is everything Autotag does with NATS JetStream: names,
// provisioning, publishing, reading a thread's log, and the consume loop with
// the one place that turns a handler's answer into an acknowledgement.
package stream

import "autotag/pkg/transcript"

// Streams.
const (
	Events    = "LIVECHAT_EVENTS"
	Timers    = "AUTOTAG_TIMERS"
	Decisions = "AUTOTAG_DECISIONS"
	Dead      = "AUTOTAG_DEAD"
)

// KV buckets.
const (
	StateBucket = "AUTOTAG_STATE" // leases, sweep marks
	RulesBucket = "AUTOTAG_RULES" // rules files by hash, in load order
)

// Durable consumers.
const (
	Accumulate = "accumulate" // LIVECHAT_EVENTS
	Decide     = "decide"     // AUTOTAG_TIMERS, fired timers
	Apply      = "apply"      // AUTOTAG_DECISIONS, decisions
	Retry      = "retry"      // AUTOTAG_TIMERS, parked calls that are due
)

// Stages of a dead letter.
const (
	StageIngress    = "ingress"
	StageAccumulate = "accumulate"
	StageDecide     = "decide"
	StageApply      = "apply"
)

// Headers.
const (
	ReasonHeader = "Autotag-Reason" // why a message is in AUTOTAG_DEAD
	// SeqHeader carries, on timers, the stream sequence in LIVECHAT_EVENTS
	// that a reading of the thread must reach.
	SeqHeader = "Autotag-Seq"
)

// None is the token of an id that an action does not have.
const None = "_"

// EventSubject is where a webhook lies.
func EventSubject(k transcript.Key, action string) string {
	return "livechat." + path(k) + "." + action
}

// ThreadSubject is the filter of everything that names the thread.
func ThreadSubject(k transcript.Key) string { return "livechat." + path(k) + ".>" }

// ChatWideSubject is the filter of the webhooks that name the chat and no thread.
func ChatWideSubject(org, chat string) string { return "livechat." + org + "." + chat + "._.>" }

// ChatStartsSubject is the filter of the incoming_chat of every thread of a chat.
func ChatStartsSubject(org, chat string) string {
	return "livechat." + org + "." + chat + ".*.incoming_chat"
}

// TimerSubject holds the thread's one schedule; it fires to DueSubject.
func TimerSubject(k transcript.Key) string { return "autotag.timer." + path(k) }
func DueSubject(k transcript.Key) string   { return "autotag.due." + path(k) }

// RetrySubject holds the schedule of a thread's parked calls; it fires to
// RetryDueSubject.
func RetrySubject(k transcript.Key) string    { return "autotag.retry." + path(k) }
func RetryDueSubject(k transcript.Key) string { return "autotag.retry-due." + path(k) }

func DecisionSubject(k transcript.Key) string { return "autotag.decision." + path(k) }
func OutcomeSubject(k transcript.Key) string  { return "autotag.outcome." + path(k) }

// RecordsSubject is the filter of a thread's decisions and outcomes together:
// the subject whose last sequence compare and set expects.
func RecordsSubject(k transcript.Key) string { return "autotag.*." + path(k) }

func DeadSubject(stage string, k transcript.Key) string {
	return "autotag.dead." + stage + "." + path(k)
}

func path(k transcript.Key) string { return k.Org + "." + k.Chat + "." + k.Thread }
