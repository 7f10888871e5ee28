//go:build unix

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// Settings that are wrong or missing end a program at once, with status 2 and
// the names of all of them.
func TestSettingsAreWrong(t *testing.T) {
	t.Parallel()
	ingress := map[string]string{"LIVECHAT_WEBHOOK_SECRETS": "s3cret"}
	tagger := map[string]string{"LIVECHAT_ACCOUNT_ID": "account", "LIVECHAT_PAT": "pAt-value"}
	for _, tc := range []struct {
		program string
		base    map[string]string
		env     map[string]string
		args    []string
		names   []string
	}{
		{program: "ingress", names: []string{"LIVECHAT_WEBHOOK_SECRETS"}},
		{program: "ingress", base: ingress, env: map[string]string{"LIVECHAT_WEBHOOK_SECRETS": "s3cret,,other"}, names: []string{"LIVECHAT_WEBHOOK_SECRETS"}},
		{program: "ingress", base: ingress, env: map[string]string{"INGRESS_ADDR": "8080", "ADMIN_ADDR": "x", "NATS_REPLICAS": "2", "EVENTS_MAX_AGE": "soon", "LOG_LEVEL": "loud"},
			names: []string{"INGRESS_ADDR", "ADMIN_ADDR", "NATS_REPLICAS", "EVENTS_MAX_AGE", "LOG_LEVEL"}},
		{program: "ingress", base: ingress, env: map[string]string{"LIVECHAT_WEBHOOK_SECRETS_FILE": "/nowhere/secret"}, names: []string{"LIVECHAT_WEBHOOK_SECRETS"}},
		{program: "ingress", base: ingress, args: []string{"--config", "/nowhere/ingress.yaml"}, names: []string{"/nowhere/ingress.yaml"}},
		{program: "ingress", base: ingress, args: []string{"--fast"}, names: []string{"--fast"}},
		{program: "tagger", names: []string{"LIVECHAT_PAT"}},
		{program: "tagger", base: tagger, env: map[string]string{"LIVECHAT_ACCESS_TOKEN": "pAt-other"}, names: []string{"LIVECHAT_ACCESS_TOKEN", "LIVECHAT_PAT"}},
		{program: "tagger", base: tagger, env: map[string]string{"SETTLE": "3", "API_RATE": "fast", "RECONCILE": "sometimes", "APPLY": "yes", "REDIS_URL": "http://x", "LIVECHAT_API_URL": "x", "CHAT_TTL": "1s"},
			names: []string{"SETTLE", "API_RATE", "RECONCILE", "APPLY", "REDIS_URL", "LIVECHAT_API_URL", "CHAT_TTL"}},
		{program: "tagger", base: tagger, args: []string{"stop"}, names: []string{"stop"}},
		{program: "simulator", env: map[string]string{"SIMULATOR_SWITCHES": "nothing=1"}, names: []string{"SIMULATOR_SWITCHES"}},
	} {
		env := map[string]string{}
		for _, from := range []map[string]string{tc.base, tc.env} {
			for name, value := range from {
				env[name] = value
			}
		}
		exit, output := command(t, tc.program, env, tc.args...)
		if exit != exitUsage {
			t.Errorf("%s %v %v: exit status %d\n%s", tc.program, tc.args, env, exit, output)
		}
		for _, name := range tc.names {
			if !strings.Contains(output, name) {
				t.Errorf("%s %v %v does not name %s:\n%s", tc.program, tc.args, env, name, output)
			}
		}
		if strings.Contains(output, "s3cret") || strings.Contains(output, "pAt-") {
			t.Errorf("%s %v prints a secret:\n%s", tc.program, tc.args, output)
		}
	}
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec{ingresses: 1, taggers: 1})
	for _, p := range w.programs() {
		program := strings.Fields(p.name)[0]
		// Whoever asks for the health need not have the secrets.
		env := map[string]string{"ADMIN_ADDR": p.admin}
		for _, tc := range []struct {
			args []string
			want int
		}{
			{[]string{"healthcheck"}, exitOK}, {[]string{"healthcheck", "--ready"}, exitOK}, {[]string{"version"}, exitOK}, {[]string{"--help"}, exitOK},
		} {
			if exit, output := command(t, program, env, tc.args...); exit != tc.want {
				t.Errorf("%s %v: exit status %d\n%s", program, tc.args, exit, output)
			}
		}
		none := map[string]string{"ADMIN_ADDR": freeAddr(t)}
		if exit, output := command(t, program, none, "healthcheck"); exit != exitFailure {
			t.Errorf("%s healthcheck of nobody: exit status %d\n%s", program, exit, output)
		}
	}
	w.nats.Kill()
	for _, p := range w.programs() {
		program := strings.Fields(p.name)[0]
		env := map[string]string{"ADMIN_ADDR": p.admin}
		if exit, _ := command(t, program, env, "healthcheck"); exit != exitOK {
			t.Errorf("%s without NATS does not live: exit status %d", program, exit)
		}
		eventually(t, patience, func() error {
			if exit, _ := command(t, program, env, "healthcheck", "--ready"); exit != exitFailure {
				return fmt.Errorf("%s without NATS is ready: exit status %d", program, exit)
			}
			return nil
		})
	}
}
