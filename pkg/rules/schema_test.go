package rules

import (
	"bytes"
	"encoding/json"
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

// Where the program and the schema part: files at fault of which every fault is
// one that a schema cannot know, with the reason.
// Beside these, files have faults of that kind among others: a pattern that is
// no valid RE2, a tag that no rule of the other file has, an unknown list.
var unknowable = map[string]string{
	"canned.yaml":             "what is left of a text without Markdown",
	"list_bomb.yaml":          "what lists unfold to",
	"list_cycle.yaml":         "lists that name each other",
	"list_depth.yaml":         "lists that name each other",
	"lists_none.yaml":         "which lists there are",
	"min_window.yaml":         "two numbers cannot be compared",
	"min_within.yaml":         "what an entry may say would depend on the rule around it",
	"min_within_default.yaml": "what an entry may say would depend on the defaults of the file",
	"names.yaml":              "no two rules with the same name",
	"version_text.yaml":       "1.0 is the number 1",
	"wordless.yaml":           "what a group asks for altogether",
}

// The schema refuses no file that the program takes, and refuses those that it
// does not, but for what a schema cannot know.
func TestSchemaOnTestdata(t *testing.T) {
	t.Parallel()
	e := newEditor(t)
	var files []string
	for _, folder := range []string{"good", "warn", "bad"} {
		some, err := filepath.Glob("testdata/" + folder + "/*.*")
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, some...)
	}
	listed := maps.Clone(unknowable)
	asked := map[string]int{}
	for _, file := range files {
		folder, name := filepath.Base(filepath.Dir(file)), filepath.Base(file)
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
		err = e.schema(name).Validate(value)
		switch _, cannot := unknowable[name]; {
		case folder != "bad":
			if err != nil {
				t.Errorf("%s is in order, and refused: %v", file, err)
			}
		case cannot:
			delete(listed, name)
			if err != nil {
				t.Errorf("%s is listed as one that the schema cannot refuse, and refused: %v", file, err)
			}
		case err == nil:
			t.Errorf("%s is not refused; say in unknowable why it cannot be, or let the schema refuse it", file)
		}
	}
	if len(listed) > 0 {
		t.Errorf("listed, and not there or no YAML: %v", slices.Collect(maps.Keys(listed)))
	}
	if asked["good"] < 9 || asked["warn"] < 10 || asked["bad"] < 30 {
		t.Errorf("the schema was asked about too few files: %v", asked)
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
