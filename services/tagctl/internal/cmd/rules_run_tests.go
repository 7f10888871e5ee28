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
	// Only where they are asked for.
	Coverage *rules.Coverage `json:"coverage,omitempty"`
	Mutation *rules.Mutation `json:"mutation,omitempty"`
}

type testResult struct {
	Name    string             `json:"name"`
	OK      bool               `json:"ok"`
	Missing []rules.Difference `json:"missing"` // expected and not given
	Extra   []rules.Difference `json:"extra"`   // given and not expected

	path   string
	test   rules.Case
	result rules.Result
}

// testFile is the tests of one file.
type testFile struct {
	path  string
	tests *rules.Tests
}

func (s *session) rulesTest() *cobra.Command {
	var thorough thoroughness
	c := &cobra.Command{
		Annotations: annotates,
		Use:         "test [TESTFILE...]",
		Short:       "Run the examples that stand beside the rules",
		Long: `test runs chats with the tags to expect against the rules. Without a TESTFILE it
takes the one beside the rules: rules_test.yaml for rules.yaml.

A test says what must come of a chat: with tags exactly these tags, with not_tags
none of those; an entry of tags may also ask for the rule that gives the tag, and
for words of the chat that its evidence must name. A test of one message fits in a
line:

  - "where is my parcel": [late-delivery]

A failed test is shown with the tags that are missing and those that are too
many, and why.

--coverage shows for each rule whether it matched in a test that asks what comes of
it, and which of its terms were found in one where they count: in messages that the
rule looks at. Entries of a list count once. --mutate takes each term out of the
rules in turn and runs the tests again; it lists the terms that no test would miss.

Exit status: 0 all tests hold; 1 a test failed, a file is at fault, or the tests
reach less than --min-coverage or --min-mutation; 2 a file is missing or the usage
wrong.

With -o json: {"passed", "failed", "tests": [{"name", "ok", "missing": [], "extra": []}]},
with --coverage also "coverage": {"rules": {"covered", "total"}, "terms": {"covered",
"total"}, "by_rule": [], "by_list": []}, with --mutate also "mutation": {"terms",
"noticed", "unnoticed": [{"rule" or "list", "term", "line", "column"}]}.
With -o github: annotations for GitHub Actions, at the line of each failed test.`,
		Example: `  tagctl rules test
  tagctl rules test --rules new-rules.yaml configs/rules_test.yaml
  tagctl rules test --coverage --mutate
  tagctl rules test --min-coverage 90 -o github
  cat configs/rules_test.yaml
    tests:
      - name: refund asked for
        chat: [{customer: "I want my MONEY-BACK"}, {agent: Sure}]
        tags: [refund]`,
		ValidArgsFunction: completeFiles(1000),
		RunE: func(c *cobra.Command, args []string) error {
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
			enough := thorough.add(&report, set, files)
			switch s.output.value {
			case "json":
				err = s.json(report)
			case github:
				report.annotate(s, set)
				report.annotateThoroughness(s, path, thorough)
			default:
				report.print(s, set)
				report.printThoroughness(s, path, thorough)
			}
			if err == nil && (report.Failed > 0 || !enough) {
				err = errNo
			}
			return err
		},
	}
	thorough.flags(c.Flags())
	return c
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
		if s.output.value == github {
			s.annotations(problems)
		} else {
			fmt.Fprint(s.stderr, problems)
		}
		files = append(files, testFile{path, tests})
	}
	if failed {
		return nil, errNo
	}
	return files, nil
}

func (r *testReport) run(set *rules.Set, f testFile) {
	for _, test := range f.tests.Cases {
		result := set.Match(test.Chat)
		missing, extra := test.Compare(result)
		ok := len(missing)+len(extra) == 0
		if ok {
			r.Passed++
		} else {
			r.Failed++
		}
		r.Tests = append(r.Tests, testResult{test.Name, ok, missing, extra, f.path, test, result})
	}
}

// print shows the tests that failed: what was expected, what came, and why.
func (r *testReport) print(s *session, set *rules.Set) {
	for _, t := range r.Tests {
		if t.OK {
			continue
		}
		fmt.Fprintf(s.stdout, "%s:%d: failed: %s\n", visibleText(t.path), t.test.Line, visibleText(t.Name))
		fmt.Fprintln(s.stdout, s.wrap(2, 12, "expected: "+expected(t.test)))
		fmt.Fprintln(s.stdout, s.wrap(2, 12, "got:      "+got(t)))
		e := t.explainMissing(set)
		for _, d := range t.Missing {
			fmt.Fprintf(s.stdout, "  missing:  %s\n", visibleText(d.String()))
			s.whyMissing(e, t, d)
		}
		for _, d := range t.Extra {
			fmt.Fprintf(s.stdout, "  extra:    %s\n", visibleText(d.String()))
			s.whyExtra(t, d)
		}
	}
	fmt.Fprintf(s.stdout, "%d passed, %d failed\n", r.Passed, r.Failed)
}

// expected says which tags a test asks for.
func expected(c rules.Case) string {
	var parts []string
	if c.Tags != nil {
		parts = append(parts, "exactly "+tagList(c.Tags))
	}
	if len(c.NotTags) > 0 {
		parts = append(parts, "none of "+tagList(c.NotTags))
	}
	if c.Shadow != nil {
		parts = append(parts, "shadow "+tagList(c.Shadow))
	}
	return strings.Join(parts, ", ")
}

// got says which tags came, in the words of expected.
func got(t testResult) string {
	text := tagList(t.result.TagSet())
	if t.test.Shadow != nil {
		var tags []string
		for _, h := range t.result.Shadow {
			tags = append(tags, h.Tag)
		}
		slices.Sort(tags)
		text += ", shadow " + tagList(slices.Compact(tags))
	}
	return text
}

func tagList(tags []string) string {
	words := make([]string, len(tags))
	for i, t := range tags {
		words[i] = word(t)
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// explainMissing explains the rules that would give what is missing.
func (t testResult) explainMissing(set *rules.Set) rules.Explanation {
	return set.ExplainSome(t.test.Chat, func(r *rules.Rule) bool {
		return slices.ContainsFunc(t.Missing, func(d rules.Difference) bool { return mayGive(r, d) })
	})
}

// whyMissing prints what the rules of a missing tag came to.
func (s *session) whyMissing(e rules.Explanation, t testResult, d rules.Difference) {
	sc := s.newScreen("never")
	for _, v := range e.Rules {
		if !mayGive(v.Rule, d) {
			continue
		}
		if d.Evidence != "" {
			for _, h := range t.result.Tags {
				if h.Rule == v.Rule.Name {
					s.printHit(h, finds{t.test.Chat})
				}
			}
			continue
		}
		if v.Verdict == rules.NotMatched && !v.Near && (v.Found || len(outside(v.Body)) > 0) {
			s.detail(v.Rule.Name, verdictText(v))
			sc.parts(8, v.Body, t.test.Chat)
		} else if why := whyNot(v, t.test.Chat, d.Shadow); why != "" {
			s.detail(v.Rule.Name, why)
		}
	}
}

// mayGive says whether a rule would give what is missing.
func mayGive(r *rules.Rule, d rules.Difference) bool {
	return r.Tag == d.Tag && (d.Rule == "" || d.Rule == r.Name)
}

// whyNot says in a line why a rule does not give its tag, or its shadow tag.
func whyNot(v rules.RuleVerdict, chat *transcript.Transcript, shadow bool) string {
	switch isShadow := v.Rule.Status == rules.Shadow; {
	case v.Verdict == rules.Matched && isShadow && !shadow:
		return "matched, but is a shadow rule"
	case v.Verdict == rules.Matched && !isShadow && shadow:
		return "matched, but is no shadow rule"
	case v.Verdict == rules.Matched:
		return ""
	case v.Verdict == rules.NotInGroups:
		return fmt.Sprintf("is for groups %v, the chat is in %v", v.Rule.Groups, chat.Groups)
	case v.Verdict != rules.NotMatched || v.Near:
		return verdictText(v)
	case v.Found:
		return "not matched: more than one thing is missing"
	}
	if elsewhere := outside(v.Body); len(elsewhere) > 0 {
		return "not matched: " + termText(elsewhere[0], chat)
	}
	return "not matched: nothing of it is found"
}

// outside gives the terms that are found only where the rule does not look.
func outside(f *rules.Finding) (terms []*rules.Finding) {
	seen := map[*rules.Finding]bool{nil: true} // a list is the same one wherever it is used
	var walk func(f *rules.Finding)
	walk = func(f *rules.Finding) {
		if seen[f] {
			return
		}
		seen[f] = true
		if len(f.Places) == 0 && len(f.Outside) > 0 {
			terms = append(terms, f)
		}
		for _, part := range slices.Concat(f.Any, f.All, f.Entries) {
			walk(part)
		}
	}
	walk(f)
	return terms
}

// whyExtra prints which rules gave a tag, and by which finds.
func (s *session) whyExtra(t testResult, d rules.Difference) {
	hits := t.result.Tags
	if d.Shadow {
		hits = t.result.Shadow
	}
	for _, h := range hits {
		if h.Tag == d.Tag && (d.Rule == "" || h.Rule == d.Rule) {
			s.printHit(h, finds{t.test.Chat})
		}
	}
}

// annotate prints the tests that failed for GitHub.
func (r *testReport) annotate(s *session, set *rules.Set) {
	for _, t := range r.Tests {
		if t.OK {
			continue
		}
		e := t.explainMissing(set)
		why := []string{"expected " + expected(t.test) + ", got " + got(t)}
		for _, d := range t.Missing {
			line := "missing " + visibleText(d.String())
			for _, v := range e.Rules {
				if not := whyNot(v, t.test.Chat, d.Shadow); mayGive(v.Rule, d) && d.Evidence == "" && not != "" {
					line += "; rule " + word(v.Rule.Name) + ": " + not
				}
			}
			why = append(why, line)
		}
		for _, d := range t.Extra {
			why = append(why, "extra "+visibleText(d.String()))
		}
		s.annotation("error", t.path, t.test.Line, t.test.Column, "failed: "+visibleText(t.Name), strings.Join(why, "\n"))
	}
	fmt.Fprintf(s.stdout, "%d passed, %d failed\n", r.Passed, r.Failed)
}
