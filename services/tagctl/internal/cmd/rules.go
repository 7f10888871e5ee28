package cmd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"autotag/pkg/rules"
)

func (s *session) rules() *cobra.Command {
	c := &cobra.Command{
		Use:   "rules",
		Short: "Check, test and try out a rules file, and explain decisions",
		Example: `  tagctl rules check
  tagctl rules test
  tagctl rules try "Where is my parcel?"
  tagctl rules explain SJ4K2R8V0P`,
	}
	c.PersistentFlags().StringVar(&s.rulesFile, "rules", "", "rules `FILE` (default: the setting RULES_FILE, else configs/rules.yaml)")
	if err := c.MarkPersistentFlagFilename("rules", yamlFiles...); err != nil {
		panic(err) // it fails only for a flag that c does not have
	}
	c.AddCommand(s.rulesCheck(), s.rulesTest(), s.rulesTry(), s.rulesExplain())
	return c
}

// yamlFiles are the endings of files that are offered as rules.
var yamlFiles = []string{"yaml", "yml", "json"}

// completeFiles offers files for a command's arguments, at most most of them.
func completeFiles(most int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return yamlFiles, cobra.ShellCompDirectiveFilterFileExt
	}
}

// rulesPath is the rules file to use.
func (s *session) rulesPath() (string, error) {
	if s.rulesFile != "" {
		return s.rulesFile, nil
	}
	v, err := s.settings()
	return v.RulesFile, err
}

// loadRules reads the rules for a command that needs them. What is merely odd
// about them is for rules check to tell.
func (s *session) loadRules() (set *rules.Set, path string, err error) {
	if path, err = s.rulesPath(); err != nil {
		return nil, "", err
	}
	data, err := s.readRules(path)
	if err != nil {
		return nil, "", err
	}
	set, problems := rules.Parse(path, data)
	if set == nil {
		if err := s.report(rules.NewReport(path, problems)); err != nil {
			return nil, "", err
		}
		return nil, "", errNo
	}
	if n := len(problems); n > 0 {
		fmt.Fprintf(s.stderr, "tagctl: %s in %s; see tagctl rules check\n", count(n, "warning"), visibleText(path))
	}
	return set, path, nil
}

// requireRule refuses the name of a rule that a set does not have; all is the
// command that shows those it has.
func requireRule(set *rules.Set, name, all string) error {
	names := make([]string, len(set.Rules))
	for i, r := range set.Rules {
		names[i] = r.Name
	}
	if slices.Contains(names, name) {
		return nil
	}
	for _, r := range set.Rules {
		if r.Tag == name {
			return fmt.Errorf("no rule is named %s, which is the tag of rule %s; give that name", shown(name), shown(r.Name))
		}
	}
	if near := rules.Nearest(name, names); near != "" {
		return fmt.Errorf("no rule is named %s; did you mean %s?", shown(name), shown(near))
	}
	return fmt.Errorf("no rule is named %s; %s shows the names", shown(name), all)
}

// readRules reads a rules file and says how to name another one if it is not
// there.
func (s *session) readRules(path string) ([]byte, error) {
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) && s.rulesFile == "" {
		err = fmt.Errorf("%w; name the rules with --rules FILE or in RULES_FILE", err)
	}
	return data, err
}

// readFile reads a file, but not far beyond what one may have.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, rules.MaxFile+1))
}
