//go:build unix

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"autotag/pkg/stream"
)

// An ingress that is asked to stop while webhooks arrive answers what it has
// taken and refuses the rest before it is sent.
func TestIngressStopsGracefully(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec{ingresses: 2, taggers: 1})
	w.createTags(tags...)
	chats := w.traffic(200)
	stopping := w.ingress[0]
	var mu sync.Mutex
	answered := 0
	// send posts the webhooks of a chat; what is refused is kept for later.
	var todo []*chat
	send := func(c *chat) (refused bool) {
		for i, hook := range c.hooks {
			err := w.post(stopping, hook)
			mu.Lock()
			switch {
			case err == nil:
				answered++
			case errors.Is(err, syscall.ECONNREFUSED):
				todo = append(todo, &chat{hooks: c.hooks[i:]})
			default:
				t.Errorf("a request failed: %v", err)
			}
			mu.Unlock()
			if err != nil {
				return true
			}
		}
		return false
	}
	var clients sync.WaitGroup
	var once sync.Once
	share := len(chats) / 8
	for mine := range slices.Chunk(chats, share) {
		clients.Go(func() {
			for i, c := range mine {
				send(c)
				if i == share/4 {
					once.Do(func() { stopping.signal(syscall.SIGTERM) })
				}
			}
			for !send(mine[0]) { // again, until nobody is there
			}
		})
	}
	clients.Wait()
	if exit := stopping.wait(patience); exit != exitOK {
		t.Errorf("exit status %d\n%s", exit, strings.Join(stopping.tail(20), "\n"))
	}
	t.Logf("%d webhooks answered, %d chats refused", answered, len(todo))
	w.sendAll(hooks(todo))
	w.check(expectations(chats))
}

// A tagger that is asked to stop finishes what it does and gives back the rest
// at once.
func TestTaggerStopsGracefully(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec{ingresses: 1, taggers: 2})
	w.createTags(tags...)
	expected := w.load(some(), times(2), func(i int) {
		if i%2 == 0 {
			w.tagger[0].restart()
			return
		}
		// Both at once: what neither has finished is free for another at once,
		// and not only when NATS takes it from those that are gone.
		var stopping sync.WaitGroup
		for _, p := range w.tagger {
			p.awaitAlive()
			stopping.Go(p.terminate)
		}
		stopping.Wait()
		w.takeBack()
		for _, p := range w.tagger {
			p.start()
		}
	})
	w.check(expected)
}

// takeBack fails for a message that was delivered, not acknowledged, and cannot
// be had again now.
func (w *world) takeBack() {
	w.t.Helper()
	ctx, cancel := w.within()
	defer cancel()
	for _, of := range [][2]string{
		{stream.Events, stream.Accumulate}, {stream.Timers, stream.Decide}, {stream.Decisions, stream.Apply}, {stream.Timers, stream.Retry},
	} {
		c, err := w.js.Consumer(ctx, of[0], of[1])
		if err != nil {
			w.t.Fatal(err)
		}
		open := c.CachedInfo().NumAckPending
		if open == 0 {
			continue
		}
		// Sooner than after stream.AckWait. Some were given back for a moment
		// later, and what is new comes before them; nothing goes back before all
		// are seen.
		var taken []jetstream.Msg
		again := 0
		for until := time.Now().Add(stream.AckWait / 2); again < open && time.Now().Before(until); {
			batch, err := c.Fetch(open-again, jetstream.FetchMaxWait(time.Second))
			if err != nil {
				w.t.Fatal(err)
			}
			for m := range batch.Messages() {
				taken = append(taken, m)
				if meta, err := m.Metadata(); err != nil {
					w.t.Error(err)
				} else if meta.NumDelivered > 1 {
					again++
				}
			}
			if err := batch.Error(); err != nil {
				w.t.Fatal(err)
			}
		}
		for _, m := range taken {
			if err := m.Nak(); err != nil {
				w.t.Error(err)
			}
		}
		w.t.Logf("%s: %d messages given back", of[1], again)
		if again < open {
			w.t.Errorf("%s: of %d messages that the taggers have left, %d come again before AckWait", of[1], open, again)
		}
	}
	if err := w.nc.Flush(); err != nil {
		w.t.Error(err)
	}
}

// Programs whose servers are away live, are not ready, say why, and stop when
// asked.
func TestServersAreAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec{})
	nowhere := freeAddr(t)
	for _, tc := range []struct {
		program, check string
		env            map[string]string
	}{
		{"ingress", "nats", map[string]string{"NATS_URL": "nats://" + nowhere}},
		{"tagger", "nats", map[string]string{"NATS_URL": "nats://" + nowhere}},
		{"tagger", "redis", map[string]string{"REDIS_URL": "redis://" + nowhere}},
	} {
		env := w.taggerEnv()
		if tc.program == "ingress" {
			env = w.ingressEnv()
		}
		for name, value := range tc.env {
			env[name] = value
		}
		p := newProcess(t, tc.program+" without "+tc.check, tc.program, env)
		p.start()
		eventually(t, patience, func() error {
			status, body, err := p.ask("/readyz")
			if err == nil && (status != http.StatusServiceUnavailable || !strings.Contains(body, `"`+tc.check+`"`)) {
				err = fmt.Errorf("/readyz answers %d %s", status, body)
			}
			return err
		})
		if status, _, err := p.ask("/healthz"); err != nil || status != http.StatusOK {
			t.Errorf("%s: /healthz answers %d %v", p.name, status, err)
		}
		p.terminate()
	}
}
