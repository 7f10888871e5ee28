package cmd

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"autotag/pkg/rules"
)

// github is the form of output that GitHub Actions shows beside the lines of
// the files: https://docs.github.com/actions/reference/workflow-commands-for-github-actions
const github = "github"

// annotates marks the commands that have this form.
var annotates = map[string]string{github: "yes"}

// refuseGithub refuses the form for a command that has nothing to annotate.
func (s *session) refuseGithub(c *cobra.Command, _ []string) error {
	if s.output.value == github && c.Annotations[github] == "" {
		return usageError(c, fmt.Errorf("-o github is for rules check and rules test; write -o text or -o json"))
	}
	return nil
}

var (
	annotationText  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	annotationValue = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// annotations prints the problems of a file.
func (s *session) annotations(ps rules.Problems) {
	for _, p := range ps {
		s.annotation(string(p.Severity), p.File, p.Line, p.Column, "", p.Message)
	}
}

// annotation prints one annotation; level is error, warning or notice.
func (s *session) annotation(level, file string, line, column int, title, text string) {
	at := fmt.Sprintf("file=%s,line=%d,col=%d", annotationValue.Replace(visibleText(file)), line, column)
	if title != "" {
		at += ",title=" + annotationValue.Replace(title)
	}
	fmt.Fprintf(s.stdout, "::%s %s::%s\n", level, at, annotationText.Replace(text))
}
