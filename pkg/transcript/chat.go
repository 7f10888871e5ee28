package transcript

import (
	"slices"
	"strconv"
	"time"

	"autotag/pkg/livechat"
)

// FromChat returns what an answer of get_chat for the thread k tells, as facts
// to add to f and to keep. at is when it was asked. With them, whatever was
// ambiguous in f is settled to what the answer shows; webhooks that arrive
// later and say something else make it ambiguous again.
//
// An answer whose thread is another one tells nothing. One that withholds the
// events (restricted access) tells no start; Reduction.Restricted says so.
func FromChat(k Key, f *Facts, c livechat.Chat, at time.Time) []Fact {
	t := c.Thread
	if t == nil || t.ID != k.Thread {
		return nil
	}
	var facts []Fact
	for _, u := range c.Users {
		if u.ID != "" {
			facts = append(facts, userFact(u, at))
		}
	}
	a := answer{Tags: sortedSet(t.Tags), Restricted: t.Restricted != ""}
	if !t.Active {
		facts = append(facts, metaFact(FieldEnded, "{}", at))
	}
	if groups, ok := threadGroups(&c); ok {
		a.Groups, a.HasGroups = sortedSet(groups), true
	}

	events := make(map[string]*event)
	for _, it := range f.items {
		switch it.kind {
		case kindOriginal, kindEdit, kindDeletion, kindProperties, kindClick, kindSnapshot:
			e := events[it.id]
			if e == nil {
				e = &event{id: it.id}
				events[it.id] = e
			}
			e.add(it)
		case kindGroups, kindGranted, kindRevoked:
			if a.HasGroups {
				a.Covers = cover(a.Covers, it)
			}
		}
	}

	shown := make(map[string]bool, len(t.Events))
	for i := range t.Events {
		e := &t.Events[i]
		if e.ID == "" || shown[e.ID] {
			continue
		}
		shown[e.ID] = true
		if thread, n, ok := eventNumber(e.ID); ok && thread == k.Thread {
			a.Highest = max(a.Highest, n)
		}
		v := versionOf(e)
		if e.Deleted {
			facts = append(facts, eventFact(kindDeletion, e.ID, "{}", at))
			if v.Postback == nil {
				continue
			}
			v.Texts = nil
		}
		s := snapshot{State: &v}
		if known := events[e.ID]; known != nil {
			known.sort()
			h := known.history()
			for _, p := range h.pressed(e.ID, nil) {
				on, told := pressedBy(e, p.button, p.user)
				if !told {
					on = p.likely
				}
				s.Clicks = append(s.Clicks, click{Button: p.button, User: p.user, On: on})
			}
			for _, list := range [][]*item{known.edits, known.properties, known.clicks} {
				for _, it := range list {
					s.Covers = cover(s.Covers, it)
				}
			}
		}
		facts = append(facts, eventFact(kindSnapshot, e.ID, encode(s), at))
	}
	if !a.Restricted {
		for _, id := range sortedKeys(events) {
			if !shown[id] && events[id].missing() {
				facts = append(facts, eventFact(kindSnapshot, id, encode(snapshot{}), at))
			}
		}
	}
	name := kindChat + "|" + strconv.FormatInt(at.UnixNano(), 10)
	facts = append(facts, metaFact(name, encode(a), at))
	// What says that nothing is missing comes last: a store that loses its
	// newest writes must not keep it without the rest.
	if !a.Restricted {
		facts = append(facts, metaFact(FieldStart, "{}", at))
	}
	return facts
}

// pressedBy says whether a rich message shows the user among those who have the
// button on; told is false where it shows nobody's state. Several buttons may
// have one id, and then have the same users.
func pressedBy(e *livechat.Event, id, user string) (on, told bool) {
	for _, element := range e.Elements {
		for _, b := range element.Buttons {
			if b.PostbackID == id && b.HasUsers {
				on, told = on || slices.Contains(b.UserIDs, user), true
			}
		}
	}
	return on, told
}

func cover(covers map[string]int64, it *item) map[string]int64 {
	if covers == nil {
		covers = make(map[string]int64)
	}
	covers[it.cover] = max(it.at, covers[it.cover])
	return covers
}

func sortedKeys(m map[string]*event) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
