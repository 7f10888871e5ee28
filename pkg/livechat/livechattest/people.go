package livechattest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Chat is a new chat with its first thread.
type Chat struct {
	ID         string // generated when empty
	Users      []User
	Groups     []int      // [0] when nil
	Properties Properties // of the chat
	// Version is the shape of this chat's webhooks when it is not the
	// organization's (one organization may have registrations of several
	// versions).
	Version string
	Thread  Thread
}

// Thread is a new thread of a chat.
type Thread struct {
	ID         string // generated when empty
	Inactive   bool   // it starts closed (an offline message); no chat_deactivated follows (see Switches)
	Queued     bool   // the customer waits; no agent is in it yet
	Events     []Event
	Properties Properties
}

// StartChat starts a chat: incoming_chat. Chat and thread id are in the
// returned webhook.
func (p *Platform) StartChat(org string, c Chat) ([]Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.orgs[org]
	if o == nil {
		return nil, fmt.Errorf("start chat: organization %s: %w", org, ErrNotFound)
	}
	if c.ID == "" {
		c.ID = p.newID()
	}
	if p.chats[c.ID] != nil {
		return nil, fmt.Errorf("start chat %s: %w", c.ID, ErrExists)
	}
	if p.threads[c.Thread.ID] != nil {
		return nil, fmt.Errorf("start chat: thread %s: %w", c.Thread.ID, ErrExists)
	}
	if c.Version == "" {
		c.Version = o.WebhookVersion
	}
	if c.Groups == nil {
		c.Groups = []int{0}
	}
	ch := &chat{
		id: c.ID, org: o, version: c.Version, users: slices.Clone(c.Users),
		groups: slices.Clone(c.Groups), properties: c.Properties,
	}
	p.chats[c.ID] = ch
	return p.startThread(ch, c.Thread), nil
}

// ResumeChat starts the next thread of a chat: incoming_chat with the same chat
// id. The thread before it must be closed.
func (p *Platform) ResumeChat(chat string, t Thread) ([]Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.chats[chat]
	if c == nil {
		return nil, fmt.Errorf("resume chat %s: %w", chat, ErrNotFound)
	}
	if c.latest().active {
		return nil, fmt.Errorf("resume chat %s: its thread is active: %w", chat, ErrRefused)
	}
	if p.threads[t.ID] != nil {
		return nil, fmt.Errorf("resume chat %s: thread %s: %w", chat, t.ID, ErrExists)
	}
	return p.startThread(c, t), nil
}

func (c *chat) latest() *thread { return c.threads[len(c.threads)-1] }

func (p *Platform) startThread(c *chat, spec Thread) []Webhook {
	if spec.ID == "" {
		spec.ID = p.newID()
	}
	now := p.now()
	t := &thread{
		id: spec.ID, chat: c, active: !spec.Inactive, created: now, last: now,
		groups: slices.Clone(c.groups), properties: cloneProperties(spec.Properties), queued: spec.Queued,
	}
	if spec.Inactive {
		t.ended = now
		t.properties = setProperties(t.properties, Properties{"routing": {"offline_message": true}})
	}
	for _, u := range c.users {
		if spec.Queued && userType(u) == "agent" {
			continue
		}
		t.users = append(t.users, u.ID)
	}
	c.threads = append(c.threads, t)
	p.threads[t.id] = t
	p.order = append(p.order, t)
	for _, e := range spec.Events {
		p.addEvent(t, e)
	}
	out := []Webhook{t.send("incoming_chat", "", object{"chat": c.wire(t, view{version: c.version, sw: &p.sw})})}
	if p.sw.ResendInitialEvents {
		for _, e := range t.events {
			out = append(out, t.sendEvent("incoming_event", e))
		}
	}
	if spec.Inactive && p.sw.OfflineSendsEnd {
		out = append(out, t.send("chat_deactivated", "", object{"chat_id": c.id, "thread_id": t.id}))
	}
	return out
}

func (p *Platform) addEvent(t *thread, spec Event) *event {
	t.number++
	if spec.ID == "" {
		spec.ID = p.eventID(t, t.number)
	}
	if spec.Type == "" {
		spec.Type = "message"
	}
	if spec.At.IsZero() {
		spec.At = p.now()
	}
	spec.At = spec.At.Truncate(time.Microsecond)
	if !spec.At.After(t.last) {
		spec.At = t.last.Truncate(time.Microsecond).Add(time.Microsecond)
	}
	t.last = spec.At
	spec.Properties = cloneProperties(spec.Properties)
	e := &event{Event: spec}
	t.events = append(t.events, e)
	return e
}

func (t *thread) sendEvent(action string, e *event) Webhook {
	return t.send(action, e.ID, object{"chat_id": t.chat.id, "thread_id": t.id, "event": e.wire(view{version: t.chat.version, sw: t.chat.org.sw})})
}

// find returns a thread and, where id is not empty, one of its events.
func (p *Platform) find(doing, threadID, eventID string) (*thread, *event, error) {
	t := p.threads[threadID]
	if t == nil {
		return nil, nil, fmt.Errorf("%s: thread %s: %w", doing, threadID, ErrNotFound)
	}
	if eventID == "" {
		return t, nil, nil
	}
	for _, e := range t.events {
		if e.ID == eventID {
			return t, e, nil
		}
	}
	return nil, nil, fmt.Errorf("%s: event %s: %w", doing, eventID, ErrNotFound)
}

// AddEvent writes an event: incoming_event. A closed thread takes it too
// (send_event with attach_to_last_thread).
func (p *Platform) AddEvent(thread string, e Event) ([]Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, _, err := p.find("add event", thread, "")
	if err != nil {
		return nil, err
	}
	if e.ID != "" && slices.ContainsFunc(t.events, func(x *event) bool { return x.ID == e.ID }) {
		return nil, fmt.Errorf("add event %s: %w", e.ID, ErrExists)
	}
	return []Webhook{t.sendEvent("incoming_event", p.addEvent(t, e))}, nil
}

// EditEvent changes the text of an event: event_updated.
func (p *Platform) EditEvent(thread, event, text string) ([]Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, e, err := p.find("edit event", thread, event)
	if err != nil {
		return nil, err
	}
	if e.deleted {
		return nil, fmt.Errorf("edit event %s: it is deleted: %w", event, ErrRefused)
	}
	e.Text = text
	return []Webhook{t.sendEvent("event_updated", e)}, nil
}

// DeleteEvent deletes an event: event_deleted, which webhooks older than v3.6
// do not have.
func (p *Platform) DeleteEvent(thread, event string) ([]Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, e, err := p.find("delete event", thread, event)
	if err != nil {
		return nil, err
	}
	if e.deleted {
		return nil, fmt.Errorf("delete event %s: it is deleted: %w", event, ErrRefused)
	}
	e.deleted = true
	if before(t.chat.version, "3.6") {
		return nil, nil
	}
	return []Webhook{t.send("event_deleted", event, object{"chat_id": t.chat.id, "thread_id": t.id, "event_id": event})}, nil
}

// SetProperties sets properties of an event, or of the thread when event is
// empty: event_properties_updated or thread_properties_updated.
func (p *Platform) SetProperties(thread, event string, set Properties) ([]Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, e, err := p.find("set properties", thread, event)
	if err != nil {
		return nil, err
	}
	payload := object{"chat_id": t.chat.id, "thread_id": t.id, "properties": set}
	if e == nil {
		t.properties = setProperties(t.properties, set)
		return []Webhook{t.send("thread_properties_updated", "", payload)}, nil
	}
	e.Properties = setProperties(e.Properties, set)
	payload["event_id"] = event
	return []Webhook{t.send("event_properties_updated", event, payload)}, nil
}

// DeleteProperties removes properties, given as names by namespace, of an event
// or of the thread when event is empty: event_properties_deleted or
// thread_properties_deleted.
func (p *Platform) DeleteProperties(thread, event string, names map[string][]string) ([]Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, e, err := p.find("delete properties", thread, event)
	if err != nil {
		return nil, err
	}
	payload := object{"chat_id": t.chat.id, "thread_id": t.id, "properties": names}
	if e == nil {
		t.properties = deleteProperties(t.properties, names)
		return []Webhook{t.send("thread_properties_deleted", "", payload)}, nil
	}
	e.Properties = deleteProperties(e.Properties, names)
	payload["event_id"] = event
	return []Webhook{t.send("event_properties_deleted", event, payload)}, nil
}

// AddUser lets somebody join: user_added_to_chat.
func (p *Platform) AddUser(thread string, u User) ([]Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, _, err := p.find("add user", thread, "")
	if err != nil {
		return nil, err
	}
	c := t.chat
	if i := slices.IndexFunc(c.users, func(x User) bool { return x.ID == u.ID }); i >= 0 {
		c.users[i] = u
	} else {
		c.users = append(c.users, u)
	}
	if !slices.Contains(t.users, u.ID) {
		t.users = append(t.users, u.ID)
	}
	if userType(u) == "agent" {
		t.queued = false
	}
	payload := object{"chat_id": c.id, "user": u.wire(view{version: c.version, sw: &p.sw}, true), "reason": "manual"}
	if t.active {
		payload["thread_id"] = t.id
	}
	return []Webhook{t.send("user_added_to_chat", "", payload)}, nil
}

// RemoveUser lets somebody leave: user_removed_from_chat.
func (p *Platform) RemoveUser(thread, user string) ([]Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, _, err := p.find("remove user", thread, "")
	if err != nil {
		return nil, err
	}
	i := slices.Index(t.users, user)
	if i < 0 {
		return nil, fmt.Errorf("remove user: user %s: %w", user, ErrNotFound)
	}
	t.users = slices.Delete(t.users, i, i+1)
	payload := object{"chat_id": t.chat.id, "user_id": user, "reason": "manual"}
	if t.active {
		payload["thread_id"] = t.id
	}
	return []Webhook{t.send("user_removed_from_chat", "", payload)}, nil
}

// Transfer moves the thread and its chat to groups: chat_transferred (since
// v3.3) and chat_access_updated; up to v3.3 chat_access_granted with the groups
// that are new and chat_access_revoked with those that are no more.
func (p *Platform) Transfer(thread string, groups []int, requester string) ([]Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, _, err := p.find("transfer", thread, "")
	if err != nil {
		return nil, err
	}
	c := t.chat
	for _, g := range groups {
		if !slices.Contains(c.org.Groups, g) {
			return nil, fmt.Errorf("transfer: group %d: %w", g, ErrNotFound)
		}
	}
	had := c.groups
	c.groups, t.groups = slices.Clone(groups), slices.Clone(groups)
	payload := object{"chat_id": c.id, "reason": "manual", "transferred_to": object{"group_ids": groups}}
	if t.active {
		payload["thread_id"] = t.id
	}
	if requester != "" {
		payload["requester_id"] = requester
	}
	out := p.systemMessage(t, "chat_transferred", "Chat transferred")
	if !before(c.version, "3.3") {
		out = append(out, t.send("chat_transferred", "", payload))
	}
	access := func(action string, groups []int) {
		w := t.send(action, "", object{"id": c.id, "access": object{"group_ids": groups}})
		w.Thread = ""
		out = append(out, w)
	}
	if !before(c.version, "3.4") {
		access("chat_access_updated", groups)
		return out, nil
	}
	if added := without(groups, had); len(added) > 0 {
		access("chat_access_granted", added)
	}
	if gone := without(had, groups); len(gone) > 0 {
		access("chat_access_revoked", gone)
	}
	return out, nil
}

// without returns the groups that are not among others.
func without(groups, others []int) []int {
	return slices.DeleteFunc(slices.Clone(groups), func(g int) bool { return slices.Contains(others, g) })
}

// Click presses a button of a rich message. A button of type message writes its
// label as the user's message (incoming_event with a postback; see
// Switches.ClickMessage); while the thread is active there is an
// incoming_rich_message_postback too.
func (p *Platform) Click(thread, event, user, postbackID string) ([]Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, e, err := p.find("click", thread, event)
	if err != nil {
		return nil, err
	}
	var button *Button
	if e != nil {
		for _, el := range e.Elements {
			for i := range el.Buttons {
				if el.Buttons[i].PostbackID == postbackID {
					button = &el.Buttons[i]
				}
			}
		}
	}
	if button == nil {
		return nil, fmt.Errorf("click: button %s: %w", postbackID, ErrNotFound)
	}
	if e.clicked == nil {
		e.clicked = map[string][]string{}
	}
	if !slices.Contains(e.clicked[postbackID], user) {
		e.clicked[postbackID] = append(e.clicked[postbackID], user)
	}
	var out []Webhook
	if button.Type == "message" && p.sw.ClickMessage != ClickNone {
		said := Event{Author: user, Text: button.Text}
		if p.sw.ClickMessage != ClickPlain {
			said.Postback = &Postback{ID: postbackID, ThreadID: thread, EventID: event, Type: button.Type, Value: button.Value}
		}
		message := p.addEvent(t, said)
		out = append(out, t.sendEvent("incoming_event", message))
	}
	if t.active {
		postback := object{"id": postbackID, "toggled": true}
		if !before(t.chat.version, "3.6") {
			postback["button_type"], postback["button_value"] = button.Type, button.Value
		}
		out = append(out, t.send("incoming_rich_message_postback", event, object{
			"user_id": user, "chat_id": t.chat.id, "thread_id": t.id, "event_id": event, "postback": postback,
		}))
	}
	if p.sw.ClickUpdatesEvent {
		out = append(out, t.sendEvent("event_updated", e))
	}
	return out, nil
}

// TagAsPerson sets a tag by hand: thread_tagged. A tag that the thread has, or
// that it may not get, is refused.
func (p *Platform) TagAsPerson(thread, tag string) ([]Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, _, err := p.find("tag as person", thread, "")
	if err != nil {
		return nil, err
	}
	changed, refused := p.tagThread(t, tag, true)
	switch {
	case refused != nil:
		return nil, fmt.Errorf("tag %s as person: %s: %w", tag, refused.message, ErrRefused)
	case !changed:
		return nil, fmt.Errorf("tag %s as person: the thread has it: %w", tag, ErrExists)
	}
	return []Webhook{t.sendTag("thread_tagged", tag)}, nil
}

// UntagAsPerson removes a tag by hand: thread_untagged.
func (p *Platform) UntagAsPerson(thread, tag string) ([]Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, _, err := p.find("untag as person", thread, "")
	if err != nil {
		return nil, err
	}
	if !t.untag(tag) {
		return nil, fmt.Errorf("untag %s as person: %w", tag, ErrNotFound)
	}
	return []Webhook{t.sendTag("thread_untagged", tag)}, nil
}

func (t *thread) sendTag(action, tag string) Webhook {
	return t.send(action, "", object{"chat_id": t.chat.id, "thread_id": t.id, "tag": tag})
}

func (t *thread) untag(tag string) bool {
	i := slices.Index(t.tags, tag)
	if i < 0 {
		return false
	}
	t.tags = slices.Delete(t.tags, i, i+1)
	return true
}

// Deactivate closes the thread: chat_deactivated. An empty user stands for the
// router (inactivity).
func (p *Platform) Deactivate(thread, user string) ([]Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, _, err := p.find("deactivate", thread, "")
	if err != nil {
		return nil, err
	}
	if !t.active {
		return nil, fmt.Errorf("deactivate thread %s: it is closed: %w", thread, ErrRefused)
	}
	kind := "manual_archived_customer"
	switch {
	case user == "":
		kind = "routing.archived_inactive"
	case userType(User{ID: user}) == "agent":
		kind = "manual_archived_agent"
	}
	out := p.systemMessage(t, kind, "The chat was closed")
	t.active, t.ended, t.queued = false, p.now(), false
	payload := object{"chat_id": t.chat.id, "thread_id": t.id}
	if user != "" {
		payload["user_id"] = user
	}
	return append(out, t.send("chat_deactivated", "", payload)), nil
}

// systemMessage writes what the platform itself says in a thread.
func (p *Platform) systemMessage(t *thread, kind, text string) []Webhook {
	if p.sw.SystemMessages == SystemMessagesNone {
		return nil
	}
	e := p.addEvent(t, Event{Type: "system_message", Text: text, Extra: object{"system_message_type": kind}})
	if p.sw.SystemMessages == SystemMessagesSilent {
		return nil
	}
	return []Webhook{t.sendEvent("incoming_event", e)}
}

// Rate is the customer's good rating of the thread, with a comment: a system
// message for each, and thread_properties_updated.
func (p *Platform) Rate(thread, comment string) ([]Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, _, err := p.find("rate", thread, "")
	if err != nil {
		return nil, err
	}
	out := p.systemMessage(t, "rating.chat_rated", "The customer rated the chat as good")
	out = append(out, p.systemMessage(t, "rating.chat_commented", "The customer left a comment: "+comment)...)
	set := Properties{"rating": {"score": 1, "comment": comment}}
	t.properties = setProperties(t.properties, set)
	return append(out, t.send("thread_properties_updated", "", object{
		"chat_id": t.chat.id, "thread_id": t.id, "properties": set,
	})), nil
}

// Tell sends a webhook of any action, known or not, that holds the thread's ids
// and changes nothing.
func (p *Platform) Tell(thread, action string) ([]Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, _, err := p.find("tell", thread, "")
	if err != nil {
		return nil, err
	}
	return []Webhook{t.send(action, "", object{"chat_id": t.chat.id, "thread_id": t.id})}, nil
}

// SetSummary stores the platform's own summary of a closed thread:
// thread_summary_set, which webhooks older than v3.6 do not have.
func (p *Platform) SetSummary(thread, text string) ([]Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, _, err := p.find("set summary", thread, "")
	if err != nil {
		return nil, err
	}
	t.summary = text
	if before(t.chat.version, "3.6") {
		return nil, nil
	}
	return []Webhook{t.send("thread_summary_set", "", object{
		"chat_id": t.chat.id, "thread_id": t.id,
		"summary": object{"status": "ok", "text": text, "updated_at": p.sw.timestamp(p.now())},
	})}, nil
}

// Restrict hides the events of a thread from the API, as the platform does
// beyond the history that a plan pays for. No webhook tells of it.
func (p *Platform) Restrict(thread, reason string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, _, err := p.find("restrict", thread, "")
	if err != nil {
		return err
	}
	t.restricted = reason
	return nil
}

// CreateTag creates a tag by hand: tag_created. As with create_tag, the name
// must be new also when case is ignored.
func (p *Platform) CreateTag(org, name string, groups ...int) ([]Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.orgs[org]
	if o == nil {
		return nil, fmt.Errorf("create tag: organization %s: %w", org, ErrNotFound)
	}
	if refusal := p.createTag(o, name, groups); refusal != nil {
		reason := ErrRefused
		if refusal.kind == "already_exists" {
			reason = ErrExists
		}
		return nil, fmt.Errorf("create tag %s: %s: %w", name, refusal.kind, reason)
	}
	return o.tagWebhook("tag_created", o.tags[name]), nil
}

// UpdateTag gives a tag other groups by hand: tag_updated.
func (p *Platform) UpdateTag(org, name string, groups ...int) ([]Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.orgs[org]
	if o == nil {
		return nil, fmt.Errorf("update tag: organization %s: %w", org, ErrNotFound)
	}
	if refusal := p.updateTag(o, name, groups); refusal != nil {
		return nil, fmt.Errorf("update tag %s: %s: %w", name, refusal.kind, ErrRefused)
	}
	return o.tagWebhook("tag_updated", o.tags[name]), nil
}

// DeleteTag deletes a tag by hand: tag_deleted. Threads that have it keep it.
func (p *Platform) DeleteTag(org, name string) ([]Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.orgs[org]
	if o == nil {
		return nil, fmt.Errorf("delete tag: organization %s: %w", org, ErrNotFound)
	}
	g := o.tags[name]
	if g == nil {
		return nil, fmt.Errorf("delete tag %s: %w", name, ErrNotFound)
	}
	delete(o.tags, name)
	return o.tagWebhook("tag_deleted", g), nil
}

// tagWebhook is a configuration webhook about a tag; they exist since v3.5.
func (o *organization) tagWebhook(action string, g *tag) []Webhook {
	if before(o.WebhookVersion, "3.5") {
		return nil
	}
	payload := object{"name": g.name}
	if action != "tag_deleted" {
		payload["group_ids"] = g.groups
	}
	if action == "tag_created" {
		payload["created_at"], payload["author_id"] = o.sw.timestamp(g.created), g.author
	}
	extra := object{"additional_data": object{}}
	if !before(o.WebhookVersion, "3.6") {
		extra["requester"] = object{"user_id": g.author, "account_id": o.AccountID, "client_id": ""}
	}
	return []Webhook{{Organization: o.ID, Action: action, Body: o.webhook(o.WebhookVersion, action, payload, extra)}}
}

func (p *Platform) createTag(o *organization, name string, groups []int) *refusal {
	if strings.TrimSpace(name) == "" {
		return refuse("validation", "`name` is required")
	}
	if !p.sw.mayBeTag(name) {
		return p.invalid("`name` is not valid")
	}
	for existing := range o.tags {
		if strings.EqualFold(existing, name) {
			return refuse("already_exists", "Already exists")
		}
	}
	if len(o.tags) >= o.TagQuota {
		return refuse("limit_reached", "Limit reached")
	}
	if r := o.checkGroups(groups); r != nil {
		return r
	}
	now := p.now()
	o.tags[name] = &tag{
		name: name, groups: append([]int{}, groups...), author: "admin@example.com",
		created: now, effective: now.Add(p.sw.TagDelay),
	}
	return nil
}

func (p *Platform) updateTag(o *organization, name string, groups []int) *refusal {
	g := o.tags[name]
	if g == nil {
		return refuse("not_found", "Not found")
	}
	if r := o.checkGroups(groups); r != nil {
		return r
	}
	now := p.now()
	if !now.Before(g.effective) {
		g.before = g.groups
	}
	g.groups, g.effective = append([]int{}, groups...), now.Add(p.sw.TagDelay)
	return nil
}

func (o *organization) checkGroups(groups []int) *refusal {
	for _, id := range groups {
		if !slices.Contains(o.Groups, id) {
			return refuse("group_not_found", "Group not found")
		}
	}
	return nil
}

// tagThread sets a tag by the rules of the platform. changed is false when the
// thread has the tag and the switches take that for a success. For people a tag
// is as it was made, without Switches.TagDelay.
func (p *Platform) tagThread(t *thread, name string, byPerson bool) (changed bool, refused *refusal) {
	g := t.chat.org.tags[name]
	groups := []int(nil)
	if g != nil {
		groups = g.groups
		if !byPerson && p.now().Before(g.effective) {
			groups = g.before
		}
	}
	if groups == nil {
		return false, p.answer(p.sw.UnknownTag, AnswerValidation, "Tag does not exist")
	}
	if slices.Contains(t.tags, name) {
		return false, p.answer(p.sw.Retag, AnswerOK, "Thread is already tagged")
	}
	shares := slices.ContainsFunc(groups, func(id int) bool { return slices.Contains(t.groups, id) })
	shares = shares || p.sw.GroupZeroFitsAll && slices.Contains(groups, 0)
	shares = shares || p.sw.NoGroupsFitAll && len(groups) == 0
	if !shares {
		return false, p.answer(p.sw.GroupMismatch, AnswerValidation, "Tag and thread have no group in common")
	}
	t.tags = append(t.tags, name)
	return true, nil
}

// answer turns a switch into a refusal, or nil for AnswerOK.
func (p *Platform) answer(value, otherwise, why string) *refusal {
	switch kind := either(value, otherwise); kind {
	case AnswerOK:
		return nil
	case AnswerValidation:
		return p.invalid(why)
	default:
		return refuse(kind, messages[kind])
	}
}

// invalid is a validation error, which says what is wrong unless a switch
// forbids it; other types have their documented message.
func (p *Platform) invalid(why string) *refusal {
	if p.sw.PlainMessages {
		why = messages["validation"]
	}
	return refuse("validation", why)
}

func either(value, otherwise string) string {
	if value != "" {
		return value
	}
	return otherwise
}

func cloneProperties(p Properties) Properties { return setProperties(nil, p) }

// setProperties returns a copy of p with set written over it: what was sent
// earlier must not change.
func setProperties(p, set Properties) Properties {
	if p == nil && set == nil {
		return nil
	}
	out := Properties{}
	for _, from := range []Properties{p, set} {
		for ns, values := range from {
			if out[ns] == nil {
				out[ns] = map[string]any{}
			}
			for name, v := range values {
				out[ns][name] = v
			}
		}
	}
	return out
}

func deleteProperties(p Properties, names map[string][]string) Properties {
	out := cloneProperties(p)
	for ns, list := range names {
		for _, name := range list {
			delete(out[ns], name)
		}
		if len(out[ns]) == 0 {
			delete(out, ns)
		}
	}
	return out
}
