package logging_test

import (
	"encoding/json"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"autotag/pkg/logging"
)

func TestNew(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	log := logging.New(logging.Config{Level: zapcore.InfoLevel, Format: logging.JSON}, &out)
	log.Debug("hidden")
	log.Info("shown", zap.String(logging.Chat, "C1"))
	var line map[string]any
	if err := json.Unmarshal([]byte(out.String()), &line); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if line["msg"] != "shown" || line["chat_id"] != "C1" || line["level"] != "info" || line["time"] == nil {
		t.Errorf("%v", line)
	}
	out.Reset()
	logging.New(logging.Config{Format: logging.Console}, &out).Info("shown")
	if !strings.Contains(out.String(), "INFO\tshown") {
		t.Errorf("%q", out.String())
	}
}

func TestFloodIsSampled(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	log := logging.New(logging.Config{Level: zapcore.InfoLevel}, &out)
	for range 10_000 {
		log.Warn("refused")
	}
	if n := strings.Count(out.String(), "\n"); n > 2000 {
		t.Errorf("%d lines", n)
	}
}
