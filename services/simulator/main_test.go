package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"autotag/services/simulator/app"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const chat = "chats:\n  - name: one\n    says: [{customer: hello}, {end: agent}]\n    expect: "

func TestExitStatus(t *testing.T) {
	t.Parallel()
	ingress := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !bytes.Contains(body, []byte(`"secret_key":"from the file"`)) {
			t.Errorf("secret_key is missing in %s", body)
		}
	}))
	t.Cleanup(ingress.Close)
	env := map[string]string{
		"SIMULATOR_ADDR": "127.0.0.1:0", "WEBHOOK_URL": ingress.URL, "SIMULATOR_QUIET": "20ms", "SIMULATOR_LIMIT": "50ms",
		"LIVECHAT_WEBHOOK_SECRET_FILE": write(t, "secret", "from the file\n"),
	}
	good, bad, faulty := write(t, "good.yaml", chat+"[]\n"), write(t, "bad.yaml", chat+"[refund]\n"), write(t, "faulty.yaml", "chat: []\n")
	for _, tc := range []struct {
		name   string
		args   []string
		env    map[string]string
		want   int
		stdout string
		stderr string
	}{
		{name: "as expected", args: []string{good}, stdout: "1 of 1 as expected"},
		{name: "a folder", args: []string{filepath.Dir(good)}, stdout: "1 of 1 as expected"},
		{name: "flags after paths", args: []string{good, "--clock", "20x", "--verbose"}, stdout: "1 of 1", stderr: "chat_started"},
		{name: "not as expected", args: []string{bad}, want: 1, stdout: "0 of 1 as expected"},
		{name: "JSON", args: []string{"-o", "json", good}, stdout: `"ok": true`},
		{name: "help", args: []string{"--help"}, stdout: "SIMULATOR_ADDR"},
		{name: "faulty file", args: []string{faulty}, want: 2, stderr: `faulty.yaml:1:1: unknown key "chat"`},
		{name: "missing file", args: []string{"nowhere.yaml"}, want: 2, stderr: "nowhere.yaml"},
		{name: "empty folder", args: []string{t.TempDir()}, want: 2, stderr: "no .yaml file"},
		{name: "unknown flag", args: []string{"--fast"}, want: 2, stderr: "-fast"},
		{name: "clock", args: []string{"--clock", "fast"}, want: 2, stderr: "--clock"},
		{name: "output", args: []string{"-o", "xml"}, want: 2, stderr: "-o"},
		{name: "target", args: []string{"--target", "localhost"}, want: 2, stderr: "WEBHOOK_URL"},
		{name: "setting", env: map[string]string{"SIMULATOR_SPEED": "0"}, want: 2, stderr: "SIMULATOR_SPEED"},
		{name: "switch", env: map[string]string{"SIMULATOR_SWITCHES": "retags=ok"}, want: 2, stderr: `unknown switch "retags"`},
		{name: "switch value", env: map[string]string{"SIMULATOR_SWITCHES": "tag_delay=soon"}, want: 2, stderr: "tag_delay"},
		{name: "address", args: []string{"--addr", "256.0.0.1:0"}, want: 2, stderr: "serve the platform"},
		{name: "no simulator to check", args: []string{"healthcheck", "--addr", "127.0.0.1:1"}, want: 1, stderr: "healthcheck"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			lookup := func(name string) (string, bool) {
				if v, ok := tc.env[name]; ok {
					return v, true
				}
				v, ok := env[name]
				return v, ok
			}
			var stdout, stderr bytes.Buffer
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if got := run(ctx, tc.args, lookup, &stdout, &stderr); got != tc.want {
				t.Errorf("exit %d, want %d", got, tc.want)
			}
			if !strings.Contains(stdout.String(), tc.stdout) || !strings.Contains(stderr.String(), tc.stderr) {
				t.Errorf("stdout:\n%s\nstderr:\n%s", &stdout, &stderr)
			}
			if strings.Contains(stdout.String()+stderr.String(), "from the file") {
				t.Error("the secret is printed")
			}
			if tc.name == "JSON" {
				var report app.Report
				if err := json.Unmarshal(stdout.Bytes(), &report); err != nil || len(report.Results) != 1 {
					t.Errorf("%v: %s", err, &stdout)
				}
			}
		})
	}
}

// Without scenarios the simulator serves until it is stopped, takes chats that
// it never heard of, and prints the calls.
func TestServes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, switches string
		status         int
		line           string
	}{
		{"as it comes", "", 200, `tag_thread  chat_id="SC1"  thread_id="ST1"  tag="refund"  status=200` + "\n"},
		{"strict", "adopt=false", 404, `tag_thread  chat_id="SC1"  thread_id="ST1"  tag="refund"  status=404 not_found` + "\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			ingress := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) // takes the echo
			defer ingress.Close()
			env := map[string]string{"SIMULATOR_ADDR": "127.0.0.1:0", "WEBHOOK_URL": ingress.URL, "SIMULATOR_SWITCHES": tc.switches}
			lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
			stdout, stdoutWriter := io.Pipe()
			stderr, stderrWriter := io.Pipe()
			exit := make(chan int, 1)
			go func() {
				exit <- run(ctx, nil, lookup, stdoutWriter, stderrWriter)
				stdoutWriter.Close()
				stderrWriter.Close()
			}()
			first, err := bufio.NewReader(stderr).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			go io.Copy(io.Discard, stderr)
			addr := strings.TrimPrefix(strings.Split(first, ",")[0], "platform at http://")
			lines := bufio.NewReader(stdout)
			read := func(want string) {
				t.Helper()
				if line, err := lines.ReadString('\n'); err != nil || !strings.HasSuffix(line, want) {
					t.Errorf("printed %q, %v; want %q", line, err, want)
				}
			}
			// A line is printed before the call is answered.
			checked := make(chan int, 1)
			go func() { checked <- healthcheck(ctx, addr, io.Discard) }()
			read("list_webhook_names  status=200\n")
			if got := <-checked; got != 0 {
				t.Errorf("healthcheck of %s: exit %d", addr, got)
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/v3.6/agent/action/tag_thread",
				strings.NewReader(`{"chat_id": "SC1", "thread_id": "ST1", "tag": "refund"}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.SetBasicAuth("simulator", "simulator")
			status := make(chan int, 1)
			go func() {
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					status <- 0
					return
				}
				res.Body.Close()
				status <- res.StatusCode
			}()
			read(tc.line)
			if got := <-status; got != tc.status {
				t.Errorf("status %d, want %d", got, tc.status)
			}
			stop()
			go io.Copy(io.Discard, stdout)
			if got := <-exit; got != 0 {
				t.Errorf("exit %d", got)
			}
		})
	}
}
