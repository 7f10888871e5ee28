package chatstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"autotag/pkg/testkit/leaktest"
	"autotag/pkg/testkit/proc"
	"autotag/pkg/testkit/redistest"
	"autotag/pkg/transcript"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

var (
	key  = transcript.Key{Org: "org1", Chat: "CHAT1", Thread: "THREAD1"}
	wide = transcript.Key{Org: "org1", Chat: "CHAT1", Thread: "_"}

	start = transcript.Fact{Field: transcript.FieldStart, Meta: true, Value: []byte(`{"start":1}`)}
	ended = transcript.Fact{Field: transcript.FieldEnded, Meta: true, Value: []byte(`{"ended":1}`)}
)

func event(id, text string) transcript.Fact {
	return transcript.Fact{Field: "e|" + id, Value: []byte(text)}
}

// suite runs a test on an in-memory Redis and on the real one.
func suite(t *testing.T, test func(t *testing.T, client redis.UniversalClient)) {
	t.Helper()
	t.Parallel()
	for _, s := range []struct {
		name  string
		start func(t testing.TB) string
	}{
		{"memory", func(t testing.TB) string { addr, _ := redistest.Mini(t); return addr }},
		{"server", redistest.Start},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			test(t, connect(t, s.start(t)))
		})
	}
}

func connect(t testing.TB, address string) redis.UniversalClient {
	t.Helper()
	client, err := Connect(func() string { return address })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func put(t *testing.T, s *Store, k transcript.Key, facts ...transcript.Fact) Marks {
	t.Helper()
	marks, err := s.Put(t.Context(), []Write{{Key: k, Facts: facts, Fresh: slices.ContainsFunc(facts, func(f transcript.Fact) bool { return f.Field == transcript.FieldStart })}})
	if err != nil {
		t.Fatal(err)
	}
	return marks[0]
}

// get gives what the store knows as sorted lines.
func get(t *testing.T, s *Store, k transcript.Key) (facts []string, run string) {
	t.Helper()
	known, err := s.Get(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range known.Facts {
		facts = append(facts, fmt.Sprintf("%s %v %s", f.Field, f.Meta, f.Value))
	}
	slices.Sort(facts)
	return facts, known.Run
}

func TestFactsAreWrittenOnce(t *testing.T) {
	suite(t, func(t *testing.T, client redis.UniversalClient) {
		s := NewStore(client, time.Hour)
		put(t, s, key, start, event("1", "first"))
		put(t, s, key, event("1", "second"), event("2", "b"), ended)
		put(t, s, wide, transcript.Fact{Field: "groups|1", Meta: true, Value: []byte("g")})
		put(t, s, transcript.Key{Org: "org1", Chat: "CHAT1", Thread: "OTHER"}, event("9", "other"))
		if err := s.Decided(t.Context(), key, 7); err != nil {
			t.Fatal(err)
		}
		facts, run := get(t, s, key)
		want := []string{
			`ended true {"ended":1}`, "e|1 false first", "e|2 false b", "groups|1 true g", `start true {"start":1}`,
		}
		if !slices.Equal(facts, want) {
			t.Errorf("facts %q, want %q", facts, want)
		}
		if run == "" {
			t.Error("the server's run has no identity")
		}
	})
}

func TestFind(t *testing.T) {
	suite(t, func(t *testing.T, client redis.UniversalClient) {
		s, l := NewStore(client, time.Hour), NewLimits(client, 5)
		other := transcript.Key{Org: "acme", Chat: key.Chat, Thread: key.Thread}
		put(t, s, key, start, event("1", "a"))
		put(t, s, other, event("1", "a")) // has no marks
		put(t, s, wide, event("2", "b"))
		put(t, s, transcript.Key{Org: "org1", Chat: "XCHAT1", Thread: "THREAD1"}, start)
		put(t, s, transcript.Key{Org: "org1", Chat: "CHAT1", Thread: "THREAD11"}, start)
		if err := l.Refused(t.Context(), "org1", "x:CHAT1:THREAD1}:y"); err != nil { // a tag is any text
			t.Fatal(err)
		}
		for i := range 3 * scanStep { // more than a server looks at in one go
			if err := client.Set(t.Context(), fmt.Sprint("filler", i), "", time.Hour).Err(); err != nil {
				t.Fatal(err)
			}
		}
		find := func(chat, thread string, want ...transcript.Key) {
			t.Helper()
			if got, err := s.Find(t.Context(), chat, thread); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s/%s: %v, %v, want %v", chat, thread, got, err, want)
			}
		}
		find("CHAT1", "THREAD1", other, key)
		find("XCHAT1", "THREAD1", transcript.Key{Org: "org1", Chat: "XCHAT1", Thread: "THREAD1"})
		find("CHAT1", "THREAD2")
	})
}

func TestKeysAndLifetimes(t *testing.T) {
	suite(t, func(t *testing.T, client redis.UniversalClient) {
		s := NewStore(client, time.Hour)
		ctx := t.Context()
		put(t, s, key, start, event("1", "a"))
		for _, name := range []string{"autotag:{org1:CHAT1:THREAD1}:events", "autotag:{org1:CHAT1:THREAD1}:meta"} {
			if err := client.Expire(ctx, name, time.Minute).Err(); err != nil {
				t.Fatal(err)
			}
		}
		refresh := map[string]func() error{
			"put": func() error {
				_, err := s.Put(ctx, []Write{{Key: key}})
				return err
			},
			"rebuild": func() error { return s.Rebuild(ctx, key, nil, "run") },
			"decided": func() error { return s.Decided(ctx, key, 1) },
		}
		for doing, do := range refresh {
			for _, name := range []string{eventsKey(key), metaKey(key)} {
				if err := client.Expire(ctx, name, time.Minute).Err(); err != nil {
					t.Fatal(err)
				}
			}
			if err := do(); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{eventsKey(key), metaKey(key)} {
				if ttl := client.TTL(ctx, name).Val(); ttl < 50*time.Minute {
					t.Errorf("%s after %s: lives %s", name, doing, ttl)
				}
			}
		}
	})
}

// What is rebuilt may have been forgotten whole: then the mark alone makes the
// key, which must expire as any other.
func TestRebuiltMarkExpires(t *testing.T) {
	suite(t, func(t *testing.T, client redis.UniversalClient) {
		s := NewStore(client, time.Hour)
		if err := s.Rebuild(t.Context(), key, []transcript.Fact{event("1", "a")}, "run"); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{eventsKey(key), metaKey(key)} {
			if ttl := client.TTL(t.Context(), name).Val(); ttl < 50*time.Minute {
				t.Errorf("%s lives %s", name, ttl)
			}
		}
	})
}

func TestOpen(t *testing.T) {
	suite(t, func(t *testing.T, client redis.UniversalClient) {
		s := NewStore(client, time.Hour)
		ctx := t.Context()
		if put(t, s, key, event("1", "a")).Open {
			t.Error("open without a start")
		}
		if !put(t, s, key, start).Open {
			t.Error("not open after its start")
		}
		if put(t, s, wide, event("1", "a")).Open {
			t.Error("the chat as a whole is open")
		}
		other := transcript.Key{Org: "org1", Chat: "C2", Thread: "T2"}
		// A start that comes late may be of a thread whose end was forgotten.
		late := transcript.Key{Org: "org1", Chat: "C3", Thread: "T3"}
		if marks, err := s.Put(ctx, []Write{{Key: late, Facts: []transcript.Fact{start}}}); err != nil || marks[0].Open {
			t.Errorf("a late start: %+v, %v", marks, err)
		}
		// Of one batch every write counts for every mark.
		marks, err := s.Put(ctx, []Write{
			{Key: key, Facts: []transcript.Fact{event("2", "b")}},
			{Key: other, Facts: []transcript.Fact{start}, Fresh: true},
			{Key: key, Facts: []transcript.Fact{ended}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if marks[0].Open || !marks[1].Open || marks[2].Open {
			t.Errorf("marks %+v", marks)
		}
		// Whoever starts anew knows the run too.
		if !put(t, NewStore(client, time.Hour), other).Open {
			t.Error("not open for another worker")
		}
		// What an older run wrote does not count until it is rebuilt.
		if err := client.HSet(ctx, metaKey(other), fieldRun, "older").Err(); err != nil {
			t.Fatal(err)
		}
		if put(t, s, other, start).Open {
			t.Error("open under an older run")
		}
		_, run := get(t, s, other)
		if err := s.Rebuild(ctx, other, []transcript.Fact{start}, run); err != nil {
			t.Fatal(err)
		}
		if !put(t, s, other).Open {
			t.Error("not open after it was rebuilt")
		}
		if err := client.FlushDB(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		if put(t, s, other, event("3", "c")).Open {
			t.Error("open after the store was emptied")
		}
		// The end may have been known before: a start that comes late proves nothing.
		marks, err = s.Put(ctx, []Write{{Key: other, Facts: []transcript.Fact{start}}})
		if err != nil || marks[0].Open {
			t.Errorf("open by a late start: %v, %v", marks, err)
		}
	})
}

func TestRestartMakesNothingOpen(t *testing.T) {
	t.Parallel()
	if !redistest.Available() {
		t.Log("no redis-server to restart: the in-memory one forgets everything with its run")
		return
	}
	p := redistest.NewProcess(t, "--appendfsync", "always")
	s := NewStore(connect(t, p.URL), time.Hour)
	if !put(t, s, key, start).Open {
		t.Fatal("not open after its start")
	}
	p.Kill()
	if _, err := s.Put(t.Context(), []Write{{Key: key}}); err == nil {
		t.Error("no error while the server is away")
	}
	p.Start()
	marks, err := s.Put(t.Context(), []Write{{Key: key, Facts: []transcript.Fact{start}, Fresh: true}})
	if err != nil {
		t.Fatal(err)
	}
	if facts, _ := get(t, s, key); len(facts) != 1 {
		t.Fatalf("the server lost %q", facts)
	}
	if marks[0].Open {
		t.Error("open after the server was restarted")
	}
}

func TestServerTrouble(t *testing.T) {
	t.Parallel()
	addr, mini := redistest.Mini(t)
	client := connect(t, addr)
	s, l := NewStore(client, time.Hour), NewLimits(client, 5)
	put(t, s, key, start)
	for _, reply := range []string{"LOADING Redis is loading the dataset in memory", "READONLY You can't write against a read only replica.", "OOM command not allowed"} {
		mini.SetError(reply)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if _, err := s.Put(ctx, []Write{{Key: key, Facts: []transcript.Fact{ended}}}); err == nil {
			t.Errorf("%s: put succeeds", reply)
		}
		if _, err := s.Get(ctx, key); err == nil {
			t.Errorf("%s: get succeeds", reply)
		}
		if _, err := l.Reserve(ctx, "org1", "tag"); err == nil {
			t.Errorf("%s: reserve succeeds", reply)
		}
		if err := s.Ready(ctx); err == nil {
			t.Errorf("%s: ready", reply)
		}
		cancel()
	}
	mini.SetError("")
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// A server that does not let in answers no command: nothing is written or known.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	_, m := redistest.Mini(t)
	m.RequireUserAuth("u", "right")
	addrs := []string{m.Addr()}
	if redistest.Available() {
		addrs = append(addrs, redistest.NewProcess(t, "--user", "u", "on", ">right", "~*", "+@all").Addr)
	}
	for _, addr := range addrs {
		s := NewStore(connect(t, "redis://u:wrong@"+addr), time.Hour)
		ctx := t.Context()
		if known, err := s.Get(ctx, key); err == nil {
			t.Errorf("reads %+v", known)
		}
		if marks, err := s.Put(ctx, []Write{{Key: key, Facts: []transcript.Fact{start}}}); err == nil {
			t.Errorf("writes: %+v", marks)
		}
		if err := s.Rebuild(ctx, key, nil, "run"); err == nil {
			t.Error("rebuilds")
		}
	}
}

func TestFrozenServer(t *testing.T) {
	t.Parallel()
	if !redistest.Available() {
		t.Log("no redis-server to freeze")
		return
	}
	p := redistest.NewProcess(t)
	s := NewStore(connect(t, p.URL), time.Hour)
	put(t, s, key, start)
	p.Freeze()
	if _, err := s.Put(t.Context(), []Write{{Key: key}}); err == nil {
		t.Error("no error from a frozen server")
	}
	p.Thaw()
	put(t, s, key, ended)
}

func TestWarning(t *testing.T) {
	t.Parallel()
	if !redistest.Available() {
		t.Log("no redis-server to ask")
		return
	}
	for policy, warns := range map[string]bool{"noeviction": false, "allkeys-lru": true} {
		p := redistest.NewProcess(t, "--maxmemory-policy", policy)
		w, err := NewStore(connect(t, p.URL), time.Hour).Warning(t.Context())
		if err != nil || (w != "") != warns {
			t.Errorf("%s: %q, %v", policy, w, err)
		}
	}
}

// The file of REDIS_URL may change while the program runs.
func TestNewPassword(t *testing.T) {
	t.Parallel()
	for name, parameters := range map[string]string{"server": "", "cluster": "?addr=localhost:1"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, mini := redistest.Mini(t)
			mini.RequireAuth("one")
			var address atomic.Value
			address.Store("redis://:one@" + mini.Addr() + parameters)
			client, err := Connect(func() string { return address.Load().(string) })
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = client.Close() }()
			s := NewStore(client, time.Hour)
			if err := s.Ready(t.Context()); err != nil {
				t.Fatal(err)
			}
			// A new password, and no connection that is still open under the old one.
			mini.RequireAuth("two")
			mini.Close()
			if err := mini.Restart(); err != nil {
				t.Fatal(err)
			}
			if err := s.Ready(t.Context()); err == nil {
				t.Fatal("the old password still works")
			}
			address.Store("redis://:two@" + mini.Addr() + parameters)
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
				if err = s.Ready(t.Context()); err == nil {
					return
				}
				if time.Now().After(deadline) {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestConnectErrorsHideThePassword(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"", "localhost:6379", "http://u:hunter2@h", "redis://u:hunter2@h/x", "redis://u:hunter2@h:port",
		"redis://:hunter2@h?nonsense=1", "redis://h?addr=h2:1&password=hunter2&nonsense=1",
		"redis://h?master_name=m&addr=bad&password=hunter2", "redis://u:%zz hunter2@h",
	} {
		_, err := Connect(func() string { return address })
		if err == nil {
			t.Errorf("%q is taken", address)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
	for _, address := range []string{
		"redis://:pw@h:1/2", "rediss://h", "redis://h1:1?addr=h2:2", "redis://s1:1/3?addr=s2:2&master_name=m",
	} {
		client, err := Connect(func() string { return address })
		if err != nil {
			t.Errorf("%q: %v", address, err)
			continue
		}
		_ = client.Close()
	}
}

func TestGaps(t *testing.T) {
	suite(t, func(t *testing.T, client redis.UniversalClient) {
		l := NewLimits(client, 5)
		ctx := t.Context()
		harmless := func() bool {
			t.Helper()
			yes, err := l.GapsHarmless(ctx, "org1")
			if err != nil {
				t.Fatal(err)
			}
			return yes
		}
		gap := func(i int, brought bool) {
			t.Helper()
			k := transcript.Key{Org: "org1", Chat: "C", Thread: fmt.Sprint("T", i)}
			if err := l.Gap(ctx, k, brought); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 2 * gapsNeeded {
			gap(i%(gapsNeeded-1), false) // repeated answers count once
		}
		if harmless() {
			t.Error("harmless after 49 threads")
		}
		gap(gapsNeeded, false)
		if !harmless() {
			t.Error("not harmless after 50 threads")
		}
		if ttl := client.TTL(ctx, harmlessKey("org1")).Val(); ttl < 50*time.Minute || ttl > time.Hour {
			t.Errorf("lasts %s", ttl)
		}
		gap(0, true)
		if harmless() {
			t.Error("harmless after a gap that hid something")
		}
		gap(1, false)
		if harmless() {
			t.Error("harmless after one thread")
		}
		if yes, err := l.GapsHarmless(ctx, "org2"); yes || err != nil {
			t.Errorf("another organization: %v, %v", yes, err)
		}
	})
}

// TestRateNeverExceeded drives the script by a clock of its own: whatever the
// pattern of asking, and also when the store is emptied meanwhile, no second
// holds more permits than promised.
func TestRateNeverExceeded(t *testing.T) {
	t.Parallel()
	addr, mini := redistest.Mini(t)
	rapid.Check(t, func(rt *rapid.T) {
		mini.FlushAll()
		clock := time.Unix(1_800_000_000, 0)
		mini.SetTime(clock)
		rate := rapid.SampledFrom([]float64{0.3, 1, 3, 5, 7.5, 20, 60}).Draw(rt, "rate")
		workers := make([]*Limits, 3)
		for i := range workers {
			workers[i] = NewLimits(sharedClient(t, addr), rate)
		}
		var slots []slot
		for range rapid.IntRange(1, 150).Draw(rt, "steps") {
			if rapid.IntRange(0, 60).Draw(rt, "flush") == 0 {
				mini.FlushAll()
			}
			clock = clock.Add(time.Duration(rapid.IntRange(0, 300).Draw(rt, "pause")) * time.Millisecond)
			mini.SetTime(clock)
			before := time.Now()
			p, err := workers[rapid.IntRange(0, 2).Draw(rt, "worker")].Reserve(context.Background(), "org1", "")
			after := time.Now()
			if err != nil {
				rt.Fatal(err)
			}
			if p.Wait > 0 {
				continue
			}
			slots = append(slots, slot{clock.Add(p.At.Sub(after)), clock.Add(p.At.Sub(before))})
		}
		if n := mostInASecond(slots); n > int(1.2*rate+2) {
			rt.Fatalf("%d permits in a second at rate %v", n, rate)
		}
	})
}

// slot is when a permit is for, as exactly as its call allows to tell: a busy
// machine makes calls slow, and the permit's own time late by as much.
type slot struct{ earliest, latest time.Time }

// mostInASecond is how many permits lie in one second for certain.
func mostInASecond(slots []slot) (most int) {
	for _, first := range slots {
		n := 0
		for _, s := range slots {
			if !s.earliest.Before(first.earliest) && s.latest.Before(first.earliest.Add(time.Second)) {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

var clients sync.Map

// sharedClient keeps the property test from opening a pool per case.
func sharedClient(t *testing.T, addr string) redis.UniversalClient {
	if c, ok := clients.Load(addr); ok {
		return c.(redis.UniversalClient)
	}
	c := connect(t, addr)
	clients.Store(addr, c)
	return c
}

// TestRateOverSeveralClients asks a real server as fast as it can.
func TestRateOverSeveralClients(t *testing.T) {
	t.Parallel()
	addr := redistest.Start(t)
	const rate = 20
	deadline := time.Now().Add(4 * time.Second)
	var (
		mu    sync.Mutex
		slots []slot
		wg    sync.WaitGroup
	)
	for range 4 {
		l := NewLimits(connect(t, addr), rate)
		wg.Go(func() {
			for time.Now().Before(deadline) {
				begin := time.Now()
				p, err := l.Reserve(t.Context(), "org1", "")
				took := time.Since(begin)
				if err != nil {
					t.Error(err)
					return
				}
				if p.Wait > 0 {
					time.Sleep(min(p.Wait, 20*time.Millisecond))
					continue
				}
				mu.Lock()
				slots = append(slots, slot{p.At.Add(-took), p.At})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(slots) < rate {
		t.Fatalf("%d permits in all", len(slots))
	}
	if n := mostInASecond(slots); n > 1.2*rate+2 {
		t.Fatalf("%d permits in a second", n)
	}
}

func TestBurstAndHorizon(t *testing.T) {
	t.Parallel()
	addr, mini := redistest.Mini(t)
	clock := time.Unix(1_800_000_000, 0)
	mini.SetTime(clock)
	l := NewLimits(connect(t, addr), 10) // burst 3
	reserve := func() Permit {
		t.Helper()
		p, err := l.Reserve(t.Context(), "org1", "")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if p := reserve(); p.Wait < 2*time.Second {
		t.Errorf("a lost bucket gives a permit: %+v", p)
	}
	clock = clock.Add(time.Minute)
	mini.SetTime(clock)
	granted := 0
	for ; ; granted++ {
		begin := time.Now()
		p := reserve()
		if p.Wait > 0 {
			if p.Wait <= horizon {
				t.Errorf("sent away for %s only", p.Wait)
			}
			break
		}
		want := max(0, time.Duration(granted-2)*100*time.Millisecond)
		if p.At.Before(begin.Add(want)) || p.At.After(time.Now().Add(want)) {
			t.Errorf("permit %d is %s ahead, want %s", granted, p.At.Sub(begin), want)
		}
	}
	if granted != 23 {
		t.Errorf("%d permits within the horizon, want 3 at once and 20 more", granted)
	}
	if p, err := l.Reserve(t.Context(), "org2", ""); err != nil || p.Wait == 0 {
		t.Errorf("another organization has its own bucket, and it is new: %+v, %v", p, err)
	}
}

func TestProbes(t *testing.T) {
	t.Parallel()
	addr, mini := redistest.Mini(t)
	clock := time.Unix(1_800_000_000, 0)
	mini.SetTime(clock)
	l := NewLimits(connect(t, addr), 5)
	ctx := t.Context()
	reserve := func(tag string) Permit {
		t.Helper()
		p, err := l.Reserve(ctx, "org1", tag)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	reserve("")
	clock = clock.Add(time.Minute)
	mini.SetTime(clock)
	if p := reserve("spam"); p.Wait != 0 || p.Probe {
		t.Fatalf("before any refusal: %+v", p)
	}
	for range 2 { // of two threads at once
		if err := l.Refused(ctx, "org1", "spam"); err != nil {
			t.Fatal(err)
		}
	}
	var tries []time.Duration
	for begin := clock; clock.Sub(begin) < 40*time.Minute; {
		p := reserve("spam")
		if !p.Probe {
			t.Fatalf("not a probe: %+v", p)
		}
		if p.Wait == 0 {
			tries = append(tries, clock.Sub(begin).Truncate(time.Second))
			if other := reserve("spam"); !other.Probe || other.Wait != tryPause {
				t.Fatalf("while a try is under way: %+v", other)
			}
			if err := l.Refused(ctx, "org1", "spam"); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if other := reserve("other"); other.Probe || other.Wait > 0 {
			t.Fatalf("another tag: %+v", other)
		}
		clock = clock.Add(p.Wait)
		mini.SetTime(clock)
	}
	want := []time.Duration{
		36 * time.Second, 72 * time.Second, 108 * time.Second, 144 * time.Second, 180 * time.Second,
		780 * time.Second, 1380 * time.Second, 1980 * time.Second,
	}
	if !slices.Equal(tries, want) {
		t.Errorf("tries at %v, want %v", tries, want)
	}
	if err := l.Accepted(ctx, "org1", "spam"); err != nil {
		t.Fatal(err)
	}
	if p := reserve("spam"); p.Probe || p.Wait > 0 {
		t.Errorf("after it was accepted: %+v", p)
	}
}

// The server's clock may be set back, or another server's, which runs behind,
// take over: what was reserved by the old time must not hold up calls until the
// new one has caught up.
func TestServersClockIsSetBack(t *testing.T) {
	t.Parallel()
	addr, mini := redistest.Mini(t)
	clock := time.Unix(1_800_000_000, 0)
	mini.SetTime(clock)
	l := NewLimits(connect(t, addr), 5)
	ctx := t.Context()
	reserve := func(tag string) Permit {
		t.Helper()
		p, err := l.Reserve(ctx, "org1", tag)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	reserve("")
	clock = clock.Add(time.Minute)
	mini.SetTime(clock)
	if p := reserve(""); p.Wait > 0 {
		t.Fatalf("no permit: %+v", p)
	}
	if err := l.Refused(ctx, "org1", "spam"); err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(-time.Hour)
	mini.SetTime(clock)
	if p := reserve(""); p.Wait <= horizon || p.Wait > 2*horizon {
		t.Errorf("a call waits as for a lost bucket, not %s", p.Wait)
	}
	clock = clock.Add(2 * horizon)
	mini.SetTime(clock)
	if p := reserve(""); p.Wait > 0 {
		t.Errorf("calls wait for %s", p.Wait)
	}
	if p := reserve("spam"); p.Wait > 0 || !p.Probe {
		t.Errorf("the tag's next try: %+v", p)
	}
	if p := reserve("spam"); p.Wait != tryPause || !p.Probe {
		t.Errorf("while the try is under way: %+v", p)
	}
}

// TestCluster: a cluster refuses what touches keys of several slots.
func TestCluster(t *testing.T) {
	t.Parallel()
	if !redistest.Available() {
		t.Log("no redis-server to make a cluster of")
		return
	}
	// The default of the cluster's own port, 10,000 above the other, may not exist.
	p := redistest.NewProcess(t, "--cluster-enabled", "yes", "--cluster-port", proc.FreePort(t))
	ctx := t.Context()
	node := connect(t, p.URL)
	if err := node.Do(ctx, "cluster", "addslotsrange", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		info, err := node.ClusterInfo(ctx).Result()
		if err == nil && strings.Contains(info, "cluster_state:ok") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the cluster is not up: %s %v", info, err)
		}
	}
	client := connect(t, "redis://"+p.Addr+"?addr="+p.Addr)
	s, l := NewStore(client, time.Hour), NewLimits(client, 5)
	if err := s.Ready(ctx); err != nil {
		t.Error(err)
	}
	if !put(t, s, key, start, event("1", "a")).Open {
		t.Error("not open after its start")
	}
	put(t, s, wide, event("2", "b"))
	facts, run := get(t, s, key)
	if len(facts) != 3 || run == "" {
		t.Errorf("facts %q, run %q", facts, run)
	}
	if found, err := s.Find(ctx, key.Chat, key.Thread); err != nil || !slices.Equal(found, []transcript.Key{key}) {
		t.Errorf("found %v, %v", found, err)
	}
	if err := s.Rebuild(ctx, key, nil, run); err != nil {
		t.Error(err)
	}
	if err := s.Decided(ctx, key, 1); err != nil {
		t.Error(err)
	}
	if err := l.Refused(ctx, "org1", "spam {and} more"); err != nil {
		t.Error(err)
	}
	if p, err := l.Reserve(ctx, "org1", "spam {and} more"); err != nil || !p.Probe || p.Wait == 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if err := l.Accepted(ctx, "org1", "spam {and} more"); err != nil {
		t.Error(err)
	}
	if err := l.Gap(ctx, key, false); err != nil {
		t.Error(err)
	}
	if _, err := l.GapsHarmless(ctx, "org1"); err != nil {
		t.Error(err)
	}
	if _, err := s.Warning(ctx); err != nil {
		t.Error(err)
	}
}
