package worker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

const (
	rulesOne = "version: 1\nrules:\n  - tag: one\n    any: [one]\n"
	rulesTwo = "version: 1\nrules:\n  - tag: two\n    any: [two]\n"
)

func newRules(t *testing.T, l *Log, text string) *Rules {
	t.Helper()
	r := NewRules(filepath.Join(t.TempDir(), "rules.yaml"), l.nc, l.js, NewMetrics(prometheus.NewRegistry()), zap.NewNop())
	r.write(t, text)
	return r
}

func (r *Rules) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// twice is what two seconds bring.
func (r *Rules) twice(t *testing.T) {
	r.look(t.Context())
	r.look(t.Context())
}

func (r *Rules) tag() string {
	set, _ := r.Current()
	if set == nil {
		return ""
	}
	return set.Rules[0].Tag
}

func TestRulesAreTakenWhenSteady(t *testing.T) {
	t.Parallel()
	r := newRules(t, newLog(t), rulesOne)
	ctx := t.Context()
	if r.look(ctx); r.tag() != "" || r.Ready(ctx) == nil {
		t.Error("taken at first sight")
	}
	if r.look(ctx); r.tag() != "one" || r.Ready(ctx) != nil {
		t.Errorf("rules of %q, %v", r.tag(), r.Ready(ctx))
	}
	<-r.Loaded()
	r.write(t, rulesTwo[:20]) // half written
	r.look(ctx)
	r.write(t, rulesTwo)
	if r.look(ctx); r.Notice() != "" {
		t.Errorf("the half-written file was judged: %s", r.Notice())
	}
	if r.look(ctx); r.tag() != "two" {
		t.Errorf("rules of %q", r.tag())
	}
	r.write(t, "rules: nonsense")
	r.twice(t)
	if r.tag() != "two" || !strings.Contains(r.Notice(), "older rules are in force") || r.Ready(ctx) != nil {
		t.Errorf("rules of %q, notice %q, %v", r.tag(), r.Notice(), r.Ready(ctx))
	}
	r.write(t, rulesTwo)
	if r.twice(t); r.Notice() != "" {
		t.Errorf("notice %q", r.Notice())
	}
}

func TestOrderOfRules(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	ctx := t.Context()
	a, b := newRules(t, l, rulesOne), newRules(t, l, rulesOne)
	a.twice(t)
	b.twice(t)
	set, first := a.Current()
	if _, same := b.Current(); first == 0 || same != first {
		t.Errorf("two workers with one file: %d and %d", first, same)
	}
	b.write(t, rulesTwo)
	b.twice(t)
	next, second := b.Current()
	if second <= first {
		t.Errorf("the newer rules have place %d after %d", second, first)
	}
	if n, err := a.Order(ctx, next.Version); n != second || err != nil {
		t.Errorf("order %d, %v, want %d", n, err, second)
	}
	for _, unknown := range []string{"never-loaded", "", "not a key"} {
		if n, err := a.Order(ctx, unknown); n != 0 || err != nil {
			t.Errorf("order of %q: %d, %v", unknown, n, err)
		}
	}
	// a meets a record of b's rules.
	if a.Behind() {
		t.Error("decides at once over newer rules")
	}
	if err := a.Ready(ctx); err == nil {
		t.Error("ready although behind")
	}
	a.mu.Lock()
	a.behind = a.behind.Add(-behindLimit)
	a.mu.Unlock()
	if !a.Behind() {
		t.Error("waits for ever")
	}
	// b goes back to the older file, which makes it the newest.
	b.write(t, rulesOne)
	b.twice(t)
	a.look(ctx)
	if _, n := a.Current(); n <= second || a.Ready(ctx) != nil {
		t.Errorf("place %d after %d, %v", n, second, a.Ready(ctx))
	}
	if again, _ := a.Current(); again != set {
		t.Error("the rules were loaded again")
	}
}

func TestRulesWithoutTheBucket(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	ctx := t.Context()
	bucket := "KV_AUTOTAG_RULES"
	config, err := l.js.Stream(ctx, bucket)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.js.DeleteStream(ctx, bucket); err != nil {
		t.Fatal(err)
	}
	r := newRules(t, l, rulesOne)
	r.twice(t)
	if _, order := r.Current(); r.tag() != "one" || order != 0 || r.Notice() == "" || r.Ready(ctx) != nil {
		t.Errorf("rules of %q, order %d, notice %q, %v", r.tag(), order, r.Notice(), r.Ready(ctx))
	}
	if _, err := l.js.CreateStream(ctx, config.CachedInfo().Config); err != nil {
		t.Fatal(err)
	}
	r.look(ctx)
	if _, order := r.Current(); order == 0 || r.Notice() != "" {
		t.Errorf("order %d, notice %q", order, r.Notice())
	}
}
