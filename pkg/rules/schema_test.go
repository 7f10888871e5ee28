package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/santhosh-tekuri/jsonschema/v6"
	yaml "go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

var schemas = map[string]func() *schema{
	"rules.schema.json":      rulesSchema,
	"rules_test.schema.json": testsSchema,
}

// The schemas in configs/ are what the description gives. To write them anew:
// go generate ./pkg/rules
// It is done before the tests that read the files, which are parallel.
func TestSchemas(t *testing.T) {
	for name, describe := range schemas {
		got := schemaJSON(t, describe())
		if *update {
			if err := os.WriteFile(configs+name, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if diff := cmp.Diff(string(readConfig(t, name)), string(got)); diff != "" {
			t.Errorf("%s is out of date; run go generate ./pkg/rules (-is +should be):\n%s", name, diff)
		}
	}
}

func schemaJSON(t *testing.T, s *schema) []byte {
	t.Helper()
	data, err := plainJSON(s)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, data, "", "  "); err != nil {
		t.Fatal(err)
	}
	out.WriteByte('\n')
	return out.Bytes()
}

// The schemas have the keys that the program reads, no others, and each key and
// each value to choose from is explained.
func TestSchemaExplainsEveryKey(t *testing.T) {
	t.Parallel()
	rules, tests := rulesSchema(), testsSchema()
	for what, keys := range map[string]struct {
		schema *schema
		want   []string
	}{
		"a rules file":    {rules, fileKeys},
		"defaults":        {rules.property("defaults"), defaultsKeys},
		"a rule":          {rules.Definitions["rule"], ruleKeys},
		"an entry":        {rules.Definitions["entry"], termKeys},
		"a file of tests": {tests, testFileKeys},
		"a test":          {tests.Definitions["test"], caseKeys},
		"an expected tag": {tests.Definitions["want"], wantKeys},
		"a message":       {tests.Definitions["message"], messageKeys},
		"a customer's":    {tests.Definitions["message"].property("customer"), contentKeys},
	} {
		sorted := cmpopts.SortSlices(func(a, b string) bool { return a < b })
		if diff := cmp.Diff(keys.want, keys.schema.Properties.keys(), sorted); diff != "" {
			t.Errorf("keys of %s (-program +schema):\n%s", what, diff)
		}
		for _, p := range keys.schema.Properties {
			s := p.says.(*schema)
			if len(s.Description) < 20 || len(s.Description) > 600 {
				t.Errorf("%s in %s is explained by %q", p.key, what, s.Description)
			}
			if len(s.Enum) > 0 && len(s.EnumSays) > 0 && slices.Contains(s.EnumSays, "") {
				t.Errorf("a value of %s in %s is not explained", p.key, what)
			}
		}
	}
	for what, says := range map[string]struct {
		values []string
		says   map[string]string
	}{
		"from": {fromValues, fromSays}, "within": {withinValues, withinSays}, "status": {statusValues, statusSays},
		"case": {foldValues, caseSays}, "accents": {foldValues, accentsSays},
	} {
		if got := slices.Collect(maps.Keys(says.says)); len(got) != len(says.values) {
			t.Errorf("%s: %q are explained", what, got)
		}
	}
}

func (s *schema) property(key string) *schema {
	for _, p := range s.Properties {
		if p.key == key {
			return p.says.(*schema)
		}
	}
	return nil
}

// What editors offer to write, the schema accepts: examples, defaults and
// snippets.
func TestSchemaOffersWhatIsValid(t *testing.T) {
	t.Parallel()
	for name := range schemas {
		compiler := newCompiler(t)
		offered := 0
		check := func(pointer string, value any, what string) {
			offered++
			if err := compiler.MustCompile(name + "#" + pointer).Validate(value); err != nil {
				t.Errorf("%s%s: %s %v is refused: %v", name, pointer, what, value, err)
			}
		}
		var walk func(v any, pointer string)
		walk = func(v any, pointer string) {
			switch v := v.(type) {
			case []any:
				for i, e := range v {
					walk(e, fmt.Sprintf("%s/%d", pointer, i))
				}
			case map[string]any:
				if examples, ok := v["examples"].([]any); ok {
					for _, e := range examples {
						check(pointer, e, "example")
					}
				}
				if _, typed := v["type"]; typed || v["enum"] != nil {
					if usual, ok := v["default"]; ok {
						check(pointer, usual, "default")
					}
				}
				if snippets, ok := v["defaultSnippets"].([]any); ok {
					for _, s := range snippets {
						check(pointer, filledIn(s.(map[string]any)["body"]), "snippet")
					}
				}
				for key, e := range v {
					if !slices.Contains([]string{"examples", "default", "defaultSnippets", "enum", "required"}, key) {
						walk(e, pointer+"/"+key)
					}
				}
			}
		}
		walk(readJSON(t, readConfig(t, name)), "")
		if offered < 15 {
			t.Errorf("%s: only %d things are offered", name, offered)
		}
	}
}

var placeholderOf = regexp.MustCompile(`\$\{\d+:([^}]*)\}|\$\d+`)

// filledIn gives a snippet as it is when nobody changes what it proposes, and
// writes x where it proposes nothing.
func filledIn(v any) any {
	switch v := v.(type) {
	case string:
		if placeholderOf.ReplaceAllString(v, "$1") == "" {
			return "x"
		}
		return placeholderOf.ReplaceAllString(v, "$1")
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = filledIn(e)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for key, e := range v {
			out[placeholderOf.ReplaceAllString(key, "$1")] = filledIn(e)
		}
		return out
	}
	return v
}

func readJSON(t testing.TB, data []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func newCompiler(t testing.TB) *jsonschema.Compiler {
	t.Helper()
	c := jsonschema.NewCompiler()
	for name := range schemas {
		data, err := os.ReadFile(configs + name)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource(name, readJSON(t, data)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// editor sees files as an editor with the schemas does.
type editor struct{ rules, tests *jsonschema.Schema }

func newEditor(t testing.TB) editor {
	t.Helper()
	c := newCompiler(t)
	return editor{c.MustCompile("rules.schema.json"), c.MustCompile("rules_test.schema.json")}
}

// schema gives the schema of a file by its name.
func (e editor) schema(name string) *jsonschema.Schema {
	if strings.HasSuffix(name, "_test.yaml") {
		return e.tests
	}
	return e.rules
}

// read gives the value of a YAML file; ok is false when there is a fault in the
// YAML itself, before any schema.
func (e editor) read(name string, data []byte) (value any, ok bool) {
	d := load(name, data, "")
	if d.root == nil || d.failed() {
		return nil, false
	}
	return editorValue(d.root, map[*yaml.Node]any{}), true
}

var (
	coreNull  = regexp.MustCompile(`^(|~|null|Null|NULL)$`)
	coreBool  = regexp.MustCompile(`^(true|True|TRUE|false|False|FALSE)$`)
	coreInt   = regexp.MustCompile(`^([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$`)
	coreFloat = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
	coreInf   = regexp.MustCompile(`^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)
)

// editorValue gives a node as editors see it: by the core schema of YAML 1.2,
// which the YAML language server uses unless told otherwise.
func editorValue(n *yaml.Node, seen map[*yaml.Node]any) any {
	n = resolve(n)
	if v, ok := seen[n]; ok {
		return v
	}
	var out any
	switch n.Kind {
	case yaml.SequenceNode:
		items := make([]any, len(n.Content))
		for i, c := range n.Content {
			items[i] = editorValue(c, seen)
		}
		out = items
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[resolve(n.Content[i]).Value] = editorValue(n.Content[i+1], seen)
		}
		out = m
	default:
		out = editorScalar(n)
	}
	seen[n] = out
	return out
}

func editorScalar(n *yaml.Node) any {
	switch s := n.Value; {
	case n.Style != 0:
		return s
	case coreNull.MatchString(s):
		return nil
	case coreBool.MatchString(s):
		return strings.EqualFold(s, "true")
	case coreInt.MatchString(s):
		base := 10
		digits := strings.TrimPrefix(s, "+")
		if strings.HasPrefix(s, "0o") || strings.HasPrefix(s, "0x") {
			base, digits = map[byte]int{'o': 8, 'x': 16}[s[1]], s[2:]
		}
		if number, err := strconv.ParseInt(digits, base, 64); err == nil {
			return number
		}
		return math.MaxFloat64 // or however large
	case coreFloat.MatchString(s):
		number, _ := strconv.ParseFloat(s, 64)
		if math.IsInf(number, 0) {
			return math.MaxFloat64
		}
		return number
	case coreInf.MatchString(s):
		return math.MaxFloat64
	}
	return n.Value
}

// beyond are the faults that a schema cannot know, by their messages, with the
// reason. All others it must see.
var beyond = []struct {
	fault  *regexp.Regexp
	reason string
}{
	{regexp.MustCompile(`^there is no list `), "names within values cannot be compared"},
	{regexp.MustCompile(`^lists name each other in a circle`), "names within values cannot be compared"},
	{regexp.MustCompile(` unfolds? to more than | lists within lists more than `), "nothing can be counted over several lists"},
	{regexp.MustCompile(`^two rules are named |^the name .* is the tag of the rule `), "two rules cannot be compared"},
	{regexp.MustCompile(`^no rule has the tag |^no rule is named |^the rule .* gives the tag `), "the rules are in another file"},
	{regexp.MustCompile(` is both in tags and in not_tags`), "two lists cannot be compared"},
	{regexp.MustCompile(`cannot be reached with (first|last): `), "two numbers cannot be compared"},
	{regexp.MustCompile(`\(within: message\)`), "what an entry may have would depend on the rule around it, or on the defaults"},
	{regexp.MustCompile(` holds in a chat without any of its words`), "this depends on all entries of a group together"},
	{regexp.MustCompile(`^this regex is not valid RE2`), "no schema reads patterns"},
	{regexp.MustCompile(`^this canned text has only placeholders|^nothing is left of this canned text`), "no schema reads Markdown"},
	{regexp.MustCompile(`^nothing is left of this text`), "which characters are invisible is known to the program alone"},
	{regexp.MustCompile(`^version cannot be "1\.0"`), "it is the number 1"},
	{regexp.MustCompile(`cannot be "[-+0-9.eox]+"; write a whole number`), "how a number is written: 2.0, 02 and 0x2 are the number 2"},
}

// beyondSchema says whether a file is at fault in nothing but what a schema
// cannot know.
func beyondSchema(ps Problems, used map[string]bool) bool {
	all := true
	for _, p := range ps {
		if p.Severity != Error {
			continue
		}
		known := false
		for _, b := range beyond {
			if b.fault.MatchString(p.Message) {
				used[b.fault.String()], known = true, true
			}
		}
		all = all && known
	}
	return all
}

// verdict gives the problems that the program has with a file, for tests those
// that a file of them has beside the rules of testdata/tests.yaml.
func verdict(set *Set, name string, data []byte) Problems {
	if strings.HasSuffix(name, "_test.yaml") {
		_, ps := ParseTests(name, data, set)
		return ps
	}
	_, ps := Parse(name, data)
	return ps
}

func testedRules(t *testing.T) *Set {
	t.Helper()
	data, err := os.ReadFile("testdata/tests.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set, ps := Parse("tests.yaml", data)
	if set == nil {
		t.Fatal(ps)
	}
	return set
}

// The schema refuses no file that the program takes, and refuses those that it
// does not, but for what a schema cannot know.
func TestSchemaOnTestdata(t *testing.T) {
	t.Parallel()
	e, set := newEditor(t), testedRules(t)
	asked, used := map[string]int{}, map[string]bool{}
	for _, folder := range []string{"good", "warn", "bad"} {
		files, err := filepath.Glob("testdata/" + folder + "/*.*")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			name := filepath.Base(file)
			if strings.HasSuffix(name, ".want") {
				continue
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			value, ok := e.read(name, data)
			if !ok {
				if folder != "bad" {
					t.Errorf("%s cannot be read", file)
				}
				continue
			}
			asked[folder]++
			ps := verdict(set, name, data)
			onlyBeyond := beyondSchema(ps, used)
			if err := e.schema(name).Validate(value); err != nil && !ps.Failed() {
				t.Errorf("%s is in order, and refused: %v", file, err)
			} else if err == nil && ps.Failed() && !onlyBeyond {
				t.Errorf("%s is not refused; let the schema refuse it, or say in beyond why it cannot:\n%s", file, ps)
			}
		}
	}
	if asked["good"] < 9 || asked["warn"] < 10 || asked["bad"] < 30 {
		t.Errorf("the schema was asked about too few files: %v", asked)
	}
	for _, b := range beyond {
		if !used[b.fault.String()] {
			t.Errorf("no file shows the fault %s, beyond a schema as %s", b.fault, b.reason)
		}
	}
}

// Each single fault that a schema can know is refused where it is, two keys that
// cannot stand together at both.
func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	e, set := newEditor(t), testedRules(t)
	rule := func(text string) string { return "version: 1\nrules: [" + text + "]" }
	entry := func(text string) string { return rule("{tag: a, any: [" + text + "]}") }
	test := func(text string) string { return "tests: [" + text + "]" }
	message := func(text string) string { return test("{tags: [], chat: [" + text + "]}") }
	const (
		ofRule    = "/rules/0"
		ofEntry   = "/rules/0/any/0"
		ofTest    = "/tests/0"
		ofMessage = "/tests/0/chat/0"
	)
	// The library does not say where a mapping is whose keys are at fault.
	for _, c := range []struct{ text, at string }{
		{"[a]", ""},
		{"{}", ""},
		{"rules: []", ""},
		{"version: 1", ""},
		{"version: 2\nrules: []", "/version"},
		{"version: [1]\nrules: []", "/version"},
		{"version: 1\nrules: []\nlist: {}", ""},
		{"version: 1\nrules: ~", "/rules"},
		{"version: 1\nrules: a", "/rules"},
		{"version: 1\nrules: {a: b}", "/rules"},
		{"version: 1\nrules: []\ndefaults: {from: customers}", "/defaults/from"},
		{"version: 1\nrules: []\ndefaults: {tag: a}", "/defaults"},
		{"version: 1\nrules: []\ndefaults: ~", "/defaults"},
		{"version: 1\nrules: []\nlists: [a]", "/lists"},
		{"version: 1\nrules: []\nlists: {a: []}", "/lists/a"},
		{"version: 1\nrules: []\nlists: {a: b}", "/lists/a"},
		{"version: 1\nrules: []\nlists: {a: [~]}", "/lists/a/0"},
		{"version: 1\nrules: []\nlists: {' a': [b]}", ""},
		{rule("a"), ofRule},
		{rule("{any: [a]}"), ofRule},
		{rule("{tag: a}"), ofRule},
		{rule("{tag: a, none: [b]}"), ofRule},
		{rule("{tag: a, fallback: false}"), ofRule},
		{rule("{tag: a, anny: [b], any: [b]}"), ofRule},
		{rule("{tag: a, word: b, any: [b]}"), ofRule},
		{rule("{tag: [a], any: [b]}"), ofRule + "/tag"},
		{rule("{tag: ' a', any: [b]}"), ofRule + "/tag"},
		{rule(`{tag: "a\nb", any: [b]}`), ofRule + "/tag"},
		{rule("{tag: '', any: [b]}"), ofRule + "/tag"},
		{rule("{tag: a, any: b}"), ofRule + "/any"},
		{rule("{tag: a, any: []}"), ofRule + "/any"},
		{rule("{tag: a, any: [b], none: {word: c}}"), ofRule + "/none"},
		{rule("{tag: a, any: [b], status: on}"), ofRule + "/status"},
		{rule("{tag: a, any: [b], internal: yes}"), ofRule + "/internal"},
		{rule("{tag: a, any: [b], groups: 0}"), ofRule + "/groups"},
		{rule("{tag: a, any: [b], groups: ['0']}"), ofRule + "/groups/0"},
		{rule("{tag: a, any: [b], groups: [-1]}"), ofRule + "/groups/0"},
		{rule("{tag: a, any: [b], unless_tagged: vip}"), ofRule + "/unless_tagged"},
		{rule("{tag: a, any: [b], first: 1, last: 2}"), ofRule + "/last & " + ofRule + "/first"},
		{rule("{tag: a, any: [b], min: 0}"), ofRule + "/min"},
		{rule("{tag: a, any: [b], fallback: true}"), ofRule + "/any"},
		{rule("{tag: a, fallback: true, case: exact}"), ofRule + "/case"},
		{entry("[a]"), ofEntry},
		{entry("~"), ofEntry},
		{entry("''"), ofEntry},
		{entry("' '"), ofEntry},
		{entry("{}"), ofEntry},
		{entry("{min: 2}"), ofEntry},
		{entry("{wrod: a}"), ofEntry},
		{entry("{refund: now}"), ofEntry},
		{entry("{word: a, tag: b}"), ofEntry},
		{entry("{word: a, contains: b}"), ofEntry + "/word & " + ofEntry + "/contains"},
		{entry("{list: a, any: [b]}"), ofEntry + "/list & " + ofEntry + "/any"},
		{entry("{word: [a]}"), ofEntry + "/word"},
		{entry("{word: ''}"), ofEntry + "/word"},
		{entry("{regex: ''}"), ofEntry + "/regex"},
		{entry("{regex: a, accents: exact}"), ofEntry + "/accents"},
		{entry("{word: a, case: true}"), ofEntry + "/case"},
		{entry("{word: a, min: '2'}"), ofEntry + "/min"},
		{entry("{word: a, min: 1.5}"), ofEntry + "/min"},
		{entry("{word: a, first: 1000000001}"), ofEntry + "/first"},
		{entry("{word: a, first: 1, last: 1}"), ofEntry + "/last & " + ofEntry + "/first"},
		{entry("{all: [a], min: 2}"), ofEntry + "/min"},
		{entry("{any: [{any: [{word: a, within: chat}]}]}"), ofEntry + "/any/0/any/0"},
		{"tests: ~", "/tests"},
		{"tests: a", "/tests"},
		{"tests: []\nversion: 1", ""},
		{test("a"), ofTest},
		{test("{chat: []}"), ofTest},
		{test("{tags: []}"), ofTest},
		{test("{chat: [], tags: a}"), ofTest + "/tags"},
		{test("{chat: a, tags: []}"), ofTest + "/chat"},
		{test("{chat: [], tags: [~]}"), ofTest + "/tags/0"},
		{test("{'': [a]}"), ""},
		{test("{where is it: a}"), ofTest + "/where is it"},
		{test("{where: [a], is it: [a]}"), " & " + ofTest},
		{test("{where is it: [{rule: a}]}"), ofTest + "/where is it/0"},
		{test("{chat: [], not_tags: a}"), ofTest + "/not_tags"},
		{test("{chat: [], tags: [{tag: a, rul: b}]}"), ofTest + "/tags/0"},
		{test("{chat: [], tags: [{tag: a, evidence: b}]}"), ofTest + "/tags/0/evidence"},
		{test("{chat: [], tags: [{tag: a, evidence: ['']}]}"), ofTest + "/tags/0/evidence/0"},
		{test("{chat: [], tags: [], groups: [a]}"), ofTest + "/groups/0"},
		{test("{chat: [], tags: [], shadows: []}"), ""},
		{message("a"), ofMessage},
		{message("~"), ofMessage},
		{message("{}"), ofMessage},
		{message("{internal: true}"), ofMessage},
		{message("{visitor: a}"), ofMessage},
		{message("{customer: a, agent: b}"), ofMessage + "/customer & " + ofMessage + "/agent"},
		{message("{customer: ~}"), ofMessage + "/customer"},
		{message("{customer: ''}"), ofMessage + "/customer"},
		{message("{agent: [a]}"), ofMessage + "/agent"},
		{message("{customer: a, internal: true}"), ofMessage + "/internal"},
		{message("{customer: a, greeting: true}"), ofMessage + "/greeting"},
		{message("{agent: a, deleted: yes}"), ofMessage + "/deleted"},
		{message("{agent: {button: a}}"), ofMessage + "/agent"},
		{message("{customer: {}}"), ofMessage + "/customer"},
		{message("{customer: {refund: now}}"), ofMessage + "/customer"},
		{message("{customer: {form: {}}}"), ofMessage + "/customer/form"},
		{message("{customer: {form: {A: ~}}}"), ofMessage + "/customer/form/A"},
		{message("{customer: {button: ' '}}"), ofMessage + "/customer/button"},
		{message("{customer: {form: {A: b}, button: c}}"), ofMessage + "/customer"},
		{message("{customer: a, edited: ''}"), ofMessage + "/edited"},
		{message("{customer: a, edited: []}"), ofMessage + "/edited"},
		{message("{customer: {button: a}, edited: b}"), ofMessage + "/edited"},
		{message("{customer: a, at: 5}"), ofMessage + "/at"},
		{message("{customer: a, at: -5m}"), ofMessage + "/at"},
		{message("{customer: a, at: soon}"), ofMessage + "/at"},
		{message("{customer: {button: a}, markdown: true}"), ofMessage + "/markdown"},
	} {
		name := "rules.yaml"
		if strings.HasPrefix(c.text, "tests:") {
			name = "rules_test.yaml"
		}
		value, ok := e.read(name, []byte(c.text))
		if !ok {
			t.Errorf("cannot be read:\n%s", c.text)
			continue
		}
		if !verdict(set, name, []byte(c.text)).Failed() {
			t.Errorf("not at fault:\n%s", c.text)
		}
		var refused *jsonschema.ValidationError
		if !errors.As(e.schema(name).Validate(value), &refused) {
			t.Errorf("not refused:\n%s", c.text)
			continue
		}
		places := leaves(refused)
		slices.Sort(places)
		want := strings.Split(c.at, " & ")
		slices.Sort(want)
		if places = slices.Compact(places); !slices.Equal(places, want) {
			t.Errorf("refused at %q, not at %q:\n%s", places, want, c.text)
		}
	}
}

// leaves gives the places of all that a schema has to say.
func leaves(err *jsonschema.ValidationError) []string {
	if len(err.Causes) == 0 {
		at := ""
		for _, token := range err.InstanceLocation {
			at += "/" + token
		}
		return []string{at}
	}
	var places []string
	for _, cause := range err.Causes {
		places = append(places, leaves(cause)...)
	}
	return places
}

// oneLineSlip is a fault of a test with one key. It may be a slip for a key of a
// test, says the program; to the schema it is a message, a test in one line.
var oneLineSlip = regexp.MustCompile(`^unknown key .*; did you mean "(` + strings.Join(caseKeys, "|") + `)"\?$`)

// Schema and program agree on a file after any edits of its keys and values.
func TestSchemaAgreesAfterEdits(t *testing.T) {
	t.Parallel()
	e, set := newEditor(t), testedRules(t)
	keys := slices.Concat(fileKeys, defaultsKeys, ruleKeys, termKeys, testFileKeys, caseKeys, wantKeys, messageKeys, contentKeys, []string{"wrod", "404", "' x'"})
	values := []string{"~", "a", "''", "' '", "' a'", `"a\nb"`, "0", "1", "-1", "2.5", "'2'", "true", "yes", "'true'", "off", "exact", "customer", "message",
		"[]", "[a]", "[~]", "[1]", "[[a]]", "[{}]", "{}", "{word: a}", "{a: b}", "[{word: a}]", "[{word: a, min: 1}]", "[{none: [a]}]", "[{customer: a}]", "{button: a}", "{form: {A: b}}"}
	refused, agreed := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		file := rapid.SampledFrom([]string{"full.yaml", "full_test.yaml"}).Draw(t, "file")
		data, err := os.ReadFile("testdata/good/" + file)
		if err != nil {
			t.Fatal(err)
		}
		var document yaml.Node
		if err := yaml.Unmarshal(data, &document); err != nil {
			t.Fatal(err)
		}
		value := func() *yaml.Node {
			var v yaml.Node
			if err := yaml.Unmarshal([]byte(rapid.SampledFrom(values).Draw(t, "value")), &v); err != nil {
				t.Fatal(err)
			}
			return v.Content[0]
		}
		for range rapid.IntRange(1, 3).Draw(t, "edits") {
			var nodes []*yaml.Node
			var collect func(n *yaml.Node)
			collect = func(n *yaml.Node) {
				if len(n.Content) > 0 {
					nodes = append(nodes, n)
				}
				for _, c := range n.Content {
					collect(c)
				}
			}
			collect(document.Content[0])
			if len(nodes) == 0 {
				break
			}
			n := rapid.SampledFrom(nodes).Draw(t, "in")
			step := 1
			if n.Kind == yaml.MappingNode {
				step = 2
			}
			i := rapid.IntRange(0, len(n.Content)/step-1).Draw(t, "at") * step
			key := func() *yaml.Node {
				var k yaml.Node
				if err := yaml.Unmarshal([]byte(rapid.SampledFrom(keys).Draw(t, "key")), &k); err != nil {
					t.Fatal(err)
				}
				return k.Content[0]
			}
			switch rapid.SampledFrom([]string{"drop", "value", "key", "add"}).Draw(t, "edit") {
			case "drop":
				n.Content = slices.Delete(n.Content, i, i+step)
			case "value":
				n.Content[i+step-1] = value()
			case "key":
				if step == 2 {
					n.Content[i] = key()
				}
			case "add":
				if step == 2 {
					n.Content = append(n.Content, key(), value())
				} else {
					n.Content = append(n.Content, value())
				}
			}
		}
		edited, err := yaml.Marshal(&document)
		if err != nil {
			t.Fatal(err)
		}
		v, ok := e.read(file, edited)
		if !ok {
			return // a key stands there twice
		}
		ps := verdict(set, file, edited)
		if slices.ContainsFunc(ps, func(p Problem) bool { return oneLineSlip.MatchString(p.Message) }) {
			return
		}
		if err := e.schema(file).Validate(v); err != nil {
			if refused++; !ps.Failed() {
				t.Fatalf("in order, and refused: %v\n%s", err, edited)
			}
		} else if agreed++; ps.Failed() && !beyondSchema(ps, map[string]bool{}) {
			t.Fatalf("at fault, and not refused:\n%s\n%s", ps, edited)
		}
	})
	if refused == 0 || agreed == 0 {
		t.Errorf("%d refused, %d not", refused, agreed)
	}
}

// The schema accepts every file and example that comes with the program.
func TestSchemaOnShippedFiles(t *testing.T) {
	t.Parallel()
	e := newEditor(t)
	for file, schema := range map[string]*jsonschema.Schema{
		configs + "rules.yaml":                          e.rules,
		configs + "rules_test.yaml":                     e.tests,
		"../../services/standalone/app/demo_rules.yaml": e.rules,
		"../../services/e2e/testdata/rules.yaml":        e.rules,
		"../../services/e2e/testdata/samples.yaml":      e.rules,
	} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		value, ok := e.read(file, data)
		if !ok {
			t.Fatalf("%s cannot be read", file)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	// Blocks with problems are shown in the page; a block of tests holds for the
	// rules before it.
	asked, refused := 0, 0
	for _, name := range []string{"README.md", "../README.md"} {
		set := &Set{}
		for _, block := range fence.FindAllStringSubmatch(string(readConfig(t, name)), -1) {
			text := block[2]
			isTests := strings.HasPrefix(text, "tests:")
			if !isTests && !strings.HasPrefix(text, "version:") {
				continue
			}
			var ps Problems
			schema := e.rules
			if isTests {
				schema = e.tests
				_, ps = ParseTests("rules_test.yaml", []byte(text), set)
			} else if s, problems := Parse("rules.yaml", []byte(text)); true {
				ps = problems
				if s != nil {
					set = s
				}
			}
			value, ok := e.read(name, []byte(text))
			if !ok {
				t.Errorf("%s: cannot be read:\n%s", name, text)
				continue
			}
			asked++
			if err := schema.Validate(value); (err != nil) != ps.Failed() {
				t.Errorf("%s: by the program at fault: %v, by the schema: %v\n%s", name, ps.Failed(), err, text)
			} else if err != nil {
				refused++
			}
		}
	}
	if asked < 20 || refused < 1 {
		t.Errorf("%d blocks, %d refused", asked, refused)
	}
}
