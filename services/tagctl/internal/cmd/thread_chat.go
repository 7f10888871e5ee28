package cmd

import (
	"context"
	"fmt"
	"math"
	"strings"

	"autotag/pkg/stream"
	"autotag/pkg/transcript"
)

// askLiveChat is what helps where LIVECHAT_EVENTS does not.
const askLiveChat = "--fetch asks LiveChat for it (one billed call)"

// storedThread is the transcript of the thread that is meant, by the webhooks
// in LIVECHAT_EVENTS. given is what somebody called it.
func (s *session) storedThread(ctx context.Context, given string, refs []threadRef) (*transcript.Transcript, error) {
	nc, js, err := s.connect()
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	r := reader{nc, js}
	keys, _, err := r.locate(ctx, refs)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("NATS has nothing of %s; %s", shown(given), askLiveChat)
	}
	k := keys[0]
	s.sayThread(keys)
	reduction, webhooks, err := r.reduce(ctx, k, math.MaxUint64)
	if err != nil {
		return nil, err
	}
	if webhooks == 0 {
		return nil, fmt.Errorf("%s no longer has the webhooks of thread %s; %s", stream.Events, word(k.Thread), askLiveChat)
	}
	whole := reduction.Started && reduction.Gaps == 0 && reduction.Unreadable == 0
	if !whole {
		fmt.Fprintf(s.stderr, "tagctl: %s does not have all of thread %s, so fallback rules say nothing; %s\n", stream.Events, word(k.Thread), askLiveChat)
	}
	return s.reading(k, reduction, whole), nil
}

// sayThread says which thread is taken where others may be meant: keys are
// those, the one taken first.
func (s *session) sayThread(keys []transcript.Key) {
	if len(keys) < 2 {
		return
	}
	var others []string
	for _, k := range keys[1:min(len(keys), 6)] {
		others = append(others, word(k.Chat+"/"+k.Thread))
	}
	if more := len(keys) - 6; more > 0 {
		others = append(others, fmt.Sprintf("%d more", more))
	}
	fmt.Fprintf(s.stderr, "tagctl: this is thread %s; others that may be meant: %s\n", word(keys[0].Chat+"/"+keys[0].Thread), strings.Join(others, ", "))
}

// reading is the transcript that decisions are of. whole says that nothing is
// missing of the thread.
func (s *session) reading(k transcript.Key, reduction *transcript.Reduction, whole bool) *transcript.Transcript {
	readings, _ := reduction.Readings(1)
	t := readings[0]
	t.Complete = whole && !t.Cut
	if t.Cut {
		fmt.Fprintf(s.stderr, "tagctl: thread %s is too long: its middle is left out, as for the tagger, and fallback rules say nothing\n", word(k.Thread))
	}
	return t
}

// locate finds the threads that the first of refs means of which NATS knows
// any, in the order of find.
func (r reader) locate(ctx context.Context, refs []threadRef) ([]transcript.Key, threadRef, error) {
	for _, ref := range refs {
		keys, err := r.find(ctx, ref)
		if err != nil || len(keys) > 0 {
			return keys, ref, err
		}
	}
	return nil, threadRef{}, nil
}

// reduce works out what the webhooks in LIVECHAT_EVENTS say about a thread,
// those up to a sequence number, and counts the thread's own.
func (r reader) reduce(ctx context.Context, k transcript.Key, until uint64) (_ *transcript.Reduction, webhooks int, err error) {
	facts := &transcript.Facts{}
	for _, filter := range []string{stream.ThreadSubject(k), stream.ChatWideSubject(k.Org, k.Chat)} {
		msgs, err := stream.ReadUpToDate(ctx, r.nc, stream.Events, filter)
		if unlessMissing(err) != nil {
			return nil, 0, err
		}
		for _, m := range msgs {
			if m.Seq > until {
				continue
			}
			of, _, reading := readWebhook(k, m)
			facts.AddAll(reading.Facts)
			if of == k {
				webhooks++
			}
		}
	}
	return transcript.Reduce(k, facts), webhooks, nil
}
