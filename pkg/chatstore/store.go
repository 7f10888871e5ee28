package chatstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"autotag/pkg/stream"
	"autotag/pkg/transcript"
)

// Fields of a thread's meta hash that are no facts.
const (
	fieldRun     = "run"     // identity of the server's run under which the thread is known completely
	fieldDecided = "decided" // sequence of the newest decision
)

// Keys of a thread lie in one slot of a cluster, as do those of an
// organization.
func threadKey(k transcript.Key, what string) string {
	return "autotag:{" + k.Org + ":" + k.Chat + ":" + k.Thread + "}:" + what
}
func eventsKey(k transcript.Key) string { return threadKey(k, "events") }
func metaKey(k transcript.Key) string   { return threadKey(k, "meta") }

// scanStep is how many keys a server looks at before it serves others.
const scanStep = 1000

// readyKey is written to see whether the server takes writes.
const readyKey = "autotag:{ready}"

// Write is the facts that one webhook tells of one thread.
type Write struct {
	Key   transcript.Key
	Facts []transcript.Fact
	// Fresh says that nothing of the thread can have been written and forgotten
	// before: the store then puts the thread under its current run.
	Fresh bool
}

// Marks are what the store knows of a thread after a write.
type Marks struct {
	// Open: positively known to be open, for start was seen, no end, and the
	// thread is under the store's current run (Write.Fresh or Rebuild put it there).
	Open bool
}

// Known is what the store knows of a thread, with the facts of its whole chat.
type Known struct {
	Facts []transcript.Fact
	Run   string // identity of the store's current run; a restarted store has another
}

// Store keeps the facts of threads in Redis.
type Store struct {
	client redis.UniversalClient
	ttl    time.Duration

	mu   sync.Mutex
	runs map[string]string // last seen identity, by node
}

// NewStore makes a store whose threads are forgotten ttl after their last
// write (CHAT_TTL). To who only reads ttl is nothing.
func NewStore(client redis.UniversalClient, ttl time.Duration) *Store {
	return &Store{client: client, ttl: ttl, runs: map[string]string{}}
}

// node is a server that holds some of the keys.
type node struct {
	name   string
	client interface {
		Pipelined(context.Context, func(redis.Pipeliner) error) ([]redis.Cmder, error)
	}
	of []int // places in the caller's list of keys
}

// nodes groups threads by the server that holds them: the identity of a run
// must come from the very server that took the writes.
func (s *Store) nodes(ctx context.Context, keys []transcript.Key) ([]*node, error) {
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		n := &node{client: s.client, of: make([]int, len(keys))}
		for i := range keys {
			n.of[i] = i
		}
		return []*node{n}, nil
	}
	var all []*node
	byName := map[string]*node{}
	for i, k := range keys {
		c, err := cluster.MasterForKey(ctx, metaKey(k))
		if err != nil {
			return nil, fmt.Errorf("find the cluster's node: %w", err)
		}
		name := c.Options().Addr
		n := byName[name]
		if n == nil {
			n = &node{name: name, client: c}
			byName[name] = n
			all = append(all, n)
		}
		n.of = append(n.of, i)
	}
	return all, nil
}

// failed has a cluster looked at anew after an error: the slots may have moved,
// which a pipeline to one node does not follow.
func (s *Store) failed(ctx context.Context) {
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		cluster.ReloadState(context.WithoutCancel(ctx))
	}
}

// Put writes facts once and never changes them, then reads the marks of their
// threads.
func (s *Store) Put(ctx context.Context, writes []Write) ([]Marks, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	keys := make([]transcript.Key, len(writes))
	for i, w := range writes {
		keys[i] = w.Key
	}
	nodes, err := s.nodes(ctx, keys)
	if err != nil {
		return nil, err
	}
	marks := make([]Marks, len(writes))
	for _, n := range nodes {
		if err := s.put(ctx, n, writes, marks); err != nil {
			s.failed(ctx)
			return nil, err
		}
	}
	return marks, nil
}

func (s *Store) put(ctx context.Context, n *node, writes []Write, marks []Marks) error {
	known, err := s.lastRun(ctx, n)
	if err != nil {
		return err
	}
	var (
		run  *runCommands
		read []*redis.SliceCmd
	)
	err = pipelined(ctx, n, func(p redis.Pipeliner) {
		run = askRun(ctx, p)
		for _, i := range n.of {
			run := ""
			if writes[i].Fresh {
				run = known
			}
			s.write(ctx, p, writes[i].Key, writes[i].Facts, run)
		}
		// After all the writes: what one webhook of the batch tells of a thread
		// counts for the others.
		for _, i := range n.of {
			read = append(read, p.HMGet(ctx, metaKey(writes[i].Key), transcript.FieldStart, transcript.FieldEnded, fieldRun))
		}
	})
	if err != nil {
		return err
	}
	current := s.keepRun(n, run)
	for j, i := range n.of {
		v := read[j].Val()
		marks[i].Open = len(v) == 3 && v[0] != nil && v[1] == nil && v[2] == current && current != ""
	}
	return nil
}

// write adds the commands that write facts of one thread, in their order: what
// the server loses when it crashes is the newest. run, if it is not "", puts the
// thread under that run unless it already is under one: what an older run wrote
// stays doubtful until the thread is rebuilt. Both hashes live equally long, so
// that no part of a thread is forgotten before the other.
func (s *Store) write(ctx context.Context, p redis.Pipeliner, k transcript.Key, facts []transcript.Fact, run string) {
	events, meta := eventsKey(k), metaKey(k)
	for _, f := range facts {
		if !f.Meta {
			p.HSetNX(ctx, events, f.Field, f.Value)
			continue
		}
		p.HSetNX(ctx, meta, f.Field, f.Value)
	}
	if run != "" {
		p.HSetNX(ctx, meta, fieldRun, run)
	}
	p.Expire(ctx, events, s.ttl)
	p.Expire(ctx, meta, s.ttl)
}

// Get reads a thread's facts and those of its whole chat.
func (s *Store) Get(ctx context.Context, k transcript.Key) (Known, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	keys := []transcript.Key{k, {Org: k.Org, Chat: k.Chat, Thread: stream.None}}
	nodes, err := s.nodes(ctx, keys)
	if err != nil {
		return Known{}, err
	}
	var known Known
	for _, n := range nodes {
		var (
			run          *runCommands
			events, meta []*redis.MapStringStringCmd
		)
		err := pipelined(ctx, n, func(p redis.Pipeliner) {
			run = askRun(ctx, p)
			for _, i := range n.of {
				events = append(events, p.HGetAll(ctx, eventsKey(keys[i])))
				meta = append(meta, p.HGetAll(ctx, metaKey(keys[i])))
			}
		})
		if err != nil {
			s.failed(ctx)
			return Known{}, err
		}
		current := s.keepRun(n, run)
		for j, i := range n.of {
			if keys[i] == k {
				known.Run = current
			}
			for field, value := range events[j].Val() {
				known.Facts = append(known.Facts, transcript.Fact{Field: field, Value: []byte(value)})
			}
			for field, value := range meta[j].Val() {
				if field != fieldRun && field != fieldDecided {
					known.Facts = append(known.Facts, transcript.Fact{Field: field, Meta: true, Value: []byte(value)})
				}
			}
		}
	}
	return known, nil
}

// Find lists the threads of these ids, of whichever organization. It looks at
// every key there is: it is for a person who asks, not for each webhook.
func (s *Store) Find(ctx context.Context, chat, thread string) ([]transcript.Key, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	var (
		mu   sync.Mutex
		keys []transcript.Key
	)
	scan := func(ctx context.Context, c *redis.Client) error {
		names := c.Scan(ctx, 0, threadKey(transcript.Key{Org: "*", Chat: chat, Thread: thread}, "*"), scanStep).Iterator()
		for names.Next(ctx) {
			ids, _, _ := strings.Cut(strings.TrimPrefix(names.Val(), "autotag:{"), "}")
			org, ok := strings.CutSuffix(ids, ":"+chat+":"+thread)
			k := transcript.Key{Org: org, Chat: chat, Thread: thread}
			mu.Lock()
			if ok && !slices.Contains(keys, k) { // a thread has several keys
				keys = append(keys, k)
			}
			mu.Unlock()
		}
		return names.Err()
	}
	var err error
	switch c := s.client.(type) {
	case *redis.ClusterClient:
		err = c.ForEachMaster(ctx, scan)
	case *redis.Client:
		err = scan(ctx, c)
	}
	if err != nil {
		return nil, fmt.Errorf("redis scan: %w", err)
	}
	slices.SortFunc(keys, func(a, b transcript.Key) int { return strings.Compare(a.Org, b.Org) })
	return keys, nil
}

// Rebuild writes a thread's facts and marks them as complete under run. Should
// the server have been restarted since run was read, the mark does not count.
func (s *Store) Rebuild(ctx context.Context, k transcript.Key, facts []transcript.Fact, run string) error {
	return s.change(ctx, k, func(p redis.Pipeliner) {
		s.write(ctx, p, k, facts, "")
		if run != "" {
			p.HSet(ctx, metaKey(k), fieldRun, run)
			p.Expire(ctx, metaKey(k), s.ttl) // there may have been no such key before
		}
	})
}

// Decided notes the sequence of the thread's newest decision.
func (s *Store) Decided(ctx context.Context, k transcript.Key, seq uint64) error {
	return s.change(ctx, k, func(p redis.Pipeliner) {
		p.HSet(ctx, metaKey(k), fieldDecided, seq)
		s.write(ctx, p, k, nil, "")
	})
}

func (s *Store) change(ctx context.Context, k transcript.Key, commands func(redis.Pipeliner)) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	return pipelined(ctx, &node{client: s.client}, commands)
}

// pipelined sends commands in one round trip and returns the first error of
// any; errors of INFO are left to its reader. A pipeline is not atomic.
func pipelined(ctx context.Context, n *node, commands func(redis.Pipeliner)) error {
	cmds, err := n.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		commands(p)
		return nil
	})
	answered := false
	for _, c := range cmds {
		switch cErr := c.Err(); {
		case cErr == nil:
		case c.Name() == "info" && isReply(cErr):
			answered = true
		default:
			return fmt.Errorf("redis %s: %w", c.Name(), cErr)
		}
	}
	// A server that refuses the connection, for its password or because it has too
	// many, leaves the commands without an error.
	if err != nil && !answered {
		return fmt.Errorf("redis connection: %w", err)
	}
	return nil
}

// isReply says that the server itself answered with the error.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

type runCommands struct{ server, replication *redis.StringCmd }

func askRun(ctx context.Context, p redis.Pipeliner) *runCommands {
	return &runCommands{p.Info(ctx, "server"), p.Info(ctx, "replication")}
}

// inMemory stands for the run of a server that keeps nothing over a restart:
// the marks go with it.
const inMemory = "memory"

// identity is another after each restart of the server and after each
// promotion of a replica: either may have lost the latest writes. "" where the
// server does not say; nothing then counts as positively known.
func (r *runCommands) identity() string {
	if err := r.server.Err(); err != nil {
		if strings.Contains(err.Error(), "is not supported") { // miniredis
			return inMemory
		}
		return ""
	}
	run := infoField(r.server.Val(), "run_id")
	if run == "" {
		return ""
	}
	return run + "." + infoField(r.replication.Val(), "master_replid")
}

func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return value
		}
	}
	return ""
}

func (s *Store) keepRun(n *node, r *runCommands) string {
	run := r.identity()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs[n.name] = run
	return run
}

// lastRun is the identity as last seen, asked for once at the beginning. An
// outdated one makes a mark that does not count.
func (s *Store) lastRun(ctx context.Context, n *node) (string, error) {
	s.mu.Lock()
	run, ok := s.runs[n.name]
	s.mu.Unlock()
	if ok {
		return run, nil
	}
	var asked *runCommands
	if err := pipelined(ctx, n, func(p redis.Pipeliner) { asked = askRun(ctx, p) }); err != nil {
		return "", err
	}
	return s.keepRun(n, asked), nil
}

// Ready says whether the server takes writes: a PING would also be answered by
// a read-only replica, or by a server that is full.
func (s *Store) Ready(ctx context.Context) error {
	if err := s.client.Set(ctx, readyKey, 1, time.Minute).Err(); err != nil {
		return fmt.Errorf("redis does not take writes: %w", err)
	}
	return nil
}

// Warning says what about the server endangers what is kept there, "" for
// nothing that is known. Asking needs the right to INFO.
func (s *Store) Warning(ctx context.Context) (string, error) {
	info, err := s.client.Info(ctx, "memory").Result()
	switch {
	case isReply(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("redis info: %w", err)
	}
	if policy := infoField(info, "maxmemory_policy"); policy != "" && policy != "noeviction" {
		return "redis: maxmemory-policy is " + policy + ", which removes open chats when memory is short; set noeviction", nil
	}
	return "", nil
}
