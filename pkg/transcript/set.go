package transcript

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// Facts is a set of facts of one thread. Its zero value is the empty set. The
// order in which facts are added, and how often, makes no difference: of one
// fact that arrived several times the latest arrival counts, and two facts that
// have the same field but say different things are both kept.
type Facts struct {
	items map[itemKey]*item
	bad   map[itemKey]struct{} // could not be read; content is empty
}

type itemKey struct {
	meta    bool
	field   string
	content string
}

// item is a fact taken apart.
type item struct {
	kind    string
	id      string // of the event or user
	cover   string // by which a snapshot or an answer names it
	at      int64  // latest arrival, unix nanoseconds
	content string
	body    any // by kind
}

// Add puts a fact into the set. Fields that are none of this package's are
// ignored. A value that cannot be read is remembered for Reduction.Unreadable.
func (f *Facts) Add(x Fact) {
	it, ok := parseField(x)
	if !ok {
		return
	}
	at, content, ok := splitValue(x.Value)
	key := itemKey{meta: x.Meta, field: x.Field, content: content}
	if known := f.items[key]; ok && known != nil {
		known.at = max(known.at, at)
		return
	}
	if !ok || !it.parse(content) {
		if f.bad == nil {
			f.bad = make(map[itemKey]struct{})
		}
		f.bad[itemKey{meta: x.Meta, field: x.Field}] = struct{}{}
		return
	}
	if f.items == nil {
		f.items = make(map[itemKey]*item)
	}
	it.at, it.content = at, content
	f.items[key] = &it
}

// AddAll puts facts into the set.
func (f *Facts) AddAll(xs []Fact) {
	for _, x := range xs {
		f.Add(x)
	}
}

// Len is the number of different facts.
func (f *Facts) Len() int { return len(f.items) }

// Events is the number of distinct events that the facts speak of.
func (f *Facts) Events() int {
	ids := make(map[string]struct{}, len(f.items))
	for key, it := range f.items {
		if !key.meta {
			ids[it.id] = struct{}{}
		}
	}
	return len(ids)
}

// unreadable counts the fields of which no value could be read.
func (f *Facts) unreadable() int {
	bad := make(map[itemKey]struct{}, len(f.bad))
	for key := range f.bad {
		bad[key] = struct{}{}
	}
	if len(bad) > 0 {
		for key := range f.items {
			delete(bad, itemKey{meta: key.meta, field: key.field})
		}
	}
	return len(bad)
}

// parseField takes a field apart. An event id may hold a bar, what follows it
// may not.
func parseField(x Fact) (it item, ok bool) {
	kind, rest, bar := strings.Cut(x.Field, "|")
	it.kind, it.id = kind, rest
	if x.Meta {
		switch kind {
		case FieldStart, FieldEnded:
			return it, !bar
		case kindUser, kindTag, kindTags, kindChat:
			return it, bar
		case kindGroups, kindGranted, kindRevoked:
			it.cover = x.Field
			return it, bar
		}
		return it, false
	}
	switch kind {
	case kindOriginal, kindDeletion:
		return it, rest != ""
	case kindEdit, kindProperties, kindClick, kindSnapshot:
		i := strings.LastIndexByte(rest, '|')
		if i < 1 {
			return it, false
		}
		it.id, it.cover = rest[:i], kind+rest[i:]
		return it, true
	}
	return it, false
}

// parse reads the content of a fact of the item's kind.
func (it *item) parse(content string) bool {
	switch it.kind {
	case kindOriginal, kindEdit:
		v := new(version)
		it.body = v
		return json.Unmarshal([]byte(content), v) == nil && v.parseTime()
	case kindSnapshot:
		s := new(snapshot)
		it.body = s
		return json.Unmarshal([]byte(content), s) == nil && (s.State == nil || s.State.parseTime())
	case kindProperties:
		return decode[change](it, content)
	case kindClick:
		return decode[click](it, content)
	case kindUser:
		return decode[string](it, content)
	case kindGroups, kindGranted, kindRevoked:
		return decode[[]int](it, content)
	case kindTags:
		return decode[[]string](it, content)
	case kindChat:
		return decode[answer](it, content)
	case kindTag:
		parts := strings.SplitN(it.id, "|", 3)
		if len(parts) != 3 || parts[1] != "tag" && parts[1] != "untag" {
			return false
		}
		nanos, err := strconv.ParseInt(parts[0], 10, 64)
		it.body = tagging{at: time.Unix(0, nanos).UTC(), name: parts[2], untag: parts[1] == "untag"}
		return err == nil
	}
	return true // a mere mark
}

func decode[T any](it *item, content string) bool {
	var v T
	err := json.Unmarshal([]byte(content), &v)
	it.body = v
	return err == nil
}

func (v *version) parseTime() bool {
	if v.Created == "" {
		return true
	}
	t, err := time.Parse(time.RFC3339Nano, v.Created)
	v.created = t.UTC()
	return err == nil
}
