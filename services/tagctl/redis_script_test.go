package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"autotag/pkg/chatstore"
	"autotag/pkg/livechat"
	"autotag/pkg/stream"
	"autotag/pkg/testkit/redistest"
	"autotag/pkg/transcript"
)

const password = "PASSWORD-CANARY"

// redisFixture is what taggers would have put into a Redis.
type redisFixture struct {
	t      *testing.T
	store  *chatstore.Store
	limits *chatstore.Limits
	stop   func()
}

// start starts a Redis, which REDIS_URL names from then on: with a user that may
// read and nothing else, so that whatever tagctl wrote would be refused. SILENT
// is the address of a server that never answers.
func (f *redisFixture) start(ts *testscript.TestScript, _ bool, _ []string) {
	reader := url.URL{Scheme: "redis", User: url.UserPassword("reader", password)}
	writer := reader
	if redistest.Available() {
		p := redistest.NewProcess(f.t, "--user", "reader", "on", ">"+password, "~autotag:*",
			"-@all", "+auth", "+hello", "+select", "+info", "+hgetall", "+exists", "+scan")
		reader.Host, writer, f.stop = p.Addr, url.URL{Scheme: "redis", Host: p.Addr}, p.Kill
	} else {
		_, m := redistest.Mini(f.t)
		m.RequireUserAuth("reader", password)
		reader.Host, writer.Host, f.stop = m.Addr(), m.Addr(), m.Close
	}
	ts.Setenv("REDIS_URL", reader.String())
	ts.Setenv("REDIS_ADDRESS", reader.Host)
	client, err := chatstore.Connect(writer.String)
	ts.Check(err)
	ts.Defer(func() { _ = client.Close() })
	f.store, f.limits = chatstore.NewStore(client, time.Hour), chatstore.NewLimits(client, 1)

	silent, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = silent.Close() })
	ts.Setenv("SILENT", silent.Addr().String())
}

// remember writes what the lines of a file tell, each a subject and a message,
// as a tagger does: of a webhook, or of an answer of LiveChat if the action is
// get_chat.
func (f *redisFixture) remember(ts *testscript.TestScript, _ bool, args []string) {
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		subject, data, _ := strings.Cut(strings.TrimSpace(line), " ")
		k, action, ok := stream.ParseEventSubject(subject)
		if !ok {
			ts.Fatalf("%q is not of a webhook", subject)
		}
		at := time.Date(2020, 6, 1, 8, 0, 0, 0, time.UTC)
		var facts []transcript.Fact
		if action == "get_chat" {
			var chat livechat.Chat
			ts.Check(json.Unmarshal([]byte(data), &chat))
			facts = transcript.FromChat(k, &transcript.Facts{}, chat, at)
		} else {
			envelope, err := livechat.ParseWebhook([]byte(data))
			ts.Check(err)
			payload, err := livechat.ParsePayload(action, envelope.Payload)
			ts.Check(err)
			facts = transcript.Read(k, action, payload, at).Facts
		}
		_, err := f.store.Put(within(ts), []chatstore.Write{{Key: k, Facts: facts}})
		ts.Check(err)
	}
}

// harmless lets the taggers find that gaps in the numbers of an organization's
// events hide nothing.
func (f *redisFixture) harmless(ts *testscript.TestScript, _ bool, args []string) {
	for i := 0; ; i++ {
		harmless, err := f.limits.GapsHarmless(within(ts), args[0])
		ts.Check(err)
		if harmless {
			return
		}
		ts.Check(f.limits.Gap(within(ts), transcript.Key{Org: args[0], Chat: "C", Thread: fmt.Sprint("T", i)}, false))
	}
}
