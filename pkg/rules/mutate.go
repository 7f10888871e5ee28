package rules

import (
	"cmp"
	"slices"
)

// Mutation says which terms of a rules file its tests would miss.
type Mutation struct {
	Terms     int         `json:"terms"`
	Noticed   int         `json:"noticed"`
	Unnoticed []TermPlace `json:"unnoticed"` // in the order of the file
}

// Share is the part of the terms that were noticed.
func (m Mutation) Share() Share { return Share{m.Noticed, m.Terms} }

// Mutate takes each term in turn out of the rules, wherever they come to it, and
// runs the cases again: the loss is noticed when one that held does not any
// more. With its last entry a list of a group goes. A group that has nothing
// left, or would hold without any of its words as it did not before, goes as a
// whole: of a rule that would, nothing matches.
func (s *Set) Mutate(cases []Case) Mutation {
	g := newLossyGraph(s)
	search := newMatch(g.matcher)
	noticed := make([]bool, len(g.places))
	for _, c := range cases {
		search.findLeaves(c.Chat, false)
		if c.holds(search.result()) {
			for _, at := range g.felt(search, noticed) {
				undo := g.take(&g.losses[at])
				search.forget()
				noticed[at] = !c.holds(search.result())
				undo()
			}
		}
		search.reset()
	}
	m := Mutation{Terms: len(g.places), Unnoticed: []TermPlace{}}
	for at, p := range g.places {
		if noticed[at] {
			m.Noticed++
		} else {
			m.Unnoticed = append(m.Unnoticed, p)
		}
	}
	return m
}

// holds says whether the rules say what the case expects.
func (c Case) holds(r Result) bool {
	missing, extra := c.Compare(r)
	return len(missing)+len(extra) == 0
}

// A lossyGraph is a matcher of its own out of which terms can be taken and put
// back.
type lossyGraph struct {
	*matcher
	places  []TermPlace
	losses  []loss    // by place
	sizes   []sizes   // by node
	placeOf [][]int32 // by node and child: the index of its place, or -1
	// widened are by node the losses that may be felt where the term is not
	// found.
	widened      [][]widening
	holds, fails branch // what does, with nothing below
}

// A loss is what goes with a term.
type loss struct {
	uses    []edge  // children of nodes that stay
	emptied []int32 // nodes of which all in any goes, so that it asks for nothing
	rules   []int32 // nodes that are rules and go as a whole
}

type widening struct {
	place int32
	all   int32 // how many of the node's children that must hold go
}

// sizes count the children of a node by what they come to where nothing is
// found. A list never holds then, and min does not matter.
type sizes struct {
	anyHold, allFail, noneHold int32
	holds                      bool
}

func newLossyGraph(s *Set) *lossyGraph {
	g := &lossyGraph{matcher: newMatcher(s), places: s.places()}
	at := make(map[place]int32, len(g.places))
	for i, p := range g.places {
		at[place{p.Line, p.Column}] = int32(i)
	}
	n := len(g.nodes)
	g.sizes, g.placeOf, g.widened = make([]sizes, n), make([][]int32, n), make([][]widening, n)
	uses := make([][]edge, len(g.places))
	for id := range g.nodes {
		g.sizes[id] = g.size(int32(id))
		node := &g.nodes[id]
		g.placeOf[id] = make([]int32, len(node.children))
		for i, ch := range node.children {
			g.placeOf[id][i] = -1
			if isLeaf(ch.term) {
				of := at[placeOf(ch.term)]
				g.placeOf[id][i] = of
				uses[of] = append(uses[of], edge{parent: int32(id), ordinal: int32(i)})
			}
		}
	}
	g.losses = make([]loss, len(g.places))
	for i := range uses {
		g.losses[i] = g.lose(int32(i), uses[i])
	}
	g.holds, g.fails = branch{id: int32(n), kind: Group, idle: true}, branch{id: int32(n + 1), kind: Group}
	g.nodes = append(g.nodes, node{rule: -1}, node{rule: -1, needed: 1})
	return g
}

func (g *lossyGraph) size(id int32) (s sizes) {
	n := &g.nodes[id]
	for i, ch := range n.children {
		s.count(n, int32(i), g.isWordless(ch), 1)
	}
	s.holds = n.term != nil && s.wordless(n.any)
	return s
}

func (g *lossyGraph) isWordless(ch branch) bool { return ch.kind == Group && g.sizes[ch.id].holds }

// count counts a child.
func (s *sizes) count(n *node, ordinal int32, holds bool, by int32) {
	switch {
	case ordinal < n.any:
		if holds {
			s.anyHold += by
		}
	case ordinal < n.any+n.all:
		if !holds {
			s.allFail += by
		}
	case holds:
		s.noneHold += by
	}
}

// wordless says whether a group with so many children in any holds where nothing
// is found.
func (s *sizes) wordless(any int32) bool {
	return (any == 0 || s.anyHold > 0) && s.allFail == 0 && s.noneHold == 0
}

// lose gives what goes with the term of a place, which is used as these children
// of nodes.
func (g *lossyGraph) lose(at int32, uses []edge) (l loss) {
	// In the order of the nodes, so that what is below a node comes before it.
	for len(uses) > 0 {
		id := uses[0].parent
		end := 1
		for end < len(uses) && uses[end].parent == id {
			end++
		}
		gone := uses[:end]
		uses = uses[end:]

		n, left := &g.nodes[id], g.sizes[id]
		anyLeft := n.any
		widens, all := false, int32(0)
		for _, use := range gone {
			ch := n.children[use.ordinal]
			left.count(n, use.ordinal, g.isWordless(ch), -1)
			widens = widens || !isLeaf(ch.term)
			switch {
			case use.ordinal < n.any:
				anyLeft--
			case use.ordinal < n.any+n.all:
				all++
			}
		}
		goes := len(gone) == len(n.children) || n.term != nil && left.wordless(anyLeft) && !left.holds
		switch {
		case goes && n.rule >= 0:
			l.rules = append(l.rules, id)
		case goes:
			for _, up := range g.nodeUp.of(id) {
				i, _ := slices.BinarySearchFunc(uses, up, func(a, b edge) int {
					return cmp.Or(cmp.Compare(a.parent, b.parent), cmp.Compare(a.ordinal, b.ordinal))
				})
				uses = slices.Insert(uses, i, edge{parent: up.parent, ordinal: up.ordinal})
			}
		default:
			l.uses = append(l.uses, gone...)
			if anyLeft == 0 && n.any > 0 {
				l.emptied = append(l.emptied, id)
				widens = true
			}
			if widens || all > 0 {
				g.widened[id] = append(g.widened[id], widening{at, all})
			}
		}
	}
	return l
}

// take takes out what goes with a term, until it is undone. Nothing is moved: in
// place of a child comes what holds where all must hold, and else what does not.
func (g *lossyGraph) take(l *loss) (undo func()) {
	type before struct {
		id int32
		node
	}
	var nodes []before
	change := func(id int32) *node {
		if n := len(nodes); n == 0 || nodes[n-1].id != id {
			nodes = append(nodes, before{id, g.nodes[id]})
		}
		return &g.nodes[id]
	}
	children := make([]branch, 0, len(l.uses))
	for _, use := range l.uses {
		n := change(use.parent)
		ch := &n.children[use.ordinal]
		children = append(children, *ch)
		instead := g.fails
		switch {
		case use.ordinal < n.any:
			if ch.idle {
				n.idleAny--
			}
		case use.ordinal < n.any+n.all:
			instead = g.holds
			if !ch.idle {
				n.needed--
			}
		case ch.idle:
			n.idleNones--
		}
		instead.term = ch.term
		*ch = instead
	}
	for _, id := range l.emptied {
		change(id).idleAny++
	}
	for _, id := range l.rules {
		change(id).needed += 2 // and it is no near miss either
	}
	return func() {
		for i, use := range l.uses {
			g.nodes[use.parent].children[use.ordinal] = children[i]
		}
		for _, n := range slices.Backward(nodes) {
			g.nodes[n.id] = n.node
		}
	}
}

// felt gives the losses that may change what the rules come to: of terms that are
// found, and those that widen a node of which something else is. Without both a
// node comes to what it comes to where nothing is found, before and after.
func (g *lossyGraph) felt(s *match, noticed []bool) (losses []int32) {
	for _, leaf := range s.leaves {
		for _, use := range g.leafUp.of(leaf.leaf) {
			losses = append(losses, g.placeOf[use.parent][use.ordinal])
		}
	}
	s.climb(0, len(s.finds), inChat|inMessage)
	for _, touched := range s.touched {
		widened := g.widened[touched.node]
		if len(widened) == 0 {
			continue
		}
		missing := s.untouched(&g.nodes[touched.node], s.touchedChildren(touched.node))
		for _, w := range widened {
			if missing <= w.all {
				losses = append(losses, w.place)
			}
		}
	}
	slices.Sort(losses)
	losses = slices.Compact(losses)
	return slices.DeleteFunc(losses, func(at int32) bool { return noticed[at] })
}
