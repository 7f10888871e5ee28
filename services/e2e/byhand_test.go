//go:build unix

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"autotag/pkg/livechat/livechattest"
)

// What a newcomer does: the programs with their defaults, webhooks posted as
// they stand in the files, and the simulator shows the calls.
func TestByHand(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	w := newWorld(t, spec{
		ingresses: 1, taggers: 1, rules: "../../../configs/rules.yaml",
		env: map[string]string{
			"LIVECHAT_API_URL": "http://" + addr, "LIVECHAT_ACCOUNT_ID": "simulator", "LIVECHAT_PAT": "simulator",
			"LIVECHAT_WEBHOOK_SECRETS": "k3y-0f7d-demo-secret,simulator", "API_RATE": "5",
		},
	})
	simulator := newProcess(t, "simulator", "simulator", map[string]string{
		"SIMULATOR_ADDR": addr, "WEBHOOK_URL": "http://" + w.ingress[0].env["INGRESS_ADDR"] + webhookPath,
	})
	simulator.start()
	for _, name := range []string{"incoming_chat.v3.6", "incoming_event.v3.6", "chat_deactivated.v3.6"} {
		body, err := os.ReadFile("testdata/webhooks/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if err := w.post(w.ingress[0], livechattest.Webhook{Action: name, Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, patience, func() error {
		for _, tag := range []string{"refund", "topic-billing"} {
			line := fmt.Sprintf(`tag_thread  chat_id="SJ4K2R8V0P"  thread_id="SJ4K2R8WQ3"  tag=%q  status=200`, tag)
			if len(simulator.grep(line)) != 1 {
				return fmt.Errorf("the simulator has not printed %s, but\n%s", line, strings.Join(simulator.printed(), "\n"))
			}
		}
		return nil
	})
	w.drain()
	if calls := simulator.grep("  status="); len(calls) != 2 {
		t.Errorf("calls:\n%s", strings.Join(calls, "\n"))
	}
	// The webhooks that the calls caused have come too.
	eventually(t, patience, func() error {
		if n, _ := w.ingress[0].metric(`autotag_webhooks_total{action="thread_tagged",answer="200"}`); n != 2 {
			return fmt.Errorf("%v echoes came", n)
		}
		return nil
	})
	simulator.terminate()
}
