package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"autotag/pkg/config"
	"autotag/pkg/testkit/leaktest"
	"autotag/pkg/transcript"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// fakeStore does what the test says.
type fakeStore struct {
	publish func(ctx context.Context, subject, msgID string, data []byte) error
	dead    func(ctx context.Context, key transcript.Key, reason, msgID string, data []byte) error
}

func (f fakeStore) Publish(ctx context.Context, subject, msgID string, data []byte) error {
	return f.publish(ctx, subject, msgID, data)
}

func (f fakeStore) DeadLetter(ctx context.Context, key transcript.Key, reason, msgID string, data []byte) error {
	return f.dead(ctx, key, reason, msgID, data)
}

const (
	testSecret = "a-secret-canary"
	testText   = "a-text-canary"
)

var (
	testHook = `{"secret_key":"` + testSecret + `","action":"chat_deactivated","organization_id":"o","payload":{"chat_id":"c","thread_id":"t","text":"` + testText + `"}}`
	deadHook = `{"secret_key":"` + testSecret + `","action":"chat_deactivated","organization_id":"o","payload":{"chat_id":"` + testText + `.","thread_id":"t"}}`
)

func serve(t *testing.T, store Store, limits Limits) (h *Handler, url string, logs *observer.ObservedLogs) {
	t.Helper()
	secrets, err := NewSecrets(config.NewSecret(testSecret))
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	h = NewHandler(Options{Store: store, Secrets: secrets, Registry: prometheus.NewRegistry(), Log: zap.New(core), Limits: limits})
	s, err := Serve(h, "127.0.0.1:0", func(err error) { t.Errorf("serving ended: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return h, "http://" + s.Addr() + Path, logs
}

func postTo(t testing.TB, url, body string) (status int, answer string, header http.Header) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, "", nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

func noCanary(t *testing.T, logs *observer.ObservedLogs) {
	t.Helper()
	for _, e := range logs.All() {
		for _, canary := range []string{testSecret, testText} {
			if line := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(line, canary) {
				t.Errorf("logged: %s", line)
			}
		}
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	for name, what := range map[string]func(data []byte){
		"with the body": func(data []byte) { panic(string(data)) },
		"as an error":   func(data []byte) { panic(fmt.Errorf("cannot store %s", data)) },
		"of the runtime": func(data []byte) {
			data[len(data)-1] = data[len(data)]
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, url, logs := serve(t, fakeStore{publish: func(_ context.Context, _, _ string, data []byte) error { what(data); return nil }}, Limits{})
			status, body, _ := postTo(t, url, testHook)
			if status != 500 || body != `{"error":"internal server error"}` {
				t.Errorf("%d %s", status, body)
			}
			noCanary(t, logs)
			if logs.FilterMessage("panic").Len() != 1 {
				t.Error("not logged")
			}
			if n := testutil.ToFloat64(h.metrics.webhooks.WithLabelValues("chat_deactivated", "500")); n != 1 {
				t.Errorf("counted %v times", n)
			}
			if held := h.budget.used.Load(); held != 0 {
				t.Errorf("%d bytes are held", held)
			}
		})
	}
}

func TestStoreFails(t *testing.T) {
	t.Parallel()
	fails := errors.New("no acknowledgement")
	h, url, logs := serve(t, fakeStore{
		publish: func(context.Context, string, string, []byte) error { return fails },
		dead:    func(context.Context, transcript.Key, string, string, []byte) error { return fails },
	}, Limits{})
	for _, body := range []string{testHook, deadHook} {
		status, answer, header := postTo(t, url, body)
		if status != 503 || answer != `{"error":"service unavailable"}` || header.Get("Retry-After") == "" {
			t.Errorf("%d %s %v", status, answer, header)
		}
	}
	noCanary(t, logs)
	if n := testutil.ToFloat64(h.metrics.dead.WithLabelValues("ingress", reasonChat)); n != 0 {
		t.Errorf("%v dead letters are counted and not one is stored", n)
	}
}

// A store that ignores its deadline cannot hold up the answer, and what it holds
// stays counted.
func TestStoreHangs(t *testing.T) {
	t.Parallel()
	limits := DefaultLimits
	limits.Budget, limits.HardBudget = 50*time.Millisecond, 200*time.Millisecond
	release := make(chan struct{})
	h, url, _ := serve(t, fakeStore{publish: func(context.Context, string, string, []byte) error { <-release; return nil }}, limits)
	begin := time.Now()
	if status, _, _ := postTo(t, url, testHook); status != 503 || time.Since(begin) > 2*time.Second {
		t.Errorf("%d after %v", status, time.Since(begin))
	}
	if held := h.budget.used.Load(); held == 0 {
		t.Error("what the hanging store holds is not counted")
	}
	close(release)
	for end := time.Now().Add(5 * time.Second); h.budget.used.Load() != 0 && time.Now().Before(end); {
		<-time.After(time.Millisecond)
	}
	if held := h.budget.used.Load(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}

// The answer waits for the store, and the deadline of the store leaves time for
// the answer.
func TestAnswerComesAfterTheStore(t *testing.T) {
	t.Parallel()
	stored := make(chan struct{})
	_, url, _ := serve(t, fakeStore{publish: func(ctx context.Context, subject, msgID string, data []byte) error {
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > 8500*time.Millisecond || time.Until(deadline) < 7*time.Second {
			t.Errorf("deadline %v", deadline)
		}
		if subject != "livechat.o.c.t.chat_deactivated" || !strings.HasPrefix(msgID, "o:c:t:chat_deactivated:_:") || strings.Contains(string(data), testSecret) {
			t.Errorf("%s %s %s", subject, msgID, data)
		}
		<-stored
		return nil
	}}, Limits{})
	answered := make(chan int, 1)
	go func() {
		status, _, _ := postTo(t, url, testHook)
		answered <- status
	}()
	select {
	case status := <-answered:
		t.Errorf("answered %d before it was stored", status)
	case <-time.After(100 * time.Millisecond):
	}
	close(stored)
	if status := <-answered; status != 200 {
		t.Errorf("%d", status)
	}
}

// What a sender that goes away has sent is stored all the same.
func TestSenderGoesAway(t *testing.T) {
	t.Parallel()
	began, gone := make(chan struct{}), make(chan struct{})
	result := make(chan error, 1)
	_, url, _ := serve(t, fakeStore{publish: func(ctx context.Context, _, _ string, _ []byte) error {
		close(began)
		<-gone
		<-time.After(50 * time.Millisecond) // the server notices in the meantime
		result <- ctx.Err()
		return ctx.Err()
	}}, Limits{})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(testHook))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	done := make(chan struct{})
	go func() {
		defer close(done)
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	<-began
	cancel()
	<-done
	close(gone)
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// Webhooks do not wait for one another.
func TestManyInFlight(t *testing.T) {
	t.Parallel()
	const n = 300
	var inFlight atomic.Int32
	all := make(chan struct{})
	_, url, _ := serve(t, fakeStore{publish: func(ctx context.Context, _, _ string, _ []byte) error {
		if inFlight.Add(1) == n {
			close(all)
		}
		select {
		case <-all:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}, Limits{})
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if status, _, _ := postTo(t, url, testHook); status != 200 {
				t.Errorf("%d", status)
			}
		})
	}
	wg.Wait()
}

// What one address has waiting takes nothing of the bytes that all share.
func TestWaitingTakesNoShare(t *testing.T) {
	t.Parallel()
	const waiting = 5
	limits := DefaultLimits
	limits.Unverified, limits.Waiting, limits.Patience, limits.InFlight = 1, waiting, time.Minute, 2*requestCost
	h, url, _ := serve(t, fakeStore{publish: func(context.Context, string, string, []byte) error { return nil }}, limits)
	stall, release := io.Pipe()
	var wg sync.WaitGroup
	for range 1 + waiting {
		wg.Go(func() {
			r := httptest.NewRequest(http.MethodPost, Path, stall)
			r.RemoteAddr = "192.0.2.1:1"
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != 400 { // the body is cut off
				t.Errorf("%d", w.Code)
			}
		})
	}
	for end := time.Now().Add(10 * time.Second); testutil.ToFloat64(h.metrics.inFlight) < 1+waiting; {
		if time.Now().After(end) {
			t.Fatal("the requests did not come")
		}
		time.Sleep(time.Millisecond)
	}
	if status, _, _ := postTo(t, url, testHook); status != 200 {
		t.Errorf("another address: %d", status)
	}
	if err := release.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if n := h.budget.used.Load(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
}

// What is stored is not touched by the requests that come after it, whose
// buffers may be the same.
func TestBodiesAreNotMixedUp(t *testing.T) {
	t.Parallel()
	var mixed atomic.Int32
	_, url, _ := serve(t, fakeStore{publish: func(_ context.Context, subject, _ string, data []byte) error {
		before := string(data)
		<-time.After(time.Millisecond)
		chat := strings.Split(subject, ".")[2]
		if string(data) != before || strings.Count(before, chat) != 200 {
			mixed.Add(1)
		}
		return nil
	}}, Limits{})
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 50 {
				id := fmt.Sprintf("w%di%dx", worker, i)
				body := strings.NewReplacer(`"c"`, `"`+id+`"`, testText, strings.Repeat(id, 199)).Replace(testHook)
				if status, _, _ := postTo(t, url, body); status != 200 {
					t.Errorf("%d", status)
				}
			}
		})
	}
	wg.Wait()
	if n := mixed.Load(); n > 0 {
		t.Errorf("%d bodies were changed while they were stored", n)
	}
}

func BenchmarkReceive(b *testing.B) {
	secrets, err := NewSecrets(config.NewSecret("k3y-0f7d-demo-secret"))
	if err != nil {
		b.Fatal(err)
	}
	h := NewHandler(Options{
		Store:    fakeStore{publish: func(context.Context, string, string, []byte) error { return nil }},
		Secrets:  secrets,
		Registry: prometheus.NewRegistry(), Log: zap.NewNop(),
	})
	body := string(samples(b)["webhook.incoming_event.v3.6.json"])
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := http.NewRequest(http.MethodPost, Path, strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		r.RemoteAddr = "127.0.0.1:1"
		r.Header.Set("Content-Type", "application/json")
		w := discard{make(http.Header)}
		h.ServeHTTP(w, r)
	}
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(status int) {
	if status != 200 {
		panic(status)
	}
}
