package cmd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"autotag/pkg/chatstore"
	"autotag/pkg/stream"
	"autotag/pkg/transcript"
)

// askLiveChat is what helps where NATS and Redis do not.
const askLiveChat = "--fetch asks LiveChat for it (one billed call)"

// stored is what NATS and Redis keep of a thread.
type stored struct {
	keys     []transcript.Key // of the threads that may be meant; what follows is of the first
	facts    transcript.Facts
	webhooks int // of the thread alone, in LIVECHAT_EVENTS
	// harmless says that the taggers have found gaps in the numbers of events to
	// hide nothing.
	harmless bool
}

// storedThread is the transcript of the thread that is meant, by what a decision
// is made of: the webhooks in LIVECHAT_EVENTS and, if REDIS_URL is set, what the
// taggers remember in Redis. Either will do where the other cannot be read.
// given is what somebody called the thread.
func (s *session) storedThread(ctx context.Context, given string, refs []threadRef) (*transcript.Transcript, error) {
	v, err := s.load("LIVECHAT_")
	if err == nil {
		err = v.judgeNATS()
	}
	if err != nil {
		return nil, err
	}
	var redis *memory
	if v.RedisURL.Get() != "" {
		client, err := chatstore.Connect(v.RedisURL.Get)
		if err != nil {
			return nil, fmt.Errorf("REDIS_URL: %w", err)
		}
		defer client.Close()
		// Neither writes here: how long threads are kept and the rate do not matter.
		redis = &memory{chatstore.NewStore(client, 0), chatstore.NewLimits(client, 1)}
	}

	var t stored
	var sources []string // that have been read
	natsErr := s.addLogged(ctx, refs, &t)
	if natsErr == nil {
		sources = append(sources, stream.Events)
	}
	inNATS := len(t.keys) > 0
	var redisErr error
	if redis != nil {
		if redisErr = redis.add(ctx, refs[0], &t); redisErr == nil {
			sources = append(sources, "Redis")
		}
	}
	switch {
	case len(sources) == 0:
		return nil, errors.Join(natsErr, redisErr)
	case natsErr != nil && !inNATS && !refs[0].whole():
		return nil, fmt.Errorf("%w\nWithout NATS, give CHAT/THREAD: Redis may have it", natsErr)
	case natsErr != nil:
		fmt.Fprintf(s.stderr, "tagctl: Redis alone is read: %s\n", visibleLines(natsErr.Error()))
	case redisErr != nil:
		fmt.Fprintf(s.stderr, "tagctl: %s alone is read: %s\n", stream.Events, visibleLines(redisErr.Error()))
	}

	read, do, have := strings.Join(sources, " and "), "does", "has"
	if len(sources) > 1 {
		do, have = "do", "have"
	}
	if len(t.keys) == 0 {
		t.keys = []transcript.Key{{}} // nothing is known of it either
	}
	k := t.keys[0]
	s.sayThread(t.keys)
	r := transcript.Reduce(k, &t.facts)
	switch nothing := t.webhooks == 0 && !r.Started && r.Events == 0; { // its end may be known from the thread after it
	case nothing && inNATS:
		return nil, fmt.Errorf("%s no longer %s the webhooks of thread %s; %s", read, have, word(k.Thread), askLiveChat)
	case nothing && natsErr != nil:
		return nil, fmt.Errorf("Redis has nothing of %s; %s", shown(given), askLiveChat)
	case nothing && len(sources) == 1:
		return nil, fmt.Errorf("NATS has nothing of %s; %s", shown(given), askLiveChat)
	case nothing && refs[0].whole():
		return nil, fmt.Errorf("NATS and Redis have nothing of %s; %s", shown(given), askLiveChat)
	case nothing:
		return nil, fmt.Errorf("NATS has nothing of %s; give CHAT/THREAD: Redis may have it; %s", shown(given), askLiveChat)
	}
	whole := r.Started && (r.Gaps == 0 || t.harmless) && r.Unreadable == 0 && !r.Restricted
	switch {
	case r.Restricted:
		fmt.Fprintf(s.stderr, "tagctl: LiveChat, which a tagger has asked, withholds what was written in thread %s, so fallback rules say nothing\n", word(k.Thread))
	case !whole:
		fmt.Fprintf(s.stderr, "tagctl: %s %s not have all of thread %s, so fallback rules say nothing; %s\n", read, do, word(k.Thread), askLiveChat)
	}
	return s.reading(k, r, whole), nil
}

// addLogged adds what NATS has of the thread that is meant.
func (s *session) addLogged(ctx context.Context, refs []threadRef, t *stored) error {
	nc, js, err := s.connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	r := reader{nc, js}
	if t.keys, _, err = r.locate(ctx, refs); err != nil || len(t.keys) == 0 {
		return err
	}
	t.webhooks, err = r.addFacts(ctx, t.keys[0], math.MaxUint64, &t.facts)
	return err
}

// memory is what the taggers keep in Redis. It is only read.
type memory struct {
	store  *chatstore.Store
	limits *chatstore.Limits
}

// add adds what Redis has of a thread: of the one that NATS has found, else of
// the one that is meant if chat and thread are given.
func (m *memory) add(ctx context.Context, ref threadRef, t *stored) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w; REDIS_URL names the server", err)
		}
	}()
	switch {
	case len(t.keys) > 0:
	case !ref.whole():
		return nil // an id alone may be a chat's, and which of its threads is the last is for NATS to tell
	case ref.org != "":
		t.keys = []transcript.Key{{Org: ref.org, Chat: ref.chat, Thread: ref.thread}}
	default:
		if t.keys, err = m.store.Find(ctx, ref.chat, ref.thread); err != nil || len(t.keys) == 0 {
			return err
		}
	}
	known, err := m.store.Get(ctx, t.keys[0])
	if err != nil {
		return err
	}
	if t.harmless, err = m.limits.GapsHarmless(ctx, t.keys[0].Org); err != nil {
		return err
	}
	t.facts.AddAll(known.Facts)
	return nil
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
	var facts transcript.Facts
	if webhooks, err = r.addFacts(ctx, k, until, &facts); err != nil {
		return nil, 0, err
	}
	return transcript.Reduce(k, &facts), webhooks, nil
}

// addFacts adds to facts what the webhooks in LIVECHAT_EVENTS say about a
// thread, those up to a sequence number, and counts the thread's own.
func (r reader) addFacts(ctx context.Context, k transcript.Key, until uint64, facts *transcript.Facts) (webhooks int, err error) {
	for _, filter := range []string{stream.ThreadSubject(k), stream.ChatWideSubject(k.Org, k.Chat)} {
		msgs, err := stream.ReadUpToDate(ctx, r.nc, stream.Events, filter)
		if unlessMissing(err) != nil {
			return 0, err
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
	return webhooks, nil
}
