package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"autotag/pkg/program"
)

func TestRun(t *testing.T) {
	t.Parallel()
	health := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer health.Close()
	addr := health.Listener.Addr().String()
	for _, c := range []struct {
		args   string
		env    map[string]string
		status int
		stdout string
		stderr string
	}{
		{"--help", nil, program.OK, "RULES_FILE", ""},
		{"version", nil, program.OK, "tagger ", ""},
		{"frobnicate", nil, program.Usage, "", "frobnicate"},
		{"--config", nil, program.Usage, "", "needs a file"},
		{"--config /nowhere.yaml", nil, program.Usage, "", "nowhere"},
		{"", map[string]string{"API_RATE": "-1", "SETTLE": "soon"}, program.Usage, "", "API_RATE"},
		{"", map[string]string{"API_RATE": "-1", "SETTLE": "soon"}, program.Usage, "", "SETTLE"},
		{"", map[string]string{"APPLY": "off", "ADMIN_ADDR": addr}, program.Failure, "", "admin listener"},
		{"healthcheck", map[string]string{"ADMIN_ADDR": addr}, program.OK, "", ""},
		{"healthcheck --ready", map[string]string{"ADMIN_ADDR": addr}, program.Failure, "", "503"},
		{"healthcheck", map[string]string{"ADMIN_ADDR": "127.0.0.1:1"}, program.Failure, "", "refused"},
	} {
		var stdout, stderr bytes.Buffer
		status := run(strings.Fields(c.args), func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }, &stdout, &stderr)
		if status != c.status || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
			t.Errorf("tagger %s %v: status %d\n%s%s", c.args, c.env, status, &stdout, &stderr)
		}
	}
}
