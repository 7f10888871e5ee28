package scenario

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"autotag/services/simulator/scenarios"
)

func TestBuiltinFilesAreInOrder(t *testing.T) {
	t.Parallel()
	list, err := Load(scenarios.FS)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 8 {
		t.Errorf("only %d scenarios", len(list))
	}
}

const minimal = `chats:
  - name: one
    says: [{customer: hello}, {end: agent}]
    expect: []
`

func TestParse(t *testing.T) {
	t.Parallel()
	s, err := Parse("folder/a chat.yaml", []byte(`
note: what it shows
tags: [extra]
chats:
  - name: one
    groups: [0, 3]
    webhooks: v3.3
    order: end first
    pace: 10ms
    says:
      - customer: 404
        as: m
      - {agent: "**vip**", internal: true, markdown: true, arrives: 500ms late}
      - customer: {form: {Topic: yes, Boxes: [a, b]}}
      - bot: {buttons: [Sales]}
      - customer: {button: Sales}
      - {edit: m, to: "", after: 2s, arrives: 3 times}
      - end: router
        arrives: twice
    expect: [refund]
`))
	if err != nil {
		t.Fatal(err)
	}
	c := s.Chats[0]
	says := c.Threads[0].Says
	switch {
	case s.Name != "a chat", s.Note != "what it shows", len(s.Tags) != 1:
		t.Errorf("scenario %+v", s)
	case c.Webhooks != "3.3", c.Order != EndFirst, c.Pace != 10*time.Millisecond, c.Repeat != 1, c.Copies != 0, c.OpensWith != 1:
		t.Errorf("chat %+v", c)
	case len(says) != 7, says[0].Text != "404", says[1].Arrives.Delay != 500*time.Millisecond, !says[1].Internal, !says[1].Markdown:
		t.Errorf("steps %+v", says)
	case says[2].Form[0].Answers[0] != "yes", !says[2].Form[1].Several, says[0].After >= 0, says[5].After != 2*time.Second:
		t.Errorf("steps %+v", says)
	case says[5].Arrives.Copies != 3, says[6].Arrives.Copies != 2, says[6].Author != "router":
		t.Errorf("steps %+v", says)
	}
}

func TestFaultsHaveTheirPlace(t *testing.T) {
	t.Parallel()
	step := func(text string) string {
		return "chats:\n  - name: one\n    expect: []\n    says:\n      - {customer: hello, as: m}\n      - " + text + "\n      - end: agent\n"
	}
	for _, tc := range []struct{ name, text, want string }{
		{"empty", "", "f.yaml: the file is empty"},
		{"no YAML", "chats: [", "f.yaml: line 1: did not find expected node content"},
		{"two documents", minimal + "---\n" + minimal, "f.yaml: only one document is allowed"},
		{"a list", "- chats", "f.yaml:1:1: a scenario must be a list of keys and values"},
		{"no chats", "note: x", "f.yaml:1:1: chats is missing or empty"},
		{"unknown key", "chat: []\nchats: []", `f.yaml:1:1: unknown key "chat" in a scenario`},
		{"key twice", "note: a\nnote: b\n" + minimal, `f.yaml:2:1: key "note" stands here twice`},
		{"name twice", minimal + strings.TrimPrefix(minimal, "chats:\n"), `f.yaml:1:1: two chats have the name "one"`},
		{"no name", "chats:\n  - says: [{end: agent}]\n    expect: []", "f.yaml:2:5: a chat needs a name"},
		{"no expectation", "chats:\n  - name: one\n    says: [{end: agent}]", "f.yaml:2:5: expect is missing: the tags in the end, [] for none"},
		{"expectation is no list", "chats:\n  - name: one\n    says: [{end: agent}]\n    expect: refund", "f.yaml:4:13: expect must be a list"},
		{"no end", "chats:\n  - name: one\n    says: [{customer: hello}]\n    expect: []", `f.yaml:2:5: thread 1 of chat "one" has no ` + "`end`"},
		{"threads and says", minimal + "    threads: []\n", "f.yaml:5:14: a chat has either threads, or says and expect"},
		{"unknown order", "chats:\n  - name: one\n    order: random\n    says: [{end: agent}]\n    expect: []",
			"f.yaml:3:12: must be one of: as sent, shuffled, end first, reversed, all at once"},
		{"unknown API answer", "chats:\n  - name: one\n    api: [418]\n    says: [{end: agent}]\n    expect: []",
			"f.yaml:3:11: must be one of: 429, 429 for 1s, 500, 502, 503, 504, html, lost answer"},
		{"no copies", "chats:\n  - name: one\n    copies: 0\n    says: [{end: agent}]\n    expect: []", "f.yaml:3:13: must be a number, at least 1"},
		{"lose", "chats:\n  - name: one\n    lose: 20\n    says: [{end: agent}]\n    expect: []", "f.yaml:3:11: must be a share such as 20%"},
		{"time without unit", step("{customer: x, after: 300}"), "f.yaml:6:30: must be a time such as 300ms or 2s"},
		{"nothing to do", step("{after: 1s}"), "f.yaml:6:9: a step needs one of: customer, agent, bot, edit, delete, translate, person_tags, person_removes, transfer, joins, leaves, rates, summary, webhook, until_tagged, end"},
		{"two things", step("{customer: x, delete: m}"), "f.yaml:6:9: a step is either customer or delete"},
		{"null", step("{customer: }"), "f.yaml:6:20: must be a text"},
		{"edit without text", step("{edit: m}"), "f.yaml:6:9: edit and translate need a text in `to`, other steps have none"},
		{"edit of nothing", step("{edit: x, to: y}"), "f.yaml:6:5: no message before this has `as: x`"},
		{"same name", step("{customer: x, as: m}"), `f.yaml:6:5: two messages have the name "m"`},
		{"internal customer", step("{customer: x, internal: true}"), "f.yaml:6:9: a customer writes neither internal messages nor greetings"},
		{"internal edit", step("{edit: m, to: x, internal: true}"), "f.yaml:6:9: as, internal, markdown and greeting belong to what somebody says"},
		{"agent fills a form", step("{agent: {form: {a: b}}}"), "f.yaml:6:17: customers fill forms and press buttons, agents and bots offer them"},
		{"unknown content", step("{agent: {card: x}}"), `f.yaml:6:18: unknown key "card" in what is said`},
		{"button from nowhere", step("{customer: {button: Sales}}"), `f.yaml:6:5: no button "Sales" was offered before`},
		{"arrives", step("{customer: x, arrives: never}"), "f.yaml:6:32: " + arrivesHelp},
		{"ends twice", step("{end: agent}"), "f.yaml:7:5: the thread has already ended"},
		{"after which end", step("{end: agent, arrives: 1s after the end}"), "f.yaml:6:5: this is after the end already; give it a delay such as `2s late`"},
		{"arrival inside incoming_chat", "chats:\n  - name: one\n    opens_with: 2\n    says: [{customer: a}, {customer: b, arrives: lost}, {end: agent}]\n    expect: []",
			"f.yaml:4:5: this message comes inside incoming_chat; only the first step of it can have `arrives`"},
		{"alias", "chats:\n  - &a {name: one, says: [{end: agent}], expect: []}\n  - *a", "f.yaml:3:5: aliases are not used in scenarios"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("f.yaml", []byte(tc.text))
			if err == nil {
				t.Fatal("no error")
			}
			if first, _, _ := strings.Cut(err.Error(), "\n"); first != tc.want {
				t.Errorf("got  %s\nwant %s", first, tc.want)
			}
		})
	}
}

func TestLoadReportsAllFiles(t *testing.T) {
	t.Parallel()
	_, err := Load(fstest.MapFS{
		"a.yaml":      {Data: []byte("x: 1")},
		"sub/b.yml":   {Data: []byte("y: 1")},
		"good.yaml":   {Data: []byte(minimal)},
		"readme.text": {Data: []byte("not a scenario")},
	})
	if err == nil || !strings.Contains(err.Error(), "a.yaml:1:1") || !strings.Contains(err.Error(), "sub/b.yml:1:1") {
		t.Errorf("got %v", err)
	}
	if _, err := Load(os.DirFS("does not exist")); err == nil {
		t.Error("a missing folder is no error")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	entries, err := scenarios.FS.ReadDir(".")
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range entries {
		text, err := scenarios.FS.ReadFile(e.Name())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse("f.yaml", text)
		if err != nil {
			return
		}
		for _, c := range s.Chats {
			if c.Name == "" || len(c.Threads) == 0 || c.Repeat < 1 || c.Copies < 0 {
				t.Errorf("accepted %+v", c)
			}
		}
	})
}

func TestExampleOfTheReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```yaml\n")
	example, _, found := strings.Cut(example, "```")
	if !found {
		t.Fatal("no example in README.md")
	}
	if s, err := Parse("README.md", []byte(example)); err != nil || len(s.Chats) != 1 {
		t.Errorf("%v, %+v", err, s)
	}
}
