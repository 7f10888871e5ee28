package webhook

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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

// patience is generous: whoever waits goes on as soon as there is something to
// go on with.
const patience = 2 * time.Minute

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
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
	if status, _, _ := postTo(t, url, testHook); status != 503 {
		t.Errorf("%d", status)
	}
	if held := h.budget.used.Load(); held == 0 {
		t.Error("what the hanging store holds is not counted")
	}
	close(release)
	eventually(t, "nothing is held", func() bool { return h.budget.used.Load() == 0 })
}

// LiveChat waits for about 10 s; that leaves time for the way back.
func TestDefaultLimitsFitLiveChat(t *testing.T) {
	t.Parallel()
	if l := DefaultLimits; l.Read >= l.HardBudget || l.Budget >= l.HardBudget || l.HardBudget > 9500*time.Millisecond || l.Write <= l.HardBudget {
		t.Errorf("%+v", l)
	}
}

// The answer waits for the store, and the deadline of the store leaves time for
// the answer.
func TestAnswerComesAfterTheStore(t *testing.T) {
	t.Parallel()
	stored := make(chan struct{})
	limits := DefaultLimits
	limits.Budget, limits.HardBudget, limits.Write = patience, 2*patience, 3*patience
	began := time.Now()
	_, url, _ := serve(t, fakeStore{publish: func(ctx context.Context, subject, msgID string, data []byte) error {
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > patience || deadline.Before(began.Add(patience)) {
			t.Errorf("deadline %v", deadline)
		}
		if subject != "livechat.o.c.t.chat_deactivated" || !strings.HasPrefix(msgID, "o:c:t:chat_deactivated:_:") || strings.Contains(string(data), testSecret) {
			t.Errorf("%s %s %s", subject, msgID, data)
		}
		<-stored
		return nil
	}}, limits)
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
	limits := DefaultLimits
	limits.Patience, limits.Budget, limits.HardBudget, limits.Write = patience, patience, 2*patience, 3*patience
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
	}}, limits)
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
	limits.Unverified, limits.Waiting, limits.Patience, limits.InFlight = 1, waiting, patience, 2*requestCost
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
	eventually(t, "the requests come", func() bool { return testutil.ToFloat64(h.metrics.inFlight) == 1+waiting })
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

// Row 29: bytes in flight, and requests of one address.
func TestBytesInFlight(t *testing.T) {
	t.Parallel()
	limits := DefaultLimits
	limits.ReadHeader, limits.Read, limits.Write = 2*patience, 2*patience, 4*patience // the bodies are to stay stalled
	h, url, _ := serve(t, fakeStore{publish: func(context.Context, string, string, []byte) error { return nil }}, limits)
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	send := func(ip, body string, announced int) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		conn, err := d.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(url, "http://"), Path))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		// The server may answer and close before it has read everything.
		go fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: i\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", Path, announced, body)
		return conn
	}
	answer := func(conn net.Conn) int {
		t.Helper()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == 503 && resp.Header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
		return resp.StatusCode
	}
	used := h.budget.used.Load
	large := strings.Repeat("x", 990_000)
	full := int64(requestCost + limits.Body + 1 - firstBuffer) // what a stalled large body holds
	stalled := int64(0)
	stall := func(ip string) {
		t.Helper()
		send(ip, large, 999_000)
		stalled++
		eventually(t, fmt.Sprintf("large body %d has been read", stalled), func() bool { return used() == stalled*full })
	}
	for range limits.Unverified {
		stall("127.0.0.3")
	}
	if status := answer(send("127.0.0.3", testHook, len(testHook))); status != 503 {
		t.Errorf("one request more of an address: %d", status)
	}
	if status := answer(send("127.0.0.4", testHook, len(testHook))); status != 200 {
		t.Errorf("another address: %d", status)
	}
	eventually(t, "the small ones hold nothing", func() bool { return used() == stalled*full })
	for (stalled+1)*full <= limits.InFlight {
		stall(fmt.Sprintf("127.0.1.%d", 1+stalled))
	}
	if status := answer(send("127.0.0.5", large, 999_000)); status != 503 {
		t.Errorf("above what all may hold together: %d", status)
	}
	if n := used(); n > limits.InFlight {
		t.Errorf("%d bytes are held", n)
	}
	for _, c := range conns {
		_ = c.Close()
	}
	eventually(t, "nothing is held", func() bool { return used() == 0 })
	if status := answer(send("127.0.0.3", testHook, len(testHook))); status != 200 {
		t.Errorf("afterwards: %d", status)
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
