package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"autotag/pkg/admin"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	side := admin.New("127.0.0.1:0", zap.NewNop())
	if err := side.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := side.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	file := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(file, []byte("ingres_addr: ':1'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args   []string
		env    map[string]string
		status int
		out    []string // on either
	}{
		"help":          {[]string{"--help"}, nil, 0, []string{"LIVECHAT_WEBHOOK_SECRETS_FILE", "(default :8080)", "NATS_REPLICAS", "healthcheck"}},
		"version":       {[]string{"version"}, nil, 0, []string{"ingress "}},
		"no settings":   {nil, nil, 2, []string{"ingress: LIVECHAT_WEBHOOK_SECRETS: must hold at least one secret"}},
		"bad settings":  {nil, map[string]string{"NATS_REPLICAS": "2", "LOG_FORMAT": "xml"}, 2, []string{"NATS_REPLICAS: ", "LOG_FORMAT: ", "LIVECHAT_WEBHOOK_SECRETS: "}},
		"bad file":      {[]string{"--config", file}, map[string]string{"LIVECHAT_WEBHOOK_SECRETS": "s"}, 2, []string{`bad.yaml:1: unknown setting "ingres_addr"`}},
		"no file":       {[]string{"--config", "none.yaml"}, map[string]string{"LIVECHAT_WEBHOOK_SECRETS": "s"}, 2, []string{"none.yaml"}},
		"no file named": {[]string{"--config"}, nil, 2, []string{"--config: needs a file"}},
		"junk":          {[]string{"serve"}, nil, 2, []string{"serve", "--help"}},
		"healthy":       {[]string{"healthcheck"}, map[string]string{"ADMIN_ADDR": side.Addr()}, 0, nil},
		"ready":         {[]string{"healthcheck", "--ready"}, map[string]string{"ADMIN_ADDR": side.Addr()}, 0, nil},
		"not there":     {[]string{"healthcheck"}, map[string]string{"ADMIN_ADDR": "127.0.0.1:1"}, 1, []string{"refused"}},
		"port is taken": {nil, map[string]string{"LIVECHAT_WEBHOOK_SECRETS": "s", "ADMIN_ADDR": side.Addr(), "INGRESS_ADDR": "127.0.0.1:0", "NATS_URL": "nats://127.0.0.1:1"}, 1, []string{"address already in use"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			lookup := func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }
			if status := run(c.args, lookup, &out, &out); status != c.status {
				t.Errorf("exit status %d, should be %d", status, c.status)
			}
			for _, want := range c.out {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is not in:\n%s", want, out.String())
				}
			}
		})
	}
}
