package stream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap/zaptest"
)

func record(ctx context.Context, js jetstream.JetStream, data string, expected uint64, id string) (uint64, error) {
	return PublishExpecting(ctx, js, DecisionSubject(key), []byte(data), RecordsSubject(key), expected, id)
}

func TestPublishExpecting(t *testing.T) {
	t.Parallel()
	_, nc, js := setup(t)
	first, err := record(ctx(t), js, "a", 0, "id1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := record(ctx(t), js, "b", 0, "id2"); !errors.Is(err, ErrConflict) {
		t.Errorf("stale expectation: %v", err)
	}
	// Tried again after its answer was lost: the conflict is with itself.
	if again, err := record(ctx(t), js, "a", 0, "id1"); err != nil || again != first {
		t.Errorf("own record: %d, %v, want %d", again, err, first)
	}
	// The outcome counts too: the filter has a wildcard.
	second, err := PublishExpecting(ctx(t), js, OutcomeSubject(key), []byte("o"), RecordsSubject(key), first, "id3")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := record(ctx(t), js, "c", first, "id4"); !errors.Is(err, ErrConflict) {
		t.Errorf("an outcome in between: %v", err)
	}
	if _, err := record(ctx(t), js, "c", second, "id5"); err != nil {
		t.Error(err)
	}
	// Another thread's records are another matter.
	other := key
	other.Thread = "OTHER"
	if _, err := PublishExpecting(ctx(t), js, DecisionSubject(other), nil, RecordsSubject(other), 0, "id6"); err != nil {
		t.Error(err)
	}
	all, err := ReadAll(ctx(t), nc, Decisions, RecordsSubject(key), 0)
	if err != nil || len(all) != 3 {
		t.Errorf("%d records, %v", len(all), err)
	}
}

// Many workers count up by compare and set, over a connection that breaks: no
// step is lost and none is made twice.
func TestPublishExpectingContended(t *testing.T) {
	t.Parallel()
	s, nc, _ := setup(t)
	proxy := newProxy(t, s.URL[len("nats://"):])
	const workers, steps = 4, 15
	var wg sync.WaitGroup
	for w := range workers {
		pnc, pjs, err := Connect(Options{URL: "nats://" + proxy.addr}, zaptest.NewLogger(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer pnc.Close()
		wg.Go(func() {
			for i := range steps {
				for {
					last, _, err := Last(ctx(t), pnc, Decisions, RecordsSubject(key))
					if err == nil {
						_, err = record(ctx(t), pjs, fmt.Sprint(w, " ", i), last.Seq, fmt.Sprint(w, "-", i, "-", last.Seq))
					}
					if err == nil {
						break
					}
					if ctx(t).Err() != nil {
						t.Error("takes too long")
						return
					}
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for broke := 0; ; broke++ {
		select {
		case <-done:
			all, err := ReadAll(ctx(t), nc, Decisions, RecordsSubject(key), 0)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]int{}
			for _, m := range all {
				seen[string(m.Data)]++
			}
			if len(all) != workers*steps || len(seen) != workers*steps {
				t.Errorf("%d records, %d different, want %d", len(all), len(seen), workers*steps)
			}
			return
		case <-time.After(300 * time.Millisecond):
			if broke < 5 {
				proxy.cut()
			}
		}
	}
}

// proxy passes TCP connections on and can cut them all.
type proxy struct {
	addr  string
	mu    sync.Mutex
	conns map[net.Conn]bool
	ended atomic.Bool
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), conns: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	pass := func(to, from net.Conn) {
		defer func() { _ = to.Close(); _ = from.Close() }()
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				if _, err := to.Write(buf[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				_ = in.Close()
				continue
			}
			p.mu.Lock()
			p.conns[in], p.conns[out] = true, true
			p.mu.Unlock()
			if p.ended.Load() {
				p.cut()
			}
			wg.Go(func() { pass(out, in) })
			wg.Go(func() { pass(in, out) })
		}
	})
	t.Cleanup(func() {
		p.ended.Store(true)
		_ = l.Close()
		p.cut()
		wg.Wait()
	})
	return p
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
		delete(p.conns, c)
	}
}
