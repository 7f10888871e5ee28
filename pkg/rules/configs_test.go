package rules

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	yaml "go.yaml.in/yaml/v3"
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

// shipped reads the rules that come with the program and their tests, about
// which there is nothing to say, not even a warning.
func shipped(t *testing.T) (*Set, *Tests) {
	t.Helper()
	set, ps := Parse("rules.yaml", readConfig(t, "rules.yaml"))
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	tests, ps := ParseTests("rules_test.yaml", readConfig(t, "rules_test.yaml"), set)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	return set, tests
}

// The rules that come with the program do what their tests say.
func TestShippedRules(t *testing.T) {
	t.Parallel()
	set, _ := shipped(t)
	if n := len(set.Rules); n < 12 || n > 20 {
		t.Errorf("%d rules are not a file to start from", n)
	}
	runTests(t, set, readConfig(t, "rules_test.yaml"))
}

// Each of them gives its tag in a test. Another test has its words too and gets
// nothing from it, because of its conditions: the words are from the wrong side,
// in another group or place, or beside words of its none.
func TestShippedRulesHaveTestsForAndAgainst(t *testing.T) {
	t.Parallel()
	set, tests := shipped(t)
	results := make([]Result, len(tests.Cases))
	for i, c := range tests.Cases {
		results[i] = set.Match(c.Chat)
	}
	for i, rule := range set.Rules {
		loose := edited(t, "rules.yaml", func(root *yaml.Node) {
			rules := child(root, "rules")
			rules.Content = []*yaml.Node{rules.Content[i]}
			drop(root, "defaults")
			loosen(root)
			if !rule.Fallback {
				var internal yaml.Node
				if err := internal.Encode(map[string]bool{"internal": true}); err != nil {
					t.Fatal(err)
				}
				rules.Content[0].Content = append(rules.Content[0].Content, internal.Content...)
			}
		})
		if loose == nil {
			t.Fatalf("rule %s cannot be loosened", rule.Name)
		}
		given, nearly := false, false
		for i, c := range tests.Cases {
			hit := slices.ContainsFunc(slices.Concat(results[i].Tags, results[i].Shadow), func(h Hit) bool { return h.Rule == rule.Name })
			given = given || hit
			nearly = nearly || !hit && len(loose.Match(c.Chat).Tags) > 0
		}
		if !given && rule.Status != Off {
			t.Errorf("no test gets its tag from rule %s", rule.Name)
		}
		if !nearly {
			t.Errorf("no test shows where rule %s nearly applies and does not", rule.Name)
		}
	}
}

// conditions are the keys that make a rule apply less, or elsewhere.
var conditions = []string{"from", "within", "status", "set", "groups", "unless_tagged", "internal", "none", "case", "accents", "min", "first", "last"}

// loosen removes all conditions from a tree of rules, so that words alone decide.
func loosen(n *yaml.Node) {
	for _, key := range conditions {
		drop(n, key)
	}
	for _, c := range n.Content {
		loosen(c)
	}
}

// Nothing in the file is idle: without any one rule, condition, veto or group
// some test fails. TestShippedTestsAreThorough says so of single words.
func TestShippedRulesAreAllNeeded(t *testing.T) {
	t.Parallel()
	_, tests := shipped(t)
	edits, start := 0, 0
	check := func(n *yaml.Node, what string, set *Set) {
		if set == nil {
			return // the rest is no valid file, so it was needed
		}
		edits++
		// The tests stand in the order of the rules: the one that fails is near
		// the one that failed for the edit before.
		const near = 10
		for i := range tests.Cases {
			i = (start + i) % len(tests.Cases)
			if missing, extra := tests.Cases[i].Run(set); len(missing)+len(extra) > 0 {
				start = max(0, i-near)
				return
			}
		}
		t.Errorf("rules.yaml:%d:%d: no test fails without this %s", n.Line, n.Column, what)
	}
	// The tree is read anew for each edit, and a path leads to the same place.
	var walk func(n *yaml.Node, path []int, in string, off bool)
	walk = func(n *yaml.Node, path []int, in string, off bool) {
		for i, c := range n.Content {
			path := append(slices.Clone(path), i)
			if in == "rules" && n.Kind == yaml.SequenceNode {
				status := child(c, "status")
				off = status != nil && status.Value == string(Off)
			}
			switch {
			case n.Kind == yaml.MappingNode && i%2 == 0 && slices.Contains(conditions, c.Value):
				check(c, c.Value, edited(t, "rules.yaml", func(root *yaml.Node) { drop(at(root, path[:len(path)-1]), c.Value) }))
			case n.Kind == yaml.SequenceNode && !off && (in == "all" || in == "none" || c.Kind == yaml.MappingNode): // a rule that is off gives nothing: of it, its status is needed
				check(c, "entry of "+in, edited(t, "rules.yaml", func(root *yaml.Node) {
					parent := at(root, path[:len(path)-1])
					parent.Content = slices.Delete(parent.Content, i, i+1)
				}))
			}
			key := in
			if n.Kind == yaml.MappingNode && i%2 == 1 {
				key = n.Content[i-1].Value
			}
			walk(c, path, key, off)
		}
	}
	walk(tree(t, "rules.yaml"), nil, "", false)
	if edits < 100 {
		t.Errorf("only %d edits left a valid file", edits)
	}
}

// The two files show each feature of the language, so that it can be copied.
func TestShippedFilesShowEveryFeature(t *testing.T) {
	t.Parallel()
	shown := map[string]bool{}
	var walk func(n *yaml.Node, in string)
	walk = func(n *yaml.Node, in string) {
		if n.Kind == yaml.ScalarNode {
			shown[in+" "+n.Value] = true
		}
		for i, c := range n.Content {
			key := in
			if n.Kind == yaml.MappingNode {
				key = n.Content[i-i%2].Value
				shown[key] = true
			}
			if i%2 == 1 || n.Kind != yaml.MappingNode {
				walk(c, key)
			}
		}
	}
	walk(tree(t, "rules.yaml"), "")
	walk(tree(t, "rules_test.yaml"), "")
	wanted := slices.Concat(fileKeys, ruleKeys, kindKeys, testFileKeys, caseKeys, messageKeys, contentKeys,
		[]string{"case exact", "accents exact", "status shadow", "status off"})
	for _, value := range fromValues {
		wanted = append(wanted, "from "+value)
	}
	for _, value := range withinValues {
		wanted = append(wanted, "within "+value)
	}
	for _, feature := range wanted {
		if !shown[feature] {
			t.Errorf("%s is not shown", feature)
		}
	}

	set, _ := shipped(t)
	var terms []*Term
	var add func(t *Term)
	add = func(t *Term) {
		terms = append(terms, t)
		for _, inner := range slices.Concat(t.Any, t.All, t.None, t.Entries) {
			add(inner)
		}
	}
	tags := map[string]int{}
	for _, r := range set.Rules {
		add(&r.Body)
		tags[r.Tag]++
	}
	literal := func(like string) func(*Term) bool {
		pattern := regexp.MustCompile(like)
		return func(t *Term) bool { return t.Kind == Literal && pattern.MatchString(t.Text) }
	}
	for what, is := range map[string]func(*Term) bool{
		"a word":                literal(`^\w+$`),
		"a beginning of a word": literal(`^\w+\*$`),
		"a phrase":              literal(`^\w+ \w+$`),
		"a beginning, phrased":  literal(`\* | \w+\*$`),
		"an apostrophe":         literal(`'`),
		"other than English":    literal(`[^\x00-\x7f]`),
		"a gap":                 func(t *Term) bool { return t.Kind == Canned && placeholder.MatchString(t.Text) },
		"a list in a list": func(t *Term) bool {
			return t.Kind == List && slices.ContainsFunc(t.Entries, func(e *Term) bool { return e.Kind == List })
		},
		"a group with a veto in a group": func(t *Term) bool {
			return t.Kind == Group && slices.ContainsFunc(t.Any, func(e *Term) bool { return e.Kind == Group && len(e.None) > 0 })
		},
		"any in all in any": func(t *Term) bool {
			return slices.ContainsFunc(t.Any, func(e *Term) bool {
				return slices.ContainsFunc(e.All, func(e *Term) bool { return len(e.Any) > 0 })
			})
		},
	} {
		if !slices.ContainsFunc(terms, is) {
			t.Errorf("%s is not shown", what)
		}
	}
	if len(tags) == len(set.Rules) {
		t.Error("two rules for one tag are not shown")
	}
}

// tree reads a YAML file as it is written.
func tree(t *testing.T, name string) *yaml.Node {
	t.Helper()
	var document yaml.Node
	if err := yaml.Unmarshal(readConfig(t, name), &document); err != nil {
		t.Fatal(err)
	}
	return document.Content[0]
}

// edited gives the rules of a file after an edit, nil when it has faults now.
func edited(t *testing.T, name string, edit func(root *yaml.Node)) *Set {
	t.Helper()
	root := tree(t, name)
	edit(root)
	data, err := yaml.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	set, _ := Parse(name, data)
	return set
}

// at follows a path of indexes.
func at(n *yaml.Node, path []int) *yaml.Node {
	for _, i := range path {
		n = n.Content[i]
	}
	return n
}

// child gives the value of a key, nil when there is none.
func child(n *yaml.Node, key string) *yaml.Node {
	if n.Kind == yaml.MappingNode {
		for i := 0; i < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i+1]
			}
		}
	}
	return nil
}

// drop removes a key with its value.
func drop(n *yaml.Node, key string) {
	if n.Kind == yaml.MappingNode {
		for i := 0; i < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				n.Content = slices.Delete(n.Content, i, i+2)
				return
			}
		}
	}
}

var (
	fence       = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	readmeTable = regexp.MustCompile("(?m)^(\\|.*\\|)\n\\|[- |]+\\|\n((?:\\|.*\\|\n)+)")
	codeSpan    = regexp.MustCompile("`([^`]+)`( \\(Markdown\\))?")
)

// The blocks of the page for people who write rules, and of the project's own,
// say the truth: rules are in order, tests hold for the rules before them. What
// is wrong with a file is shown by a command, and tagctl's tests run those.
func TestReadmeBlocks(t *testing.T) {
	t.Parallel()
	t.Run("configs", func(t *testing.T) {
		t.Parallel()
		page := string(readConfig(t, "README.md"))
		blocks := fence.FindAllStringSubmatch(page, -1)
		if fences := strings.Count("\n"+page, "\n```"); len(blocks) < 40 || fences != 2*len(blocks) {
			t.Fatalf("%d blocks of %d fences", len(blocks), fences)
		}
		readmeBlocks(t, blocks)
	})
	t.Run("project", func(t *testing.T) {
		t.Parallel()
		blocks := fence.FindAllStringSubmatch(string(readConfig(t, "../README.md")), -1)
		// The others are for the tests of the whole.
		blocks = slices.DeleteFunc(blocks, func(block []string) bool { return block[1] != "yaml" })
		if len(blocks) < 2 {
			t.Fatalf("%d blocks", len(blocks))
		}
		readmeBlocks(t, blocks)
	})
}

func readmeBlocks(t *testing.T, blocks [][]string) {
	var set *Set
	for i, block := range blocks {
		language, text := block[1], block[2]
		isRules := strings.HasPrefix(text, "version:") || strings.Contains(text, "\nversion:")
		switch {
		case language == "console" && set == nil && i == 0:
			t.Errorf("no rules before\n%s", text)
		case language == "console":
		case language == "yaml" && isRules:
			var ps Problems
			set, ps = Parse("rules.yaml", []byte(text))
			next := slices.IndexFunc(blocks[i+1:], func(b []string) bool { return !strings.HasPrefix(b[2], "tests:") })
			shown := next >= 0 && strings.HasPrefix(blocks[i+1+next][2], "$ tagctl rules check")
			if !shown && len(ps) > 0 {
				t.Errorf("problems of\n%s\n%s", text, ps)
			}
			if shown && len(ps) == 0 {
				t.Errorf("no problems to show in\n%s", text)
			}
		case language == "yaml" && strings.HasPrefix(text, "tests:") && set != nil:
			runTests(t, set, []byte(text))
		default:
			t.Errorf("neither rules, nor tests of rules before it, nor a command:\n%s", text)
		}
	}
}

// Each table of the page is checked, by what its head says it is.
func TestReadmeTables(t *testing.T) {
	t.Parallel()
	page := string(readConfig(t, "README.md"))
	lines := 0
	keys := map[string]bool{}
	checks := map[string]func(t *testing.T, cells []string){
		"in a rule | finds | does not find | why": checkFinds,
		// tagctl's tests look for each command among those they run.
		"command | tells you": func(t *testing.T, cells []string) {
			if !strings.HasPrefix(cells[0], "`tagctl ") {
				t.Error("no command")
			}
		},
		"entry | finds": func(t *testing.T, cells []string) {
			for _, entry := range spans(t, cells[0]) {
				inOrder(t, termRule(entry))
			}
		},
		"option | meaning": func(t *testing.T, cells []string) {
			for _, option := range spans(t, cells[0]) {
				inOrder(t, termRule("{word: word, "+option+"}"))
			}
		},
		"on a rule | meaning": func(t *testing.T, cells []string) {
			for _, key := range spans(t, cells[0]) {
				if words := ", any: [word]"; strings.HasPrefix(key, "fallback") {
					inOrder(t, "rules: [{tag: t, "+key+"}]")
				} else {
					inOrder(t, "rules: [{tag: t, "+key+words+"}]")
				}
			}
		},
		"key | meaning | default": func(t *testing.T, cells []string) {
			for _, key := range spans(t, cells[0]) {
				keys[key] = true
				for _, value := range codeSpan.FindAllStringSubmatch(cells[2], -1) {
					if key == "tag" || key == "name" {
						continue
					}
					// Written or not, it is the same.
					with := inOrder(t, "rules: [{tag: t, any: [word], "+key+": "+value[1]+"}]")
					without := inOrder(t, "rules: [{tag: t, any: [word]}]")
					if diff := cmp.Diff(without.Rules, with.Rules); diff != "" {
						t.Errorf("%s is not the default of %s (-default +%s):\n%s", value[1], key, value[1], diff)
					}
				}
			}
		},
		"on | for example | what is counted": func(t *testing.T, cells []string) {
			for _, body := range spans(t, cells[1]) {
				inOrder(t, "rules: [{tag: t, "+strings.Trim(body, "{}")+"}]")
			}
		},
		"in a test | meaning":    func(t *testing.T, cells []string) { checkCase(t, cells, "chat: [], %s") },
		"as a message | meaning": func(t *testing.T, cells []string) { checkCase(t, cells, "chat: [%s], not_tags: [vip]") },
	}
	for _, m := range readmeTable.FindAllStringSubmatch(page, -1) {
		head := strings.Trim(m[1], "| ")
		check := checks[head]
		if check == nil {
			t.Errorf("nothing checks the table with the head %s", head)
			continue
		}
		lines += 2
		for row := range strings.Lines(m[2]) {
			lines++
			cells := strings.Split(strings.Trim(row, "|\n"), "|")
			if len(cells) != strings.Count(head, "|")+1 {
				t.Errorf("%d cells in %s", len(cells), row)
				continue
			}
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			t.Run(cells[0], func(t *testing.T) { check(t, cells) })
		}
	}
	if all := strings.Count(page, "\n|"); lines != all {
		t.Errorf("%d of %d lines of tables are read", lines, all)
	}
	for _, key := range ruleKeys {
		if !keys[key] {
			t.Errorf("no table says what %s means", key)
		}
		delete(keys, key)
	}
	for key := range keys {
		t.Errorf("rules have no key %s", key)
	}
}

// spans gives what stands in backticks.
func spans(t *testing.T, cell string) (texts []string) {
	t.Helper()
	for _, m := range codeSpan.FindAllStringSubmatch(cell, -1) {
		texts = append(texts, m[1])
	}
	if len(texts) == 0 {
		t.Errorf("nothing to check in %q", cell)
	}
	return texts
}

// inOrder reads rules about which there must be nothing to say.
func inOrder(t *testing.T, rules string) *Set {
	t.Helper()
	file := "version: 1\n"
	if strings.Contains(rules, "{list: carriers") {
		file += "lists: {carriers: [dhl, ups]}\n"
	}
	set, ps := Parse("rules.yaml", []byte(file+rules))
	if len(ps) > 0 {
		t.Fatalf("%s: %s", rules, ps)
	}
	return set
}

// checkFinds checks a row of a text, what it finds, what not, and why.
func checkFinds(t *testing.T, cells []string) {
	term := spans(t, cells[0])[0]
	set := inOrder(t, termRule(term))
	if cells[3] == "" {
		t.Error("the row does not say why")
	}
	for _, m := range codeSpan.FindAllStringSubmatch(cells[1]+" "+cells[2], -1) {
		c := chat("c: " + m[1])
		c.Messages[0].Texts[0].Markdown = m[2] != ""
		want := strings.Contains(cells[1], m[0])
		if want == strings.Contains(cells[2], m[0]) {
			t.Errorf("%s is on both sides", m[0])
		}
		if found := len(set.Match(c).Tags) > 0; found != want {
			t.Errorf("%s in %s: found is %t", term, m[0], found)
		}
	}
	if !strings.Contains(cells[1], "`") {
		t.Errorf("%s finds nothing", term)
	}
}

// checkCase checks a row of a part of a test.
func checkCase(t *testing.T, cells []string, test string) {
	const rules = "rules: [{tag: refund, any: [one]}, {tag: vip, any: [two]}, {tag: angry, status: shadow, any: [three]}, " +
		"{tag: late, name: parcel-late, any: [four], unless_tagged: [done]}]"
	for _, part := range spans(t, cells[0]) {
		if !strings.Contains(test, "tags:") && !strings.Contains(part, "tags:") {
			part += ", tags: []"
		}
		file := "tests:\n  - {" + fmt.Sprintf(test, part) + "}\n"
		if _, ps := ParseTests("rules_test.yaml", []byte(file), inOrder(t, rules)); len(ps) > 0 {
			t.Errorf("%s\n%s", file, ps)
		}
		if len(cells) < 2 || cells[1] == "" {
			t.Error("no meaning")
		}
	}
}
