package tagging

import (
	"slices"
	"time"

	"autotag/pkg/decision"
	"autotag/pkg/livechat"
	"autotag/pkg/rules"
	"autotag/pkg/transcript"
)

// echoWindow is how long after our own call a webhook may still be its echo:
// the platform retries a webhook for about a minute.
const echoWindow = 2 * time.Minute

// Results of a call that are not an error type of the platform.
const (
	resultAlready     = "already_tagged"
	resultNotTagged   = "not_tagged"
	resultUnreachable = "unreachable" // no or no usable answer: the call may have been carried out
	resultNotSent     = "not_sent"    // intended, then held back before it was sent
	resultGivenUp     = "given_up"    // refused for good: the call is in AUTOTAG_DEAD
)

// tagState is what is known of one tag on one thread.
type tagState struct {
	// ours: set by us and not removed since, or perhaps set: an intent of ours
	// of which the end is not known.
	ours bool
	// unfinished is the newest intent without a certain end, if any; maybe
	// says that an attempt before it had no certain end either.
	unfinished *intent
	maybe      bool
	// personSet: on the thread by a person's hand. personRemoved: a person
	// once took it off; it is never set again.
	personSet, personRemoved bool
	// unclear: a person both set and removed it, and webhooks carry no order.
	unclear bool
	// failed is the operation that was given up and is in AUTOTAG_DEAD, "" for none.
	failed string
	// attempts of the operation that is under way, and when the first was made.
	attempts int
	op       string
	since    time.Time
	// failures are those of the attempts that reached LiveChat and failed there.
	failures int
	// refused is the result of the newest attempt where LiveChat refused it for
	// what it asks, "" otherwise; refusedAt is when.
	refused   string
	refusedAt time.Time
}

// pause is how long to wait after a call of this operation has failed once
// more. Attempts that were held back say nothing of LiveChat, so only failures
// make it longer.
func (s *tagState) pause(op string) time.Duration {
	if s.attempts == 0 || s.op != op {
		return backoff(1)
	}
	return backoff(s.failures + 1)
}

type intent struct {
	at   time.Time
	op   string
	open bool // no outcome at all: a worker is at it, or died
}

// people is what is known of people's hands on a thread's tags, beside the tag
// events: these are kept for days, decisions for months.
type people struct {
	// initial are the tags that the thread bore at its start. They are never
	// ours: we act after its end.
	initial []string
	// set and removed are what the newest decision left to a person.
	set, removed []string
}

// people is what the decision says of people's hands; r may be nil.
func (r *StoredRecord) people() people {
	var p people
	if r == nil {
		return p
	}
	for _, s := range r.Skipped {
		switch s.Why {
		case rules.WhyPersonSet:
			p.set = append(p.set, s.Tag)
		case rules.WhyPersonRemoved:
			p.removed = append(p.removed, s.Tag)
		}
	}
	return p
}

// moment is one thing that happened to a tag, by our hand or another.
type moment struct {
	at    time.Time
	call  *decision.Call // ours
	untag bool           // a webhook's
	order int
}

// ownership says, for every tag that ever touched the thread, whose it is. A
// tag is ours from its intended tagging until an untagging that no intent of
// ours explains. A thread_tagged stored before our intent, or an "already
// tagged" answer without an unfinished intent of ours, makes it a person's, as
// does any untagging by a person, and a thread_tagged too late to be our echo.
// known is what older sources tell, shown what get_chat said last.
func ownership(outcomes []StoredOutcome, events []transcript.TagEvent, known people, shown *transcript.TagSet) map[string]*tagState {
	moments := map[string][]moment{}
	for i, o := range outcomes {
		for j := range o.Calls {
			c := &o.Calls[j]
			moments[c.Tag] = append(moments[c.Tag], moment{at: o.At, call: c, order: i})
		}
	}
	for _, e := range events {
		moments[e.Tag] = append(moments[e.Tag], moment{at: e.At, untag: e.Untag, order: len(outcomes)})
	}
	states := map[string]*tagState{}
	state := func(tag string) *tagState {
		if states[tag] == nil {
			states[tag] = &tagState{}
		}
		return states[tag]
	}
	for _, t := range slices.Concat(known.initial, known.set) {
		state(t).personSet = true
	}
	for _, t := range known.removed {
		state(t).personRemoved = true
	}
	for tag := range moments {
		state(tag)
	}
	for tag, s := range states {
		ms := moments[tag]
		// Of one instant our own record comes first: at worst a person's hand
		// is taken for our echo.
		slices.SortStableFunc(ms, func(a, b moment) int {
			if c := a.at.Compare(b.at); c != 0 {
				return c
			}
			return a.order - b.order
		})
		s.walk(ms, slices.Contains(known.initial, tag), shown, tag)
	}
	if shown != nil {
		for _, t := range shown.Tags {
			if states[t] == nil {
				states[t] = &tagState{personSet: true}
			}
		}
	}
	return states
}

func (s *tagState) walk(ms []moment, initial bool, shown *transcript.TagSet, tag string) {
	var lastTag, lastUntag time.Time // when an own call of each kind may last have been carried out
	var handSet, handRemoved time.Time
	if initial {
		handSet = time.Unix(0, 1)
	}
	for _, m := range ms {
		switch {
		case m.call != nil:
			s.own(m.call, m.at, &lastTag, &lastUntag)
		case m.untag:
			if within(lastUntag, m.at) {
				continue // the echo of our own untagging
			}
			s.personRemoved, s.personSet, s.ours, s.unfinished = true, false, false, nil
			handRemoved = m.at
		default:
			if within(lastTag, m.at) {
				continue // our echo, or a person's hand that cannot be told from it
			}
			s.personSet, s.ours, s.unfinished = true, false, nil
			handSet = m.at
		}
	}
	s.unclear = !handSet.IsZero() && !handRemoved.IsZero()
	if shown == nil || s.ours || !shown.At.After(handSet) || !shown.At.After(handRemoved) {
		return
	}
	there := slices.Contains(shown.Tags, tag)
	if there && !lastTag.IsZero() {
		return // it may have been ours then
	}
	if s.personSet && !there && lastUntag.IsZero() {
		s.personRemoved = true // by a webhook that never came
	}
	s.personSet, s.unclear = there, false
}

func (s *tagState) own(c *decision.Call, at time.Time, lastTag, lastUntag *time.Time) {
	if mayEcho(c) {
		if c.Op == decision.Untag {
			*lastUntag = at
		} else {
			*lastTag = at
		}
	}
	switch c.State {
	case decision.Intended:
		if s.attempts == 0 || s.op != c.Op {
			s.since, s.failures = at, 0
		}
		s.op, s.attempts, s.refused = c.Op, c.Attempt, ""
		s.maybe = s.unfinished != nil
		s.unfinished = &intent{at: at, op: c.Op, open: true}
		if c.Op == decision.Tag {
			// A person was faster than our intent: the tag stays that person's.
			s.ours = !s.personSet && !s.personRemoved
		}
	case decision.Done:
		s.unfinished, s.maybe, s.attempts, s.failed = nil, false, 0, ""
		s.ours = c.Op == decision.Tag && !s.personSet && !s.personRemoved
	case decision.Failed:
		if !held(c.Result) {
			s.failures++
		}
		if aboutTag(c.Result) {
			s.refused, s.refusedAt = c.Result, at
		}
		switch {
		case c.Result == resultAlready && (s.maybe || s.attempts != c.Attempt || s.op != c.Op):
			// Another attempt of ours, perhaps another worker's, was faster.
			if s.attempts != 0 && s.op == c.Op {
				s.own(&decision.Call{Op: c.Op, State: decision.Done}, at, lastTag, lastUntag)
			}
		case c.Result == resultAlready:
			s.unfinished, s.maybe, s.attempts = nil, false, 0
			s.ours, s.personSet = false, true
		case c.Result == resultGivenUp:
			s.unfinished, s.attempts, s.failed = nil, 0, c.Op
			switch {
			case s.maybe:
				s.unfinished = &intent{at: at, op: c.Op}
			case c.Op == decision.Tag:
				s.ours = false
			}
		case uncertain(c.Result) || s.maybe:
			// This attempt or an earlier one may have been carried out.
			s.unfinished = &intent{at: at, op: c.Op}
		default:
			s.unfinished = nil
			if c.Op == decision.Tag {
				s.ours = false
			}
			if held(c.Result) {
				s.since = at
			}
		}
	}
}

// mayEcho says whether the webhook of our own call may still follow: from its
// intent on, and counted again from its end, for a worker may be frozen before
// it sends the call.
func mayEcho(c *decision.Call) bool {
	return c.State == decision.Intended || c.State == decision.Done && c.Result == "" || uncertain(c.Result)
}

func within(own, webhook time.Time) bool {
	return !own.IsZero() && !webhook.Before(own) && webhook.Sub(own) <= echoWindow
}

// isEcho says whether a thread_tagged or thread_untagged is explained by a call
// of ours.
func isEcho(outcomes []StoredOutcome, w Webhook) bool {
	op := decision.Tag
	if w.Action == livechat.ThreadUntagged {
		op = decision.Untag
	}
	for _, o := range outcomes {
		for _, call := range o.Calls {
			if mayEcho(&call) && call.Op == op && call.Tag == w.Payload.Tag && within(o.At, w.At) {
				return true
			}
		}
	}
	return false
}
