package tagging

import (
	"context"
	"errors"
	"time"

	"autotag/pkg/chatstore"
	"autotag/pkg/decision"
	"autotag/pkg/livechat"
	"autotag/pkg/rules"
	"autotag/pkg/transcript"
)

// ErrConflict is the answer of Log.Decide and Log.Outcome when the thread's
// records have moved on since they were read.
var ErrConflict = errors.New("the thread's records have changed")

// Clock tells the time. Sleep returns early, with the context's error, when
// the context ends.
type Clock interface {
	Now() time.Time
	Sleep(ctx context.Context, d time.Duration) error
}

// Webhook is one delivery as it lies in LIVECHAT_EVENTS.
type Webhook struct {
	Key     transcript.Key // of its subject; the thread is "_" where it names none
	Action  string
	Payload livechat.Payload
	At      time.Time // when NATS stored it
	Seq     uint64
}

// Timer is when a thread is to be decided.
type Timer struct {
	Key   transcript.Key
	At    time.Time
	Reach uint64 // the stream sequence that Log.Thread must reach then
}

// Records are what AUTOTAG_DECISIONS holds of one thread.
type Records struct {
	Last     uint64 // sequence of the newest record of either kind, 0 for none
	Decision *StoredRecord
	Outcomes []StoredOutcome // oldest first
}

// StoredRecord is the newest decision.
type StoredRecord struct {
	Seq uint64
	At  time.Time
	decision.Record
}

// StoredOutcome is an outcome with the place and time NATS gave it.
type StoredOutcome struct {
	Seq uint64
	At  time.Time
	decision.Outcome
}

// Log is the part of NATS that deciding and applying use.
type Log interface {
	// Thread reads every webhook that names the thread, or its chat and no
	// thread. It fails unless it has reached the stream sequence reach.
	Thread(ctx context.Context, k transcript.Key, reach uint64) ([]Webhook, error)
	// Starts reads the incoming_chat of every thread of the chat.
	Starts(ctx context.Context, org, chat string) ([]Webhook, error)
	// TagEvents reads the thread_tagged and thread_untagged of the thread.
	TagEvents(ctx context.Context, k transcript.Key) ([]transcript.TagEvent, error)
	// Records reads the thread's newest decision and all its outcomes, as
	// they were at one moment.
	Records(ctx context.Context, k transcript.Key) (Records, error)
	// Decide and Outcome append a record, provided that expect is still the
	// newest one's sequence; else ErrConflict.
	Decide(ctx context.Context, k transcript.Key, r decision.Record, expect uint64) (uint64, error)
	Outcome(ctx context.Context, k transcript.Key, o decision.Outcome, expect uint64) (uint64, error)
	// Arm sets threads' timers, each thread's one timer, many at once.
	Arm(ctx context.Context, timers []Timer) []error
	// Dead keeps what no retry can mend.
	Dead(ctx context.Context, stage string, k transcript.Key, reason string, call decision.Call) error
}

// Store is the working memory (Redis). It may forget anything at any time.
type Store interface {
	// Put writes facts once and never changes them, then reads the marks, in
	// one round trip for all.
	Put(ctx context.Context, writes []chatstore.Write) ([]chatstore.Marks, error)
	Get(ctx context.Context, k transcript.Key) (chatstore.Known, error)
	// Rebuild writes a thread's facts and puts the thread under run, which Get
	// gave before the facts were read from the log.
	Rebuild(ctx context.Context, k transcript.Key, facts []transcript.Fact, run string) error
	Decided(ctx context.Context, k transcript.Key, seq uint64) error
}

// API is LiveChat.
type API interface {
	GetChat(ctx context.Context, k transcript.Key) (livechat.Chat, error)
	Tag(ctx context.Context, k transcript.Key, tag string) error
	Untag(ctx context.Context, k transcript.Key, tag string) error
	ListTags(ctx context.Context, org string) ([]livechat.Tag, error)
}

// Limits is what all workers share about an organization's calls.
type Limits interface {
	// Reserve asks for a permit for one call; tag is "" for calls that name none.
	Reserve(ctx context.Context, org, tag string) (chatstore.Permit, error)
	// Refused says that the platform does not know the tag; Accepted that it does.
	Refused(ctx context.Context, org, tag string) error
	Accepted(ctx context.Context, org, tag string) error
	// GapsHarmless says whether gaps in event numbers have lately turned out
	// to hide nothing; Gap says what an answer to a gap brought.
	GapsHarmless(ctx context.Context, org string) (bool, error)
	Gap(ctx context.Context, k transcript.Key, brought bool) error
}

// Rules are the rules in force.
type Rules interface {
	// Current gives the worker's rules and their place in the order in which
	// versions were loaded by any worker.
	Current() (set *rules.Set, order uint64)
	// Order is the place of a version, 0 if it is not known.
	Order(ctx context.Context, version string) (uint64, error)
	// Behind says that the worker met a record of a version loaded after its
	// own, and reports whether it has waited long enough to decide anyway.
	Behind() (decideAnyway bool)
}

// Observer is told what happens, for logs and metrics.
type Observer interface {
	Decided(k transcript.Key, r decision.Record, changed bool)
	Called(k transcript.Key, method, result string)
	Tagged(k transcript.Key, c decision.Call)
	Dead(k transcript.Key, stage, reason string)
	// Paused says that an organization's calls wait: until is zero when they go on.
	Paused(org, reason string, until time.Time)
}
