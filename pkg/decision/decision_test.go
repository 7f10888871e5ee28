package decision

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"autotag/pkg/rules"
)

func full() Record {
	return Record{
		V: Version, OrganizationID: "license-1", ChatID: "C", ThreadID: "T",
		DecidedAt: time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC), Reason: ReasonEnded, RulesVersion: "abc",
		Transcript: Transcript{Messages: 2, From: From{Redis: 1, Log: 2, API: 3}, Complete: true, Digest: "d", Seq: 7, Until: time.Date(2026, 6, 1, 8, 0, 0, 0, time.UTC)},
		Tags:       []rules.Hit{{Tag: "refund", Rule: "money", Evidence: []rules.Evidence{{EventID: "T_1", Author: "customer", Field: "text", Term: "refund*", Start: 1, End: 7}}}},
		Shadow:     []rules.Hit{},
		NearMisses: []rules.NearMiss{{Tag: "late", Rule: "late", Missing: "parcel"}},
		Skipped:    []rules.Skip{{Tag: "vip", Rule: "vip", Why: rules.WhyPersonSet}},
	}
}

// Other programs read the records: their JSON stays as it is.
func TestJSON(t *testing.T) {
	t.Parallel()
	for want, value := range map[string]any{
		`{"v":1,"organization_id":"license-1","chat_id":"C","thread_id":"T","decided_at":"2026-06-01T09:00:00Z","reason":"ended","rules_version":"abc",` +
			`"transcript":{"messages":2,"from":{"redis":1,"log":2,"api":3},"complete":true,"cut":false,"digest":"d","seq":7,"until":"2026-06-01T08:00:00Z"},` +
			`"tags":[{"tag":"refund","rule":"money","evidence":[{"event_id":"T_1","author":"customer","field":"text","term":"refund*","start":1,"end":7}]}],` +
			`"shadow":[],"near_misses":[{"tag":"late","rule":"late","missing":"parcel"}],"skipped":[{"tag":"vip","rule":"vip","why":"person_set"}]}`: full(),
		`{"decision_seq":9,"calls":[{"op":"tag","tag":"refund","state":"failed","attempt":2,"result":"too_many_requests"}]}`: Outcome{
			DecisionSeq: 9, Calls: []Call{{Op: Tag, Tag: "refund", State: Failed, Attempt: 2, Result: "too_many_requests"}}},
	} {
		got, err := json.Marshal(value)
		if err != nil || string(got) != want {
			t.Errorf("%s, %v, should be\n%s", got, err, want)
		}
	}
}

// A record that is too large loses what explains it, in order of worth, never a
// tag, and says how much is gone.
func TestTrim(t *testing.T) {
	t.Parallel()
	if r := full().Trim(256 << 10); r.More != 0 || len(r.NearMisses) != 1 {
		t.Errorf("a small record was cut: %+v", r)
	}
	r := full()
	r.NearMisses[0].Missing = strings.Repeat("x", 3000)
	if r = r.Trim(2000); r.More != 1 || len(r.NearMisses) != 0 || len(r.Skipped) != 1 || len(r.Tags[0].Evidence) != 1 {
		t.Errorf("near misses go first, and alone: %+v", r)
	}
	r = full()
	r.Tags[0].Evidence[0].Term = strings.Repeat("x", 3000)
	before := r.Tags[0].Evidence
	if r = r.Trim(2000); len(r.Tags) != 1 || r.Tags[0].More != 1 || len(r.Tags[0].Evidence) != 0 || r.More != 2 {
		t.Errorf("evidence goes last: %+v", r)
	}
	if len(before) != 1 {
		t.Error("the caller's record was changed")
	}
	if data, err := json.Marshal(r); err != nil || len(data) >= 2000 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}
