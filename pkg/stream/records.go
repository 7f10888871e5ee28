package stream

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// PublishExpecting stores a record in AUTOTAG_DECISIONS only if the last sequence on filter, which
// may hold wildcards, is still expected (0: nothing there yet), and returns
// the record's sequence. ErrConflict says that it is not: read again and
// decide again.
//
// An attempt whose answer was lost is tried again with the same id; the server
// then reports a conflict with our own record, not a duplicate, so the last
// record is read back and, when it carries msgID, is taken as this call's.
func PublishExpecting(ctx context.Context, js jetstream.JetStream, subject string, data []byte, filter string, expected uint64, msgID string) (seq uint64, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	ack, err := publish(ctx, js, &nats.Msg{Subject: subject, Data: data}, nil,
		jetstream.WithMsgID(msgID), jetstream.WithExpectStream(Decisions),
		jetstream.WithExpectLastSequenceForSubject(expected, filter))
	if err == nil {
		return ack.Sequence, nil
	}
	if !errors.Is(err, ErrConflict) {
		return 0, err
	}
	last, found, rerr := Last(ctx, js.Conn(), Decisions, filter)
	if rerr != nil {
		return 0, errors.Join(err, rerr)
	}
	if found && last.Subject == subject && last.Header.Get(jetstream.MsgIDHeader) == msgID {
		return last.Seq, nil
	}
	return 0, err
}
