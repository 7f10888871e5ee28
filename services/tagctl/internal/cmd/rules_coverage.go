package cmd

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/rivo/uniseg"
	"github.com/spf13/pflag"

	"autotag/pkg/rules"
)

// thoroughness is what rules test tells of the tests themselves when asked.
type thoroughness struct {
	coverage, mutate         bool
	minCoverage, minMutation float64
}

func (t *thoroughness) flags(flags *pflag.FlagSet) {
	flags.BoolVar(&t.coverage, "coverage", false, "show which rules and terms the tests look at")
	flags.Var((*percent)(&t.minCoverage), "min-coverage", "fail below this `PERCENT` of rules or of terms (with --coverage)")
	flags.BoolVar(&t.mutate, "mutate", false, "show the terms that no test would miss")
	flags.Var((*percent)(&t.minMutation), "min-mutation", "fail below this `PERCENT` of terms that a test would miss (with --mutate)")
}

// percent is a flag with a percentage.
type percent float64

func (p *percent) String() string { return strconv.FormatFloat(float64(*p), 'g', -1, 64) }
func (p *percent) Type() string   { return "PERCENT" }

func (p *percent) Set(text string) error {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0 && n <= 100) { // nor is NaN
		return errors.New("must be a percentage, a number from 0 to 100")
	}
	*p = percent(n)
	return nil
}

// add fills in what was asked for, and says whether it is enough.
func (t *thoroughness) add(r *testReport, set *rules.Set, files []testFile) (enough bool) {
	var cases []rules.Case
	for _, f := range files {
		cases = append(cases, f.tests.Cases...)
	}
	enough = true
	if t.coverage || t.minCoverage > 0 {
		c := set.Coverage(cases)
		r.Coverage = &c
		enough = c.Rules.Percent() >= t.minCoverage && c.Terms.Percent() >= t.minCoverage
	}
	if t.mutate || t.minMutation > 0 {
		m := set.Mutate(cases)
		r.Mutation = &m
		enough = enough && m.Share().Percent() >= t.minMutation
	}
	return enough
}

// printThoroughness shows the coverage as a table, and the terms that no test
// would miss.
func (r *testReport) printThoroughness(s *session, path string, t thoroughness) {
	path = visibleText(path)
	if c := r.Coverage; c != nil {
		fmt.Fprintln(s.stdout)
		s.printCoverage(path, c)
		tooLittle(s, "coverage", min(c.Rules.Percent(), c.Terms.Percent()), t.minCoverage)
	}
	if m := r.Mutation; m != nil {
		fmt.Fprintln(s.stdout)
		for _, p := range m.Unnoticed {
			fmt.Fprintf(s.stdout, "%s:%d:%d: no test would miss %s (%s)\n", path, p.Line, p.Column, word(p.Term), owner(p))
		}
		fmt.Fprintf(s.stdout, "mutation: of %s, %s would be missed\n", count(m.Terms, "term"), share(m.Share()))
		if r.Failed > 0 {
			fmt.Fprintf(s.stdout, "mutation: without the %s that failed\n", count(r.Failed, "test"))
		}
		tooLittle(s, "mutation", m.Share().Percent(), t.minMutation)
	}
}

func tooLittle(s *session, what string, got, least float64) {
	if got < least {
		fmt.Fprintf(s.stdout, "%s: less than %g %%\n", what, least)
	}
}

func (s *session) printCoverage(path string, c *rules.Coverage) {
	type row struct {
		name, verdict string
		rules.Share
		uncovered []rules.TermPlace
	}
	var rows []row
	for _, r := range c.ByRule {
		verdict := "matched"
		if !r.Matched {
			verdict = "never matched"
		}
		rows = append(rows, row{word(r.Rule), verdict, r.Share, r.Uncovered})
	}
	for _, l := range c.ByList {
		rows = append(rows, row{"list " + word(l.List), "", l.Share, l.Uncovered})
	}
	longest := len("rule")
	for _, r := range rows {
		longest = max(longest, uniseg.StringWidth(r.name))
	}
	pad := func(text string, to int) string {
		return text + strings.Repeat(" ", max(0, to-uniseg.StringWidth(text)))
	}
	line := func(name, verdict, terms string) {
		fmt.Fprintln(s.stdout, strings.TrimRight(pad(name, longest)+"  "+pad(verdict, len("never matched"))+"  "+terms, " "))
	}
	line("rule", "", "terms found")
	for _, r := range rows {
		terms := "-"
		if r.Total > 0 {
			terms = fmt.Sprintf("%d of %d", r.Covered, r.Total)
		}
		line(r.name, r.verdict, terms)
		for _, p := range r.uncovered {
			fmt.Fprintf(s.stdout, "    %s:%d:%d: in no test: %s\n", path, p.Line, p.Column, word(p.Term))
		}
	}
	fmt.Fprintf(s.stdout, "coverage: %s of the rules, %s of the terms\n", share(c.Rules), share(c.Terms))
}

// share shows a part of a whole, rounded down, so that only all is 100 %.
func share(p rules.Share) string {
	return fmt.Sprintf("%d %% (%d of %d)", int(p.Percent()), p.Covered, p.Total)
}

func owner(p rules.TermPlace) string {
	if p.List != "" {
		return "list " + word(p.List)
	}
	return "rule " + word(p.Rule)
}

// annotateThoroughness says for GitHub where the tests see too little.
func (r *testReport) annotateThoroughness(s *session, path string, t thoroughness) {
	if c := r.Coverage; c != nil {
		note := func(places []rules.TermPlace) {
			for _, p := range places {
				s.annotation("warning", path, p.Line, p.Column, "", "in no test: "+word(p.Term))
			}
		}
		for _, of := range c.ByRule {
			if !of.Matched {
				s.annotation("warning", path, of.Line, 1, "", "rule "+word(of.Rule)+" matches in no test")
			}
			note(of.Uncovered)
		}
		for _, of := range c.ByList {
			note(of.Uncovered)
		}
		fmt.Fprintf(s.stdout, "coverage: %s of the rules, %s of the terms\n", share(c.Rules), share(c.Terms))
		if t.minCoverage > min(c.Rules.Percent(), c.Terms.Percent()) {
			s.annotation("error", path, 1, 1, "", fmt.Sprintf("coverage: less than %g %%: %s of the rules, %s of the terms", t.minCoverage, share(c.Rules), share(c.Terms)))
		}
	}
	if m := r.Mutation; m != nil {
		for _, p := range m.Unnoticed {
			s.annotation("warning", path, p.Line, p.Column, "", "no test would miss "+word(p.Term)+" ("+owner(p)+")")
		}
		fmt.Fprintf(s.stdout, "mutation: of %s, %s would be missed\n", count(m.Terms, "term"), share(m.Share()))
		if t.minMutation > m.Share().Percent() {
			s.annotation("error", path, 1, 1, "", fmt.Sprintf("mutation: less than %g %%: of %s, %s would be missed", t.minMutation, count(m.Terms, "term"), share(m.Share())))
		}
	}
}
