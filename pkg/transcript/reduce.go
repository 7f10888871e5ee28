package transcript

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// What is kept of a thread that is too long.
const (
	firstEvents  = 1_000
	newestEvents = 4_000
	endBytes     = 512 << 10 // of text, from each end
)

// TagSet is the tags of a thread as one source showed them.
type TagSet struct {
	At   time.Time // when it arrived, of several equal ones the latest
	Tags []string  // sorted
}

// Reduction is what a set of facts says about a thread.
type Reduction struct {
	// Started says that the thread's incoming_chat was seen, or an answer of
	// get_chat with its events.
	Started bool
	Ended   bool
	// Restricted says that the newest answer of get_chat withholds the events:
	// what is missing stays missing.
	Restricted bool
	// Gaps counts the events that are known to be missing: numbers below the
	// highest in ids of the form <thread>_<n> that nothing tells of, and events
	// of which only a change of properties or a click is known. What get_chat
	// has been asked for does not count.
	Gaps int
	// Cut says that the thread is longer than what is kept of it.
	Cut bool
	// Events counts the distinct events that are known.
	Events int
	// Unreadable counts facts whose value could not be read and that nothing
	// else tells. Where it is not 0, something may be missing.
	Unreadable  int
	TagEvents   []TagEvent // by At
	InitialTags []TagSet   // the tags that incoming_chat showed, by At
	APITags     []TagSet   // the tags that get_chat showed, by At; also when there were none

	reader reader
	events []*placed   // those that are kept, in order
	likely [][]Message // of events, by order of arrival
	groups [][]int     // what may be the groups, the likeliest first
	cut    bool        // events were left out
	first  *Transcript
}

// Reduce works out what the facts of the thread k say.
func Reduce(k Key, f *Facts) *Reduction {
	r := &Reduction{Unreadable: f.unreadable(), reader: reader{types: make(map[string]string)}}
	events := make(map[string]*event)
	var groups, answers []*item
	for _, it := range f.items {
		switch it.kind {
		case FieldStart:
			r.Started = true
		case FieldEnded:
			r.Ended = true
		case kindUser:
			r.addUser(it)
		case kindGroups, kindGranted, kindRevoked:
			groups = append(groups, it)
		case kindTag:
			t := it.body.(tagging)
			r.TagEvents = append(r.TagEvents, TagEvent{At: t.at, Tag: t.name, Untag: t.untag})
		case kindTags:
			r.InitialTags = append(r.InitialTags, TagSet{At: unixNano(it.at), Tags: it.body.([]string)})
		case kindChat:
			answers = append(answers, it)
		default:
			e := events[it.id]
			if e == nil {
				e = &event{id: it.id}
				events[it.id] = e
			}
			e.add(it)
		}
	}
	sortByArrival(answers)
	r.groups = groupReadings(groups, answers)
	highestShown := 0
	for _, it := range answers {
		a := it.body.(answer)
		r.Restricted = a.Restricted
		highestShown = max(highestShown, a.Highest)
		r.APITags = append(r.APITags, TagSet{At: unixNano(it.at), Tags: a.Tags})
	}
	slices.SortFunc(r.TagEvents, func(a, b TagEvent) int {
		return cmp.Or(a.At.Compare(b.At), strings.Compare(a.Tag, b.Tag), compareBool(a.Untag, b.Untag))
	})
	slices.SortFunc(r.InitialTags, func(a, b TagSet) int {
		return cmp.Or(a.At.Compare(b.At), slices.Compare(a.Tags, b.Tags))
	})

	r.Events = len(events)
	r.Gaps = countGaps(k, events, highestShown)
	r.place(events)
	r.likely = make([][]Message, len(r.events))
	for i, e := range r.events {
		r.likely[i] = r.reader.likely(e)
	}
	r.first = r.build(nil, r.groups[0])
	r.Cut = r.first.Cut
	return r
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func unixNano(n int64) time.Time { return time.Unix(0, n).UTC() }

// addUser takes a user's type. Should there be several, which is not known to
// happen, the choice must not depend on their order.
func (r *Reduction) addUser(it *item) {
	if t := it.body.(string); t != "" {
		if known := r.reader.types[it.id]; known == "" || t < known {
			r.reader.types[it.id] = t
		}
	}
}

// place puts the events in order, leaves out what the caps do not allow, and
// notes which buttons messages stand for.
func (r *Reduction) place(events map[string]*event) {
	r.reader.shown = make(map[button]bool)
	for _, e := range events {
		for v := range e.versions {
			if v.Postback != nil {
				r.reader.shown[*v.Postback] = true
			}
		}
		if at, ok := e.created(); ok {
			e.sort()
			_, number, _ := eventNumber(e.id)
			r.events = append(r.events, &placed{history: e.history(), id: e.id, deleted: e.deleted, at: at, number: number})
		}
	}
	slices.SortFunc(r.events, (*placed).compare)
	if over := len(r.events) - firstEvents - newestEvents; over > 0 {
		r.events = slices.Delete(r.events, firstEvents, firstEvents+over)
		r.cut = true
	}
}

// countGaps counts the events that are missing. Up to the number that get_chat
// showed, it has shown what there is.
func countGaps(k Key, events map[string]*event, shown int) int {
	highest, present, gaps := shown, 0, 0
	for id, e := range events {
		thread, n, ok := eventNumber(id)
		switch {
		case !ok || thread != k.Thread || n == 0:
			if e.missing() {
				gaps++
			}
		case n > shown:
			highest = max(highest, n)
			if !e.missing() {
				present++
			}
		}
	}
	return gaps + highest - shown - present
}

// groupReadings works out what may be the thread's groups: every set that any
// webhook showed, the one that arrived last first. What webhooks up to v3.3
// granted or revoked changes the set before it in order of arrival, as they do
// not tell the result.
func groupReadings(told, answers []*item) [][]int {
	covers := make(map[string]int64)
	var steps []*item
	for _, it := range answers {
		a := it.body.(answer)
		for name, at := range a.Covers {
			if known, ok := covers[name]; !ok || at > known {
				covers[name] = at
			}
		}
		if a.HasGroups {
			steps = []*item{{kind: kindGroups, at: it.at, body: a.Groups}}
		}
	}
	for _, it := range told {
		if at, ok := covers[it.cover]; !ok || it.at > at {
			steps = append(steps, it)
		}
	}
	sortByArrival(steps)
	var all [][]int
	var current []int
	if i := slices.IndexFunc(steps, func(it *item) bool { return it.kind == kindGroups }); i >= 0 {
		current = steps[i].body.([]int)
	}
	for _, it := range steps {
		set := it.body.([]int)
		switch it.kind {
		case kindGroups:
			current = set
		case kindGranted:
			current = sortedSet(append(slices.Clone(current), set...))
		case kindRevoked:
			current = slices.DeleteFunc(slices.Clone(current), func(g int) bool { return slices.Contains(set, g) })
		}
		all = append(all, current)
	}
	if len(all) == 0 {
		return [][]int{nil}
	}
	likely := all[len(all)-1]
	slices.SortFunc(all, slices.Compare)
	all = slices.CompactFunc(all, slices.Equal)
	all = slices.DeleteFunc(all, func(set []int) bool { return slices.Equal(set, likely) })
	return slices.Insert(all, 0, likely)
}

// Readings returns the distinct transcripts that the set of webhooks allows, at
// most limit of them (and at least one); more says that there are others. The
// first is the one that follows the order of arrival. Several readings come
// from different edits of one event, different originals, an update of a
// property and its deletion, a button switched on and off, and changed groups.
//
// The transcripts share memory: their Messages and Groups are not to be
// changed. Tagged is empty and Complete false in all of them; both are for the
// caller to set, who must leave Complete false where Cut is true.
func (r *Reduction) Readings(limit int) (ts []*Transcript, more bool) {
	limit = max(limit, 1)
	first := *r.first
	ts = []*Transcript{&first}

	// The choices, expanded only until there are more combinations than asked
	// for. All combinations of choices differ from each other, unless the caps
	// cut away the difference.
	var choices []choice
	product := 1
	if n := len(r.groups); n > 1 {
		choices = append(choices, choice{event: -1, n: n})
		product = n
	}
	for i, e := range r.events {
		if product > limit {
			break
		}
		if all := r.reader.readings(e, limit+1); len(all) > 1 {
			choices = append(choices, choice{event: i, n: len(all), messages: all})
			product *= len(all)
		}
	}

	known := map[string]bool{first.key(): true}
	for n := 1; n < product; n++ {
		if n > 4*limit {
			return ts, true
		}
		groups, chosen := r.groups[0], make(map[int][]Message, len(choices))
		rest := n
		for _, c := range choices {
			i := rest % c.n
			rest /= c.n
			if c.event < 0 {
				groups = r.groups[i]
			} else if i > 0 {
				chosen[c.event] = c.messages[i]
			}
		}
		t := r.build(chosen, groups)
		key := t.key()
		if known[key] {
			continue
		}
		if len(ts) >= limit {
			return ts, true
		}
		known[key] = true
		ts = append(ts, t)
	}
	return ts, product > limit
}

// choice is a point on which readings differ.
type choice struct {
	event    int // index; -1 for the groups
	n        int
	messages [][]Message
}

// build makes a transcript of the messages that each event stands for: those in
// chosen by index, else the likely ones. It keeps as many events from each end
// as their text allows.
func (r *Reduction) build(chosen map[int][]Message, groups []int) *Transcript {
	at := func(i int) []Message {
		if ms, ok := chosen[i]; ok {
			return ms
		}
		return r.likely[i]
	}
	end := len(r.events)
	head, size := 0, 0
	for ; head < end; head++ {
		if size += textBytes(at(head)); size > endBytes {
			break
		}
	}
	tail := end
	for size = 0; tail > head; tail-- {
		if size += textBytes(at(tail - 1)); size > endBytes {
			break
		}
	}
	t := &Transcript{Groups: groups, Cut: r.cut || tail > head}
	count := 0
	for i := range end {
		count += len(at(i))
	}
	t.Messages = make([]Message, 0, count)
	for i := range end {
		if i < head || i >= tail {
			t.Messages = append(t.Messages, at(i)...)
		}
	}
	return t
}

func textBytes(ms []Message) int {
	n := 0
	for _, m := range ms {
		for _, t := range m.Texts {
			n += len(t.Text)
		}
	}
	return n
}

// Digest is the hex SHA-256 of the messages' event ids, authors, fields and
// texts, in order.
func (t *Transcript) Digest() string {
	var b []byte
	for _, m := range t.Messages {
		b = appendString(b, m.EventID)
		b = appendString(b, string(m.Author))
		b = binary.AppendUvarint(b, uint64(len(m.Texts)))
		for _, x := range m.Texts {
			b = appendString(b, x.Field)
			b = appendString(b, x.Text)
		}
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// key is the same for equal transcripts only.
func (t *Transcript) key() string {
	b := binary.AppendUvarint(nil, uint64(len(t.Groups)))
	for _, g := range t.Groups {
		b = binary.AppendVarint(b, int64(g))
	}
	if t.Cut {
		b = append(b, 1)
	}
	sum := sha256.Sum256(appendMessages(b, t.Messages))
	return string(sum[:])
}

func appendMessages(b []byte, ms []Message) []byte {
	for _, m := range ms {
		b = appendString(b, m.EventID)
		b = binary.AppendVarint(b, m.At.Unix())
		b = binary.AppendVarint(b, int64(m.At.Nanosecond()))
		b = appendString(b, string(m.Author))
		b = appendBool(b, m.Internal)
		b = binary.AppendUvarint(b, uint64(len(m.Texts)))
		for _, x := range m.Texts {
			b = appendString(b, x.Field)
			b = appendString(b, x.Text)
			b = appendBool(b, x.Markdown)
		}
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBool(b []byte, x bool) []byte {
	if x {
		return append(b, 1)
	}
	return append(b, 0)
}
