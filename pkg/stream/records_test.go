package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"autotag/pkg/transcript"
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
	// Tried again when others have gone on from it.
	if again, err := record(ctx(t), js, "a", 0, "id1"); err != nil || again != first {
		t.Errorf("own record, followed by others: %d, %v, want %d", again, err, first)
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

// Everything comes once and from the newest on, over many windows, and no
// further than it is wanted.
func TestNewest(t *testing.T) {
	t.Parallel()
	_, nc, js := setup(t)
	collect := func(most int) (seqs []uint64) {
		t.Helper()
		if err := Newest(ctx(t), js, Events, func(m Stored) bool {
			seqs = append(seqs, m.Seq)
			return len(seqs) < most
		}); err != nil {
			t.Fatal(err)
		}
		return seqs
	}
	if got := collect(1); got != nil {
		t.Errorf("an empty stream gives %v", got)
	}
	const n = 2*window + 300
	fill(t, js, key, n, 5)
	s, err := js.Stream(ctx(t), Events)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(ctx(t), jetstream.WithPurgeSequence(101)); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteMsg(ctx(t), n-1); err != nil {
		t.Fatal(err)
	}
	got := collect(n)
	if len(got) != n-101 || got[0] != n || got[1] != n-2 || got[len(got)-1] != 101 {
		t.Fatalf("%d messages, %v ... %v", len(got), got[:2], got[len(got)-1])
	}
	for i := 2; i < len(got); i++ {
		if got[i] != got[i-1]-1 {
			t.Fatalf("%d after %d", got[i], got[i-1])
		}
	}
	if got := collect(3); len(got) != 3 || got[2] != n-3 {
		t.Errorf("the first three are %v", got)
	}
	if err := Newest(ctx(t), js, "NONE", nil); !errors.Is(err, ErrNoStream) {
		t.Errorf("no stream: %v", err)
	}
	if got, err := Read(ctx(t), nc, ReadOptions{Stream: Events, Filter: ThreadSubject(key), From: 110, To: 120}); err != nil || len(got) != 11 || got[10].Seq != 120 {
		t.Errorf("from 110 to 120: %d messages, %v", len(got), err)
	}
	if got, err := Read(ctx(t), nc, ReadOptions{Stream: Events, Filter: ThreadSubject(key), From: 1, To: 50}); err != nil || len(got) != 0 {
		t.Errorf("from 1 to 50: %d messages, %v", len(got), err)
	}
}

// Messages that are too large for a window are read in smaller ones.
func TestNewestLarge(t *testing.T) {
	t.Parallel()
	_, _, js := setup(t)
	const n = 3 * windowBytes / 900_000 / 2
	fill(t, js, key, n, 900_000)
	want := uint64(n)
	if err := Newest(ctx(t), js, Events, func(m Stored) bool {
		if m.Seq != want || len(m.Data) != 900_000 {
			t.Errorf("message %d of %d bytes, want %d", m.Seq, len(m.Data), want)
		}
		want--
		return true
	}); err != nil || want != 0 {
		t.Errorf("%d are left, %v", want, err)
	}
}

func TestSubjects(t *testing.T) {
	t.Parallel()
	_, nc, js := setup(t)
	other := transcript.Key{Org: "org2", Chat: "CHAT2", Thread: key.Thread}
	fill(t, js, key, 3, 1)
	fill(t, js, other, 2, 1)
	fill(t, js, transcript.Key{Org: "org1", Chat: "CHAT1", Thread: "OTHER"}, 1, 1)
	got, err := Subjects(ctx(t), js, Events, "livechat.*.*."+key.Thread+".*")
	if want := map[string]uint64{EventSubject(key, "x"): 3, EventSubject(other, "x"): 2}; err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	if got, err := Subjects(ctx(t), js, Events, "livechat.*.*.NONE.*"); err != nil || len(got) != 0 {
		t.Errorf("nothing there: %v, %v", got, err)
	}
	if _, err := Subjects(ctx(t), js, "NONE", "x"); !errors.Is(err, ErrNoStream) {
		t.Errorf("no stream: %v", err)
	}
	if got, err := ReadUpToDate(ctx(t), nc, Events, ThreadSubject(key)); err != nil || len(got) != 3 {
		t.Errorf("%d messages, %v", len(got), err)
	}
	if got, err := ReadUpToDate(ctx(t), nc, Events, "livechat.a.b.c.d"); err != nil || len(got) != 0 {
		t.Errorf("nothing there: %d messages, %v", len(got), err)
	}
}

// Many workers count up by compare and set, over a connection that breaks: no
// step is lost and none is made twice.
func TestPublishExpectingContended(t *testing.T) {
	t.Parallel()
	s, nc, _ := setup(t)
	proxy := newProxy(t, s.URL[len("nats://"):])
	const workers, steps = 4, 15
	limit := ctx(t)
	var wg sync.WaitGroup
	for w := range workers {
		pnc, pjs := connect(t, "nats://"+proxy.addr)
		wg.Go(func() {
			for i := range steps {
				for {
					last, _, err := Last(limit, pnc, Decisions, RecordsSubject(key))
					if err == nil {
						_, err = record(limit, pjs, fmt.Sprint(w, " ", i), last.Seq, fmt.Sprint(w, "-", i, "-", last.Seq))
					}
					if err == nil {
						break
					}
					if limit.Err() != nil {
						t.Error("takes too long")
						return
					}
					if !errors.Is(err, ErrConflict) {
						time.Sleep(10 * time.Millisecond) // the connection is away
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
