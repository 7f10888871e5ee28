package webhook

import (
	"context"
	"errors"
	"hash/maphash"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// addressKey is what limits by address count as one: an IPv4 address, or the
// /64 that an IPv6 host can pick its addresses from.
func addressKey(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		p, err := a.Prefix(64)
		if err == nil {
			return p.Addr()
		}
	}
	return a
}

// budget bounds the bytes that all requests in flight hold together.
type budget struct {
	limit int64
	used  atomic.Int64
}

func (b *budget) take(n int64) bool {
	for {
		used := b.used.Load()
		if used+n > b.limit {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// A request in flight costs requestCost for what the server keeps of it anyway,
// the first buffer of its body included; the rest of its body counts as it
// arrives.
const (
	requestCost = 16 << 10
	firstBuffer = 8 << 10
)

var (
	errTooLarge = errors.New("body is too large")
	errBudget   = errors.New("too many bytes in flight")
)

// bufferPool holds first buffers only: larger ones would cost more than their
// next request is charged for, and stay in memory for ever.
var bufferPool = sync.Pool{New: func() any { b := make([]byte, 0, firstBuffer); return &b }}

// lease is the share of one request in the budget, and its body.
type lease struct {
	budget *budget
	held   int64
	buffer *[]byte
}

// newLease takes the share of a request whose body has not been read; ok is
// false if there is no room for it.
func newLease(b *budget) (l *lease, ok bool) {
	if !b.take(requestCost) {
		return nil, false
	}
	return &lease{budget: b, held: requestCost, buffer: bufferPool.Get().(*[]byte)}, true
}

// read reads a body of at most limit bytes. The buffer grows with what has
// arrived, not with what was announced.
func (l *lease) read(body io.Reader, limit int) ([]byte, error) {
	b := (*l.buffer)[:0]
	for {
		if len(b) == cap(b) {
			// One byte above the limit shows that there is more.
			size := min(2*cap(b), limit+1)
			if size <= cap(b) {
				return nil, errTooLarge
			}
			more := int64(size - cap(b))
			if !l.budget.take(more) {
				return nil, errBudget
			}
			l.held += more
			b = append(make([]byte, 0, size), b...)
			*l.buffer = b
		}
		n, err := body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > limit:
			return nil, errTooLarge
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return nil, err
		}
	}
}

// release gives the share back; the body must not be used after it.
func (l *lease) release() {
	if cap(*l.buffer) == firstBuffer {
		bufferPool.Put(l.buffer)
	}
	l.buffer = nil
	l.budget.used.Add(-l.held)
}

// gate bounds how many requests of one address are being read and not yet
// authenticated, so that one address cannot fill the budget with bodies that
// never end. Others of the address wait for a moment, since an honest sender's
// burst is read within milliseconds; of those, too, there is a bound.
type gate struct {
	slots    int
	waiting  int
	patience time.Duration
	shards   [16]gateShard
}

type gateShard struct {
	mu        sync.Mutex
	addresses map[netip.Addr]*slots
}

type slots struct {
	taken   chan struct{}
	holders int // that hold or wait, guarded by the shard's mutex
}

var gateSeed = maphash.MakeSeed()

func newGate(perAddress, waiting int, patience time.Duration) *gate {
	g := &gate{slots: perAddress, waiting: waiting, patience: patience}
	for i := range g.shards {
		g.shards[i].addresses = make(map[netip.Addr]*slots)
	}
	return g
}

// enter takes a slot of the address; ok is false if it got none in time. leave
// gives it back.
func (g *gate) enter(ctx context.Context, a netip.Addr) (leave func(), ok bool) {
	shard := &g.shards[maphash.Comparable(gateSeed, a)%uint64(len(g.shards))]
	shard.mu.Lock()
	s := shard.addresses[a]
	if s == nil {
		s = &slots{taken: make(chan struct{}, g.slots)}
		shard.addresses[a] = s
	}
	if s.holders >= g.slots+g.waiting {
		shard.mu.Unlock()
		return nil, false
	}
	s.holders++
	shard.mu.Unlock()

	done := func() {
		shard.mu.Lock()
		defer shard.mu.Unlock()
		if s.holders--; s.holders == 0 {
			delete(shard.addresses, a)
		}
	}
	leave = func() {
		<-s.taken
		done()
	}
	select {
	case s.taken <- struct{}{}:
		return leave, true
	default:
	}
	timer := time.NewTimer(g.patience)
	defer timer.Stop()
	select {
	case s.taken <- struct{}{}:
		return leave, true
	case <-timer.C:
	case <-ctx.Done():
	}
	done()
	return nil, false
}

// failures counts failed authentications by address: at most limit within
// window are answered as such. Its table is bounded: it forgets the addresses
// that have been quiet for a window and, when many thousands fail at once, the
// ones that failed least recently.
type failures struct {
	limit  int
	window time.Duration
	size   int // of one half of the table
	now    func() time.Time

	mu      sync.Mutex
	rotated time.Time
	recent  map[netip.Addr]*ring // a half of the table: seen since rotated
	older   map[netip.Addr]*ring // the half before
}

// ring holds the times of an address's newest failures.
type ring struct {
	at   []time.Time
	next int
}

func newFailures(limit int, window time.Duration, size int, now func() time.Time) *failures {
	return &failures{
		limit: limit, window: window, size: size, now: now,
		rotated: now(), recent: make(map[netip.Addr]*ring),
	}
}

// add counts a failure. wait is 0 if it is within the limit, else how long the
// address has to wait until one would be.
func (f *failures) add(a netip.Addr) (wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if len(f.recent) >= f.size || now.Sub(f.rotated) >= f.window {
		f.older, f.recent, f.rotated = f.recent, make(map[netip.Addr]*ring), now
	}
	r := f.recent[a]
	if r == nil {
		if r = f.older[a]; r == nil {
			r = &ring{}
		}
		f.recent[a] = r
	}
	if len(r.at) < f.limit {
		r.at = append(r.at, now)
		return 0
	}
	oldest := r.at[r.next]
	if age := now.Sub(oldest); age < f.window {
		return f.window - age
	}
	r.at[r.next] = now
	r.next = (r.next + 1) % f.limit
	return 0
}
