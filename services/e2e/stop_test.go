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
			err := w.post(stopping, hook.Body)
			mu.Lock()
			switch {
			case err == nil:
				answered++
				w.mu.Lock()
				w.sent = append(w.sent, hook)
				w.mu.Unlock()
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
	if exit := stopping.wait(25 * time.Second); exit != exitOK {
		t.Errorf("exit status %d\n%s", exit, strings.Join(stopping.tail(20), "\n"))
	}
	t.Logf("%d webhooks answered, %d chats refused", answered, len(todo))
	w.sendAll(hooks(todo))
	w.check(time.Minute, expectations(chats))
	w.checkStored()
}

// A tagger that is asked to stop finishes what it does and gives back the rest
// at once.
func TestTaggerStopsGracefully(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec{ingresses: 1, taggers: 2})
	w.createTags(tags...)
	expected := w.load(some(), func() {
		w.awaitCalls(20)
		w.tagger[0].terminate()
		w.awaitCalls(60)
		w.tagger[1].terminate()
		w.tagger[0].start()
	})
	// Sooner than NATS takes messages from a worker that died.
	w.check(25*time.Second, expected)
	called := map[string]int{}
	for _, c := range w.platform.Calls() {
		if c.Method == "tag_thread" {
			if called[c.Thread+" "+c.Tag]++; called[c.Thread+" "+c.Tag] > 1 {
				t.Errorf("thread %s is tagged %s %d times\n%s", c.Thread, c.Tag, called[c.Thread+" "+c.Tag], w.story(c.Thread))
			}
		}
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
		eventually(t, 20*time.Second, func() error {
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
