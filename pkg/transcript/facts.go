package transcript

import (
	"time"
)

// Fact is one thing that is known of a thread. A webhook tells any number of
// facts; a thread's transcript is a function of the set of its facts. The
// field names the fact: two webhooks that tell the same give the same field
// and, but for the time of arrival, the same value.
//
// Facts of events (a hash of their own in Redis): "e|<event id>" the original,
// "u|<event id>|<hash>" an edit, "d|<event id>" a deletion,
// "p|<event id>|<hash>" a change of properties, "c|<event id>|<hash>" a click
// that a postback webhook tells of, "s|<event id>|<unix nanoseconds>" the event
// as get_chat showed it.
//
// Facts of the thread (Meta): "start", "ended", "user|<id>", "groups|<ids>" (up
// to v3.3 also "granted|<ids>" and "revoked|<ids>"), "tags|<hash>" that
// incoming_chat showed, "tag|<unix nanoseconds>|<tag|untag>|<name>", and
// "chat|<unix nanoseconds>", what get_chat told.
//
// <hash> is of what the fact says, without its time of arrival.
type Fact struct {
	Field string
	Meta  bool
	Value []byte // JSON: what the fact says and when it arrived
}

// Marks of a thread's meta hash that the tagger looks at by name.
const (
	FieldStart = "start" // an incoming_chat of the thread, or a get_chat answer, was seen
	FieldEnded = "ended"
)

// Effect says what a webhook can do to the answer for its thread.
type Effect int

const (
	Nothing    Effect = iota // system messages, seen marks, summaries, ...
	Changes                  // may change the answer: text, edits, deletions, properties, users, groups, a start
	Ends                     // is an end of the thread: chat_deactivated, or incoming_chat with an inactive thread
	TagChanges               // thread_tagged, thread_untagged: changes the answer where a rule's unless_tagged names the tag
)

// Reading is what one webhook tells.
type Reading struct {
	Facts  []Fact
	Effect Effect
	// EndedThread is the thread that this webhook names as the one before its
	// own (previous_thread_id), which therefore has ended; "" for none.
	EndedThread string
}

// TagEvent is a thread_tagged or thread_untagged as it was stored in the
// stream, in order of At.
type TagEvent struct {
	At    time.Time // when NATS stored the webhook
	Tag   string
	Untag bool
}
