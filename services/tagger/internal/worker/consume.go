package worker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"autotag/pkg/stream"
	"autotag/services/tagger/internal/tagging"
)

const (
	accumulateWorkers = 2
	accumulateBatch   = 128
	decideWorkers     = 4
	// failedPause slows down a worker whose whole batch failed: while Redis is
	// away the backlog need not be fetched over and over.
	failedPause = time.Second
	pendingPoll = 10 * time.Second
)

// Loops are the tagger's consumers.
type Loops struct {
	Core     *tagging.Core
	JS       jetstream.JetStream
	Observer *Observer
	Log      *zap.Logger
	// Provision creates what is missing of streams and consumers.
	Provision func(context.Context) error
	// Concurrency is how many threads are applied at once (API_CONCURRENCY).
	Concurrency int
	// Drain is how long handlers may go on at a stop.
	Drain time.Duration
}

// Run consumes until ctx ends, and returns when the running handlers have.
func (l *Loops) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { l.accumulate(ctx) })
	wg.Go(func() { l.decide(ctx) })
	slots := make(chan struct{}, max(l.Concurrency, 1))
	wg.Go(func() { l.apply(ctx, slots, stream.Decisions, stream.Apply) })
	wg.Go(func() { l.apply(ctx, slots, stream.Timers, stream.Retry) })
	wg.Go(func() { l.measure(ctx) })
	wg.Wait()
}

func (l *Loops) options(streamName, durable, stage string, workers int) stream.ConsumeOptions {
	return stream.ConsumeOptions{
		Stream: streamName, Durable: durable, Stage: stage, Workers: workers,
		Provision: l.Provision, Dead: l.Observer.deadLetter, Drain: l.Drain, Log: l.Log,
	}
}

func (l *Loops) accumulate(ctx context.Context) {
	o := l.options(stream.Events, stream.Accumulate, stream.StageAccumulate, accumulateWorkers)
	o.Batch, o.HasText = accumulateBatch, true
	stream.ConsumeBatch(ctx, l.JS, o, func(work context.Context, ms []stream.Msg) []error {
		errs, failed := l.batch(work, ms)
		if failed {
			// An error only says that the stop has come.
			_ = Clock{}.Sleep(ctx, failedPause)
		}
		return errs
	})
}

// batch hands webhooks to the core; failed says that not one of them could be
// taken.
func (l *Loops) batch(ctx context.Context, ms []stream.Msg) (errs []error, failed bool) {
	errs = make([]error, len(ms))
	var webhooks []tagging.Webhook
	var places []int
	for i, m := range ms {
		w, skip, reason := webhook(m.Stored)
		switch {
		case reason != "":
			errs[i] = stream.Permanent(reason, nil)
		case !skip:
			webhooks, places = append(webhooks, w), append(places, i)
		}
	}
	if len(webhooks) == 0 {
		return errs, false
	}
	failed = true
	for j, err := range l.Core.Accumulate(ctx, webhooks) {
		errs[places[j]] = answer(err)
		failed = failed && err != nil
	}
	return errs, failed
}

func (l *Loops) decide(ctx context.Context) {
	o := l.options(stream.Timers, stream.Decide, stream.StageDecide, decideWorkers)
	o.Park = func(ctx context.Context, m stream.Msg, at time.Time) error {
		k, _ := m.Key() // the handler has seen it
		return stream.Arm(ctx, l.JS, k, at, reach(m))
	}
	stream.Consume(ctx, l.JS, o, func(ctx context.Context, m stream.Msg) error {
		k, ok := m.Key()
		if !ok {
			return stream.Permanent(reasonSubject, nil)
		}
		return answer(l.Core.Decide(ctx, k, tagging.Due{At: m.Time, Reach: reach(m)}))
	})
}

// reach is the sequence that a timer says the thread's log must reach.
func reach(m stream.Msg) uint64 {
	seq, err := strconv.ParseUint(m.Header.Get(stream.SeqHeader), 10, 64)
	if err != nil {
		return 0
	}
	return seq
}

// apply makes LiveChat agree with decisions, new or parked. slots bounds all
// that do so.
func (l *Loops) apply(loop context.Context, slots chan struct{}, streamName, durable string) {
	o := l.options(streamName, durable, stream.StageApply, cap(slots))
	o.Park = func(ctx context.Context, m stream.Msg, at time.Time) error {
		k, _ := m.Key() // the handler has seen it
		return stream.Park(ctx, l.JS, k, at)
	}
	stream.Consume(loop, l.JS, o, func(ctx context.Context, m stream.Msg) error {
		k, ok := m.Key()
		if !ok {
			return stream.Permanent(reasonSubject, nil)
		}
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		case <-loop.Done():
			return loop.Err()
		}
		return answer(l.Core.Apply(ctx, k))
	})
}

// answer turns the core's into the loop's.
func answer(err error) error {
	// A thread does not shrink before its webhooks age out.
	if errors.Is(err, stream.ErrTooMuch) {
		return stream.Permanent(reasonTooLarge, err)
	}
	var later *tagging.Later
	if errors.As(err, &later) {
		return stream.RetryAfter(later.After, err)
	}
	return err
}

// measure keeps the metric of what waits for the consumers.
func (l *Loops) measure(ctx context.Context) {
	t := time.NewTicker(pendingPoll)
	defer t.Stop()
	for {
		limit, cancel := context.WithTimeout(ctx, pendingPoll)
		pending, err := stream.Pending(limit, l.JS)
		cancel()
		if err != nil && ctx.Err() == nil {
			l.Log.Debug("cannot measure the consumers", zap.Error(fmt.Errorf("pending: %w", err)))
		}
		l.Observer.metrics.pending.Reset() // better none than an old one
		for consumer, n := range pending {
			l.Observer.metrics.pending.WithLabelValues(consumer).Set(float64(n))
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}
