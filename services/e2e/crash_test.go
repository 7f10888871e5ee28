//go:build unix

package e2e

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"autotag/pkg/livechat/livechattest"
)

// crashLimit covers what a dead or frozen worker held: NATS gives it to another
// after 30 s.
const crashLimit = 90 * time.Second

// load sends chats while the test does harm, and returns what they must end
// with once all of them are answered with 200.
func (w *world) load(n int, harm func()) []expectation {
	w.t.Helper()
	chats := w.traffic(n)
	var sending sync.WaitGroup
	sending.Go(func() { w.sendAll(hooks(chats)) })
	harm()
	sending.Wait()
	return expectations(chats)
}

// some is how many chats a fault meets.
func some() int {
	if long() {
		return 600
	}
	return 150
}

// awaitCalls waits until the platform has been called n times in all.
func (w *world) awaitCalls(n int) {
	w.t.Helper()
	eventually(w.t, time.Minute, func() error {
		if made := len(w.platform.Calls()); made < n {
			return fmt.Errorf("%d calls of %d", made, n)
		}
		return nil
	})
}

func TestTaggerIsKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec{ingresses: 1, taggers: 3})
	w.createTags(tags...)
	expected := w.load(some(), func() {
		w.awaitCalls(10)
		w.tagger[0].kill()
		w.awaitCalls(40)
		w.tagger[1].kill()
		w.tagger[0].start()
		w.tagger[0].awaitReady()
		w.tagger[2].kill()
		w.tagger[2].start()
		w.tagger[1].start()
	})
	w.check(crashLimit, expected)
	w.checkStored()
}

// A tagger that is frozen for longer than NATS waits for it does no harm when it
// goes on with what others have finished meanwhile.
func TestTaggerIsFrozen(t *testing.T) {
	if !long() {
		t.Skip("takes a minute: E2E_LONG=1 runs it")
	}
	t.Parallel()
	w := newWorld(t, spec{ingresses: 1, taggers: 2})
	w.createTags(tags...)
	expected := w.load(some(), func() {
		w.awaitCalls(10)
		w.tagger[0].freeze()
	})
	w.check(crashLimit, expected) // the other has done it all
	w.tagger[0].thaw()
	w.tagger[0].awaitReady()
	w.check(crashLimit, expected)
}

func TestNATSIsKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec{ingresses: 2, taggers: 2})
	w.createTags(tags...)
	expected := w.load(some(), func() {
		for _, calls := range []int{5, 40} {
			w.awaitCalls(calls)
			w.nats.Kill()
			w.nats.Start()
		}
	})
	w.check(crashLimit, expected)
	w.checkStored()
}

func TestRedisIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec{ingresses: 1, taggers: 2})
	w.createTags(tags...)
	expected := w.load(some(), func() {
		w.awaitCalls(5)
		w.redis.kill()
		w.redis.start()
		w.awaitCalls(40)
		w.redis.kill()
		w.redis.startEmpty()
	})
	w.check(crashLimit, expected)

	// What was decided before can still be put right by those who know nothing
	// of it.
	chats := w.traffic(len(kinds))
	w.sendAll(hooks(chats))
	w.check(crashLimit, append(expected, expectations(chats)...))
	lose := func() {
		w.redis.kill()
		w.redis.startEmpty()
	}
	lose()
	w.afterwards(chats, crashLimit, lose)
	w.checkStored()
}

// Everything at once: the programs and servers die in turn while chats arrive.
func TestEverythingIsKilled(t *testing.T) {
	if !long() {
		t.Skip("takes minutes: E2E_LONG=1 runs it")
	}
	t.Parallel()
	w := newWorld(t, spec{ingresses: 2, taggers: 3})
	w.createTags(tags...)
	expected := w.load(2*some(), func() {
		for i, calls := range []int{20, 60, 100, 140, 180, 220} {
			w.awaitCalls(calls)
			w.tagger[i%3].kill()
			w.ingress[i%2].kill()
			if i%2 == 0 {
				w.nats.Kill()
				w.nats.Start()
			} else {
				w.redis.kill()
				w.redis.startEmpty()
			}
			w.ingress[i%2].start()
			w.tagger[i%3].start()
		}
	})
	w.check(3*time.Minute, expected)
	w.checkStored()
}

// LiveChat answers badly, late or not at all, and sometimes has done what it
// does not admit.
func TestLiveChatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec{ingresses: 1, taggers: 2})
	w.createTags(tags...)
	faults := []livechattest.Fault{
		livechattest.Refusal("internal"), livechattest.Refusal("service_unavailable"), livechattest.TooManyRequests(time.Second),
		livechattest.ApplyThenCut(), livechattest.HTML(), livechattest.Huge(20 << 20), {Drop: true}, {Wait: 500 * time.Millisecond},
	}
	var calls atomic.Int64
	w.platform.SetHook(func(livechattest.Call) *livechattest.Fault {
		n := calls.Add(1)
		if n%3 != 0 {
			return nil
		}
		return &faults[n/3%int64(len(faults))]
	})
	expected := w.load(some()/2, func() {
		w.awaitCalls(40)
		w.platform.SetHook(nil)
	})
	w.check(crashLimit, expected)
}
