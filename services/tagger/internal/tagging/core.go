// Package tagging is the core of the tagger: it decides which tags a thread
// gets and makes LiveChat agree. It is pure behind small interfaces (clock,
// log, store, API, limits), so that a seeded scheduler can run, reorder,
// freeze and crash it without a server.
//
// Three steps, each of which may run twice, late, or at the same time on
// another worker:
//
//	Accumulate   a webhook -> facts in the store; arms the thread's timer where the answer may change
//	Decide       a due timer -> reads everything known of the thread -> a decision record
//	Apply        a decision -> tag and untag calls until the thread agrees with the newest decision
//
// What holds them together is compare and set on the thread's records: a
// decision or an intent is stored only if nothing was recorded since its worker
// looked. LiveChat itself cannot be fenced, so Apply looks again after every
// call and goes on until nothing is left to do.
package tagging

import (
	"context"
	"errors"
	"fmt"
	"time"

	"autotag/pkg/chatstore"
	"autotag/pkg/livechat"
	"autotag/pkg/transcript"
)

const (
	// callBudget is longer than a call can take from its intent on: up to
	// slowIntent and shortWait until it is sent, the client's time-out of 16 s,
	// and the platform's own end of a request. After it nobody else's call of an
	// older intent can still be carried out.
	callBudget = 24 * time.Second
	// slowIntent is how long storing an intent may take for its call still to
	// be made.
	slowIntent = 2 * time.Second
	// shortWait is how long a worker waits for a permit itself before it gives
	// the thread back.
	shortWait = 2 * time.Second
	// giveUpAfter is when calls that cannot succeed go to AUTOTAG_DEAD, and
	// giveUpThread when those do that concern the thread alone.
	giveUpAfter  = 24 * time.Hour
	giveUpThread = 3 * time.Minute
	// maxBackoff is the longest pause between two attempts at one thread.
	maxBackoff = 5 * time.Minute
	// tagsFresh is how long an answer of list_tags counts: the platform's own
	// propagation delay.
	tagsFresh = 2 * time.Minute
	// foreignRetry is how often the calls of an organization that the token
	// does not belong to are looked at again.
	foreignRetry = 10 * time.Minute
	// maxReadings bounds how many readings of ambiguous webhooks are tried;
	// above it they count as different.
	maxReadings = 64
)

// Reconcile says when get_chat may be asked for what the webhooks leave open.
type Reconcile string

// The settings of RECONCILE.
const (
	ReconcileAuto   Reconcile = "auto"
	ReconcileAlways Reconcile = "always"
	ReconcileNever  Reconcile = "never"
)

// Config of a Core. The interfaces must all be set.
type Config struct {
	Clock    Clock
	Log      Log
	Store    Store
	API      API
	Limits   Limits
	Rules    Rules
	Observer Observer

	Settle    time.Duration
	Reconcile Reconcile
	// Off: decide and record, make no call (APPLY=off).
	Off bool
	// Organizations that the token belongs to; nil for any.
	Organizations map[string]bool
}

// Core decides and applies. It holds no state that may not be lost: the gate
// and the cached tag lists only.
type Core struct {
	Config
	gate gate
	tags tagLists
}

// New makes a Core.
func New(c Config) *Core { return &Core{Config: c} }

// Later is the answer of a step that has to wait: it is to be called again
// after the time given, and may be parked meanwhile.
type Later struct {
	After time.Duration
	Err   error
	tag   string // that alone has to wait; "" for the whole thread
}

func (e *Later) Error() string { return fmt.Sprintf("again in %s: %v", e.After, e.Err) }
func (e *Later) Unwrap() error { return e.Err }

func later(d time.Duration, err error) error { return &Later{After: d, Err: err} }

func laterTag(tag string, d time.Duration, err error) error {
	return &Later{After: d, Err: err, tag: tag}
}

var (
	errHeld     = errors.New("the call was not sent")
	errGate     = errors.New("the organization's calls are held back")
	errRate     = errors.New("the rate limit leaves no room")
	errProbe    = errors.New("the tag is unknown to LiveChat so far")
	errBusy     = errors.New("another worker's call is under way")
	errBehind   = errors.New("the record is of newer rules than this worker's")
	errForeign  = errors.New("the token does not belong to the organization")
	errChanging = errors.New("the thread's records keep changing")
)

// permit gets leave for one call, waiting for it at most shortWait. What takes
// longer is a *Later.
func (c *Core) permit(ctx context.Context, org, tag string) (chatstore.Permit, error) {
	until := c.Clock.Now().Add(shortWait)
	for {
		if d := c.gate.wait(org, c.Clock.Now()); d > 0 {
			return chatstore.Permit{}, later(d, errGate)
		}
		p, err := c.Limits.Reserve(ctx, org, tag)
		if err != nil {
			return chatstore.Permit{}, fmt.Errorf("reserve a call: %w", err)
		}
		if p.Wait > 0 {
			if p.Probe {
				return chatstore.Permit{}, laterTag(tag, p.Wait, errProbe)
			}
			if c.Clock.Now().Add(p.Wait).After(until) {
				return chatstore.Permit{}, later(p.Wait, errRate)
			}
			if err := c.Clock.Sleep(ctx, p.Wait); err != nil {
				return chatstore.Permit{}, err
			}
			continue
		}
		if d := p.At.Sub(c.Clock.Now()); d > 0 {
			if err := c.Clock.Sleep(ctx, d); err != nil {
				return chatstore.Permit{}, err
			}
		}
		if c.stale(p) {
			continue
		}
		return p, nil
	}
}

func (c *Core) stale(p chatstore.Permit) bool { return c.Clock.Now().Sub(p.At) > chatstore.PermitLife }

// call makes one call that holds a permit, through the organization's gate.
// errHeld means that it was not made.
func (c *Core) call(k transcript.Key, method string, send func() error) error {
	probe, d := c.gate.enter(k.Org, c.Clock.Now())
	if d > 0 {
		return later(d, fmt.Errorf("%w: %w", errHeld, errGate))
	}
	err := send()
	fault, whole, pause := "", false, time.Duration(0)
	if e := apiError(err); err != nil {
		whole = e.Token() || e.Type == tooMany
		if whole || e.Temporary() {
			fault, pause = resultOf(err), e.RetryAfter
		}
	}
	if changed, until := c.gate.report(k.Org, c.Clock.Now(), probe, fault, whole, pause); changed {
		c.Observer.Paused(k.Org, fault, until)
	}
	c.Observer.Called(k, method, resultOf(err))
	return err
}

// tooMany is the platform's error type of its rate limit.
const tooMany = "too_many_requests"

// apiError gives err as an error of the API; one of another kind counts as no
// answer at all.
func apiError(err error) *livechat.Error {
	var e *livechat.Error
	if errors.As(err, &e) {
		return e
	}
	return &livechat.Error{}
}

// resultOf names the end of a call: "" for success, else the platform's error
// type or one of our own words.
func resultOf(err error) string {
	switch e := apiError(err); {
	case err == nil:
		return ""
	case e.AlreadyTagged():
		return resultAlready
	case e.IsNotTagged():
		return resultNotTagged
	case e.Type != "":
		return e.Type
	case e.Token():
		return "authentication"
	}
	return resultUnreachable
}

// held says of a result that the fault was not the call's: the organization's
// calls could not succeed at the time.
func held(result string) bool {
	return result == resultNotSent || result == tooMany || (&livechat.Error{Type: result}).Token()
}

// uncertain says of a result that the call may have been carried out.
func uncertain(result string) bool {
	switch result {
	case resultUnreachable, "internal", "service_unavailable", "request_timeout":
		return true
	}
	return false
}

// backoff is the pause after the n-th failure in a row.
func backoff(n int) time.Duration {
	return min(firstPause<<min(max(n-1, 0), 9), maxBackoff)
}
