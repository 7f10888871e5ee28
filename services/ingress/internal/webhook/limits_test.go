package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"crypto/sha256"

	"autotag/pkg/config"
)

func TestAddressKey(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "fe80::1%eth0": "fe80::",
	} {
		if got := addressKey(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("%s: %s, should be %s", addr, got, want)
		}
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	f := newFailures(60, time.Minute, 100, func() time.Time { return now })
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i := range 60 {
		if wait := f.add(a); wait != 0 {
			t.Fatalf("failure %d: %v", i+1, wait)
		}
		now = now.Add(time.Second / 2)
	}
	if wait := f.add(a); wait != 30*time.Second {
		t.Errorf("failure 61 after 30 s: %v", wait)
	}
	if wait := f.add(b); wait != 0 {
		t.Errorf("another address: %v", wait)
	}
	now = now.Add(30 * time.Second)
	if wait := f.add(a); wait != 0 {
		t.Errorf("a minute after the first: %v", wait)
	}
	if wait := f.add(a); wait != time.Second/2 {
		t.Errorf("the one after it: %v", wait)
	}
}

// In no minute an address has more than its failures answered, however they
// are spread.
func TestFailuresSlide(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	f := newFailures(10, time.Minute, 100, func() time.Time { return now })
	a := netip.MustParseAddr("192.0.2.1")
	var passed []time.Time
	for i := range 2000 {
		now = now.Add(time.Duration(i*7919%3000) * time.Millisecond)
		if f.add(a) == 0 {
			passed = append(passed, now)
			if n := len(passed); n > 10 && now.Sub(passed[n-11]) < time.Minute {
				t.Fatalf("11 within %v", now.Sub(passed[n-11]))
			}
		}
	}
	if len(passed) < 300 {
		t.Errorf("%d in %v", len(passed), now.Sub(time.Unix(0, 0)))
	}
}

func TestFailuresTableIsBounded(t *testing.T) {
	t.Parallel()
	f := newFailures(60, time.Minute, 50, time.Now)
	for i := range 10_000 {
		f.add(netip.MustParseAddr(fmt.Sprintf("10.0.%d.%d", i/250, i%250)))
		if n := len(f.recent) + len(f.older); n > 101 {
			t.Fatalf("%d addresses", n)
		}
	}
}

func TestGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(8, 2, time.Second)
		a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		var leaves []func()
		for range 8 {
			leave, ok := g.enter(t.Context(), a)
			if !ok {
				t.Fatal("refused")
			}
			leaves = append(leaves, leave)
		}
		if leave, ok := g.enter(t.Context(), b); !ok {
			t.Error("another address is refused")
		} else {
			leave()
		}
		begin := time.Now()
		if _, ok := g.enter(t.Context(), a); ok || time.Since(begin) != time.Second {
			t.Errorf("the ninth: %v after %v", ok, time.Since(begin))
		}
		results := make(chan bool, 2)
		for range 2 {
			go func() {
				leave, ok := g.enter(t.Context(), a)
				results <- ok
				if ok {
					leave()
				}
			}()
		}
		synctest.Wait()
		begin = time.Now()
		if _, ok := g.enter(t.Context(), a); ok || time.Since(begin) != 0 {
			t.Error("more wait than may")
		}
		leaves[0]()
		for range 2 {
			if !<-results {
				t.Error("a place that was left is not given to those who wait")
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		leave, ok := g.enter(ctx, a)
		cancel()
		if _, again := g.enter(ctx, a); !ok || again {
			t.Errorf("%v, and with a sender that has gone: %v", ok, again)
		}
		leave()
		for _, leave := range leaves[1:] {
			leave()
		}
		for i := range g.shards {
			if n := len(g.shards[i].addresses); n != 0 {
				t.Errorf("%d addresses are kept", n)
			}
		}
	})
}

func TestBudget(t *testing.T) {
	t.Parallel()
	b := &budget{limit: 1 << 20}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			l, ok := newLease(b)
			if !ok {
				return
			}
			defer l.release()
			_, err := l.read(strings.NewReader(strings.Repeat("x", 300_000)), 1_000_000)
			if err != nil && !errors.Is(err, errBudget) {
				t.Error(err)
			}
			if used := b.used.Load(); used > b.limit {
				t.Errorf("%d bytes in use", used)
			}
		})
	}
	wg.Wait()
	if used := b.used.Load(); used != 0 {
		t.Errorf("%d bytes are lost", used)
	}
}

func TestReadBody(t *testing.T) {
	t.Parallel()
	b := &budget{limit: 1 << 30}
	for _, n := range []int{0, 1, firstBuffer, firstBuffer + 1, 999_999, 1_000_000, 1_000_001, 5_000_000} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"plain": func(r io.Reader) io.Reader { return r }, "with EOF": iotest.DataErrReader, "halves": iotest.HalfReader,
		} {
			l, ok := newLease(b)
			if !ok {
				t.Fatal("no room")
			}
			sent := bytes.Repeat([]byte("x"), n)
			got, err := l.read(wrap(bytes.NewReader(sent)), 1_000_000)
			if tooLarge := errors.Is(err, errTooLarge); tooLarge != (n > 1_000_000) || !tooLarge && (err != nil || !bytes.Equal(got, sent)) {
				t.Errorf("%d bytes, %s: %d, %v", n, name, len(got), err)
			}
			if l.held > 1_100_000 {
				t.Errorf("%d bytes hold %d", n, l.held)
			}
			l.release()
		}
	}
	// What has been announced costs nothing until it arrives.
	l, ok := newLease(b)
	if !ok {
		t.Fatal("no room")
	}
	if _, err := l.read(iotest.ErrReader(io.ErrUnexpectedEOF), 1_000_000); !errors.Is(err, io.ErrUnexpectedEOF) || l.held != requestCost {
		t.Errorf("%v, %d", err, l.held)
	}
	l.release()
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	s, err := NewSecrets(config.NewSecret("one, two\nthree ,four"))
	if err != nil {
		t.Fatal(err)
	}
	for i, secret := range []string{"one", "two", "three", "four"} {
		if index, ok := s.Match(sha256.Sum256([]byte(secret))); !ok || index != i {
			t.Errorf("%s: %d, %v", secret, index, ok)
		}
	}
	for _, wrong := range []string{"", "five", "one, two", "on", "one "} {
		if _, ok := s.Match(sha256.Sum256([]byte(wrong))); ok {
			t.Errorf("%q passes", wrong)
		}
	}
	for _, bad := range []string{"", " ", ",", "a,,b", "a,", ",a", "a, ,b"} {
		if _, err := NewSecrets(config.NewSecret(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestSecretsFollowTheirFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secrets")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("old\n")
	var c struct {
		Key config.Secret `env:"KEY"`
	}
	if err := config.Load(&c, "none", "", func(name string) (string, bool) { return path, name == "KEY_FILE" }); err != nil {
		t.Fatal(err)
	}
	s, err := NewSecrets(c.Key)
	if err != nil {
		t.Fatal(err)
	}
	passes := func(secret string) bool { _, ok := s.Match(sha256.Sum256([]byte(secret))); return ok }
	wait := func(what string, cond func() bool) {
		t.Helper()
		for end := time.Now().Add(patience); !cond(); {
			if time.Now().After(end) {
				t.Fatalf("%s does not come", what)
			}
			<-time.After(20 * time.Millisecond)
		}
	}
	write("new,old\n")
	wait("the new secret", func() bool { return passes("new") && passes("old") && s.Problem() == "" })
	write("new,,\n")
	wait("the problem", func() bool { return s.Problem() != "" })
	if !passes("new") || !passes("old") || strings.Contains(s.Problem(), "new") {
		t.Errorf("the last good secrets are gone: %s", s.Problem())
	}
	write("new\n")
	wait("the end of the old secret", func() bool { return passes("new") && !passes("old") && s.Problem() == "" })
}
