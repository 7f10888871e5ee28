package tagging

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"time"

	"autotag/pkg/decision"
	"autotag/pkg/livechat"
	"autotag/pkg/rules"
	"autotag/pkg/transcript"
)

// This file is the world in which the core is run: one goroutine at a time,
// chosen by a seeded scheduler at every effect (every call of a port). Between
// any two effects a worker may crash or freeze; time is virtual.

var epoch = time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC)

const ackWait = 30 * time.Second

// crashed is the panic that ends a crashed worker's task.
type crashed struct{}

// task is one handler call of one worker.
type task struct {
	w      *worker
	resume chan bool // true: crash
	wakeAt time.Time // sleeping until then
	done   bool
	at     string // the effect that it waits before
	msgs   []*message
	thawed bool // was frozen once
	// sent is the call that is under way: the platform may carry it out though
	// its worker is gone.
	sent func()
	// permit is when the newest permit was to be used.
	permit time.Time
}

// worker is a tagger process.
type worker struct {
	id     int
	core   *Core
	tasks  []*task
	frozen time.Time // until then
	set    *rules.Set
	order  uint64
	behind time.Time
	gen    int
}

// message is a message of a queue, redelivered until it is acknowledged.
type message struct {
	queue    string
	key      transcript.Key
	webhook  Webhook
	due      Due
	at       time.Time // may be delivered from then on
	acked    bool
	delivery int
}

type schedule struct {
	at    time.Time
	reach uint64
	queue string
}

type world struct {
	rng     *rand.Rand
	now     time.Time
	faults  bool // until the end of the faulty phase
	cfg     simConfig
	yielded chan struct{}
	workers []*worker
	tasks   []*task

	log       []Webhook
	seq       uint64
	queues    []*message
	schedules map[string]schedule // by queue and key
	records   map[transcript.Key][]any
	recordSeq uint64
	slow      time.Duration // that storing an outcome takes
	dead      []deadLetter

	redis   map[transcript.Key]map[string]transcript.Fact
	written []written
	runs    map[transcript.Key]string
	run     int
	redisUp time.Time

	sets     []*rules.Set
	harmless bool   // gaps in the numbers of events
	gaps     []bool // what answers to gaps brought
	probes   map[string]*probe

	platform *platform
	arrivals []arrival
	acts     []act
	trace    []string
	tracing  bool
	err      error
}

// written is a field in the order of writing: what Redis loses is the newest.
type written struct {
	key   transcript.Key
	field string
}

type deadLetter struct {
	key    transcript.Key
	reason string
	call   decision.Call
	at     time.Time
}

type probe struct {
	n    int
	next time.Time
}

// arrival is a webhook on its way.
type arrival struct {
	at      time.Time
	key     transcript.Key
	action  string
	payload livechat.Payload
}

type simConfig struct {
	crashes, freezes, redisLoss, apiFaults, people, losses, rulesChange, young bool
	reconcile                                                                  Reconcile
	off, foreign                                                               bool
}

func (w *world) tracef(format string, args ...any) {
	if w.tracing {
		w.trace = append(w.trace, w.now.Sub(epoch).Round(time.Millisecond).String()+" "+fmt.Sprintf(format, args...))
	}
}

func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

func (w *world) between(a, b time.Duration) time.Duration {
	return a + time.Duration(w.rng.Int64N(int64(b-a)+1))
}

// effect is called by a port before it acts: the scheduler decides when it
// goes on, or that it never does. Without a task there is no scheduler: a test
// calls the core itself.
func (t *task) effect(name string) {
	if t == nil {
		return
	}
	t.at = name
	t.w.world().yielded <- struct{}{}
	if <-t.resume {
		panic(crashed{})
	}
}

func (w *worker) world() *world { return w.core.Clock.(*port).world }

// start runs fn as a task of the worker.
func (w *world) start(k *worker, name string, msgs []*message, fn func(t *task, c *Core) []error) {
	t := &task{w: k, resume: make(chan bool), at: name, msgs: msgs}
	started := w.now
	w.tasks = append(w.tasks, t)
	k.tasks = append(k.tasks, t)
	for _, m := range msgs {
		m.delivery++
		m.at = w.now.Add(ackWait)
	}
	go func() {
		defer func() {
			if r := recover(); r != nil {
				if _, ok := r.(crashed); !ok {
					w.err = fmt.Errorf("panic: %v", r)
				}
			}
			t.done = true
			w.yielded <- struct{}{}
		}()
		if <-t.resume {
			panic(crashed{})
		}
		p := &port{world: w, task: t, worker: k}
		c := k.core.on(p)
		errs := fn(t, c)
		t.effect("ack")
		for i, m := range msgs {
			w.answer(m, started, errs[i])
		}
	}()
}

// on gives the core ports that belong to one task, sharing its state.
func (c *Core) on(p *port) *Core {
	n := &Core{Config: c.Config}
	n.Clock, n.Log, n.Store, n.API, n.Limits, n.Rules = p, p, p, p, p, p
	n.gate.orgs, n.tags.orgs = c.gate.orgs, c.tags.orgs
	return n
}

// answer does what the consume loop does with a handler's answer. A handler
// that was frozen may not own its message any more: another worker may have
// acknowledged it, and a nak would be lost. Its answer is parked, however short.
func (w *world) answer(m *message, started time.Time, err error) {
	var wait *Later
	stale := w.now.Sub(started) > ackWait/2 && m.queue != "accumulate"
	switch {
	case err == nil:
		m.acked = true
	case errors.As(err, &wait) && wait.After > 10*time.Second || stale:
		after := time.Second
		if wait != nil {
			after = wait.After
		}
		w.tracef("park %s %s for %s: %v", m.queue, m.key.Thread, after, err)
		if m.queue == "due" {
			w.arm(Timer{Key: m.key, At: w.now.Add(after), Reach: m.due.Reach}, "due")
		} else {
			w.arm(Timer{Key: m.key, At: w.now.Add(after)}, "retry")
		}
		m.acked = true
	case errors.As(err, &wait):
		m.at = w.now.Add(wait.After)
		w.tracef("nak %s %s for %s: %v", m.queue, m.key.Thread, wait.After, wait.Err)
	default:
		w.tracef("nak %s %s: %v", m.queue, m.key.Thread, err)
		m.at = w.now.Add(min(time.Duration(m.delivery)*time.Second, 10*time.Second))
	}
}

func (w *world) arm(t Timer, queue string) {
	id := queue + t.Key.Chat + t.Key.Thread
	old, ok := w.schedules[id]
	if ok && old.at.Before(w.now.Add(50*time.Millisecond)) && w.faults && w.chance(0.5) {
		// The schedule is firing: the new one is purged with it, and the due
		// message is stored after it.
		w.tracef("re-arm of %s vanishes", t.Key.Thread)
		old.at = w.now.Add(w.between(0, 20*time.Millisecond))
		w.schedules[id] = old
		return
	}
	w.schedules[id] = schedule{at: t.At, reach: t.Reach, queue: queue}
	w.tracef("arm %s %s at %s", queue, t.Key.Thread, t.At.Sub(epoch))
}

// fire turns schedules into messages and arrivals into webhooks.
func (w *world) fire() {
	ids := make([]string, 0, len(w.schedules))
	for id := range w.schedules {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	for _, id := range ids {
		s := w.schedules[id]
		if s.at.After(w.now) {
			continue
		}
		delete(w.schedules, id)
		key := w.platform.keyOf(id[len(s.queue):])
		// One message per subject: a newer one replaces what was not taken yet.
		for _, m := range w.queues {
			if m.queue == s.queue && m.key == key {
				m.acked = true
			}
		}
		w.tracef("fired %s %s", s.queue, key.Thread)
		w.queues = append(w.queues, &message{queue: s.queue, key: key, at: w.now, due: Due{At: w.now, Reach: s.reach}})
	}
	for len(w.arrivals) > 0 && !w.arrivals[0].at.After(w.now) {
		a := w.arrivals[0]
		w.arrivals = w.arrivals[1:]
		w.seq++
		hook := Webhook{Key: a.key, Action: a.action, Payload: a.payload, At: w.tick(), Seq: w.seq}
		w.log = append(w.log, hook)
		w.tracef("stored %d %s %s %s", w.seq, a.action, a.key.Thread, describe(a.payload))
		w.queues = append(w.queues, &message{queue: "accumulate", key: a.key, webhook: hook, at: w.now})
	}
	for len(w.acts) > 0 && !w.acts[0].at.After(w.now) {
		a := w.acts[0]
		w.acts = w.acts[1:]
		err := w.platform.change(a.key, a.tag, a.untag, a.ours)
		w.tracef("carried out: %+v: %v", a, err)
	}
	w.queues = slices.DeleteFunc(w.queues, func(m *message) bool { return m.acked })
}

// tick is a fresh instant of NATS's clock.
func (w *world) tick() time.Time {
	w.now = w.now.Add(time.Microsecond)
	return w.now
}

func describe(p livechat.Payload) string {
	switch {
	case p.Event != nil:
		return p.Event.ID + " " + p.Event.Text
	case p.EventID != "":
		return p.EventID
	}
	return p.Tag
}

// send puts a webhook on its way.
func (w *world) send(at time.Time, key transcript.Key, action string, p livechat.Payload) {
	a := arrival{at: at, key: key, action: action, payload: p}
	i, _ := slices.BinarySearchFunc(w.arrivals, a, func(x, y arrival) int { return x.at.Compare(y.at) })
	for i < len(w.arrivals) && w.arrivals[i].at.Equal(at) {
		i++
	}
	w.arrivals = slices.Insert(w.arrivals, i, a)
}

// deliver hands waiting messages to a free worker.
func (w *world) deliver() bool {
	var ready []*message
	for _, m := range w.queues {
		if !m.acked && !m.at.After(w.now) {
			ready = append(ready, m)
		}
	}
	var free []*worker
	for _, k := range w.workers {
		if len(k.tasks) < 4 && !k.frozen.After(w.now) {
			free = append(free, k)
		}
	}
	if len(ready) == 0 || len(free) == 0 {
		return false
	}
	k := free[w.rng.IntN(len(free))]
	m := ready[w.rng.IntN(len(ready))]
	ctx := context.Background()
	switch m.queue {
	case "accumulate":
		batch := []*message{m}
		for _, o := range ready {
			if o != m && o.queue == "accumulate" && len(batch) < 5 && w.chance(0.5) {
				batch = append(batch, o)
			}
		}
		w.start(k, "accumulate", batch, func(_ *task, c *Core) []error {
			hooks := make([]Webhook, len(batch))
			for i, m := range batch {
				hooks[i] = m.webhook
			}
			return c.Accumulate(ctx, hooks)
		})
	case "due":
		w.start(k, "decide", []*message{m}, func(_ *task, c *Core) []error {
			return []error{c.Decide(ctx, m.key, m.due)}
		})
	default:
		w.start(k, "apply", []*message{m}, func(_ *task, c *Core) []error {
			return []error{c.Apply(ctx, m.key)}
		})
	}
	return true
}

// step does one thing; false when there is nothing left to do, ever.
func (w *world) step() bool {
	w.fire()
	if w.cfg.crashes && w.faults && w.chance(0.004) {
		if k := w.workers[w.rng.IntN(len(w.workers))]; w.mayCrash(k) {
			w.crash(k)
		}
	}
	if w.cfg.crashes && w.faults {
		// While a call is under way is the worst moment of all.
		for _, k := range w.workers {
			if w.chance(0.03) && slices.ContainsFunc(k.tasks, func(t *task) bool { return t.sent != nil }) && w.mayCrash(k) {
				w.crash(k)
			}
		}
	}
	if w.cfg.freezes && w.faults && w.chance(0.004) {
		k := w.workers[w.rng.IntN(len(w.workers))]
		k.frozen = w.now.Add(w.between(10*time.Millisecond, 90*time.Second))
		for _, t := range k.tasks {
			t.thawed = true
		}
		w.tracef("worker %d freezes until %s", k.id, k.frozen.Sub(epoch))
	}
	if w.cfg.redisLoss && w.faults && w.chance(0.002) {
		w.loseRedis()
	}
	if w.cfg.rulesChange && w.faults {
		for _, k := range w.workers {
			if k.order < uint64(len(w.sets)) && w.chance(0.01) {
				k.order++
				k.set = w.sets[k.order-1]
				w.tracef("worker %d loads rules %d", k.id, k.order)
			}
		}
	}
	var runnable []*task
	for _, t := range w.tasks {
		if !t.w.frozen.After(w.now) && !t.wakeAt.After(w.now) {
			runnable = append(runnable, t)
		}
	}
	if len(runnable) == 0 || w.chance(0.3) {
		if w.deliver() {
			return true
		}
	}
	if len(runnable) > 0 {
		w.run1(runnable[w.rng.IntN(len(runnable))], false)
		w.now = w.now.Add(w.between(0, 3*time.Millisecond))
		return true
	}
	next := w.next()
	if next.IsZero() {
		return false
	}
	if next.After(w.now) {
		w.now = next
	}
	return true
}

// next is when something will happen by itself.
func (w *world) next() time.Time {
	var next time.Time
	at := func(t time.Time) {
		if next.IsZero() || t.Before(next) {
			next = t
		}
	}
	for _, s := range w.schedules {
		at(s.at)
	}
	if len(w.arrivals) > 0 {
		at(w.arrivals[0].at)
	}
	if len(w.acts) > 0 {
		at(w.acts[0].at)
	}
	awake := slices.ContainsFunc(w.workers, func(k *worker) bool { return !k.frozen.After(w.now) })
	for _, m := range w.queues {
		if awake || m.at.After(w.now) {
			at(m.at)
		}
	}
	for _, t := range w.tasks {
		at(later2(t.wakeAt, t.w.frozen))
	}
	for _, k := range w.workers {
		if k.frozen.After(w.now) && len(w.queues) > 0 {
			at(k.frozen)
		}
	}
	if !next.IsZero() && !next.After(w.now) {
		// Ready, but every worker is busy or frozen.
		next = w.now.Add(time.Millisecond)
	}
	return next
}

func later2(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (w *world) run1(t *task, crash bool) {
	t.resume <- crash
	<-w.yielded
	if t.done {
		is := func(x *task) bool { return x == t }
		w.tasks = slices.DeleteFunc(w.tasks, is)
		t.w.tasks = slices.DeleteFunc(t.w.tasks, is)
	}
}

// mayCrash says no to a worker that goes on after a freeze: frozen between its
// last look and its call, then killed before it has looked again, it leaves a
// call behind that nobody can know of. LiveChat cannot be fenced.
func (w *world) mayCrash(k *worker) bool {
	return !slices.ContainsFunc(k.tasks, func(t *task) bool { return t.thawed && !k.frozen.After(w.now) })
}

func (w *world) crash(k *worker) {
	w.tracef("worker %d crashes", k.id)
	for _, t := range slices.Clone(k.tasks) {
		if t.sent != nil && w.chance(0.7) {
			t.sent()
		}
		w.run1(t, true)
	}
	w.boot(k)
}

func (w *world) boot(k *worker) {
	k.gen++
	k.behind = time.Time{}
	k.frozen = time.Time{}
	if w.cfg.rulesChange && k.order > 0 && w.faults && k.order < uint64(len(w.sets)) && w.chance(0.5) {
		k.order = uint64(len(w.sets))
	}
	if k.order == 0 {
		k.order = 1
	}
	k.set = w.sets[k.order-1]
	k.core = New(Config{
		Observer: nobody{}, Settle: 3 * time.Second, Reconcile: w.cfg.reconcile, Off: w.cfg.off,
		Clock: &port{world: w, worker: k},
	})
	if w.cfg.foreign {
		k.core.Organizations = map[string]bool{"another": true}
	}
	k.core.gate.orgs = map[string]*orgGate{}
	k.core.tags.orgs = map[string]tagList{}
}

// loseRedis restarts Redis: empty, or without its newest writes, or as it was.
func (w *world) loseRedis() {
	if w.chance(0.25) {
		w.tracef("redis is flushed")
		w.written = nil
		w.redis, w.runs = map[transcript.Key]map[string]transcript.Fact{}, map[transcript.Key]string{}
		return
	}
	w.run++
	switch w.rng.IntN(3) {
	case 0:
		w.tracef("redis restarts empty")
		w.written = nil
		w.redis, w.runs = map[transcript.Key]map[string]transcript.Fact{}, map[transcript.Key]string{}
	case 1:
		w.tracef("redis restarts without its newest writes")
		for range min(w.rng.IntN(20), len(w.written)) {
			last := w.written[len(w.written)-1]
			w.written = w.written[:len(w.written)-1]
			delete(w.redis[last.key], last.field)
		}
	default:
		w.tracef("redis restarts")
	}
	w.redisUp = w.now.Add(w.between(0, 20*time.Second))
}

type nobody struct{}

func (nobody) Decided(transcript.Key, decision.Record, bool) {}
func (nobody) Called(transcript.Key, string, string)         {}
func (nobody) Tagged(transcript.Key, decision.Call)          {}
func (nobody) Dead(transcript.Key, string, string)           {}
func (nobody) Paused(string, string, time.Time)              {}
