//go:build unix

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"autotag/pkg/livechat/livechattest"
	"autotag/pkg/stream"
)

// Whatever goes wrong, no secret and no text of people is told to anybody. The
// looking is done at the end of every world; this one makes all go wrong of
// which a program might speak.
func TestSecretsAndTextStayInside(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec{ingresses: 1, taggers: 1})
	w.createTags(tags...)

	// A token that is refused for a while, and answers that make no sense, with
	// what the call was about in them.
	w.platform.RevokeToken(organization)
	body := fmt.Sprintf(`{"error": {"type": "validation %[1]s", "message": "%[1]s %[2]s"}, "%[1]s": "%[2]s"}`, w.word, w.pat)
	w.platform.FailNext(3, "get_chat", livechattest.Fault{Status: http.StatusInternalServerError, Body: body})
	w.platform.FailNext(1, "get_chat", livechattest.Fault{Status: http.StatusOK, Body: "<html>" + w.word + w.pat})
	w.platform.FailNext(1, "", livechattest.Redirect("http://"+w.word+".invalid/"+w.pat))
	chats := w.traffic(2 * len(kinds))
	var sending [][]livechattest.Webhook
	for _, c := range chats {
		sending = append(sending, w.endFirst(c.hooks))
	}
	w.sendAll(sending)

	// Webhooks that are refused, or that nobody can use.
	post := func(want int, body string) {
		t.Helper()
		res, err := w.client.Post("http://"+w.ingress[0].env["INGRESS_ADDR"]+webhookPath, "application/json", strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s answers %d, want %d", body, res.StatusCode, want)
		}
	}
	webhook := func(secret, action, chat string) string {
		return fmt.Sprintf(`{"webhook_id": "1", "secret_key": %q, "action": %q, "organization_id": %q,
			"payload": {"chat_id": %q, "thread_id": "ST1", "event": {"id": "ST1_1", "type": "message", "text": %q}}}`,
			secret, action, organization, chat, w.word)
	}
	post(http.StatusOK, webhook(w.secret, "incoming_event", "a chat of "+w.word))
	post(http.StatusOK, webhook(w.secret, "never_heard_of", "SC1"))
	post(http.StatusOK, fmt.Sprintf(`{"secret_key": %q, "action": "incoming_event", "organization_id": %q, "payload": %q}`, w.secret, organization, w.word))
	post(http.StatusUnauthorized, webhook("not "+w.word, "incoming_event", "SC1"))
	post(http.StatusUnauthorized, webhook(w.secret+w.word, "incoming_event", "SC1"))
	post(http.StatusBadRequest, `{"secret_key": "`+w.secret+`", "`+w.word+`": `)
	post(http.StatusBadRequest, webhook(w.secret, "incoming_event", "SC1")+w.word)

	eventually(t, patience, func() error {
		for _, c := range w.platform.Calls() {
			if c.Type == "authentication" {
				return nil
			}
		}
		return fmt.Errorf("no call met the revoked token")
	})
	w.platform.RestoreToken(organization)
	w.drain()
	w.checkTags(expectations(chats))

	// The looking finds what is there.
	for _, name := range []string{stream.Events, stream.Dead} {
		found := false
		for _, m := range w.messages(name) {
			found = found || bytes.Contains(m.Data, []byte(w.word))
		}
		if !found {
			t.Errorf("no text of people in %s", name)
		}
	}
	if !w.redis.holds(w.word) {
		t.Error("no text of people in Redis")
	}
	for _, p := range w.programs() {
		if len(p.grep(`"level":"debug"`)) == 0 {
			t.Errorf("%s does not log at debug level", p.name)
		}
	}
	var record struct {
		Tags []struct{ Evidence []json.RawMessage }
	}
	evidence := 0
	for _, m := range w.messages(stream.Decisions) {
		if strings.HasPrefix(m.Subject, "autotag.decision.") {
			if err := json.Unmarshal(m.Data, &record); err != nil {
				t.Error(err)
			}
			for _, tag := range record.Tags {
				evidence += len(tag.Evidence)
			}
		}
	}
	if evidence == 0 {
		t.Error("no decision names its evidence")
	}
}
