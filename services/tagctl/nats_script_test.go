package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"

	"autotag/pkg/decision"
	"autotag/pkg/livechat"
	"autotag/pkg/rules"
	"autotag/pkg/stream"
	"autotag/pkg/testkit/natstest"
	"autotag/pkg/transcript"
)

// TestNATSScripts runs the archives of testdata/script/nats, each with a
// nats-server of its own that NATS_URL names and a LiveChat at LIVECHAT_API_URL.
func TestNATSScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/script/nats/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			s := natstest.Start(t, nil)
			nc, js := s.Connect()
			f, api := fixture{nc, js}, newPlatform(t)
			p := params()
			p.Files = []string{file}
			setup := p.Setup
			p.Setup = func(e *testscript.Env) error {
				e.Setenv("NATS_URL", s.URL)
				e.Setenv("LIVECHAT_API_URL", api.url)
				e.Setenv("NATS_ADDRESS", strings.TrimPrefix(s.URL, "nats://"))
				return setup(e)
			}
			p.Cmds["provision"] = f.provision
			p.Cmds["store"] = f.store
			p.Cmds["forget"] = f.forget
			p.Cmds["keep"] = f.keep
			p.Cmds["decide"] = f.decide
			p.Cmds["arm"] = f.arm
			p.Cmds["dead"] = f.dead
			// Not "stop": testscript has a command of that name, which ends the script.
			p.Cmds["stop-nats"] = func(*testscript.TestScript, bool, []string) { s.Stop() }
			p.Cmds["mask"] = mask
			r := &redisFixture{t: t}
			p.Cmds["redis"] = r.start
			p.Cmds["remember"] = r.remember
			p.Cmds["harmless"] = r.harmless
			p.Cmds["stop-redis"] = func(*testscript.TestScript, bool, []string) { r.stop() }
			p.Cmds["calls"] = api.calls
			p.Cmds["spoil"] = api.spoil
			testscript.Run(t, p)
		})
	}
}

// fixture is what the programs would have put into NATS.
type fixture struct {
	nc *nats.Conn
	js jetstream.JetStream
}

func within(ts *testscript.TestScript) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	ts.Defer(cancel)
	return ctx
}

// provision creates the streams and buckets.
func (f fixture) provision(ts *testscript.TestScript, _ bool, _ []string) {
	_, err := stream.Provision(within(ts), f.js, stream.ProvisionOptions{EventsMaxBytes: 64 << 20})
	ts.Check(err)
}

// store publishes the lines of a file: a subject and a message.
func (f fixture) store(ts *testscript.TestScript, _ bool, args []string) {
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		subject, data, _ := strings.Cut(strings.TrimSpace(line), " ")
		_, err := f.js.Publish(within(ts), subject, []byte(strings.TrimSpace(data)))
		ts.Check(err)
	}
}

// forget drops all webhooks, as their age does.
func (f fixture) forget(ts *testscript.TestScript, _ bool, _ []string) {
	events, err := f.js.Stream(within(ts), stream.Events)
	ts.Check(err)
	ts.Check(events.Purge(within(ts)))
}

// keep registers the rules of a file, as a tagger that loads them does: keep RULES,
// or keep RULES cut for a value that has lost its end.
func (f fixture) keep(ts *testscript.TestScript, _ bool, args []string) {
	text := []byte(ts.ReadFile(args[0]))
	set, problems := rules.Parse(args[0], text)
	if set == nil {
		ts.Fatalf("%v", problems)
	}
	kv, err := f.js.KeyValue(within(ts), stream.RulesBucket)
	ts.Check(err)
	// Compressed, as large ones are.
	packed, err := stream.PackRules(text, 4<<10+int64(len(text))-1)
	ts.Check(err)
	if len(args) > 1 {
		packed = packed[:len(packed)/2]
	}
	_, err = kv.Put(within(ts), set.Version, packed)
	ts.Check(err)
}

func key(ts *testscript.TestScript, text string) transcript.Key {
	parts := strings.Split(text, "/")
	if len(parts) != 3 {
		ts.Fatalf("%q is not ORGANIZATION/CHAT/THREAD", text)
	}
	return transcript.Key{Org: parts[0], Chat: parts[1], Thread: parts[2]}
}

// decide records what the rules of a file say about a thread's webhooks, as the
// tagger would: decide ORGANIZATION/CHAT/THREAD RULES DECIDED_AT [REASON].
func (f fixture) decide(ts *testscript.TestScript, _ bool, args []string) {
	k := key(ts, args[0])
	set, problems := rules.Parse(args[1], []byte(ts.ReadFile(args[1])))
	if set == nil {
		ts.Fatalf("%v", problems)
	}
	at, err := time.Parse(time.RFC3339, args[2])
	ts.Check(err)
	r := decision.Record{
		V: decision.Version, OrganizationID: k.Org, ChatID: k.Chat, ThreadID: k.Thread,
		DecidedAt: at, Reason: decision.ReasonEnded, RulesVersion: set.Version,
	}
	if len(args) > 3 {
		r.Reason = args[3]
	}
	msgs, err := stream.ReadAll(within(ts), f.nc, stream.Events, stream.ThreadSubject(k), 0)
	ts.Check(err)
	facts := &transcript.Facts{}
	for _, m := range msgs {
		_, action, _ := stream.ParseEventSubject(m.Subject)
		envelope, err := livechat.ParseWebhook(m.Data)
		ts.Check(err)
		payload, err := livechat.ParsePayload(action, envelope.Payload)
		ts.Check(err)
		facts.AddAll(transcript.Read(k, action, payload, m.Time).Facts)
		r.Transcript.Seq, r.Transcript.Until = m.Seq, m.Time
	}
	reduction := transcript.Reduce(k, facts)
	readings, _ := reduction.Readings(1)
	first := readings[0]
	first.Complete = reduction.Started && reduction.Gaps == 0
	result := set.Match(first)
	r.Transcript.Messages, r.Transcript.From.Log = len(first.Messages), facts.Events()
	r.Transcript.Complete, r.Transcript.Digest = first.Complete, first.Digest()
	r.Tags, r.Shadow, r.NearMisses, r.Skipped = result.Tags, result.Shadow, result.NearMisses, result.Skipped
	data, err := json.Marshal(r)
	ts.Check(err)
	_, err = f.js.Publish(within(ts), stream.DecisionSubject(k), data)
	ts.Check(err)
}

// arm sets a thread's timer: arm ORGANIZATION/CHAT/THREAD IN, or parks its
// calls: arm ORGANIZATION/CHAT/THREAD IN retry.
func (f fixture) arm(ts *testscript.TestScript, _ bool, args []string) {
	in, err := time.ParseDuration(args[1])
	ts.Check(err)
	if len(args) > 2 {
		ts.Check(stream.Park(within(ts), f.js, key(ts, args[0]), time.Now().Add(in)))
		return
	}
	ts.Check(stream.Arm(within(ts), f.js, key(ts, args[0]), time.Now().Add(in), 0))
	if in > 0 {
		return
	}
	for ctx := within(ts); ; {
		if _, fired, err := stream.Last(ctx, f.nc, stream.Timers, stream.DueSubject(key(ts, args[0]))); fired || err != nil {
			ts.Check(err)
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("the timer never fires")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// dead keeps a dead letter: dead STAGE ORGANIZATION/CHAT/THREAD REASON.
func (f fixture) dead(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(stream.DeadLetter(within(ts), f.js, stream.DeadMessage{
		Stage: args[0], Key: key(ts, args[1]), Reason: args[2], Data: []byte("{}"), Subject: "x", Attempts: 1, MsgID: args[1] + args[2],
	}))
}

var timestamp = regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z`)

// mask writes a file or stdout to the file "masked" with the times of today,
// which are those of the test's own run, replaced by NOW.
func mask(ts *testscript.TestScript, _ bool, args []string) {
	masked := timestamp.ReplaceAllStringFunc(ts.ReadFile(args[0]), func(text string) string {
		at, err := time.Parse(time.RFC3339, strings.Replace(text, " ", "T", 1))
		if err == nil && time.Since(at).Abs() < 48*time.Hour {
			return "NOW"
		}
		return text
	})
	ts.Check(os.WriteFile(ts.MkAbs("masked"), []byte(masked), 0o600))
}
