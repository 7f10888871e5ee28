package livechattest

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// thread finds the thread that chat_id and thread_id name, and checks that the
// token may see it.
func (p *Platform) thread(r *request, chatID, threadID string) (*thread, *refusal) {
	c := p.chats[chatID]
	if c == nil || c.org != r.org {
		return nil, refuse("not_found", "Chat not found")
	}
	t := c.latest()
	if threadID != "" {
		t = p.threads[threadID]
		if t == nil || t.chat != c {
			return nil, refuse("not_found", "Thread not found")
		}
	}
	if !r.org.sees(t.groups) {
		return nil, refuse("missing_access", messages["missing_access"])
	}
	return t, nil
}

func (p *Platform) readTagging(r *request, in params) (*thread, string, *refusal) {
	var chatID, threadID, name string
	if refused := first(in.read("chat_id", true, &chatID), in.read("thread_id", true, &threadID), in.read("tag", true, &name)); refused != nil {
		return nil, "", refused
	}
	t, refused := p.thread(r, chatID, threadID)
	if refused != nil && p.sw.Adopt && p.threads[threadID] == nil {
		t, refused = p.adopt(r.org, chatID, threadID)
	}
	if refused == nil && p.sw.Adopt && r.org.tags[name] == nil {
		// A name that cannot be created stays unknown, and is refused as such.
		_ = p.createTag(r.org, name, r.org.Groups)
	}
	return t, name, refused
}

// adopt returns the adopted thread, made if need be.
func (p *Platform) adopt(o *organization, chatID, threadID string) (*thread, *refusal) {
	t := p.adopted[threadID]
	if t == nil {
		c := &chat{id: chatID, org: o, version: o.WebhookVersion, groups: []int{0}}
		t = &thread{id: threadID, chat: c, created: p.now(), groups: c.groups}
		p.adopted[threadID] = t
	}
	if t.chat.id != chatID || t.chat.org != o {
		return nil, refuse("not_found", "Thread not found")
	}
	if !o.sees(t.groups) {
		return nil, refuse("missing_access", messages["missing_access"])
	}
	return t, nil
}

func (p *Platform) apiTagThread(r *request, in params) (any, *refusal) {
	t, name, refused := p.readTagging(r, in)
	if refused != nil {
		return nil, refused
	}
	changed, refused := p.tagThread(t, name, false)
	if changed {
		r.out = append(r.out, t.sendTag("thread_tagged", name))
	}
	return nil, refused
}

func (p *Platform) apiUntagThread(r *request, in params) (any, *refusal) {
	t, name, refused := p.readTagging(r, in)
	if refused != nil {
		return nil, refused
	}
	if t.untag(name) {
		r.out = append(r.out, t.sendTag("thread_untagged", name))
		return nil, nil
	}
	if r.org.tags[name] == nil {
		return nil, p.answer(p.sw.UnknownTag, AnswerValidation, "Tag does not exist")
	}
	return nil, p.answer(p.sw.UntagMissing, AnswerOK, "Thread is not tagged")
}

func (r *request) view() view {
	return view{version: r.call.Version, api: true, stubs: r.org.NormalRole, sw: r.org.sw}
}

func (p *Platform) apiGetChat(r *request, in params) (any, *refusal) {
	var chatID, threadID string
	if refused := first(in.read("chat_id", true, &chatID), in.read("thread_id", false, &threadID)); refused != nil {
		return nil, refused
	}
	t, refused := p.thread(r, chatID, threadID)
	if refused != nil {
		return nil, refused
	}
	return t.chat.wire(t, r.view()), nil
}

// page is one page of a listing: the threads found at the first call, and where
// the page begins.
type page struct {
	method  string
	org     *organization
	found   []*thread
	from    int
	limit   int
	expires time.Time
}

// pageLife is the documented life of a page_id: at most one month.
const pageLife = 30 * 24 * time.Hour

// readPage returns the page that the call asks for, or nil when it is a first
// call. Following calls may carry the page id only, beside allowed.
func (p *Platform) readPage(r *request, in params, allowed ...string) (*page, *refusal) {
	if !in.has("page_id") {
		return nil, nil
	}
	var id string
	if refused := in.read("page_id", true, &id); refused != nil {
		return nil, refused
	}
	for name := range in {
		if name != "page_id" && !slices.Contains(allowed, name) {
			return nil, refuse("validation", "`page_id` cannot be used with `"+name+"`")
		}
	}
	pg := p.pages[id]
	if pg == nil || pg.org != r.org || pg.method != r.call.Method || p.now().After(pg.expires) {
		return nil, refuse("validation", "`page_id` is not valid")
	}
	return pg, nil
}

// cut returns the page's threads and adds the neighbours' ids to out.
func (p *Platform) cut(pg *page, out object) []*thread {
	neighbour := func(from int) string {
		id := p.newID()
		next := *pg
		next.from, next.expires = from, p.now().Add(pageLife)
		p.pages[id] = &next
		return id
	}
	end := min(pg.from+pg.limit, len(pg.found))
	if end < len(pg.found) {
		out["next_page_id"] = neighbour(end)
	}
	if pg.from > 0 {
		out["previous_page_id"] = neighbour(max(0, pg.from-pg.limit))
	}
	return pg.found[pg.from:end]
}

func (in params) readListing(defaultLimit int) (limit int, ascending bool, refused *refusal) {
	limit = defaultLimit
	order := "desc"
	if refused := first(in.read("limit", false, &limit), in.read("sort_order", false, &order)); refused != nil {
		return 0, false, refused
	}
	if limit < 1 || limit > 100 {
		return 0, false, refuse("validation", "`limit` must be between 1 and 100")
	}
	if order != "asc" && order != "desc" {
		return 0, false, refuse("validation", "`sort_order` must be `asc` or `desc`")
	}
	return limit, order == "asc", nil
}

// readTime wants an RFC 3339 time.
func (in params) readTime(name string) (time.Time, *refusal) {
	var s string
	if refused := in.read(name, false, &s); refused != nil || s == "" {
		return time.Time{}, refused
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, refuse("validation", "`"+name+"` has a wrong format")
	}
	return at, nil
}

func (p *Platform) apiListThreads(r *request, in params) (any, *refusal) {
	var chatID string
	if refused := in.read("chat_id", true, &chatID); refused != nil {
		return nil, refused
	}
	if _, refused := p.thread(r, chatID, ""); refused != nil {
		return nil, refused
	}
	pg, refused := p.readPage(r, in, "chat_id")
	if refused != nil {
		return nil, refused
	}
	if pg == nil {
		if pg, refused = p.findThreads(r, in, p.chats[chatID]); refused != nil {
			return nil, refused
		}
	}
	out := object{"found_threads": len(pg.found)}
	threads := []object{}
	for _, t := range p.cut(pg, out) {
		threads = append(threads, t.wire(r.view()))
	}
	out["threads"] = threads
	return out, nil
}

func (p *Platform) findThreads(r *request, in params, c *chat) (*page, *refusal) {
	limit, ascending, refused := in.readListing(3)
	minEvents := 0
	filters := params{}
	if refused = first(refused, in.only("chat_id", "sort_order", "limit", "filters", "min_events_count"),
		in.read("min_events_count", false, &minEvents), in.read("filters", false, &filters), filters.only("from", "to")); refused != nil {
		return nil, refused
	}
	if in.has("min_events_count") && (in.has("limit", "filters") || minEvents < 1 || minEvents > 100) {
		return nil, refuse("validation", "`min_events_count` must be between 1 and 100, without `limit` and `filters`")
	}
	from, refused := filters.readTime("from")
	to, refused2 := filters.readTime("to")
	if refused = first(refused, refused2); refused != nil {
		return nil, refused
	}
	var found []*thread
	for _, t := range c.threads {
		if (from.IsZero() || !t.created.Before(from)) && (to.IsZero() || !t.created.After(to)) && r.org.sees(t.groups) {
			found = append(found, t)
		}
	}
	if !ascending {
		slices.Reverse(found)
	}
	if minEvents > 0 {
		limit = 0
		for events := 0; limit < len(found) && events < minEvents; limit++ {
			events += len(found[limit].events)
		}
		limit = max(limit, 1)
	}
	return &page{method: r.call.Method, org: r.org, found: found, limit: limit}, nil
}

func (p *Platform) apiListArchives(r *request, in params) (any, *refusal) {
	pg, refused := p.readPage(r, in)
	if refused != nil {
		return nil, refused
	}
	if pg == nil {
		if pg, refused = p.findArchives(r, in); refused != nil {
			return nil, refused
		}
	}
	out := object{"found_chats": len(pg.found)}
	chats := []object{}
	v := r.view()
	v.archive = true
	for _, t := range p.cut(pg, out) {
		chats = append(chats, t.chat.wire(t, v))
	}
	out["chats"] = chats
	return out, nil
}

// archiveFilters are the filters of list_archives that this platform knows. The
// platform has more; asking for one of those is refused rather than ignored.
type archiveFilters struct {
	from, to   time.Time
	query      string
	customerID string
	chatIDs    []string
	threadIDs  []string
	groupIDs   []int
	tags       *valueFilter
	eventTypes *valueFilter
}

// valueFilter holds exactly one of exists, values and exclude_values.
type valueFilter struct {
	Exists  *bool    `json:"exists"`
	Values  []string `json:"values"`
	Exclude []string `json:"exclude_values"`
	Every   bool     `json:"require_every_value"`
}

func (f *valueFilter) ok() bool {
	n := 0
	for _, there := range []bool{f.Exists != nil, f.Values != nil, f.Exclude != nil} {
		if there {
			n++
		}
	}
	return n == 1
}

func (f *valueFilter) match(have []string) bool {
	in := func(v string) bool { return slices.Contains(have, v) }
	switch {
	case f.Exists != nil:
		return *f.Exists == (len(have) > 0)
	case f.Exclude != nil:
		return !slices.ContainsFunc(f.Exclude, in)
	case f.Every:
		return !slices.ContainsFunc(f.Values, func(v string) bool { return !in(v) })
	default:
		return slices.ContainsFunc(f.Values, in)
	}
}

func (in params) readArchiveFilters(version string) (f archiveFilters, refused *refusal) {
	known := []string{"from", "to", "query", "thread_ids", "group_ids", "tags", "event_types"}
	if !before(version, "3.6") {
		known = append(known, "chat_ids", "customer_id")
	}
	from, refusedFrom := in.readTime("from")
	to, refusedTo := in.readTime("to")
	f.from, f.to = from, to
	refused = first(in.only(known...), refusedFrom, refusedTo,
		in.read("query", false, &f.query), in.read("customer_id", false, &f.customerID),
		in.read("chat_ids", false, &f.chatIDs), in.read("thread_ids", false, &f.threadIDs),
		in.read("group_ids", false, &f.groupIDs), in.read("tags", false, &f.tags), in.read("event_types", false, &f.eventTypes))
	if refused != nil {
		return f, refused
	}
	for _, limit := range []struct {
		name      string
		have, max int
	}{{"chat_ids", len(f.chatIDs), 1000}, {"thread_ids", len(f.threadIDs), 20}, {"group_ids", len(f.groupIDs), 200}} {
		if limit.have > limit.max {
			return f, refuse("validation", "`"+limit.name+"` takes at most "+strconv.Itoa(limit.max)+" values")
		}
	}
	if f.threadIDs != nil && len(in) > 1 {
		return f, refuse("validation", "`thread_ids` cannot be used with other filters")
	}
	for _, v := range []*valueFilter{f.tags, f.eventTypes} {
		if v != nil && !v.ok() {
			return f, refuse("validation", "a filter takes one of `exists`, `values` and `exclude_values`")
		}
	}
	if !f.from.IsZero() && !f.to.IsZero() && f.to.Before(f.from) {
		return f, refuse("validation", "`to` is before `from`")
	}
	return f, nil
}

func (p *Platform) findArchives(r *request, in params) (*page, *refusal) {
	limit, ascending, refused := in.readListing(10)
	raw := params{}
	if refused = first(refused, in.only("filters", "sort_order", "limit", "highlights"), in.read("filters", false, &raw)); refused != nil {
		return nil, refused
	}
	f, refused := raw.readArchiveFilters(r.call.Version)
	if refused != nil {
		return nil, refused
	}
	if f.threadIDs != nil && in.has("limit", "sort_order") {
		return nil, refuse("validation", "`thread_ids` cannot be used with pagination")
	}
	if f.threadIDs != nil {
		limit = 20
	}
	var found []*thread
	for _, t := range p.order {
		if t.chat.org == r.org && r.org.sees(t.groups) && p.archived(t) && p.matches(f, t) {
			found = append(found, t)
		}
	}
	slices.SortStableFunc(found, func(a, b *thread) int { return p.archiveTime(a).Compare(p.archiveTime(b)) })
	if !ascending {
		slices.Reverse(found)
	}
	return &page{method: r.call.Method, org: r.org, found: found, limit: limit}, nil
}

func (p *Platform) archived(t *thread) bool {
	if t.active {
		return p.sw.ArchivesHaveOpen
	}
	return !p.now().Before(t.ended.Add(p.sw.ArchiveDelay))
}

// archiveTime is the time that from, to and the order look at.
func (p *Platform) archiveTime(t *thread) time.Time {
	if p.sw.ArchivesByEndTime && !t.ended.IsZero() {
		return t.ended
	}
	return t.created
}

func (p *Platform) matches(f archiveFilters, t *thread) bool {
	at := p.archiveTime(t)
	var types []string
	text := false
	for _, e := range t.events {
		types = append(types, e.Type)
		text = text || strings.Contains(strings.ToLower(e.Text), strings.ToLower(f.query))
	}
	switch {
	case !f.from.IsZero() && at.Before(f.from), !f.to.IsZero() && at.After(f.to),
		f.query != "" && !text,
		f.customerID != "" && !slices.ContainsFunc(t.chat.users, func(u User) bool { return u.ID == f.customerID }),
		f.chatIDs != nil && !slices.Contains(f.chatIDs, t.chat.id),
		f.threadIDs != nil && !slices.Contains(f.threadIDs, t.id),
		f.groupIDs != nil && !slices.ContainsFunc(f.groupIDs, func(g int) bool { return slices.Contains(t.groups, g) }),
		f.tags != nil && !f.tags.match(t.tags),
		f.eventTypes != nil && !f.eventTypes.match(types):
		return false
	}
	return true
}
