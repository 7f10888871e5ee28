package tagging

import (
	"context"
	"fmt"
	"time"

	"autotag/pkg/chatstore"
	"autotag/pkg/livechat"
	"autotag/pkg/stream"
	"autotag/pkg/transcript"
)

// Accumulate takes a batch of webhooks: it writes what they tell to the store
// in one round trip, then arms the timers of the threads whose answer they may
// change. It returns one error per webhook.
//
// The order (write, read the marks, arm, acknowledge) matters: a webhook that
// is not seen by a decision finds the mark of the end, and so arms.
func (c *Core) Accumulate(ctx context.Context, webhooks []Webhook) []error {
	errs := make([]error, len(webhooks))
	readings := make([]transcript.Reading, len(webhooks))
	writes := make([]chatstore.Write, 0, len(webhooks)+1)
	first := make([]int, len(webhooks)) // of its writes; -1 for none
	now := c.Clock.Now()
	for i, w := range webhooks {
		r := transcript.Read(w.Key, w.Action, w.Payload, w.At)
		readings[i], first[i] = r, -1
		if len(r.Facts) > 0 || r.Effect != transcript.Nothing {
			first[i] = len(writes)
			writes = append(writes, chatstore.Write{Key: w.Key, Facts: r.Facts, Fresh: fresh(w, now)})
		}
		if r.EndedThread != "" {
			writes = append(writes, chatstore.Write{
				Key:   transcript.Key{Org: w.Key.Org, Chat: w.Key.Chat, Thread: r.EndedThread},
				Facts: ended(w.At),
			})
		}
	}
	var marks []chatstore.Marks
	if len(writes) > 0 {
		var err error
		if marks, err = c.Store.Put(ctx, writes); err != nil {
			err = fmt.Errorf("store webhooks: %w", err)
			for i := range errs {
				errs[i] = err
			}
			return errs
		}
	}
	var timers []Timer
	asked := map[transcript.Key]int{} // place in timers
	of := [][]int{}                   // the webhooks that asked for each
	for i, w := range webhooks {
		open := first[i] >= 0 && marks[first[i]].Open
		keys, err := c.toArm(ctx, w, readings[i], open)
		if err != nil {
			errs[i] = err
			continue
		}
		for _, k := range keys {
			n, ok := asked[k]
			if !ok {
				n = len(timers)
				asked[k] = n
				timers, of = append(timers, Timer{Key: k}), append(of, nil)
			}
			t := &timers[n]
			t.Reach = max(t.Reach, w.Seq)
			if at := w.At.Add(c.Settle); at.After(t.At) {
				t.At = at
			}
			of[n] = append(of[n], i)
		}
	}
	if len(timers) == 0 {
		return errs
	}
	for n, err := range c.Log.Arm(ctx, timers) {
		if err == nil {
			continue
		}
		for _, i := range of[n] {
			errs[i] = fmt.Errorf("arm the timer: %w", err)
		}
	}
	return errs
}

// freshStart is how soon after its thread's creation an incoming_chat must
// arrive and be looked at for the thread to be taken as new.
const freshStart = 10 * time.Second

// fresh says whether the webhook begins a thread of which nothing can have been
// written and forgotten yet. A start that comes late proves nothing: the store
// may have known the thread's end and have lost it. Such a thread is known to
// be open only once a timer has looked at its whole log.
func fresh(w Webhook, now time.Time) bool {
	if w.Action != livechat.IncomingChat || w.Payload.Chat == nil || w.Payload.Chat.Thread == nil {
		return false
	}
	young := func(at time.Time) bool {
		age := at.Sub(w.Payload.Chat.Thread.CreatedAt)
		return age > -freshStart/5 && age < freshStart
	}
	return young(w.At) && young(now)
}

// ended is what a thread's end tells, whichever webhook told it.
func ended(at time.Time) []transcript.Fact {
	return transcript.Read(transcript.Key{}, livechat.ChatDeactivated, livechat.Payload{}, at).Facts
}

// toArm names the threads whose answer the webhook may change and that are not
// positively known to be open.
func (c *Core) toArm(ctx context.Context, w Webhook, r transcript.Reading, open bool) ([]transcript.Key, error) {
	var keys []transcript.Key
	if r.EndedThread != "" {
		keys = append(keys, transcript.Key{Org: w.Key.Org, Chat: w.Key.Chat, Thread: r.EndedThread})
	}
	switch r.Effect {
	case transcript.Ends:
		return append(keys, w.Key), nil
	case transcript.Nothing:
		return keys, nil
	case transcript.TagChanges:
		if open {
			return keys, nil
		}
		counts, err := c.tagChangeCounts(ctx, w)
		if err != nil || !counts {
			return keys, err
		}
		return append(keys, w.Key), nil
	}
	switch {
	case open:
		return keys, nil
	case w.Key.Thread != stream.None:
		return append(keys, w.Key), nil
	}
	// The webhook names the chat alone: it concerns every thread of it. Those
	// that are open are told when they are decided.
	starts, err := c.Log.Starts(ctx, w.Key.Org, w.Key.Chat)
	if err != nil {
		return nil, fmt.Errorf("find the chat's threads: %w", err)
	}
	for _, s := range starts {
		keys = append(keys, s.Key)
	}
	return keys, nil
}

// tagChangeCounts says whether a tagging or untagging may change the answer:
// some rule asks for the absence of this very tag, and it is not the echo of
// our own call.
func (c *Core) tagChangeCounts(ctx context.Context, w Webhook) (bool, error) {
	set, _ := c.Rules.Current()
	if set == nil || !set.UnlessTags()[w.Payload.Tag] {
		return false, nil
	}
	records, err := c.Log.Records(ctx, w.Key)
	if err != nil {
		return false, fmt.Errorf("read the thread's records: %w", err)
	}
	return !isEcho(records.Outcomes, w), nil
}
