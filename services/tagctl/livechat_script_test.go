package main

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"autotag/pkg/livechat/livechattest"
)

// platform is a LiveChat for the scripts, at LIVECHAT_API_URL: organization
// acme, with thread T1 of chat C1, and T2 of chat C2, of which nobody may read.
type platform struct {
	*livechattest.Platform
	url  string
	seen int // calls that the script knows of
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	p := &platform{Platform: livechattest.New(livechattest.Config{Seed: 1})}
	users := []livechattest.User{{ID: "u1", Type: "customer"}, {ID: "a1@example.com"}}
	for _, o := range []livechattest.Organization{
		{ID: "acme", AccountID: "account", PAT: "PAT-CANARY", Tokens: []string{"dal:TOKEN-CANARY"}},
		{ID: "narrow", AccountID: "account", PAT: "no-scope", Scopes: []string{"tags--all:ro"}},
		{ID: "closed", AccountID: "account", PAT: "no-group", Scopes: []string{"chats--access:ro"}, TokenGroups: []int{7}},
	} {
		if err := p.AddOrganization(o); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ org, chat, thread string }{{"acme", "C1", "T1"}, {"acme", "C2", "T2"}, {"closed", "C3", "T3"}} {
		if _, err := p.StartChat(c.org, livechattest.Chat{ID: c.chat, Users: users, Thread: livechattest.Thread{ID: c.thread, Events: []livechattest.Event{
			{Author: "u1", Text: "Hello TEXT-CANARY"}, {Author: "u1", Text: "a refund\x1b[2J please"}, {Author: "a1@example.com", Text: "A refund, certainly"},
		}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Restrict("T2", "history_limit"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

// calls checks how many calls there were since it was last asked, each of them
// of get_chat: calls N.
func (p *platform) calls(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	all := p.Calls()
	for _, c := range all[p.seen:] {
		if c.Method != "get_chat" {
			ts.Fatalf("a call of %s", c.Method)
		}
	}
	if got := len(all) - p.seen; got != want {
		ts.Fatalf("%d calls, want %d", got, want)
	}
	p.seen = len(all)
}

// spoil makes the next call go wrong: spoil HOW.
func (p *platform) spoil(ts *testscript.TestScript, neg bool, args []string) {
	fault, known := map[string]livechattest.Fault{
		"page":     livechattest.HTML(),
		"half":     {Status: http.StatusOK, Body: `{"id":"C1","thread":{"id":"T1","events":[{"id":"T1_1","type":"message","text":"TEXT-CANARY`},
		"other":    {Status: http.StatusOK, Body: `{"id":"C9","thread":{"id":"T9","events":[]}}`},
		"empty":    {Status: http.StatusOK, Body: `{}`},
		"redirect": livechattest.Redirect("http://127.0.0.1:1/"),
		"cut":      {Drop: true},
		"busy":     livechattest.TooManyRequests(0),
		"license":  livechattest.Refusal("license_expired"),
		"broken":   livechattest.Status(http.StatusInternalServerError),
	}[args[0]]
	if !known {
		ts.Fatalf("%s is not known", args[0])
	}
	p.FailNext(1, "", fault)
}
