package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"autotag/pkg/stream"
	"autotag/pkg/testkit/natstest"
	"autotag/pkg/transcript"
)

// BenchmarkRecords measures the commands that read AUTOTAG_DECISIONS, as
// processes, against 100,000 decisions of 1 KB and as many outcomes.
func BenchmarkRecords(b *testing.B) {
	const threads = 100_000
	s := natstest.Start(b, func(o *server.Options) { o.SyncAlways = false })
	_, js := s.Connect()
	if _, err := stream.Provision(b.Context(), js, stream.ProvisionOptions{EventsMaxBytes: 64 << 20}); err != nil {
		b.Fatal(err)
	}
	for i := range threads {
		k := transcript.Key{Org: "5f0b2c4e-7a1d-4c39-9f57-3d2a61b8e0c4", Chat: fmt.Sprintf("CHAT%06d", i/3), Thread: fmt.Sprintf("THREAD%04d", i)}
		tag := "common"
		if i == 5 {
			tag = "rare"
		}
		evidence := strings.TrimSuffix(strings.Repeat(`{"event_id":"THREAD_1","author":"customer","field":"text","term":"refund*","start":1,"end":7},`, 5), ",")
		record := fmt.Sprintf(`{"v":1,"organization_id":%q,"chat_id":%q,"thread_id":%q,"decided_at":"2026-06-01T09:00:00Z","reason":"ended","rules_version":"%064d",`+
			`"transcript":{"messages":9,"from":{"redis":9,"log":9,"api":0},"complete":true,"cut":false,"digest":"%064d"},`+
			`"tags":[{"tag":%q,"rule":"rule","evidence":[%s]}],"shadow":[],"near_misses":[],"skipped":[]}`, k.Org, k.Chat, k.Thread, i, i, tag, evidence)
		outcome := fmt.Sprintf(`{"decision_seq":%d,"calls":[{"op":"tag","tag":%q,"state":"done","attempt":1}]}`, 2*i+1, tag)
		for _, m := range [][2]string{{stream.DecisionSubject(k), record}, {stream.OutcomeSubject(k), outcome}} {
			if _, err := js.PublishAsync(m[0], []byte(m[1])); err != nil {
				b.Fatal(err)
			}
		}
		if i%1000 == 0 {
			<-js.PublishAsyncComplete()
		}
	}
	<-js.PublishAsyncComplete()
	if n := natstest.Messages(b, js, stream.Decisions); n != 2*threads {
		b.Fatalf("%d messages", n)
	}
	program := filepath.Join(b.TempDir(), "tagctl")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	for _, args := range []string{
		"decisions", "decisions --tag rare", "decisions --limit 1000000 -o json",
		"rules explain THREAD0007", "rules explain NONE", "rules explain CHAT000042",
	} {
		b.Run(args, func(b *testing.B) {
			for b.Loop() {
				c := exec.Command(program, strings.Fields(args)...)
				c.Env = []string{"NATS_URL=" + s.URL}
				if err := c.Run(); err != nil && c.ProcessState.ExitCode() != 1 {
					b.Fatal(err)
				}
			}
		})
	}
}
