package app_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"autotag/pkg/admin"
	"autotag/pkg/stream"
	"autotag/pkg/testkit/natstest"
	"autotag/services/ingress/app"
	"autotag/services/ingress/internal/webhook"
)

// Row 30: NATS is down.
func TestNATSDown(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, nil)
	r := startRig(t, server.URL, nil)
	server.Stop()
	r.waitReady(false)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			got := r.send(post(hook("", fmt.Sprintf(`,"n":%d`, i))))
			if got.status != 503 || got.body != bodies[503] || got.header.Get("Retry-After") == "" {
				t.Errorf("%+v", got)
			}
		})
	}
	wg.Wait()
	server.Restart()
	r.waitReady(true)
	_, r.js = server.Connect()
	if n := len(r.stored(stream.Events, 0)); n != 0 {
		t.Errorf("%d of the refused webhooks are stored", n)
	}
	if got := r.send(post(hook("", ""))); got.status != 200 {
		t.Errorf("afterwards: %+v", got)
	}
}

// A NATS that comes back within the time of a request costs a delay only.
func TestNATSRestart(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, nil)
	r := startRig(t, server.URL, nil)
	server.Stop()
	r.waitReady(false)
	answers := make(chan answer, 1)
	go func() { answers <- r.sendThrough(post(hook("", ""))) }()
	server.Restart()
	if got := <-answers; got.status != 200 {
		t.Errorf("%+v", got)
	}
	_, r.js = server.Connect()
	if n := len(r.stored(stream.Events, 0)); n != 1 {
		t.Errorf("%d stored", n)
	}
}

// sendThrough sends a request through the end of an outage. Where the machine
// is so busy that the end does not come within the request's time it is sent
// again, as LiveChat does; a 503 before that time is a failure.
func (r *rig) sendThrough(text string) answer {
	r.t.Helper()
	for start := time.Now(); ; {
		sent := time.Now()
		got := r.send(text)
		if got.status != 503 || time.Since(sent) < webhook.DefaultLimits.Budget || time.Since(start) > patience {
			return got
		}
	}
}

// NATS is not there when the ingress starts: it listens, says 503 and why, and
// sets the streams up as soon as it can.
func TestStartWithoutNATS(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, nil)
	url := server.URL
	server.Stop()
	r := startUnready(t, url, nil)
	if code, body := r.readiness(); code != 503 || !strings.Contains(body.Checks["nats"], "not connected") || !strings.Contains(body.Checks["events"], "not connected") {
		t.Errorf("%d %+v", code, body)
	}
	if code, _ := r.admin("/healthz"); code != 200 {
		t.Errorf("/healthz: %d", code)
	}
	if err := admin.Healthcheck(t.Context(), r.app.AdminAddr(), false); err != nil {
		t.Error(err)
	}
	// Requests that come before the first connection wait for it as they do for
	// every later one.
	answers := make(chan answer, 2)
	go func() { answers <- r.sendThrough(post(hook("", ""))) }()
	go func() {
		answers <- r.sendThrough(post(strings.Replace(hook("", ""), "chat_deactivated", "UNUSABLE", 1)))
	}()
	wait(t, "the requests", func() bool {
		_, text := r.admin("/metrics")
		return strings.Contains(text, "autotag_webhooks_in_flight 2")
	}, nil)
	server.Restart()
	for range cap(answers) {
		if got := <-answers; got.status != 200 {
			t.Errorf("%+v", got)
		}
	}
	r.waitReady(true)
	r.waitNotice("sync_interval could not be checked")
}

// What the server has against the credentials is told, without them.
func TestWrongCredentials(t *testing.T) {
	t.Parallel()
	ns := natstest.Start(t, func(o *server.Options) { o.DontListen, o.Username, o.Password = false, "u", "right" })
	r := startUnready(t, strings.Replace(ns.URL, "://", "://u:wr0ng@", 1), nil)
	var body admin.Readiness
	wait(t, "the reason", func() bool {
		_, body = r.readiness()
		return strings.Contains(strings.ToLower(body.Checks["nats"]), "authorization violation")
	}, func() any { return body })
	wait(t, "the reason in the log", func() bool {
		return slices.ContainsFunc(r.logs.All(), func(e observer.LoggedEntry) bool {
			return strings.Contains(strings.ToLower(fmt.Sprint(e.ContextMap())), "authorization violation")
		})
	}, nil)
	for _, e := range r.logs.All() {
		if strings.Contains(fmt.Sprint(e.Message, e.ContextMap()), "wr0ng") {
			t.Errorf("the password is in the log: %v", e)
		}
	}
}

// Row 30: the stream is full.
func TestStreamFull(t *testing.T) {
	t.Parallel()
	r := startRig(t, natstest.Start(t, nil).URL, func(c *app.Config) { c.EventsMaxBytes = 300_000 })
	if got := r.send(post(hook("", `,"x":"`+strings.Repeat("x", 200_000)+`"`))); got.status != 200 {
		t.Fatalf("%+v", got)
	}
	if got := r.send(post(hook("", `,"x":"`+strings.Repeat("y", 200_000)+`"`))); got.status != 503 || got.body != bodies[503] {
		t.Errorf("%+v", got)
	}
	if n := len(r.stored(stream.Events, 0)); n != 1 {
		t.Errorf("%d stored", n)
	}
	var body admin.Readiness
	wait(t, "not ready", func() bool {
		var code int
		code, body = r.readiness()
		if code == 503 && strings.Contains(body.Checks["events"], "full") {
			return true
		}
		r.send(post(hook("", `,"x":"`+strings.Repeat("z", 200_000)+`"`))) // a failure counts for seconds only
		return false
	}, func() any { return body })
}

// Dead letters bring their stream back, too.
func TestDeadStreamDeleted(t *testing.T) {
	t.Parallel()
	r := startRig(t, natstest.Start(t, nil).URL, nil)
	if err := r.js.DeleteStream(t.Context(), stream.Dead); err != nil {
		t.Fatal(err)
	}
	if got := r.send(post(strings.Replace(hook("", ""), "chat_deactivated", "UNUSABLE", 1))); got.status != 200 {
		t.Errorf("%+v", got)
	}
	if n := len(r.stored(stream.Dead, 0)); n != 1 {
		t.Errorf("%d stored", n)
	}
}

// A stream that somebody deletes comes back.
func TestStreamDeleted(t *testing.T) {
	t.Parallel()
	r := startRig(t, natstest.Start(t, nil).URL, nil)
	if err := r.js.DeleteStream(t.Context(), stream.Events); err != nil {
		t.Fatal(err)
	}
	r.waitReady(false)
	if got := r.send(post(hook("", ""))); got.status != 200 {
		t.Errorf("%+v", got)
	}
	if n := len(r.stored(stream.Events, 0)); n != 1 {
		t.Errorf("%d stored", n)
	}
}

// Row 30: the server is frozen, first longer than a request, then shorter.
// TestSetUpFailsInBetween: the stream is back although the ingress's own try to
// create it has failed. That must not keep it from being ready.
func TestSetUpFailsInBetween(t *testing.T) {
	t.Parallel()
	ns := natstest.Start(t, nil)
	r := startRig(t, ns.URL, nil)
	ctx := t.Context()
	events, err := r.js.Stream(ctx, stream.Events)
	if err != nil {
		t.Fatal(err)
	}
	// Nobody can create streams while another program seems to do so.
	state, err := r.js.KeyValue(ctx, stream.StateBucket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := state.Put(ctx, "provision", nil); err != nil {
		t.Fatal(err)
	}
	if err := r.js.DeleteStream(ctx, stream.Events); err != nil {
		t.Fatal(err)
	}
	failures := func() int { return r.logs.FilterMessage("streams cannot be set up yet").Len() }
	before := failures()
	if got := r.send(post(hook("", ""))); got.status != 503 {
		t.Fatalf("%+v", got)
	}
	if _, err := r.js.CreateStream(ctx, events.CachedInfo().Config); err != nil { // by another program
		t.Fatal(err)
	}
	wait(t, "the ingress's own try fails", func() bool { return failures() > before }, func() any { return r.logs.All() })
	r.waitReady(true)
}

func TestNATSFrozen(t *testing.T) {
	t.Parallel()
	server := natstest.Binary(t, "")
	r := startRig(t, server.URL, nil)
	server.Freeze()
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			// Large ones: together more than the socket's buffers hold. Of an
			// address each, so that none waits for another to be read.
			got := r.sendFrom(fmt.Sprintf("127.0.3.%d", i+1), post(hook("", fmt.Sprintf(`,"n":%d,"x":%q`, i, strings.Repeat("x", 800_000)))))
			if got.status != 503 {
				t.Errorf("%+v", got)
			}
		})
	}
	r.waitReady(false)
	wg.Wait()
	server.Thaw()
	r.waitReady(true)

	before := r.marks()
	server.Freeze()
	answers := make(chan answer, 1)
	go func() { answers <- r.sendThrough(post(hook("", `,"short":1`))) }()
	<-time.After(3 * time.Second) // the length of the freeze is the test
	server.Thaw()
	if got := <-answers; got.status != 200 {
		t.Errorf("after a short freeze: %+v", got)
	}
	events, _ := r.written(before)
	n := 0
	for _, m := range events {
		if strings.Contains(string(m.Data), `"short":1`) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d stored", n)
	}
}

// load posts webhooks over many connections until stop is closed, and returns
// the chat ids of those that were answered with 200, and every answer counted.
type load struct {
	mu       sync.Mutex
	stored   []string
	answers  map[int]int
	failures []error // of requests that got no answer
}

func (l *load) run(addr string, senders int, stop <-chan struct{}) {
	l.answers = make(map[int]int)
	transport := &http.Transport{MaxIdleConnsPerHost: senders}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var wg sync.WaitGroup
	var n atomic.Int64
	for range senders {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("L%d", n.Add(1))
				body := strings.Replace(hook("", ""), `"C1"`, `"`+id+`"`, 1)
				status, err := l.post(client, addr, body)
				l.mu.Lock()
				switch {
				case err != nil:
					l.failures = append(l.failures, err)
				case status == 200:
					l.stored = append(l.stored, id)
				}
				l.answers[status]++
				l.mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func (l *load) post(client *http.Client, addr, body string) (int, error) {
	req, err := http.NewRequest(http.MethodPost, "http://"+addr+path, io.NopCloser(strings.NewReader(body))) // cannot be sent twice by the client
	if err != nil {
		return 0, err
	}
	req.ContentLength = int64(len(body))
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}

// chats are the chat ids in the stream, and how often each is there.
func chats(t *testing.T, js jetstream.JetStream) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := js.Stream(ctx, stream.Events)
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter("livechat.>"))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]int)
	for subject, n := range info.State.Subjects {
		k, _, ok := stream.ParseEventSubject(subject)
		if !ok {
			t.Fatalf("subject %s", subject)
		}
		all[k.Chat] += int(n)
	}
	return all
}

// Nothing that was answered with 200 is missing after the server was killed
// under load, again and again.
func TestNATSKilledUnderLoad(t *testing.T) {
	t.Parallel()
	server := natstest.Binary(t, "")
	r := startRig(t, server.URL, nil)
	var l load
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); l.run(r.app.Addr(), 16, stop) }()
	count := func() int { l.mu.Lock(); defer l.mu.Unlock(); return len(l.stored) }
	for range 5 {
		n := count()
		wait(t, "some webhooks more", func() bool { return count() > n+200 }, nil)
		server.Kill()
		server.Start()
	}
	n := count()
	wait(t, "some webhooks more", func() bool { return count() > n+200 }, nil)
	close(stop)
	<-done
	if len(l.failures) > 0 {
		t.Errorf("%d requests without an answer, the first: %v", len(l.failures), l.failures[0])
	}
	_, js := natstest.Connect(t, server.URL)
	have := chats(t, js)
	for _, id := range l.stored {
		if have[id] != 1 {
			t.Errorf("%s was answered with 200 and is stored %d times", id, have[id])
		}
	}
	t.Logf("answers %v, %d stored", l.answers, len(have))
}

// A stop under load: every request that got through to the ingress is answered,
// with 200, and none comes after the port is closed. One that is still being
// sent is waited for, and readiness says no meanwhile.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, nil)
	r := startRig(t, server.URL, nil)
	var l load
	stop, done := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); l.run(r.app.Addr(), 32, stop) }()
	count := func() int { l.mu.Lock(); defer l.mu.Unlock(); return len(l.stored) }
	wait(t, "some webhooks", func() bool { return count() > 500 }, nil)

	slow := r.dial("127.0.0.2")
	defer slow.Close()
	body := hook("", `,"slow":1`)
	if _, err := io.WriteString(slow, strings.TrimSuffix(post(body, "Expect: 100-continue"), body)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(slow)
	for _, want := range []string{"HTTP/1.1 100 Continue\r\n", "\r\n"} { // it is read now
		if line, err := in.ReadString('\n'); err != nil || line != want {
			t.Fatalf("%q, %v", line, err)
		}
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); r.stop() }()
	wait(t, "not ready while it stops", func() bool {
		code, body := r.readiness()
		return code == 503 && body.Checks["running"] == "stopping"
	}, nil)
	if _, err := io.WriteString(slow, body); err != nil {
		t.Error(err)
	}
	if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("the slow request: %v, %v", resp, err)
	}
	<-stopped
	close(stop)
	<-done
	for status, n := range l.answers {
		if status != 200 && status != 0 {
			t.Errorf("%d answers with %d", n, status)
		}
	}
	refused := 0
	for _, err := range l.failures {
		if strings.Contains(err.Error(), "connection refused") {
			refused++ // it did not begin
		} else if !slices.Contains(strings.Fields(err.Error()), "dial") {
			t.Errorf("failed: %v", err)
		}
	}
	have := chats(t, r.js)
	for _, id := range l.stored {
		if have[id] != 1 {
			t.Errorf("%s was answered with 200 and is stored %d times", id, have[id])
		}
	}
	t.Logf("%d answered, %d refused at the door", len(l.stored), refused)
}

// A request that waits for NATS while the ingress is stopped is answered.
func TestStopWaitsForRequests(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, nil)
	r := startRig(t, server.URL, nil)
	server.Stop()
	r.waitReady(false)
	answers := make(chan answer, 1)
	go func() { answers <- r.send(post(hook("", ""))) }()
	wait(t, "the request", func() bool {
		_, text := r.admin("/metrics")
		return strings.Contains(text, "autotag_webhooks_in_flight 1")
	}, nil)
	stopped := make(chan struct{})
	go func() { defer close(stopped); r.stop() }()
	if got := <-answers; got.status != 503 {
		t.Errorf("%+v", got)
	}
	<-stopped
}

// A connection of another program is used and left open, and its listener too.
func TestSharedConnectionAndListener(t *testing.T) {
	t.Parallel()
	ns := natstest.Start(t, func(o *server.Options) { o.DontListen = false })
	nc, js := ns.Connect()
	side := admin.New("127.0.0.1:0", zap.NewNop())
	if err := side.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := side.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	a, err := app.New(settings("nats://127.0.0.1:1"), zap.NewNop(), app.Deps{NATS: nc, Admin: side})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, app: a, js: js}
	r.waitReady(true)
	if got := r.send(post(hook("", ""))); got.status != 200 {
		t.Errorf("%+v", got)
	}
	r.stop()
	r.stop() // does nothing
	if !nc.IsConnected() {
		t.Error("the connection is closed")
	}
	if err := admin.Healthcheck(t.Context(), side.Addr(), false); err != nil {
		t.Error(err)
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	r := startRig(t, natstest.Start(t, nil).URL, nil)
	for name, edit := range map[string]func(*app.Config){
		"webhook port": func(c *app.Config) { c.Addr = r.app.Addr() },
		"admin port":   func(c *app.Config) { c.AdminAddr = r.app.AdminAddr() },
	} {
		cfg := settings("nats://127.0.0.1:1")
		edit(&cfg)
		if err := app.Run(t.Context(), cfg, zap.NewNop()); err == nil || !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
