package cmd

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
)

func noVariables(string) (string, bool) { return "", false }

// endless gives the same text for ever.
type endless string

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], e)
	}
	return n, nil
}

type failing struct{}

func (failing) Read([]byte) (int, error)  { return 0, errors.New("the disk is gone") }
func (failing) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }

func rulesFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const someRules = "version: 1\nrules: [{tag: refund, any: [refund]}, {tag: back, any: [{regex: '(?s)back.*'}]}]\n"

// Whatever standard input is, the answer comes soon and says what is wrong.
func TestHostileInput(t *testing.T) {
	t.Parallel()
	path := rulesFile(t, someRules)
	for name, test := range map[string]struct {
		stdin  io.Reader
		stdout string
		stderr string
	}{
		"endless":       {stdin: endless("refund\n"), stderr: "tagctl: standard input has more than 1 MiB; give one chat at a time\n"},
		"endless line":  {stdin: endless("x"), stderr: "tagctl: standard input has more than 1 MiB; give one chat at a time\n"},
		"endless NUL":   {stdin: endless("\x00"), stderr: "tagctl: standard input has more than 1 MiB; give one chat at a time\n"},
		"many lines":    {stdin: strings.NewReader(strings.Repeat("\n", maxMessages+1)), stderr: "tagctl: standard input has more than 5000 lines; give one chat at a time\n"},
		"enough lines":  {stdin: strings.NewReader(strings.Repeat("x\n", maxMessages)), stdout: "  (5000 messages without a find)\n\n2 rules left out; show all with --all, one with --rule NAME\n0 tags for 5000 messages from customer\n"},
		"NUL":           {stdin: strings.NewReader("x\nrefund\x00\n"), stderr: "tagctl: standard input, line 2: a NUL byte; it must be text in UTF-8\n"},
		"UTF-16":        {stdin: strings.NewReader("r\x00e\x00f\x00"), stderr: "tagctl: standard input, line 1: a NUL byte; it must be text in UTF-8\n"},
		"Latin 1":       {stdin: strings.NewReader("caf\xe9\n"), stderr: "tagctl: standard input, line 1: not UTF-8\n"},
		"broken":        {stdin: failing{}, stderr: "tagctl: read standard input: the disk is gone\n"},
		"byte mark":     {stdin: strings.NewReader("\ufeffrefund"), stdout: "customer: [[refund]]\n\n✓ refund: matched\n    ✓ any: 1 of 1\n        ✓ refund found as \"refund\"\n1 rule left out; show all with --all, one with --rule NAME\n1 tag for 1 message from customer\n"},
		"no last break": {stdin: strings.NewReader("x\n\r\n\nrefund"), stdout: "1 customer: x\n2 customer: [[refund]]\n\n✓ refund: matched\n    ✓ any: 1 of 1\n        ✓ refund found as \"refund\" in message 2\n1 rule left out; show all with --all, one with --rule NAME\n1 tag for 2 messages from customer\n"},
		"terminal": {
			stdin: strings.NewReader("back\x1b[2J\t\u202ex\u0085\u2028" + strings.Repeat("y", 100)),
			stdout: "customer: [[back\\x1b[2J\\t\\u202ex\\u0085\\u2028" + strings.Repeat("y", 54) + "\n    " + strings.Repeat("y", 46) + "]]\n\n" +
				"✓ back: matched\n    ✓ any: 1 of 1\n        ✓ (?s)back.* found as\n            \"back\\x1b[2J\\t\\u202ex\\u0085\\u2028" +
				strings.Repeat("y", maxShown-13) + "…\"\n1 rule left out; show all with --all, one with --rule NAME\n1 tag for 1 message from customer\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			began := time.Now()
			code := Run([]string{"rules", "try", "--rules", path}, noVariables, test.stdin, &stdout, &stderr)
			want := exitOK
			if test.stderr != "" {
				want = exitUsage
			}
			if code != want || stdout.String() != test.stdout || stderr.String() != test.stderr {
				t.Errorf("exit status %d, want %d\nstdout %q\nwant   %q\nstderr %q\nwant   %q", code, want, &stdout, test.stdout, &stderr, test.stderr)
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// Nothing of a chat in JSON is dropped without a word.
func TestJSONChat(t *testing.T) {
	t.Parallel()
	const notes = `{"author": "agent", "text": "a refund", "internal": true}, {"author": "agent", "text": "oops", "deleted": true}, {"text": "hello"}`
	const rules = "version: 1\nrules: [{tag: refund, any: [refund]}, {tag: note, internal: true, any: [refund]}, {tag: oops, any: [oops]}]\n"
	path := rulesFile(t, rules)
	for stdin, want := range map[string]string{
		`{"messages": [` + notes + `]}`: `{"tags":[{"tag":"note","rule":"note","evidence":[{"event_id":"t_1","author":"agent","field":"text","term":"refund","start":2,"end":8}]}],"shadow":[],"near_misses":[]}`,
		" [ " + notes + "]":             `{"tags":[{"tag":"note","rule":"note","evidence":[{"event_id":"t_1","author":"agent","field":"text","term":"refund","start":2,"end":8}]}],"shadow":[],"near_misses":[]}`,
		"[12:03] hello":                 `{"tags":[],"shadow":[],"near_misses":[]}`,

		`{"messages": [{"autor": "agent", "text": "x"}]}`:              `message 1: unknown key "autor"; did you mean "author"?`,
		`{"messages": [{"text": "x"}, {"txt": "x"}]}`:                  `message 2: unknown key "txt"; did you mean "text"?`,
		`{"messages": [{"Text": "x"}]}`:                                `message 1: unknown key "Text"; did you mean "text"?`,
		`[{"text": "x", "greeting": true}]`:                            `message 1: unknown key "greeting"; a message has author, text, internal, deleted`,
		`{"messages": [{"author": "agent"}]}`:                          `message 1 has no text; write "text": "..."`,
		`{"messages": [{"text": null}]}`:                               `message 1 has no text; write "text": "..."`,
		`{"messages": [{"text": 1}]}`:                                  `message 1: text must be a text`,
		`{"messages": [{"text": "x", "deleted": "yes"}]}`:              `message 1: deleted must be true or false`,
		`{"messages": [{"text": "x", "internal": true}]}`:              `message 1: internal cannot stand on a customer's message; remove it, or write agent in place of customer`,
		`{"messages": [{"author": "", "text": "x"}]}`:                  `message 1: author "" must be customer, agent or bot`,
		`{"messages": [], "groups": [0]}`:                              `unknown key "groups" beside messages; groups and tags are for --groups and --tagged to say`,
		`[{"text": "x"}`:                                               `messages must be a list, [{"author": "customer", "text": "..."}]: unexpected end of JSON input`,
		`{"messages": [` + strings.Repeat(`{},`, maxMessages) + `{}]}`: `more than 5000 messages; give one chat at a time`,
	} {
		var stdout, stderr bytes.Buffer
		code := Run([]string{"rules", "try", "--rules", path, "-o", "json"}, noVariables, strings.NewReader(stdin), &stdout, &stderr)
		got, wantCode := strings.TrimSpace(stdout.String()), exitOK
		if !strings.HasPrefix(want, "{") {
			got, wantCode = strings.TrimSpace(strings.TrimPrefix(stderr.String(), "tagctl: standard input: ")), exitUsage
		}
		if code != wantCode || got != want {
			t.Errorf("%.60s: exit status %d\ngot  %s\nwant %s", stdin, code, got, want)
		}
	}
}

func TestTextArguments(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	code := Run([]string{"rules", "try", "--rules", rulesFile(t, someRules), "x", "caf\xe9"}, noVariables, failing{}, &stdout, &stderr)
	if code != exitUsage || stdout.Len() > 0 || stderr.String() != "tagctl: text 2 is not UTF-8\n" {
		t.Errorf("exit status %d\nstdout %q\nstderr %q", code, &stdout, &stderr)
	}
}

// An answer that could not be printed was not given.
func TestOutputFails(t *testing.T) {
	t.Parallel()
	path := rulesFile(t, someRules)
	bad := rulesFile(t, "version: 2\n")
	for _, args := range [][]string{
		{"rules", "check", path}, {"rules", "check", bad}, {"rules", "check", bad, "-o", "json"},
		{"rules", "try", "--rules", path, "x"}, {"version"}, {"--help"}, {"completion", "bash"},
	} {
		var stderr bytes.Buffer
		code := Run(args, noVariables, strings.NewReader(""), failing{}, &stderr)
		if code != exitUsage || stderr.String() != "tagctl: write standard output: the disk is full\n" {
			t.Errorf("%q: exit status %d, stderr %q", args, code, &stderr)
		}
	}
}

// A file without end is refused like a file that is too large.
func TestEndlessFile(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/zero"); err != nil {
		t.Skip("there is no /dev/zero here")
	}
	var stdout, stderr bytes.Buffer
	code := Run([]string{"rules", "check", "/dev/zero"}, noVariables, strings.NewReader(""), &stdout, &stderr)
	if code != exitNo || !strings.Contains(stdout.String(), "8 MiB") || stderr.Len() > 0 {
		t.Errorf("exit status %d\nstdout %q\nstderr %q", code, &stdout, &stderr)
	}
}

func TestWord(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"refund*": "refund*", "money back": `"money back"`, "": `""`, "a\tb": `"a\tb"`, "x\x1b": `"x\x1b"`, "日本": "日本",
		strings.Repeat("é", maxShown): strings.Repeat("é", maxShown), strings.Repeat("é", maxShown+1): `"` + strings.Repeat("é", maxShown) + `…"`,
	} {
		if got := word(text); got != want {
			t.Errorf("word(%q) = %s, want %s", text, got, want)
		}
	}
}

// The rules that come with the program are in order, without a warning, and
// their examples hold.
func TestShippedRules(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"rules check --strict --rules", "rules test --rules"} {
		var stdout, stderr bytes.Buffer
		args := append(strings.Fields(command), "../../../../configs/rules.yaml")
		if code := Run(args, noVariables, strings.NewReader(""), &stdout, &stderr); code != exitOK || stderr.Len() > 0 {
			t.Errorf("%s: exit status %d\n%s%s", command, code, &stdout, &stderr)
		}
	}
}

// Whatever the messages are, what is shown of them cannot steer a terminal.
func FuzzTry(f *testing.F) {
	for _, text := range []string{"refund", "Où? 👩‍👩‍👧 réfund\nmoney\tback", "re\x1bfund\x07 money\u200b \u202eback!!!", "\ufeffinvoice\r\nerror", "\xff", "a\x00"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, stdin []byte) {
		var stdout, stderr bytes.Buffer
		code := Run([]string{"rules", "try", "--rules", "../../../../configs/rules.yaml"}, noVariables, bytes.NewReader(stdin), &stdout, &stderr)
		if code != exitOK && (code != exitUsage || stdout.Len() > 0) || (code == exitOK) != (stderr.Len() == 0) {
			t.Errorf("exit status %d\nstdout %q\nstderr %q", code, &stdout, &stderr)
		}
		for _, r := range stdout.String() {
			if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
				t.Fatalf("%U in %q", r, &stdout)
			}
		}
	})
}

// The name of a file cannot steer the terminal, whatever is said about it.
func TestFileNamesAreShownSafely(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name, text string) string {
		path := filepath.Join(dir, "\x1b[31m"+name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fine := path("fine.yaml", someRules)
	faulty := path("faulty.yaml", "version: 1\nrules: [{tag: a}]\n")
	odd := path("odd.yaml", "version: 1\nlists: {l: [x]}\nrules: [{tag: a, any: [re*fund]}]\n")
	failing := path("failing_test.yaml", "tests: [{chat: [], tags: [refund]}]\n")
	for _, args := range [][]string{
		{"rules", "check", fine}, {"rules", "check", faulty}, {"rules", "check", odd}, {"rules", "check", faulty, "-o", "github"},
		{"rules", "check", filepath.Join(dir, "\x1b[31mnowhere.yaml")}, {"rules", "try", "--rules", odd, "x"}, {"rules", "try", "--rules", faulty, "x"},
		{"rules", "test", "--rules", fine, failing, "--coverage", "--mutate"},
		{"rules", "test", "--rules", fine, failing, "--coverage", "--mutate", "-o", "github"},
	} {
		var out, stderr bytes.Buffer
		Run(args, noVariables, strings.NewReader(""), &out, &stderr)
		if out.Len()+stderr.Len() == 0 || strings.Contains(out.String()+stderr.String(), "\x1b") {
			t.Errorf("%q:\n%q\n%q", args, &out, &stderr)
		}
	}
}
