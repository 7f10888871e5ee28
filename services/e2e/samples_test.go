//go:build unix

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"autotag/pkg/livechat/livechattest"
)

// samples are webhook bodies in the shapes of v3.6 and v3.3: what they lead to
// when they come alone between the start and the end of a chat.
var samples = map[string][]string{
	"chat_access_updated.v3.6":                       nil,
	"chat_deactivated.by_customer.v3.6":              nil,
	"chat_deactivated.by_router.v3.6":                nil,
	"chat_deactivated.v3.3":                          nil,
	"chat_deactivated.v3.6":                          nil,
	"chat_properties_deleted.v3.6":                   nil,
	"chat_properties_updated.v3.6":                   nil,
	"chat_transferred.queued.v3.3":                   nil,
	"chat_transferred.queued.v3.6":                   nil,
	"chat_transferred.v3.6":                          nil,
	"customer_session_fields_updated.v3.6":           nil,
	"event_deleted.v3.6":                             nil,
	"event_properties_deleted.v3.6":                  nil,
	"event_properties_updated.v3.6":                  nil,
	"event_updated.rich_message_toggle.v3.6":         nil,
	"event_updated.v3.3":                             {"refund", "other-card"},
	"event_updated.v3.6":                             {"refund", "other-card"},
	"events_marked_as_seen.v3.6":                     nil,
	"group_created.v3.6":                             nil,
	"group_deleted.v3.6":                             nil,
	"group_updated.v3.6":                             nil,
	"incoming_chat.bot_first.v3.6":                   {"refund", "charged-twice"},
	"incoming_chat.inactive_thread.v3.6":             {"refund", "charged-twice"},
	"incoming_chat.no_events.v3.6":                   nil,
	"incoming_chat.queued.v3.6":                      {"refund", "charged-twice"},
	"incoming_chat.resumed_next_thread.v3.6":         {"refund"},
	"incoming_chat.v3.3":                             {"refund", "charged-twice"},
	"incoming_chat.v3.6":                             {"refund", "charged-twice"},
	"incoming_event.custom.v3.6":                     nil,
	"incoming_event.file.v3.6":                       nil,
	"incoming_event.file_image.v3.6":                 nil,
	"incoming_event.filled_form.v3.6":                {"charged-twice"},
	"incoming_event.form.v3.6":                       nil,
	"incoming_event.message_agent.v3.6":              {"refund-issued"},
	"incoming_event.message_agents_only.v3.3":        {"threat"},
	"incoming_event.message_agents_only.v3.6":        {"threat"},
	"incoming_event.message_postback.v3.6":           {"refund", "pressed"},
	"incoming_event.message_translated.v3.6":         nil,
	"incoming_event.rich_message.v3.6":               nil,
	"incoming_event.rich_message_quick_replies.v3.6": nil,
	"incoming_event.system.v3.6":                     nil,
	"incoming_event.system_message.v3.6":             nil,
	"incoming_event.system_message_rating.v3.6":      nil,
	"incoming_event.v3.3":                            {"refund"},
	"incoming_event.v3.6":                            {"refund"},
	"incoming_rich_message_postback.ecommerce.v3.6":  nil,
	"incoming_rich_message_postback.v3.6":            nil,
	"routing_status_set.v3.6":                        nil,
	"tag_created.v3.6":                               nil,
	"tag_deleted.v3.6":                               nil,
	"tag_updated.v3.6":                               nil,
	"thread_properties_deleted.v3.6":                 nil,
	"thread_properties_updated.v3.6":                 nil,
	"thread_summary_set.v3.6":                        nil,
	"thread_tagged.v3.3":                             nil,
	"thread_tagged.v3.6":                             nil,
	"thread_untagged.v3.6":                           nil,
	"user_added_to_chat.v3.6":                        nil,
	"user_removed_from_chat.v3.6":                    nil,
}

// lives are whole chats made of samples, in their order.
var lives = []struct {
	what  string
	names []string
	tags  []string
	reads int // calls of get_chat that it may cost
}{
	{"complete", []string{
		"incoming_chat.v3.6", "incoming_event.v3.6", "incoming_event.message_agent.v3.6", "incoming_event.message_agents_only.v3.6",
		"chat_deactivated.v3.6",
	}, []string{"refund", "charged-twice", "refund-issued", "threat"}, 0},
	{"complete, old shape", []string{"incoming_chat.v3.3", "incoming_event.v3.3", "chat_deactivated.v3.3"}, []string{"refund", "charged-twice"}, 0},
	{"nothing to tag", []string{"incoming_chat.no_events.v3.6", "chat_deactivated.by_router.v3.6"}, nil, 0},
	{"a button pressed", []string{
		"incoming_chat.no_events.v3.6", "incoming_event.rich_message.v3.6", "incoming_rich_message_postback.v3.6", "chat_deactivated.v3.6",
	}, []string{"refund", "pressed"}, 1},
	{"offline message", []string{"incoming_chat.inactive_thread.v3.6"}, []string{"refund", "charged-twice"}, 1},
}

// sample reads a body, with ids of its own chat.
func (w *world) sample(name, id string) livechattest.Webhook {
	w.t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "webhooks", name+".json"))
	if err != nil {
		w.t.Fatal(err)
	}
	text := strings.NewReplacer("k3y-0f7d-demo-secret", w.secret, "SJ4K2R8", id, "SJ71QXB", id+"N", "SHT07M1", id+"P").Replace(string(body))
	return livechattest.Webhook{Action: name, Chat: id + "V0P", Body: []byte(text)}
}

// Every sample body that is posted leads to the calls of tag_thread that it
// should, and to no other.
func TestSamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/webhooks/*.json")
	if err != nil || len(files) != len(samples) {
		t.Fatalf("%d files for %d samples, %v", len(files), len(samples), err)
	}
	w := newWorld(t, spec{ingresses: 1, taggers: 1, rules: "samples.yaml", switches: livechattest.Switches{Adopt: true}})
	var sending [][]livechattest.Webhook
	var expected []expectation
	n := 0
	newID := func() string { n++; return fmt.Sprintf("SX%05d", n) }
	for name, tags := range samples {
		id := newID()
		version := name[len(name)-len("v3.6"):]
		hooks := []livechattest.Webhook{w.sample(name, id)}
		if !strings.HasPrefix(name, "incoming_chat") {
			hooks = slices.Insert(hooks, 0, w.sample("incoming_chat.no_events.v3.6", id))
		}
		if version == "v3.3" { // one organization has one shape
			hooks[0].Body = []byte(strings.Replace(string(hooks[0].Body), `"organization_id": "`+organization+`"`, fmt.Sprint(`"license_id": `, license), 1))
		}
		thread := id + "WQ3"
		if strings.Contains(name, "next_thread") {
			thread = id + "N9EF"
		}
		if !strings.HasPrefix(name, "chat_deactivated") && !strings.Contains(name, "inactive_thread") {
			end := w.sample("chat_deactivated."+version, id)
			end.Body = []byte(strings.ReplaceAll(string(end.Body), id+"WQ3", thread))
			hooks = append(hooks, end)
		}
		sending = append(sending, hooks)
		expected = append(expected, expectation{name, id + "V0P", thread, tags})
	}
	reads := map[string]int{}
	for _, l := range lives {
		id := newID()
		var hooks []livechattest.Webhook
		for _, name := range l.names {
			hooks = append(hooks, w.sample(name, id))
		}
		sending = append(sending, hooks)
		expected = append(expected, expectation{l.what, id + "V0P", id + "WQ3", l.tags})
		reads[id+"WQ3"] = l.reads
	}
	w.sendAll(sending)

	w.check(expected)

	calls := map[string][]string{}
	for _, c := range w.platform.Calls() {
		switch c.Method {
		case "tag_thread":
			calls[c.Chat+" "+c.Thread] = append(calls[c.Chat+" "+c.Thread], c.Tag)
		case "get_chat":
			if left, watched := reads[c.Thread]; watched && left == 0 {
				t.Errorf("get_chat of %s, which lacks nothing", c.Thread)
			} else if watched {
				reads[c.Thread]--
			}
		default:
			t.Errorf("unexpected call %+v", c)
		}
	}
	for _, e := range expected {
		key := e.chat + " " + e.thread
		slices.Sort(calls[key])
		slices.Sort(e.tags)
		if !slices.Equal(calls[key], e.tags) {
			t.Errorf("%s, %s: calls for %v, expected %v", e.what, key, calls[key], e.tags)
		}
		delete(calls, key)
	}
	for key, tags := range calls {
		t.Errorf("calls nobody asked for: %s %v", key, tags)
	}
}
