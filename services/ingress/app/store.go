package app

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"autotag/pkg/stream"
	"autotag/pkg/transcript"
)

// lookLimit bounds the look for a stream, which is only worth a part of the
// time that there is for storing.
const lookLimit = 2 * time.Second

// store keeps webhooks in NATS and remembers how that went last.
type store struct {
	publisher *stream.Publisher
	js        jetstream.JetStream
	provision func(context.Context) error
	last      atomic.Pointer[failure] // nil after a success
}

type failure struct {
	err error
	at  time.Time
}

func newStore(js jetstream.JetStream, provision func(context.Context) error) *store {
	return &store{publisher: stream.NewPublisher(js, provision), js: js, provision: provision}
}

// Publish stores a webhook in LIVECHAT_EVENTS.
func (s *store) Publish(ctx context.Context, subject, msgID string, data []byte) error {
	if err := s.connected(ctx); err != nil {
		return s.note(err)
	}
	return s.note(s.publisher.Publish(ctx, subject, msgID, data, nil))
}

// DeadLetter stores a webhook in AUTOTAG_DEAD, which it brings back if somebody
// has deleted it.
func (s *store) DeadLetter(ctx context.Context, key transcript.Key, reason, msgID string, data []byte) error {
	if err := s.connected(ctx); err != nil {
		return s.note(err)
	}
	look, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	if _, err := s.js.Stream(look, stream.Dead); errors.Is(err, jetstream.ErrStreamNotFound) {
		_ = s.provision(ctx) // storing sees whether it helped
	}
	return s.note(stream.DeadLetter(ctx, s.js, stream.DeadMessage{
		Stage: stream.StageIngress, Key: key, Reason: reason, Data: data, HasText: true, MsgID: msgID,
	}))
}

// connected waits for a connection. The NATS client refuses to publish before
// its first one, without a try.
func (s *store) connected(ctx context.Context) error {
	nc := s.js.Conn()
	if nc.IsConnected() {
		return nil
	}
	changed := nc.StatusChanged(nats.CONNECTED)
	defer nc.RemoveStatusListener(changed)
	if nc.IsConnected() {
		return nil
	}
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for NATS: %w", context.Cause(ctx))
	}
}

func (s *store) note(err error) error {
	switch {
	case errors.Is(err, stream.ErrTooLarge):
		// That is about one webhook, not about all of them.
	case err != nil:
		s.last.Store(&failure{err, time.Now()})
	case s.last.Load() != nil:
		s.last.Store(nil)
	}
	return err
}

// lastFailure returns how long ago the newest attempt failed, and why; nil if it
// went well.
func (s *store) lastFailure() (age time.Duration, err error) {
	f := s.last.Load()
	if f == nil {
		return 0, nil
	}
	return time.Since(f.at), f.err
}
