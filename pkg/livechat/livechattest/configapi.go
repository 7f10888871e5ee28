package livechattest

import (
	"encoding/json"
	"slices"
	"strings"
)

func (p *Platform) readTag(in params) (name string, groups []int, refused *refusal) {
	refused = first(in.read("name", true, &name), in.read("group_ids", false, &groups))
	return name, groups, refused
}

func (p *Platform) apiCreateTag(r *request, in params) (any, *refusal) {
	name, groups, refused := p.readTag(in)
	if refused = first(refused, in.only("name", "group_ids")); refused != nil {
		return nil, refused
	}
	if refused = p.createTag(r.org, name, groups); refused != nil {
		return nil, refused
	}
	r.out = append(r.out, r.org.tagWebhook("tag_created", r.org.tags[name])...)
	return nil, nil
}

func (p *Platform) apiUpdateTag(r *request, in params) (any, *refusal) {
	name, groups, refused := p.readTag(in)
	if refused = first(refused, in.only("name", "group_ids")); refused != nil {
		return nil, refused
	}
	if !in.has("group_ids") {
		if r.org.tags[name] == nil {
			return nil, refuse("not_found", messages["not_found"])
		}
		return nil, nil
	}
	if refused = p.updateTag(r.org, name, groups); refused != nil {
		return nil, refused
	}
	r.out = append(r.out, r.org.tagWebhook("tag_updated", r.org.tags[name])...)
	return nil, nil
}

func (p *Platform) apiDeleteTag(r *request, in params) (any, *refusal) {
	var name string
	if refused := in.read("name", true, &name); refused != nil {
		return nil, refused
	}
	g := r.org.tags[name]
	if g == nil {
		return nil, refuse("not_found", messages["not_found"])
	}
	delete(r.org.tags, name)
	r.out = append(r.out, r.org.tagWebhook("tag_deleted", g)...)
	return nil, nil
}

func (p *Platform) apiListTags(r *request, in params) (any, *refusal) {
	filters := params{}
	var groups []int
	refused := first(in.only("filters"), in.read("filters", false, &filters))
	if refused == nil && in.has("filters") {
		refused = first(filters.only("group_ids"), filters.read("group_ids", true, &groups))
	}
	if refused != nil {
		return nil, refused
	}
	out := []object{}
	for _, g := range r.org.tags {
		if groups != nil && !slices.ContainsFunc(groups, func(id int) bool { return slices.Contains(g.groups, id) }) {
			continue
		}
		out = append(out, object{
			"name": g.name, "group_ids": g.groups, "author_id": g.author, "created_at": r.org.sw.timestamp(g.created),
		})
	}
	slices.SortFunc(out, func(a, b object) int { return strings.Compare(a["name"].(string), b["name"].(string)) })
	return out, nil
}

// registration is one registered webhook.
type registration struct {
	id, action, url, description, client, kind, secret string
	additional                                         []string
	filters                                            json.RawMessage
}

// Registration is a webhook that a client registered.
type Registration struct {
	ID, Action, URL, Description, ClientID, Type, Secret string
}

// Registrations returns what register_webhook stored for an organization, in
// order.
func (p *Platform) Registrations(org string) []Registration {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.orgs[org]
	if o == nil {
		return nil
	}
	var out []Registration
	for _, h := range o.hooks {
		out = append(out, Registration{h.id, h.action, h.url, h.description, h.client, h.kind, h.secret})
	}
	return out
}

// webhookAction is what a webhook action may be registered with.
type webhookAction struct {
	name, since string
	until       string // last version that has it, "" for the newest
	filters     []string
	additional  bool // additional_data may be asked for
}

var (
	chatFilters   = []string{"chat_presence", "only_my_chats", "source_type"}
	eventFilters  = []string{"chat_presence", "author_type", "only_my_chats", "source_type"}
	configFilters = []string{"source_type"}
)

var webhookActions = []webhookAction{
	{"incoming_chat", "3.2", "", chatFilters, true},
	{"chat_deactivated", "3.2", "", chatFilters, true},
	{"chat_access_granted", "3.2", "3.3", chatFilters, true},
	{"chat_access_revoked", "3.2", "3.3", chatFilters, true},
	{"chat_access_updated", "3.4", "", chatFilters, true},
	{"chat_transferred", "3.3", "", chatFilters, true},
	{"user_added_to_chat", "3.2", "", chatFilters, true},
	{"user_removed_from_chat", "3.2", "", chatFilters, true},
	{"incoming_event", "3.2", "", eventFilters, true},
	{"event_deleted", "3.6", "", chatFilters, true},
	{"event_updated", "3.2", "", eventFilters, true},
	{"incoming_rich_message_postback", "3.2", "", chatFilters, true},
	{"chat_properties_updated", "3.2", "", chatFilters, true},
	{"chat_properties_deleted", "3.2", "", chatFilters, true},
	{"thread_properties_updated", "3.2", "", chatFilters, true},
	{"thread_properties_deleted", "3.2", "", chatFilters, true},
	{"event_properties_updated", "3.2", "", chatFilters, true},
	{"event_properties_deleted", "3.2", "", chatFilters, true},
	{"thread_tagged", "3.2", "", chatFilters, true},
	{"thread_untagged", "3.2", "", chatFilters, true},
	{"events_marked_as_seen", "3.2", "", chatFilters, true},
	{"thread_summary_set", "3.6", "", chatFilters, true},
	{"customer_session_fields_updated", "3.3", "", []string{"chat_presence", "source_type"}, true},
	{"routing_status_set", "3.2", "", []string{"source_type", "agent_ids"}, false},
	{"tag_created", "3.5", "", configFilters, false},
	{"tag_updated", "3.5", "", configFilters, false},
	{"tag_deleted", "3.5", "", configFilters, false},
	{"group_created", "3.4", "", configFilters, false},
	{"group_updated", "3.4", "", configFilters, false},
	{"group_deleted", "3.4", "", configFilters, false},
}

func actionsOf(version string) []webhookAction {
	var out []webhookAction
	for _, a := range webhookActions {
		if !before(version, a.since) && (a.until == "" || !before(a.until, version)) {
			out = append(out, a)
		}
	}
	return out
}

// client reads owner_client_id: an app of the caller's organization. With a
// Bearer token it may be left out: the token has a client of its own.
func (r *request) client(in params) (string, *refusal) {
	var id string
	_, _, basic := r.http.BasicAuth()
	if refused := in.read("owner_client_id", basic, &id); refused != nil {
		return "", refused
	}
	if id == "" && len(r.org.ClientIDs) > 0 {
		return r.org.ClientIDs[0], nil
	}
	if !slices.Contains(r.org.ClientIDs, id) {
		return "", refuse("authorization", "`owner_client_id` is not an app of this organization")
	}
	return id, nil
}

func (p *Platform) apiRegisterWebhook(r *request, in params) (any, *refusal) {
	h := &registration{}
	client, refused := r.client(in)
	if refused = first(refused,
		in.only("action", "secret_key", "url", "owner_client_id", "type", "description", "additional_data", "filters"),
		in.read("action", true, &h.action), in.read("secret_key", true, &h.secret), in.read("url", true, &h.url),
		in.read("type", true, &h.kind), in.read("description", false, &h.description),
		in.read("additional_data", false, &h.additional)); refused != nil {
		return nil, refused
	}
	h.client = client
	actions := actionsOf(r.call.Version)
	i := slices.IndexFunc(actions, func(a webhookAction) bool { return a.name == h.action })
	if i < 0 {
		return nil, refuse("validation", "`action` is not known")
	}
	if refused := h.check(actions[i], in); refused != nil {
		return nil, refused
	}
	same := 0
	for _, other := range r.org.hooks {
		if other.action == h.action && other.client == h.client {
			same++
		}
	}
	if same >= 3 {
		answer := either(p.sw.FourthWebhook, AnswerLimitReached)
		return nil, refuse(answer, messages[answer])
	}
	h.id = strings.ToLower(p.newID() + p.newID() + p.newID())
	r.org.hooks = append(r.org.hooks, h)
	return object{"id": h.id}, nil
}

func (h *registration) check(action webhookAction, in params) *refusal {
	switch {
	case len(h.url) > 500:
		return refuse("validation", "`url` is longer than 500 characters")
	case !strings.HasPrefix(h.url, "http://") && !strings.HasPrefix(h.url, "https://"):
		return refuse("validation", "`url` is not valid")
	case h.kind != "license" && h.kind != "bot":
		return refuse("validation", "`type` must be `license` or `bot`")
	}
	for _, name := range h.additional {
		if !action.additional || name != "chat_properties" && name != "chat_presence_user_ids" {
			return refuse("validation", "`additional_data` is not known")
		}
	}
	filters := params{}
	if refused := in.read("filters", false, &filters); refused != nil {
		return refused
	}
	if refused := filters.only(action.filters...); refused != nil {
		return refused
	}
	h.filters = in["filters"]
	var author string
	var mine bool
	var sources, agents []string
	presence := params{}
	users := params{}
	refused := first(
		filters.read("author_type", false, &author), filters.read("only_my_chats", false, &mine),
		filters.read("source_type", false, &sources), filters.read("agent_ids", false, &agents),
		filters.read("chat_presence", false, &presence), presence.only("user_ids", "my_bots"),
		presence.read("user_ids", false, &users), users.only("values", "exclude_values"))
	if refused != nil {
		return refused
	}
	if author != "" && author != "customer" && author != "agent" {
		return refuse("validation", "`author_type` must be `customer` or `agent`")
	}
	if len(users) > 1 {
		return refuse("validation", "`values` cannot be used with `exclude_values`")
	}
	for _, s := range sources {
		if s != "my_client" && s != "other_clients" && s != "system" {
			return refuse("validation", "`source_type` is not known")
		}
	}
	return nil
}

func (p *Platform) apiListWebhooks(r *request, in params) (any, *refusal) {
	client, refused := r.client(in)
	if refused = first(refused, in.only("owner_client_id")); refused != nil {
		return nil, refused
	}
	out := []object{}
	for _, h := range r.org.hooks {
		if h.client != client {
			continue
		}
		o := object{
			"id": h.id, "url": h.url, "description": h.description, "action": h.action,
			"owner_client_id": h.client, "type": h.kind,
		}
		if h.filters != nil {
			o["filters"] = h.filters
		}
		if len(h.additional) > 0 {
			o["additional_data"] = h.additional
		}
		out = append(out, o)
	}
	return out, nil
}

func (p *Platform) apiUnregisterWebhook(r *request, in params) (any, *refusal) {
	var id string
	client, refused := r.client(in)
	if refused = first(refused, in.only("id", "owner_client_id"), in.read("id", true, &id)); refused != nil {
		return nil, refused
	}
	i := slices.IndexFunc(r.org.hooks, func(h *registration) bool { return h.id == id && h.client == client })
	if i < 0 {
		return nil, refuse("not_found", messages["not_found"])
	}
	r.org.hooks = slices.Delete(r.org.hooks, i, i+1)
	return nil, nil
}

func (p *Platform) apiListWebhookNames(r *request, in params) (any, *refusal) {
	version := "3.6"
	if refused := first(in.only("version"), in.read("version", false, &version)); refused != nil {
		return nil, refused
	}
	out := []object{}
	for _, a := range actionsOf(version) {
		o := object{"action": a.name, "filters": a.filters}
		if a.additional {
			o["additional_data"] = []string{"chat_properties", "chat_presence_user_ids"}
		}
		out = append(out, o)
	}
	return out, nil
}

func (p *Platform) apiEnableWebhooks(r *request, in params) (any, *refusal) {
	client, refused := r.client(in)
	if refused == nil {
		delete(r.org.disabled, client)
	}
	return nil, refused
}

func (p *Platform) apiDisableWebhooks(r *request, in params) (any, *refusal) {
	client, refused := r.client(in)
	if refused == nil {
		r.org.disabled[client] = true
	}
	return nil, refused
}

func (p *Platform) apiWebhooksState(r *request, in params) (any, *refusal) {
	client, refused := r.client(in)
	if refused != nil {
		return nil, refused
	}
	return object{"license_webhooks_enabled": !r.org.disabled[client]}, nil
}
