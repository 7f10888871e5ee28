package stream

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"autotag/pkg/transcript"
)

// Headers of a dead letter, beside ReasonHeader.
const (
	FirstSeenHeader = "Autotag-First-Seen" // when it was stored first, RFC 3339
	AttemptsHeader  = "Autotag-Attempts"   // deliveries so far
	SubjectHeader   = "Autotag-Subject"    // the subject it came from, empty for a webhook that never had one
)

// TextTTL is how long AUTOTAG_DEAD keeps what holds customers' text.
const TextTTL = 7 * 24 * time.Hour

const maxReason = 200

// DeadMessage is a message for AUTOTAG_DEAD.
type DeadMessage struct {
	Stage string // one of the Stage constants
	// Key is the thread as far as it is known; a part that cannot be a subject
	// token becomes None.
	Key transcript.Key
	// Reason is a short fixed phrase, never text from outside.
	Reason    string
	Data      []byte
	HasText   bool      // Data may hold customers' text: kept TextTTL only
	Subject   string    // where it came from, if it had a subject
	FirstSeen time.Time // zero for now
	Attempts  uint64    // deliveries so far
	// MsgID makes a repeated call store once within the stream's duplicate
	// window; empty for none.
	MsgID string
}

// DeadLetter stores what no retry can mend and returns once it is stored. Only
// then may the original be given up. It tries for 10 s or until ctx ends.
func DeadLetter(ctx context.Context, js jetstream.JetStream, d DeadMessage) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for _, p := range []*string{&d.Key.Org, &d.Key.Chat, &d.Key.Thread} {
		if _, ok := Token(*p); !ok {
			*p = None
		}
	}
	if d.FirstSeen.IsZero() {
		d.FirstSeen = time.Now()
	}
	m := &nats.Msg{Subject: DeadSubject(d.Stage, d.Key), Data: d.Data, Header: nats.Header{
		ReasonHeader:    {headerValue(d.Reason)},
		FirstSeenHeader: {d.FirstSeen.UTC().Format(time.RFC3339Nano)},
		AttemptsHeader:  {strconv.FormatUint(d.Attempts, 10)},
	}}
	if d.Subject != "" {
		m.Header.Set(SubjectHeader, headerValue(d.Subject))
	}
	opts := []jetstream.PublishOpt{jetstream.WithExpectStream(Dead)}
	if d.HasText {
		opts = append(opts, jetstream.WithMsgTTL(TextTTL))
	}
	if d.MsgID != "" {
		opts = append(opts, jetstream.WithMsgID(d.MsgID))
	}
	if _, err := publish(ctx, js, m, nil, opts...); err != nil {
		return fmt.Errorf("store dead letter: %w", err)
	}
	return nil
}

// headerValue makes s fit for a header line.
func headerValue(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "")
	}
	return strings.TrimSpace(s)
}
