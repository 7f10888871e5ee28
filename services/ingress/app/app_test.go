package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"autotag/pkg/config"
	"autotag/pkg/logging"
	"autotag/pkg/stream"
	"autotag/pkg/testkit/natstest"
	"autotag/services/ingress/app"
)

// The platform's sample bodies end up where they belong, as they came but for
// the secret and the blanks; sent twice, those that are one fact are stored
// once.
func TestSamples(t *testing.T) {
	t.Parallel()
	r := startRig(t, natstest.Start(t, nil).URL, nil)
	for name, twice := range map[string]int{
		"incoming_chat.v3.6": 1, "incoming_event.v3.6": 1, "incoming_event.v3.3": 1, "event_deleted.v3.6": 1, "chat_deactivated.v3.6": 1,
		"event_updated.v3.6": 2, "thread_tagged.v3.6": 2, "chat_access_updated.v3.6": 2,
	} {
		t.Run(name, func(t *testing.T) {
			r := &rig{t: t, app: r.app, js: r.js}
			before := r.marks()
			body := sample(t, name)
			for range 2 {
				if got := r.send(post(body)); got.status != 200 || got.body != "{}" {
					t.Fatalf("%+v", got)
				}
			}
			events, dead := r.written(before)
			if len(events) != twice || len(dead) != 0 {
				t.Fatalf("%d webhooks and %d dead letters, should be %d", len(events), len(dead), twice)
			}
			var want, got map[string]any
			if err := errors.Join(json.Unmarshal([]byte(body), &want), json.Unmarshal(events[0].Data, &got)); err != nil {
				t.Fatal(err)
			}
			delete(want, "secret_key")
			if !reflect.DeepEqual(want, got) {
				t.Errorf("%s", events[0].Data)
			}
			action, _, _ := strings.Cut(name, ".")
			thread := "SJ4K2R8WQ3"
			if action == "chat_access_updated" {
				thread = "_"
			}
			k, stored, ok := stream.ParseEventSubject(events[0].Subject)
			if !ok || stored != action || k.Chat != "SJ4K2R8V0P" || k.Thread != thread {
				t.Errorf("%s", events[0].Subject)
			}
		})
	}
}

// Two senders, one fact: the same webhook from many connections at once is
// stored once.
func TestSameWebhookAtOnce(t *testing.T) {
	t.Parallel()
	r := startRig(t, natstest.Start(t, nil).URL, nil)
	body := post(sample(t, "incoming_event.v3.6"))
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if got := r.send(body); got.status != 200 {
				t.Errorf("%+v", got)
			}
		})
	}
	wg.Wait()
	if n := len(r.stored(stream.Events, 0)); n != 1 {
		t.Errorf("%d stored", n)
	}
}

// Both secrets pass while one is replaced by the other, and which one was used
// is counted.
func TestRotation(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secrets")
	write := func(text string) {
		if err := errors.Join(os.WriteFile(file+".new", []byte(text), 0o600), os.Rename(file+".new", file)); err != nil {
			t.Fatal(err)
		}
	}
	write(secret + "\n")
	r := startRig(t, natstest.Start(t, nil).URL, func(c *app.Config) {
		fromFile, err := app.LoadConfig("", func(name string) (string, bool) { return file, name == "LIVECHAT_WEBHOOK_SECRETS_FILE" })
		if err != nil {
			t.Fatal(err)
		}
		c.Secrets = fromFile.Secrets
	})
	oldBody := post(hook("", ""))
	newBody := post(strings.Replace(hook("", ""), secret, "the-next-one", 1))
	// Of an address each, for failures are limited by address.
	sent := 0
	status := func(text string) int {
		sent++
		return r.sendFrom(fmt.Sprintf("127.1.%d.%d", sent/200%200, 1+sent%200), text).status
	}
	if status(oldBody) != 200 || status(newBody) != 401 {
		t.Fatal("before")
	}
	write("the-next-one," + secret)
	wait(t, "both secrets", func() bool { return status(newBody) == 200 && status(oldBody) == 200 }, nil)
	if _, text := r.admin("/metrics"); !strings.Contains(text, `autotag_webhook_secret_matches_total{index="1"}`) {
		t.Error("the old secret's use is not counted")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	wait(t, "the notice", func() bool {
		_, body := r.readiness()
		return body.Ready && strings.Contains(body.Notices["webhook_secrets"], "last good")
	}, nil)
	if status(newBody) != 200 {
		t.Error("the last good secrets are gone")
	}
	wait(t, "the line in the log", func() bool { return r.logs.FilterMessage("webhook secrets").Len() > 0 }, nil)
	write("\n")
	wait(t, "the notice of an empty file", func() bool {
		_, body := r.readiness()
		return body.Ready && strings.Contains(body.Notices["webhook_secrets"], "is empty")
	}, nil)
	if status(newBody) != 200 {
		t.Error("the last good secrets are gone")
	}
	write("the-next-one")
	wait(t, "the new secret alone", func() bool { return status(newBody) == 200 && status(oldBody) == 401 }, nil)
}

// syncBuffer is where a logger of the real kind writes to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// No secret and no text of a webhook, accepted or refused, gets anywhere but
// into the bodies of messages in NATS.
func TestCanaries(t *testing.T) {
	t.Parallel()
	const key, wrong, text = "canary-of-the-secret", "canary-of-a-wrong-secret", "canary-of-the-text"
	server := natstest.Start(t, nil)
	var logs syncBuffer
	cfg := settings(server.URL)
	cfg.Secrets = config.NewSecret("another," + key)
	a, err := app.New(cfg, logging.New(logging.Config{Level: zapcore.DebugLevel}, &logs), app.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	_, js := server.Connect()
	r := &rig{t: t, app: a, js: js}
	stopped := false
	t.Cleanup(func() {
		if !stopped {
			r.stop()
		}
	})
	r.waitReady(true)

	good := strings.Replace(hook("", `,"text":"`+text+`"`), secret, key, 1)
	var seen strings.Builder // what went out over HTTP
	try := func(body string, status int, headers ...string) {
		t.Helper()
		got := r.send(post(body, headers...))
		if got.status != status {
			t.Errorf("%d, should be %d", got.status, status)
		}
		fmt.Fprint(&seen, got.header, got.body)
	}
	try(good, 200)
	try(strings.Replace(good, key, wrong, 1), 401, "Authorization: "+wrong, "X-Text: "+text)
	try(good+text, 400)
	try(strings.Replace(good, `"C1"`, `"`+text+`."`, 1), 200)            // dead letter
	try(strings.Replace(good, "chat_deactivated", text+" x", 1), 200)    // dead letter
	try(strings.Replace(good, org, text+".", 1), 200)                    // dead letter
	try(strings.Replace(good, "chat_deactivated", "canary_act", 1), 200) // unknown action
	try(good, 415, "Content-Encoding: "+text)
	for range 61 {
		r.send(post(strings.Replace(good, key, wrong, 1)))
	}
	try(strings.Replace(good, key, wrong, 1), 429)
	for _, name := range streams {
		for _, m := range r.stored(name, 0) {
			if strings.Contains(string(m.Data), key) || strings.Contains(string(m.Data), wrong) {
				t.Errorf("a secret is stored in %s", name)
			}
			fmt.Fprint(&seen, m.Header, m.Subject)
		}
	}
	server.Stop()
	r.waitReady(false)
	try(good, 503)
	for _, path := range []string{"/metrics", "/readyz"} {
		_, body := r.admin(path)
		seen.WriteString(body)
		if strings.Contains(body, "canary_act") {
			t.Errorf("%s names an action that a sender made up", path)
		}
	}
	stopped = true
	r.stop()
	seen.WriteString(logs.b.String())
	if !strings.Contains(seen.String(), "webhook answered") {
		t.Error("no log at debug level")
	}
	for _, canary := range []string{key, wrong, text} {
		if i := strings.Index(seen.String(), canary); i >= 0 {
			t.Errorf("%s is in: %s", canary, seen.String()[max(0, i-200):i+len(canary)])
		}
	}
}

// The streams are as the settings say, and what differs is shown.
func TestStreamsAsSet(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, nil)
	r := startRig(t, server.URL, func(c *app.Config) { c.NATSMonitorURL = server.MonitorURL })
	s, err := r.js.Stream(t.Context(), stream.Events)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	if c.MaxAge != time.Hour || c.MaxBytes != 256<<20 || c.Discard != jetstream.DiscardNew {
		t.Errorf("%+v", c)
	}
	if _, body := r.readiness(); len(body.Notices) != 0 {
		t.Errorf("%+v", body)
	}
}

// A server that takes no webhooks of the size that we take is named.
func TestSmallMaxPayload(t *testing.T) {
	t.Parallel()
	r := startRig(t, natstest.Start(t, func(o *server.Options) { o.MaxPayload = 256 << 10 }).URL, nil)
	r.waitNotice("max_payload is 262144 bytes")
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := app.Run(ctx, settings(server.URL), zap.NewNop()); err != nil {
		t.Error(err)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	load := func(env map[string]string) (app.Config, error) {
		return app.LoadConfig("", func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	}
	c, err := load(map[string]string{"LIVECHAT_WEBHOOK_SECRETS": "a,b", "LIVECHAT_ORGANIZATIONS": "x, license-1", "EVENTS_MAX_BYTES": "1GiB"})
	if err != nil || c.Addr != ":8080" || c.AdminAddr != ":9090" || c.EventsMaxAge != 7*24*time.Hour || c.EventsMaxBytes != 1<<30 || c.Replicas != 1 || !slices.Equal(c.Organizations, []string{"x", "license-1"}) {
		t.Errorf("%+v %v", c, err)
	}
	_, err = load(map[string]string{
		"INGRESS_ADDR": "8080", "ADMIN_ADDR": "x", "LIVECHAT_WEBHOOK_SECRETS": "canary,,", "LIVECHAT_ORGANIZATIONS": "a.b,_",
		"EVENTS_MAX_AGE": "-1h", "EVENTS_MAX_BYTES": "lots", "NATS_REPLICAS": "2", "NATS_URL": "nats://:pass word@x:y",
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{"INGRESS_ADDR", "ADMIN_ADDR", "LIVECHAT_WEBHOOK_SECRETS", "LIVECHAT_ORGANIZATIONS", "EVENTS_MAX_AGE", "EVENTS_MAX_BYTES", "NATS_REPLICAS", "NATS_URL"} {
		if !strings.Contains(err.Error(), name+": ") {
			t.Errorf("%s is not named in:\n%v", name, err)
		}
	}
	if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "pass word") {
		t.Errorf("a secret is shown:\n%v", err)
	}
	for _, addr := range []string{"8080", "h:99999", "h:no-such-service", ":-1"} {
		_, err := load(map[string]string{"LIVECHAT_WEBHOOK_SECRETS": "a", "INGRESS_ADDR": addr})
		if err == nil || !strings.HasPrefix(err.Error(), "INGRESS_ADDR: ") {
			t.Errorf("%s: %v", addr, err)
		}
	}
	if _, err := load(nil); err == nil || !strings.HasPrefix(err.Error(), "LIVECHAT_WEBHOOK_SECRETS: ") {
		t.Errorf("%v", err)
	}
	if addr, err := app.LoadAdminAddr("", func(string) (string, bool) { return "", false }); err != nil || addr != ":9090" {
		t.Errorf("%s %v", addr, err)
	}
}

// Senders that are not authenticated get nothing from the admin's paths.
func TestAdminIsElsewhere(t *testing.T) {
	t.Parallel()
	r := startRig(t, natstest.Start(t, nil).URL, nil)
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		resp, err := http.Get("http://" + r.app.Addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 404 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
