package program

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"

	"autotag/pkg/config"
	"autotag/pkg/logging"
)

type settings struct {
	Wanted string `env:"WANTED" desc:"what is wanted"`
	config.Common
}

func TestMainStatuses(t *testing.T) {
	t.Parallel()
	alive := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer alive.Close()
	for _, c := range []struct {
		args   string
		env    map[string]string
		run    error
		status int
		stdout string
		stderr string
	}{
		{args: "version", status: OK, stdout: "thing "},
		{args: "--help", status: OK, stdout: "WANTED"},
		{args: "healthcheck", status: OK},
		{args: "healthcheck --ready", status: Failure, stderr: "thing: "},
		{args: "healthcheck --soon", status: Usage, stderr: "try thing --help"},
		{args: "nonsense", status: Usage, stderr: `"nonsense"`},
		{args: "--config", status: Usage, stderr: "needs a file"},
		{args: "", env: map[string]string{"LOG_LEVEL": "loud"}, status: Usage, stderr: "LOG_LEVEL"},
		{args: "", status: OK},
		{args: "", run: errors.New("out of luck"), status: Failure, stderr: "out of luck"},
	} {
		ran := false
		var stdout, stderr bytes.Buffer
		status := Program[settings]{
			Name: "thing", Does: "does things.",
			Load: func(file string, lookup config.Lookup) (s settings, err error) {
				err = config.Load(&s, "thing", file, lookup)
				return s, err
			},
			AdminAddr: func(string, config.Lookup) (string, error) { return alive.Listener.Addr().String(), nil },
			Log:       func(s settings) logging.Config { return s.Log },
			Run:       func(context.Context, settings, *zap.Logger) error { ran = true; return c.run },
		}.Main(strings.Fields(c.args), func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }, &stdout, &stderr)
		if status != c.status || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
			t.Errorf("%q: exit %d\nstdout: %s\nstderr: %s", c.args, status, &stdout, &stderr)
		}
		if ran != (c.args == "" && c.env == nil) {
			t.Errorf("%q: ran: %t", c.args, ran)
		}
	}
}
