package cmd

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/rivo/uniseg"
	"golang.org/x/term"

	"autotag/pkg/rules"
	"autotag/pkg/transcript"
)

const (
	mostVerdicts = 20 // rules shown where not all are asked for
	mostTerms    = 8  // of the terms of a list that are not found
	mostPlaces   = 3  // of one term
	mostMessages = 20 // of a chat whose messages without a find are all shown
	mostText     = 400
)

// screen is how verdicts are shown.
type screen struct {
	session *session
	width   int
	color   bool
}

// newScreen finds out what standard output can show; when is always, never or
// auto.
func (s *session) newScreen(when string) screen {
	sc := screen{session: s, width: s.width}
	f, ok := s.terminal.(*os.File)
	if ok && term.IsTerminal(int(f.Fd())) {
		noColor, _ := s.lookup("NO_COLOR")
		name, _ := s.lookup("TERM")
		sc.color = noColor == "" && name != "dumb"
	}
	switch when {
	case "always":
		sc.color = true
	case "never":
		sc.color = false
	}
	return sc
}

// The styles are of the 16 basic colours that are readable on dark and on
// light grounds.
const (
	bold      = "\x1b[1m"
	green     = "\x1b[1;32m"
	red       = "\x1b[1;31m"
	magenta   = "\x1b[35m"
	foundMark = "\x1b[1;4;32m" // by a rule that matched
	otherMark = "\x1b[4;35m"   // by another
	plain     = "\x1b[0m"
)

func (sc screen) style(style, text string) string {
	if !sc.color {
		return text
	}
	return style + text + plain
}

// line prints text, broken at the width, with its first head in a style.
func (sc screen) line(indent int, style, head, text string) {
	first := min(indent, sc.width/2)
	lines := wrap(sc.width, first, min(first+4, sc.width/2), head+text)
	if style != "" {
		lines = strings.Replace(lines, head, sc.style(style, head), 1)
	}
	fmt.Fprintln(sc.session.stdout, lines)
}

// mark of a character of a text.
type mark byte

const (
	unmarked mark = iota
	byOther       // found by a rule that does not give its tag
	byMatch
)

// marks says of each text of a chat which characters are found.
func marks(e rules.Explanation, chat *transcript.Transcript) map[[2]int][]mark {
	all := make(map[[2]int][]mark)
	var add func(f *rules.Finding, m mark)
	add = func(f *rules.Finding, m mark) {
		if f == nil {
			return
		}
		for _, p := range f.Places {
			at := [2]int{p.Message, p.Text}
			if all[at] == nil {
				all[at] = make([]mark, len([]rune(chat.Messages[p.Message].Texts[p.Text].Text)))
			}
			for i := p.Start; i < min(p.End, len(all[at])); i++ {
				all[at][i] = max(all[at][i], m)
			}
		}
		for _, part := range slices.Concat(f.Any, f.All, f.Entries) {
			add(part, m)
		}
		for _, part := range f.None {
			add(part, min(m, byOther))
		}
	}
	for _, v := range e.Rules {
		m := byOther
		if v.Verdict == rules.Matched {
			m = byMatch
		}
		add(v.Body, m)
	}
	return all
}

// chat prints the messages with the finds marked. Of a long chat it leaves out
// the messages without any.
func (sc screen) chat(e rules.Explanation, chat *transcript.Transcript) {
	all := marks(e, chat)
	left := 0
	skip := func() {
		if left > 0 {
			sc.line(2, "", "", fmt.Sprintf("(%s without a find)", count(left, "message")))
		}
		left = 0
	}
	for i, m := range chat.Messages {
		found := false
		for j := range m.Texts {
			found = found || all[[2]int{i, j}] != nil
		}
		if !found && len(chat.Messages) > mostMessages {
			left++
			continue
		}
		skip()
		for j, text := range m.Texts {
			name := authorText(m)
			if text.Field != "text" {
				name += ", " + word(text.Field)
			}
			if len(chat.Messages) > 1 {
				name = fmt.Sprintf("%d %s", i+1, name)
			}
			sc.marked(name+": ", text.Text, all[[2]int{i, j}])
		}
	}
	skip()
}

// authorText says who wrote a message, and whether only agents see it.
func authorText(m transcript.Message) string {
	name := string(m.Author)
	if name == "" {
		name = "unknown"
	}
	if m.Internal {
		name += ", internal"
	}
	return name
}

// marked prints one text, broken at the width between words where it can be.
func (sc screen) marked(head, text string, marked []mark) {
	type cell struct {
		text  string
		width int
		mark  mark
		blank bool
	}
	var cells []cell
	quiet, at := 0, 0
	runes := len([]rune(text))
	for g := uniseg.NewGraphemes(text); g.Next(); {
		m := unmarked
		for i := range g.Runes() {
			if at+i < len(marked) {
				m = max(m, marked[at+i])
			}
		}
		at += len(g.Runes())
		// Of a long text without finds only the ends are shown.
		if m != unmarked {
			quiet = 0
		} else if quiet++; quiet > mostText/2 && runes-at > mostText/2 && !slices.ContainsFunc(marked[min(at, len(marked)):min(at+mostText/2, len(marked))], func(m mark) bool { return m != unmarked }) {
			if cells[len(cells)-1].text != "…" {
				cells = append(cells, cell{"…", 1, unmarked, false})
			}
			continue
		}
		shown := visibleText(g.Str())
		cells = append(cells, cell{shown, uniseg.StringWidth(shown), m, g.Str() == " "})
	}
	indent := min(4, sc.width/4)
	var b strings.Builder
	b.WriteString(sc.style(bold, head))
	column := uniseg.StringWidth(head)
	now := unmarked
	open, end := map[mark]string{byMatch: "[[", byOther: "["}, map[mark]string{byMatch: "]]", byOther: "]"}
	styles := map[mark]string{byMatch: foundMark, byOther: otherMark}
	change := func(to mark) {
		if to == now {
			return
		}
		if now != unmarked {
			if sc.color {
				b.WriteString(plain)
			} else {
				b.WriteString(end[now])
			}
		}
		if to != unmarked {
			if sc.color {
				b.WriteString(styles[to])
			} else {
				b.WriteString(open[to])
			}
		}
		now = to
	}
	markWidth := func(from, to mark) int {
		if sc.color || from == to {
			return 0
		}
		return len(end[from]) + len(open[to])
	}
	for i, c := range cells {
		// A word goes to the next line as a whole, if a line can hold it.
		ahead := 0
		if i == 0 || cells[i-1].blank {
			was := now
			for _, next := range cells[i:] {
				if next.blank {
					break
				}
				ahead += next.width + markWidth(was, next.mark)
				was = next.mark
			}
			ahead += markWidth(was, unmarked)
		}
		need := c.width + markWidth(now, c.mark) + len(end[c.mark])
		if ahead > need && ahead <= sc.width-indent {
			need = ahead
		}
		if column+need > sc.width && column > indent {
			on := now
			if c.mark == unmarked {
				on = unmarked // a mark ends on the line of its words
			}
			if sc.color || on == unmarked {
				change(unmarked) // an underline does not run along the indent
			}
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
			if sc.color {
				change(on)
			}
			if c.blank && c.mark == unmarked && now == unmarked {
				continue
			}
		}
		column += c.width + markWidth(now, c.mark)
		change(c.mark)
		b.WriteString(c.text)
	}
	change(unmarked)
	fmt.Fprintln(sc.session.stdout, b.String())
}

// verdicts prints what came of each rule. Without all it leaves out those of
// which nothing is found.
func (sc screen) verdicts(e rules.Explanation, chat *transcript.Transcript, all bool, name string) {
	left, printed := 0, 0
	for _, v := range e.Rules {
		show := all || v.Verdict == rules.Matched || v.Verdict == rules.StoppedSet || v.Verdict == rules.StoppedTagged || v.Found
		if name != "" {
			show = v.Rule.Name == name
		}
		if !show || !all && printed == mostVerdicts {
			left++
			continue
		}
		printed++
		sc.verdict(v, chat)
	}
	if left > 0 && name == "" {
		sc.line(0, "", "", fmt.Sprintf("%s left out; show all with --all, one with --rule NAME", count(left, "rule")))
	}
}

func (sc screen) verdict(v rules.RuleVerdict, chat *transcript.Transcript) {
	sign, style := "✗ ", red
	if v.Verdict == rules.Matched {
		sign, style = "✓ ", green
	}
	title := word(v.Rule.Tag)
	if v.Rule.Name != v.Rule.Tag {
		title += " (rule " + word(v.Rule.Name) + ")"
	}
	sc.line(0, style, sign, title+": "+verdictText(v))
	if v.Body == nil {
		return
	}
	if v.Message >= 0 && len(chat.Messages) > 1 {
		sc.line(4, "", "", fmt.Sprintf("within one message; this is message %d", v.Message+1))
	}
	sc.parts(4, v.Body, chat)
}

// verdictText says in words what came of a rule.
func verdictText(v rules.RuleVerdict) string {
	r := v.Rule
	switch v.Verdict {
	case rules.Matched:
		switch {
		case r.Fallback && r.Status == rules.Shadow:
			return "no other rule matched" + shadowRemark
		case r.Fallback:
			return "no other rule matched"
		case r.Status == rules.Shadow:
			return "matched" + shadowRemark
		}
		return "matched"
	case rules.StoppedSet:
		return fmt.Sprintf("not applied: it matched, but so did rule %s, which is earlier in set %s", word(v.By), word(r.Set))
	case rules.StoppedTagged:
		return fmt.Sprintf("not applied: it matched, but the chat bears the tag %s (unless_tagged)", word(v.By))
	case rules.NotInGroups:
		if v.ButForGroups {
			return fmt.Sprintf("near miss, missing groups: the chat is in none of %v", r.Groups)
		}
		return fmt.Sprintf("not looked at: the chat is in none of its groups %v", r.Groups)
	case rules.SwitchedOff:
		return "not looked at: its status is off"
	case rules.FallbackSilenced:
		return fmt.Sprintf("not applied: it is a fallback, and rule %s matched", word(v.By))
	case rules.FallbackIncomplete:
		return "not applied: it is a fallback, and the transcript is incomplete"
	}
	if v.Near {
		if veto, ok := strings.CutPrefix(v.Missing, "none: "); ok {
			return "near miss, vetoed by none: " + visibleText(veto)
		}
		return "near miss, missing " + visibleText(v.Missing)
	}
	return "not matched"
}

// parts prints the lists of a group.
func (sc screen) parts(indent int, f *rules.Finding, chat *transcript.Transcript) {
	if f.Term.Min > 1 {
		sc.sign(indent, f.Messages >= f.Term.Min, fmt.Sprintf("min: %d, found in %s", f.Term.Min, count(f.Messages, "message")))
	}
	for _, list := range []struct {
		name string
		of   []*rules.Finding
	}{{"any", f.Any}, {"all", f.All}, {"none", f.None}} {
		if len(list.of) == 0 {
			continue
		}
		held := 0
		for _, part := range list.of {
			if part.Holds {
				held++
			}
		}
		ok := held > 0
		said := fmt.Sprintf("%d of %d", held, len(list.of))
		switch list.name {
		case "all":
			ok = held == len(list.of)
		case "none":
			ok = held == 0
			said = "nothing found"
			if !ok {
				said = "vetoed"
			}
		}
		sc.sign(indent, ok, list.name+": "+said)
		sc.terms(indent+4, list.of, list.name == "none", chat)
	}
}

func (sc screen) sign(indent int, ok bool, text string) {
	if ok {
		sc.line(indent, green, "✓ ", text)
	} else {
		sc.line(indent, red, "✗ ", text)
	}
}

// terms prints the terms of a list: each that is found, and in one line those
// that are not. What a veto finds is what is wrong.
func (sc screen) terms(indent int, of []*rules.Finding, veto bool, chat *transcript.Transcript) {
	var not []string
	for _, f := range of {
		switch f.Term.Kind {
		case rules.Group:
			if !veto && f.Term.Min <= 1 && (len(f.Any) > 0) != (len(f.All) > 0) && len(f.None) == 0 {
				sc.parts(indent, f, chat) // one list speaks for itself
				continue
			}
			sc.sign(indent, f.Holds != veto, map[bool]string{true: "a group that holds", false: "a group that does not hold"}[f.Holds])
			sc.parts(indent+4, f, chat)
		case rules.List:
			if !f.Holds && f.Messages == 0 {
				not = append(not, "list "+word(f.Term.Text))
				continue
			}
			sc.sign(indent, f.Holds != veto, "list "+word(f.Term.Text)+options(f))
			sc.terms(indent+4, f.Entries, veto, chat)
		default:
			if len(f.Places)+len(f.Outside) == 0 {
				not = append(not, word(f.Term.Text)+options(f))
				continue
			}
			sc.sign(indent, f.Holds != veto, termText(f, chat))
		}
	}
	if len(not) > mostTerms {
		not = append(not[:mostTerms], fmt.Sprintf("and %d more", len(not)-mostTerms))
	}
	if len(not) > 0 {
		sc.line(indent, "", "- ", "not found: "+strings.Join(not, ", "))
	}
}

// options are what a term asks for besides its words.
func options(f *rules.Finding) string {
	var all []string
	if f.Term.Min > 1 {
		all = append(all, fmt.Sprintf("min: %d, found in %d", f.Term.Min, f.Messages))
	}
	if f.Term.First > 0 {
		all = append(all, fmt.Sprintf("first: %d", f.Term.First))
	}
	if f.Term.Last > 0 {
		all = append(all, fmt.Sprintf("last: %d", f.Term.Last))
	}
	if len(all) == 0 {
		return ""
	}
	return " (" + strings.Join(all, ", ") + ")"
}

// termText says where a term is found.
func termText(f *rules.Finding, chat *transcript.Transcript) string {
	text := word(f.Term.Text) + options(f)
	places, said := f.Places, " found as "
	if len(places) == 0 {
		places, said = f.Outside, " not found here, but as "
	}
	var shownPlaces []string
	for _, p := range places[:min(len(places), mostPlaces)] {
		m := chat.Messages[p.Message]
		runes := []rune(m.Texts[p.Text].Text)
		place := shown(string(runes[p.Start:p.End]))
		if len(chat.Messages) > 1 || len(f.Places) == 0 {
			place += fmt.Sprintf(" in message %d", p.Message+1)
		}
		if len(f.Places) == 0 && m.Author != transcript.Unknown {
			place += fmt.Sprintf(" (%s)", authorText(m))
		}
		shownPlaces = append(shownPlaces, place)
	}
	if more := len(places) - len(shownPlaces); more > 0 {
		shownPlaces = append(shownPlaces, fmt.Sprintf("and in %s more", count(more, "message")))
	}
	return text + said + strings.Join(shownPlaces, ", ")
}
