package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// PublishExpecting stores a record in AUTOTAG_DECISIONS only if the last
// sequence on filter, which may hold wildcards, is still expected (0: nothing
// there yet), and returns the record's sequence. ErrConflict says that it is
// not: read again and decide again. msgID is this call's alone.
//
// An attempt whose answer was lost is tried again with the same id; the server
// then reports a conflict with our own record, not a duplicate, so what has
// been stored since is read back for the record that carries msgID, which
// others may have followed already.
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
	var since []Stored
	if rerr == nil && found && last.Seq > expected {
		since, rerr = readReaching(ctx, js.Conn(), ReadOptions{Stream: Decisions, Filter: filter, From: expected + 1, Reach: last.Seq})
	}
	if rerr != nil {
		return 0, errors.Join(err, rerr)
	}
	for _, m := range since {
		if m.Header.Get(jetstream.MsgIDHeader) == msgID {
			return m.Seq, nil
		}
	}
	return 0, err
}

// ReadUpToDate reads every message on filter that was stored before the call:
// it asks the stream's leader for the last of them and waits a few seconds for
// a replica that has not got it yet.
func ReadUpToDate(ctx context.Context, nc *nats.Conn, stream, filter string) ([]Stored, error) {
	last, found, err := Last(ctx, nc, stream, filter)
	if err != nil || !found {
		return nil, err
	}
	return readReaching(ctx, nc, ReadOptions{Stream: stream, Filter: filter, Reach: last.Seq})
}

// Subjects gives the subjects on filter of which the stream has messages, and
// how many.
func Subjects(ctx context.Context, js jetstream.JetStream, stream, filter string) (map[string]uint64, error) {
	info, err := streamInfo(ctx, js, stream, filter)
	if err != nil {
		return nil, fmt.Errorf("look up the subjects of %s: %w", stream, err)
	}
	return info.State.Subjects, nil
}

// streamInfo asks for a stream's state, with its subjects on filter unless that
// is "".
func streamInfo(ctx context.Context, js jetstream.JetStream, stream, filter string) (*jetstream.StreamInfo, error) {
	s, err := js.Stream(ctx, stream)
	if err == nil && filter == "" {
		return s.CachedInfo(), nil
	}
	if err == nil {
		var info *jetstream.StreamInfo
		if info, err = s.Info(ctx, jetstream.WithSubjectFilter(filter)); err == nil {
			return info, nil
		}
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, nats.ErrNoResponders) {
		err = fmt.Errorf("%w: %w", ErrNoStream, err)
	}
	return nil, err
}

// What Newest reads at once, at most.
const (
	window      = 2000     // messages
	windowBytes = 16 << 20 // in all; NATS carries no message near it
)

// Newest hands every message that the stream held at the call to each, the
// newest first, until each returns false. It holds no more than a window of
// messages at a time.
func Newest(ctx context.Context, js jetstream.JetStream, stream string, each func(Stored) bool) error {
	info, err := streamInfo(ctx, js, stream, "")
	if err != nil {
		return fmt.Errorf("look up %s: %w", stream, err)
	}
	first, size := info.State.FirstSeq, uint64(window)
	for to := info.State.LastSeq; to >= max(first, 1); {
		from := max(first, to-min(to, size)+1)
		msgs, err := readReaching(ctx, js.Conn(), ReadOptions{Stream: stream, Filter: ">", From: from, To: to, Reach: to, MaxBytes: windowBytes})
		if errors.Is(err, ErrTooMuch) && size > 1 {
			size = max(1, size/4)
			continue
		}
		if err != nil {
			return err
		}
		for _, m := range slices.Backward(msgs) {
			if !each(m) {
				return nil
			}
		}
		to = from - 1
	}
	return nil
}

// readReaching is Read that gives a replica some time to get what it lacks.
func readReaching(ctx context.Context, nc *nats.Conn, o ReadOptions) ([]Stored, error) {
	patience, cancel := context.WithTimeout(ctx, pageSilence)
	defer cancel()
	for {
		msgs, err := Read(ctx, nc, o)
		if !errors.Is(err, ErrBehind) {
			return msgs, err
		}
		select {
		case <-patience.Done():
			return nil, err
		case <-time.After(50 * time.Millisecond):
		}
	}
}
