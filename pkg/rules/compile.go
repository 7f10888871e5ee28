package rules

import (
	"sync"
	"unicode/utf8"
)

// A matcher is a set of rules made ready for matching. It is immutable; what a
// match needs of memory is in a search, of which it keeps some.
//
// The terms of all rules are found in one pass over each text (index, canned and
// regex). From the finds one goes up to the rules that may match or nearly match:
// all others are never looked at. Terms that say the same are one leaf.
type matcher struct {
	rules     []*Rule
	fallbacks []int32 // indexes of rules
	idle      []int32 // rules that hold without any find: none of a valid file
	sides     []sideKey
	ruleSide  []uint8 // by rule: index of sides
	ruleRoot  []int32 // by rule: its node

	leaves  int
	indexes [4]*index // by options.index; nil without terms
	ascii   [4]*[utf8.RuneSelf]asciiFold
	canned  [4]*cannedIndex
	regexes *regexIndex

	nodes  []node
	leafUp edges // by leaf: where it is a child
	nodeUp edges // by node

	hasReach reach // of all nodes
	searches sync.Pool
}

// A node is a group, or the entries of a list, which all uses of the list with
// the same options share.
type node struct {
	term     *Term    // nil for a list
	children []branch // of a group any, then all, then none
	any, all int32    // how many of the children are in any, and in all
	min      int32
	rule     int32 // whose body it is, or -1
	reach    reach

	// What holds without any find: the node, how many children in any and in
	// none; and how many in all do not.
	idle                       bool
	idleAny, needed, idleNones int32
}

type branch struct {
	term *Term
	id   int32 // a leaf, or a node
	kind Kind  // Group, List or that of a leaf
	idle bool
}

// reach says from rules of which kind a node or leaf can be reached.
type reach uint8

const (
	inChat    reach = 1 << iota // rules that are evaluated once
	inMessage                   // rules that are evaluated message by message
)

// edges are the uses of leaves or nodes as children.
type edges struct {
	starts []int32 // by leaf or node, one more than there are
	uses   []edge
}

func (e *edges) of(id int32) []edge { return e.uses[e.starts[id]:e.starts[id+1]] }

type edge struct {
	parent, ordinal int32
	veto            bool // in a none list
}

// term gives the term that is used.
func (m *matcher) term(use edge) *Term { return m.nodes[use.parent].children[use.ordinal].term }

// matcher gives the compiled form of the set.
func (s *Set) matcher() *matcher {
	s.matcherOnce.Do(func() { s.compiledMatcher = newMatcher(s) })
	return s.compiledMatcher
}

func newMatcher(s *Set) *matcher {
	c := compiler{
		matcher: &matcher{rules: s.Rules, ruleSide: make([]uint8, len(s.Rules)), ruleRoot: make([]int32, len(s.Rules))},
		leaf:    make(map[termKey]int32),
		groups:  make(map[*Term]int32),
		lists:   make(map[entriesKey]int32),
	}
	c.matcher.searches.New = func() any { return newMatch(c.matcher) }
	for i, r := range s.Rules {
		switch {
		case r.Status == Off:
		case r.Fallback:
			c.fallbacks = append(c.fallbacks, int32(i))
		default:
			c.rule(int32(i), r)
		}
	}
	c.leaves = len(c.leaf)
	c.leafUp = newEdges(c.leaves, c.leafUses)
	c.nodeUp = newEdges(len(c.nodes), c.nodeUses)
	c.index()
	return c.matcher
}

type compiler struct {
	*matcher
	leaf     map[termKey]int32
	terms    []*Term // by leaf: one that says it
	groups   map[*Term]int32
	lists    map[entriesKey]int32
	leafUses []termUse
	nodeUses []termUse
}

// entriesKey tells the shared entries of lists apart.
type entriesKey struct {
	first **Term
	n     int
}

type termUse struct {
	id int32
	edge
}

func (c *compiler) rule(i int32, r *Rule) {
	key := sideKey{r.From, r.Internal}
	side := -1
	for j, k := range c.sides {
		if k == key {
			side = j
		}
	}
	if side < 0 {
		side = len(c.sides)
		c.sides = append(c.sides, key)
	}
	root := c.group(&r.Body)
	n := &c.nodes[root]
	n.rule = i
	c.ruleSide[i], c.ruleRoot[i] = uint8(side), root
	if r.Within == WithinMessage {
		n.min = 1 // it counts the messages that satisfy the whole rule
		c.reach(root, inMessage)
		return
	}
	c.reach(root, inChat)
	if n.idle {
		c.idle = append(c.idle, i)
	}
}

// group gives the node of a group.
func (c *compiler) group(t *Term) int32 {
	if id, ok := c.groups[t]; ok {
		return id
	}
	n := node{term: t, any: int32(len(t.Any)), all: int32(len(t.All)), min: int32(t.Min), rule: -1}
	n.children = make([]branch, 0, len(t.Any)+len(t.All)+len(t.None))
	for _, terms := range [][]*Term{t.Any, t.All, t.None} {
		for _, term := range terms {
			n.children = append(n.children, c.branch(term))
		}
	}
	for i, ch := range n.children {
		switch {
		case int32(i) < n.any:
			if ch.idle {
				n.idleAny++
			}
		case int32(i) < n.any+n.all:
			if !ch.idle {
				n.needed++
			}
		case ch.idle:
			n.idleNones++
		}
	}
	n.idle = (n.any == 0 || n.idleAny > 0) && n.needed == 0 && n.idleNones == 0 && n.min <= 1
	id := int32(len(c.nodes))
	c.nodes = append(c.nodes, n)
	c.groups[t] = id
	c.linkChildren(id)
	return id
}

// list gives the node of the entries of a list.
func (c *compiler) list(entries []*Term) int32 {
	var key entriesKey
	if len(entries) > 0 {
		key = entriesKey{&entries[0], len(entries)}
	}
	if id, ok := c.lists[key]; ok {
		return id
	}
	n := node{any: int32(len(entries)), rule: -1, children: make([]branch, 0, len(entries))}
	for _, term := range entries {
		ch := c.branch(term)
		if ch.idle {
			n.idleAny++
		}
		n.children = append(n.children, ch)
	}
	n.idle = n.idleAny > 0
	id := int32(len(c.nodes))
	c.nodes = append(c.nodes, n)
	c.lists[key] = id
	c.linkChildren(id)
	return id
}

func (c *compiler) branch(t *Term) branch {
	switch t.Kind {
	case Group:
		id := c.group(t)
		return branch{t, id, Group, c.nodes[id].idle}
	case List:
		id := c.list(t.Entries)
		return branch{t, id, List, c.nodes[id].idle && t.Min <= 1}
	}
	key := keyOf(t)
	id, ok := c.leaf[key]
	if !ok {
		id = int32(len(c.terms))
		c.leaf[key] = id
		c.terms = append(c.terms, t)
	}
	return branch{term: t, id: id, kind: t.Kind}
}

// linkChildren notes for the children of a node where they are.
func (c *compiler) linkChildren(id int32) {
	n := &c.nodes[id]
	for i, ch := range n.children {
		u := termUse{ch.id, edge{parent: id, ordinal: int32(i), veto: int32(i) >= n.any+n.all}}
		if ch.kind == Group || ch.kind == List {
			c.nodeUses = append(c.nodeUses, u)
		} else {
			c.leafUses = append(c.leafUses, u)
		}
	}
}

// reach notes from rules of which kind a node is reached.
func (c *compiler) reach(id int32, r reach) {
	c.hasReach |= r
	n := &c.nodes[id]
	if n.reach&r != 0 {
		return
	}
	n.reach |= r
	for _, ch := range n.children {
		if ch.kind == Group || ch.kind == List {
			c.reach(ch.id, r)
		}
	}
}

func newEdges(n int, uses []termUse) edges {
	e := edges{starts: make([]int32, n+1), uses: make([]edge, len(uses))}
	for _, u := range uses {
		e.starts[u.id+1]++
	}
	for i := range n {
		e.starts[i+1] += e.starts[i]
	}
	next := append([]int32(nil), e.starts[:n]...)
	for _, u := range uses {
		e.uses[next[u.id]] = u.edge
		next[u.id]++
	}
	return e
}

// index makes what finds the leaves.
func (c *compiler) index() {
	var shapes [4][]shape
	folds := new(quickFolder)
	for id, t := range c.terms {
		key := keyOf(t)
		i := key.options.index()
		switch t.Kind {
		case Regex:
			if c.regexes == nil {
				c.regexes = new(regexIndex)
			}
			c.regexes.add(int32(id), t)
		case Canned:
			if c.canned[i] == nil {
				c.canned[i] = newCannedIndex()
			}
			c.canned[i].add(int32(id), folds.canned(t.Text, key.options))
		default:
			if p := folds.pattern(t, key.options); len(p.units) > 0 {
				shapes[i] = append(shapes[i], newShape(int32(id), p))
			}
		}
	}
	if c.regexes != nil {
		c.regexes.build()
	}
	for i, o := range []options{{}, {caseExact: true}, {accentsExact: true}, {true, true}} {
		if len(shapes[i]) > 0 {
			c.indexes[i] = newIndex(shapes[i])
		}
		if len(shapes[i]) > 0 || c.canned[i] != nil {
			c.ascii[i] = newASCII(o)
		}
	}
}
