package webhook

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"

	"autotag/pkg/livechat"
	"autotag/pkg/stream"
	"autotag/pkg/transcript"
)

// Where an action's payload has its ids.
type place int

const (
	nowhere    place = iota // about the account, not about a chat; the payload may be anything
	atTop                   // chat_id, thread_id
	topEvent                // chat_id, thread_id, event_id
	innerEvent              // chat_id, thread_id, event.id
	innerChat               // chat.id, chat.thread.id
	chatOnly                // id is the chat's
)

// action says how webhooks of an action are routed.
type action struct {
	place place
	// needed: without chat and thread the tagger cannot use it.
	needed bool
	// stable: two webhooks with equal payloads are one fact sent twice. Other
	// actions may repeat with equal payloads (tagged, untagged, tagged again).
	stable bool
}

// actions are the documented ones. Any other is unknown: it is routed like
// atTop, whatever its payload is.
var actions = map[string]action{
	livechat.IncomingChat:                {innerChat, true, true},
	livechat.IncomingEvent:               {innerEvent, true, true},
	livechat.EventUpdated:                {innerEvent, true, false},
	livechat.EventDeleted:                {topEvent, true, true},
	livechat.EventPropertiesUpdated:      {topEvent, true, false},
	livechat.EventPropertiesDeleted:      {topEvent, true, false},
	livechat.ChatDeactivated:             {atTop, true, true},
	livechat.ThreadTagged:                {atTop, true, false},
	livechat.ThreadUntagged:              {atTop, true, false},
	livechat.ChatTransferred:             {place: atTop},
	livechat.ChatAccessUpdated:           {place: chatOnly},
	livechat.ChatAccessGranted:           {place: chatOnly},
	livechat.ChatAccessRevoked:           {place: chatOnly},
	livechat.UserAddedToChat:             {place: atTop},
	livechat.UserRemovedFromChat:         {place: atTop},
	livechat.IncomingRichMessagePostback: {place: topEvent},
	"chat_properties_updated":            {place: atTop},
	"chat_properties_deleted":            {place: atTop},
	"thread_properties_updated":          {place: atTop},
	"thread_properties_deleted":          {place: atTop},
	"thread_summary_set":                 {place: atTop},
	"events_marked_as_seen":              {place: atTop},
	"customer_session_fields_updated":    {place: nowhere},
	"tag_created":                        {place: nowhere},
	"tag_updated":                        {place: nowhere},
	"tag_deleted":                        {place: nowhere},
	"group_created":                      {place: nowhere},
	"group_updated":                      {place: nowhere},
	"group_deleted":                      {place: nowhere},
	"agent_created":                      {place: nowhere},
	"agent_updated":                      {place: nowhere},
	"agent_deleted":                      {place: nowhere},
	"agent_suspended":                    {place: nowhere},
	"agent_unsuspended":                  {place: nowhere},
	"agent_approved":                     {place: nowhere},
	"bot_created":                        {place: nowhere},
	"bot_updated":                        {place: nowhere},
	"bot_deleted":                        {place: nowhere},
	"auto_accesses_updated":              {place: nowhere},
	"routing_status_set":                 {place: nowhere},
}

// Why a webhook cannot be routed: the reason of its dead letter, and a label.
const (
	reasonOrganization  = "organization_unusable"
	reasonAction        = "action_unusable"
	reasonPayload       = "payload_unusable"
	reasonChatMissing   = "chat_id_missing"
	reasonChat          = "chat_id_unusable"
	reasonThreadMissing = "thread_id_missing"
	reasonThread        = "thread_id_unusable"
	reasonEvent         = "event_id_unusable"
)

var reasons = []string{
	reasonOrganization, reasonAction, reasonPayload, reasonChatMissing, reasonChat, reasonThreadMissing, reasonThread, reasonEvent,
}

// other is the action label of webhooks whose action is not documented.
const other = "other"

// route is where a webhook goes.
type route struct {
	key    transcript.Key // stream.None for what is not known
	action string         // "" if it is unusable
	event  string         // the event's id, stream.None if there is none
	label  string         // the action, or other
	stable bool
	reason string // why it goes to AUTOTAG_DEAD; "" if it does not
}

// organizationToken is organization_id or, up to v3.3,
// license-<license_id>.
func (e *envelope) organizationToken() (string, bool) {
	if t, state := token(e.organization); state != absent {
		return t, state == usable
	}
	digits := e.license // documented as a number; one sample has a string
	if t, ok := text(digits); ok {
		digits = t
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return stream.None, false
		}
	}
	t, ok := stream.Token("license-" + string(digits))
	if !ok || len(digits) == 0 {
		return stream.None, false
	}
	return t, true
}

// route finds where the webhook goes. Nothing from outside becomes part of a
// subject that is not a usable token.
func (e *envelope) route() route {
	r := route{key: transcript.Key{Org: stream.None, Chat: stream.None, Thread: stream.None}, event: stream.None, label: other}
	dead := func(reason string) {
		if r.reason == "" {
			r.reason = reason
		}
	}
	if org, ok := e.organizationToken(); ok {
		r.key.Org = org
	} else {
		dead(reasonOrganization)
	}
	a := action{place: atTop}
	isObject := len(e.payload) > 0 && e.payload[0] == '{'
	if name, ok := text(e.action); ok && stream.ValidAction(string(name)) {
		r.action = string(name)
		if known, ok := actions[r.action]; ok {
			a, r.label, r.stable = known, r.action, known.stable
			if a.place != nowhere && !isObject {
				dead(reasonPayload)
			}
		}
	} else {
		dead(reasonAction)
	}

	var chat, thread, event []byte
	switch a.place {
	case atTop:
		chat, thread = e.chatID, e.threadID
	case topEvent:
		chat, thread, event = e.chatID, e.threadID, e.eventID
	case innerEvent:
		chat, thread, event = e.chatID, e.threadID, e.event.id
		if !e.event.present {
			dead(reasonPayload)
		}
	case innerChat:
		chat, thread = e.chat.id, e.thread.id
		if !e.chat.present {
			dead(reasonPayload)
		}
	case chatOnly:
		chat = e.id
	}
	for _, id := range []struct {
		raw                 []byte
		into                *string
		needed              bool
		missing, unusableID string
	}{
		{chat, &r.key.Chat, a.needed, reasonChatMissing, reasonChat},
		{thread, &r.key.Thread, a.needed, reasonThreadMissing, reasonThread},
		{event, &r.event, false, "", reasonEvent},
	} {
		t, state := token(id.raw)
		switch {
		case state == usable:
			*id.into = t
		case state == unusable:
			dead(id.unusableID)
		case id.needed:
			dead(id.missing)
		}
	}
	return r
}

// messageID is the Nats-Msg-Id. Where equal payloads are one fact it is made
// from the payload, so that what LiveChat sends again is stored once, also when
// it comes from two registrations; else it only makes the attempts of one
// request one.
func (r *route) messageID(payload []byte) string {
	var tail string
	if r.stable {
		sum := sha256.Sum256(payload)
		tail = hex.EncodeToString(sum[:8])
	} else {
		tail = rand.Text()
	}
	return r.key.Org + ":" + r.key.Chat + ":" + r.key.Thread + ":" + r.action + ":" + r.event + ":" + tail
}

// deadID is the Nats-Msg-Id of a dead letter: equal webhooks are one.
func deadID(data []byte) string {
	sum := sha256.Sum256(data)
	return "ingress:" + hex.EncodeToString(sum[:16])
}

type idState int

const (
	absent   idState = iota // not there, null or ""
	usable                  // can be a subject token
	unusable                // of another type, or with characters that an id cannot have
)

// token reads an id. "_" is not usable: it stands for no id.
func token(raw []byte) (string, idState) {
	if len(raw) == 0 || string(raw) == "null" || string(raw) == `""` {
		return stream.None, absent
	}
	s, ok := text(raw)
	if !ok || len(s) > 128 {
		return stream.None, unusable
	}
	t, ok := stream.Token(string(s))
	if !ok || t == stream.None {
		return stream.None, unusable
	}
	return t, usable
}
