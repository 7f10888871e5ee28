package tagging

import (
	"sync"
	"time"
)

// Growing pauses of an organization whose calls fail as a whole.
const (
	firstPause = time.Second
	maxPause   = 30 * time.Second
	// failuresToOpen is how many calls in a row must fail before the breaker
	// takes the platform, not the thread, to be at fault.
	failuresToOpen = 5
	// probeLife is how long a probe may stay without an answer before another
	// call may try: longer than a call can take.
	probeLife = 30 * time.Second
)

// gate holds back an organization's calls while they cannot succeed: a breaker
// for an API that is down, a pause for a token that is refused, and the time
// that a rate limit asks for. After each pause one call goes through as a
// probe; its success opens the gate.
type gate struct {
	mu   sync.Mutex
	orgs map[string]*orgGate
}

type orgGate struct {
	failures int // in a row
	pauses   int // in a row
	until    time.Time
	reason   string
	closed   bool
	probing  time.Time // when the probe that is under way began
}

func (g *gate) org(org string) *orgGate {
	if g.orgs == nil {
		g.orgs = map[string]*orgGate{}
	}
	o := g.orgs[org]
	if o == nil {
		o = &orgGate{}
		g.orgs[org] = o
	}
	return o
}

// wait says how long a call must wait; 0: it may enter.
func (g *gate) wait(org string, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.org(org).wait(now)
}

func (o *orgGate) wait(now time.Time) time.Duration {
	switch {
	case !o.closed:
		return 0
	case now.Before(o.until):
		return o.until.Sub(now)
	case o.probing.After(now.Add(-probeLife)):
		return firstPause
	}
	return 0
}

// enter lets a call through (0), as the probe if the gate is closed, or says
// how long it must wait. Who is let through must tell its end to report.
func (g *gate) enter(org string, now time.Time) (probe bool, wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	o := g.org(org)
	if d := o.wait(now); d > 0 {
		return false, d
	}
	if o.closed {
		o.probing = now
	}
	return o.closed, 0
}

// report takes the end of a call: whether it was the probe, the fault's name
// ("" for an answer that shows that the API works), whether the fault lies with
// the organization as a whole (token, rate) and not perhaps with this call, and
// the pause that the answer asks for (0: none). It returns whether the gate was
// closed or opened by it, or closed for another reason than before.
//
// While the gate is closed only the probe's end counts, for the other calls
// were on their way before; but for a longer pause that one of them asks for.
func (g *gate) report(org string, now time.Time, probe bool, fault string, whole bool, pause time.Duration) (changed bool, until time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	o := g.org(org)
	switch {
	case o.closed && !probe:
		if whole && now.Add(pause).After(o.until) {
			o.until = now.Add(pause)
		}
		return false, o.until
	case fault == "":
		*o = orgGate{}
		return probe, time.Time{}
	}
	o.probing = time.Time{}
	o.failures++
	if !whole && !probe && o.failures < failuresToOpen {
		return false, time.Time{}
	}
	if pause == 0 {
		pause = min(firstPause<<min(o.pauses, 5), maxPause)
	}
	o.pauses++
	changed = !o.closed || o.reason != fault
	o.closed, o.reason, o.until = true, fault, now.Add(pause)
	return changed, o.until
}
