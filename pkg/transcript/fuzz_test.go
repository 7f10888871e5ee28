package transcript

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"autotag/pkg/livechat"
)

// Whatever a webhook holds, it is read without a fault, into facts that can be
// read again and that say the same however often they are told.
func FuzzRead(f *testing.F) {
	names, err := filepath.Glob("testdata/webhook.*.json")
	if err != nil || len(names) == 0 {
		f.Fatal(err, names)
	}
	for _, name := range names {
		body, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		w, err := livechat.ParseWebhook(body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(w.Action, []byte(w.Payload), []byte(w.Payload))
	}
	f.Fuzz(func(t *testing.T, action string, one, other []byte) {
		var facts []Fact
		for i, payload := range [][]byte{one, other} {
			p, err := livechat.ParsePayload(action, payload)
			if err != nil {
				continue
			}
			facts = append(facts, Read(key, action, p, sec(i)).Facts...)
			if p.Chat != nil {
				facts = append(facts, FromChat(key, new(Facts), *p.Chat, sec(i+10))...)
			}
		}
		set, twice := new(Facts), new(Facts)
		set.AddAll(facts)
		for i := range facts {
			if !json.Valid(facts[i].Value) {
				t.Fatalf("%s is %q", facts[i].Field, facts[i].Value)
			}
			twice.Add(facts[len(facts)-1-i])
			twice.Add(facts[i])
		}
		if r := Reduce(key, set); r.Unreadable != 0 || r.Gaps < 0 {
			t.Fatalf("unreadable %d, gaps %d", r.Unreadable, r.Gaps)
		}
		if diff := gocmp.Diff(whole(set), whole(twice)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// Facts come back from Redis, where anything may lie.
func FuzzAdd(f *testing.F) {
	for _, x := range start(1, message(1, maya, "x")).facts() {
		f.Add(x.Field, x.Meta, x.Value)
	}
	for _, x := range FromChat(key, factsOf(press(1, "T_5", "b0", true)), chatOf(message(1, maya, "a"), rich(5, "Billing")), noon) {
		f.Add(x.Field, x.Meta, x.Value)
	}
	f.Fuzz(func(t *testing.T, field string, meta bool, value []byte) {
		set := factsOf(start(1, message(1, maya, "x")), incoming(2, rich(5, "Billing")))
		set.Add(Fact{Field: field, Meta: meta, Value: value})
		Reduce(key, set).Readings(4)
		FromChat(key, set, chatOf(message(1, maya, "a"), rich(5, "Billing")), noon)
	})
}
