package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"autotag/pkg/rules"
	"autotag/pkg/transcript"
)

// testReport is the JSON form of a run of tests.
type testReport struct {
	Passed int          `json:"passed"`
	Failed int          `json:"failed"`
	Tests  []testResult `json:"tests"`
}

type testResult struct {
	Name    string   `json:"name"`
	OK      bool     `json:"ok"`
	Missing []string `json:"missing"` // expected and not given
	Extra   []string `json:"extra"`   // given and not expected

	place string // FILE:LINE
	test  rules.Case
}

// testFile is the tests of one file.
type testFile struct {
	path  string
	tests *rules.Tests
}

func (s *session) rulesTest() *cobra.Command {
	return &cobra.Command{
		Use:   "test [TESTFILE...]",
		Short: "Run the examples that stand beside the rules",
		Long: `test runs chats with the tags to expect against the rules. Without a TESTFILE it
takes the one beside the rules: rules_test.yaml for rules.yaml.

A failed test is shown with the tags that are missing and those that are too
many, and why.

Exit status: 0 all tests hold; 1 a test failed, or a file is at fault; 2 a file is
missing or the usage wrong.

With -o json: {"passed", "failed", "tests": [{"name", "ok", "missing": [], "extra": []}]}`,
		Example: `  tagctl rules test
  tagctl rules test --rules new-rules.yaml configs/rules_test.yaml
  cat configs/rules_test.yaml
    tests:
      - name: refund asked for
        chat: [{customer: "I want my MONEY-BACK"}, {agent: Sure}]
        tags: [refund]`,
		ValidArgsFunction: completeFiles(1000),
		RunE: func(_ *cobra.Command, args []string) error {
			set, path, err := s.loadRules()
			if err != nil {
				return err
			}
			files, err := s.loadTests(set, path, args)
			if err != nil {
				return err
			}
			report := testReport{Tests: []testResult{}}
			for _, f := range files {
				report.run(set, f)
			}
			if s.wantsJSON() {
				err = s.json(report)
			} else {
				report.print(s, set)
			}
			if err == nil && report.Failed > 0 {
				err = errNo
			}
			return err
		},
	}
}

// loadTests reads the files of tests, all of them before any is run.
func (s *session) loadTests(set *rules.Set, rulesPath string, paths []string) (files []testFile, err error) {
	named := len(paths) > 0
	if !named {
		ending := filepath.Ext(rulesPath)
		paths = []string{strings.TrimSuffix(rulesPath, ending) + "_test" + ending}
	}
	contents := make([][]byte, len(paths))
	for i, path := range paths {
		contents[i], err = readFile(path)
		if errors.Is(err, fs.ErrNotExist) && !named {
			err = fmt.Errorf("%w; tests that are not beside the rules are named as arguments", err)
		}
		if err != nil {
			return nil, err
		}
	}
	failed := false
	for i, path := range paths {
		tests, problems := rules.ParseTests(path, contents[i], set)
		if tests == nil {
			failed = true
			if err := s.report(rules.NewReport(path, problems)); err != nil {
				return nil, err
			}
			continue
		}
		fmt.Fprint(s.stderr, problems)
		files = append(files, testFile{path, tests})
	}
	if failed {
		return nil, errNo
	}
	return files, nil
}

func (r *testReport) run(set *rules.Set, f testFile) {
	for _, test := range f.tests.Cases {
		missing, extra := test.Run(set)
		ok := len(missing)+len(extra) == 0
		if ok {
			r.Passed++
		} else {
			r.Failed++
		}
		r.Tests = append(r.Tests, testResult{test.Name, ok, missing, extra, fmt.Sprintf("%s:%d", f.path, test.Line), test})
	}
}

func (r *testReport) print(s *session, set *rules.Set) {
	for _, t := range r.Tests {
		if t.OK {
			continue
		}
		fmt.Fprintf(s.stdout, "%s: failed: %s\n", t.place, t.Name)
		result := set.Match(t.test.Chat)
		for _, tag := range t.Missing {
			fmt.Fprintf(s.stdout, "  missing: %s\n", tag)
			s.whyMissing(set, t.test.Chat, result, tag)
		}
		for _, tag := range t.Extra {
			fmt.Fprintf(s.stdout, "  extra:   %s\n", tag)
			s.whyExtra(result, tag, finds{t.test.Chat})
		}
	}
	fmt.Fprintf(s.stdout, "%d passed, %d failed\n", r.Passed, r.Failed)
}

// shadowMark ends the tags of shadow rules in what a test reports.
const shadowMark = " (shadow)"

// whyMissing prints what the rules of a missing tag came to.
func (s *session) whyMissing(set *rules.Set, chat *transcript.Transcript, result rules.Result, tag string) {
	name, shadow := strings.CutSuffix(tag, shadowMark)
	for _, r := range set.Rules {
		if r.Tag != name {
			continue
		}
		ofRule := func(h rules.Hit) bool { return h.Rule == r.Name }
		near := slices.IndexFunc(result.NearMisses, func(m rules.NearMiss) bool { return m.Rule == r.Name })
		skipped := slices.IndexFunc(result.Skipped, func(k rules.Skip) bool { return k.Rule == r.Name })
		why := ""
		switch {
		case near >= 0:
			why = "near miss, " + missing(result.NearMisses[near])
		case skipped >= 0:
			why = skipReason(result.Skipped[skipped])
		case r.Status == rules.Off:
			why = "is off"
		case r.Groups != nil && !slices.ContainsFunc(r.Groups, func(g int) bool { return slices.Contains(chat.Groups, g) }):
			why = fmt.Sprintf("is for groups %v, the chat is in %v", r.Groups, chat.Groups)
		case !shadow && slices.ContainsFunc(result.Shadow, ofRule):
			why = "matched, but is a shadow rule"
		case shadow && slices.ContainsFunc(result.Tags, ofRule):
			why = "matched, but is no shadow rule"
		case r.Fallback:
			why = "is a fallback, and other rules matched"
		default:
			continue
		}
		s.detail(r.Name, why)
	}
}

// whyExtra prints which rules gave a tag, and by which finds.
func (s *session) whyExtra(result rules.Result, tag string, in finds) {
	name, shadow := strings.CutSuffix(tag, shadowMark)
	hits := result.Tags
	if shadow {
		hits = result.Shadow
	}
	for _, h := range hits {
		if h.Tag == name {
			s.printHit(h, in)
		}
	}
}
