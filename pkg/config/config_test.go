package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"autotag/pkg/config"
	"autotag/pkg/logging"
)

type settings struct {
	config.Common
	Settle  time.Duration `env:"SETTLE" envDefault:"3s" desc:"how long to wait"`
	Workers int           `env:"WORKERS" envDefault:"4"`
	Orgs    []string      `env:"ORGS"`
	Size    config.Bytes  `env:"SIZE"`
	Key     config.Secret `env:"KEY" desc:"the key"`
	needKey bool
}

func (s *settings) Validate() (faults []error) {
	faults = s.Common.Validate()
	if s.needKey && s.Key.Get() == "" {
		faults = append(faults, fmt.Errorf("KEY: must be set"))
	}
	if s.Workers < 1 {
		faults = append(faults, fmt.Errorf("WORKERS: must be at least 1"))
	}
	return faults
}

func lookup(env map[string]string) config.Lookup {
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadLayers(t *testing.T) {
	t.Parallel()
	file := write(t, "s.yaml", "settle: 10s\nworkers: 7\norgs: [a, b]\nsize: 1GiB\nnats_url:\nkey: fromfile\n")
	var got settings
	err := config.Load(&got, "prog", file, lookup(map[string]string{
		"WORKERS": "9", "SETTLE": "", "LOG_LEVEL": "debug", "LOG_FORMAT": "console", "UNRELATED": "x",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if got.Settle != 10*time.Second || got.Workers != 9 || got.Size != 1<<30 {
		t.Errorf("layers: %v %v %v", got.Settle, got.Workers, got.Size)
	}
	if diff := cmp.Diff([]string{"a", "b"}, got.Orgs); diff != "" {
		t.Error(diff)
	}
	if got.NATSURL != "nats://127.0.0.1:4222" {
		t.Errorf("an empty value counts as not set, got %q", got.NATSURL)
	}
	if got.Log.Level != zapcore.DebugLevel || got.Log.Format != logging.Console || got.Key.Get() != "fromfile" {
		t.Errorf("%v %v", got.Log, got.Key.Get())
	}
}

func TestLoadDefaultFile(t *testing.T) {
	t.Chdir(t.TempDir())
	var got settings
	if err := config.Load(&got, "prog", "", lookup(nil)); err != nil {
		t.Fatalf("without a file: %v", err)
	}
	if got.Workers != 4 {
		t.Errorf("default: %d", got.Workers)
	}
	if err := os.Mkdir("configs", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("configs/prog.yaml", []byte("# nothing but\nworkers: 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := config.Load(&got, "prog", "", lookup(nil)); err != nil || got.Workers != 5 {
		t.Errorf("configs/prog.yaml: %v, %d", err, got.Workers)
	}
}

func TestLoadReportsEveryFault(t *testing.T) {
	t.Parallel()
	file := write(t, "s.yaml", "setle: 10s\nWORKERS: 3\nworkers: many\norgs: {a: b}\nsettle: 1s\nsettle: 2s\n")
	got := settings{needKey: true}
	err := config.Load(&got, "prog", file, lookup(map[string]string{"SIZE": "big", "LOG_FORMAT": "xml", "LOG_LEVEL": "loud"}))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`s.yaml:1: unknown setting "setle"`, `s.yaml:2: unknown setting "WORKERS"`, "s.yaml:4: orgs: must be",
		"s.yaml:6: settle is given twice", "WORKERS: ", "SIZE: invalid size", "LOG_FORMAT: must be json or console", "LOG_LEVEL: ", "KEY: must be set",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "at least 1") {
		t.Errorf("a setting has two faults:\n%v", err)
	}
}

func TestNATSAddresses(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"nats://a:1", "a", "a:1", "127.0.0.1:4222", "tls://a:1, nats://u:p@b:2", "ws://[::1]:1"} {
		if err := config.Load(&settings{}, "prog", "", lookup(map[string]string{"NATS_URL": good})); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"nats://a:b", ",", "nats://a:1,", "nats://u:pass word@a:1", "redis://a:1"} {
		err := config.Load(&settings{}, "prog", "", lookup(map[string]string{"NATS_URL": bad, "NATS_MONITOR_URL": bad}))
		if err == nil || !strings.Contains(err.Error(), "NATS_URL: ") || !strings.Contains(err.Error(), "NATS_MONITOR_URL: ") || strings.Contains(err.Error(), "pass") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if err := config.Load(&settings{}, "prog", "", lookup(map[string]string{"NATS_MONITOR_URL": "http://a:8222, https://b"})); err != nil {
		t.Error(err)
	}
	for name, value := range map[string]string{"NATS_URL": "http://a:8222", "NATS_MONITOR_URL": "nats://a:4222"} {
		if err := config.Load(&settings{}, "prog", "", lookup(map[string]string{name: value})); err == nil || !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}

func TestCredentialsFile(t *testing.T) {
	t.Parallel()
	if err := config.Load(&settings{}, "prog", "", lookup(map[string]string{"NATS_CREDS": write(t, "creds", "x")})); err != nil {
		t.Error(err)
	}
	err := config.Load(&settings{}, "prog", "", lookup(map[string]string{"NATS_CREDS": filepath.Join(t.TempDir(), "none")}))
	if err == nil || !strings.HasPrefix(err.Error(), "NATS_CREDS: ") {
		t.Errorf("%v", err)
	}
}

func TestLogLevels(t *testing.T) {
	t.Parallel()
	for level, good := range map[string]bool{"debug": true, "INFO": true, "warn": true, "error": true, "dpanic": false, "fatal": false} {
		err := config.Load(&settings{}, "prog", "", lookup(map[string]string{"LOG_LEVEL": level}))
		if good != (err == nil) || err != nil && !strings.HasPrefix(err.Error(), "LOG_LEVEL: ") {
			t.Errorf("%s: %v", level, err)
		}
	}
}

// A secret that begins with a star is an alias to YAML: its error must not show
// it.
func TestBrokenFileShowsNoSecret(t *testing.T) {
	t.Parallel()
	err := config.Load(&settings{}, "prog", write(t, "s.yaml", "key: *canary\n"), lookup(nil))
	if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "quotes") {
		t.Errorf("%v", err)
	}
}

func TestLoadFileFaults(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"list": "- a\n", "scalar": "hello\n", "broken": "a: [\n", "nested": "settle: {a: b}\n", "comma": "orgs: ['a,b']\n",
	} {
		if err := config.Load(&settings{}, "prog", write(t, "s.yaml", text), lookup(nil)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := config.Load(&settings{}, "prog", filepath.Join(t.TempDir(), "none.yaml"), lookup(nil)); err == nil {
		t.Error("a named file that is missing: no error")
	}
	for name, text := range map[string]string{"empty": "", "comments": "# a\n", "null": "null\n"} {
		if err := config.Load(&settings{}, "prog", write(t, "s.yaml", text), lookup(nil)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Bytes{"0": 0, "1000000": 1e6, "512KiB": 512 << 10, "10 GiB": 10 << 30, "2TB": 2e12, "7B": 7} {
		var got config.Bytes
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "1.5GiB", "9999999999TiB", "GiB"} {
		var got config.Bytes
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: %d", text, got)
		}
	}
	for text, want := range map[string]time.Duration{"7d": 168 * time.Hour, "0": 0, "1h30m": 90 * time.Minute} {
		var s settings
		if err := config.Load(&s, "prog", "", lookup(map[string]string{"SETTLE": text})); err != nil || s.Settle != want {
			t.Errorf("%s: %v, %v", text, s.Settle, err)
		}
	}
	for _, text := range []string{"d", "-1d", "3", "1.5d"} {
		if err := config.Load(&settings{}, "prog", "", lookup(map[string]string{"SETTLE": text})); err == nil || !strings.HasPrefix(err.Error(), "SETTLE: ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	t.Parallel()
	const canary = "hunter2"
	var s settings
	if err := config.Load(&s, "prog", "", lookup(map[string]string{"KEY": canary})); err != nil {
		t.Fatal(err)
	}
	if s.Key.Get() != canary {
		t.Fatal("value lost")
	}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb, s, &s, s.Key)
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(text)
	log := logging.New(logging.Config{Level: zapcore.DebugLevel, Format: logging.JSON}, &out)
	log.Info("x", zap.Any("a", s), zap.Any("b", s.Key), zap.Stringer("c", s.Key), zap.Any("d", []config.Secret{s.Key}))
	if strings.Contains(out.String(), canary) || strings.Contains(out.String(), fmt.Sprintf("%x", canary)) {
		t.Errorf("shown in:\n%s", out.String())
	}
	err = config.Load(&s, "prog", "", lookup(map[string]string{"KEY": canary, "KEY_FILE": "/nowhere", "WORKERS": "x"}))
	if err == nil || strings.Contains(err.Error(), canary) || !strings.Contains(err.Error(), "KEY: both") {
		t.Errorf("error: %v", err)
	}
}

// A file may be replaced, be written anew, or lack its value for a while: the
// last good value stays.
func TestSecretFollowsItsFile(t *testing.T) {
	t.Parallel()
	path := write(t, "key", "one\n")
	replace := func(text string) {
		if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) { // only the clock is the bubble's
		var s settings
		if err := config.Load(&s, "prog", "", lookup(map[string]string{"KEY_FILE": path})); err != nil {
			t.Fatal(err)
		}
		key := s.Key // a copy follows too
		for _, step := range []struct {
			what   string
			change func()
			want   string
			fault  string
		}{
			{"unchanged", func() {}, "one", ""},
			{"replaced", func() { replace("two\r\n\n") }, "two", ""},
			{"emptied", func() { replace("\n") }, "two", path + " is empty"},
			{"filled again", func() { replace("three") }, "three", ""},
			{"gone", func() { _ = os.Remove(path) }, "three", "no such file"},
			{"there again", func() { replace(" four ") }, " four ", ""},
		} {
			step.change()
			time.Sleep(time.Second)
			// First, as one that is in no use at the time is asked.
			if err := key.Err(); (err != nil) != (step.fault != "") || err != nil && !strings.Contains(err.Error(), step.fault) {
				t.Errorf("%s: error %v, want %q", step.what, err, step.fault)
			}
			if key.Get() != step.want || s.Key.Get() != step.want {
				t.Errorf("%s: %q and %q, want %q", step.what, key.Get(), s.Key.Get(), step.want)
			}
		}
	})
}

// An empty file counts as not set, as an empty variable does; when that is a
// fault, the fault names the file.
func TestEmptySecretFileIsNotSet(t *testing.T) {
	t.Parallel()
	file := write(t, "s.yaml", "key: from yaml\n")
	for _, empty := range []string{os.DevNull, write(t, "key", ""), write(t, "key", "\r\n\n")} {
		env := map[string]string{"KEY_FILE": empty}
		var s settings
		if err := config.Load(&s, "prog", "", lookup(env)); err != nil || s.Key.Get() != "" || s.Key.Err() != nil {
			t.Errorf("%s: %v, %q, %v", empty, err, s.Key.Get(), s.Key.Err())
		}
		err := config.Load(&settings{needKey: true}, "prog", "", lookup(env))
		if want := "KEY: must be set (KEY_FILE: " + empty + " is empty)"; err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		if err := config.Load(&s, "prog", file, lookup(env)); err != nil || s.Key.Get() != "from yaml" {
			t.Errorf("%s over a settings file: %v, %q", empty, err, s.Key.Get())
		}
		env["KEY"] = "direct"
		if err := config.Load(&s, "prog", "", lookup(env)); err != nil || s.Key.Get() != "direct" {
			t.Errorf("%s beside a value: %v, %q", empty, err, s.Key.Get())
		}
		named := write(t, "s.yaml", "key_file: "+empty+"\n")
		if err := config.Load(&settings{needKey: true}, "prog", named, lookup(nil)); err == nil || !strings.Contains(err.Error(), empty+" is empty") {
			t.Errorf("named by a settings file: %v", err)
		}
	}
	err := config.Load(&settings{}, "prog", "", lookup(map[string]string{"KEY_FILE": os.DevNull, "WORKERS": "0"}))
	if err == nil || err.Error() != "WORKERS: must be at least 1" {
		t.Errorf("a fault of another setting: %v", err)
	}
}

func TestSecretFileFaults(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{
		"missing": filepath.Join(t.TempDir(), "none"), "a folder": t.TempDir(),
		"huge": write(t, "key", strings.Repeat("x", 2<<20)),
	} {
		err := config.Load(&settings{needKey: true}, "prog", "", lookup(map[string]string{"KEY_FILE": path}))
		if err == nil || !strings.HasPrefix(err.Error(), "KEY_FILE: ") || strings.Contains(err.Error(), "must be set") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEnvironmentSecretReplacesFileSecret(t *testing.T) {
	t.Parallel()
	file := write(t, "s.yaml", "key_file: "+write(t, "key", "from the file")+"\n")
	var s settings
	if err := config.Load(&s, "prog", file, lookup(nil)); err != nil || s.Key.Get() != "from the file" {
		t.Errorf("%v, %q", err, s.Key.Get())
	}
	if err := config.Load(&s, "prog", file, lookup(map[string]string{"KEY": "direct"})); err != nil || s.Key.Get() != "direct" {
		t.Errorf("%v, %q", err, s.Key.Get())
	}
}

func TestUsageNamesEverySetting(t *testing.T) {
	t.Parallel()
	text := config.Usage(settings{})
	for _, want := range []string{"NATS_URL", "LOG_LEVEL", "SETTLE  ", "(default 3s)", "KEY_FILE"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
}

func TestParseArgs(t *testing.T) {
	t.Parallel()
	got, err := config.ParseArgs([]string{"--config", "a.yaml", "healthcheck", "--ready"})
	if diff := cmp.Diff(config.Args{File: "a.yaml", Rest: []string{"healthcheck", "--ready"}}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	got, err = config.ParseArgs([]string{"--config=b.yaml", "-h"})
	if diff := cmp.Diff(config.Args{File: "b.yaml", Help: true}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, args := range [][]string{{"--config"}, {"--config="}} {
		if _, err := config.ParseArgs(args); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
