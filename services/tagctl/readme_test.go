package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"autotag/pkg/testkit/natstest"
	"autotag/services/tagctl/internal/cmd"
)

// rulesPage is the page for people who write rules.
const rulesPage = "../../configs/README.md"

// TestReadme runs the commands of the page for people who write rules, in order
// and each with the rules and tests that stand before it, and compares what they
// print with what the page says. With UPDATE=1 in the environment the page is
// written anew.
func TestReadme(t *testing.T) {
	t.Parallel()
	file, err := filepath.Abs(rulesPage)
	if err != nil {
		t.Fatal(err)
	}
	s := natstest.Start(t, nil)
	nc, js := s.Connect()
	p := params()
	p.Files = []string{"testdata/readme.txtar"}
	setup := p.Setup
	p.Setup = func(e *testscript.Env) error {
		e.Setenv("NATS_URL", s.URL)
		return setup(e)
	}
	f := fixture{nc, js}
	p.Cmds["provision"] = f.provision
	p.Cmds["store"] = f.store
	p.Cmds["page"] = func(ts *testscript.TestScript, _ bool, args []string) {
		f.page(ts, file, args[0])
	}
	testscript.Run(t, p)
}

// Every setting of tagctl stands in the table of the README.
func TestReadmeHasSettings(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var help bytes.Buffer
	cmd.Run([]string{"--help"}, os.LookupEnv, strings.NewReader(""), &help, &help)
	settings := regexp.MustCompile(`(?m)^  ([A-Z][A-Z_]+)  `).FindAllSubmatch(help.Bytes(), -1)
	if len(settings) < 3 {
		t.Errorf("only %d settings found in\n%s", len(settings), &help)
	}
	for _, setting := range settings {
		row := regexp.MustCompile("(?m)^\\|[^|]*`" + string(setting[1]) + "`[^|]*\\|[^|]*\\btagctl\\b[^|]*\\|")
		if !row.Match(readme) {
			t.Errorf("the README does not say that %s is a setting of tagctl", setting[1])
		}
	}
}

var (
	block   = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	command = regexp.MustCompile(`(?m)^\$ (.*)\n`)
	tabled  = regexp.MustCompile("(?m)^\\| `(tagctl \\w+ \\w+)")
)

// page writes a page to page.md, and to now.md what it should be by what its
// commands print. Before the first one that explains a thread, that thread is
// decided by the rules that the page shows there.
func (f fixture) page(ts *testscript.TestScript, file, thread string) {
	old, err := os.ReadFile(file)
	ts.Check(err)
	ts.Check(os.MkdirAll(ts.MkAbs("configs"), 0o777))
	ran := map[string]bool{}
	decided := false
	page := block.ReplaceAllStringFunc(string(old), func(text string) string {
		m := block.FindStringSubmatch(text)
		switch {
		case m[1] == "console":
			var b strings.Builder
			b.WriteString("```console\n")
			commands := command.FindAllStringSubmatch(m[2], -1)
			if len(commands) == 0 || !strings.HasPrefix(m[2], "$ ") {
				ts.Fatalf("no command in\n%s", text)
			}
			for _, c := range commands {
				if strings.HasPrefix(c[1], "tagctl rules explain") && !decided {
					f.decide(ts, false, []string{thread, "configs/rules.yaml", "2026-11-22T21:45:34Z"})
					decided = true
				}
				b.WriteString(c[0])
				b.WriteString(run(ts, c[1]))
				ran[strings.Join(strings.Fields(c[1])[:3], " ")] = true
			}
			b.WriteString("```")
			return b.String()
		case strings.HasPrefix(m[2], "tests:"):
			ts.Check(os.WriteFile(ts.MkAbs("configs/rules_test.yaml"), []byte(m[2]), 0o666))
		default:
			ts.Check(os.WriteFile(ts.MkAbs("configs/rules.yaml"), []byte(m[2]), 0o666))
		}
		return text
	})
	if len(ran) < 4 || !decided {
		ts.Fatalf("commands of %v only", ran)
	}
	for _, m := range tabled.FindAllStringSubmatch(page, -1) {
		if !ran[m[1]] {
			ts.Fatalf("the page does not show what %s prints", m[1])
		}
	}
	if os.Getenv("UPDATE") != "" {
		ts.Check(os.WriteFile(file, []byte(page), 0o666))
		old = []byte(page)
	}
	ts.Check(os.WriteFile(ts.MkAbs("page.md"), old, 0o666))
	ts.Check(os.WriteFile(ts.MkAbs("now.md"), []byte(page), 0o666))
}

// run gives what a command prints on a terminal without colours. Its answer may
// be no; anything else is a mistake of the page.
func run(ts *testscript.TestScript, line string) string {
	if !strings.HasPrefix(line, "tagctl ") {
		ts.Fatalf("%s is no command of ours", line)
	}
	err := ts.Exec("sh", "-c", "exec 2>&1; "+line)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		err = nil
	}
	if err != nil {
		ts.Fatalf("%s: %v\n%s", line, err, ts.ReadFile("stdout"))
	}
	out := ts.ReadFile("stdout")
	if out == "" {
		ts.Fatalf("%s prints nothing", line)
	}
	return out
}
