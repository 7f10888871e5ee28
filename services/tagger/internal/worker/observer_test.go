package worker

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"autotag/pkg/decision"
	"autotag/services/tagger/internal/tagging"
)

func TestObserver(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.DebugLevel)
	m := NewMetrics(prometheus.NewRegistry())
	o := NewObserver(m, zap.New(core))
	o.Decided(key, decision.Record{Reason: decision.ReasonEnded}, true)
	o.Called(key, "tag_thread", "")
	o.Called(key, "tag_thread", "some_new_error")
	o.Called(key, "tag_thread", "another_new_error")
	o.Tagged(key, decision.Call{Op: decision.Tag, Tag: "a", State: decision.Done})
	o.Dead(key, "apply", "unknown_tag")
	for what, c := range map[string]struct {
		counter prometheus.Counter
		want    float64
	}{
		"decisions":     {m.decisions.WithLabelValues("ended"), 1},
		"calls":         {m.calls.WithLabelValues("tag_thread", "ok"), 1},
		"unknown calls": {m.calls.WithLabelValues("tag_thread", "other"), 2},
		"tags":          {m.tags.WithLabelValues("tag", "ok"), 1},
		"dead":          {m.dead.WithLabelValues("apply", "unknown_tag"), 1},
	} {
		if got := testutil.ToFloat64(c.counter); got != c.want {
			t.Errorf("%s: %v, want %v", what, got, c.want)
		}
	}
	if n := logs.FilterLevelExact(zapcore.InfoLevel).Len(); n != 1 {
		t.Errorf("%d lines for one decided thread", n)
	}
}

func TestPausesAreToldOnce(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.DebugLevel)
	m := NewMetrics(prometheus.NewRegistry())
	o := NewObserver(m, zap.New(core))
	later := time.Now().Add(time.Hour)
	for range 3 {
		o.Paused("org1", "authentication", later)
	}
	o.Paused("org2", "service_unavailable", later)
	if n := testutil.ToFloat64(m.callsPaused); n != 2 {
		t.Errorf("%v organizations wait", n)
	}
	if n := o.Notice(); !strings.Contains(n, "org1") || !strings.Contains(n, "org2") {
		t.Errorf("notice %q", n)
	}
	o.Paused("org1", "", time.Time{})
	o.Paused("org2", "", time.Time{})
	o.Paused("org2", "", time.Time{})
	if n := o.Notice(); n != "" {
		t.Errorf("notice %q", n)
	}
	for level, want := range map[zapcore.Level]int{zapcore.ErrorLevel: 1, zapcore.WarnLevel: 1, zapcore.InfoLevel: 2} {
		if n := logs.FilterLevelExact(level).Len(); n != want {
			t.Errorf("%d lines of level %v, want %d", n, level, want)
		}
	}
}

type quietLimits struct{ tagging.Limits }

func (quietLimits) Refused(context.Context, string, string) error      { return nil }
func (quietLimits) Accepted(context.Context, string, string) error     { return nil }
func (quietLimits) GapsHarmless(context.Context, string) (bool, error) { return true, nil }

func TestUnknownTagsAreToldOnce(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.DebugLevel)
	m := NewMetrics(prometheus.NewRegistry())
	o := NewObserver(m, zap.New(core))
	l := o.Limits(quietLimits{})
	for range 3 {
		_ = l.Refused(t.Context(), "org1", "spam")
	}
	if n := logs.FilterLevelExact(zapcore.ErrorLevel).Len(); n != 1 || !strings.Contains(o.Notice(), "spam") {
		t.Errorf("%d alarms, notice %q", n, o.Notice())
	}
	_ = l.Accepted(t.Context(), "org1", "spam")
	if o.Notice() != "" {
		t.Errorf("notice %q", o.Notice())
	}
	if _, err := l.GapsHarmless(t.Context(), "org1"); err != nil || testutil.ToFloat64(m.gapsIgnored) != 1 {
		t.Error("an ignored gap is not counted")
	}
}

// TestTwoProgramsOneRegistry: the ingress counts dead letters too.
func TestTwoProgramsOneRegistry(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	other := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "autotag_dead_letters_total", Help: "Messages stored in AUTOTAG_DEAD by stage and reason.",
	}, []string{"stage", "reason"})
	reg.MustRegister(other)
	NewMetrics(reg).dead.WithLabelValues("apply", "validation").Inc()
	if n := testutil.ToFloat64(other.WithLabelValues("apply", "validation")); n != 1 {
		t.Errorf("counted %v", n)
	}
}
