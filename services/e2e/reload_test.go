//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"autotag/pkg/livechat/livechattest"
	"autotag/pkg/stream"
)

// reloadLimit is how soon a changed rules file is in force on a machine that has
// nothing else to do.
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

// hellos makes n chats that get the tag of oneRule.
func (w *world) hellos(n int) []*chat {
	chats := make([]*chat, n)
	for i := range chats {
		chats[i] = &chat{w: w, what: "hello"}
		chats[i].start(livechattest.Chat{}, "hello")
		chats[i].did(w.platform.Deactivate(chats[i].thread, agent))
	}
	return chats
}

// decidedBy gives, by thread, the version of the rules that its newest decision
// was made with.
func (w *world) decidedBy() map[string]string {
	w.t.Helper()
	by := map[string]string{}
	for _, m := range w.messages(stream.Decisions) {
		if !strings.HasPrefix(m.Subject, "autotag.decision.") {
			continue
		}
		var record struct {
			Thread  string `json:"thread_id"`
			Version string `json:"rules_version"`
		}
		if err := json.Unmarshal(m.Data, &record); err != nil {
			w.t.Fatal(err)
		}
		by[record.Thread] = record.Version
	}
	return by
}

// Whatever is done to the rules file while chats are decided: each gets the tag
// of the rules that were in force when it was decided, and no other.
func TestRulesAreEdited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec{ingresses: 1, taggers: 2})
	w.createTags(append(tags, "zero", "one", "two", "three")...)
	tagOf := map[string]string{} // by version
	now := ""                    // the version in force

	// during sends chats, does what edit does, and sees that the chats get the
	// tags of the rules before or after it; those that come later, the latter's.
	during := func(edit func()) {
		t.Helper()
		before := now
		chats := w.hellos(40)
		wait := w.sendBeside(hooks(chats))
		edit()
		wait()
		w.drain()
		by, count := w.decidedBy(), map[string]int{}
		for _, c := range chats {
			v := by[c.thread]
			if v != before && v != now {
				t.Errorf("thread %s is decided by version %q; before the edit it was %s, then %s", c.thread, v, before, now)
			}
			count[tagOf[v]]++
			c.expect(tagOf[v])
		}
		later := w.hellos(5)
		for _, c := range later {
			c.expect(tagOf[now])
		}
		w.sendAll(hooks(later))
		w.check(expectations(slices.Concat(chats, later)))
		t.Logf("tags during the edit: %v", count)
	}
	change := func(tag string, write func(text string)) {
		t.Helper()
		during(func() {
			write(fmt.Sprintf(oneRule, tag))
			start := time.Now()
			for _, p := range w.tagger {
				eventually(t, patience, func() error {
					if v := version(p); v == now {
						return fmt.Errorf("the old rules are in force in %s", p.name)
					}
					return valid(p, 1)
				})
			}
			t.Logf("in force after %v; on an idle machine it is within %v", time.Since(start).Round(100*time.Millisecond), reloadLimit)
			now = version(w.tagger[0])
			tagOf[now] = tag
		})
		for _, p := range w.tagger {
			if v := version(p); v != now {
				t.Errorf("%s has version %s in force, another %s", p.name, v, now)
			}
		}
	}
	broken := func(says string, write func()) {
		t.Helper()
		const line = "the rules file cannot be used"
		logged := map[*process]int{}
		for _, p := range w.tagger {
			logged[p] = len(p.grep(line))
		}
		during(func() {
			write()
			for _, p := range w.tagger {
				eventually(t, patience, func() error { return valid(p, 0) })
				status, body, err := p.ask("/readyz")
				if err != nil || status != http.StatusOK || !strings.Contains(body, says) || !strings.Contains(body, "older rules are in force") {
					t.Errorf("%s: /readyz answers %d %v: %s", p.name, status, err, body)
				}
			}
		})
		for _, p := range w.tagger {
			if got := version(p); got != now {
				t.Errorf("%s: the rules went from %s to %s", p.name, now, got)
			}
			if err := valid(p, 0); err != nil {
				t.Error(err)
			}
			fresh := p.grep(line)[logged[p]:]
			if !slices.ContainsFunc(fresh, func(l string) bool { return strings.Contains(l, says) }) {
				t.Errorf("%s logs nothing of a broken file: %v", p.name, fresh)
			}
		}
	}
	inPlace := func(text string) {
		t.Helper()
		if err := os.WriteFile(w.rules, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	now = version(w.tagger[0])
	tagOf[now] = "unsorted"
	change("zero", w.writeRules)
	old := w.hellos(1)[0].expect("zero")
	w.sendAll(hooks([]*chat{old}))
	change("one", w.writeRules)
	broken("wihtin", func() { inPlace(fmt.Sprintf(oneRule, "two") + "    wihtin: message\n") })
	change("two", inPlace)
	broken("no such file", func() {
		if err := os.Remove(w.rules); err != nil {
			t.Fatal(err)
		}
	})
	change("three", w.writeRules)

	// A change decides nothing anew; what people do later is decided by the rules
	// of its day.
	w.check(old.expected)
	late := &chat{w: w, what: "decided by other rules before", id: old.id, thread: old.thread}
	late.says(customer, "hello again")
	w.sendAll(hooks([]*chat{late.expect("three")}))
	w.check(late.expected)
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
	eventually(t, patience, func() error {
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
	w.check(expectations([]*chat{c}))
}
