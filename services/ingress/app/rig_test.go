package app_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"autotag/pkg/admin"
	"autotag/pkg/config"
	"autotag/pkg/stream"
	"autotag/pkg/testkit/leaktest"
	"autotag/pkg/testkit/natstest"
	"autotag/services/ingress/app"
)

// Most of these tests wait, for deadlines and stops, so there are more at once
// than processors, unless the command line says how many.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", "8"); err != nil {
			panic(err)
		}
	}
	leaktest.Main(m)
}

const (
	secret = "s3cret-of-the-tests"
	org    = "5f0b2c4e-7a1d-4c39-9f57-3d2a61b8e0c4"
	path   = "/webhooks/livechat"

	// patience is generous: whoever waits goes on as soon as there is something
	// to go on with.
	patience = 2 * time.Minute
)

// rig is an ingress on a free port and the NATS behind it.
type rig struct {
	t    *testing.T
	app  *app.App
	js   jetstream.JetStream // a connection of the test's own; nil without a server
	logs *observer.ObservedLogs
}

func settings(natsURL string) app.Config {
	return app.Config{
		Addr: "127.0.0.1:0", AdminAddr: "127.0.0.1:0", Secrets: config.NewSecret(secret),
		EventsMaxAge: time.Hour, EventsMaxBytes: 256 << 20, Replicas: 1,
		Common: config.Common{NATSURL: natsURL},
	}
}

// startRig starts an ingress and waits until it is ready.
func startRig(t *testing.T, natsURL string, edit func(*app.Config)) *rig {
	t.Helper()
	r := startUnready(t, natsURL, edit)
	_, r.js = natstest.Connect(t, natsURL)
	r.waitReady(true)
	return r
}

func startUnready(t *testing.T, natsURL string, edit func(*app.Config)) *rig {
	t.Helper()
	cfg := settings(natsURL)
	if edit != nil {
		edit(&cfg)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	a, err := app.New(cfg, zap.New(core), app.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, app: a, logs: logs}
	t.Cleanup(r.stop)
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.app.Stop(ctx); err != nil {
		r.t.Errorf("stop: %v", err)
	}
}

// readiness asks the admin listener.
func (r *rig) readiness() (code int, body admin.Readiness) {
	r.t.Helper()
	code, text := r.admin("/readyz")
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		r.t.Fatal(err)
	}
	return code, body
}

func (r *rig) admin(path string) (int, string) {
	r.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + r.app.AdminAddr() + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (r *rig) waitReady(want bool) {
	r.t.Helper()
	var body admin.Readiness
	wait(r.t, fmt.Sprintf("ready %v", want), func() bool {
		var code int
		code, body = r.readiness()
		return (code == http.StatusOK) == want
	}, func() any { return body })
}

// waitNotice waits for what is said of the server, which is looked at after the
// ingress is ready.
func (r *rig) waitNotice(want string) {
	r.t.Helper()
	var body admin.Readiness
	wait(r.t, want, func() bool {
		_, body = r.readiness()
		return strings.Contains(body.Notices["nats_server"], want)
	}, func() any { return body })
}

// wait waits until cond holds.
func wait(t *testing.T, what string, cond func() bool, state func() any) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !cond(); <-tick.C {
		if time.Now().After(end) {
			if state != nil {
				t.Fatalf("%s: not within %v: %+v", what, patience, state())
			}
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// answer is what came back over a socket.
type answer struct {
	status int
	header http.Header
	body   string
	closed bool // the connection was closed after it
}

// send writes text to a new connection and reads one answer.
func (r *rig) send(text string) answer { r.t.Helper(); return r.sendFrom("127.0.0.1", text) }

func (r *rig) sendFrom(ip, text string) answer {
	r.t.Helper()
	conn, err := r.connect(ip)
	if err != nil { // not fatal: many send at once
		r.t.Error(err)
		return answer{}
	}
	defer conn.Close()
	// The server may answer and close before it has read everything.
	go io.WriteString(conn, text) //nolint:errcheck // see above
	method, _, _ := strings.Cut(text, " ")
	return readAnswer(r.t, conn, method)
}

func (r *rig) dial(ip string) net.Conn {
	r.t.Helper()
	conn, err := r.connect(ip)
	if err != nil {
		r.t.Fatal(err)
	}
	return conn
}

// connect opens a connection that does not wait for ever.
func (r *rig) connect(ip string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	conn, err := d.Dial("tcp", r.app.Addr())
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(patience))
}

// readAnswer reads one answer to a request; status 0 means that the connection
// was closed without one.
func readAnswer(t *testing.T, conn net.Conn, method string) answer {
	t.Helper()
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, &http.Request{Method: method})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("neither answered nor closed")
	}
	if err != nil {
		return answer{closed: true}
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil && !resp.Close { // a refused sender that goes on sending is reset
		t.Errorf("read the answer's body: %v", err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: string(body), closed: resp.Close}
}

// post is a webhook request in full.
func post(body string, headers ...string) string {
	return request("POST", path, body, append([]string{"Content-Type: application/json"}, headers...)...)
}

func request(method, target, body string, headers ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: ingress\r\n", method, target)
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return b.String()
}

// hook is a small webhook with the right secret; members is put into the
// envelope and payload into the payload.
func hook(members, payload string) string {
	return fmt.Sprintf(`{"webhook_id":"w","secret_key":%q,"action":"chat_deactivated","organization_id":%q%s,"payload":{"chat_id":"C1","thread_id":"T1"%s}}`, secret, org, members, payload)
}

// sample returns a sample body with the tests' secret.
func sample(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/webhook." + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.ReplaceAll(b, []byte("k3y-0f7d-demo-secret"), []byte(secret)))
}

// stored returns the messages of a stream from the sequence on.
func (r *rig) stored(name string, from uint64) []*jetstream.RawStreamMsg {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := r.js.Stream(ctx, name)
	if err != nil {
		r.t.Fatal(err)
	}
	var all []*jetstream.RawStreamMsg
	for seq := max(1, from, s.CachedInfo().State.FirstSeq); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(ctx, seq)
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// marks are the last sequences of the streams that the ingress could write to.
type marks map[string]uint64

var streams = []string{stream.Events, stream.Dead, stream.Timers, stream.Decisions}

func (r *rig) marks() marks {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m := make(marks)
	for _, name := range streams {
		s, err := r.js.Stream(ctx, name)
		if err != nil {
			r.t.Fatal(err)
		}
		m[name] = s.CachedInfo().State.LastSeq
	}
	return m
}

// written are the messages that were stored after the marks.
func (r *rig) written(m marks) (events, dead []*jetstream.RawStreamMsg) {
	r.t.Helper()
	for _, name := range []string{stream.Timers, stream.Decisions} {
		if more := r.stored(name, m[name]+1); len(more) > 0 {
			r.t.Errorf("%d messages in %s", len(more), name)
		}
	}
	return r.stored(stream.Events, m[stream.Events]+1), r.stored(stream.Dead, m[stream.Dead]+1)
}

func headerNames(h nats.Header) map[string]bool {
	names := make(map[string]bool)
	for name := range h {
		names[name] = true
	}
	return names
}
