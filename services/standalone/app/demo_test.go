package app

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"autotag/pkg/rules"
	"autotag/pkg/transcript"
	simulator "autotag/services/simulator/app"
)

// TestDemoRulesAreTheShippedOnes: whoever changes configs/rules.yaml copies it.
func TestDemoRulesAreTheShippedOnes(t *testing.T) {
	t.Parallel()
	shipped, err := os.ReadFile(filepath.Join("..", "..", "..", defaultRules))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(shipped, demoRules) {
		t.Errorf("cp %s services/standalone/app/demo_rules.yaml", defaultRules)
	}
	cfg, err := DemoConfig(func(string) (string, bool) { return "", false })
	if err != nil || cfg.Tagger.RulesFile != defaultRules {
		t.Errorf("the rules are %q: %v", cfg.Tagger.RulesFile, err)
	}
}

func TestDemoConfigIsItsOwn(t *testing.T) {
	t.Parallel()
	cfg, err := DemoConfig(func(name string) (string, bool) {
		v, ok := map[string]string{"RULES_FILE": "mine.yaml", "LOG_LEVEL": "info"}[name]
		if !ok {
			v = "nonsense"
		}
		return v, name != "LOG_FORMAT"
	})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Tagger.RulesFile != "mine.yaml" || cfg.Ingress.Log.Level.String() != "info" {
		t.Errorf("rules %q, level %v", cfg.Tagger.RulesFile, cfg.Ingress.Log.Level)
	}
	if cfg.Tagger.AccessToken.Get() != "" || cfg.Ingress.Secrets.Get() != "demo-secret" || !bool(cfg.Tagger.Apply) || cfg.Tagger.Settle != demoSettle {
		t.Error("the environment reaches the demo")
	}
}

// TestDemoTellsWrongFromRight plays one chat with rules that give its tag, and
// with rules that do not.
func TestDemoTellsWrongFromRight(t *testing.T) {
	list, err := simulator.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	list = list[:1]
	list[0].Chats = list[0].Chats[:1]
	if name := list[0].Chats[0].Name; name != "refund asked for" {
		t.Fatalf("the first chat is %q", name)
	}
	t.Setenv("TMPDIR", t.TempDir())
	for name, c := range map[string]struct {
		rules string
		limit time.Duration
		want  error
		says  []string
	}{
		"right": {"- {tag: refund, name: money, any: [money]}", demoLimit, nil, []string{`rule money, customer's message 3: "money"`, "\n1 of 1 conversation got"}},
		"wrong": {"- {tag: new, any: [money]}", demoLimit, ErrNotAsExpected, []string{"WRONG refund asked for", "EXPECTED refund BUT GOT new", "\nWRONG refund             new                refund asked for\n", "\n0 of 1 conversation got"}},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "rules.yaml")
			if err := os.WriteFile(file, []byte("version: 1\nrules:\n  "+c.rules+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, err := DemoConfig(func(name string) (string, bool) { return file, name == "RULES_FILE" })
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := (demo{cfg, list, c.limit, zap.NewNop(), &out}).run(t.Context()); !errors.Is(err, c.want) {
				t.Errorf("ends with %v", err)
			}
			for _, want := range c.says {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is not in\n%s", want, out.String())
				}
			}
		})
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestReason(t *testing.T) {
	t.Parallel()
	at := func(author transcript.Author, id, field, term string) rules.Evidence {
		return rules.Evidence{EventID: id, Author: author, Field: field, Term: term}
	}
	for want, hit := range map[string]rules.Hit{
		`rule a, no other rule matched`:                        {Tag: "a", Rule: "a"},
		`rule b, no other rule matched`:                        {Tag: "a", Rule: "b"},
		`rule a, customer's message 2: "x", "y"`:               {Tag: "a", Rule: "a", Evidence: []rules.Evidence{at("customer", "T_2", "text", "x"), at("customer", "T_2", "text", "y"), at("customer", "T_2", "text", "x")}},
		`rule a, agent's message 1: "x"; bot's message 3: "x"`: {Tag: "a", Rule: "a", Evidence: []rules.Evidence{at("agent", "T_1", "text", "x"), at("bot", "T_3", "text", "x")}},
		`rule a, customer's form: "x"`:                         {Tag: "a", Rule: "a", Evidence: []rules.Evidence{at("customer", "T_1", "answer:7:2", "x")}},
		`rule a, customer's button: "x"`:                       {Tag: "a", Rule: "a", Evidence: []rules.Evidence{at("customer", "T_1", "button", "x")}},
		`rule a, someone's message: "x"`:                       {Tag: "a", Rule: "a", Evidence: []rules.Evidence{at("", "other", "text", "x")}},
	} {
		if got := reason(hit); got != want {
			t.Errorf("%+v: %q, should be %q", hit, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"", "  "},
		{"ab cd", "  ab cd"},
		{"abcd efgh", "  abcd efgh"},
		{"abcd efgh ijkl mn", "  abcd efgh\n    ijkl mn"},
		{"abcdefghijklmnop", "  abcdefghij\n    klmnop"},
		{"äöüß äöüßä", "  äöüß äöüßä"},
		{"ab  cdefghijkl", "  ab\n    cdefghij\n    kl"},
	} {
		if got := wrapTo(12, 2, 4, c.text); got != c.want {
			t.Errorf("%q: %q, should be %q", c.text, got, c.want)
		}
	}
}
