package webhook

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"autotag/pkg/stream"
)

func read(t testing.TB, body string) envelope {
	t.Helper()
	e, err := readEnvelope([]byte(body))
	if err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return e
}

func TestRouteSubjects(t *testing.T) {
	t.Parallel()
	const org = "5f0b2c4e-7a1d-4c39-9f57-3d2a61b8e0c4"
	files := samples(t)
	for file, want := range map[string]string{
		"webhook.incoming_chat.v3.6.json":                   org + ".SJ4K2R8V0P.SJ4K2R8WQ3.incoming_chat",
		"webhook.incoming_event.v3.6.json":                  org + ".SJ4K2R8V0P.SJ4K2R8WQ3.incoming_event",
		"webhook.incoming_event.v3.3.json":                  "license-15872341.SJ4K2R8V0P.SJ4K2R8WQ3.incoming_event",
		"webhook.incoming_chat.v3.3.json":                   "license-15872341.SJ4K2R8V0P.SJ4K2R8WQ3.incoming_chat",
		"webhook.event_updated.v3.6.json":                   org + ".SJ4K2R8V0P.SJ4K2R8WQ3.event_updated",
		"webhook.event_deleted.v3.6.json":                   org + ".SJ4K2R8V0P.SJ4K2R8WQ3.event_deleted",
		"webhook.chat_deactivated.v3.6.json":                org + ".SJ4K2R8V0P.SJ4K2R8WQ3.chat_deactivated",
		"webhook.chat_access_updated.v3.6.json":             org + ".SJ4K2R8V0P._.chat_access_updated",
		"webhook.events_marked_as_seen.v3.6.json":           org + ".SJ4K2R8V0P._.events_marked_as_seen",
		"webhook.thread_tagged.v3.6.json":                   org + ".SJ4K2R8V0P.SJ4K2R8WQ3.thread_tagged",
		"webhook.group_created.v3.6.json":                   org + "._._.group_created",
		"webhook.tag_deleted.v3.6.json":                     org + "._._.tag_deleted",
		"webhook.customer_session_fields_updated.v3.6.json": org + "._._.customer_session_fields_updated",
	} {
		e := read(t, string(files[file]))
		r := e.route()
		if got := stream.EventSubject(r.key, r.action); got != "livechat."+want || r.reason != "" {
			t.Errorf("%s: %s (%s), should be livechat.%s", file, got, r.reason, want)
		}
	}
}

func TestRoute(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 128)
	for name, c := range map[string]struct{ body, subject, reason string }{
		"unknown action":           {`{"action":"brand_new","organization_id":"o","payload":{"chat_id":"c","thread_id":"t"}}`, "o.c.t.brand_new", ""},
		"unknown, no ids":          {`{"action":"brand_new","organization_id":"o","payload":{}}`, "o._._.brand_new", ""},
		"unknown, odd payload":     {`{"action":"brand_new","organization_id":"o","payload":[1]}`, "o._._.brand_new", ""},
		"unknown, no payload":      {`{"action":"brand_new","organization_id":"o"}`, "o._._.brand_new", ""},
		"account, array":           {`{"action":"auto_accesses_updated","organization_id":"o","payload":[]}`, "o._._.auto_accesses_updated", ""},
		"license as text":          {`{"action":"chat_deactivated","license_id":"12","payload":{"chat_id":"c","thread_id":"t"}}`, "license-12.c.t.chat_deactivated", ""},
		"both":                     {`{"action":"chat_deactivated","license_id":12,"organization_id":"o","payload":{"chat_id":"c","thread_id":"t"}}`, "o.c.t.chat_deactivated", ""},
		"escaped ids":              {`{"action":"chat\u005fdeactivated","organization_id":"\u006f","payload":{"chat_id":"\u0063","thread_id":"t"}}`, "o.c.t.chat_deactivated", ""},
		"null thread":              {`{"action":"chat_transferred","organization_id":"o","payload":{"chat_id":"c","thread_id":null}}`, "o.c._.chat_transferred", ""},
		"last of two":              {`{"action":"chat_deactivated","organization_id":"o","payload":{"chat_id":"a","thread_id":"t","chat_id":"c"}}`, "o.c.t.chat_deactivated", ""},
		"128 characters":           {`{"action":"chat_deactivated","organization_id":"o","payload":{"chat_id":"` + long + `","thread_id":"t"}}`, "o." + long + ".t.chat_deactivated", ""},
		"no event id":              {`{"action":"incoming_event","organization_id":"o","payload":{"chat_id":"c","thread_id":"t","event":{}}}`, "o.c.t.incoming_event", ""},
		"numeric account id":       {`{"action":"group_deleted","organization_id":"o","payload":{"id":7}}`, "o._._.group_deleted", ""},
		"no organization":          {`{"action":"chat_deactivated","payload":{"chat_id":"c","thread_id":"t"}}`, "", reasonOrganization},
		"empty organization":       {`{"action":"chat_deactivated","organization_id":"","payload":{"chat_id":"c","thread_id":"t"}}`, "", reasonOrganization},
		"numeric organization":     {`{"action":"chat_deactivated","organization_id":5,"payload":{"chat_id":"c","thread_id":"t"}}`, "", reasonOrganization},
		"organization with a dot":  {`{"action":"chat_deactivated","organization_id":"a.b","payload":{"chat_id":"c","thread_id":"t"}}`, "", reasonOrganization},
		"license with exponent":    {`{"action":"chat_deactivated","license_id":1e3,"payload":{"chat_id":"c","thread_id":"t"}}`, "", reasonOrganization},
		"license null":             {`{"action":"chat_deactivated","license_id":null,"payload":{"chat_id":"c","thread_id":"t"}}`, "", reasonOrganization},
		"no action":                {`{"organization_id":"o","payload":{"chat_id":"c","thread_id":"t"}}`, "", reasonAction},
		"action with capitals":     {`{"action":"Chat_Deactivated","organization_id":"o","payload":{"chat_id":"c","thread_id":"t"}}`, "", reasonAction},
		"action with a wildcard":   {`{"action":"a.>","organization_id":"o","payload":{"chat_id":"c","thread_id":"t"}}`, "", reasonAction},
		"action too long":          {`{"action":"` + strings.Repeat("a", 65) + `","organization_id":"o"}`, "", reasonAction},
		"action a number":          {`{"action":1,"organization_id":"o"}`, "", reasonAction},
		"no payload":               {`{"action":"chat_deactivated","organization_id":"o"}`, "", reasonPayload},
		"payload an array":         {`{"action":"incoming_event","organization_id":"o","payload":[]}`, "", reasonPayload},
		"payload a text":           {`{"action":"chat_transferred","organization_id":"o","payload":"x"}`, "", reasonPayload},
		"no chat":                  {`{"action":"incoming_chat","organization_id":"o","payload":{"chat_id":"c","thread_id":"t"}}`, "", reasonPayload},
		"no event":                 {`{"action":"incoming_event","organization_id":"o","payload":{"chat_id":"c","thread_id":"t"}}`, "", reasonPayload},
		"event a text":             {`{"action":"event_updated","organization_id":"o","payload":{"chat_id":"c","thread_id":"t","event":"e"}}`, "", reasonPayload},
		"no thread in chat":        {`{"action":"incoming_chat","organization_id":"o","payload":{"chat":{"id":"c"}}}`, "", reasonThreadMissing},
		"no chat id":               {`{"action":"chat_deactivated","organization_id":"o","payload":{"thread_id":"t"}}`, "", reasonChatMissing},
		"no thread id":             {`{"action":"thread_tagged","organization_id":"o","payload":{"chat_id":"c"}}`, "", reasonThreadMissing},
		"chat id with a dot":       {`{"action":"chat_deactivated","organization_id":"o","payload":{"chat_id":"c.d","thread_id":"t"}}`, "", reasonChat},
		"chat id the none token":   {`{"action":"chat_deactivated","organization_id":"o","payload":{"chat_id":"_","thread_id":"t"}}`, "", reasonChat},
		"chat id a number":         {`{"action":"chat_deactivated","organization_id":"o","payload":{"chat_id":7,"thread_id":"t"}}`, "", reasonChat},
		"unknown, bad chat id":     {`{"action":"brand_new","organization_id":"o","payload":{"chat_id":"*","thread_id":"t"}}`, "", reasonChat},
		"129 characters":           {`{"action":"chat_deactivated","organization_id":"o","payload":{"chat_id":"c","thread_id":"x` + long + `"}}`, "", reasonThread},
		"thread id with CRLF":      {`{"action":"chat_deactivated","organization_id":"o","payload":{"chat_id":"c","thread_id":"t\r\nX: y"}}`, "", reasonThread},
		"event id with a blank":    {`{"action":"incoming_event","organization_id":"o","payload":{"chat_id":"c","thread_id":"t","event":{"id":"e f"}}}`, "", reasonEvent},
		"event id a number":        {`{"action":"event_deleted","organization_id":"o","payload":{"chat_id":"c","thread_id":"t","event_id":4}}`, "", reasonEvent},
		"access without usable id": {`{"action":"chat_access_updated","organization_id":"o","payload":{"id":7}}`, "", reasonChat},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := read(t, c.body)
			r := e.route()
			if r.reason != c.reason {
				t.Fatalf("reason %q, should be %q", r.reason, c.reason)
			}
			if got := stream.EventSubject(r.key, r.action); c.reason == "" && got != "livechat."+c.subject {
				t.Errorf("%s, should be livechat.%s", got, c.subject)
			}
		})
	}
}

// Whatever the ids are, a webhook gets a subject of ours or is a dead letter
// with a subject of ours.
func TestRouteNeverLeavesItsSubjects(t *testing.T) {
	t.Parallel()
	id := rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9_-]{0,3}`), rapid.String(), rapid.SampledFrom([]string{".", "*", ">", "a.>", "_", " "}))
	rapid.Check(t, func(t *rapid.T) {
		org, chat, thread, event, name := id.Draw(t, "org"), id.Draw(t, "chat"), id.Draw(t, "thread"), id.Draw(t, "event"), rapid.OneOf(id, rapid.SampledFrom([]string{"incoming_event", "incoming_chat", "chat_access_updated"})).Draw(t, "action")
		ref := map[string]any{"id": chat, "thread": map[string]any{"id": thread}}
		body, err := json.Marshal(map[string]any{"action": name, "organization_id": org, "payload": map[string]any{
			"id": chat, "chat_id": chat, "thread_id": thread, "chat": ref, "event": map[string]any{"id": event}}})
		if err != nil {
			t.Fatal(err)
		}
		e, err := readEnvelope(body)
		if err != nil {
			t.Fatal(err)
		}
		r := e.route()
		if r.reason != "" {
			if kind, _, ok := stream.ParseSubject(stream.DeadSubject(stream.StageIngress, r.key)); !ok || kind != "dead.ingress" {
				t.Fatalf("%+v", r)
			}
			return
		}
		key, action, ok := stream.ParseEventSubject(stream.EventSubject(r.key, r.action))
		if !ok || key != r.key || action != name || r.key.Org != org {
			t.Fatalf("%+v", r)
		}
		if strings.ContainsAny(r.messageID(e.payload), "\r\n ") {
			t.Fatalf("%q", r.messageID(e.payload))
		}
	})
}

func TestMessageID(t *testing.T) {
	t.Parallel()
	files := samples(t)
	id := func(file string) string {
		e := read(t, string(files[file]))
		r := e.route()
		return r.messageID(e.payload)
	}
	for _, c := range []struct {
		action, event string
		stable        bool
	}{
		{"incoming_chat", "_", true}, {"incoming_event", "SJ4K2R8WQ3_4", true}, {"event_deleted", "SJ4K2R8WQ3_4", true}, {"chat_deactivated", "_", true},
		{"event_updated", "SJ4K2R8WQ3_4", false}, {"thread_tagged", "_", false}, {"thread_untagged", "_", false},
		{"event_properties_updated", "SJ4K2R8WQ3_9", false}, {"user_added_to_chat", "_", false},
	} {
		file := "webhook." + c.action + ".v3.6.json"
		first, second := id(file), id(file)
		prefix := fmt.Sprintf("5f0b2c4e-7a1d-4c39-9f57-3d2a61b8e0c4:SJ4K2R8V0P:SJ4K2R8WQ3:%s:%s:", c.action, c.event)
		if !strings.HasPrefix(first, prefix) || (first == second) != c.stable {
			t.Errorf("%s: %s, %s", c.action, first, second)
		}
		if tail := strings.TrimPrefix(first, prefix); c.stable && len(tail) != 16 {
			t.Errorf("%s: %s", c.action, tail)
		}
	}
	// Blanks and the registration do not count, the payload does.
	a := `{"webhook_id":"1","action":"chat_deactivated","organization_id":"o","payload":{"chat_id":"c","thread_id":"t"}}`
	b := `{"webhook_id":"2", "action":"chat_deactivated","organization_id":"o", "payload": {"chat_id":"c", "thread_id":"t"}}`
	c := `{"webhook_id":"1","action":"chat_deactivated","organization_id":"o","payload":{"chat_id":"c","thread_id":"t","user_id":"u"}}`
	var ids []string
	for _, body := range []string{a, b, c} {
		e := read(t, body)
		r := e.route()
		ids = append(ids, r.messageID(e.payload))
	}
	if diff := cmp.Diff(ids[0], ids[1]); diff != "" || ids[0] == ids[2] {
		t.Errorf("%q", ids)
	}
}
