package transcript

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"autotag/pkg/livechat"
)

// event is everything known of one event.
type event struct {
	id         string
	originals  []*item // *version
	edits      []*item // *version
	properties []*item // change
	clicks     []*item // click
	snapshots  []*item // *snapshot
	deleted    bool
}

func (e *event) add(it *item) {
	switch it.kind {
	case kindOriginal:
		e.originals = append(e.originals, it)
	case kindEdit:
		e.edits = append(e.edits, it)
	case kindDeletion:
		e.deleted = true
	case kindProperties:
		e.properties = append(e.properties, it)
	case kindClick:
		e.clicks = append(e.clicks, it)
	case kindSnapshot:
		e.snapshots = append(e.snapshots, it)
	}
}

// sort makes what follows independent of the order in which a map gives the
// facts: by arrival, what arrived together by content.
func (e *event) sort() {
	for _, list := range [][]*item{e.originals, e.edits, e.properties, e.clicks, e.snapshots} {
		sortByArrival(list)
	}
}

func sortByArrival(list []*item) {
	slices.SortFunc(list, func(a, b *item) int {
		return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.content, b.content), strings.Compare(a.kind, b.kind))
	})
}

// versions calls yield with every state that is known, of any time.
func (e *event) versions(yield func(*version) bool) {
	for _, list := range [][]*item{e.originals, e.edits} {
		for _, it := range list {
			if !yield(it.body.(*version)) {
				return
			}
		}
	}
	for _, it := range e.snapshots {
		if s := it.body.(*snapshot); s.State != nil && !yield(s.State) {
			return
		}
	}
}

// created is when the event was created: one time for all its versions, so that
// its place does not depend on which of them is read. ok is false for an event
// of which no version is known.
func (e *event) created() (t time.Time, ok bool) {
	for v := range e.versions {
		if !ok || t.IsZero() || !v.created.IsZero() && v.created.Before(t) {
			t = v.created
		}
		ok = true
	}
	return t, ok
}

// missing says that the event is known to exist and nothing tells what it holds.
func (e *event) missing() bool {
	return !e.deleted && len(e.originals)+len(e.edits)+len(e.snapshots) == 0
}

// base is a full state that may be the last one.
type base struct {
	*version
	at int64
	// original says that every known change of properties came later.
	original bool
}

// history is an event without what a snapshot covers: the states that may be
// the last one, and what may have changed them since.
type history struct {
	bases      []base // by arrival; the last one is the likeliest
	properties []*item
	clicks     []*item
	settled    []click // what a snapshot took to be true
}

// history leaves out what cannot be the end of it: an original followed by an
// edit, or seen before a snapshot was taken.
func (e *event) history() history {
	var h history
	covers := make(map[string]int64)
	var last *item
	for _, it := range e.snapshots {
		s := it.body.(*snapshot)
		for name, at := range s.Covers {
			if known, ok := covers[name]; !ok || at > known {
				covers[name] = at
			}
		}
		if s.State != nil {
			last = it
		}
	}
	open := func(list []*item) []*item {
		if len(covers) == 0 {
			return list
		}
		var rest []*item
		for _, it := range list {
			if at, ok := covers[it.cover]; !ok || it.at > at {
				rest = append(rest, it)
			}
		}
		return rest
	}
	edits := open(e.edits)
	h.properties, h.clicks = open(e.properties), open(e.clicks)
	if last != nil {
		s := last.body.(*snapshot)
		h.bases = append(h.bases, base{version: s.State, at: last.at})
		h.settled = s.Clicks
	}
	for _, it := range edits {
		h.bases = append(h.bases, base{version: it.body.(*version), at: it.at})
	}
	if len(h.bases) == 0 {
		for _, it := range e.originals {
			h.bases = append(h.bases, base{version: it.body.(*version), at: it.at, original: true})
		}
	}
	slices.SortStableFunc(h.bases, func(a, b base) int { return cmp.Compare(a.at, b.at) })
	return h
}

// switched is what may be true of a mark or a button.
type switched struct {
	on, off bool
	likely  bool // by order of arrival
}

// mark works out what may be true of one mark of a message whose last full
// state is b.
func (h *history) mark(b base, m marks) switched {
	var s switched
	had := b.Marks&m != 0
	likely, told := had, false
	for _, it := range h.properties {
		c := it.body.(change)
		on := c.On&m != 0
		if !on && c.Off&m == 0 {
			continue
		}
		told = true
		s.on, s.off = s.on || on, s.off || !on
		if b.original || it.at > b.at {
			likely = on
		}
	}
	if !told || !b.original {
		s.on, s.off = s.on || had, s.off || !had
	}
	s.likely = likely
	return s
}

// greeting works out whether the message is an automatic greeting: any of the
// marks makes it one.
func (h *history) greeting(b base) switched {
	s := switched{off: true}
	for m := marks(1); m&greetingMarks != 0; m <<= 1 {
		one := h.mark(b, m)
		s.on = s.on || one.on
		s.off = s.off && one.off
		s.likely = s.likely || one.likely
	}
	return s
}

// pressed is a button that a user clicked.
type pressed struct {
	button, user string
	switched
}

// pressed works out which buttons are chosen, in a fixed order. What messages
// show already (shown) is left out.
func (h *history) pressed(id string, shown map[button]bool) []pressed {
	var all []pressed
	index := make(map[[2]string]int)
	set := func(c click) {
		if shown[button{Event: id, ID: c.Button}] {
			return
		}
		name := [2]string{c.Button, c.User}
		i, ok := index[name]
		if !ok {
			i = len(all)
			index[name] = i
			all = append(all, pressed{button: c.Button, user: c.User})
		}
		p := &all[i]
		p.on, p.off, p.likely = p.on || c.On, p.off || !c.On, c.On
	}
	for _, c := range h.settled {
		set(c)
	}
	for _, it := range h.clicks { // by arrival: the last one is likeliest
		set(it.body.(click))
	}
	slices.SortFunc(all, func(a, b pressed) int {
		return cmp.Or(strings.Compare(a.button, b.button), strings.Compare(a.user, b.user))
	})
	return all
}

// reader turns events into messages.
type reader struct {
	types map[string]string // of users, by id
	shown map[button]bool   // buttons that some message stands for
}

func (r *reader) author(id string) Author {
	return Author(livechat.AuthorSide(id, r.types[id]))
}

// likely is what the order of arrival makes of the event.
func (r *reader) likely(e *placed) []Message {
	if e.deleted || len(e.bases) == 0 {
		return nil
	}
	b := e.bases[len(e.bases)-1]
	switch b.Type {
	case "message":
		return r.message(e, b, e.greeting(b).likely, e.mark(b, markdownMark).likely)
	case "filled_form":
		return r.message(e, b, false, false)
	case "rich_message":
		return r.clicked(e, b, e.pressed(e.id, r.shown), func(_ int, p pressed) bool { return p.likely })
	}
	return nil
}

// readings are the different things that may be true of the event, the likely
// one first, at most limit of them.
func (r *reader) readings(e *placed, limit int) [][]Message {
	first := r.likely(e)
	all := [][]Message{first}
	if e.deleted || len(e.bases) == 0 {
		return all
	}
	if len(e.bases) == 1 && len(e.properties) == 0 && len(e.clicks) == 0 {
		return all
	}
	known := map[string]bool{string(appendMessages(nil, first)): true}
	// add reports whether there is room for more.
	add := func(ms []Message) bool {
		if key := string(appendMessages(nil, ms)); !known[key] {
			known[key] = true
			all = append(all, ms)
		}
		return len(all) < limit
	}
	bases := slices.Clone(e.bases)
	slices.Reverse(bases)
	for _, b := range bases {
		switch b.Type {
		case "message":
			greeting, markdown := e.greeting(b), e.mark(b, markdownMark)
			for _, g := range greeting.choices() {
				for _, m := range markdown.choices() {
					if !add(r.message(e, b, g, m)) {
						return all
					}
				}
			}
		case "rich_message":
			if !r.eachClicked(e, b, limit, add) {
				return all
			}
		case "filled_form":
			if !add(r.message(e, b, false, false)) {
				return all
			}
		default:
			if !add(nil) {
				return all
			}
		}
	}
	return all
}

func (s switched) choices() []bool {
	switch {
	case s.on && s.off:
		return []bool{s.likely, !s.likely}
	case s.on:
		return []bool{true}
	}
	return []bool{false}
}

// eachClicked calls add with the ways in which the undecided buttons of a rich
// message may stand, limit + 1 of them at most: each differs from the others,
// so that more would be too many.
func (r *reader) eachClicked(e *placed, b base, limit int, add func([]Message) bool) bool {
	all := e.pressed(e.id, r.shown)
	place := make([]int, len(all)) // among the undecided ones, from 1
	undecided := 0
	for i, p := range all {
		if p.on && p.off && b.Labels[p.button] != "" {
			undecided++
			place[i] = undecided
		}
	}
	for n := 0; n <= limit && (undecided > 62 || n < 1<<undecided); n++ {
		if !add(r.clicked(e, b, all, func(i int, p pressed) bool {
			if place[i] == 0 {
				return p.on
			}
			return p.likely != (place[i] <= 62 && n>>(place[i]-1)&1 == 1)
		})) {
			return false
		}
	}
	return true
}

func (r *reader) message(e *placed, b base, greeting, markdown bool) []Message {
	if greeting || len(b.Texts) == 0 {
		return nil
	}
	m := Message{EventID: e.id, At: e.at, Author: r.author(b.Author), Internal: b.Internal, Texts: make([]Text, len(b.Texts))}
	for i, t := range b.Texts {
		m.Texts[i] = Text{Field: t.Name, Text: t.Text, Markdown: markdown}
	}
	return []Message{m}
}

// clicked gives one message for every chosen button of a rich message.
func (r *reader) clicked(e *placed, b base, all []pressed, chosen func(int, pressed) bool) []Message {
	var ms []Message
	for i, p := range all {
		if label := b.Labels[p.button]; label != "" && chosen(i, p) {
			ms = append(ms, Message{EventID: e.id, At: e.at, Author: r.author(p.user), Internal: b.Internal,
				Texts: []Text{{Field: "button", Text: label}}})
		}
	}
	return ms
}

// placed is an event at its place in the thread.
type placed struct {
	history
	id      string
	deleted bool
	at      time.Time
	number  int
}

func (a *placed) compare(b *placed) int {
	return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.number, b.number), strings.Compare(a.id, b.id))
}

// eventNumber is the number at the end of ids of the form <thread>_<n>, with
// the thread before it; ok is false for ids of any other form.
func eventNumber(id string) (thread string, n int, ok bool) {
	i := strings.LastIndexByte(id, '_')
	if i < 0 {
		return "", 0, false
	}
	digits := id[i+1:]
	if len(digits) == 0 || len(digits) > 9 || len(digits) > 1 && digits[0] == '0' || digits[0] == '+' || digits[0] == '-' {
		return "", 0, false
	}
	n, err := strconv.Atoi(digits)
	return id[:i], n, err == nil
}
