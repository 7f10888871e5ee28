package rules

import (
	"cmp"
	"slices"

	"autotag/pkg/transcript"
)

// A match is the work of matching one transcript. It is used again for another
// when it is done, so that matching takes no new memory but for its result.
//
// What it keeps by leaf, node or rule is only the place of an entry in a list of
// those that are found or touched; a place holds only if the entry there is of
// the same leaf, node or rule, so nothing needs to be cleared.
type match struct {
	m *matcher
	t *transcript.Transcript

	// Finding the leaves.
	stream             stream
	plainStream        stream // of a text without Markdown, for canned responses
	letters            []byte
	message, textIndex int
	wordsFrom, wordsTo int
	raw                stream  // of a text as it is written, for regexes: keys alone
	current            *stream // that is searched
	candidates         []int32 // regexes that may be found in a text
	candidateAt        []int32
	leafAt             []int32
	leaves             []foundLeaf
	finds              []leafFind

	// Going up from them.
	nodeAt  []int32
	touched []touchedNode
	marks   []uint64 // node and ordinal of each child that is touched, sorted
	roots   []int32  // the rules for which a positive term is found

	// Evaluating a rule.
	sides    []sideMessages
	side     *sideMessages
	in       scope
	messages []int32
	named    []named
	links    []link
	lists    map[listKey]listOutcome
	counted  []int32 // messages of the outcomes in lists
	visited  map[visit]bool
	seen     map[*Term]bool

	stateAt []int32
	states  []ruleState
	kept    []keptFind
	matched []matchedRule
	taken   map[string]bool // sets of which an active rule has matched
}

func newMatch(m *matcher) *match {
	regexes := 0
	if m.regexes != nil {
		regexes = len(m.regexes.items)
	}
	return &match{
		m:           m,
		candidateAt: make([]int32, regexes),
		leafAt:      make([]int32, m.leaves),
		nodeAt:      make([]int32, len(m.nodes)),
		stateAt:     make([]int32, len(m.rules)),
		sides:       make([]sideMessages, len(m.sides)),
		lists:       make(map[listKey]listOutcome),
		visited:     make(map[visit]bool),
		seen:        make(map[*Term]bool),
		taken:       make(map[string]bool),
	}
}

// A touchedNode is a node below which a leaf is found.
type touchedNode struct {
	node     int32
	polarity polarity
}

// polarity says whether what is found below a node helps it to hold.
type polarity uint8

const (
	positive polarity = 1 << iota
	negative
)

// sideMessages are the messages that a rule looks at.
type sideMessages struct {
	known     bool
	count     int
	positions []int32 // of a message among them, or -1
}

// named is a find by the name that the rule has for it: that of the term, and of
// a list also that of the entry.
type named struct {
	find int32
	term *Term
	link int32 // the entry's name in links, or -1
}

type link struct {
	term *Term
	next int32
}

// A listOutcome is what the entries of a list come to.
type listOutcome struct {
	holds       bool
	first       named
	start, stop int32 // in counted
}

type listKey struct {
	node  int32
	side  *sideMessages
	in    scope
	count bool
}

type visit struct {
	node int32
	veto bool
}

// A ruleState is what is known of a rule that is evaluated message by message.
type ruleState struct {
	rule        int32
	satisfied   int   // messages
	first, last int32 // its finds in kept, or -1
	near        bool
	missing     missing
}

type keptFind struct {
	named
	next int32
}

type matchedRule struct {
	rule     int32
	evidence []Evidence
	more     int
}

// match says which tags the rules ask for on a transcript.
func (m *matcher) match(t *transcript.Transcript) Result {
	s := m.searches.Get().(*match)
	defer m.searches.Put(s)
	return s.match(t)
}

func (s *match) match(t *transcript.Transcript) Result {
	defer s.reset()
	s.findLeaves(t, false)
	return s.result()
}

// maxKept is how much of a map is worth clearing rather than making it anew.
const maxKept = 256

func (s *match) reset() {
	s.t, s.side = nil, nil
	s.leaves, s.finds = s.leaves[:0], s.finds[:0]
	for i := range s.sides {
		s.sides[i].known = false
	}
	s.forget()
}

// forget forgets what the rules came to, but not what was found.
func (s *match) forget() {
	s.states, s.kept, s.matched = s.states[:0], s.kept[:0], s.matched[:0]
	s.links, s.counted = s.links[:0], s.counted[:0]
	s.lists = emptied(s.lists)
	s.visited = emptied(s.visited)
	s.seen = emptied(s.seen)
}

func emptied[K comparable, V any](m map[K]V) map[K]V {
	if len(m) > maxKept {
		return make(map[K]V)
	}
	clear(m)
	return m
}

// findLeaves finds all leaves in all messages that any rule looks at, or
// everywhere.
func (s *match) findLeaves(t *transcript.Transcript, everywhere bool) {
	s.t = t
	for i := range t.Messages {
		message := &t.Messages[i]
		if !everywhere && !slices.ContainsFunc(s.m.sides, func(k sideKey) bool { return k.has(message) }) {
			continue
		}
		s.message = i
		for j := range message.Texts {
			s.textIndex = j
			s.scanText(&message.Texts[j])
		}
	}
}

// result evaluates the rules that the finds lead to.
func (s *match) result() Result {
	result := Result{Tags: []Hit{}, Shadow: []Hit{}, NearMisses: []NearMiss{}, Skipped: []Skip{}}
	if len(s.finds) > 0 || len(s.m.idle) > 0 {
		s.evaluate(&result)
	}
	silenced := !s.t.Complete // fallback rules say nothing
	for _, matched := range s.matched {
		silenced = silenced || s.m.rules[matched.rule].Status == Active
	}
	if !silenced {
		for _, i := range s.m.fallbacks {
			if inGroups(s.m.rules[i], s.t) {
				s.matched = append(s.matched, matchedRule{rule: i})
			}
		}
		slices.SortFunc(s.matched, func(a, b matchedRule) int { return cmp.Compare(a.rule, b.rule) })
	}
	clear(s.taken)
	for _, matched := range s.matched {
		r := s.m.rules[matched.rule]
		late := r.Set != "" && s.taken[r.Set]
		if r.Set != "" && r.Status == Active {
			s.taken[r.Set] = true
		}
		if matched.evidence == nil {
			matched.evidence = []Evidence{}
		}
		hit := Hit{Tag: r.Tag, Rule: r.Name, Evidence: matched.evidence, More: matched.more}
		switch {
		case late:
			result.Skipped = append(result.Skipped, Skip{Tag: r.Tag, Rule: r.Name, Why: WhySet})
		case slices.ContainsFunc(r.UnlessTagged, func(tag string) bool { return slices.Contains(s.t.Tagged, tag) }):
			result.Skipped = append(result.Skipped, Skip{Tag: r.Tag, Rule: r.Name, Why: WhyUnlessTagged})
		case r.Status == Shadow:
			result.Shadow = append(result.Shadow, hit)
		default:
			result.Tags = append(result.Tags, hit)
		}
	}
	clear(s.matched) // of pointers into the result
	return result
}

// evaluate notes the rules that match and that nearly match.
func (s *match) evaluate(result *Result) {
	for start := 0; start < len(s.finds); {
		end := start
		for end < len(s.finds) && s.finds[end].message == s.finds[start].message {
			end++
		}
		if s.m.hasReach&inMessage != 0 {
			s.evaluateMessage(start, end)
		}
		start = end
	}
	s.climb(0, len(s.finds), inChat)
	for _, state := range s.states {
		s.roots = append(s.roots, state.rule)
	}
	s.roots = append(s.roots, s.m.idle...)
	slices.Sort(s.roots)
	s.roots = slices.Compact(s.roots)
	for _, i := range s.roots {
		r := s.m.rules[i]
		if !inGroups(r, s.t) {
			continue
		}
		var ok, near bool
		var missing missing
		s.messages, s.named = s.messages[:0], s.named[:0]
		if r.Within == WithinMessage {
			state := s.stateOf(i)
			ok = state.satisfied >= max(r.minMessages(), 1)
			near, missing = state.near, state.missing
			if need := r.minMessages(); !ok && need > 1 {
				near, missing = state.satisfied == need-1, tooFewFound(need, state.satisfied)
			}
			for k := state.first; ok && k >= 0; k = s.kept[k].next {
				s.named = append(s.named, s.kept[k].named)
			}
		} else {
			s.look(i, wholeChat)
			ok = s.rootHolds(s.m.ruleRoot[i])
			if !ok && len(result.NearMisses) < maxNearMisses {
				missing, near = s.nearly(s.m.ruleRoot[i])
			}
		}
		switch {
		case ok:
			evidence, more := s.evidence()
			s.matched = append(s.matched, matchedRule{i, evidence, more})
		case near && len(result.NearMisses) < maxNearMisses:
			result.NearMisses = append(result.NearMisses, NearMiss{Tag: r.Tag, Rule: r.Name, Missing: missing.String()})
		}
	}
}

// evaluateMessage evaluates the rules that are evaluated message by message in
// the message with some of the finds.
func (s *match) evaluateMessage(start, end int) {
	for i := start; i < end; i++ {
		s.leafOf(s.finds[i].leaf).now = int32(i)
	}
	s.climb(start, end, inMessage)
	in := scope(s.finds[start].message)
	for _, i := range s.roots {
		r := s.m.rules[i]
		root := s.m.ruleRoot[i]
		if !inGroups(r, s.t) {
			continue
		}
		s.look(i, in)
		if !s.anyFound(root) {
			continue // a message without any positive find cannot satisfy a rule
		}
		state := s.stateOf(i)
		if state == nil {
			s.stateAt[i] = int32(len(s.states))
			s.states = append(s.states, ruleState{rule: i, first: -1, last: -1})
			state = &s.states[len(s.states)-1]
		}
		s.messages, s.named = s.messages[:0], s.named[:0]
		if s.rootHolds(root) {
			state.satisfied++
			for _, n := range s.named {
				at := int32(len(s.kept))
				s.kept = append(s.kept, keptFind{n, -1})
				if state.last >= 0 {
					s.kept[state.last].next = at
				} else {
					state.first = at
				}
				state.last = at
			}
		} else if state.satisfied == 0 && !state.near && r.minMessages() <= 1 {
			state.missing, state.near = s.nearly(root)
		}
	}
}

func (s *match) stateOf(rule int32) *ruleState {
	if at := int(s.stateAt[rule]); at < len(s.states) && s.states[at].rule == rule {
		return &s.states[at]
	}
	return nil
}

// climb goes from the leaves of the finds [start, end) up to the rules of one
// kind, and notes which children of which nodes are touched on the way. The rest
// of what it does not touch is as if nothing were found. A veto does not lead to
// its rule: it helps no rule to match, and a word that many rules have as a veto
// would lead to all of them. A rule looks at its few vetoes itself.
func (s *match) climb(start, end int, r reach) {
	s.touched, s.marks, s.roots = s.touched[:0], s.marks[:0], s.roots[:0]
	if s.m.hasReach&r == 0 {
		return
	}
	for i := start; i < end; i++ {
		leaf := s.finds[i].leaf
		if f := s.leafOf(leaf); r == inChat && int(f.first) != i {
			continue // it has been climbed
		}
		for _, e := range s.m.leafUp.of(leaf) {
			s.touch(e, positive, r)
		}
	}
	slices.Sort(s.marks)
	s.marks = slices.Compact(s.marks)
	slices.Sort(s.roots)
}

func (s *match) touch(e edge, p polarity, r reach) {
	n := &s.m.nodes[e.parent]
	if n.reach&r == 0 {
		return
	}
	if e.veto {
		p ^= positive | negative
		if n.rule >= 0 && p == negative {
			return
		}
	}
	s.marks = append(s.marks, uint64(e.parent)<<32|uint64(e.ordinal))
	at := int(s.nodeAt[e.parent])
	if at >= len(s.touched) || s.touched[at].node != e.parent {
		at = len(s.touched)
		s.nodeAt[e.parent] = int32(at)
		s.touched = append(s.touched, touchedNode{node: e.parent})
	}
	if s.touched[at].polarity&p != 0 {
		return
	}
	s.touched[at].polarity |= p
	if n.rule >= 0 {
		if p == positive {
			s.roots = append(s.roots, n.rule)
		}
		return
	}
	for _, up := range s.m.nodeUp.of(e.parent) {
		s.touch(up, p, r)
	}
}

// touchedChildren gives the marks of a node.
func (s *match) touchedChildren(node int32) []uint64 {
	start, _ := slices.BinarySearch(s.marks, uint64(node)<<32)
	end := start
	for end < len(s.marks) && int32(s.marks[end]>>32) == node {
		end++
	}
	return s.marks[start:end]
}

// look sets the messages that a rule is evaluated in.
func (s *match) look(rule int32, in scope) { s.lookAt(s.m.ruleSide[rule], in) }

// lookAt is look for the rules of a side.
func (s *match) lookAt(i uint8, in scope) {
	side := &s.sides[i]
	if !side.known {
		side.known, side.count, side.positions = true, 0, side.positions[:0]
		for j := range s.t.Messages {
			if s.m.sides[i].has(&s.t.Messages[j]) {
				side.positions = append(side.positions, int32(side.count))
				side.count++
			} else {
				side.positions = append(side.positions, -1)
			}
		}
	}
	s.side, s.in = side, in
}

// inWindow says whether a message is among the first or last of the side for a
// term.
func (s *match) inWindow(t *Term, message int) bool {
	p := int(s.side.positions[message])
	return p >= 0 && (t.First == 0 || p < t.First) && (t.Last == 0 || p >= s.side.count-t.Last)
}

// nextFind gives the first find of a leaf, from the find at on, that counts for
// the term t, or -1.
func (s *match) nextFind(t *Term, at int32) int32 {
	for ; at >= 0; at = s.finds[at].next {
		if s.inWindow(t, s.finds[at].message) {
			return at
		}
		if s.in != wholeChat {
			break
		}
	}
	return -1
}

// firstFind gives the first find of a leaf that counts for the term t, or -1.
func (s *match) firstFind(t *Term, leaf int32) int32 {
	f := s.leafOf(leaf)
	switch {
	case f == nil:
		return -1
	case s.in == wholeChat:
		return s.nextFind(t, f.first)
	case s.finds[f.now].message != int(s.in):
		return -1
	}
	return s.nextFind(t, f.now)
}

// eval evaluates a child. Its finds are added to named; the messages in which it
// is found are added to messages, in order, if the caller or the term counts them,
// and n is their number. The caller takes away what it does not want.
func (s *match) eval(ch *branch, count bool) (holds bool, n int) {
	t := ch.term
	if ch.kind == Group {
		return s.evalGroup(ch.id, count)
	}
	count = count || t.Min > 1
	start := len(s.messages)
	if ch.kind == List {
		holds = s.evalList(ch, count)
	} else if at := s.firstFind(t, ch.id); at >= 0 {
		holds = true
		s.named = append(s.named, named{at, t, -1})
		for ; count && at >= 0; at = s.nextFind(t, s.finds[at].next) {
			s.messages = append(s.messages, int32(s.finds[at].message))
			if s.in != wholeChat {
				break
			}
		}
	}
	n = len(s.messages) - start
	return holds && (t.Min <= 1 || n >= t.Min), n
}

// evalPositive evaluates a child that helps its parent, and keeps of it only
// what holds.
func (s *match) evalPositive(ch *branch, count bool) (holds bool, n int) {
	messages, finds := len(s.messages), len(s.named)
	holds, n = s.eval(ch, count)
	if !holds {
		s.messages, s.named = s.messages[:messages], s.named[:finds]
	}
	return holds, n
}

// evalVeto says whether a child in none holds.
func (s *match) evalVeto(ch *branch) bool {
	messages, finds := len(s.messages), len(s.named)
	holds, _ := s.eval(ch, false)
	s.messages, s.named = s.messages[:messages], s.named[:finds]
	return holds
}

// compactMessages brings the messages from start on into order, each once.
func (s *match) compactMessages(start int) {
	slices.Sort(s.messages[start:])
	s.messages = s.messages[:start+len(slices.Compact(s.messages[start:]))]
}

// evalList evaluates the use of a list without its min. What its entries come to
// is remembered, as a list may be used in many places, also by other lists.
func (s *match) evalList(ch *branch, count bool) bool {
	key := listKey{ch.id, s.side, s.in, count}
	o, ok := s.lists[key]
	if !ok {
		o = s.evalEntries(ch.id, count)
		s.lists[key] = o
	}
	s.messages = append(s.messages, s.counted[o.start:o.stop]...)
	if o.first.term != nil {
		s.links = append(s.links, link{o.first.term, o.first.link})
		s.named = append(s.named, named{o.first.find, ch.term, int32(len(s.links) - 1)})
	}
	return o.holds
}

func (s *match) evalEntries(id int32, count bool) listOutcome {
	n := &s.m.nodes[id]
	var o listOutcome
	messages, finds := len(s.messages), len(s.named)
	idle := n.idleAny
	for _, mark := range s.touchedChildren(id) {
		ch := &n.children[uint32(mark)]
		if ch.idle {
			idle--
		}
		holds, _ := s.evalPositive(ch, count)
		o.holds = o.holds || holds
	}
	o.holds = o.holds || idle > 0
	s.compactMessages(messages)
	o.start = int32(len(s.counted))
	s.counted = append(s.counted, s.messages[messages:]...)
	o.stop = int32(len(s.counted))
	if len(s.named) > finds {
		o.first = slices.MinFunc(s.named[finds:], s.compareNamed)
	}
	s.messages, s.named = s.messages[:messages], s.named[:finds]
	return o
}

func (s *match) compareNamed(a, b named) int {
	return compareFinds(s.finds[a.find].find, s.finds[b.find].find)
}

// evalGroup evaluates a group as eval does.
func (s *match) evalGroup(id int32, count bool) (holds bool, found int) {
	n := &s.m.nodes[id]
	count = count || n.min > 1
	start := len(s.messages)
	anyHolds, allHold := n.any == 0, true
	idleAny, needed, idleNones := n.idleAny, n.needed, n.idleNones
	marks := s.touchedChildren(id)
	for _, mark := range marks {
		i := int32(uint32(mark))
		ch := &n.children[i]
		switch {
		case i < n.any:
			if ch.idle {
				idleAny--
			}
			holds, _ := s.evalPositive(ch, count)
			anyHolds = anyHolds || holds
		case i < n.any+n.all:
			if !ch.idle {
				needed--
			}
			holds, _ := s.evalPositive(ch, count)
			allHold = allHold && holds
		}
	}
	holds = (anyHolds || idleAny > 0) && allHold && needed == 0
	if holds {
		holds = !s.vetoed(n, marks, idleNones)
	}
	if count {
		s.compactMessages(start)
		found = len(s.messages) - start
	}
	return holds && (n.min <= 1 || found >= int(n.min)), found
}

// vetoed says whether a child in none holds.
func (s *match) vetoed(n *node, marks []uint64, idle int32) bool {
	if n.rule >= 0 {
		for i := n.any + n.all; i < int32(len(n.children)); i++ {
			if s.evalVeto(&n.children[i]) {
				return true
			}
		}
		return false
	}
	for _, mark := range marks {
		if i := int32(uint32(mark)); i >= n.any+n.all {
			ch := &n.children[i]
			if ch.idle {
				idle--
			}
			if s.evalVeto(ch) {
				return true
			}
		}
	}
	return idle > 0
}

// rootHolds evaluates the body of a rule, unless the terms that it needs are not
// even touched.
func (s *match) rootHolds(root int32) bool {
	n := &s.m.nodes[root]
	if s.untouched(n, s.touchedChildren(root)) > 0 {
		return false
	}
	holds, _ := s.evalGroup(root, false)
	return holds
}

// untouched is how many of the children that must all hold do not since nothing
// is found of them.
func (s *match) untouched(n *node, marks []uint64) int32 {
	needed := n.needed
	for _, mark := range marks {
		if i := int32(uint32(mark)); i >= n.any && i < n.any+n.all && !n.children[i].idle {
			needed--
		}
	}
	return needed
}

// anyFound says whether a positive term of a node is found.
func (s *match) anyFound(id int32) bool {
	clear(s.visited)
	return s.foundBelow(id, false)
}

func (s *match) foundBelow(id int32, veto bool) bool {
	n := &s.m.nodes[id]
	if n.term == nil {
		// A list may be below itself in many ways.
		key := visit{id, veto}
		if s.visited[key] {
			return false
		}
		s.visited[key] = true
	}
	for _, mark := range s.touchedChildren(id) {
		i := int32(uint32(mark))
		if s.childFound(&n.children[i], veto != (i >= n.any+n.all)) {
			return true
		}
	}
	if n.rule >= 0 {
		for i := n.any + n.all; i < int32(len(n.children)); i++ {
			if s.childFound(&n.children[i], !veto) {
				return true
			}
		}
	}
	return false
}

func (s *match) childFound(ch *branch, veto bool) bool {
	if ch.kind == Group || ch.kind == List {
		return s.foundBelow(ch.id, veto)
	}
	return !veto && s.firstFind(ch.term, ch.id) >= 0
}

// evidence gives the evidence of the finds in named: of each term the first.
func (s *match) evidence() (evidence []Evidence, more int) {
	slices.SortStableFunc(s.named, s.compareNamed)
	distinct := s.named[:0]
	if len(s.named) > 1 {
		clear(s.seen)
		for _, n := range s.named {
			if !s.seen[n.term] {
				s.seen[n.term] = true
				distinct = append(distinct, n)
			}
		}
	} else {
		distinct = s.named
	}
	evidence = make([]Evidence, 0, min(len(distinct), maxEvidence))
	for _, n := range distinct[:cap(evidence)] {
		f := &s.finds[n.find]
		m := &s.t.Messages[f.message]
		evidence = append(evidence, Evidence{
			EventID: m.EventID, Author: m.Author, Field: m.Texts[f.text].Field,
			Term: s.nameOf(n), Start: f.start, End: f.end,
		})
	}
	return evidence, len(distinct) - len(evidence)
}

func (s *match) nameOf(n named) string {
	name := n.term.Text
	for at := n.link; at >= 0; at = s.links[at].next {
		name += ": " + s.links[at].term.Text
	}
	return name
}

// missing is the one thing that a rule is missing or that is in its way.
type missing struct {
	veto        bool
	term        *Term // nil where only the rule's own min is missing
	need, found int   // of a min
}

func tooFewFound(need, found int) missing { return missing{need: need, found: found} }

func missingTerm(t *Term, found int) missing {
	if t.Min > 1 && found > 0 && found < t.Min {
		return missing{term: t, need: t.Min, found: found}
	}
	return missing{term: t}
}

func (m missing) String() string {
	switch {
	case m.term == nil:
		return tooFew(m.need, m.found)
	case m.veto:
		return "none: " + describe(m.term)
	case m.need > 0:
		return describe(m.term) + ", " + tooFew(m.need, m.found)
	}
	return describe(m.term)
}

// nearly says what a group that does not hold is missing, if that is exactly one
// thing; see side.nearly.
func (s *match) nearly(id int32) (thing missing, near bool) {
	n := &s.m.nodes[id]
	marks := s.touchedChildren(id)
	untouched := s.untouched(n, marks)
	if untouched > 1 || !s.anyFound(id) {
		return missing{}, false
	}
	count := n.min > 1
	messages, finds := len(s.messages), len(s.named)
	defer func() { s.messages, s.named = s.messages[:messages], s.named[:finds] }()

	things := 0
	anyHolds, idleAny := n.any == 0, n.idleAny
	for _, mark := range marks {
		i := int32(uint32(mark))
		ch := &n.children[i]
		switch {
		case i < n.any:
			if ch.idle {
				idleAny--
			}
			holds, _ := s.evalPositive(ch, count)
			anyHolds = anyHolds || holds
		case i < n.any+n.all:
			if holds, found := s.evalPositive(ch, count); !holds {
				thing = missingTerm(ch.term, found)
				things++
			}
		}
	}
	if !anyHolds && idleAny == 0 {
		if thing, near = s.nearlyAny(n, marks); !near {
			return missing{}, false
		}
		things++
	}
	if untouched == 1 {
		thing = missing{term: s.neededTerm(n, marks)}
		things++
	}
	for i := n.any + n.all; i < int32(len(n.children)) && things <= 1; i++ {
		if s.evalVeto(&n.children[i]) {
			thing = missing{veto: true, term: n.children[i].term}
			things++
		}
	}
	if count {
		s.compactMessages(messages)
		if found := len(s.messages) - messages; found < int(n.min) {
			if found < int(n.min)-1 {
				return missing{}, false
			}
			thing = tooFewFound(int(n.min), found)
			things++
		}
	}
	return thing, things == 1
}

// nearlyAny says what the first entry of an any list that nearly holds is missing.
func (s *match) nearlyAny(n *node, marks []uint64) (thing missing, near bool) {
	for _, mark := range marks {
		i := int32(uint32(mark))
		if i >= n.any {
			break
		}
		ch := &n.children[i]
		if ch.kind == Group {
			if thing, near := s.nearly(ch.id); near {
				return thing, true
			}
			continue
		}
		if ch.term.Min > 1 {
			messages, finds := len(s.messages), len(s.named)
			_, found := s.eval(ch, true)
			s.messages, s.named = s.messages[:messages], s.named[:finds]
			if found == ch.term.Min-1 {
				return missingTerm(ch.term, found), true
			}
		}
	}
	return missing{}, false
}

// neededTerm gives the first child that must hold and is not touched.
func (s *match) neededTerm(n *node, marks []uint64) *Term {
	for i := n.any; i < n.any+n.all; i++ {
		if n.children[i].idle {
			continue
		}
		touched := slices.ContainsFunc(marks, func(mark uint64) bool { return int32(uint32(mark)) == i })
		if !touched {
			return n.children[i].term
		}
	}
	return nil
}
