package tagging

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"autotag/pkg/chatstore"
	"autotag/pkg/decision"
	"autotag/pkg/livechat"
	"autotag/pkg/stream"
	"autotag/pkg/transcript"
)

// Apply makes LiveChat agree with the thread's newest decision. nil: it does,
// or what cannot be mended is in AUTOTAG_DEAD.
func (c *Core) Apply(ctx context.Context, k transcript.Key) error {
	if c.Off {
		return nil
	}
	waiting := map[string]*Later{} // tags whose calls must wait, which holds up no other tag
	for conflict := 0; conflict < conflicts; {
		more, err := c.step(ctx, k, waiting)
		var wait *Later
		switch {
		case errors.As(err, &wait) && wait.tag != "":
			waiting[wait.tag] = wait
		case errors.Is(err, ErrConflict):
			conflict++
		case err != nil || !more:
			return err
		}
	}
	return later(time.Second, errChanging)
}

// step looks at everything anew and makes at most one call; more says that it
// did, so that there may be more to do.
func (c *Core) step(ctx context.Context, k transcript.Key, waiting map[string]*Later) (more bool, err error) {
	records, err := c.Log.Records(ctx, k)
	if err != nil {
		return false, fmt.Errorf("read the thread's records: %w", err)
	}
	d := records.Decision
	if d == nil {
		return false, nil // aged out
	}
	events, err := c.Log.TagEvents(ctx, k)
	if err != nil {
		return false, fmt.Errorf("read the thread's tag events: %w", err)
	}
	own := ownership(records.Outcomes, events, d.people(), nil)
	next, s, err := c.next(d, own, waiting)
	if err != nil {
		return false, err
	}
	if next == nil {
		return false, soonest(waiting)
	}
	if !c.ours(k.Org) {
		c.Observer.Paused(k.Org, "foreign", c.Clock.Now().Add(foreignRetry))
		if c.Clock.Now().Sub(d.At) > giveUpAfter {
			return true, c.giveUp(ctx, k, d, *next, records.Last, "foreign_organization")
		}
		return false, later(foreignRetry, errForeign)
	}
	// What explains a refusal and could not be asked right after it is asked now:
	// another attempt would only be refused again, and use up the rate that the
	// question needs. Nor does one follow the question at once.
	if next.Op == decision.Tag && c.tags.get(k.Org).owed {
		if _, err := c.tagExists(ctx, k, next.Tag); err != nil {
			return false, err
		}
		return false, later(firstPause, errRate)
	}
	if s.refused != "" && s.op == next.Op && c.asksThread(k.Org, next, s) {
		next.State, next.Result, next.Attempt = decision.Failed, s.refused, s.attempts
		return true, c.refused(ctx, k, d, *next, s, records.Last)
	}
	probe := next.Tag
	if next.Op == decision.Untag {
		probe = ""
	}
	p, err := c.permit(ctx, k.Org, probe)
	if err != nil {
		if errors.Is(err, errProbe) && c.Clock.Now().Sub(d.At) > giveUpAfter {
			return true, c.giveUp(ctx, k, d, *next, records.Last, "unknown_tag")
		}
		return false, err
	}
	begun := c.Clock.Now()
	seq, err := c.Log.Outcome(ctx, k, outcome(d, *next), records.Last)
	if err != nil {
		return false, fmt.Errorf("record the intent: %w", err)
	}
	err = c.renew(ctx, k.Org, p, begun)
	if err == nil {
		err = c.call(k, method(next.Op), func() error {
			if next.Op == decision.Tag {
				return c.API.Tag(ctx, k, next.Tag)
			}
			return c.API.Untag(ctx, k, next.Tag)
		})
	}
	if errors.Is(err, errHeld) {
		next.State, next.Result = decision.Failed, resultNotSent
		_, kept := c.keep(ctx, k, outcome(d, *next), seq)
		return false, errors.Join(later(firstPause, err), kept)
	}
	return c.ended(ctx, k, d, *next, s, p, seq, err)
}

// asksThread says whether only the thread itself can explain a refusal: that of
// an untagging, and that of a tagging which was due to be given up, with a tag
// that there is.
func (c *Core) asksThread(org string, call *decision.Call, s *tagState) bool {
	list := c.tags.get(org)
	return call.Op == decision.Untag ||
		s.refusedAt.Sub(s.since) > giveUpThread && list.fresh(c.Clock.Now()) && list.has(call.Tag)
}

// renew gets another permit where storing the intent took longer than the first
// one lives, provided that the intent is young: others count from it when the
// call must have ended, and who was frozen meanwhile may not call any more.
func (c *Core) renew(ctx context.Context, org string, p chatstore.Permit, begun time.Time) error {
	if !c.stale(p) {
		return nil
	}
	if c.Clock.Now().Sub(begun) < slowIntent {
		_, err := c.permit(ctx, org, "")
		if err != nil {
			return fmt.Errorf("%w: %w", errHeld, err)
		}
		if c.Clock.Now().Sub(begun) < slowIntent+shortWait {
			return nil
		}
	}
	return fmt.Errorf("%w: %w", errHeld, errRate)
}

// ended records how a call went and says what follows from it.
func (c *Core) ended(ctx context.Context, k transcript.Key, d *StoredRecord, call decision.Call, s *tagState, p chatstore.Permit, seq uint64, callErr error) (more bool, err error) {
	call.State, call.Result = decision.Failed, resultOf(callErr)
	if callErr == nil ||
		call.Result == resultNotTagged ||
		// An earlier attempt of ours had no certain end: it was that one.
		call.Result == resultAlready && s.unfinished != nil && s.unfinished.op == decision.Tag {
		call.State = decision.Done
	}
	last, err := c.keep(ctx, k, outcome(d, call), seq)
	if err != nil {
		return false, err
	}
	c.Observer.Tagged(k, call)
	if call.State == decision.Done || call.Result == resultAlready {
		if p.Probe {
			if err := c.Limits.Accepted(ctx, k.Org, call.Tag); err != nil {
				return false, fmt.Errorf("keep that the tag works: %w", err)
			}
		}
		return true, nil
	}
	e := apiError(callErr)
	switch {
	case e.Token() || call.Result == tooMany:
		// Not this call's fault: it goes on when the gate lets it.
		return false, later(max(c.gate.wait(k.Org, c.Clock.Now()), firstPause), callErr)
	case e.Temporary() && c.old(s, giveUpAfter):
		return true, c.giveUp(ctx, k, d, call, last, call.Result)
	case e.Temporary():
		return false, later(max(e.RetryAfter, s.pause(call.Op)), callErr)
	}
	if !aboutTag(call.Result) {
		return true, c.giveUp(ctx, k, d, call, last, call.Result)
	}
	if call.Op == decision.Untag {
		return true, c.refused(ctx, k, d, call, s, last)
	}
	known, err := c.tagExists(ctx, k, call.Tag)
	switch {
	case err != nil:
		return false, err
	case !known:
		if err := c.Limits.Refused(ctx, k.Org, call.Tag); err != nil {
			return false, fmt.Errorf("keep that the tag is unknown: %w", err)
		}
		return false, laterTag(call.Tag, firstPause, errProbe)
	}
	// The tag exists: the refusal concerns this thread alone, and other
	// threads' calls need not wait for the tag.
	if p.Probe {
		if err := c.Limits.Accepted(ctx, k.Org, call.Tag); err != nil {
			return false, fmt.Errorf("keep that the tag exists: %w", err)
		}
	}
	if c.old(s, giveUpThread) {
		return true, c.refused(ctx, k, d, call, s, last)
	}
	return false, laterTag(call.Tag, threadRetry, callErr)
}

// refused ends a call that LiveChat refuses for this thread alone. What it
// answers to tagging what is tagged, or untagging what is not, is undocumented
// and may look like any refusal: the thread itself is asked before the call is
// given up, unless the settings forbid to ask.
func (c *Core) refused(ctx context.Context, k transcript.Key, d *StoredRecord, call decision.Call, s *tagState, last uint64) error {
	reason := call.Result
	if c.Reconcile == ReconcileNever {
		return c.giveUp(ctx, k, d, call, last, reason)
	}
	if _, err := c.permit(ctx, k.Org, ""); err != nil {
		return err
	}
	var chat livechat.Chat
	err := c.call(k, "get_chat", func() (err error) {
		chat, err = c.API.GetChat(ctx, k)
		return err
	})
	if e := apiError(err); err != nil && (errors.Is(err, errHeld) || e.Token() || e.Temporary()) {
		return later(firstPause, fmt.Errorf("ask for the thread: %w", err))
	}
	if err == nil && chat.Thread != nil {
		call.Result = ""
		switch there := slices.Contains(chat.Thread.Tags, call.Tag); {
		case call.Op == decision.Untag && !there:
			call.State, call.Result = decision.Done, resultNotTagged
		case call.Op == decision.Tag && there:
			call.Result = resultAlready
			if s.unfinished != nil && s.unfinished.op == decision.Tag {
				call.State = decision.Done
			}
		}
		if call.Result != "" {
			if _, err := c.Log.Outcome(ctx, k, outcome(d, call), last); err != nil {
				return fmt.Errorf("record what the thread shows: %w", err)
			}
			return nil
		}
	}
	return c.giveUp(ctx, k, d, call, last, reason)
}

// threadRetry is how often a refused call that concerns one thread alone is
// tried within giveUpThread.
const threadRetry = 36 * time.Second

func method(op string) string {
	if op == decision.Untag {
		return "untag_thread"
	}
	return "tag_thread"
}

// aboutTag says of a refusal that the tag may be why.
func aboutTag(result string) bool {
	switch result {
	case "validation", "not_found", "missing_access", "group_not_found":
		return true
	}
	return false
}

// old says whether the call was first tried longer ago than d.
func (c *Core) old(s *tagState, d time.Duration) bool {
	return s.attempts > 0 && c.Clock.Now().Sub(s.since) > d
}

// soonest is the answer when nothing is left but to wait; nil for nothing.
func soonest(waiting map[string]*Later) error {
	var first *Later
	for _, w := range waiting {
		if first == nil || w.After < first.After {
			first = w
		}
	}
	if first == nil {
		return nil
	}
	return later(first.After, first.Err)
}

// next names the call that brings the thread nearer to its decision, nil if
// there is none but for those that wait. Sweep and backfill only add.
func (c *Core) next(d *StoredRecord, own map[string]*tagState, waiting map[string]*Later) (*decision.Call, *tagState, error) {
	wanted := tagsOf(d.Tags)
	onlyAdd := d.Reason == decision.ReasonSweep || d.Reason == decision.ReasonBackfill
	tags := slices.Sorted(maps.Keys(own))
	for _, t := range wanted {
		if own[t] == nil {
			tags = append(tags, t)
		}
	}
	for _, t := range tags {
		s := own[t]
		if s == nil {
			s = &tagState{}
		}
		op := ""
		switch want := slices.Contains(wanted, t); {
		case s.personSet, s.personRemoved:
		case want && (!s.ours || s.unfinished != nil):
			op = decision.Tag
		case !want && s.ours && !onlyAdd:
			op = decision.Untag
		}
		if op == "" || op == s.failed || waiting[t] != nil {
			continue
		}
		if u := s.unfinished; u != nil && (u.open || u.op != op) {
			// Somebody may be making that call right now; one to the contrary
			// must not overtake it. An intent of the far future is none that is
			// under way: this worker's clock is behind.
			if age := c.Clock.Now().Sub(u.at); age.Abs() < callBudget {
				return nil, nil, laterTag(t, callBudget-age, errBusy)
			}
		}
		call := &decision.Call{Op: op, Tag: t, State: decision.Intended, Attempt: 1}
		if s.op == op {
			call.Attempt = s.attempts + 1
		}
		return call, s, nil
	}
	return nil, nil, nil
}

func outcome(d *StoredRecord, call decision.Call) decision.Outcome {
	return decision.Outcome{DecisionSeq: d.Seq, Calls: []decision.Call{call}}
}

// keep records a fact about our own call, whatever was recorded since the
// intent: only an intent may be refused by what others do.
func (c *Core) keep(ctx context.Context, k transcript.Key, o decision.Outcome, expect uint64) (uint64, error) {
	for {
		seq, err := c.Log.Outcome(ctx, k, o, expect)
		if !errors.Is(err, ErrConflict) {
			if err != nil {
				err = fmt.Errorf("record the outcome: %w", err)
			}
			return seq, err
		}
		records, err := c.Log.Records(ctx, k)
		if err != nil {
			return 0, fmt.Errorf("read the thread's records: %w", err)
		}
		expect = records.Last
	}
}

// giveUp puts a call that no retry can mend into AUTOTAG_DEAD, unless the
// thread has moved on since last: then its answer is not this worker's to give.
func (c *Core) giveUp(ctx context.Context, k transcript.Key, d *StoredRecord, call decision.Call, last uint64, reason string) error {
	records, err := c.Log.Records(ctx, k)
	if err != nil {
		return fmt.Errorf("read the thread's records: %w", err)
	}
	if records.Last != last {
		return ErrConflict
	}
	call.State, call.Result = decision.Failed, reason
	// The dead letter comes first: better twice than never.
	if err := c.Log.Dead(ctx, stream.StageApply, k, reason, call); err != nil {
		return fmt.Errorf("keep the dead letter: %w", err)
	}
	c.Observer.Dead(k, stream.StageApply, reason)
	call.Result = resultGivenUp
	if _, err := c.Log.Outcome(ctx, k, outcome(d, call), last); err != nil {
		return fmt.Errorf("record that the call was given up: %w", err)
	}
	return nil
}

func (c *Core) ours(org string) bool {
	return c.Organizations == nil || c.Organizations[org]
}

// tagLists caches list_tags per organization.
type tagLists struct {
	mu   sync.Mutex
	orgs map[string]tagList
}

type tagList struct {
	at   time.Time
	tags []livechat.Tag
	owed bool // it was asked for, and could not be had
}

func (l tagList) fresh(now time.Time) bool { return !l.at.IsZero() && now.Sub(l.at) <= tagsFresh }

func (l tagList) has(tag string) bool {
	return slices.ContainsFunc(l.tags, func(t livechat.Tag) bool { return t.Name == tag })
}

func (l *tagLists) get(org string) tagList {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.orgs[org]
}

func (l *tagLists) set(org string, list tagList) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.orgs == nil {
		l.orgs = map[string]tagList{}
	}
	l.orgs[org] = list
}

// tagExists asks the platform's list whether the tag is there, which a refusal
// leaves open.
func (c *Core) tagExists(ctx context.Context, k transcript.Key, tag string) (bool, error) {
	list := c.tags.get(k.Org)
	if !list.fresh(c.Clock.Now()) {
		if _, err := c.permit(ctx, k.Org, ""); err != nil {
			return false, err
		}
		fresh := tagList{at: c.Clock.Now()}
		err := c.call(k, "list_tags", func() (err error) {
			fresh.tags, err = c.API.ListTags(ctx, k.Org)
			return err
		})
		if err != nil {
			list.owed = true
			c.tags.set(k.Org, list)
			return false, later(firstPause, fmt.Errorf("look the tag up: %w", err))
		}
		list = fresh
		c.tags.set(k.Org, list)
	}
	return list.has(tag), nil
}
