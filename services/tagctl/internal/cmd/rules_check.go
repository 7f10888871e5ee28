package cmd

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"autotag/pkg/rules"
)

func (s *session) rulesCheck() *cobra.Command {
	var strict bool
	c := &cobra.Command{
		Annotations: annotates,
		Use:         "check [FILE]",
		Short:       "Tell whether a rules file is in order",
		Long: `check reads a rules file as the tagger does and lists every fault and warning
with its place. A file with a fault is refused as a whole: no rule of it takes
effect. Warnings point at what is probably a mistake and leave the file usable.

Exit status: 0 no fault; 1 a fault (with --strict also a warning); 2 the file is
missing or the usage wrong.

With -o json: {"file", "ok", "problems": [{"line", "column", "severity", "message"}]},
severity being error or warning. Columns count characters from 1. Every command
prints this for a file that is at fault.
With -o github: annotations for GitHub Actions, which shows them beside the lines.`,
		Example: `  tagctl rules check
  tagctl rules check new-rules.yaml --strict
  tagctl rules check -o github               in a workflow of GitHub Actions
  tagctl rules check -o json | jq -r '.problems[].message'`,
		Args:              args(0, 1),
		ValidArgsFunction: completeFiles(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				if s.rulesFile != "" {
					return usageError(c, errors.New("name the file once, as FILE or with --rules"))
				}
				s.rulesFile = args[0]
			}
			path, err := s.rulesPath()
			if err != nil {
				return err
			}
			data, err := s.readRules(path)
			if err != nil {
				return err
			}
			set, problems := rules.Parse(path, data)
			report := rules.NewReport(path, problems)
			if strict && len(problems) > 0 {
				report.OK = false
			}
			if set != nil && len(problems) == 0 && !s.wantsJSON() {
				fmt.Fprintf(s.stdout, "%s: %s, fine\n", visibleText(path), count(len(set.Rules), "rule"))
			} else if err := s.report(report); err != nil {
				return err
			}
			if !report.OK {
				return errNo
			}
			return nil
		},
	}
	c.Flags().BoolVar(&strict, "strict", false, "warnings are an error too: exit status 1")
	return c
}

// report prints what is wrong with a file.
func (s *session) report(r rules.Report) error {
	if s.wantsJSON() {
		return s.json(r)
	}
	faults, warnings := 0, 0
	for _, p := range r.Problems {
		if p.Severity == rules.Error {
			faults++
		} else {
			warnings++
		}
		if s.output.value == github {
			s.annotation(string(p.Severity), p.File, p.Line, p.Column, "", p.Message)
		} else {
			fmt.Fprintln(s.stdout, p)
		}
	}
	var found []string
	if faults > 0 {
		found = append(found, count(faults, "fault"))
	}
	if warnings > 0 {
		found = append(found, count(warnings, "warning"))
	}
	fmt.Fprintf(s.stdout, "%s in %s\n", strings.Join(found, ", "), visibleText(r.File))
	return nil
}
