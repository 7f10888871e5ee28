//go:build unix

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"autotag/pkg/livechat/livechattest"
)

// reloadLimit is how soon a changed rules file is in force.
const reloadLimit = 5 * time.Second

const oneRule = "version: 1\nrules:\n  - tag: %s\n    any: [hello]\n"

// valid compares autotag_rules_valid of a tagger.
func valid(p *process, want float64) error {
	if got, ok := p.metric("autotag_rules_valid"); !ok || got != want {
		return fmt.Errorf("autotag_rules_valid of %s is %v", p.name, got)
	}
	return nil
}

// version gives the version of the rules that a tagger has in force.
func version(p *process) string {
	_, body, err := p.ask("/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(body, `autotag_rules_info{version="`)
	v, _, _ := strings.Cut(rest, `"`)
	return v
}

// tagged plays a chat and checks its tag.
func (w *world) tagged(tag string) {
	w.t.Helper()
	c := &chat{w: w, what: "after a change of the rules"}
	c.start(livechattest.Chat{}, "hello").ends(tag)
	w.sendAll(hooks([]*chat{c}))
	w.check(20*time.Second, expectations([]*chat{c}))
}

func TestRulesAreEdited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec{ingresses: 1, taggers: 2})
	w.createTags("one", "two", "three")
	change := func(write func()) {
		t.Helper()
		before := version(w.tagger[0])
		write()
		start := time.Now()
		eventually(t, reloadLimit, func() error {
			for _, p := range w.tagger {
				if version(p) == before {
					return errors.New("the old rules are in force")
				}
			}
			return nil
		})
		t.Logf("in force after %v", time.Since(start).Round(100*time.Millisecond))
	}
	inPlace := func(text string) {
		t.Helper()
		if err := os.WriteFile(w.rules, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	broken := func(write func(), says string) {
		t.Helper()
		before := version(w.tagger[0])
		write()
		for _, p := range w.tagger {
			eventually(t, reloadLimit, func() error { return valid(p, 0) })
			status, body, err := p.ask("/readyz")
			if err != nil || status != http.StatusOK || !strings.Contains(body, says) || !strings.Contains(body, "older rules are in force") {
				t.Errorf("%s: /readyz answers %d %v: %s", p.name, status, err, body)
			}
			if got := version(p); got != before {
				t.Errorf("%s: the rules went from %s to %s", p.name, before, got)
			}
			if len(p.grep("the rules file cannot be used")) == 0 {
				t.Errorf("%s logs nothing of a broken file", p.name)
			}
		}
	}

	change(func() { w.writeRules(fmt.Sprintf(oneRule, "one")) })
	w.tagged("one")
	broken(func() { inPlace(fmt.Sprintf(oneRule, "two") + "    wihtin: message\n") }, "wihtin")
	w.tagged("one")
	change(func() { inPlace(fmt.Sprintf(oneRule, "two")) })
	for _, p := range w.tagger {
		if err := valid(p, 1); err != nil {
			t.Error(err)
		}
	}
	w.tagged("two")
	broken(func() {
		if err := os.Remove(w.rules); err != nil {
			t.Fatal(err)
		}
	}, "no such file")
	w.tagged("two")
	change(func() { w.writeRules(fmt.Sprintf(oneRule, "three")) })
	w.tagged("three")
}

// A tagger whose rules are faulty from the start lives, is not ready and takes
// nothing; what waited is tagged once the file is good.
func TestRulesAreBrokenAtTheStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec{ingresses: 1})
	w.createTags("one")
	w.writeRules("version: 1\nrules:\n  - tag: \"\"\n    any: [hello]\n")
	p := newProcess(t, "tagger 1", "tagger", w.taggerEnv())
	w.tagger = append(w.tagger, p)
	p.start()
	eventually(t, 20*time.Second, func() error {
		status, body, err := p.ask("/readyz")
		if err == nil && (status != http.StatusServiceUnavailable || !strings.Contains(body, "rules.yaml:3")) {
			err = fmt.Errorf("/readyz answers %d %s", status, body)
		}
		return err
	})
	if status, _, err := p.ask("/healthz"); err != nil || status != http.StatusOK {
		t.Errorf("/healthz answers %d %v", status, err)
	}
	if err := valid(p, 0); err != nil {
		t.Error(err)
	}
	c := &chat{w: w, what: "waits for the rules"}
	c.start(livechattest.Chat{}, "hello").ends("one")
	w.sendAll(hooks([]*chat{c}))
	w.writeRules(fmt.Sprintf(oneRule, "one"))
	p.awaitReady()
	w.check(30*time.Second, expectations([]*chat{c}))
}
