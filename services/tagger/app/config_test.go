package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"autotag/services/tagger/internal/tagging"
)

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	c, err := LoadConfig("", lookup(map[string]string{"LIVECHAT_ACCESS_TOKEN": "dal:abc"}))
	must(t, err)
	if c.AdminAddr != ":9090" || c.RulesFile != "configs/rules.yaml" || c.Settle != 3*time.Second ||
		c.ChatTTL != 7*24*time.Hour || !bool(c.Apply) || tagging.Reconcile(c.Reconcile) != tagging.ReconcileAuto ||
		c.APIRate != 5 || c.APIConcurrency != 16 || c.SweepEvery != time.Hour || c.Organizations != nil {
		t.Errorf("defaults %+v", c)
	}
}

func TestConfigFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tagger.yaml")
	must(t, os.WriteFile(file, []byte("apply: \"off\"\nsettle: 10s\nreconcile: never\nlivechat_organization: [a, b]\n"), 0o600))
	c, err := LoadConfig(file, lookup(map[string]string{"SETTLE": "5s"}))
	must(t, err)
	if bool(c.Apply) || c.Settle != 5*time.Second || tagging.Reconcile(c.Reconcile) != tagging.ReconcileNever || len(c.Organizations) != 2 {
		t.Errorf("settings %+v", c)
	}
}

func TestConfigFaults(t *testing.T) {
	t.Parallel()
	for setting, value := range map[string]string{
		"ADMIN_ADDR": "9090", "REDIS_URL": "http://x", "CHAT_TTL": "1s", "SETTLE": "0s", "SWEEP_EVERY": "-1h",
		"LIVECHAT_API_URL": "api.livechatinc.com", "LIVECHAT_API_VERSION": "latest", "LIVECHAT_PAT": "x",
		"LIVECHAT_ACCOUNT_ID": "x", "LIVECHAT_ORGANIZATION": "a b", "API_RATE": "0", "API_CONCURRENCY": "0",
		"EVENTS_MAX_AGE": "0s", "NATS_REPLICAS": "2", "APPLY": "yes", "RECONCILE": "sometimes", "LOG_LEVEL": "loud",
		"LIVECHAT_PAT_FILE": "/nowhere", "EVENTS_MAX_BYTES": "much",
	} {
		env := map[string]string{"LIVECHAT_ACCESS_TOKEN": "dal:abc", setting: value}
		_, err := LoadConfig("", lookup(env))
		name := strings.TrimSuffix(setting, "_FILE")
		if name == "LIVECHAT_PAT" && setting == name || setting == "LIVECHAT_ACCOUNT_ID" {
			name = "LIVECHAT_ACCESS_TOKEN" // both ways at once
		}
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v", setting, value, err)
		}
	}
	_, err := LoadConfig("", lookup(nil))
	if err == nil || strings.Count(err.Error(), "\n") != 0 || !strings.Contains(err.Error(), "LIVECHAT_PAT") {
		t.Errorf("no token at all: %v", err)
	}
	_, err = LoadConfig("", lookup(map[string]string{"LIVECHAT_PAT": "x"}))
	if err == nil || !strings.Contains(err.Error(), "LIVECHAT_ACCOUNT_ID") {
		t.Errorf("a PAT without its account: %v", err)
	}
}
