//go:build unix

package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

// The scenarios that come with the simulator, played by the program itself, end
// with the tags that they expect of the rules that come with the programs.
func TestScenarios(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	w := newWorld(t, spec{
		ingresses: 2, taggers: 2, rules: "../../../configs/rules.yaml",
		env: map[string]string{"LIVECHAT_API_URL": "http://" + addr},
	})
	var targets []string // in turn, so that copies of a webhook meet both
	for _, p := range w.ingress {
		targets = append(targets, "http://"+p.env["INGRESS_ADDR"]+webhookPath)
	}
	simulator := newProcess(t, "simulator", "simulator", map[string]string{
		"SIMULATOR_ADDR": addr, "WEBHOOK_URL": strings.Join(targets, ","),
		"LIVECHAT_WEBHOOK_SECRET": w.secret, "LIVECHAT_ACCOUNT_ID": "account", "LIVECHAT_PAT": w.pat,
		"SIMULATOR_QUIET": "3s", "SIMULATOR_LIMIT": "60s",
	}, "--builtin", "-o", "json", "--verbose")
	simulator.start()
	exit := simulator.wait(2 * time.Minute)

	output := strings.Join(simulator.printed(), "\n")
	var report struct {
		OK      bool
		Results []struct {
			Scenario, Chat, Why string
			ChatID              string `json:"chat_id"`
			ThreadID            string `json:"thread_id"`
			Expected, Got       []string
			OK                  bool
		}
	}
	// The result follows what was said on the way.
	if i := strings.Index(output, "\n{"); i < 0 {
		t.Fatalf("exit status %d, no result:\n%s", exit, output)
	} else if err := json.NewDecoder(strings.NewReader(output[i:])).Decode(&report); err != nil {
		t.Fatal(err)
	}
	scenarios := map[string]bool{}
	for _, r := range report.Results {
		scenarios[r.Scenario] = true
		if !r.OK {
			said := slices.DeleteFunc(simulator.printed(), func(l string) bool { return !strings.Contains(l, "  "+r.Chat+":") })
			t.Errorf("%s, %s, chat %s, thread %s: expected %v, got %v %s\n%s\n%s%s", r.Scenario, r.Chat, r.ChatID, r.ThreadID,
				r.Expected, r.Got, r.Why, strings.Join(said, "\n"), w.story(r.ThreadID), w.logs(r.ThreadID, 60))
		}
	}
	if exit != exitOK || !report.OK || len(scenarios) < 31 {
		t.Errorf("exit status %d, ok %v, %d scenarios", exit, report.OK, len(scenarios))
	}
	w.checkMatchers("../../configs/rules.yaml", "../standalone/app/demo_rules.yaml")
}
