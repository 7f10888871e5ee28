//go:build unix

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
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

	"autotag/pkg/livechat/livechattest"
	"autotag/pkg/stream"
	"autotag/pkg/testkit/natstest"
)

const (
	organization = "5f0b2c4e-7a1d-4c39-9f57-3d2a61b8e0c4"
	license      = 15872341
	webhookPath  = "/webhooks/livechat"
	settle       = time.Second
)

var groups = []int{0, 1, 2, 3}

// spec says what a world is made of.
type spec struct {
	ingresses, taggers int
	rules              string            // file in testdata; rules.yaml when empty
	env                map[string]string // of every program, over the world's own
	switches           livechattest.Switches
	natsConf           string
}

// world is a site: servers, programs and a LiveChat platform.
type world struct {
	t        testing.TB
	spec     spec
	secret   string // of webhooks
	pat      string
	word     string // stands in every message that people write here
	rules    string // the rules file in use
	nats     *natstest.Process
	redis    redisServer
	platform *livechattest.Platform
	api      *httptest.Server
	nc       *nats.Conn
	js       jetstream.JetStream
	ingress  []*process
	tagger   []*process

	client *http.Client
	rng    *rand.Rand // for the test's own goroutine

	mu     sync.Mutex
	sent   []livechattest.Webhook // answered with 200
	turn   int
	echoes int // on their way
	ended  bool
	// senders send webhooks beside the test
	senders sync.WaitGroup
}

// newWorld starts a world and waits until it is ready. At its end every program
// must stop with status 0, and nothing secret may have been told to anybody.
func newWorld(t testing.TB, s spec) *world {
	t.Helper()
	name := fnv.New64a()
	fmt.Fprint(name, t.Name())
	rng := rand.New(rand.NewPCG(seed, name.Sum64()))
	w := &world{
		t: t, spec: s, rng: rng,
		secret: "sEcReT-" + random(), pat: "pAt-" + random(), word: "canary" + random(),
		rules:  filepath.Join(t.TempDir(), "rules.yaml"),
		client: &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 32}},
	}
	if s.rules == "" {
		s.rules = "rules.yaml"
	}
	text, err := os.ReadFile(filepath.Join("testdata", s.rules))
	if err != nil {
		t.Fatal(err)
	}
	w.writeRules(string(text))
	w.nats = natstest.Binary(t, s.natsConf)
	w.nc, w.js = natstest.Connect(t, w.nats.URL, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	w.redis = newRedis(t)
	w.platform = livechattest.New(livechattest.Config{Seed: rng.Uint64() | 1, Switches: s.switches, Sink: w.echo})
	if err := w.platform.AddOrganization(livechattest.Organization{
		ID: organization, LicenseID: license, Secret: w.secret, AccountID: "account", PAT: w.pat, Groups: groups,
	}); err != nil {
		t.Fatal(err)
	}
	w.api = httptest.NewServer(w.platform)
	t.Cleanup(w.api.Close)
	for i := range s.ingresses {
		w.ingress = append(w.ingress, newProcess(t, fmt.Sprint("ingress ", i+1), "ingress", w.ingressEnv()))
	}
	for i := range s.taggers {
		w.tagger = append(w.tagger, newProcess(t, fmt.Sprint("tagger ", i+1), "tagger", w.taggerEnv()))
	}
	t.Cleanup(w.end)
	for _, p := range w.programs() {
		p.start()
	}
	for _, p := range w.programs() {
		p.awaitReady()
	}
	return w
}

func random() string { return fmt.Sprintf("%012x", rand.Uint64()>>16) }

func (w *world) programs() []*process { return slices.Concat(w.ingress, w.tagger) }

func (w *world) env(more map[string]string) map[string]string {
	env := map[string]string{
		"NATS_URL": w.nats.URL, "ADMIN_ADDR": freeAddr(w.t), "LOG_LEVEL": "debug",
		// A nats-server on this machine says so, but a test's store is small.
		"EVENTS_MAX_BYTES": "268435456",
	}
	maps.Copy(env, more)
	maps.Copy(env, w.spec.env)
	return env
}

func (w *world) ingressEnv() map[string]string {
	return w.env(map[string]string{"INGRESS_ADDR": freeAddr(w.t), "LIVECHAT_WEBHOOK_SECRETS": w.secret})
}

func (w *world) taggerEnv() map[string]string {
	return w.env(map[string]string{
		"REDIS_URL": w.redis.url(), "RULES_FILE": w.rules, "LIVECHAT_API_URL": w.api.URL,
		"LIVECHAT_ACCOUNT_ID": "account", "LIVECHAT_PAT": w.pat, "SETTLE": settle.String(), "API_RATE": "1000",
	})
}

// writeRules puts text in the place of the rules, by rename.
func (w *world) writeRules(text string) {
	w.t.Helper()
	if err := os.WriteFile(w.rules+".new", []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(w.rules+".new", w.rules); err != nil {
		w.t.Fatal(err)
	}
}

// createTags makes tags exist, for threads of every group.
func (w *world) createTags(tags ...string) {
	w.t.Helper()
	for _, tag := range tags {
		if _, err := w.platform.CreateTag(organization, tag, groups...); err != nil {
			w.t.Fatal(err)
		}
	}
}

// echo sends what the platform says about our own calls back to the site.
func (w *world) echo(hook livechattest.Webhook) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	w.echoes++
	w.senders.Go(func() {
		w.send(hook)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.echoes--
	})
}

// send posts a webhook until it is answered with 200, as LiveChat does but with
// shorter pauses, to one ingress after the other. It says whether it was.
func (w *world) send(hook livechattest.Webhook) bool {
	err := poll(patience, func() error {
		w.mu.Lock()
		w.turn++
		to := w.ingress[w.turn%len(w.ingress)]
		over := w.ended
		w.mu.Unlock()
		if over {
			return nil
		}
		return w.post(to, hook)
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil && !w.ended {
		w.t.Errorf("send %s of chat %s: %v", hook.Action, hook.Chat, err)
	}
	return err == nil && !w.ended
}

// post posts a webhook once; only 200 is no error.
func (w *world) post(to *process, hook livechattest.Webhook) error {
	res, err := w.client.Post("http://"+to.env["INGRESS_ADDR"]+webhookPath, "application/json", bytes.NewReader(hook.Body))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(res.Body)
		return fmt.Errorf("%s answers %d %s", to.name, res.StatusCode, text)
	}
	w.mu.Lock()
	w.sent = append(w.sent, hook)
	w.mu.Unlock()
	_, _ = io.Copy(io.Discard, res.Body) // the status is the answer
	return nil
}

// sendAll sends webhooks in their order, those of different chats side by side.
func (w *world) sendAll(chats [][]livechattest.Webhook) { w.sendBeside(chats)() }

// sendBeside is sendAll beside the test, which has to call wait.
func (w *world) sendBeside(chats [][]livechattest.Webhook) (wait func()) {
	todo := make(chan []livechattest.Webhook, len(chats))
	for _, hooks := range chats {
		todo <- hooks
	}
	close(todo)
	var wg sync.WaitGroup
	for range min(32, len(chats)) {
		wg.Add(1)
		w.senders.Go(func() {
			defer wg.Done()
			for hooks := range todo {
				for _, hook := range hooks {
					if !w.send(hook) {
						break
					}
				}
			}
		})
	}
	return wg.Wait
}

// within is a context for one question to a server.
func (w *world) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 30*time.Second)
}

// busy says what the site has still to do, or nil. Looked at in the order in
// which work flows, and twice, so that none slips by.
func (w *world) busy() error {
	w.mu.Lock()
	echoes := w.echoes
	w.mu.Unlock()
	if echoes > 0 {
		return fmt.Errorf("%d echoes on their way", echoes)
	}
	before, err := w.idleAt()
	if err != nil {
		return err
	}
	after, err := w.idleAt()
	if err == nil && before != after {
		err = errors.New("something has just happened")
	}
	return err
}

// idleAt gives the state of the streams when nothing waits in any of them.
func (w *world) idleAt() (state string, err error) {
	ctx, cancel := w.within()
	defer cancel()
	idle := func(streamName, durable string) error {
		c, err := w.js.Consumer(ctx, streamName, durable)
		if err != nil {
			return fmt.Errorf("consumer %s: %w", durable, err)
		}
		if i := c.CachedInfo(); i.NumPending > 0 || i.NumAckPending > 0 {
			return fmt.Errorf("%s has %d messages before it, %d in work", durable, i.NumPending, i.NumAckPending)
		}
		return nil
	}
	if err := idle(stream.Events, stream.Accumulate); err != nil {
		return "", err
	}
	timers, err := w.js.Stream(ctx, stream.Timers)
	if err != nil {
		return "", err
	}
	for _, kind := range [][2]string{{"autotag.timer.", "autotag.due."}, {"autotag.retry.", "autotag.retry-due."}} {
		info, err := timers.Info(ctx, jetstream.WithSubjectFilter(kind[0]+">"))
		if err != nil {
			return "", err
		}
		for subject := range info.State.Subjects {
			why, err := stillToFire(ctx, timers, subject, kind[1]+strings.TrimPrefix(subject, kind[0]))
			if err != nil {
				return "", err
			}
			if why != "" {
				return "", fmt.Errorf("%d schedules are still to fire, among them %s, which %s", len(info.State.Subjects), subject, why)
			}
		}
	}
	for _, c := range [][2]string{{stream.Timers, stream.Decide}, {stream.Decisions, stream.Apply}, {stream.Timers, stream.Retry}} {
		if err := idle(c[0], c[1]); err != nil {
			return "", err
		}
	}
	for _, name := range []string{stream.Events, stream.Timers, stream.Decisions, stream.Dead} {
		s, err := w.js.Stream(ctx, name)
		if err != nil {
			return "", err
		}
		state += fmt.Sprint(s.CachedInfo().State.LastSeq, " ")
	}
	return state, nil
}

// stillToFire says what a schedule waits for, or nothing if it is only what a
// server's crash left behind. The message that a schedule fires removes all
// schedules of the subject that were stored before it; a crash can undo the
// removal, and such a schedule stays and never fires.
func stillToFire(ctx context.Context, timers jetstream.Stream, subject, target string) (why string, err error) {
	schedule, err := timers.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	why = fmt.Sprintf("has sequence %d and is due %s", schedule.Sequence, schedule.Header.Get(jetstream.ScheduleHeader))
	due, err := timers.GetLastMsgForSubject(ctx, target)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return why, nil
	case err != nil:
		return "", err
	case due.Sequence > schedule.Sequence:
		return "", nil
	}
	return fmt.Sprintf("%s, and fired last with sequence %d at %s", why, due.Sequence, due.Time.Format(time.RFC3339Nano)), nil
}

// drain waits until the site has nothing left to do.
func (w *world) drain() {
	w.t.Helper()
	if err := poll(2*patience, w.busy); err != nil {
		w.t.Fatalf("not idle after %v: %v\n%s", 2*patience, err, w.logs("", 15))
	}
}

// expectation is what a thread must end with.
type expectation struct {
	what         string // for people
	chat, thread string
	tags         []string
}

// check waits until the site is idle, compares the tags and looks for dead
// letters and for calls that were made once more than needed.
func (w *world) check(expected []expectation) {
	w.t.Helper()
	w.checkAfterCrash(expected, 0)
}

// checkAfterCrash is check where as many calls may have been made once more: a
// crash can lose that they were made.
func (w *world) checkAfterCrash(expected []expectation, again int) {
	w.t.Helper()
	w.drain()
	w.checkTags(expected)
	w.checkNoneDead()
	w.checkCalls(again)
}

// checkTags compares the tags.
func (w *world) checkTags(expected []expectation) {
	w.t.Helper()
	wrong := 0
	for _, e := range expected {
		got := slices.Sorted(slices.Values(w.platform.Tags(e.thread)))
		want := slices.Sorted(slices.Values(e.tags))
		if slices.Equal(got, want) {
			continue
		}
		story := ""
		if wrong++; wrong <= 3 {
			story = "\n" + w.story(e.thread) + w.logs(e.thread, 60)
		}
		w.t.Errorf("%s, chat %s, thread %s: expected %v, got %v%s", e.what, e.chat, e.thread, want, got, story)
	}
}

// checkCalls fails for calls of which an equal one had been answered before, with
// nothing to the contrary in between, if there are more of them than allowed.
func (w *world) checkCalls(allowed int) {
	w.t.Helper()
	done := map[[2]string]string{} // the last method that was answered, by thread and tag
	var again []livechattest.Call
	for _, c := range w.platform.Calls() {
		if c.Method != "tag_thread" && c.Method != "untag_thread" {
			continue
		}
		of := [2]string{c.Thread, c.Tag}
		if done[of] == c.Method {
			again = append(again, c)
		}
		if c.Applied && c.Status == http.StatusOK {
			done[of] = c.Method
		}
	}
	if len(again) > 0 {
		w.t.Logf("%d calls were made again", len(again))
	}
	if len(again) <= allowed {
		return
	}
	w.t.Errorf("%d calls were made again, at most %d may be", len(again), allowed)
	for _, c := range again[:min(len(again), 3)] {
		w.t.Errorf("%s %s of thread %s again\n%s%s", c.Method, c.Tag, c.Thread, w.story(c.Thread), w.logs(c.Thread, 60))
	}
}

// checkNoneDead fails for what nobody could use.
func (w *world) checkNoneDead() {
	w.t.Helper()
	if dead := w.messages(stream.Dead); len(dead) > 0 {
		for _, m := range dead[:min(len(dead), 5)] {
			w.t.Errorf("dead letter %s: %v", m.Subject, m.Header)
		}
		w.t.Errorf("%d dead letters", len(dead))
	}
}

// story tells what the streams hold of a thread, and which calls were made for
// it.
func (w *world) story(thread string) string {
	var b strings.Builder
	for _, name := range []string{stream.Events, stream.Timers, stream.Decisions} {
		for _, m := range w.messages(name) {
			if !strings.Contains(m.Subject, thread) {
				continue
			}
			fmt.Fprintf(&b, "  %s %s", m.Time.Format("15:04:05.000"), m.Subject)
			if name == stream.Decisions {
				fmt.Fprintf(&b, " %s", m.Data)
			}
			b.WriteByte('\n')
		}
	}
	for _, c := range w.platform.Calls() {
		if c.Thread == thread {
			fmt.Fprintf(&b, "  %s call %s %s: %d %s\n", c.Time.Format("15:04:05.000"), c.Method, c.Tag, c.Status, c.Type)
		}
	}
	return b.String()
}

// logs gives the last lines of every program that hold text.
func (w *world) logs(text string, n int) string {
	var b strings.Builder
	for _, p := range w.programs() {
		lines := p.grep(text)
		fmt.Fprintf(&b, "%s, %d lines:\n", p.name, len(lines))
		for _, line := range lines[max(0, len(lines)-n):] {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	return b.String()
}

// stored is one message of a stream.
type stored struct {
	Subject string
	Header  nats.Header
	Data    []byte
	Time    time.Time
}

// messages reads a stream from its begin to its end.
func (w *world) messages(name string) []stored {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := w.js.Stream(ctx, name)
	if err != nil {
		w.t.Errorf("read %s: %v", name, err)
		return nil
	}
	left := s.CachedInfo().State.Msgs
	if left == 0 {
		return nil
	}
	c, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		w.t.Errorf("read %s: %v", name, err)
		return nil
	}
	it, err := c.Messages()
	if err != nil {
		w.t.Errorf("read %s: %v", name, err)
		return nil
	}
	defer it.Stop()
	stop := context.AfterFunc(ctx, it.Stop)
	defer stop()
	var out []stored
	for {
		m, err := it.Next()
		if err != nil {
			w.t.Errorf("read %s: %v", name, err)
			return out
		}
		meta, err := m.Metadata()
		if err != nil {
			w.t.Errorf("read %s: %v", name, err)
			return out
		}
		out = append(out, stored{m.Subject(), m.Headers(), m.Data(), meta.Timestamp})
		if meta.NumPending == 0 {
			return out
		}
	}
}

// storedOnce are the actions of which equal webhooks are one fact, and may be
// stored once. Of every other action, each webhook is a fact of its own.
var storedOnce = []string{"incoming_chat", "incoming_event", "event_deleted", "chat_deactivated"}

// checkStored fails for a webhook that was answered with 200 and is not in the
// stream.
func (w *world) checkStored() {
	w.t.Helper()
	have := map[string]int{}
	for _, m := range w.messages(stream.Events) {
		have[canonical(w.t, m.Data)]++
	}
	w.mu.Lock()
	sent := slices.Clone(w.sent)
	w.mu.Unlock()
	lost := 0
	for _, hook := range sent {
		body := canonical(w.t, hook.Body)
		if have[body] == 0 {
			if lost++; lost <= 5 {
				w.t.Errorf("answered with 200 and lost: %s of chat %s, event %s", hook.Action, hook.Chat, hook.Event)
			}
		} else if !slices.ContainsFunc(storedOnce, func(a string) bool { return strings.HasPrefix(hook.Action, a) }) {
			have[body]--
		}
	}
	if lost > 0 {
		w.t.Errorf("%d of %d webhooks lost", lost, len(sent))
	}
}

// canonical is a webhook without its secret, in one form.
func canonical(t testing.TB, body []byte) string {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	delete(v, "secret_key")
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// end stops the programs and looks at all that they told anybody.
func (w *world) end() {
	metrics := map[string]string{}
	for _, p := range w.programs() {
		if p.running() {
			p.thaw()
			p.awaitAlive()
			for _, page := range []string{"/metrics", "/readyz", "/healthz"} {
				_, text, err := p.ask(page)
				if err != nil {
					w.t.Errorf("%s of %s: %v", page, p.name, err)
				}
				metrics[page+" of "+p.name] = text
			}
		}
	}
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	var wg sync.WaitGroup
	for _, p := range w.programs() {
		wg.Go(p.terminate)
	}
	wg.Wait()
	w.senders.Wait()
	w.client.CloseIdleConnections()
	w.checkTold(metrics)
}

// checkTold fails for a secret anywhere, and for text of people anywhere but in
// the bodies of webhooks.
func (w *world) checkTold(pages map[string]string) {
	w.t.Helper()
	look := func(where, text string, canaries ...string) {
		for _, c := range canaries {
			if i := strings.Index(text, c); i >= 0 {
				w.t.Errorf("%s tells %q: ...%s", where, c, text[max(0, i-200):min(len(text), i+50)])
				return
			}
		}
	}
	secrets := []string{w.secret, w.pat}
	all := append(slices.Clone(secrets), w.word)
	for name, text := range pages {
		look(name, text, all...)
	}
	for _, p := range w.programs() {
		look("the log of "+p.name, strings.Join(p.printed(), "\n"), all...)
	}
	for _, c := range secrets {
		if w.redis.holds(c) {
			w.t.Errorf("Redis holds %q", c)
		}
	}
	if _, err := w.nc.RTT(); err != nil {
		return // the server's end was part of the test
	}
	w.checkStored()
	for _, name := range w.streams() {
		for _, m := range w.messages(name) {
			where := name + " " + m.Subject
			header, err := json.Marshal(m.Header)
			if err != nil {
				w.t.Error(err)
			}
			look("the header of "+where, string(header)+m.Subject, all...)
			if name == stream.Events || name == stream.Dead {
				look(where, string(m.Data), secrets...)
			} else {
				look(where, string(m.Data), all...)
			}
		}
	}
}

// streams names all streams, those of buckets too.
func (w *world) streams() []string {
	w.t.Helper()
	ctx, cancel := w.within()
	defer cancel()
	lister := w.js.StreamNames(ctx)
	var names []string
	for name := range lister.Name() {
		names = append(names, name)
	}
	if err := lister.Err(); err != nil {
		w.t.Errorf("list the streams: %v", err)
	}
	return names
}
