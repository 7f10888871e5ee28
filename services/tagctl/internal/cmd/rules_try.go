package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"autotag/pkg/rules"
	"autotag/pkg/transcript"
)

// What standard input may hold: the size of a long chat, many times over.
const (
	maxInput    = 1 << 20 // bytes
	maxMessages = 5000
)

// tryReport is the JSON form of what the rules say about a chat.
type tryReport struct {
	Tags       []rules.Hit      `json:"tags"`
	Shadow     []rules.Hit      `json:"shadow"`
	NearMisses []rules.NearMiss `json:"near_misses"`
}

func (s *session) rulesTry() *cobra.Command {
	from := choice{value: string(transcript.Customer), of: []string{string(transcript.Customer), string(transcript.Agent), string(transcript.Bot)}}
	groups := groupList{0}
	var tagged []string
	c := &cobra.Command{
		Use:   "try [TEXT...]",
		Short: "Show which tags a chat would get, and why",
		Long: `try shows which tags the rules give to a chat, by which rule and term, and which
rules came close. Each TEXT is one message, so put quotes around it. Without a TEXT
each line of standard input is one message, up to 5,000 of them and 1 MiB in all.
Empty lines are left out.

Exit status: 0 also where no rule matches; 1 the rules are at fault; 2 a file is
missing or the usage wrong.

With -o json: {"tags": [{"tag", "rule", "evidence": []}], "shadow": [], "near_misses": []};
evidence names the messages t_1, t_2 and so on, and the place in characters.`,
		Example: `  tagctl rules try "Where is my parcel?"
  tagctl rules try "Hello" "I want my money back" --tagged vip
  tagctl rules try --from agent "We will call you back within 2 hours."
  tagctl rules try --groups 0,3 < chat.txt`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(_ *cobra.Command, texts []string) error {
			set, _, err := s.loadRules()
			if err != nil {
				return err
			}
			if len(texts) == 0 {
				texts, err = s.readLines()
			} else {
				err = checkTexts(texts)
			}
			if err != nil {
				return err
			}
			chat := &transcript.Transcript{
				Groups:   slices.Sorted(slices.Values(groups)),
				Tagged:   slices.Sorted(slices.Values(tagged)),
				Complete: true,
			}
			for _, text := range texts {
				if strings.TrimSpace(text) != "" {
					chat.Messages = append(chat.Messages, message(len(chat.Messages)+1, transcript.Author(from.value), text))
				}
			}
			result := set.Match(chat)
			if s.wantsJSON() {
				return s.json(tryReport{result.Tags, result.Shadow, result.NearMisses})
			}
			s.printResult(result, chat, from.value)
			return nil
		},
	}
	flags := c.Flags()
	flags.Var(&from, "from", "author of the messages: customer, agent or bot")
	flags.Var(&groups, "groups", "numbers of the groups that the chat is in, such as 0,7")
	flags.StringSliceVar(&tagged, "tagged", nil, "`TAGS` that people have set on the chat, such as vip,late")
	complete(c, "from", from.of...)
	complete(c, "groups")
	complete(c, "tagged")
	return c
}

// groupList is a flag with numbers of groups.
type groupList []int

func (g *groupList) String() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(*g), " ", ","), "[]")
}
func (g *groupList) Type() string { return "GROUPS" }

func (g *groupList) Set(value string) error {
	*g = nil
	for part := range strings.SplitSeq(value, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 0 {
			return errors.New("must be numbers of groups, such as 0,7")
		}
		*g = append(*g, n)
	}
	return nil
}

func message(number int, author transcript.Author, text string) transcript.Message {
	return transcript.Message{
		EventID: fmt.Sprintf("t_%d", number),
		At:      time.Unix(int64(number), 0).UTC(),
		Author:  author,
		Texts:   []transcript.Text{{Field: "text", Text: text}},
	}
}

// checkTexts refuses what no chat message can hold.
func checkTexts(texts []string) error {
	for i, text := range texts {
		if !utf8.ValidString(text) {
			return fmt.Errorf("text %d is not UTF-8", i+1)
		}
	}
	return nil
}

// readLines reads messages from standard input.
func (s *session) readLines() ([]string, error) {
	if f, ok := s.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintln(s.stderr, "One message a line; end with Ctrl-D on a line of its own (Windows: Ctrl-Z).")
	}
	data, err := io.ReadAll(io.LimitReader(s.stdin, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	if len(data) > maxInput {
		return nil, errors.New("standard input has more than 1 MiB; give one chat at a time")
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	var lines []string
	for line := range bytes.Lines(data) {
		n := len(lines) + 1
		switch {
		case n > maxMessages:
			return nil, fmt.Errorf("standard input has more than %d lines; give one chat at a time", maxMessages)
		case bytes.IndexByte(line, 0) >= 0:
			return nil, fmt.Errorf("standard input, line %d: a NUL byte; it must be text in UTF-8", n)
		case !utf8.Valid(line):
			return nil, fmt.Errorf("standard input, line %d: not UTF-8", n)
		}
		lines = append(lines, strings.TrimRight(string(line), "\r\n"))
	}
	return lines, nil
}

// printResult shows what the rules say about a chat.
func (s *session) printResult(r rules.Result, chat *transcript.Transcript, from string) {
	in := finds{chat}
	for _, h := range r.Tags {
		s.title(h.Tag, "")
		s.printHit(h, in)
	}
	for _, h := range r.Shadow {
		s.title(h.Tag, shadowRemark)
		s.printHit(h, in)
	}
	s.printMissed(r.Skipped, r.NearMisses)
	fmt.Fprintf(s.stdout, "%s for %s from %s\n", count(len(r.TagSet()), "tag"), count(len(chat.Messages), "message"), from)
}

const shadowRemark = " (shadow: recorded, not applied)"

// title prints a tag above its details.
func (s *session) title(tag, remark string) { fmt.Fprintln(s.stdout, wrap(0, 4, word(tag)+remark)) }

// detail prints a line below a title.
func (s *session) detail(rule, text string) {
	if rule != "" {
		text = "rule " + word(rule) + ": " + text
	}
	fmt.Fprintln(s.stdout, wrap(4, 8, text))
}

// printMissed shows the tags that are not applied, and those that nearly were.
func (s *session) printMissed(skipped []rules.Skip, near []rules.NearMiss) {
	for _, k := range skipped {
		s.title(k.Tag, " (not applied)")
		s.detail(k.Rule, skipReason(k))
	}
	for _, m := range near {
		s.title(m.Tag, " (near miss)")
		s.detail(m.Rule, missing(m))
	}
}

// printHit shows by which finds a rule matched.
func (s *session) printHit(h rules.Hit, in finds) {
	if len(h.Evidence) == 0 {
		s.detail(h.Rule, "no other rule matched")
	}
	for _, e := range h.Evidence {
		s.detail(h.Rule, fmt.Sprintf("%s found %s", word(e.Term), in.show(e)))
	}
	if h.More > 0 {
		s.detail(h.Rule, fmt.Sprintf("and %d more", h.More))
	}
}

// missing says what a near miss lacks, or what is in its way.
func missing(m rules.NearMiss) string {
	if veto, ok := strings.CutPrefix(m.Missing, "none: "); ok {
		return "vetoed by none: " + visibleText(veto)
	}
	return "missing " + visibleText(m.Missing)
}

func skipReason(k rules.Skip) string {
	switch k.Why {
	case rules.WhySet:
		return "matched, but an earlier rule of its set did too"
	case rules.WhyUnlessTagged:
		return "matched, but the chat bears a tag of unless_tagged"
	case rules.WhyPersonSet:
		return "matched, but a person has set the tag: it is left to people"
	case rules.WhyPersonRemoved:
		return "matched, but a person has removed the tag: it is not set again"
	}
	return "matched, but: " + word(k.Why)
}

// finds shows the places that evidence names in a chat.
type finds struct{ chat *transcript.Transcript }

// show gives the words of a find and, in a chat of several messages, where.
func (f finds) show(e rules.Evidence) string {
	for i, m := range f.chat.Messages {
		if m.EventID != e.EventID {
			continue
		}
		for _, t := range m.Texts {
			if t.Field != e.Field {
				continue
			}
			text := []rune(t.Text)
			found := "as " + shown(string(text[e.Start:e.End]))
			if len(f.chat.Messages) > 1 {
				found += fmt.Sprintf(" in message %d", i+1)
			}
			return found
		}
	}
	return "in " + e.EventID
}
