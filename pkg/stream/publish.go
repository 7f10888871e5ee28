package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// attemptTimeout bounds one wait for a PubAck. It is far above what a
	// healthy server needs and still leaves room for several attempts within
	// the time that a webhook's sender waits.
	attemptTimeout = 2 * time.Second
	// callTimeout bounds what a worker spends on one publish; its message is
	// then redelivered.
	callTimeout = 10 * time.Second

	firstPause = 20 * time.Millisecond
	maxPause   = 250 * time.Millisecond
)

// Server error codes that jetstream does not name.
const (
	codeAccountResources jetstream.ErrorCode = 10002
	codeNoSuitablePeers  jetstream.ErrorCode = 10005
	codeInsufficient     jetstream.ErrorCode = 10023
	codeStorage          jetstream.ErrorCode = 10047
	codeMessageTooLarge  jetstream.ErrorCode = 10054

	codeWrongLastSeq      jetstream.ErrorCode = 10071
	codeStoreFailed       jetstream.ErrorCode = 10077
	codeHeaderTooLarge    jetstream.ErrorCode = 10097
	codeDuplicateInFlight jetstream.ErrorCode = 10158
	codeWrongLastSeqConst jetstream.ErrorCode = 10164
)

// Publisher stores webhooks in LIVECHAT_EVENTS. It is safe for any number of
// goroutines; they share nothing but the connection.
type Publisher struct {
	js      jetstream.JetStream
	mend    func(context.Context) error
	mending atomic.Bool
}

// NewPublisher returns a Publisher. provision, which may be nil, is called in
// the background when no stream answers, so that a stream that somebody
// deleted comes back by itself.
func NewPublisher(js jetstream.JetStream, provision func(context.Context) error) *Publisher {
	return &Publisher{js: js, mend: provision}
}

// Publish returns nil once the message is stored, which with sync_interval
// always means fsynced. It tries again with the same id until ctx ends, so
// that an attempt whose answer was lost is stored once; an answer that calls
// it a duplicate is success. What no retry can mend within the time of a
// request is returned at once: ErrFull, ErrTooLarge. The other errors wrap
// ctx's own and the last attempt's, ErrNoStream among them.
func (p *Publisher) Publish(ctx context.Context, subject, msgID string, data []byte, header nats.Header) error {
	m := &nats.Msg{Subject: subject, Data: data, Header: maps.Clone(header)}
	_, err := publish(ctx, p.js, m, func(err error) {
		if errors.Is(err, ErrNoStream) {
			p.provision(ctx)
		}
	}, jetstream.WithMsgID(msgID), jetstream.WithExpectStream(Events))
	return err
}

func (p *Publisher) provision(ctx context.Context) {
	if p.mend == nil || !p.mending.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer p.mending.Store(false)
		// The next caller profits too: this one's end does not stop it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		// The loop that called sees whether it helped.
		_ = p.mend(ctx)
	}()
}

// publish is the one publishing loop: attempts with the same message until one
// is answered for good or ctx ends. failed, which may be nil, sees each
// attempt's error.
func publish(ctx context.Context, js jetstream.JetStream, m *nats.Msg, failed func(error), opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	opts = append(opts, jetstream.WithRetryAttempts(0))
	pause := firstPause
	for {
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		ack, err := js.PublishMsg(attempt, m, opts...)
		cancel()
		if err == nil {
			return ack, nil
		}
		err, final := classify(err)
		if final {
			return nil, fmt.Errorf("publish: %w", err)
		}
		if failed != nil {
			failed(err)
		}
		// Jitter keeps the callers of an outage from coming back in step.
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("publish: %w (last attempt: %w)", context.Cause(ctx), err)
		}
		pause = min(2*pause, maxPause)
	}
}

// classify tells what an attempt's error means and whether another attempt
// with the same message cannot fare better.
func classify(err error) (meaning error, final bool) {
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: %w", ErrNoStream, err), false
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: %w", ErrTooLarge, err), true
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrBadSubject),
		errors.Is(err, nats.ErrHeadersNotSupported), errors.Is(err, jetstream.ErrInvalidOption):
		return err, true
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return err, false
	}
	switch api.ErrorCode {
	case codeWrongLastSeq, codeWrongLastSeqConst:
		return fmt.Errorf("%w: %w", ErrConflict, err), true
	case codeStoreFailed:
		// The code says only that storing failed, the text why.
		switch {
		case strings.Contains(api.Description, "message size exceeds"):
			return fmt.Errorf("%w: %w", ErrTooLarge, err), true
		case strings.Contains(api.Description, "maximum"):
			return fmt.Errorf("%w: %w", ErrFull, err), true
		}
		return err, false
	case codeAccountResources, codeInsufficient, codeStorage:
		return fmt.Errorf("%w: %w", ErrFull, err), true
	case codeMessageTooLarge, codeHeaderTooLarge:
		return fmt.Errorf("%w: %w", ErrTooLarge, err), true
	case codeDuplicateInFlight:
		return err, false
	}
	return err, api.Code == 400
}

// bounded is ctx with the time that a worker spends on one call at most.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callTimeout)
}
