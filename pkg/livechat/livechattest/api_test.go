package livechattest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testOrg    = "5f0b2c4e-7a1d-4c39-9f57-3d2a61b8e0c4"
	testClient = "7d1e90c4b6a24f538c0e2a9b71f3d685"
	customer   = "2c8f1e5a-9b34-4d7e-8a61-0f5d3c7b9e20"
	agent      = "smith@example.com"
)

// rig is a platform behind a real server, with one organization and one chat.
type rig struct {
	*Platform
	t      *testing.T
	url    string
	chat   string
	thread string

	mu    sync.Mutex
	now   time.Time
	echos []Webhook
}

func newRig(t *testing.T, change func(*Config, *Organization)) *rig {
	t.Helper()
	r := &rig{t: t, now: time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC)}
	cfg := Config{Seed: 1, Now: r.clock, Sink: func(w Webhook) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.echos = append(r.echos, w)
	}}
	org := Organization{
		ID: testOrg, LicenseID: 15872341, Secret: "s3cret", AccountID: "account", PAT: "pat",
		Tokens: []string{"dal:token"}, ClientIDs: []string{testClient}, Groups: []int{3, 7},
	}
	if change != nil {
		change(&cfg, &org)
	}
	r.Platform = New(cfg)
	must(t, r.AddOrganization(org))
	for name, groups := range map[string][]int{"refund": {0, 3}, "vip": {0}, "billing": {3}, "lonely": nil} {
		if _, err := r.CreateTag(testOrg, name, groups...); err != nil {
			t.Fatal(err)
		}
	}
	hooks := r.do(r.StartChat(testOrg, Chat{
		Users:  []User{{ID: customer, Name: "Maya"}, {ID: agent}},
		Thread: Thread{Events: []Event{{Author: customer, Text: "I want a refund"}}},
	}))
	r.chat, r.thread = hooks[0].Chat, hooks[0].Thread
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) advance(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) do(hooks []Webhook, err error) []Webhook {
	r.t.Helper()
	must(r.t, err)
	return hooks
}

// call posts to a method; path is "agent/action/tag_thread" with an optional
// version before it.
type call struct {
	method, path, auth, body string
	header                   map[string]string
}

func (r *rig) send(c call) (int, http.Header, string) {
	r.t.Helper()
	if c.method == "" {
		c.method = http.MethodPost
	}
	if !strings.HasPrefix(c.path, "v") {
		c.path = "v3.6/" + c.path
	}
	req, err := http.NewRequest(c.method, r.url+"/"+c.path, strings.NewReader(c.body))
	must(r.t, err)
	req.Header.Set("Content-Type", "application/json")
	switch c.auth {
	case "":
		req.SetBasicAuth("account", "pat")
	case "none":
	default:
		req.Header.Set("Authorization", c.auth)
	}
	for name, value := range c.header {
		req.Header.Set(name, value)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	must(r.t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(r.t, err)
	return res.StatusCode, res.Header, string(body)
}

// ask calls a method and decodes its answer; a refusal comes back as its type.
func (r *rig) ask(method string, params object, into any) string {
	r.t.Helper()
	path := "configuration"
	if m := methods[method]; m.path != "" {
		path = m.path
	}
	_, _, body := r.send(call{path: path + "/action/" + method, body: string(encode(params))})
	var answer struct {
		Error struct{ Type string }
	}
	if json.Unmarshal([]byte(body), &answer) == nil && answer.Error.Type != "" {
		return answer.Error.Type
	}
	if into != nil {
		must(r.t, json.Unmarshal([]byte(body), into))
	}
	return ""
}

func (r *rig) tagging(tag string) object {
	return object{"chat_id": r.chat, "thread_id": r.thread, "tag": tag}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	const tagThread = "agent/action/tag_thread"
	good := `{"chat_id":"CHAT","thread_id":"THREAD","tag":"refund"}`
	for _, tc := range []struct {
		name   string
		change func(*Config, *Organization)
		call   call
		status int
		kind   string
	}{
		{name: "basic", call: call{path: tagThread, body: good}, status: 200},
		{name: "bearer", call: call{path: tagThread, body: good, auth: "Bearer dal:token"}, status: 200},
		{name: "version 3.7", call: call{path: "v3.7/" + tagThread, body: good}, status: 200},
		{name: "no token", call: call{path: tagThread, body: good, auth: "none"}, status: 401, kind: "authentication"},
		{name: "PAT as bearer", call: call{path: tagThread, body: good, auth: "Bearer pat"}, status: 401, kind: "authentication"},
		{name: "wrong PAT", call: call{path: tagThread, body: good, auth: "Basic YWNjb3VudDp4"}, status: 401, kind: "authentication"},
		{name: "GET", call: call{method: "GET", path: tagThread}, status: 405, kind: "validation"},
		{name: "gone version", call: call{path: "v3.3/" + tagThread, body: good}, status: 400, kind: "unsupported_version"},
		{name: "unknown method", call: call{path: "agent/action/tag_threads", body: good}, status: 404, kind: "not_found"},
		{name: "wrong half", call: call{path: "configuration/action/tag_thread", body: good}, status: 404, kind: "not_found"},
		{name: "tags before 3.5", call: call{path: "v3.4/configuration/action/list_tags", body: `{}`}, status: 404, kind: "not_found"},
		{name: "other path", call: call{path: "v3.6/agent/tag_thread", body: good}, status: 404, kind: "not_found"},
		{name: "no body", call: call{path: tagThread}, status: 400, kind: "validation"},
		{name: "array", call: call{path: tagThread, body: `[]`}, status: 400, kind: "validation"},
		{name: "null", call: call{path: tagThread, body: `null`}, status: 400, kind: "validation"},
		{name: "two documents", call: call{path: tagThread, body: good + good}, status: 400, kind: "validation"},
		{name: "content type", call: call{path: tagThread, body: good, header: map[string]string{"Content-Type": "text/plain"}},
			status: 400, kind: "validation"},
		{name: "too big", call: call{path: tagThread, body: strings.Repeat(" ", maxBody+1)}, status: 413, kind: "entity_too_large"},
		{name: "no thread", call: call{path: tagThread, body: `{"chat_id":"CHAT","tag":"refund"}`}, status: 400, kind: "validation"},
		{name: "tag is a number", call: call{path: tagThread, body: `{"chat_id":"CHAT","thread_id":"THREAD","tag":1}`}, status: 400, kind: "validation"},
		{name: "unknown chat", call: call{path: tagThread, body: `{"chat_id":"X","thread_id":"THREAD","tag":"refund"}`}, status: 404, kind: "not_found"},
		{name: "unknown thread", call: call{path: tagThread, body: `{"chat_id":"CHAT","thread_id":"X","tag":"refund"}`}, status: 404, kind: "not_found"},
		{name: "unknown tag", call: call{path: tagThread, body: `{"chat_id":"CHAT","thread_id":"THREAD","tag":"x"}`}, status: 400, kind: "validation"},
		{name: "tag in other case", call: call{path: tagThread, body: `{"chat_id":"CHAT","thread_id":"THREAD","tag":"Refund"}`}, status: 400, kind: "validation"},
		{name: "tag of another group", call: call{path: tagThread, body: `{"chat_id":"CHAT","thread_id":"THREAD","tag":"billing"}`}, status: 400, kind: "validation"},
		{name: "tag without groups", call: call{path: tagThread, body: `{"chat_id":"CHAT","thread_id":"THREAD","tag":"lonely"}`}, status: 400, kind: "validation"},
		{name: "no scope", change: func(_ *Config, o *Organization) { o.Scopes = []string{"chats--all:ro"} },
			call: call{path: tagThread, body: good}, status: 403, kind: "authorization"},
		{name: "rw includes ro", change: func(_ *Config, o *Organization) { o.Scopes = []string{"chats--access:rw"} },
			call: call{path: "agent/action/get_chat", body: good}, status: 200},
		{name: "token of another group", change: func(_ *Config, o *Organization) {
			o.Scopes, o.TokenGroups = []string{"chats--access:rw"}, []int{7}
		}, call: call{path: tagThread, body: good}, status: 403, kind: "missing_access"},
		{name: "wrong region", change: func(_ *Config, o *Organization) { o.Region = "fra" },
			call: call{path: tagThread, body: good}, status: 421, kind: "misdirected_request"},
		{name: "right region", change: func(_ *Config, o *Organization) { o.Region = "fra" },
			call: call{path: tagThread, body: good, header: map[string]string{"X-Region": "fra"}}, status: 200},
		{name: "region in the token", change: func(_ *Config, o *Organization) { o.Region, o.Tokens = "fra-a", []string{"fra-a:t"} },
			call: call{path: tagThread, body: good, auth: "Bearer fra-a:t"}, status: 200},
		{name: "status by switch", change: func(c *Config, _ *Organization) {
			c.Switches.ErrorStatus = 422
		}, call: call{path: tagThread, body: `{}`}, status: 422, kind: "validation"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, tc.change)
			tc.call.body = strings.NewReplacer("CHAT", r.chat, "THREAD", r.thread).Replace(tc.call.body)
			status, _, body := r.send(tc.call)
			var answer struct {
				Error struct {
					Type, Message string
					Data          struct{ Region string }
				}
			}
			must(t, json.Unmarshal([]byte(body), &answer))
			if status != tc.status || answer.Error.Type != tc.kind {
				t.Fatalf("got %d %q, want %d %q: %s", status, answer.Error.Type, tc.status, tc.kind, body)
			}
			if tc.kind == "misdirected_request" && answer.Error.Data.Region != "fra" {
				t.Errorf("no region in %s", body)
			}
			calls := r.Calls()
			if len(calls) != 1 || calls[0].Status != status || calls[0].Type != tc.kind || calls[0].Applied != (tc.kind == "") {
				t.Errorf("recorded %+v", calls)
			}
			if calls[0].Billed != (tc.call.auth != "none") {
				t.Errorf("billed: %+v", calls[0])
			}
		})
	}
}

func TestTaggingAndItsEcho(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	if status, _, body := r.send(call{path: "agent/action/tag_thread", body: string(encode(r.tagging("refund")))}); status != 200 || body != "{}" {
		t.Fatalf("got %d %s", status, body)
	}
	r.ask("tag_thread", r.tagging("refund"), nil) // again: 200, and no second echo
	if got := r.Tags(r.thread); !slices.Equal(got, []string{"refund"}) {
		t.Fatalf("tags %v", got)
	}
	r.ask("untag_thread", r.tagging("refund"), nil)
	if refused := r.ask("untag_thread", r.tagging("vip"), nil); refused != "" {
		t.Errorf("untagging what is not there: %s", refused)
	}
	var actions []string
	for _, e := range r.echos {
		actions = append(actions, e.Action)
		var body struct {
			SecretKey      string `json:"secret_key"`
			OrganizationID string `json:"organization_id"`
			Payload        struct {
				ThreadID string `json:"thread_id"`
				Tag      string
			}
		}
		must(t, json.Unmarshal(e.Body, &body))
		if body.SecretKey != "s3cret" || body.OrganizationID != testOrg || body.Payload.ThreadID != r.thread || body.Payload.Tag != "refund" {
			t.Errorf("echo %s", e.Body)
		}
	}
	if !slices.Equal(actions, []string{"thread_tagged", "thread_untagged"}) {
		t.Errorf("echos %v", actions)
	}
}

func TestSwitches(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.do(r.TagAsPerson(r.thread, "refund"))
	for _, tc := range []struct {
		name   string
		set    func(*Switches)
		method string
		tag    string
		want   string
	}{
		{"retag validation", func(s *Switches) { s.Retag = AnswerValidation }, "tag_thread", "refund", "validation"},
		{"retag exists", func(s *Switches) { s.Retag = AnswerAlreadyExists }, "tag_thread", "refund", "already_exists"},
		{"unknown not found", func(s *Switches) { s.UnknownTag = AnswerNotFound }, "tag_thread", "nope", "not_found"},
		{"mismatch access", func(s *Switches) { s.GroupMismatch = AnswerMissingAccess }, "tag_thread", "billing", "missing_access"},
		{"untag missing", func(s *Switches) { s.UntagMissing = AnswerNotFound }, "untag_thread", "vip", "not_found"},
		{"untag unknown", func(s *Switches) {}, "untag_thread", "nope", "validation"},
		{"no groups fit", func(s *Switches) { s.NoGroupsFitAll = true }, "tag_thread", "lonely", ""},
	} {
		r.SetSwitches(func(s *Switches) { *s = Switches{} })
		r.SetSwitches(tc.set)
		if got := r.ask(tc.method, r.tagging(tc.tag), nil); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
	r.do(r.Transfer(r.thread, []int{7}, agent))
	if got := r.ask("tag_thread", r.tagging("vip"), nil); got != "validation" {
		t.Errorf("group 0 fits group 7: %q", got)
	}
	r.SetSwitches(func(s *Switches) { s.GroupZeroFitsAll = true })
	if got := r.ask("tag_thread", r.tagging("vip"), nil); got != "" {
		t.Errorf("group 0 does not fit group 7: %q", got)
	}
}

// Threads and tags that the platform never heard of are taken as they come.
func TestAdopt(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	ask := func(method, chat, thread, tag, want string) {
		t.Helper()
		in := object{"chat_id": chat, "thread_id": thread}
		if tag != "" {
			in["tag"] = tag
		}
		if got := r.ask(method, in, nil); got != want {
			t.Errorf("%s %s %s %s: got %q, want %q", method, chat, thread, tag, got, want)
		}
	}
	ask("tag_thread", "SC1", "ST1", "refund", "not_found")
	r.SetSwitches(func(s *Switches) { s.Adopt = true })
	ask("tag_thread", "SC1", "ST1", "refund", "")
	ask("tag_thread", "SC1", "ST1", "never seen", "")
	ask("tag_thread", "SC1", "ST2", "vip", "")
	ask("untag_thread", "SC1", "ST2", "vip", "")
	ask("untag_thread", "SC1", "ST3", "vip", "")
	if got := r.Tags("ST1"); !slices.Equal(got, []string{"refund", "never seen"}) {
		t.Errorf("tags %v", got)
	}
	if got := r.Tags("ST2"); len(got) > 0 {
		t.Errorf("tags %v after untag_thread", got)
	}
	var actions []string
	for _, e := range r.echos {
		actions = append(actions, e.Action+" "+e.Thread)
	}
	if want := []string{"thread_tagged ST1", "thread_tagged ST1", "thread_tagged ST2", "thread_untagged ST2"}; !slices.Equal(actions, want) {
		t.Errorf("echos %v", actions)
	}
	// What is known keeps its rules.
	ask("tag_thread", "SC2", "ST1", "refund", "not_found")
	ask("tag_thread", "SC1", r.thread, "refund", "not_found")
	ask("tag_thread", "SC1", "ST1", "billing", "validation") // of another group
	ask("tag_thread", "SC1", "ST1", "Refund", "validation")
	ask("tag_thread", "SC1", "", "refund", "validation")
	// Nothing is known of an adopted thread but its tags.
	ask("get_chat", "SC1", "ST1", "", "not_found")
	if got := r.ask("list_threads", object{"chat_id": "SC1"}, nil); got != "not_found" {
		t.Errorf("list_threads: %q", got)
	}
	var archives struct {
		Found int `json:"found_chats"`
	}
	if got := r.ask("list_archives", object{}, &archives); got != "" || archives.Found != 0 {
		t.Errorf("list_archives: %q, %d chats", got, archives.Found)
	}
}

func TestTagsOfTheAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config, _ *Organization) { c.Switches.TagDelay = 2 * time.Minute })
	for _, tc := range []struct {
		method string
		params object
		want   string
	}{
		{"create_tag", object{"name": "REFUND"}, "already_exists"},
		{"create_tag", object{"name": ""}, "validation"},
		{"create_tag", object{"group_ids": []int{0}}, "validation"},
		{"create_tag", object{"name": "late", "group_ids": []int{99}}, "group_not_found"},
		{"create_tag", object{"name": "late", "group_ids": []int{0}}, ""},
		{"tag_thread", r.tagging("late"), "validation"}, // not known yet
		{"update_tag", object{"name": "Refund", "group_ids": []int{0}}, "not_found"},
		{"update_tag", object{"name": "billing", "group_ids": []int{0, 3}}, ""},
		{"delete_tag", object{"name": "VIP"}, "not_found"},
		{"delete_tag", object{"name": "vip"}, ""},
		{"list_tags", object{"filters": object{}}, "validation"},
	} {
		if got := r.ask(tc.method, tc.params, nil); got != tc.want {
			t.Errorf("%s %v: got %q, want %q", tc.method, tc.params, got, tc.want)
		}
	}
	r.advance(2 * time.Minute)
	if got := r.ask("tag_thread", r.tagging("late"), nil); got != "" {
		t.Errorf("after the delay: %q", got)
	}
	var tags []struct {
		Name     string
		GroupIDs []int `json:"group_ids"`
	}
	r.ask("list_tags", object{}, &tags)
	names := []string{}
	for _, g := range tags {
		names = append(names, g.Name)
		if g.GroupIDs == nil {
			t.Errorf("tag %s: group_ids is not a list", g.Name)
		}
	}
	if !slices.Equal(names, []string{"billing", "late", "lonely", "refund"}) {
		t.Errorf("tags %v", names)
	}
	r.ask("list_tags", object{"filters": object{"group_ids": []int{3}}}, &tags)
	if len(tags) != 2 {
		t.Errorf("tags of group 3: %v", tags)
	}
}

func TestTagQuota(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(_ *Config, o *Organization) { o.TagQuota = 4 })
	if got := r.ask("create_tag", object{"name": "fifth"}, nil); got != "limit_reached" {
		t.Errorf("got %q", got)
	}
}

func TestWebhookRegistrations(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	base := func(change object) object {
		o := object{
			"action": "incoming_event", "url": "https://tagger.example.com/webhooks/livechat", "secret_key": "k",
			"owner_client_id": testClient, "type": "license",
		}
		for name, value := range change {
			if value == nil {
				delete(o, name)
			} else {
				o[name] = value
			}
		}
		return o
	}
	for _, tc := range []struct {
		change object
		want   string
	}{
		{object{"action": "incoming_events"}, "validation"},
		{object{"action": "chat_access_granted"}, "validation"},
		{object{"secret_key": nil}, "validation"},
		{object{"url": nil}, "validation"},
		{object{"url": "https://x/" + strings.Repeat("a", 500)}, "validation"},
		{object{"type": "app"}, "validation"},
		{object{"owner_client_id": nil}, "validation"},
		{object{"owner_client_id": "other"}, "authorization"},
		{object{"additional_data": []string{"everything"}}, "validation"},
		{object{"filters": object{"author_type": "bot"}}, "validation"},
		{object{"filters": object{"agent_ids": []string{agent}}}, "validation"},
		{object{"action": "incoming_chat", "filters": object{"author_type": "agent"}}, "validation"},
		{object{"filters": object{"chat_presence": object{"user_ids": object{"values": []string{}, "exclude_values": []string{}}}}}, "validation"},
		{object{"filters": object{"source_type": []string{"everyone"}}}, "validation"},
		{object{"filters": object{"source_type": []string{"system"}}}, ""},
		{object{"description": "customers", "filters": object{"author_type": "customer"}}, ""},
		{object{"additional_data": []string{"chat_properties"}}, ""},
		{object{}, "limit_reached"}, // the fourth
	} {
		if got := r.ask("register_webhook", base(tc.change), nil); got != tc.want {
			t.Errorf("%v: got %q, want %q", tc.change, got, tc.want)
		}
	}
	var list []object
	r.ask("list_webhooks", object{"owner_client_id": testClient}, &list)
	if len(list) != 3 || list[1]["description"] != "customers" {
		t.Fatalf("list %v", list)
	}
	if _, there := list[0]["secret_key"]; there {
		t.Error("the secret is listed")
	}
	unregister := object{"id": list[0]["id"], "owner_client_id": testClient}
	if got := r.ask("unregister_webhook", unregister, nil); got != "" {
		t.Errorf("unregister: %q", got)
	}
	if got := r.ask("unregister_webhook", unregister, nil); got != "not_found" {
		t.Errorf("unregister again: %q", got)
	}
	if got := r.Registrations(testOrg); len(got) != 2 || got[0].Secret != "k" {
		t.Errorf("registrations %v", got)
	}
	if got := r.ask("list_webhooks", object{}, nil); got != "validation" {
		t.Errorf("list without client: %q", got)
	}
}

func TestLicenseWebhooks(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	client := object{"owner_client_id": testClient}
	state := func() bool {
		var s struct {
			On bool `json:"license_webhooks_enabled"`
		}
		if got := r.ask("get_license_webhooks_state", client, &s); got != "" {
			t.Fatal(got)
		}
		return s.On
	}
	if !state() {
		t.Error("off after installation")
	}
	r.ask("disable_license_webhooks", client, nil)
	if state() {
		t.Error("on after disabling")
	}
	r.ask("enable_license_webhooks", client, nil)
	if !state() {
		t.Error("off after enabling")
	}
	if got := r.ask("enable_license_webhooks", object{}, nil); got != "validation" {
		t.Errorf("a PAT without owner_client_id: %q", got)
	}
	if status, _, _ := r.send(call{path: "configuration/action/enable_license_webhooks", body: `{}`, auth: "Bearer dal:token"}); status != 200 {
		t.Errorf("a bearer token without owner_client_id: %d", status)
	}
	status, _, body := r.send(call{path: "configuration/action/list_webhook_names", body: `{"version":"3.3"}`, auth: "none"})
	if status != 200 || !strings.Contains(body, "chat_access_granted") || strings.Contains(body, "event_deleted") {
		t.Errorf("names of 3.3: %d %s", status, body)
	}
}

type gotThread struct {
	ID        string
	Active    bool
	CreatedAt time.Time `json:"created_at"`
	Events    []struct {
		ID        string
		CreatedAt time.Time `json:"created_at"`
		Text      *string
		Deleted   bool
	}
	Tags       *[]string
	Restricted string `json:"restricted_access"`
	Previous   string `json:"previous_thread_id"`
	Next       string `json:"next_thread_id"`
	Access     struct {
		GroupIDs []int `json:"group_ids"`
	}
}

type gotChat struct {
	ID     string
	Thread gotThread
}

func TestGetChat(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(_ *Config, o *Organization) { o.NormalRole = true })
	second := r.do(r.AddEvent(r.thread, Event{Author: customer, Text: "oops"}))[0].Event
	r.do(r.DeleteEvent(r.thread, second))
	r.do(r.Deactivate(r.thread, agent))
	next := r.do(r.ResumeChat(r.chat, Thread{}))[0].Thread

	var c gotChat
	r.ask("get_chat", object{"chat_id": r.chat}, &c)
	if c.Thread.ID != next || c.Thread.Previous != r.thread || !c.Thread.Active {
		t.Errorf("default thread: %+v", c.Thread)
	}
	if c.Thread.Tags != nil {
		t.Error("tags are present on an untagged thread")
	}
	c = gotChat{}
	r.ask("get_chat", object{"chat_id": r.chat, "thread_id": r.thread}, &c)
	if c.Thread.ID != r.thread || c.Thread.Next != next || c.Thread.Active {
		t.Errorf("first thread: %+v", c.Thread)
	}
	if e := c.Thread.Events[1]; e.ID != r.thread+"_2" || !e.Deleted || e.Text != nil {
		t.Errorf("deleted event: %+v", e)
	}
	must(t, r.Restrict(r.thread, "history_limit"))
	c = gotChat{}
	r.ask("get_chat", object{"chat_id": r.chat, "thread_id": r.thread}, &c)
	if c.Thread.Events != nil || c.Thread.Restricted == "" {
		t.Errorf("restricted thread: %+v", c.Thread)
	}
	if got := r.ask("get_chat", object{"chat_id": r.chat, "thread_id": "X"}, nil); got != "not_found" {
		t.Errorf("unknown thread: %q", got)
	}
}

func TestAdminSeesDeletedText(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.do(r.DeleteEvent(r.thread, r.thread+"_1"))
	var c gotChat
	r.ask("get_chat", object{"chat_id": r.chat}, &c)
	if e := c.Thread.Events[0]; !e.Deleted || e.Text == nil {
		t.Errorf("deleted event: %+v", e)
	}
}

func TestListArchives(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.do(r.Deactivate(r.thread, ""))
	ids := []string{r.thread}
	for i := range 24 {
		r.advance(time.Minute)
		w := r.do(r.StartChat(testOrg, Chat{
			Users:  []User{{ID: customer}},
			Thread: Thread{Inactive: true, Events: []Event{{Author: customer, Text: fmt.Sprint("number ", i)}}},
		}))
		ids = append(ids, w[0].Thread)
	}
	r.do(r.StartChat(testOrg, Chat{Users: []User{{ID: customer}}})) // open: not listed
	r.do(r.TagAsPerson(ids[3], "vip"))

	type listing struct {
		Chats []gotChat
		Found int    `json:"found_chats"`
		Next  string `json:"next_page_id"`
		Prev  string `json:"previous_page_id"`
	}
	var all []string
	var page listing
	r.ask("list_archives", object{"sort_order": "asc", "limit": 10}, &page)
	for {
		for _, c := range page.Chats {
			all = append(all, c.Thread.ID)
		}
		if page.Next == "" {
			break
		}
		next := page.Next
		page = listing{}
		if got := r.ask("list_archives", object{"page_id": next, "limit": 10}, nil); got != "validation" {
			t.Fatalf("page_id with limit: %q", got)
		}
		r.ask("list_archives", object{"page_id": next}, &page)
	}
	if !slices.Equal(all, ids) {
		t.Errorf("listed %v, want %v", all, ids)
	}
	if page.Prev == "" || page.Found != 25 {
		t.Errorf("last page %+v", page)
	}
	for _, tc := range []struct {
		params object
		want   int
		kind   string
	}{
		{object{}, 10, ""},
		{object{"limit": 100}, 25, ""},
		{object{"limit": 101}, 0, "validation"},
		{object{"limit": 0}, 0, "validation"},
		{object{"sort_order": "up"}, 0, "validation"},
		{object{"page_id": "nonsense"}, 0, "validation"},
		{object{"filters": object{"tags": object{"exists": true}}}, 1, ""},
		{object{"limit": 100, "filters": object{"tags": object{"exists": false}}}, 24, ""},
		{object{"filters": object{"tags": object{"exists": true, "values": []string{"vip"}}}}, 0, "validation"},
		{object{"filters": object{"tags": object{"values": []string{"vip"}}}}, 1, ""},
		{object{"limit": 100, "filters": object{"tags": object{"exclude_values": []string{"vip"}}}}, 24, ""},
		{object{"filters": object{"thread_ids": ids[:2]}}, 2, ""},
		{object{"filters": object{"thread_ids": ids[:21]}}, 0, "validation"},
		{object{"limit": 5, "filters": object{"thread_ids": ids[:2]}}, 0, "validation"},
		{object{"filters": object{"thread_ids": ids[:2], "query": "x"}}, 0, "validation"},
		{object{"filters": object{"chat_ids": []string{r.chat}}}, 1, ""},
		{object{"filters": object{"group_ids": []int{3}}}, 0, ""},
		{object{"filters": object{"query": "NUMBER 7"}}, 1, ""},
		{object{"filters": object{"from": "2026-06-01T09:20:00.000000+00:00"}}, 5, ""},
		{object{"filters": object{"from": "2026-06-01T11:20:00.000000+02:00", "to": "2026-06-01T09:21:00.000000+00:00"}}, 2, ""},
		{object{"filters": object{"from": "yesterday"}}, 0, "validation"},
		{object{"filters": object{"from": "2026-06-02T00:00:00Z", "to": "2026-06-01T00:00:00Z"}}, 0, "validation"},
		{object{"filters": object{"event_types": object{"values": []string{"system_message"}}}}, 1, ""},
		{object{"filters": object{"surveys": object{}}}, 0, "validation"},
	} {
		var page listing
		if got := r.ask("list_archives", tc.params, &page); got != tc.kind || len(page.Chats) != tc.want {
			t.Errorf("%v: got %q and %d, want %q and %d", tc.params, got, len(page.Chats), tc.kind, tc.want)
		}
	}
	var open listing
	r.SetSwitches(func(s *Switches) { s.ArchivesHaveOpen = true })
	r.ask("list_archives", object{"limit": 100}, &open)
	if open.Found != 26 {
		t.Errorf("with open threads: %d", open.Found)
	}
	r.SetSwitches(func(s *Switches) { s.ArchivesHaveOpen, s.ArchiveDelay = false, time.Hour })
	r.ask("list_archives", object{"limit": 100}, &open)
	if open.Found != 0 {
		t.Errorf("with a delay: %d", open.Found)
	}
}

func TestListThreads(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	ids := []string{r.thread}
	for range 4 {
		r.do(r.Deactivate(ids[len(ids)-1], agent))
		r.advance(time.Hour)
		ids = append(ids, r.do(r.ResumeChat(r.chat, Thread{}))[0].Thread)
	}
	type listing struct {
		Threads []gotThread
		Found   int    `json:"found_threads"`
		Next    string `json:"next_page_id"`
	}
	var page listing
	r.ask("list_threads", object{"chat_id": r.chat}, &page)
	if len(page.Threads) != 3 || page.Threads[0].ID != ids[4] || page.Found != 5 {
		t.Fatalf("default page: %+v", page)
	}
	next := listing{}
	r.ask("list_threads", object{"chat_id": r.chat, "page_id": page.Next}, &next)
	if len(next.Threads) != 2 || next.Threads[1].ID != ids[0] || next.Next != "" {
		t.Errorf("last page: %+v", next)
	}
	for _, tc := range []struct {
		params object
		want   int
		kind   string
	}{
		{object{"min_events_count": 1}, 2, ""}, // the open thread has none yet
		{object{"min_events_count": 1, "limit": 2}, 0, "validation"},
		{object{"min_events_count": 101}, 0, "validation"},
		{object{"filters": object{"from": "2026-06-01T12:00:00Z"}}, 2, ""},
		{object{"filters": object{"since": "2026-06-01T12:00:00Z"}}, 0, "validation"},
		{object{"page_id": page.Next, "sort_order": "asc"}, 0, "validation"},
	} {
		tc.params["chat_id"] = r.chat
		var page listing
		if got := r.ask("list_threads", tc.params, &page); got != tc.kind || len(page.Threads) != tc.want {
			t.Errorf("%v: got %q and %d, want %q and %d", tc.params, got, len(page.Threads), tc.kind, tc.want)
		}
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config, _ *Organization) {
		c.Switches.Rate, c.Switches.Burst, c.Switches.RetryAfter = 2, 2, 1500*time.Millisecond
	})
	try := func() (int, string) {
		status, header, _ := r.send(call{path: "configuration/action/list_tags", body: `{}`})
		return status, header.Get("Retry-After")
	}
	for range 2 {
		if status, _ := try(); status != 200 {
			t.Fatalf("status %d within the burst", status)
		}
	}
	if status, after := try(); status != 429 || after != "2" {
		t.Fatalf("got %d, Retry-After %q", status, after)
	}
	r.advance(500 * time.Millisecond)
	if status, _ := try(); status != 200 {
		t.Errorf("status %d after the pause", status)
	}
}

func TestTokenRevokedAndRestored(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.RevokeToken(testOrg)
	if got := r.ask("tag_thread", r.tagging("refund"), nil); got != "authentication" {
		t.Errorf("revoked: %q", got)
	}
	r.RestoreToken(testOrg)
	if got := r.ask("tag_thread", r.tagging("refund"), nil); got != "" {
		t.Errorf("restored: %q", got)
	}
}

func TestDeprecationHeaders(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for version, header := range map[string]string{"v3.4": "Deprecation", "v3.5": "Legacy"} {
		_, got, _ := r.send(call{path: version + "/agent/action/get_chat", body: string(encode(object{"chat_id": r.chat}))})
		if got.Get(header) == "" {
			t.Errorf("%s: no %s header", version, header)
		}
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		fault   Fault
		status  int
		applied bool
		check   func(http.Header, string) bool
	}{
		{"429", TooManyRequests(0), 429, false, func(h http.Header, b string) bool {
			return h.Get("Retry-After") == "" && strings.Contains(b, "too_many_requests")
		}},
		{"429 with Retry-After", TooManyRequests(3 * time.Second), 429, false, func(h http.Header, _ string) bool {
			return h.Get("Retry-After") == "3"
		}},
		{"503", Refusal("service_unavailable"), 503, false, nil},
		{"500", Refusal("internal"), 500, false, nil},
		{"502 without a body", Status(502), 502, false, nil},
		{"HTML", HTML(), 200, false, func(h http.Header, b string) bool { return h.Get("Content-Type") == "text/html" }},
		{"redirect", Redirect("https://elsewhere.example/"), 302, false, func(h http.Header, _ string) bool {
			return h.Get("Location") == "https://elsewhere.example/"
		}},
		{"huge", Huge(1 << 20), 200, false, func(_ http.Header, b string) bool { return len(b) == 1<<20+2 }},
		{"slow", Fault{Wait: time.Millisecond, Stall: time.Millisecond}, 200, true, nil},
		{"applied, then 500", Fault{Status: 500, Type: "internal", Apply: true}, 500, true, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			r.FailNext(1, "tag_thread", tc.fault)
			r.ask("get_chat", object{"chat_id": r.chat}, nil) // another method: untouched
			status, header, body := r.send(call{path: "agent/action/tag_thread", body: string(encode(r.tagging("refund")))})
			if status != tc.status || (len(r.Tags(r.thread)) == 1) != tc.applied {
				t.Errorf("got %d, tags %v", status, r.Tags(r.thread))
			}
			if tc.check != nil && !tc.check(header, body) {
				t.Errorf("answer %v %.100s", header, body)
			}
			calls := r.Calls()
			if c := calls[1]; c.Status != tc.status || c.Applied != tc.applied || c.Billed == (tc.status == 500) || c.Tag != "refund" {
				t.Errorf("recorded %+v", c)
			}
			if got := r.ask("tag_thread", r.tagging("vip"), nil); got != "" {
				t.Errorf("the call after the fault: %q", got)
			}
		})
	}
}

func TestHangsAndCuts(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]Fault{
		"hang then apply": HangThenApply(), "apply then hang": ApplyThenHang(), "apply then cut": ApplyThenCut(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			done := make(chan Call, 1)
			r := newRig(t, func(c *Config, _ *Organization) { c.OnCall = func(c Call) { done <- c } })
			r.SetHook(func(c Call) *Fault {
				if c.Thread != r.thread || c.Tag != "refund" {
					t.Errorf("hook asked about %+v", c)
				}
				return &fault
			})
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/v3.6/agent/action/tag_thread",
				strings.NewReader(string(encode(r.tagging("refund")))))
			must(t, err)
			req.SetBasicAuth("account", "pat")
			req.Header.Set("Content-Type", "application/json")
			if res, err := http.DefaultClient.Do(req); err == nil {
				res.Body.Close()
				t.Fatalf("answered %d", res.StatusCode)
			}
			c := <-done
			if c.Status != 0 {
				t.Errorf("recorded as answered: %+v", c)
			}
			if !c.Applied || !slices.Equal(r.Tags(r.thread), []string{"refund"}) {
				t.Errorf("not applied: %+v, tags %v", c, r.Tags(r.thread))
			}
		})
	}
}
