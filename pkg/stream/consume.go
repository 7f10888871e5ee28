package stream

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"autotag/pkg/transcript"
)

const (
	// maxNak is the longest that a message waits unacknowledged for its next
	// delivery: it keeps one of the consumer's pending slots meanwhile.
	maxNak   = 10 * time.Second
	firstNak = 100 * time.Millisecond
	// panicLimit is how many deliveries a message gets that makes the handler
	// panic.
	panicLimit = 5
	// idleWait bounds one pull and with it how long a stop takes to be seen.
	idleWait     = time.Second
	requestWait  = 5 * time.Second
	flushWait    = 2 * time.Second
	defaultDrain = 10 * time.Second
	defaultBatch = 64

	// A batch takes no more once it holds batchBytes. One request asks for
	// pullSlice messages, for the client bounds either their number or their
	// bytes (and then makes room for a million), so a batch holds no more than
	// batchBytes and pullSlice messages of the largest size.
	batchBytes = 8 << 20
	pullSlice  = 32
)

// Reasons of dead letters that the loop writes itself.
const ReasonPanic = "handler panic"

// Msg is a delivered message.
type Msg struct {
	Stored
	// Delivered counts the deliveries, this one included. It starts again at 1
	// when the server lost its latest notes in a crash.
	Delivered uint64
}

// Key is the thread that the message's subject names; ok is false for a
// subject that is not ours.
func (m Msg) Key() (k transcript.Key, ok bool) {
	if k, _, ok = ParseEventSubject(m.Subject); ok {
		return k, true
	}
	_, k, ok = ParseSubject(m.Subject)
	return k, ok
}

// Handler handles one message. Its answer decides what becomes of it: nil, an
// error of Permanent or RetryAfter, or any other error (delivered again after
// a growing pause of up to 10 s, for ever).
//
// The context outlives the loop's by ConsumeOptions.Drain.
type Handler func(ctx context.Context, m Msg) error

// BatchHandler handles messages together and answers with one error for each,
// in their order. When it panics, the messages are handed over once more, one
// by one, so that only the one at fault suffers.
type BatchHandler func(ctx context.Context, ms []Msg) []error

type permanentError struct {
	reason string
	err    error
}

func (e *permanentError) Error() string {
	if e.err == nil {
		return e.reason
	}
	return e.reason + ": " + e.err.Error()
}
func (e *permanentError) Unwrap() error { return e.err }

// Permanent is a handler's answer that no retry can mend: the message goes to
// AUTOTAG_DEAD under the reason, a short fixed phrase, and is done. err may be
// nil.
func Permanent(reason string, err error) error { return &permanentError{reason, err} }

type retryError struct {
	after time.Duration
	err   error
}

func (e *retryError) Error() string {
	if e.err == nil {
		return "retry after " + e.after.String()
	}
	return e.err.Error()
}
func (e *retryError) Unwrap() error { return e.err }

// RetryAfter is a handler's answer that asks for the message again after d;
// above 10 s it is parked (ConsumeOptions.Park). err may be nil.
func RetryAfter(d time.Duration, err error) error { return &retryError{d, err} }

// ConsumeOptions says what to consume and how.
type ConsumeOptions struct {
	Stream  string
	Durable string
	// Stage names the step in dead letters.
	Stage string
	// Workers is how many handlers run at once; default 1. A worker pulls only
	// what it handles at once, so nothing waits in a local buffer.
	Workers int
	// Batch is the most messages a BatchHandler gets; default 64. Large ones,
	// of 8 MiB together, make a batch too.
	Batch int
	// HasText says that the messages may hold customers' text, which limits
	// how long their dead letters are kept.
	HasText bool
	// Park stores what makes the message come again at the given time; the
	// message is then done. Without it, a longer retry comes after 10 s.
	Park func(ctx context.Context, m Msg, at time.Time) error
	// Provision is called when the stream or the consumer is missing; it may
	// be nil.
	Provision func(context.Context) error
	// Dead is called after a message became a dead letter; it may be nil.
	Dead func(stage, reason string)
	// Drain is how long handlers may go on after the end; default 10 s.
	Drain time.Duration
	Log   *zap.Logger
}

// Consume runs h for the consumer's messages until ctx ends; no error ends it.
// At the end it takes no more messages, gives back what it holds unhandled, and
// returns when the running handlers have: after Drain their context ends.
//
// Acknowledgements are not waited for: the server notes them late anyway, and
// a message whose acknowledgement is lost comes again, which every handler
// must bear.
func Consume(ctx context.Context, js jetstream.JetStream, o ConsumeOptions, h Handler) {
	o.Batch = 1
	ConsumeBatch(ctx, js, o, func(ctx context.Context, ms []Msg) []error {
		return []error{h(ctx, ms[0])}
	})
}

// ConsumeBatch is Consume for a handler of several messages at once: those
// that are there, up to Batch, without waiting for more.
func ConsumeBatch(ctx context.Context, js jetstream.JetStream, o ConsumeOptions, h BatchHandler) {
	if o.Workers <= 0 {
		o.Workers = 1
	}
	if o.Batch <= 0 {
		o.Batch = defaultBatch
	}
	if o.Drain <= 0 {
		o.Drain = defaultDrain
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	o.Log = o.Log.With(zap.String("consumer", o.Durable))
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(o.Drain)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-work.Done():
		}
	})
	defer stop()
	c := &consumption{js: js, o: o, handle: h}
	var wg sync.WaitGroup
	for range o.Workers {
		wg.Go(func() { c.run(ctx, work) })
	}
	wg.Wait()
	// The last acknowledgements leave before the caller closes the connection.
	_ = js.Conn().FlushTimeout(flushWait)
}

type consumption struct {
	js     jetstream.JetStream
	o      ConsumeOptions
	handle BatchHandler

	mu       sync.Mutex
	consumer jetstream.Consumer
	ackWait  time.Duration // the consumer's

	stuck  atomic.Bool // some worker cannot take messages
	failed throttle
}

// throttle lets one log line a second through: in an outage each of thousands
// of messages fails every few seconds.
type throttle struct {
	mu      sync.Mutex
	last    time.Time
	dropped int
}

// pass tells whether to log now, and how many lines it held back since.
func (t *throttle) pass() (ok bool, dropped int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); now.Sub(t.last) >= time.Second {
		dropped, t.last, t.dropped = t.dropped, now, 0
		return true, dropped
	}
	t.dropped++
	return false, 0
}

// run is one worker: pull, handle, answer, until ctx ends. work is the
// handlers' context.
func (c *consumption) run(ctx, work context.Context) {
	pause := firstNak
	for ctx.Err() == nil {
		asked := time.Now()
		msgs, err := c.pull(ctx)
		if ctx.Err() != nil {
			for _, m := range msgs {
				_ = m.Nak()
			}
			return
		}
		if len(msgs) > 0 {
			c.process(ctx, work, msgs, asked)
		}
		if err == nil {
			pause = firstNak
			if c.stuck.CompareAndSwap(true, false) {
				c.o.Log.Info("taking messages again")
			}
			continue
		}
		if c.stuck.CompareAndSwap(false, true) {
			c.o.Log.Warn("cannot take messages, trying until it works", zap.Error(err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, 2*time.Second)
	}
}

// pull takes what is there, up to Batch, and otherwise waits for one message.
func (c *consumption) pull(ctx context.Context) ([]jetstream.Msg, error) {
	cons, err := c.get(ctx)
	if err != nil {
		return nil, err
	}
	msgs, err := c.fill(cons, nil)
	if err == nil && len(msgs) == 0 {
		// The client waits a second longer than the server, so a message that
		// is sent at the last moment is not lost.
		msgs, err = collect(cons.Fetch(1, jetstream.FetchMaxWait(idleWait)))
		if err == nil && len(msgs) == 1 {
			msgs, err = c.fill(cons, msgs)
		}
	}
	if err != nil {
		c.forget(cons)
	}
	return msgs, err
}

// fill adds to a batch what is there without waiting, until it is full by
// number or bytes. A single message is waited for instead.
func (c *consumption) fill(cons jetstream.Consumer, msgs []jetstream.Msg) ([]jetstream.Msg, error) {
	if c.o.Batch == 1 {
		return msgs, nil
	}
	size := 0
	for _, m := range msgs {
		size += len(m.Data())
	}
	for len(msgs) < c.o.Batch && size < batchBytes {
		asked := min(pullSlice, c.o.Batch-len(msgs))
		more, err := collect(cons.FetchNoWait(asked))
		msgs = append(msgs, more...)
		if err != nil || len(more) < asked {
			return msgs, err
		}
		for _, m := range more {
			size += len(m.Data())
		}
	}
	return msgs, nil
}

func collect(b jetstream.MessageBatch, err error) ([]jetstream.Msg, error) {
	if err != nil {
		return nil, err
	}
	var msgs []jetstream.Msg
	for m := range b.Messages() {
		msgs = append(msgs, m)
	}
	return msgs, b.Error()
}

// get returns the consumer, looked up or made anew after an error.
func (c *consumption) get(ctx context.Context) (jetstream.Consumer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.consumer != nil {
		return c.consumer, nil
	}
	look := func() error {
		ctx, cancel := context.WithTimeout(ctx, requestWait)
		defer cancel()
		var err error
		c.consumer, err = c.js.Consumer(ctx, c.o.Stream, c.o.Durable)
		return err
	}
	err := look()
	if c.o.Provision != nil && (errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound)) {
		c.o.Log.Warn("stream or consumer is missing, creating it", zap.Error(err))
		if err := c.o.Provision(ctx); err != nil {
			return nil, fmt.Errorf("create what is missing: %w", err)
		}
		err = look()
	}
	if err != nil {
		c.consumer = nil
		return nil, fmt.Errorf("look up consumer: %w", err)
	}
	c.ackWait = c.consumer.CachedInfo().Config.AckWait
	return c.consumer, nil
}

func (c *consumption) forget(cons jetstream.Consumer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.consumer == cons {
		c.consumer = nil
	}
}

// process hands messages that were asked for at the given time to the handler
// and answers each.
func (c *consumption) process(ctx, work context.Context, raw []jetstream.Msg, asked time.Time) {
	msgs := make([]Msg, 0, len(raw))
	kept := raw[:0]
	for _, m := range raw {
		meta, err := m.Metadata()
		if err != nil { // not a delivery of a consumer: nothing could answer it
			c.o.Log.Error("message without metadata", zap.Error(err))
			continue
		}
		kept = append(kept, m)
		msgs = append(msgs, Msg{
			Stored:    Stored{m.Subject(), meta.Sequence.Stream, meta.Timestamp, m.Headers(), m.Data()},
			Delivered: meta.NumDelivered,
		})
	}
	raw = kept
	if len(raw) == 0 {
		return
	}
	stop := c.heartbeat(raw, asked)
	errs := c.call(work, msgs)
	ours := stop()
	for i := range msgs {
		c.answer(ctx, work, raw[i], msgs[i], errs[i], ours)
	}
}

// heartbeat keeps the server from delivering the messages again while their
// handler runs. The returned function ends it, and says whether they are still
// ours for certain: a process that was frozen, be it while it waited for them,
// may have lost them to another.
func (c *consumption) heartbeat(raw []jetstream.Msg, asked time.Time) (stop func() (ours bool)) {
	c.mu.Lock()
	ackWait := c.ackWait
	c.mu.Unlock()
	done := make(chan struct{})
	var wg sync.WaitGroup
	last, gap := asked, time.Duration(0)
	beat := func() {
		now := time.Now()
		last, gap = now, max(gap, now.Sub(last))
	}
	wg.Go(func() {
		t := time.NewTicker(max(ackWait/3, 10*time.Millisecond))
		defer t.Stop()
		for {
			select {
			case <-done:
				beat()
				return
			case <-t.C:
				beat()
				for _, m := range raw {
					_ = m.InProgress()
				}
			}
		}
	})
	return func() bool {
		close(done)
		wg.Wait()
		return gap < ackWait*2/3
	}
}

// panicError is a handler's panic. It says where, not with what: the value may
// hold a customer's text.
type panicError struct{ where string }

func (e *panicError) Error() string { return "handler panicked in " + e.where }

// call runs the handler and returns one error per message.
func (c *consumption) call(ctx context.Context, msgs []Msg) []error {
	errs, panicked := c.guard(ctx, msgs)
	if panicked == nil {
		return errs
	}
	errs = make([]error, len(msgs))
	if len(msgs) == 1 {
		errs[0] = panicked
		return errs
	}
	for i := range msgs {
		one, p := c.guard(ctx, msgs[i:i+1])
		if p != nil {
			errs[i] = p
			continue
		}
		errs[i] = one[0]
	}
	return errs
}

func (c *consumption) guard(ctx context.Context, msgs []Msg) (errs []error, panicked error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		_ = recover()
		panicked = &panicError{panicSite()}
	}()
	errs = c.handle(ctx, msgs)
	if len(errs) != len(msgs) {
		panic("one error per message")
	}
	returned = true
	return errs, nil
}

// panicSite names the function that panicked.
func panicSite() string {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	seen := false
	for {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			seen = true
		case seen && len(f.Function) > 8 && f.Function[:8] == "runtime.":
		case seen:
			return f.Function + ":" + strconv.Itoa(f.Line)
		}
		if !more {
			return "an unknown place"
		}
	}
}

// answer is the one place where a handler's answer becomes an acknowledgement.
// What cannot be told the server (the connection is away) is delivered again
// after AckWait.
//
// A message that may not be ours any more is parked instead of given back: its
// new owner may have acknowledged it, and a nak would be lost together with
// what this handler leaves undone.
func (c *consumption) answer(ctx, work context.Context, raw jetstream.Msg, m Msg, err error, ours bool) {
	log := c.o.Log.With(zap.Uint64("seq", m.Seq), zap.Uint64("delivered", m.Delivered))
	var (
		permanent *permanentError
		retry     *retryError
		panicked  *panicError
	)
	if errors.As(err, &panicked) {
		log.Error("handler panicked", zap.String("where", panicked.where))
		if m.Delivered >= panicLimit {
			err = Permanent(ReasonPanic, err)
		}
	}
	if err != nil && !ours && c.o.Park != nil && !errors.As(err, &permanent) && !errors.As(err, &retry) {
		retry = &retryError{backoff(m.Delivered), err}
		err = retry
	}
	switch {
	case err == nil:
		_ = raw.Ack()
	case errors.As(err, &permanent):
		if derr := c.bury(work, m, permanent.reason); derr != nil {
			if ok, dropped := c.failed.pass(); ok {
				log.Error("cannot store dead letter, the message comes again", zap.Error(derr), zap.Int("more_like_it", dropped))
			}
			_ = raw.NakWithDelay(backoff(m.Delivered))
			return
		}
		log.Error("message became a dead letter", zap.String("reason", permanent.reason))
		if c.o.Dead != nil { // first: who sees that nothing is pending finds it counted
			c.o.Dead(c.o.Stage, permanent.reason)
		}
		_ = raw.TermWithReason(permanent.reason)
	case errors.As(err, &retry) && (retry.after <= maxNak && ours || c.o.Park == nil):
		log.Debug("message comes again", zap.Error(err), zap.Duration("after", retry.after))
		_ = raw.NakWithDelay(min(retry.after, maxNak))
	case errors.As(err, &retry):
		if perr := c.o.Park(work, m, time.Now().Add(retry.after)); perr != nil {
			if ok, dropped := c.failed.pass(); ok {
				log.Warn("cannot park message, it comes again", zap.Error(perr), zap.Int("more_like_it", dropped))
			}
			_ = raw.NakWithDelay(maxNak)
			return
		}
		log.Debug("message is parked", zap.Error(err), zap.Duration("after", retry.after))
		_ = raw.Ack()
	case ctx.Err() != nil:
		// Very likely our own stop is the cause: another worker may do better.
		_ = raw.Nak()
	default:
		if ok, dropped := c.failed.pass(); ok {
			log.Warn("message failed, it comes again", zap.Error(err), zap.Int("more_like_it", dropped))
		}
		_ = raw.NakWithDelay(backoff(m.Delivered))
	}
}

func (c *consumption) bury(ctx context.Context, m Msg, reason string) error {
	k, _ := m.Key()
	return DeadLetter(ctx, c.js, DeadMessage{
		Stage: c.o.Stage, Key: k, Reason: reason, Data: m.Data, HasText: c.o.HasText,
		Subject: m.Subject, FirstSeen: m.Time, Attempts: m.Delivered,
		// Sequences alone may be used again after a loss.
		MsgID: fmt.Sprintf("%s:%s:%d:%d", c.o.Stream, c.o.Durable, m.Seq, m.Time.UnixNano()),
	})
}

// backoff is the pause after the n-th delivery failed.
func backoff(n uint64) time.Duration {
	d := firstNak
	for i := uint64(1); i < n && d < maxNak; i++ {
		d *= 2
	}
	return min(d, maxNak)
}

// Pending returns, per consumer, the messages that wait for it or are not yet
// acknowledged. Consumers that could be asked are in the map also when others
// could not.
func Pending(ctx context.Context, js jetstream.JetStream) (map[string]uint64, error) {
	pending := make(map[string]uint64, len(consumers))
	var errs []error
	for _, c := range consumers {
		cons, err := js.Consumer(ctx, c.stream, c.durable)
		if err != nil {
			errs = append(errs, fmt.Errorf("look up consumer %s: %w", c.durable, err))
			continue
		}
		info := cons.CachedInfo()
		pending[c.durable] = info.NumPending + uint64(max(info.NumAckPending, 0))
	}
	return pending, errors.Join(errs...)
}
