package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	"autotag/pkg/testkit/natstest"
	"autotag/pkg/transcript"
)

func events(t *testing.T) ConsumeOptions {
	return ConsumeOptions{Stream: Events, Durable: Accumulate, Stage: StageAccumulate, HasText: true, Log: zaptest.NewLogger(t)}
}

// start runs a consume loop until the returned function is called.
func start(t *testing.T, loop func(context.Context)) (stop func()) {
	t.Helper()
	run, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); loop(run) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func publishEvents(t *testing.T, js jetstream.JetStream, n int) {
	t.Helper()
	p := NewPublisher(js, nil)
	for i := range n {
		k := transcript.Key{Org: "o", Chat: "c", Thread: fmt.Sprintf("T%d", i)}
		if err := p.Publish(ctx(t), EventSubject(k, "x"), fmt.Sprint("id", i), []byte(fmt.Sprint(i)), nil); err != nil {
			t.Fatal(err)
		}
	}
}

// settled tells whether a consumer has nothing left.
func settled(t *testing.T, js jetstream.JetStream, durable string) func() bool {
	return func() bool {
		p, err := Pending(ctx(t), js)
		return err == nil && p[durable] == 0
	}
}

func TestConsumeEachAnswer(t *testing.T) {
	t.Parallel()
	_, nc, js := setup(t)
	publishEvents(t, js, 7)
	var mu sync.Mutex
	calls := map[string][]time.Time{}
	delivered := map[string]uint64{} // as the last call was told
	var parked []time.Time
	var dead []string
	o := events(t)
	o.Workers = 3
	o.Park = func(_ context.Context, m Msg, at time.Time) error {
		mu.Lock()
		defer mu.Unlock()
		parked = append(parked, at)
		if len(parked) == 1 && string(m.Data) != "4" {
			t.Errorf("parked message %s", m.Data)
		}
		return nil
	}
	o.Dead = func(stage, reason string) {
		mu.Lock()
		defer mu.Unlock()
		dead = append(dead, stage+" "+reason)
	}
	started := time.Now()
	start(t, func(ctx context.Context) {
		Consume(ctx, js, o, func(_ context.Context, m Msg) error {
			mu.Lock()
			calls[string(m.Data)] = append(calls[string(m.Data)], time.Now())
			n := len(calls[string(m.Data)])
			last := delivered[string(m.Data)]
			delivered[string(m.Data)] = m.Delivered
			mu.Unlock()
			if m.Delivered <= last {
				t.Errorf("message %s: delivery %d after %d", m.Data, m.Delivered, last)
			}
			if k, ok := m.Key(); !ok || k.Thread != "T"+string(m.Data) {
				t.Errorf("message %s has key %v", m.Data, k)
			}
			switch string(m.Data) {
			case "1":
				return fmt.Errorf("wrapped: %w", Permanent("no use", errors.New("secret text")))
			case "2":
				if n < 3 {
					return errors.New("once more")
				}
			case "3":
				if n < 2 {
					return RetryAfter(700*time.Millisecond, nil)
				}
			case "4":
				return RetryAfter(time.Hour, errors.New("later"))
			case "5":
				panic("customer's text")
			case "6":
				if n < 2 {
					panic("once")
				}
			}
			return nil
		})
	})
	eventually(t, "all is answered", settled(t, js, Accumulate))
	mu.Lock()
	defer mu.Unlock()
	for data, want := range map[string]int{"0": 1, "1": 1, "2": 3, "3": 2, "4": 1, "6": 2} {
		if got := len(calls[data]); got != want {
			t.Errorf("message %s was handled %d times, want %d", data, got, want)
		}
	}
	// A delivery may be lost on its way when the machine is busy, and counts.
	if n := delivered["5"]; n < panicLimit {
		t.Errorf("buried after %d deliveries", n)
	}
	if d := calls["3"][1].Sub(calls["3"][0]); d < 650*time.Millisecond {
		t.Errorf("retried after %v", d)
	}
	if len(parked) != 1 || parked[0].Before(started.Add(time.Hour)) || parked[0].After(time.Now().Add(time.Hour)) {
		t.Errorf("parked %v", parked)
	}
	slices.Sort(dead)
	if want := []string{"accumulate handler panic", "accumulate no use"}; !slices.Equal(dead, want) {
		t.Errorf("dead letters %v", dead)
	}
	letters, err := ReadAll(ctx(t), nc, Dead, "autotag.dead.>", 0)
	if err != nil || len(letters) != 2 {
		t.Fatalf("%d dead letters, %v", len(letters), err)
	}
	for _, l := range letters {
		data := string(l.Data)
		k := transcript.Key{Org: "o", Chat: "c", Thread: "T" + data}
		if l.Subject != DeadSubject(StageAccumulate, k) || l.Header.Get("Nats-TTL") == "" || l.Header.Get(SubjectHeader) != EventSubject(k, "x") {
			t.Errorf("%+v", l)
		}
	}
}

func TestConsumeLogsNoPanicText(t *testing.T) {
	t.Parallel()
	_, _, js := setup(t)
	publishEvents(t, js, 1)
	core, logs := observer.New(zap.DebugLevel)
	o := events(t)
	o.Log = zap.New(core)
	start(t, func(ctx context.Context) {
		Consume(ctx, js, o, func(context.Context, Msg) error { panicDeep(); return nil })
	})
	eventually(t, "panics", func() bool { return logs.FilterMessage("handler panicked").Len() > 0 })
	for _, e := range logs.All() {
		for k, v := range e.ContextMap() {
			if strings.Contains(fmt.Sprint(v), "customer") {
				t.Errorf("%s: %v", k, v)
			}
		}
	}
	if where := fmt.Sprint(logs.FilterMessage("handler panicked").All()[0].ContextMap()["where"]); !strings.Contains(where, "panicDeep") {
		t.Errorf("where is %q", where)
	}
}

func panicDeep() {
	var m map[string]int
	_ = "customer"
	//lint:ignore SA5000 the panic is what is tested
	m["x"] = 1
}

func TestConsumeBatch(t *testing.T) {
	t.Parallel()
	_, nc, js := setup(t)
	const n = 300
	publishEvents(t, js, n)
	var mu sync.Mutex
	seen := map[string]int{}
	largest := 0
	o := events(t)
	o.Workers, o.Batch = 2, 50
	start(t, func(ctx context.Context) {
		ConsumeBatch(ctx, js, o, func(_ context.Context, ms []Msg) []error {
			mu.Lock()
			defer mu.Unlock()
			largest = max(largest, len(ms))
			errs := make([]error, len(ms))
			for i, m := range ms {
				if string(m.Data) == "77" {
					panic("poison")
				}
				seen[string(m.Data)]++
				if string(m.Data) == "5" {
					errs[i] = Permanent("bad", nil)
				}
			}
			return errs
		})
	})
	eventually(t, "all is answered", settled(t, js, Accumulate))
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != n-1 {
		t.Errorf("%d of %d messages were handled", len(seen), n-1)
	}
	if largest <= pullSlice || largest > 50 {
		t.Errorf("largest batch %d", largest)
	}
	letters, err := ReadAll(ctx(t), nc, Dead, "autotag.dead.>", 0)
	if err != nil || len(letters) != 2 {
		t.Errorf("%d dead letters, %v: want the bad one and the poison", len(letters), err)
	}
}

// What workers hold at once is bounded by bytes, too.
func TestConsumeBatchOfLargeMessages(t *testing.T) {
	t.Parallel()
	_, _, js := setup(t)
	const n = 3 * pullSlice
	fill(t, js, key, n, batchBytes/pullSlice)
	var handled, largest atomic.Int64
	o := events(t)
	o.Batch = n
	start(t, func(ctx context.Context) {
		ConsumeBatch(ctx, js, o, func(_ context.Context, ms []Msg) []error {
			handled.Add(int64(len(ms)))
			largest.Store(max(largest.Load(), int64(len(ms))))
			return make([]error, len(ms))
		})
	})
	eventually(t, "all is answered", settled(t, js, Accumulate))
	// One that was waited for, then a slice, which is more than batchBytes.
	if handled.Load() < n || largest.Load() > 1+pullSlice {
		t.Errorf("%d of %d handled, up to %d at once", handled.Load(), n, largest.Load())
	}
}

func TestConsumeBatchWrongAnswer(t *testing.T) {
	t.Parallel()
	_, nc, js := setup(t)
	publishEvents(t, js, 1)
	start(t, func(ctx context.Context) {
		ConsumeBatch(ctx, js, events(t), func(context.Context, []Msg) []error { return nil })
	})
	eventually(t, "a handler without an answer is a fault of its own", func() bool {
		letters, err := ReadAll(ctx(t), nc, Dead, "autotag.dead.>", 0)
		return err == nil && len(letters) == 1 && letters[0].Header.Get(ReasonHeader) == ReasonPanic
	})
}

func TestConsumeTakesNoMoreThanItHandles(t *testing.T) {
	t.Parallel()
	_, _, js := setup(t)
	publishEvents(t, js, 20)
	var running, most atomic.Int64
	release := make(chan struct{})
	o := events(t)
	o.Workers = 4
	start(t, func(ctx context.Context) {
		Consume(ctx, js, o, func(context.Context, Msg) error {
			most.Store(max(most.Load(), running.Add(1)))
			<-release
			running.Add(-1)
			return nil
		})
	})
	eventually(t, "all workers work", func() bool { return running.Load() == 4 })
	cons, err := js.Consumer(ctx(t), Events, Accumulate)
	if err != nil {
		t.Fatal(err)
	}
	if n := cons.CachedInfo().NumAckPending; n != 4 {
		t.Errorf("%d messages are taken", n)
	}
	close(release)
	eventually(t, "all is answered", settled(t, js, Accumulate))
	if most.Load() > 4 {
		t.Errorf("%d handlers at once", most.Load())
	}
}

func TestConsumeStop(t *testing.T) {
	t.Parallel()
	_, _, js := setup(t)
	publishEvents(t, js, 2)
	entered := make(chan struct{}, 2)
	release := make(chan struct{})
	var handlerErr atomic.Value
	run, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	o := events(t)
	go func() {
		defer close(done)
		Consume(run, js, o, func(ctx context.Context, m Msg) error {
			entered <- struct{}{}
			<-release
			handlerErr.Store(fmt.Sprint(ctx.Err()))
			return nil
		})
	}()
	<-entered
	cancel()
	select {
	case <-done:
		t.Error("returned while a handler runs")
	case <-time.After(100 * time.Millisecond):
	}
	close(release)
	<-done
	if got := handlerErr.Load(); got != "<nil>" {
		t.Errorf("the handler's context had ended: %v", got)
	}
	if len(entered) != 0 {
		t.Error("took another message after the end")
	}
	eventually(t, "only the one that was not taken is left", func() bool {
		p, err := Pending(ctx(t), js)
		return err == nil && p[Accumulate] == 1
	})
}

func TestConsumeDrainEnds(t *testing.T) {
	t.Parallel()
	_, _, js := setup(t)
	publishEvents(t, js, 1)
	const durable = "patient"
	if _, err := js.CreateConsumer(ctx(t), Events, jetstream.ConsumerConfig{Durable: durable, AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Hour}); err != nil {
		t.Fatal(err)
	}
	o := events(t)
	o.Durable, o.Drain = durable, 50*time.Millisecond
	entered := make(chan struct{})
	run, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	var calls atomic.Int64
	go func() {
		defer close(done)
		Consume(run, js, o, func(ctx context.Context, m Msg) error {
			if calls.Add(1) == 1 {
				close(entered)
			}
			<-ctx.Done()
			return ctx.Err()
		})
	}()
	<-entered
	cancel()
	<-done
	// It was given back at once: another worker need not wait for AckWait.
	start(t, func(ctx context.Context) {
		Consume(ctx, js, o, func(context.Context, Msg) error { calls.Add(1); return nil })
	})
	eventually(t, "it comes back", func() bool { return calls.Load() == 2 })
}

// A handler may take longer than the server waits: the message stays its own.
func TestConsumeSlowHandler(t *testing.T) {
	t.Parallel()
	_, nc, js := setup(t)
	publishEvents(t, js, 1)
	const durable = "short"
	const ackWait = 6 * time.Second // long beside what a busy machine holds up
	if _, err := js.CreateConsumer(ctx(t), Events, jetstream.ConsumerConfig{Durable: durable, AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait}); err != nil {
		t.Fatal(err)
	}
	beats, err := nc.SubscribeSync("$JS.ACK." + Events + "." + durable + ".>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	var calls, ended atomic.Int64
	o := events(t)
	o.Durable, o.Workers = durable, 2
	start(t, func(ctx context.Context) {
		Consume(ctx, js, o, func(context.Context, Msg) error {
			calls.Add(1)
			for begin := time.Now(); time.Since(begin) < ackWait*4/3; {
				m, err := beats.NextMsg(patience)
				if err != nil || string(m.Data) != "+WPI" {
					t.Errorf("instead of a sign of life: %v, %v", m, err)
					break
				}
			}
			ended.Add(1)
			return nil
		})
	})
	eventually(t, "handled", func() bool { return ended.Load() > 0 })
	if n := calls.Load(); n != 1 {
		t.Errorf("delivered %d times", n)
	}
}

func TestConsumeRecreatesItsConsumer(t *testing.T) {
	t.Parallel()
	_, _, js := setup(t)
	var provisions atomic.Int64
	var handled sync.Map
	o := events(t)
	o.Workers = 3
	o.Provision = func(ctx context.Context) error {
		provisions.Add(1)
		_, err := Provision(ctx, js, ProvisionOptions{EventsMaxBytes: 1 << 20})
		return err
	}
	start(t, func(ctx context.Context) {
		Consume(ctx, js, o, func(_ context.Context, m Msg) error { handled.Store(string(m.Data), true); return nil })
	})
	has := func(data string) func() bool {
		return func() bool { _, ok := handled.Load(data); return ok }
	}
	p := NewPublisher(js, o.Provision)
	put := func(data string) {
		if err := p.Publish(ctx(t), EventSubject(key, "x"), data, []byte(data), nil); err != nil {
			t.Fatal(err)
		}
	}
	put("a")
	eventually(t, "a", has("a"))
	if err := js.DeleteConsumer(ctx(t), Events, Accumulate); err != nil {
		t.Fatal(err)
	}
	put("b")
	eventually(t, "b, after the consumer was deleted", has("b"))
	if err := js.DeleteStream(ctx(t), Events); err != nil {
		t.Fatal(err)
	}
	put("c")
	eventually(t, "c, after the stream was deleted", has("c"))
	if provisions.Load() == 0 {
		t.Error("nothing was provisioned")
	}
}

// The server is killed and its store wiped while the loop runs.
func TestConsumeThroughCrashes(t *testing.T) {
	t.Parallel()
	s := natstest.Binary(t, "")
	nc, js := connect(t, s.URL)
	eventually(t, "connected", nc.IsConnected)
	prov := func(ctx context.Context) error {
		_, err := Provision(ctx, js, ProvisionOptions{EventsMaxBytes: 1 << 20})
		return err
	}
	if err := prov(ctx(t)); err != nil {
		t.Fatal(err)
	}
	var handled sync.Map
	o := events(t)
	o.Provision, o.Workers, o.Batch = prov, 2, 10
	start(t, func(ctx context.Context) {
		ConsumeBatch(ctx, js, o, func(_ context.Context, ms []Msg) []error {
			for _, m := range ms {
				handled.Store(string(m.Data), true)
			}
			return make([]error, len(ms))
		})
	})
	p := NewPublisher(js, prov)
	for i, fault := range []func(){func() {}, s.Kill, s.Terminate, func() { s.Kill(); wipe(t, s.Dir) }} {
		fault()
		if i > 0 {
			s.Start()
		}
		data := fmt.Sprint(i)
		if err := p.Publish(ctx(t), EventSubject(key, "x"), data, []byte(data), nil); err != nil {
			t.Fatal(err)
		}
		eventually(t, "message "+data, func() bool { _, ok := handled.Load(data); return ok })
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	last := time.Duration(0)
	for n := range uint64(100) {
		d := backoff(n)
		if d < last || d < firstNak || d > maxNak {
			t.Errorf("backoff(%d) = %v after %v", n, d, last)
		}
		last = d
	}
	if last != maxNak {
		t.Errorf("ends at %v", last)
	}
}

func TestAnswersUnwrap(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	for _, err := range []error{Permanent("r", cause), RetryAfter(time.Second, cause)} {
		if !errors.Is(err, cause) || err.Error() == "" {
			t.Errorf("%v", err)
		}
	}
	if Permanent("r", nil).Error() != "r" || RetryAfter(time.Second, nil).Error() == "" {
		t.Error("answers without a cause say nothing")
	}
}

// A frozen worker's message may have been handled and acknowledged by another
// one: to give it back would be lost, and with it what the worker left undone.
func TestAnswerOfALostMessageIsParked(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]error{
		"short retry": RetryAfter(time.Millisecond, nil),
		"failure":     errors.New("no connection"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, js := setup(t)
			publishEvents(t, js, 1)
			cons, err := js.Consumer(ctx(t), Events, Accumulate)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := cons.Next()
			if err != nil {
				t.Fatal(err)
			}
			if err := raw.DoubleAck(ctx(t)); err != nil { // by the other worker
				t.Fatal(err)
			}
			parked := 0
			o := events(t)
			o.Park = func(context.Context, Msg, time.Time) error { parked++; return nil }
			c := &consumption{js: js, o: o}
			c.answer(ctx(t), ctx(t), raw, Msg{Delivered: 1}, answer, false)
			if parked != 1 {
				t.Errorf("parked %d times", parked)
			}
		})
	}
}

// A worker may also be frozen while it waits for messages: one that lay unread
// for long is no more its own than one whose handler was frozen.
func TestMessageThatLayUnreadIsParked(t *testing.T) {
	t.Parallel()
	_, _, js := setup(t)
	publishEvents(t, js, 1)
	cons, err := js.Consumer(ctx(t), Events, Accumulate)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := cons.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.DoubleAck(ctx(t)); err != nil { // by the other worker
		t.Fatal(err)
	}
	parked := 0
	o := events(t)
	o.Park = func(context.Context, Msg, time.Time) error { parked++; return nil }
	c := &consumption{js: js, o: o, ackWait: AckWait, handle: func(context.Context, []Msg) []error {
		return []error{errors.New("no connection")}
	}}
	for _, asked := range []time.Duration{0, idleWait + 2*time.Second, AckWait} {
		c.process(ctx(t), ctx(t), []jetstream.Msg{raw}, time.Now().Add(-asked))
		if want := asked == AckWait; (parked == 1) != want {
			t.Errorf("asked for %s before it came: parked %d times", asked, parked)
		}
	}
}
