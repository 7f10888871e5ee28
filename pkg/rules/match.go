package rules

import (
	"cmp"
	"regexp"
	"slices"
	"unicode/utf8"

	"autotag/pkg/transcript"
)

const (
	maxEvidence   = 5  // per rule; Hit.More counts the rest
	maxNearMisses = 20 // per transcript
)

// Match says which tags the rules ask for on a transcript.
func (s *Set) Match(t *transcript.Transcript) Result { return s.matcher().match(t) }

// MatchReference says the same as Match, rule by rule and term by term, in a
// time that grows with the rules. It is what the language means: Match is held
// against it.
func (s *Set) MatchReference(t *transcript.Transcript) Result {
	return matchReference(s.Rules, s.search(t))
}

// search begins a search for all terms of the set.
func (s *Set) search(t *transcript.Transcript) *search {
	s.compileOnce.Do(s.compile)
	return newSearch(t, referenceFinds(s.compiled, t))
}

// matchReference says which tags the rules ask for. Their terms, though not
// their groups and lists, are those that the search is for.
func matchReference(rules []*Rule, search *search) Result {
	t := search.transcript
	result := Result{Tags: []Hit{}, Shadow: []Hit{}, NearMisses: []NearMiss{}, Skipped: []Skip{}}

	matched := make(map[*Rule][]Evidence)
	silenced := !t.Complete // fallback rules say nothing
	for _, r := range rules {
		if r.Status == Off || r.Fallback || !inGroups(r, t) {
			continue
		}
		side := search.side(r)
		evidence, ok := side.match(r)
		if ok {
			matched[r] = evidence
			silenced = silenced || r.Status == Active
		} else if len(result.NearMisses) < maxNearMisses {
			if missing, near := side.nearMiss(r); near {
				result.NearMisses = append(result.NearMisses, NearMiss{Tag: r.Tag, Rule: r.Name, Missing: missing})
			}
		}
	}
	for _, r := range rules {
		if r.Fallback && r.Status != Off && !silenced && inGroups(r, t) {
			matched[r] = nil
		}
	}

	taken := make(map[string]bool) // sets of which an active rule has matched
	for _, r := range rules {
		evidence, ok := matched[r]
		if !ok {
			continue
		}
		late := r.Set != "" && taken[r.Set]
		if r.Set != "" && r.Status == Active {
			taken[r.Set] = true
		}
		switch {
		case late:
			result.Skipped = append(result.Skipped, Skip{Tag: r.Tag, Rule: r.Name, Why: WhySet})
		case slices.ContainsFunc(r.UnlessTagged, func(tag string) bool { return slices.Contains(t.Tagged, tag) }):
			result.Skipped = append(result.Skipped, Skip{Tag: r.Tag, Rule: r.Name, Why: WhyUnlessTagged})
		case r.Status == Shadow:
			result.Shadow = append(result.Shadow, hit(r, evidence))
		default:
			result.Tags = append(result.Tags, hit(r, evidence))
		}
	}
	return result
}

func inGroups(r *Rule, t *transcript.Transcript) bool {
	return r.Groups == nil || slices.ContainsFunc(r.Groups, func(g int) bool { return slices.Contains(t.Groups, g) })
}

func hit(r *Rule, evidence []Evidence) Hit {
	n := min(len(evidence), maxEvidence)
	return Hit{Tag: r.Tag, Rule: r.Name, Evidence: append([]Evidence{}, evidence[:n]...), More: len(evidence) - n}
}

func tagSet(hits []Hit) []string {
	tags := make([]string, 0, len(hits))
	for _, h := range hits {
		tags = append(tags, h.Tag)
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

// A finder gives the earliest find of a term in one text, as code points of
// the field.
type finder func(*view) (start, end int, found bool)

// termKey is all that the finds of a term in a text depend on.
type termKey struct {
	kind Kind
	text string
	options
}

func keyOf(t *Term) termKey {
	return termKey{t.Kind, t.Text, options{t.CaseExact, t.AccentsExact}}
}

// compiledTerm is a term that is neither a group nor a list, made ready. Terms
// that say the same share one.
type compiledTerm struct{ find finder }

// compile makes all terms ready.
func (s *Set) compile() {
	s.compiled = make(map[*Term]*compiledTerm)
	same := make(map[termKey]*compiledTerm)
	seen := make(map[*Term]bool)
	var add func(terms []*Term)
	add = func(terms []*Term) {
		for _, t := range terms {
			if seen[t] {
				continue
			}
			seen[t] = true
			switch t.Kind {
			case Group:
				add(t.Any)
				add(t.All)
				add(t.None)
			case List:
				add(t.Entries)
			default:
				key := keyOf(t)
				if same[key] == nil {
					same[key] = &compiledTerm{newFinder(t)}
				}
				s.compiled[t] = same[key]
			}
		}
	}
	for _, r := range s.Rules {
		add([]*Term{&r.Body})
	}
}

func newFinder(t *Term) finder {
	o := keyOf(t).options
	switch t.Kind {
	case Contains:
		p := containsPattern(t.Text, o)
		return func(v *view) (int, int, bool) { return p.find(v.folded(o)) }
	case Canned:
		c := referenceCanned(t.Text, o)
		return func(v *view) (int, int, bool) { return c.find(v.stripped(o)) }
	case Regex:
		re, err := compileRegex(t.Text, o.caseExact)
		if err != nil {
			// A set from Parse holds none such.
			return func(*view) (int, int, bool) { return 0, 0, false }
		}
		return func(v *view) (int, int, bool) { return findRegex(re, v) }
	default:
		p := literalPattern(t.Text, o, t.Kind == Literal)
		return func(v *view) (int, int, bool) { return p.find(v.folded(o)) }
	}
}

// compileRegex compiles the pattern of a regex term.
func compileRegex(pattern string, caseExact bool) (*regexp.Regexp, error) {
	if !caseExact {
		pattern = "(?i)" + pattern
	}
	return regexp.Compile(pattern)
}

func findRegex(re *regexp.Regexp, v *view) (start, end int, found bool) {
	text := v.text()
	at := re.FindStringIndex(text)
	if at == nil {
		return 0, 0, false
	}
	chars := v.chars()
	first := utf8.RuneCountInString(text[:at[0]])
	next := first + utf8.RuneCountInString(text[at[0]:at[1]])
	switch {
	case first < next:
		return chars[first].start, chars[next-1].end, true
	case first < len(chars):
		return chars[first].start, chars[first].start, true
	case first > 0:
		return chars[first-1].end, chars[first-1].end, true
	}
	return 0, 0, true
}

// A view is one text of a message as the terms look at it. Each form is made
// when it is first asked for.
type view struct {
	source transcript.Text

	plain      []char
	bare       []char
	foldedBy   [4]*foldedText // by options.index
	strippedBy [4]*[]unit
}

// chars gives the text without markup.
func (v *view) chars() []char {
	if v.plain == nil {
		if v.source.Markdown {
			v.plain = v.withoutMarkdown()
		} else {
			v.plain = plainChars(v.source.Text)
		}
	}
	return v.plain
}

// withoutMarkdown gives the text without Markdown, whether it is marked as such or
// not.
func (v *view) withoutMarkdown() []char {
	if v.bare == nil {
		v.bare = markdownChars(v.source.Text)
	}
	return v.bare
}

func (v *view) text() string {
	if !v.source.Markdown {
		return v.source.Text
	}
	return charsText(v.chars())
}

func (v *view) folded(o options) foldedText {
	made := &v.foldedBy[o.index()]
	if *made == nil {
		t := newFoldedText(fold(v.chars(), o))
		*made = &t
	}
	return **made
}

// stripped gives the folded text without Markdown, whether it is marked as such
// or not, since canned responses hold Markdown and are sent both ways.
func (v *view) stripped(o options) []unit {
	made := &v.strippedBy[o.index()]
	if *made == nil {
		units := fold(v.withoutMarkdown(), o)
		*made = &units
	}
	return **made
}

// A find is the earliest find of a term in one message.
type find struct {
	message, text int // indexes
	start, end    int // code points of the field
}

func compareFinds(a, b find) int {
	return cmp.Or(cmp.Compare(a.message, b.message), cmp.Compare(a.text, b.text), cmp.Compare(a.start, b.start))
}

// A search gives the finds of all terms in one transcript.
type search struct {
	transcript *transcript.Transcript
	all        func(t *Term) []find // in all messages, at most one a message
	sides      map[sideKey]side
}

func newSearch(t *transcript.Transcript, all func(t *Term) []find) *search {
	return &search{transcript: t, all: all, sides: make(map[sideKey]side)}
}

// referenceFinds looks for each term when its finds are first asked for.
func referenceFinds(compiled map[*Term]*compiledTerm, t *transcript.Transcript) func(t *Term) []find {
	var texts [][]*view // by message and text
	for _, m := range t.Messages {
		views := make([]*view, 0, len(m.Texts))
		for _, text := range m.Texts {
			views = append(views, &view{source: text})
		}
		texts = append(texts, views)
	}
	known := make(map[*compiledTerm][]find)
	return func(t *Term) []find {
		of := compiled[t]
		finds, ok := known[of]
		if !ok {
			for i, views := range texts {
				for j, v := range views {
					if start, end, found := of.find(v); found {
						finds = append(finds, find{message: i, text: j, start: start, end: end})
						break
					}
				}
			}
			known[of] = finds
		}
		return finds
	}
}

// A side is a search among the messages that some rules look at.
type side struct {
	*search
	position map[int]int // of a message among those of the side
	outcomes map[evaluation]outcome
}

// side gives the side that a rule looks at.
func (s *search) side(r *Rule) side {
	key := sideKey{r.From, r.Internal}
	of, known := s.sides[key]
	if !known {
		of = side{s, make(map[int]int), make(map[evaluation]outcome)}
		for i := range s.transcript.Messages {
			if key.has(&s.transcript.Messages[i]) {
				of.position[i] = len(of.position)
			}
		}
		s.sides[key] = of
	}
	return of
}

// A sideKey says which messages a rule looks at.
type sideKey struct {
	from     From
	internal bool
}

func (k sideKey) has(m *transcript.Message) bool {
	return (k.internal || !m.Internal) && fromSide(k.from, m.Author)
}

func fromSide(from From, a transcript.Author) bool {
	switch from {
	case FromCustomer:
		return a == transcript.Customer
	case FromAgent:
		return a == transcript.Agent
	case FromBot:
		return a == transcript.Bot
	}
	return true
}

// A scope is the message in which terms must hold, or the whole chat.
type scope int

const wholeChat scope = -1

// found gives the finds of a term that is neither a group nor a list, in the
// scope and in the term's first or last messages of the side.
func (s side) found(t *Term, in scope) []find {
	finds := s.all(t)
	if in != wholeChat {
		i, ok := slices.BinarySearchFunc(finds, int(in), func(f find, message int) int { return cmp.Compare(f.message, message) })
		if !ok {
			return nil
		}
		finds = finds[i : i+1]
	}
	var inWindow []find
	for _, f := range finds {
		position, ok := s.position[f.message]
		if ok && (t.First == 0 || position < t.First) && (t.Last == 0 || position >= len(s.position)-t.Last) {
			inWindow = append(inWindow, f)
		}
	}
	return inWindow
}

// An outcome is what a term comes to in a scope.
type outcome struct {
	holds bool
	// messages are those in which the term, or any of its positive terms, is
	// found, in order.
	messages []int
	// finds has the earliest find of each positive term that holds; of a
	// list only that of its earliest entry.
	finds []namedFind
}

// A namedFind is a find of a term by the name that the rule has for it.
type namedFind struct {
	find
	term *Term
	name string
}

// add adds the outcome of a positive term. One that does not hold is not found
// in any message.
func (o *outcome) add(of outcome) {
	if of.holds {
		o.messages = append(o.messages, of.messages...)
		slices.Sort(o.messages)
		o.messages = slices.Compact(o.messages)
		o.finds = append(o.finds, of.finds...)
	}
}

// evaluation is a list in a scope.
type evaluation struct {
	term *Term
	in   scope
}

// eval says what a term comes to in a scope. It looks at a list once only, since
// one list may be used in many places of a rule, also by other lists.
func (s side) eval(t *Term, in scope) outcome {
	if t.Kind != List {
		return s.evalOnce(t, in)
	}
	key := evaluation{t, in}
	o, ok := s.outcomes[key]
	if !ok {
		o = s.evalOnce(t, in)
		s.outcomes[key] = o
	}
	return o
}

func (s side) evalOnce(t *Term, in scope) outcome {
	var o outcome
	switch t.Kind {
	case Group:
		o = s.evalGroup(t, in)
	case List:
		for _, entry := range t.Entries {
			of := s.eval(entry, in)
			o.add(of)
			o.holds = o.holds || of.holds
		}
		if len(o.finds) > 0 {
			first := slices.MinFunc(o.finds, func(a, b namedFind) int { return compareFinds(a.find, b.find) })
			o.finds = []namedFind{{find: first.find, term: t, name: t.Text + ": " + first.name}}
		}
	default:
		finds := s.found(t, in)
		o.holds = len(finds) > 0
		for _, f := range finds {
			o.messages = append(o.messages, f.message)
		}
		if o.holds {
			o.finds = []namedFind{{find: finds[0], term: t, name: t.Text}}
		}
	}
	if t.Min > 1 && len(o.messages) < t.Min {
		o.holds = false
	}
	return o
}

// evalGroup evaluates the lists of a group without its min.
func (s side) evalGroup(t *Term, in scope) outcome {
	var o outcome
	anyHolds := len(t.Any) == 0
	for _, term := range t.Any {
		of := s.eval(term, in)
		o.add(of)
		anyHolds = anyHolds || of.holds
	}
	o.holds = anyHolds
	for _, term := range t.All {
		of := s.eval(term, in)
		o.add(of)
		o.holds = o.holds && of.holds
	}
	for _, term := range t.None {
		o.holds = o.holds && !s.eval(term, in).holds
	}
	return o
}

// match says whether a rule that is no fallback matches, with its evidence in
// the order of the finds.
func (s side) match(r *Rule) ([]Evidence, bool) {
	_, satisfied := s.satisfied(r)
	if len(satisfied) < max(r.minMessages(), 1) {
		return nil, false
	}
	var finds []namedFind
	seen := make(map[*Term]bool)
	for _, o := range satisfied {
		for _, f := range o.finds {
			if !seen[f.term] {
				seen[f.term] = true
				finds = append(finds, f)
			}
		}
	}
	slices.SortStableFunc(finds, func(a, b namedFind) int { return compareFinds(a.find, b.find) })
	evidence := make([]Evidence, 0, len(finds))
	for _, f := range finds {
		m := s.transcript.Messages[f.message]
		evidence = append(evidence, Evidence{
			EventID: m.EventID, Author: m.Author, Field: m.Texts[f.text].Field,
			Term: f.name, Start: f.start, End: f.end,
		})
	}
	return evidence, true
}

// minMessages is how many messages must satisfy the whole rule, where one
// message alone can.
func (r *Rule) minMessages() int {
	if r.Within == WithinMessage {
		return r.Body.Min
	}
	return 1
}

// satisfied gives the rule's body as it is evaluated and its outcome wherever
// it holds: in the whole chat, or in messages in order.
func (s side) satisfied(r *Rule) (body *Term, outcomes []outcome) {
	copied := r.Body
	body = &copied
	if r.Within != WithinMessage {
		if o := s.eval(body, wholeChat); o.holds {
			outcomes = append(outcomes, o)
		}
		return body, outcomes
	}
	body.Min = 1 // it counts the messages that satisfy the whole rule
	for _, in := range s.candidates(body) {
		if o := s.eval(body, in); o.holds {
			outcomes = append(outcomes, o)
		}
	}
	return body, outcomes
}

// candidates gives the messages in which a positive term is found, in order: a
// message without any cannot satisfy a rule.
func (s side) candidates(t *Term) []scope {
	var scopes []scope
	for _, leaf := range positiveLeaves(t) {
		for _, f := range s.found(leaf, wholeChat) {
			scopes = append(scopes, scope(f.message))
		}
	}
	slices.Sort(scopes)
	return slices.Compact(scopes)
}

// positiveLeaves gives the terms below t, itself included, that are neither
// groups nor lists and that help it to hold: those below no none list, or below
// an even number of them.
func positiveLeaves(t *Term) []*Term {
	type visit struct {
		term *Term
		veto bool
	}
	var leaves []*Term
	seen := make(map[visit]bool)
	var walk func(v visit)
	walk = func(v visit) {
		if seen[v] {
			return
		}
		seen[v] = true
		if v.term.Kind != Group && v.term.Kind != List && !v.veto {
			leaves = append(leaves, v.term)
		}
		for _, children := range [][]*Term{v.term.Any, v.term.All, v.term.Entries} {
			for _, child := range children {
				walk(visit{child, v.veto})
			}
		}
		for _, child := range v.term.None {
			walk(visit{child, !v.veto})
		}
	}
	walk(visit{t, false})
	return leaves
}
