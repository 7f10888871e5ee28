package cmd

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"autotag/pkg/rules"
	"autotag/pkg/transcript"
)

// tryReport is the JSON form of what the rules say about a chat.
type tryReport struct {
	Tags       []rules.Hit      `json:"tags"`
	Shadow     []rules.Hit      `json:"shadow"`
	NearMisses []rules.NearMiss `json:"near_misses"`
}

func (s *session) rulesTry() *cobra.Command {
	author := choice{value: string(transcript.Customer), of: authors}
	color := choice{value: "auto", of: []string{"auto", "always", "never"}}
	var file, thread, only string
	var all, fetch bool
	groups := groupList{0}
	var tagged []string
	c := &cobra.Command{
		Use:   "try [TEXT...]",
		Short: "Show which tags a chat would get, and why",
		Long: `try shows the chat with what the rules find in it marked, and the verdict on each
rule as a tree: what was found, what was missing, what stood in the way. Rules of
which nothing is found are left out, unless --all or --rule asks for them.

Each TEXT is one message, so put quotes around it. Without a TEXT the chat is read
from --chat or standard input, up to 5,000 messages and 1 MiB, in one of these forms:
  lines, each a message, with "customer:", "agent:" or "bot:" before it (capitals and
    blanks do not matter), or of --from
  {"messages": [{"author": "agent", "text": "..."}]}, or that list alone; a message may
    have "internal": true or "deleted": true as well
  a chat of LiveChat with its thread: an answer of get_chat, an entry of list_archives
Empty messages are left out.

With --thread the chat is a real thread, as the webhooks in LIVECHAT_EVENTS (NATS_URL,
NATS_CREDS) tell it, together with what the taggers remember in Redis, if REDIS_URL is
set. Where one of the two is away the other is read alone. THREAD is what rules explain
takes: the id of a thread, chat/thread, or a link to one; Redis alone is asked for
chat/thread only. Which of its tags people have set is for --tagged to say.
With --fetch LiveChat is asked for the thread instead, with the token in the settings:
one billed call, or two where LiveChat sends it on to another region. It wants the chat
too: give chat/thread, unless NATS knows of the thread.

Without colours [[so]] is what gave a tag, [so] what else was found. Colours are used
on a terminal, unless NO_COLOR is set or TERM is dumb; --color decides otherwise.

Exit status: 0 also where no rule matches; 1 the rules are at fault; 2 a file or
a thread is missing, the usage wrong, or NATS, Redis or LiveChat out of reach.

With -o json: {"tags": [{"tag", "rule", "evidence": []}], "shadow": [], "near_misses": []};
evidence names the messages, t_1, t_2 and so on where they have no ids,
and the place in characters.`,
		Example: `  tagctl rules try "Where is my parcel?"
  tagctl rules try "Hello" "I want my money back" --tagged vip
  tagctl rules try --from agent "We will call you back within 2 hours."
  tagctl rules try --groups 0,3 < chat.txt
  tagctl rules try --chat chat.json --rule parcel-late
  tagctl rules try --thread SJ4K2R8V0P
  tagctl rules try --thread PJ0MRSHTDG/SJ4K2R8V0P --fetch`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, texts []string) error {
			set, _, err := s.loadRules()
			if err != nil {
				return err
			}
			if c.Flags().Changed("rule") {
				if err := requireRule(set, only, "tagctl rules try --all"); err != nil {
					return err
				}
			}
			var refs []threadRef
			if c.Flags().Changed("thread") {
				if len(texts) > 0 || file != "" || c.Flags().Changed("from") {
					return usageError(c, errors.New("--thread has its own messages; leave out TEXT, --chat and --from"))
				}
				if refs, err = parseThread(thread); err != nil {
					return usageError(c, err)
				}
			}
			if fetch && refs == nil {
				return usageError(c, errors.New("--fetch needs --thread"))
			}
			var chat *transcript.Transcript
			switch {
			case fetch:
				if chat, err = s.fetchedThread(c.Context(), thread, refs); err != nil {
					return err
				}
			case refs != nil:
				if chat, err = s.storedThread(c.Context(), thread, refs); err != nil {
					return err
				}
			case len(texts) > 0 && file != "":
				return usageError(c, errors.New("give either a TEXT or --chat"))
			case len(texts) > 0:
				if err := checkTexts(texts); err != nil {
					return err
				}
				chat = &transcript.Transcript{Complete: true}
				for _, text := range texts {
					addMessage(chat, transcript.Author(author.value), text, false)
				}
			default:
				if chat, err = s.readChat(file, transcript.Author(author.value)); err != nil {
					return err
				}
			}
			// A chat of LiveChat has its own, which the flags replace.
			if len(chat.Groups) == 0 || c.Flags().Changed("groups") {
				chat.Groups = slices.Sorted(slices.Values(groups))
			}
			if len(chat.Tagged) == 0 || c.Flags().Changed("tagged") {
				chat.Tagged = slices.Sorted(slices.Values(tagged))
			}
			result := set.Match(chat)
			if s.wantsJSON() {
				return s.json(tryReport{result.Tags, result.Shadow, result.NearMisses})
			}
			sc, e := s.newScreen(color.value), set.Explain(chat)
			if len(chat.Messages) > 0 {
				sc.chat(e, chat)
				fmt.Fprintln(s.stdout)
			}
			sc.verdicts(e, chat, all, only)
			fmt.Fprintf(s.stdout, "%s for %s%s\n", count(len(result.TagSet()), "tag"), count(len(chat.Messages), "message"), from(chat, author.value))
			return nil
		},
	}
	flags := c.Flags()
	flags.Var(&author, "from", "author of messages that do not name theirs: customer, agent or bot")
	flags.Var(&color, "color", "colours: auto, always or never")
	flags.StringVar(&file, "chat", "", "`FILE` with the chat, in one of these forms; - is standard input")
	flags.StringVar(&thread, "thread", "", "a real `THREAD` instead of a chat that is given")
	flags.BoolVar(&fetch, "fetch", false, "ask LiveChat for the thread (one billed call)")
	flags.BoolVar(&all, "all", false, "show the verdict on each rule")
	flags.StringVar(&only, "rule", "", "show the verdict on the rule of this `NAME` only")
	flags.Var(&groups, "groups", "numbers of the groups that the chat is in, such as 0,7")
	flags.StringSliceVar(&tagged, "tagged", nil, "`TAGS` that people have set on the chat, such as vip,late")
	complete(c, "from", author.of...)
	complete(c, "color", color.of...)
	complete(c, "thread")
	complete(c, "rule")
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

// from names who wrote a chat, where one side wrote all of it.
func from(chat *transcript.Transcript, one string) string {
	for _, m := range chat.Messages {
		if string(m.Author) != one {
			return ""
		}
	}
	return " from " + one
}

const shadowRemark = " (shadow: recorded, not applied)"

// title prints a tag above its details.
func (s *session) title(tag, remark string) { fmt.Fprintln(s.stdout, s.wrap(0, 4, word(tag)+remark)) }

// detail prints a line below a title.
func (s *session) detail(rule, text string) {
	if rule != "" {
		text = "rule " + word(rule) + ": " + text
	}
	fmt.Fprintln(s.stdout, s.wrap(4, 8, text))
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
