package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"autotag/pkg/decision"
	"autotag/pkg/livechat/livechattest"
	"autotag/pkg/logging"
	"autotag/pkg/stream"
	"autotag/pkg/testkit/leaktest"
	"autotag/pkg/testkit/natstest"
	"autotag/pkg/testkit/redistest"
	"autotag/pkg/transcript"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const (
	org      = "5f0b2c4e-7a1d-4c39-9f57-3d2a61b8e0c4"
	customer = "2c8f1e5a-9b34-4d7e-8a61-0f5d3c7b9e20"
	agent    = "smith@example.com"
	pat      = "pat-canary-5521"
	secret   = "secret-canary-8834"

	// patience is generous: whoever waits goes on as soon as there is something
	// to go on with.
	patience = 3 * time.Minute

	ruleset = `version: 1
rules:
  - tag: refund
    any: [refund*]
  - tag: parcel
    from: customer
    any: [parcel, package]
  - tag: unsorted
    fallback: true
`
)

// rig is a NATS, a Redis, a LiveChat and a rules file for a tagger.
type rig struct {
	t        *testing.T
	nats     *natstest.Server
	js       jetstream.JetStream
	redis    string
	platform *livechattest.Platform
	api      *httptest.Server
	dir      string
	log      *buffer
	env      map[string]string
	app      *App
	own      *nats.Conn // the running app's
}

// buffer collects what is logged.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, nats: natstest.Start(t, nil), redis: redistest.Start(t), dir: t.TempDir(), log: &buffer{}}
	_, r.js = r.nats.Connect()
	r.platform = livechattest.New(livechattest.Config{Seed: 1, Sink: func(h livechattest.Webhook) { r.publish([]livechattest.Webhook{h}) }})
	must(t, r.platform.AddOrganization(livechattest.Organization{ID: org, Secret: secret, AccountID: "account", PAT: pat}))
	for _, tag := range []string{"refund", "parcel", "unsorted"} {
		_, err := r.platform.CreateTag(org, tag, 0)
		must(t, err)
	}
	r.api = httptest.NewServer(r.platform)
	t.Cleanup(r.api.Close)
	r.write("rules.yaml", ruleset)
	r.env = map[string]string{
		"ADMIN_ADDR": "127.0.0.1:0", "REDIS_URL": r.redis, "RULES_FILE": r.path("rules.yaml"),
		"SETTLE": "300ms", "LIVECHAT_API_URL": r.api.URL, "LIVECHAT_ACCOUNT_ID": "account", "LIVECHAT_PAT": pat,
		"API_RATE": "100", "EVENTS_MAX_BYTES": "256MiB", "LOG_LEVEL": "debug",
	}
	t.Cleanup(func() {
		if t.Failed() && testing.Verbose() {
			t.Logf("log:\n%s", r.log)
		}
	})
	_, err := stream.Provision(t.Context(), r.js, stream.ProvisionOptions{EventsMaxBytes: 256 << 20})
	must(t, err)
	return r
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) write(name, text string) {
	r.t.Helper()
	must(r.t, os.WriteFile(r.path(name), []byte(text), 0o600))
}

func (r *rig) config() Config {
	r.t.Helper()
	cfg, err := LoadConfig("", func(name string) (string, bool) { v, ok := r.env[name]; return v, ok })
	must(r.t, err)
	return cfg
}

// start starts a tagger, which ends with the test.
func (r *rig) start() {
	r.t.Helper()
	var err error
	cfg := r.config()
	r.own, _ = natstest.Connect(r.t, r.nats.URL, nats.MaxReconnects(-1))
	r.app, err = New(cfg, logging.New(cfg.Log, r.log), Deps{NATS: r.own})
	must(r.t, err)
	app := r.app
	r.t.Cleanup(func() { stop(r.t, app) })
	must(r.t, app.Start())
}

func stop(t *testing.T, a *App) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := a.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// crash cuts the tagger off from NATS in the middle of whatever it does.
func (r *rig) crash() {
	r.own.Close()
	stop(r.t, r.app)
}

// publish stores webhooks as the ingress does.
func (r *rig) publish(hooks []livechattest.Webhook) {
	r.t.Helper()
	for _, h := range hooks {
		var body map[string]json.RawMessage
		err := json.Unmarshal(h.Body, &body)
		delete(body, "secret_key")
		data, err2 := json.Marshal(body)
		k := transcript.Key{Org: h.Organization, Chat: token(h.Chat), Thread: token(h.Thread)}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_, err3 := r.js.Publish(ctx, stream.EventSubject(k, h.Action), data)
		cancel()
		if err := errors.Join(err, err2, err3); err != nil {
			r.t.Errorf("publish %s: %v", h.Action, err)
		}
	}
}

func token(s string) string {
	if s == "" {
		return stream.None
	}
	return s
}

// chat makes the webhooks of a chat in which the customer writes texts. It is
// ended if done.
func (r *rig) chat(done bool, texts ...string) (thread string, hooks []livechattest.Webhook) {
	r.t.Helper()
	hooks, err := r.platform.StartChat(org, livechattest.Chat{
		Users: []livechattest.User{{ID: customer}, {ID: agent}},
	})
	must(r.t, err)
	thread = hooks[0].Thread
	for _, text := range texts {
		more, err := r.platform.AddEvent(thread, livechattest.Event{Author: customer, Text: text})
		must(r.t, err)
		hooks = append(hooks, more...)
	}
	if done {
		hooks = append(hooks, r.end(thread)...)
	}
	return thread, hooks
}

func (r *rig) end(thread string) []livechattest.Webhook {
	r.t.Helper()
	hooks, err := r.platform.Deactivate(thread, agent)
	must(r.t, err)
	return hooks
}

// tagged waits until the thread has exactly the tags.
func (r *rig) tagged(thread string, want ...string) {
	r.t.Helper()
	r.eventually(fmt.Sprintf("tags %v on %s", want, thread), func() bool {
		have := r.platform.Tags(thread)
		slices.Sort(have)
		return slices.Equal(have, want)
	})
}

// decision waits for the thread's newest decision and returns it once ok.
func (r *rig) decision(chat, thread string, ok func(decision.Record) bool) decision.Record {
	r.t.Helper()
	var d decision.Record
	subject := stream.DecisionSubject(transcript.Key{Org: org, Chat: chat, Thread: thread})
	r.eventually("the decision on "+thread, func() bool {
		m, found, err := stream.Last(r.t.Context(), r.js.Conn(), stream.Decisions, subject)
		if err != nil || !found {
			return false
		}
		d = decision.Record{}
		must(r.t, json.Unmarshal(m.Data, &d))
		return ok(d)
	})
	return d
}

func (r *rig) eventually(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); {
		if time.Now().After(deadline) {
			r.t.Fatalf("never: %s\n%s", what, r.get("/readyz"))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// get asks the admin listener.
func (r *rig) get(path string) string {
	r.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Get("http://" + r.app.AdminAddr() + path)
	must(r.t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	must(r.t, err)
	return resp.Status + "\n" + string(body)
}

func (r *rig) ready() bool { return strings.HasPrefix(r.get("/readyz"), "200") }

func (r *rig) metric(line string) bool { return strings.Contains(r.get("/metrics"), "\n"+line+"\n") }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestChatsAreTaggedWhateverTheOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.eventually("ready", r.ready)
	var all []livechattest.Webhook
	want := map[string][]string{}
	var late struct{ thread, event string }
	for i := range 30 {
		var thread string
		var hooks []livechattest.Webhook
		switch i % 3 {
		case 0:
			thread, hooks = r.chat(true, "hello", "I want a refund", "for my parcel")
			want[thread] = []string{"parcel", "refund"}
			at := slices.IndexFunc(hooks, func(h livechattest.Webhook) bool { return bytes.Contains(h.Body, []byte("I want a refund")) })
			late.thread, late.event = thread, hooks[at].Event
		case 1:
			thread, hooks = r.chat(true, "where is my package?")
			want[thread] = []string{"parcel"}
		case 2:
			thread, hooks = r.chat(true, "hello")
			want[thread] = []string{"unsorted"}
		}
		all = append(all, hooks...)
		all = append(all, hooks[rand.IntN(len(hooks))])
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	r.publish(all)
	for thread, tags := range want {
		r.tagged(thread, tags...)
	}
	// Something late changes the answer.
	hooks, err := r.platform.EditEvent(late.thread, late.event, "I want nothing")
	must(t, err)
	r.publish(hooks)
	r.tagged(late.thread, "parcel")
	if !r.metric(`autotag_rules_valid 1`) {
		t.Error("the rules are not said to be valid")
	}
	r.eventually("nothing pending", func() bool { return r.metric(`autotag_consumer_pending{consumer="apply"} 0`) })
}

func TestCrashAndRestart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	var threads []string
	for i := range 20 {
		thread, hooks := r.chat(true, "a refund, please")
		threads = append(threads, thread)
		r.publish(hooks)
		if i == 10 {
			r.eventually("some tags", func() bool { return len(r.platform.Tags(threads[0])) > 0 })
			r.crash()
		}
	}
	r.start()
	for _, thread := range threads {
		r.tagged(thread, "refund")
	}
}

// TestTwoTaggers: two share the work, the rate of calls and the truth.
func TestTwoTaggers(t *testing.T) {
	t.Parallel()
	const rate = 20
	r := newRig(t)
	r.env["API_RATE"] = fmt.Sprint(rate)
	r.start()
	r.start()
	var threads []string
	for range 40 {
		thread, hooks := r.chat(true, "a refund for the parcel")
		threads = append(threads, thread)
		r.publish(hooks)
	}
	for _, thread := range threads {
		r.tagged(thread, "parcel", "refund")
	}
	var at []time.Time
	seen := map[string]int{}
	for _, c := range r.platform.Calls() {
		at = append(at, c.Time)
		seen[c.Thread+" "+c.Tag]++
	}
	for what, n := range seen {
		if n > 1 {
			t.Errorf("%d calls for %s", n, what)
		}
	}
	// A busy machine makes single calls late, and with it seconds too full. A
	// rate for each tagger would need half of this time.
	slices.SortFunc(at, time.Time.Compare)
	burst := 1 + rate/5
	nominal := time.Duration(len(at)-burst) * time.Second / rate
	if took := at[len(at)-1].Sub(at[0]); took < nominal*3/4 {
		t.Errorf("%d calls within %v at %d a second", len(at), took, rate)
	}
}

// TestStartsBeforeItsServers: NATS may be away at the start and come later.
func TestStartsBeforeItsServers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	thread, hooks := r.chat(true, "a refund")
	r.publish(hooks)
	r.nats.Stop()
	r.env["NATS_URL"] = r.nats.URL
	cfg := r.config()
	var err error
	r.app, err = New(cfg, logging.New(cfg.Log, r.log), Deps{})
	must(t, err)
	defer func() { stop(t, r.app) }()
	must(t, r.app.Start())
	if health := r.get("/healthz"); !strings.HasPrefix(health, "200") || r.ready() {
		t.Errorf("healthy: %s, ready: %v", health, r.ready())
	}
	r.nats.Restart()
	r.tagged(thread, "refund")
	r.eventually("ready", r.ready)
	r.nats.Stop()
	r.eventually("not ready", func() bool { return !r.ready() })
	r.nats.Restart()
	r.eventually("ready again", r.ready)
	// The platform's own echo could not be stored while NATS was away; what
	// comes now is tagged all the same.
	thread, hooks = r.chat(true, "a refund")
	r.eventually("the publisher is connected again", func() bool { return r.js.Conn().IsConnected() })
	r.publish(hooks)
	r.tagged(thread, "refund")
}

// A consumer that misses its stream has it created; a try that fails must not
// leave the tagger unready once everything is there.
func TestReadyAfterAFailedSetUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.eventually("ready", r.ready)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.app.provision(gone); err == nil {
		t.Fatal("it did not fail")
	}
	r.eventually("the streams are ready again", func() bool { return r.app.checkStreams(t.Context()) == nil })
}

func TestRedisIsEmptied(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	addr, mini := redistest.Mini(t)
	r.env["REDIS_URL"] = addr
	r.start()
	thread, hooks := r.chat(false, "a refund")
	r.publish(hooks)
	r.eventually("facts in Redis", func() bool { return strings.Contains(strings.Join(mini.Keys(), " "), ":events") })
	mini.FlushAll()
	more, err := r.platform.AddEvent(thread, livechattest.Event{Author: customer, Text: "for the parcel"})
	must(t, err)
	r.publish(more)
	r.publish(r.end(thread))
	r.tagged(thread, "parcel", "refund")
	for _, c := range r.platform.Calls() {
		if c.Method == "get_chat" {
			t.Error("LiveChat was asked for what the log had")
		}
	}
}

func TestRedisIsAway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	addr, mini := redistest.Mini(t)
	r.env["REDIS_URL"] = addr
	r.start()
	r.eventually("ready", r.ready)
	mini.SetError("LOADING Redis is loading the dataset in memory")
	r.eventually("not ready", func() bool { return !r.ready() })
	thread, hooks := r.chat(true, "a refund")
	r.publish(hooks)
	r.eventually("a failed try", func() bool { return strings.Contains(r.log.String(), "LOADING") })
	mini.SetError("")
	r.tagged(thread, "refund")
	r.eventually("ready again", r.ready)
}

func TestApplyOff(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.env["APPLY"] = "off"
	delete(r.env, "LIVECHAT_PAT")
	delete(r.env, "LIVECHAT_ACCOUNT_ID")
	r.start()
	thread, hooks := r.chat(true, "a refund")
	r.publish(hooks)
	d := r.decision(hooks[0].Chat, thread, func(decision.Record) bool { return true })
	if len(d.Tags) != 1 || d.Tags[0].Tag != "refund" || !d.Transcript.Complete {
		t.Errorf("decided %+v", d)
	}
	r.eventually("the decision is handled", func() bool { return r.metric(`autotag_decisions_total{reason="ended"} 1`) })
	if calls := r.platform.Calls(); len(calls) > 0 {
		t.Errorf("calls were made: %+v", calls)
	}
}

func TestRefusedTokenIsMended(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	delete(r.env, "LIVECHAT_PAT")
	r.env["LIVECHAT_PAT_FILE"] = r.path("pat")
	r.write("pat", "old-pat\n")
	r.start()
	thread, hooks := r.chat(true, "a refund")
	r.publish(hooks)
	r.eventually("an alarm", func() bool {
		return strings.Contains(r.log.String(), "wait until somebody mends this") && strings.Contains(r.get("/readyz"), "authentication")
	})
	r.write("pat", pat+"\n")
	r.tagged(thread, "refund")
	r.eventually("no notice", func() bool { return !strings.Contains(r.get("/readyz"), "authentication") })
	// A file that loses its value keeps the last good one in use.
	r.write("pat", "")
	r.eventually("the empty file is told", func() bool {
		return strings.Contains(r.get("/readyz"), "is empty") && strings.Contains(r.log.String(), "the last good secrets stay")
	})
	another, hooks := r.chat(true, "a refund")
	r.publish(hooks)
	r.tagged(another, "refund")
}

// An empty file counts as not set: here it is the other way that is meant.
func TestEmptyTokenFileIsNotSet(t *testing.T) {
	t.Parallel()
	env := map[string]string{"LIVECHAT_ACCESS_TOKEN": "dal:abc", "LIVECHAT_PAT_FILE": os.DevNull, "LIVECHAT_ACCOUNT_ID_FILE": os.DevNull}
	_, err := LoadConfig("", lookup(env))
	must(t, err)
	delete(env, "LIVECHAT_ACCESS_TOKEN")
	if _, err := LoadConfig("", lookup(env)); err == nil || !strings.Contains(err.Error(), "LIVECHAT_PAT_FILE: /dev/null is empty") {
		t.Errorf("no token: %v", err)
	}
}

func TestUnknownTagIsCreated(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("rules.yaml", strings.Replace(ruleset, "tag: refund", "tag: money-back", 1))
	r.start()
	one, hooks := r.chat(true, "a refund for the parcel")
	r.publish(hooks)
	r.eventually("an alarm", func() bool { return strings.Contains(r.log.String(), "does not know a tag") })
	r.tagged(one, "parcel") // which need not wait for the other
	two, hooks := r.chat(true, "another refund")
	r.publish(hooks)
	r.decision(hooks[0].Chat, two, func(decision.Record) bool { return true })
	_, err := r.platform.CreateTag(org, "money-back", 0)
	must(t, err)
	r.tagged(one, "money-back", "parcel")
	r.tagged(two, "money-back")
	asked := 0
	for _, c := range r.platform.Calls() {
		if c.Method == "tag_thread" && c.Status != 200 {
			asked++
		}
	}
	if asked > 2 {
		t.Errorf("%d calls for an unknown tag", asked)
	}
}

func TestRulesAreFollowed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.write("rules.yaml", "version: 1\nrules:\n  - tag: [")
	r.start()
	one, hooks := r.chat(true, "a refund")
	r.publish(hooks)
	r.eventually("the fault is told", func() bool {
		return strings.Contains(r.get("/readyz"), "rules.yaml:3:") && r.metric("autotag_rules_valid 0")
	})
	if r.ready() {
		t.Error("ready without rules")
	}
	r.write("rules.yaml", ruleset)
	r.eventually("ready", r.ready)
	r.tagged(one, "refund")

	changed := strings.Replace(ruleset, "refund*", "voucher", 1)
	r.write("next.yaml", changed)
	must(t, os.Rename(r.path("next.yaml"), r.path("rules.yaml")))
	r.eventually("new rules", func() bool { return strings.Count(r.log.String(), "rules are in force") == 2 })
	r.write("rules.yaml", "version: 2\n")
	r.eventually("the fault is told", func() bool {
		return strings.Contains(r.get("/readyz"), "older rules are in force") && r.metric("autotag_rules_valid 0")
	})
	if !r.ready() {
		t.Error("not ready although older rules are in force")
	}
	two, hooks := r.chat(true, "a refund", "or a voucher")
	r.publish(hooks)
	d := r.decision(hooks[0].Chat, two, func(decision.Record) bool { return true })
	if !strings.Contains(r.get("/metrics"), `autotag_rules_info{version="`+d.RulesVersion+`"} 1`) {
		t.Error("the metric names other rules than the decision")
	}
	r.tagged(two, "refund")
	if len(d.Tags) != 1 || d.Tags[0].Evidence[0].Term != "voucher" {
		t.Errorf("decided %+v", d.Tags)
	}
	must(t, os.Remove(r.path("rules.yaml")))
	r.eventually("the missing file is told", func() bool { return strings.Contains(r.get("/readyz"), "no such file") })
	r.write("rules.yaml", changed)
	r.eventually("all is well", func() bool {
		return r.metric("autotag_rules_valid 1") && !strings.Contains(r.get("/readyz"), "older rules")
	})
}

func TestUnusableWebhooks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	publish := func(subject, body string) {
		_, err := r.js.Publish(t.Context(), subject, []byte(body))
		must(t, err)
	}
	publish("livechat."+org+".CHAT._.incoming_event", `{"action":"incoming_event","payload":{"chat_id":"CHAT"}}`)
	publish("livechat."+org+".CHAT.T1.incoming_event", `[]`)
	publish("livechat."+org+".CHAT.T1.event_updated", `{"payload":[]}`)
	publish("livechat."+org+"._._.tag_created", `[]`)
	publish("livechat."+org+".CHAT.T2.something_new", `{"payload":{}}`)
	// An id that would break subjects and keys is not taken from a payload.
	publish("livechat."+org+".CHAT.T3.incoming_chat",
		`{"payload":{"chat":{"id":"CHAT","thread":{"id":"T3","active":true,"previous_thread_id":"a.> {x}"}}}}`)
	r.eventually("dead letters", func() bool { return natstest.Messages(t, r.js, stream.Dead) == 3 })
	r.eventually("metrics", func() bool {
		return r.metric(`autotag_dead_letters_total{reason="unreadable webhook",stage="accumulate"} 2`) &&
			r.metric(`autotag_dead_letters_total{reason="chat or thread id is missing",stage="accumulate"} 1`)
	})
	thread, hooks := r.chat(true, "a refund")
	r.publish(hooks)
	r.tagged(thread, "refund")
}

func TestForeignOrganizationWaits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.env["LIVECHAT_ORGANIZATION"] = "another"
	r.start()
	thread, hooks := r.chat(true, "a refund")
	r.publish(hooks)
	r.decision(hooks[0].Chat, thread, func(d decision.Record) bool { return len(d.Tags) == 1 })
	r.eventually("an alarm", func() bool { return strings.Contains(r.log.String(), `"reason":"foreign"`) })
	if calls := r.platform.Calls(); len(calls) > 0 {
		t.Errorf("calls were made: %+v", calls)
	}
}

// TestNothingLeaks: neither what people write nor any secret is in logs,
// metrics or readiness, whatever goes wrong.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	const said = "xylophone-canary-4711"
	r := newRig(t)
	r.write("rules.yaml", ruleset+"  - tag: missing\n    any: ["+`{contains: "canary"}`+"]\n")
	r.start()
	r.platform.FailNext(1, "tag_thread", livechattest.Status(500))
	r.platform.FailNext(1, "tag_thread", livechattest.HTML())
	thread, hooks := r.chat(true, "a refund")
	r.publish(hooks)
	_, hooks = r.chat(true, "my name is "+said, "my secret is "+said)
	r.publish(hooks)
	_, err := r.js.Publish(t.Context(), "livechat."+org+".CHAT.T1.incoming_event", []byte(`"`+said+`"`))
	must(t, err)
	r.tagged(thread, "refund")
	r.eventually("the unknown tag is told", func() bool { return strings.Contains(r.log.String(), "does not know a tag") })
	r.eventually("a dead letter", func() bool { return natstest.Messages(t, r.js, stream.Dead) == 1 })
	stop(t, r.app) // its log too
	text := r.log.String()
	r.start()
	for where, text := range map[string]string{"log": text, "metrics": r.get("/metrics"), "readiness": r.get("/readyz")} {
		for _, canary := range []string{said, "xylophone", pat, secret} {
			if strings.Contains(text, canary) {
				t.Errorf("the %s shows %q", where, canary)
			}
		}
	}
}
