package cmd

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"autotag/pkg/decision"
	"autotag/pkg/rules"
	"autotag/pkg/stream"
	"autotag/pkg/transcript"
)

const (
	labelWidth = 14 // of what stands before each line of a header
	mostLines  = 5  // of a list that only rounds the picture off
	around     = 40 // characters shown on each side of a find
)

// label prints one line of a header.
func (s *session) label(name, text string) {
	fmt.Fprintln(s.stdout, s.wrap(0, labelWidth, fmt.Sprintf("%-*s%s", labelWidth, name, text)))
}

// printExplanation shows an explanation to people; asked is what they asked
// for.
func (s *session) printExplanation(e *explanation, asked string) {
	if e.ThreadID == "" {
		fmt.Fprintln(s.stdout, s.wrap(0, 0, fmt.Sprintf("%s is unknown: %s has no decision about it and %s no webhook of it. "+
			"Decisions are kept for months, webhooks for days. Is the id right, and is it of an organization whose webhooks come here?",
			asked, stream.Decisions, stream.Events)))
		return
	}
	if e.asked != "" {
		which := "decided last"
		if e.Decision == nil {
			which = "with the newest webhook"
		}
		which = fmt.Sprintf("of its %d threads this is the one %s", 1+len(e.Others), which)
		if len(e.Others) == 0 {
			which = "this is its only thread"
		}
		s.label("asked for", fmt.Sprintf("chat %s; %s", e.asked, which))
	}
	s.label("thread", fmt.Sprintf("%s of chat %s, organization %s", e.ThreadID, e.ChatID, e.OrganizationID))
	if len(e.Others) > 0 {
		s.label("others", others(e))
	}
	if e.Decision == nil {
		s.printUndecided(e)
		return
	}
	s.printDecision(e)
	s.printCalls(e)
}

// others names the further threads that were meant, as they can be asked for.
func others(e *explanation) string {
	names := e.Others
	var list []string
	for _, n := range names[:min(len(names), mostLines)] {
		name := n.ChatID + "/" + n.ThreadID
		if n.OrganizationID != e.OrganizationID {
			name = n.OrganizationID + "/" + name
		}
		list = append(list, name)
	}
	if more := len(names) - len(list); more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(list, ", ")
}

var reasons = map[string]string{
	decision.ReasonEnded:     "after its end",
	decision.ReasonLateEvent: "again, because something arrived after a decision",
	decision.ReasonSweep:     "by a search of the archives",
	decision.ReasonBackfill:  "by a backfill",
}

func (s *session) printDecision(e *explanation) {
	d := e.Decision
	why := reasons[d.Reason]
	if why == "" {
		why = word(d.Reason)
	}
	s.label("decided", clock(d.DecidedAt)+", "+why)
	s.label("rules", shortVersion(d.RulesVersion)+inForceRemark(e))
	t := d.Transcript
	state := "complete"
	switch {
	case t.Cut:
		state = "cut: the conversation is longer than what is looked at"
	case !t.Complete:
		state = "incomplete: webhooks are missing or unclear, and LiveChat did not tell; fallback rules did not apply"
	}
	s.label("transcript", fmt.Sprintf("%s, %s", count(t.Messages, "message"), state))
	s.label("events from", fmt.Sprintf("Redis %d, %s %d, LiveChat's API %d", t.From.Redis, stream.Events, t.From.Log, t.From.API))
	for i, earlier := range e.Earlier[max(0, len(e.Earlier)-mostLines):] {
		name := ""
		if i == 0 {
			name = "before"
		}
		tags := words(earlier.Tags)
		if tags == "" {
			tags = "no tag"
		}
		s.label(name, fmt.Sprintf("%s, %s: %s", clock(earlier.DecidedAt), word(earlier.Reason), tags))
	}
	if n := len(e.Earlier) - mostLines; n > 0 {
		s.label("", fmt.Sprintf("and %s before those", count(n, "decision")))
	}
	if e.Texts != nil && !e.Texts.AsDecided && !e.Texts.lost {
		s.label("messages", e.Texts.source()+" does not give the very transcript that was decided on: what is shown may differ from it")
	}
	fmt.Fprintln(s.stdout)
	if len(d.Tags) == 0 {
		fmt.Fprintln(s.stdout, "(no tag)")
	}
	s.printHits(e, d.Tags, "")
	s.printHits(e, d.Shadow, shadowRemark)
	s.printMissed(d.Skipped, d.NearMisses)
	if d.More > 0 {
		fmt.Fprintf(s.stdout, "and %d more that the record had no room for\n", d.More)
	}
}

// printHits shows tags with the finds that gave them.
func (s *session) printHits(e *explanation, hits []rules.Hit, remark string) {
	last := ""
	for i, h := range hits {
		if i == 0 || h.Tag != last {
			s.title(h.Tag, remark)
		}
		last = h.Tag
		if len(h.Evidence) == 0 && h.More == 0 {
			s.detail(h.Rule, "no other rule matched")
		}
		for _, ev := range h.Evidence {
			found := e.Texts.of(ev)
			s.detail(h.Rule, fmt.Sprintf("%s in %s", word(ev.Term), place(ev, found, e.Texts)))
			if found != nil {
				fmt.Fprintln(s.stdout, s.wrap(8, 8, e.snippet(found.Text, ev)))
			}
		}
		if h.More > 0 {
			s.detail(h.Rule, fmt.Sprintf("and %d more", h.More))
		}
	}
}

// note prints what is worth knowing besides.
func (s *session) note(text string) { fmt.Fprintln(s.stdout, s.wrap(0, 0, text)) }

// printVerdicts shows the chat with the finds marked, and what the rules of that
// day say about it.
func (s *session) printVerdicts(e *explanation, sc screen, all bool, only string) {
	fmt.Fprintln(s.stdout)
	t := e.Texts
	switch {
	case t.lost && t.From == fromLiveChat:
		s.note("LiveChat shows no message of the chat any more: the record above is all that is known of it.")
		return
	case t.lost:
		s.note("The chat is no longer in " + stream.Events + ": the record above is all that is known of it here; " + askLiveChat + ".")
		return
	}
	explained := e.recorded()
	by := ", with the finds of the record marked"
	if t.set != nil {
		explained = t.set.Explain(t.chat)
		by = ", by the rules of that day"
	}
	s.note(t.title() + by + ":")
	if len(t.chat.Messages) > 0 {
		sc.chat(explained, t.chat)
		fmt.Fprintln(s.stdout)
	}
	if t.set != nil {
		sc.verdicts(explained, t.chat, all, only)
		s.printDifference(e, explained, only)
	} else {
		kept := "no longer kept"
		if t.RulesKept {
			kept = "kept, but this tagctl cannot use them"
		}
		s.note(fmt.Sprintf("The rules of that day, %s, are %s, so there are no verdicts; tagctl rules try --thread shows what those of today say.", shortVersion(e.Decision.RulesVersion), kept))
	}
	if !t.AsDecided && t.From == fromStream {
		s.note("LiveChat may have the chat as it was; " + askLiveChat + ".")
	}
}

// title says which chat it is.
func (t *evidenceTexts) title() string {
	switch {
	case t.From == fromLiveChat && t.AsDecided:
		return "the chat as LiveChat shows it, which is what was decided on"
	case t.From == fromLiveChat:
		return "the chat as LiveChat shows it now, which is not what was decided on (it has changed since, or less of it was known)"
	case t.AsDecided:
		return "the chat as it was decided on"
	}
	return "the chat as " + stream.Events + " has it, which is not what was decided on (LiveChat's API knew more, or some of it is gone)"
}

// printDifference says where the rules of that day give something else for the
// chat than was decided.
func (s *session) printDifference(e *explanation, explained rules.Explanation, only string) {
	// Whose a tag was, and which tags the thread bore, the chat does not tell.
	d := e.Decision
	var unknown []string
	for _, k := range d.Skipped {
		if k.Why == rules.WhySet {
			continue
		}
		unknown = append(unknown, k.Tag)
		matched := slices.ContainsFunc(explained.Rules, func(v rules.RuleVerdict) bool {
			return v.Rule.Name == k.Rule && v.Verdict == rules.Matched
		})
		if matched && (only == "" || only == k.Rule) {
			s.note(fmt.Sprintf("Rule %s did not give %s, which the chat does not tell: it %s.", word(k.Rule), word(k.Tag), skipReason(k)))
		}
	}
	if d.More > 0 && len(d.Skipped) == 0 {
		return // they may be what the record had no room for
	}
	isUnknown := func(tag string) bool { return slices.Contains(unknown, tag) }
	decided := slices.DeleteFunc(rules.Result{Tags: d.Tags}.TagSet(), isUnknown)
	again := slices.DeleteFunc(slices.Clone(e.Texts.TagsAgain), isUnknown)
	if !slices.Equal(decided, again) {
		s.note(fmt.Sprintf("By this chat the tags would be %s; decided were %s.", tagList(again), tagList(decided)))
	}
}

// place says where a find is.
func place(ev rules.Evidence, found *evidenceText, texts *evidenceTexts) string {
	author := string(ev.Author)
	switch ev.Author {
	case transcript.Customer, transcript.Agent, transcript.Bot:
	default:
		author = "an unknown author"
	}
	number := ""
	if found != nil && found.number > 0 && texts.AsDecided {
		number = fmt.Sprintf("message %d of %d, ", found.number, len(texts.chat.Messages))
	}
	characters := fmt.Sprintf("character %d", ev.Start+1)
	if ev.End > ev.Start+1 {
		characters = fmt.Sprintf("characters %d to %d", ev.Start+1, ev.End)
	}
	return fmt.Sprintf("%sevent %s (%s, %s, %s)", number, word(ev.EventID), author, word(ev.Field), characters)
}

// source names where the chat is from.
func (t *evidenceTexts) source() string {
	if t.From == fromLiveChat {
		return "LiveChat"
	}
	return stream.Events
}

// snippet shows a find in its text, or says why it cannot.
func (e *explanation) snippet(text *string, ev rules.Evidence) string {
	switch {
	case text != nil:
		return e.Texts.snippet(*text, ev)
	case e.Texts.From == fromLiveChat:
		return "(LiveChat does not show the message any more)"
	case e.Decision.Transcript.From.API > 0:
		return fmt.Sprintf("(the message is not in %s: it was told by LiveChat's API, or is too old)", stream.Events)
	}
	return fmt.Sprintf("(the message is not in %s any more)", stream.Events)
}

// fits says whether a find can be one in a text.
func fits(text string, ev rules.Evidence) bool {
	return 0 <= ev.Start && ev.Start <= ev.End && ev.End <= utf8.RuneCountInString(text)
}

func (t *evidenceTexts) snippet(text string, ev rules.Evidence) string {
	runes := []rune(text)
	if !fits(text, ev) {
		return fmt.Sprintf("(the message in %s is another than the one decided on)", t.source())
	}
	before, found, after := runes[:ev.Start], runes[ev.Start:ev.End], runes[ev.End:]
	var b strings.Builder
	if len(before) > around {
		b.WriteString("…")
		before = before[len(before)-around:]
	}
	b.WriteString(visibleText(string(before)) + ">>")
	if half := maxShown; len(found) > 2*half {
		b.WriteString(visibleText(string(found[:half])) + " … " + visibleText(string(found[len(found)-half:])))
	} else {
		b.WriteString(visibleText(string(found)))
	}
	b.WriteString("<<")
	if len(after) > around {
		b.WriteString(visibleText(string(after[:around])) + "…")
	} else {
		b.WriteString(visibleText(string(after)))
	}
	return b.String()
}

// shortVersion is the beginning of a rules version, enough to tell one from
// another.
func shortVersion(version string) string {
	if len(version) > 12 {
		version = version[:12]
	}
	return word(version)
}

func inForceRemark(e *explanation) string {
	where := "in the rules file"
	if e.fromLog {
		where = "in force"
	}
	switch e.RulesInForce {
	case "":
		return ""
	case e.Decision.RulesVersion:
		return ", the version " + where
	}
	return fmt.Sprintf("; the version %s is %s", where, shortVersion(e.RulesInForce))
}

// printCalls shows what was done about a thread: of the attempts at one call
// only the last.
func (s *session) printCalls(e *explanation) {
	fmt.Fprintln(s.stdout)
	if len(e.Calls) == 0 {
		fmt.Fprintln(s.stdout, "calls: none")
	} else {
		fmt.Fprintln(s.stdout, "calls")
	}
	for i, c := range e.Calls {
		superseded := slices.ContainsFunc(e.Calls[i+1:], func(later madeCall) bool {
			return later.Op == c.Op && later.Tag == c.Tag && later.DecisionSeq == c.DecisionSeq
		})
		if superseded {
			continue
		}
		attempt := ""
		if c.Attempt > 1 {
			attempt = fmt.Sprintf(", attempt %d", c.Attempt)
		}
		of := ""
		if c.DecisionSeq != e.DecisionSeq {
			of = ", for an earlier decision"
		}
		s.detail("", fmt.Sprintf("%s %s: %s, %s%s%s", word(c.Op), word(c.Tag), callState(c.Call), clock(c.At), attempt, of))
	}
	if e.RetryAt != nil {
		s.detail("", "further calls wait until "+clock(*e.RetryAt))
	}
	s.printPending(e)
}

func callState(c decision.Call) string {
	result := ""
	if c.Result != "" {
		result = " (" + word(c.Result) + ")"
	}
	switch c.State {
	case decision.Done:
		return "done" + result
	case decision.Failed:
		if c.Result == "given_up" {
			return "given up, it is in " + stream.Dead
		}
		return "failed" + result
	case decision.Intended:
		return "intended, its end is not recorded (yet)"
	}
	return word(c.State) + result
}

// printPending shows what is still to come, and what will never.
func (s *session) printPending(e *explanation) {
	for _, d := range e.DeadLetters[max(0, len(e.DeadLetters)-mostLines):] {
		s.label("dead letter", fmt.Sprintf("%s, %s: %s", clock(d.At), d.Stage, visibleText(d.Reason)))
	}
	if e.TimerAt != nil && e.Decision != nil {
		s.label("again", "it will be looked at once more at "+clock(*e.TimerAt))
	}
}

// printUndecided says how far a thread without a decision has come.
func (s *session) printUndecided(e *explanation) {
	w := e.Webhooks
	s.label("decided", "no")
	if w.Count == 0 {
		s.label("webhooks", "none in "+stream.Events)
	} else {
		start := "its start (incoming_chat) among them"
		if !w.Started {
			start = "its start (incoming_chat) is not among them"
		}
		s.label("webhooks", fmt.Sprintf("%d in %s, the newest of %s, %s", w.Count, stream.Events, clock(*w.Newest), start))
	}
	next := "it is decided once it has ended and been quiet for a few seconds (SETTLE)"
	if w.EndedAt == nil {
		s.label("end", "not seen")
	} else {
		s.label("end", fmt.Sprintf("%s, told by %s", clock(*w.EndedAt), w.EndedBy))
		next = "no tagger has taken in its end yet: is one running, and ready?"
	}
	switch {
	case e.TimerAt != nil && e.TimerAt.After(time.Now()):
		s.label("timer", "set to "+clock(*e.TimerAt))
		if w.EndedAt != nil {
			next = "it is decided when its timer fires"
		}
	case e.TimerAt != nil || e.FiredAt != nil:
		at := e.TimerAt
		if at == nil {
			at = e.FiredAt
		}
		s.label("timer", "due since "+clock(*at))
		if w.EndedAt != nil {
			next = "it is due: is a tagger running, and ready? Its log and /readyz say what it waits for"
		}
	default:
		s.label("timer", "none")
	}
	s.printPending(e)
	s.label("next", next)
}

// words shows a list of tags.
func words(list []string) string {
	shown := make([]string, len(list))
	for i, w := range list {
		shown[i] = word(w)
	}
	return strings.Join(shown, ", ")
}
