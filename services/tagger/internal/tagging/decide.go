package tagging

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"autotag/pkg/chatstore"
	"autotag/pkg/decision"
	"autotag/pkg/livechat"
	"autotag/pkg/rules"
	"autotag/pkg/transcript"
)

// conflicts is how often a step starts over because the records moved on
// before it gives the thread back for a second.
const conflicts = 5

// Due is a fired timer.
type Due struct {
	At    time.Time // when NATS stored it
	Reach uint64
}

// Decide looks at a thread whose timer has fired and records what the rules
// say about it. nil: the timer may be acknowledged.
func (c *Core) Decide(ctx context.Context, k transcript.Key, due Due) error {
	for range conflicts {
		err := c.decide(ctx, k, due)
		if !errors.Is(err, ErrConflict) {
			return err
		}
	}
	return later(time.Second, errChanging)
}

func (c *Core) decide(ctx context.Context, k transcript.Key, due Due) error {
	set, order := c.Rules.Current()
	// The records come first: what is recorded after this moment makes the
	// decision fail, so that it never rests on older knowledge than the one before it.
	records, err := c.Log.Records(ctx, k)
	if err != nil {
		return fmt.Errorf("read the thread's records: %w", err)
	}
	if r := records.Decision; r != nil && r.RulesVersion != set.Version {
		theirs, err := c.Rules.Order(ctx, r.RulesVersion)
		if err != nil {
			return fmt.Errorf("look up the rules version: %w", err)
		}
		if theirs > order && !c.Rules.Behind() {
			return later(5*time.Second, errBehind)
		}
	}
	t, err := c.read(ctx, k, set, due.Reach)
	if err != nil {
		return err
	}
	if !t.known() || t.seen(records.Decision) {
		return nil
	}
	// Due by NATS's clock, never by this worker's. A timer can fire before the
	// last webhook has settled: re-arming it lost to the firing.
	if at := t.last.Add(c.Settle); due.At.Before(at) {
		return errors.Join(c.Log.Arm(ctx, []Timer{{Key: k, At: at, Reach: max(due.Reach, t.reach)}})...)
	}
	if !t.reduction.Ended {
		if !t.started {
			return nil
		}
		// The store forgot that the thread is open, or every message would not
		// have armed: tell it again.
		if err := c.Store.Rebuild(ctx, k, t.own, t.run); err != nil {
			return fmt.Errorf("rebuild the thread in the store: %w", err)
		}
		return nil
	}
	result, own, err := c.match(ctx, set, t, records)
	if err != nil {
		return err
	}
	record := c.record(k, set, records, t, result, own)
	seq, err := c.Log.Decide(ctx, k, record, records.Last)
	if err != nil {
		return fmt.Errorf("record the decision: %w", err)
	}
	c.Observer.Decided(k, record, records.Decision == nil || !slices.Equal(tagsOf(records.Decision.Tags), tagsOf(record.Tags)))
	// Only a mark: the record itself is what counts.
	_ = c.Store.Decided(ctx, k, seq)
	return nil
}

// thread is everything known of a thread at one moment.
type thread struct {
	key       transcript.Key
	facts     *transcript.Facts
	own       []transcript.Fact // from the log, of the thread alone
	run       string
	readAt    time.Time // by this worker's clock
	last      time.Time // newest webhook that may change the answer
	lastSeq   uint64
	reach     uint64
	started   bool // the log has its incoming_chat
	reduction *transcript.Reduction
	from      decision.From
	complete  bool
	first     *transcript.Transcript // the reading that the result is of
}

// known says whether anything is known of the thread but its end. The start of
// a later thread names the one before it, which may be years old: it is not
// decided, nor paid for, because its customer comes back.
func (t *thread) known() bool {
	return len(t.own) > 0 || t.reduction.Started || t.reduction.Events > 0
}

// seen says whether the decision rests on everything that the log tells now:
// its timer was fired twice, or by the start of a later thread. Neither time
// nor sequence alone tells, for clocks go back and a stream that lost its tail
// counts anew.
func (t *thread) seen(d *StoredRecord) bool {
	return d != nil && !t.last.After(d.Transcript.Until) && t.lastSeq <= d.Transcript.Seq
}

// whose says whose each tag on the thread is.
func (t *thread) whose(records Records) map[string]*tagState {
	known := records.Decision.people()
	for _, s := range t.reduction.InitialTags {
		known.initial = append(known.initial, s.Tags...)
	}
	var shown *transcript.TagSet
	if n := len(t.reduction.APITags); n > 0 {
		shown = &t.reduction.APITags[n-1]
	}
	return ownership(records.Outcomes, t.reduction.TagEvents, known, shown)
}

func (t *thread) saw(w Webhook) {
	if w.At.After(t.last) {
		t.last = w.At
	}
	t.lastSeq = max(t.lastSeq, w.Seq)
}

// read unites what the store and the log know of a thread.
func (c *Core) read(ctx context.Context, k transcript.Key, set *rules.Set, reach uint64) (*thread, error) {
	readAt := c.Clock.Now()
	known, err := c.Store.Get(ctx, k)
	if err != nil {
		return nil, fmt.Errorf("read the thread from the store: %w", err)
	}
	webhooks, err := c.Log.Thread(ctx, k, reach)
	if err != nil {
		return nil, fmt.Errorf("read the thread's log: %w", err)
	}
	unless := set.UnlessTags()
	t := &thread{key: k, facts: &transcript.Facts{}, run: known.Run, readAt: readAt}
	t.facts.AddAll(known.Facts)
	t.from.Redis = t.facts.Events()
	logged := &transcript.Facts{}
	for _, w := range webhooks {
		r := transcript.Read(w.Key, w.Action, w.Payload, w.At)
		logged.AddAll(r.Facts)
		t.facts.AddAll(r.Facts)
		if w.Key == k {
			t.own = append(t.own, r.Facts...)
		}
		t.reach = max(t.reach, w.Seq)
		t.started = t.started || w.Action == livechat.IncomingChat && w.Key == k
		counts := r.Effect == transcript.Changes || r.Effect == transcript.Ends ||
			r.Effect == transcript.TagChanges && unless[w.Payload.Tag]
		if counts {
			t.saw(w)
		}
	}
	t.from.Log = logged.Events()
	t.reduction = transcript.Reduce(k, t.facts)
	if t.reduction.Ended {
		return t, nil
	}
	// Only a later thread may tell that this one has ended.
	starts, err := c.Log.Starts(ctx, k.Org, k.Chat)
	if err != nil {
		return nil, fmt.Errorf("look for a later thread: %w", err)
	}
	for _, w := range starts {
		if transcript.Read(w.Key, w.Action, w.Payload, w.At).EndedThread == k.Thread {
			t.facts.AddAll(ended(w.At))
			t.reduction = transcript.Reduce(k, t.facts)
			t.saw(w)
		}
	}
	return t, nil
}

// match says what the rules ask for, and whose the thread's tags are. Where
// the webhooks leave something open that matters, and the settings allow it,
// LiveChat's answer decides.
func (c *Core) match(ctx context.Context, set *rules.Set, t *thread, records Records) (rules.Result, map[string]*tagState, error) {
	r := t.reduction
	gaps := r.Started && r.Gaps > 0 && r.Unreadable == 0 // and nothing else
	incomplete := !r.Started || gaps || r.Unreadable > 0
	ask := !c.Off && c.ours(t.key.Org) && !r.Cut && c.Reconcile != ReconcileNever
	if gaps && ask && c.Reconcile == ReconcileAuto {
		harmless, err := c.Limits.GapsHarmless(ctx, t.key.Org)
		if err != nil {
			return rules.Result{}, nil, fmt.Errorf("look up what gaps mean: %w", err)
		}
		incomplete = !harmless
	}
	t.complete = !incomplete && !r.Cut && !r.Restricted
	own := t.whose(records)
	result, same := evaluate(set, t, own)
	if !ask || c.Reconcile == ReconcileAuto && same && (!incomplete || r.Restricted) {
		return result, own, nil
	}
	before := t.messages()
	answered, err := c.getChat(ctx, t)
	if err != nil || !answered {
		// Refused for good: decided on what there is.
		t.complete = false
		result, _ = evaluate(set, t, own)
		return result, own, err
	}
	// An answer that withholds the events teaches nothing.
	if gaps && incomplete && !t.reduction.Restricted {
		brought := false
		for id := range t.messages() {
			brought = brought || !before[id]
		}
		if err := c.Limits.Gap(ctx, t.key, brought); err != nil {
			return rules.Result{}, nil, fmt.Errorf("keep what the gap meant: %w", err)
		}
	}
	t.complete = !t.reduction.Cut && !t.reduction.Restricted
	own = t.whose(records)
	result, _ = evaluate(set, t, own)
	return result, own, nil
}

// messages are the ids of what is searched, in the first reading.
func (t *thread) messages() map[string]bool {
	ids := map[string]bool{}
	readings, _ := t.reduction.Readings(1)
	for _, m := range readings[0].Messages {
		ids[m.EventID] = true
	}
	return ids
}

// evaluate matches the rules against every reading that the webhooks allow. It
// returns the result for the first, the order of arrival, and whether all give
// the same tags.
func evaluate(set *rules.Set, t *thread, own map[string]*tagState) (first rules.Result, same bool) {
	readings, more := t.reduction.Readings(maxReadings)
	// Tags count that are on the thread and not ours, and that a rule looks at.
	var tagged, unclear []string
	unless := set.UnlessTags()
	for tag, s := range own {
		if s.personSet && !s.ours {
			tagged = append(tagged, tag)
		}
		if s.unclear && unless[tag] {
			unclear = append(unclear, tag)
		}
	}
	slices.Sort(tagged)
	slices.Sort(unclear)
	same = !more && len(unclear) <= 3
	for i, r := range readings {
		r.Complete = t.complete && !r.Cut
		r.Tagged = tagged
		result := set.Match(r)
		if i == 0 {
			first = result
			t.first = r
		} else if !slices.Equal(first.TagSet(), result.TagSet()) {
			return first, false
		}
		for n := 1; same && n < 1<<len(unclear); n++ {
			flipped := *r
			flipped.Tagged = flip(tagged, unclear, n)
			if !slices.Equal(first.TagSet(), set.Match(&flipped).TagSet()) {
				return first, false
			}
		}
	}
	return first, same
}

// flip gives tagged with those of unclear turned over whose bit is set in n.
func flip(tagged, unclear []string, n int) []string {
	var flipped []string
	for _, t := range tagged {
		if i := slices.Index(unclear, t); i < 0 || n>>i&1 == 0 {
			flipped = append(flipped, t)
		}
	}
	for i, t := range unclear {
		if n>>i&1 == 1 && !slices.Contains(tagged, t) {
			flipped = append(flipped, t)
		}
	}
	slices.Sort(flipped)
	return flipped
}

// getChat asks LiveChat for the thread, once, and keeps what it tells. false:
// refused for good, or told nothing of this thread.
func (c *Core) getChat(ctx context.Context, t *thread) (answered bool, err error) {
	if _, err := c.permit(ctx, t.key.Org, ""); err != nil {
		return false, err
	}
	// Who was frozen meanwhile looks anew: another may have asked and decided.
	if c.Clock.Now().Sub(t.readAt) > shortWait+slowIntent {
		return false, ErrConflict
	}
	at := c.Clock.Now()
	var chat livechat.Chat
	err = c.call(t.key, "get_chat", func() (err error) {
		chat, err = c.API.GetChat(ctx, t.key)
		return err
	})
	if e := apiError(err); err != nil {
		var wait *Later
		switch {
		case errors.As(err, &wait):
			return false, err
		case e.Token() || e.Temporary():
			// A timer counts no attempts: waiting as long again as the thread
			// has waited already makes the pauses grow all the same.
			waited := c.Clock.Now().Sub(t.last.Add(c.Settle))
			return false, later(max(e.RetryAfter, firstPause, min(waited, maxBackoff)), fmt.Errorf("ask for the thread: %w", err))
		}
		return false, nil
	}
	facts := transcript.FromChat(t.key, t.facts, chat, at)
	if len(facts) == 0 {
		return false, nil
	}
	if _, err := c.Store.Put(ctx, []chatstore.Write{{Key: t.key, Facts: facts}}); err != nil {
		return false, fmt.Errorf("store LiveChat's answer: %w", err)
	}
	shown := &transcript.Facts{}
	shown.AddAll(facts)
	t.from.API = shown.Events()
	t.facts.AddAll(facts)
	t.reduction = transcript.Reduce(t.key, t.facts)
	return true, nil
}

// maxRecord is the size that a decision record stays under.
const maxRecord = 256 << 10

func (c *Core) record(k transcript.Key, set *rules.Set, records Records, t *thread, result rules.Result, own map[string]*tagState) decision.Record {
	r := decision.Record{
		V:              decision.Version,
		OrganizationID: k.Org,
		ChatID:         k.Chat,
		ThreadID:       k.Thread,
		DecidedAt:      c.Clock.Now().UTC(),
		Reason:         decision.ReasonEnded,
		RulesVersion:   set.Version,
		Transcript: decision.Transcript{
			Messages: len(t.first.Messages),
			From:     t.from,
			Complete: t.complete && !t.first.Cut,
			Cut:      t.first.Cut,
			Digest:   t.first.Digest(),
			Seq:      t.lastSeq,
			Until:    t.last,
		},
		Tags:       []rules.Hit{},
		Shadow:     result.Shadow,
		NearMisses: result.NearMisses,
		Skipped:    slices.Clone(result.Skipped),
	}
	if records.Decision != nil {
		r.Reason = decision.ReasonLateEvent
	}
	for _, hit := range result.Tags {
		switch s := own[hit.Tag]; {
		case s != nil && s.personRemoved:
			r.Skipped = append(r.Skipped, rules.Skip{Tag: hit.Tag, Rule: hit.Rule, Why: rules.WhyPersonRemoved})
		case s != nil && s.personSet:
			r.Skipped = append(r.Skipped, rules.Skip{Tag: hit.Tag, Rule: hit.Rule, Why: rules.WhyPersonSet})
		default:
			r.Tags = append(r.Tags, hit)
		}
	}
	return r.Trim(maxRecord)
}

func tagsOf(hits []rules.Hit) []string { return rules.Result{Tags: hits}.TagSet() }
