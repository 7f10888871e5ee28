// Package cmd is the command line of tagctl, one file per command.
//
// What a command was asked for goes to standard output, and so does the reason
// of exit status 1; the reason of exit status 2 and what else is worth knowing
// go to standard error.
package cmd

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"autotag/pkg/config"
)

// Exit statuses.
const (
	exitOK    = 0
	exitNo    = 1 // the answer is no, and it is on standard output
	exitUsage = 2 // wrong usage, or something that is needed is missing
)

// errNo ends a command whose answer is no. The answer is printed already.
var errNo = errors.New("the answer is no")

// session is what the commands of one run share.
type session struct {
	lookup config.Lookup
	stdin  io.Reader
	stdout *bufio.Writer
	stderr io.Writer

	terminal io.Writer // what stdout writes to
	width    int       // in columns

	settingsFile string
	rulesFile    string
	output       choice
}

// Run runs tagctl with the arguments after the program's name and returns its
// exit status. lookup finds variables of the environment.
func Run(args []string, lookup config.Lookup, stdin io.Reader, stdout, stderr io.Writer) int {
	s := &session{
		lookup: lookup, stdin: stdin, stdout: bufio.NewWriter(stdout), stderr: stderr, terminal: stdout, width: columns(stdout),
		output: choice{value: "text", of: []string{"text", "json", github}},
	}
	root := s.root()
	root.SetArgs(args)
	err := root.Execute()
	if flushed := s.stdout.Flush(); flushed != nil {
		err = fmt.Errorf("write standard output: %w", flushed)
	}
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errNo):
		return exitNo
	}
	fmt.Fprintf(stderr, "tagctl: %s\n", visibleLines(err.Error()))
	return exitUsage
}

func (s *session) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "tagctl",
		Short: "Check and try out Autotag's rules, and see what was decided",
		Long: `tagctl checks, tests and tries out the rules by which Autotag tags LiveChat chats,
and shows what was decided about conversations, and why.

Exit status: 0 fine; 1 the answer is no (a fault in the rules, a failed test, a
thread that is not decided); 2 wrong usage, or something is missing (a file, a
setting, NATS, Redis, LiveChat).
What is asked for and the reason of exit status 1 go to standard output, the
reason of exit status 2 and remarks to standard error.

Environment (what begins with LIVECHAT_ is for --fetch of rules try and rules explain alone):
` + strings.TrimRight(config.Usage(settings{}), "\n"),
		Example: `  tagctl rules check                          is configs/rules.yaml in order?
  tagctl rules test                           do the examples in configs/rules_test.yaml hold?
  tagctl rules try "Where is my parcel?"      which tags would this message get?
  tagctl decisions --since 2h                 what was decided in the last two hours?
  tagctl rules explain SJ4K2R8V0P             why has this conversation got its tags?
  source <(tagctl completion bash)            complete commands and flags in this shell`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: s.refuseGithub,
	}
	root.SetIn(s.stdin)
	root.SetOut(s.stdout) // the completion commands remember what it is when they are made
	root.SetErr(s.stderr)
	flags := root.PersistentFlags()
	flags.StringVar(&s.settingsFile, "config", "", "settings `FILE`, the names of the environment in lower case (default configs/tagctl.yaml if it is there)")
	flags.VarP(&s.output, "output", "o", "form of the result: text, json, or github (rules check and rules test)")
	complete(root, "output", s.output.of...)
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(s.rules(), s.decisions(), s.version())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	requireCommand(root)
	return root
}

// requireCommand makes every command that only groups others ask for one of
// them. Left alone, such a command takes a misspelt one for a call for help.
func requireCommand(c *cobra.Command) {
	for _, sub := range c.Commands() {
		requireCommand(sub)
		if c.Name() == "completion" {
			sub.Args = args(0, 0) // in our words
		}
	}
	if c.Runnable() || !c.HasSubCommands() {
		return
	}
	c.Args = cobra.ArbitraryArgs
	c.DisableFlagsInUseLine = true
	c.SuggestionsMinimumDistance = 2
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError(c, errors.New("which command?"))
		}
		err := fmt.Errorf("unknown command %s", shown(args[0]))
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			err = fmt.Errorf("%w; did you mean %s?", err, shown(near[0]))
		}
		return usageError(c, err)
	}
}

// flagError says what is wrong with a flag. Of those that judge values in the
// words of Go only the ones that are on or off are used here.
func flagError(c *cobra.Command, err error) error {
	var value *pflag.InvalidValueError
	if number := new(strconv.NumError); errors.As(err, &value) && errors.As(err, &number) {
		err = fmt.Errorf(`invalid argument %s for "--%s" flag: must be true or false`, shown(value.GetValue()), value.GetFlag().Name)
	}
	return usageError(c, err)
}

func usageError(c *cobra.Command, err error) error {
	return fmt.Errorf("%w\nTry: %s --help", err, c.CommandPath())
}

// args makes a command take from least to most arguments, all of the kind that
// its Use names.
func args(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		_, kind, _ := strings.Cut(c.Use, " ")
		kind = strings.Trim(kind, "[]")
		switch {
		case len(args) < least:
			return usageError(c, fmt.Errorf("which %s?", kind))
		case len(args) > most && most == 0:
			return usageError(c, fmt.Errorf("%s is too much: %s takes no argument", shown(args[0]), c.CommandPath()))
		case len(args) > most:
			return usageError(c, fmt.Errorf("%s is too much: %s takes one %s", shown(args[most]), c.CommandPath(), kind))
		}
		return nil
	}
}

// settings are those of tagctl that do not belong to one command.
type settings struct {
	RulesFile string `env:"RULES_FILE" envDefault:"configs/rules.yaml" desc:"the rules, where --rules does not name them"`
	NATSURL   string `env:"NATS_URL" envDefault:"nats://127.0.0.1:4222" desc:"NATS servers, comma-separated; for rules explain, rules try --thread and decisions"`
	NATSCreds string `env:"NATS_CREDS" desc:"NATS credentials file"`
	// RedisURL has no default: who does not set it has the stream alone read.
	RedisURL config.Secret `env:"REDIS_URL" desc:"the taggers' Redis, redis:// or rediss:// (TLS); rules try --thread reads it too if it is set"`
	config.LiveChat
}

// settings are those without LiveChat's tokens, which only --fetch needs, and
// without REDIS_URL: the other commands shall not fail where a file of theirs is
// missing.
func (s *session) settings() (settings, error) { return s.load("LIVECHAT_", "REDIS_") }

// load loads the settings, without those of the environment that begin with one
// of hidden.
func (s *session) load(hidden ...string) (settings, error) {
	var v settings
	err := config.Load(&v, "tagctl", s.settingsFile, func(name string) (string, bool) {
		if slices.ContainsFunc(hidden, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			return "", false
		}
		return s.lookup(name)
	})
	return v, err
}

// json prints v on a line of its own. What could steer a terminal is escaped,
// which a reader of JSON takes for the same.
func (s *session) json(v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	for _, r := range b.String() {
		if r >= 0x7f && visible(r) != string(r) {
			fmt.Fprintf(s.stdout, `\u%04x`, r)
		} else {
			s.stdout.WriteRune(r) // Run reports what fails
		}
	}
	return nil
}

func (s *session) wantsJSON() bool { return s.output.value == "json" }

// choice is a flag with a fixed set of values.
type choice struct {
	value string
	of    []string
}

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return strings.Join(c.of, "|") }

func (c *choice) Set(value string) error {
	for _, v := range c.of {
		if v == value {
			c.value = v
			return nil
		}
	}
	last := len(c.of) - 1
	return fmt.Errorf("must be %s or %s", strings.Join(c.of[:last], ", "), c.of[last])
}

// complete completes a flag with a fixed set of values.
func complete(c *cobra.Command, flag string, values ...string) {
	// It fails only for a flag that c does not have.
	if err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err)
	}
}
