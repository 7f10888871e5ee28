//go:build unix

package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"autotag/pkg/livechat/livechattest"
)

// underWay is how many calls a tagger makes at once: as many may be made again
// when it dies, or when the server does that would have noted their answers.
const underWay = 16

// load sends chats and does harm while they are sent and tagged: as many times
// as asked, at random moments. It returns what the chats must end with once all
// of their webhooks are answered with 200.
func (w *world) load(n, times int, harm func(i int)) []expectation {
	w.t.Helper()
	chats := w.traffic(n)
	// The moments are numbers of webhooks answered and calls made, so that they
	// lie within the work however fast that goes.
	work := 0
	for _, c := range chats {
		work += len(c.hooks)
		for _, e := range c.expected {
			work += len(slices.DeleteFunc(slices.Clone(e.tags), func(tag string) bool { return tag == peoplesTag }))
		}
	}
	moments := make([]int, times)
	for i := range moments {
		moments[i] = work/50 + w.rng.IntN(work*9/10)
	}
	slices.Sort(moments)
	begin := w.progress()
	wait := w.sendBeside(hooks(chats))
	for i, moment := range moments {
		eventually(w.t, patience, func() error {
			if now := w.progress() - begin; now < moment {
				return fmt.Errorf("%d of %d webhooks and calls", now, moment)
			}
			return nil
		})
		w.t.Logf("%d of %d: harm %d", moment, work, i+1)
		harm(i)
	}
	wait()
	return expectations(chats)
}

// progress counts webhooks answered and calls made.
func (w *world) progress() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.sent) + len(w.platform.Calls())
}

// some is how many chats a fault meets.
func some() int {
	if long() {
		return 600
	}
	return 120
}

// times is how many faults there are.
func times(short int) int {
	if long() {
		return 5 * short
	}
	return short
}

// outage lets a server or program be away for a random moment.
func (w *world) outage() {
	time.Sleep(time.Duration(w.rng.IntN(500)) * time.Millisecond)
}

func TestIngressIsKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec{ingresses: 2, taggers: 1})
	w.createTags(tags...)
	w.check(w.load(some(), times(4), func(int) {
		p := w.ingress[w.rng.IntN(len(w.ingress))]
		p.kill()
		w.outage()
		p.start()
	}))
}

func TestTaggerIsKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec{ingresses: 1, taggers: 3})
	w.createTags(tags...)
	expected := w.load(some(), times(4), func(int) {
		p := w.tagger[w.rng.IntN(len(w.tagger))]
		p.kill()
		w.outage()
		p.start()
	})
	w.checkAfterCrash(expected, times(4)*underWay)
}

// A tagger that is frozen for longer than NATS waits for it does no harm when it
// goes on with what others have finished meanwhile.
func TestTaggerIsFrozen(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec{ingresses: 1, taggers: 2})
	w.createTags(tags...)
	expected := w.load(some(), times(3), func(i int) {
		if i == 0 {
			w.tagger[0].freeze()
			return
		}
		w.tagger[1].freeze()
		w.outage()
		w.tagger[1].thaw()
	})
	w.checkAfterCrash(expected, underWay) // the other has done it all
	calls := len(w.platform.Calls())
	w.tagger[0].thaw()
	w.tagger[0].awaitReady()
	w.checkAfterCrash(expected, underWay)
	if more := w.platform.Calls()[calls:]; len(more) > 0 {
		t.Errorf("calls for chats that were finished: %+v", more)
	}
}

func TestNATSIsKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec{ingresses: 2, taggers: 2})
	w.createTags(tags...)
	expected := w.load(some(), times(3), func(int) {
		w.nats.Kill()
		w.outage()
		w.nats.Start()
	})
	w.checkAfterCrash(expected, times(3)*len(w.tagger)*underWay)
}

// redisHarm is what can happen to a Redis.
func (w *world) redisHarm() []func() {
	return []func(){
		w.redis.flush,
		func() { w.redis.kill(); w.outage(); w.redis.start() },
		func() { w.redis.kill(); w.outage(); w.redis.startEmpty() },
	}
}

// Redis holds nothing that is not known elsewhere: losing it costs no tag and
// no call.
func TestRedisIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec{ingresses: 1, taggers: 2})
	w.createTags(tags...)
	harm := w.redisHarm()
	w.rng.Shuffle(len(harm), func(i, j int) { harm[i], harm[j] = harm[j], harm[i] })
	expected := w.load(some(), times(len(harm)), func(i int) { harm[i%len(harm)]() })
	w.check(expected)

	// What was decided before can still be put right by those who know nothing
	// of it.
	chats := w.traffic(len(kinds))
	w.sendAll(hooks(chats))
	w.check(append(expected, expectations(chats)...))
	w.redis.flush()
	w.afterwards(chats, func() {
		w.redis.kill()
		w.redis.startEmpty()
	})
}

// Everything at once: programs and servers die and freeze in any order while
// chats arrive.
func TestEverythingFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec{ingresses: 2, taggers: 3})
	w.createTags(tags...)
	any := func(of []*process) *process { return of[w.rng.IntN(len(of))] }
	again := 0 // calls that may be made again
	harms := slices.Concat(w.redisHarm(), []func(){
		func() { p := any(w.ingress); p.kill(); w.outage(); p.start() },
		func() { any(w.ingress).restart() },
		func() { again += underWay; p := any(w.tagger); p.kill(); w.outage(); p.start() },
		func() { any(w.tagger).restart() },
		func() { again += underWay; p := any(w.tagger); p.freeze(); w.outage(); p.thaw() },
		func() { again += len(w.tagger) * underWay; w.nats.Kill(); w.outage(); w.nats.Start() },
		func() { // at the same time
			again += len(w.tagger) * underWay
			p, q := any(w.ingress), any(w.tagger)
			p.kill()
			q.kill()
			w.nats.Kill()
			w.redis.kill()
			w.redis.startEmpty()
			w.nats.Start()
			p.start()
			q.start()
		},
	})
	order := w.rng.Perm(len(harms))
	expected := w.load(some(), times(len(harms)), func(i int) {
		kind := order[i%len(order)]
		t.Logf("of kind %d", kind)
		harms[kind]()
	})
	w.checkAfterCrash(expected, again)
}

// LiveChat answers badly, late or not at all, and sometimes has done what it
// does not admit. No call is made again that was answered.
func TestLiveChatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec{ingresses: 1, taggers: 2})
	w.createTags(tags...)
	faults := []livechattest.Fault{
		livechattest.TooManyRequests(time.Second), livechattest.TooManyRequests(0),
		livechattest.Refusal("service_unavailable"), livechattest.Refusal("internal"), livechattest.Refusal("request_timeout"),
		livechattest.ApplyThenHang(), livechattest.HangThenApply(), livechattest.ApplyThenCut(), {Drop: true},
		livechattest.HTML(), {Status: http.StatusServiceUnavailable, Body: "<html>gone fishing"}, livechattest.Huge(20 << 20),
		{Wait: 500 * time.Millisecond},
	}
	w.rng.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	var calls, met atomic.Int64
	w.platform.SetHook(func(c livechattest.Call) *livechattest.Fault {
		if c.Method != "tag_thread" || calls.Add(1)%3 != 0 {
			return nil
		}
		n := met.Add(1) - 1
		if n >= int64(len(faults)) {
			return nil
		}
		return &faults[n]
	})
	chats := w.traffic(some() / 2)
	w.sendAll(hooks(chats))
	w.check(expectations(chats))
	if n := met.Load(); n < int64(len(faults)) {
		t.Errorf("%d faults of %d were met", n, len(faults))
	}
}
