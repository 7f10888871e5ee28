package livechattest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Whatever a call's body is, the answer is the platform's JSON and never an
// internal error.
func FuzzCalls(f *testing.F) {
	names := slices.Sorted(maps.Keys(methods))
	for i := range names {
		f.Add(uint8(i), `{}`)
	}
	f.Add(uint8(0), `{"chat_id":"C","thread_id":"T","tag":"refund"}`)
	f.Add(uint8(8), `{"filters":{"tags":{"exists":true},"from":"2026-06-01T00:00:00Z","thread_ids":["T"]},"limit":1}`)
	f.Add(uint8(12), `{"action":"incoming_event","url":"https://x","secret_key":"k","owner_client_id":"`+testClient+`","type":"license","filters":{"chat_presence":{"user_ids":{"values":[]}}}}`)
	f.Fuzz(func(t *testing.T, method uint8, body string) {
		p := New(Config{Seed: 1})
		must(t, p.AddOrganization(Organization{ID: testOrg, AccountID: "a", PAT: "b", ClientIDs: []string{testClient}}))
		if _, err := p.CreateTag(testOrg, "refund", 0); err != nil {
			t.Fatal(err)
		}
		if _, err := p.StartChat(testOrg, Chat{ID: "C", Thread: Thread{ID: "T", Inactive: true}}); err != nil {
			t.Fatal(err)
		}
		name := names[int(method)%len(names)]
		r := httptest.NewRequest("POST", "/v3.6/"+methods[name].path+"/action/"+name, strings.NewReader(body))
		r.SetBasicAuth("a", "b")
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) || w.Code >= 500 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			for n := range 20 {
				if _, err := r.AddEvent(r.thread, Event{Author: customer, Text: fmt.Sprint(i, n)}); err != nil {
					t.Error(err)
				}
				if refused := r.ask("tag_thread", r.tagging("vip"), nil); refused != "" {
					t.Error(refused)
				}
				if refused := r.ask("get_chat", object{"chat_id": r.chat}, nil); refused != "" {
					t.Error(refused)
				}
				r.ask("untag_thread", r.tagging("vip"), nil)
			}
		})
	}
	work.Wait()
	var c gotChat
	r.ask("get_chat", object{"chat_id": r.chat}, &c)
	if len(c.Thread.Events) != 1+8*20 || len(r.Calls()) != 8*20*3+1 {
		t.Errorf("%d events, %d calls", len(c.Thread.Events), len(r.Calls()))
	}
}

func TestOnlyTheNewestCallsAreKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config, _ *Organization) { c.KeepCalls = 2 })
	for _, tag := range []string{"refund", "vip", "refund"} {
		r.ask("tag_thread", r.tagging(tag), nil)
	}
	if calls := r.Calls(); len(calls) != 2 || calls[0].Tag != "vip" || calls[1].Tag != "refund" {
		t.Errorf("calls %+v", calls)
	}
}
