package transcript

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"autotag/pkg/livechat"
)

// Read tells what one webhook says of the thread k. at is when NATS stored it.
// A webhook that belongs to the whole chat (its thread is not named) tells the
// same of every thread of the chat.
func Read(k Key, action string, p livechat.Payload, at time.Time) Reading {
	var r Reading
	switch action {
	case livechat.IncomingChat:
		if p.Chat != nil {
			r.readChat(k, p.Chat, at)
		}
	case livechat.IncomingEvent:
		if p.Event != nil {
			r.readEvent(kindOriginal, p.Event, at)
		}
	case livechat.EventUpdated:
		if p.Event != nil {
			r.readEvent(kindEdit, p.Event, at)
		}
	case livechat.EventDeleted:
		if p.EventID != "" {
			r.Facts = append(r.Facts, eventFact(kindDeletion, p.EventID, "{}", at))
			r.Effect = Changes
		}
	case livechat.EventPropertiesUpdated, livechat.EventPropertiesDeleted:
		// A change that does not matter is kept too: it tells of an event that
		// may be missing.
		if p.EventID != "" {
			c := changeOf(p.Properties, p.Removed)
			r.Facts = append(r.Facts, eventFact(kindProperties, p.EventID, encode(c), at))
			if c != (change{}) {
				r.Effect = Changes
			}
		}
	case livechat.IncomingRichMessagePostback:
		if p.Postback != nil && p.EventID != "" {
			c := click{Button: p.Postback.ID, User: p.UserID, On: p.Postback.Toggled}
			r.Facts = append(r.Facts, eventFact(kindClick, p.EventID, encode(c), at))
			r.Effect = Changes
		}
	case livechat.ChatDeactivated:
		r.Facts = append(r.Facts, metaFact(FieldEnded, "{}", at))
		r.Effect = Ends
	case livechat.UserAddedToChat:
		if p.User != nil && p.User.ID != "" {
			r.Facts = append(r.Facts, userFact(*p.User, at))
			r.Effect = Changes
		}
	case livechat.ChatTransferred:
		// A transfer to agents alone leaves the groups as they are.
		if len(p.GroupIDs) > 0 {
			r.readGroups(kindGroups, p.GroupIDs, at)
		}
	case livechat.ChatAccessUpdated:
		if p.HasGroups {
			r.readGroups(kindGroups, p.GroupIDs, at)
		}
	case livechat.ChatAccessGranted:
		if p.HasGroups {
			r.readGroups(kindGranted, p.GroupIDs, at)
		}
	case livechat.ChatAccessRevoked:
		if p.HasGroups {
			r.readGroups(kindRevoked, p.GroupIDs, at)
		}
	case livechat.ThreadTagged, livechat.ThreadUntagged:
		if p.Tag != "" {
			op := "tag"
			if action == livechat.ThreadUntagged {
				op = "untag"
			}
			name := kindTag + "|" + strconv.FormatInt(at.UnixNano(), 10) + "|" + op + "|" + p.Tag
			r.Facts = append(r.Facts, metaFact(name, "{}", at))
			r.Effect = TagChanges
		}
	}
	return r
}

func (r *Reading) readChat(k Key, c *livechat.Chat, at time.Time) {
	r.Effect = Changes
	for _, u := range c.Users {
		if u.ID != "" {
			r.Facts = append(r.Facts, userFact(u, at))
		}
	}
	t := c.Thread
	if t == nil { // then nothing tells which events it began with
		return
	}
	for i := range t.Events {
		r.readEvent(kindOriginal, &t.Events[i], at)
	}
	if groups, ok := threadGroups(c); ok {
		r.readGroups(kindGroups, groups, at)
	}
	if len(t.Tags) > 0 {
		content := encode(sortedSet(t.Tags))
		r.Facts = append(r.Facts, metaFact(kindTags+"|"+shortHash(content), content, at))
	}
	// After what it speaks for; see FromChat.
	r.Facts = append(r.Facts, metaFact(FieldStart, "{}", at))
	r.Effect = Changes
	if !t.Active {
		r.Facts = append(r.Facts, metaFact(FieldEnded, "{}", at))
		r.Effect = Ends
	}
	if id := t.PreviousThreadID; id != k.Thread && isToken(id) {
		r.EndedThread = id
	}
}

// isToken says whether an id can be part of a Key.
func isToken(id string) bool {
	for i := range len(id) {
		switch b := id[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '_', b == '-':
		default:
			return false
		}
	}
	return id != "" && len(id) <= 128
}

func (r *Reading) readEvent(kind string, e *livechat.Event, at time.Time) {
	if e.ID == "" {
		return
	}
	r.Facts = append(r.Facts, versionFacts(kind, e, at)...)
	switch e.Type {
	case "system_message", "system", "custom", "file", "form":
	default:
		r.Effect = Changes
	}
}

func (r *Reading) readGroups(kind string, groups []int, at time.Time) {
	groups = sortedSet(groups)
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = strconv.Itoa(g)
	}
	r.Facts = append(r.Facts, metaFact(kind+"|"+strings.Join(names, ","), encode(groups), at))
	r.Effect = Changes
}

// versionFacts gives the facts of an event that a webhook shows in full. Of one
// that is deleted nothing is kept but which button it stood for: a click on
// that button must not bring its text back.
func versionFacts(kind string, e *livechat.Event, at time.Time) []Fact {
	v := versionOf(e)
	if e.Deleted {
		facts := []Fact{eventFact(kindDeletion, e.ID, "{}", at)}
		if v.Postback == nil {
			return facts
		}
		v.Texts = nil
		return append(facts, versionFact(kind, e.ID, v, at))
	}
	return []Fact{versionFact(kind, e.ID, v, at)}
}

func versionFact(kind, id string, v version, at time.Time) Fact {
	return eventFact(kind, id, encode(v), at)
}

// eventFact makes a fact of an event. Those that an event can have several of
// are named after their content.
func eventFact(kind, id, content string, at time.Time) Fact {
	name := kind + "|" + id
	switch kind {
	case kindEdit, kindProperties, kindClick:
		name += "|" + shortHash(content)
	case kindSnapshot:
		name += "|" + strconv.FormatInt(at.UnixNano(), 10)
	}
	return Fact{Field: name, Value: value(at, content)}
}

func metaFact(name, content string, at time.Time) Fact {
	return Fact{Field: name, Meta: true, Value: value(at, content)}
}

func userFact(u livechat.User, at time.Time) Fact {
	return metaFact(kindUser+"|"+u.ID, encode(u.Type), at)
}

// threadGroups are the groups of the chat's thread; where it shows none of its
// own, those of the chat.
func threadGroups(c *livechat.Chat) (groups []int, ok bool) {
	if c.Thread.HasGroups {
		return c.Thread.GroupIDs, true
	}
	return c.GroupIDs, c.HasGroups
}

func sortedSet[T int | string](xs []T) []T {
	set := append(make([]T, 0, len(xs)), xs...)
	slices.Sort(set)
	return slices.Compact(set)
}

// blank says that a text holds nothing to search: white space and characters
// that nobody sees.
func blank(s string) bool {
	for _, r := range s {
		if !unicode.IsSpace(r) && !unicode.Is(unicode.Cf, r) {
			return false
		}
	}
	return true
}
