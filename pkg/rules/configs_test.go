package rules

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const configs = "../../configs/"

func readConfig(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(configs + name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// runTests runs a file of tests, about which there must be nothing to say.
func runTests(t *testing.T, set *Set, data []byte) {
	t.Helper()
	tests, ps := ParseTests("rules_test.yaml", data, set)
	if len(ps) > 0 {
		t.Fatalf("tests:\n%s\n%s", data, ps)
	}
	for _, c := range tests.Cases {
		if missing, extra := c.Run(set); len(missing)+len(extra) > 0 {
			t.Errorf("%s, line %d: missing %q, extra %q", c.Name, c.Line, missing, extra)
		}
	}
}

// The rules that come with the program are in order, without a warning, and do
// what their tests say.
func TestShippedRules(t *testing.T) {
	t.Parallel()
	set, ps := Parse("rules.yaml", readConfig(t, "rules.yaml"))
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	runTests(t, set, readConfig(t, "rules_test.yaml"))
}

var (
	fence    = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")
	tableRow = regexp.MustCompile("(?m)^\\| (`.*) \\|(.*)\\|(.*)\\|$")
	codeSpan = regexp.MustCompile("`([^`]+)`")
)

// The blocks of the page for people who write rules say the truth: rules are in
// order, or have the problems of the text that follows them; tests hold for the
// rules before them.
func TestReadmeBlocks(t *testing.T) {
	t.Parallel()
	blocks := fence.FindAllStringSubmatch(string(readConfig(t, "README.md")), -1)
	if len(blocks) < 10 {
		t.Fatalf("%d blocks", len(blocks))
	}
	var set *Set
	for i, block := range blocks {
		language, text := block[1], block[2]
		switch {
		case language == "text": // belongs to the block before it
		case strings.HasPrefix(text, "version:"):
			want := ""
			if i+1 < len(blocks) && blocks[i+1][1] == "text" {
				want = blocks[i+1][2]
			}
			var ps Problems
			set, ps = Parse("rules.yaml", []byte(text))
			if diff := cmp.Diff(want, ps.String()); diff != "" {
				t.Errorf("problems of\n%s\ndiffer (-want +got):\n%s", text, diff)
			}
		case strings.HasPrefix(text, "tests:") && set != nil:
			runTests(t, set, []byte(text))
		default:
			t.Errorf("neither rules nor tests for the rules before it:\n%s", text)
		}
	}
}

// So do its tables of what a text finds.
func TestReadmeTables(t *testing.T) {
	t.Parallel()
	_, section, ok := strings.Cut(string(readConfig(t, "README.md")), "\n## What a text finds\n")
	if !ok {
		t.Fatal("no section of tables")
	}
	rows := tableRow.FindAllStringSubmatch(section, -1)
	if tables := strings.Count(section, "\n| in a rule | finds | does not find |\n"); tables < 10 || len(rows) < 4*tables/2 {
		t.Fatalf("%d tables, %d rows", tables, len(rows))
	}
	if lines := strings.Count(section, "\n| `"); lines != len(rows) {
		t.Fatalf("%d of %d rows are read", len(rows), lines)
	}
	for _, row := range rows {
		term := codeSpan.FindStringSubmatch(row[1])[1]
		set, ps := Parse("rules.yaml", []byte("version: 1\n"+termRule(term)))
		if len(ps) > 0 {
			t.Errorf("%s: %s", term, ps)
			continue
		}
		finds := codeSpan.FindAllStringSubmatch(row[2], -1)
		if len(finds) == 0 {
			t.Errorf("%s finds nothing", term)
		}
		for _, text := range finds {
			if len(set.Match(chat("c: "+text[1])).Tags) == 0 {
				t.Errorf("%s is not found in %q", term, text[1])
			}
		}
		for _, text := range codeSpan.FindAllStringSubmatch(row[3], -1) {
			if len(set.Match(chat("c: "+text[1])).Tags) != 0 {
				t.Errorf("%s is found in %q", term, text[1])
			}
		}
	}
}
