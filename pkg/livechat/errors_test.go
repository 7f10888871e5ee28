package livechat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestErrorClasses covers every documented error type and what is read where
// the documentation is silent.
func TestErrorClasses(t *testing.T) {
	t.Parallel()
	const (
		temp = "temporary"
		acct = "token"
		perm = "permanent"
	)
	for _, tt := range []struct {
		typ    string
		status int
		want   string
	}{
		{"authentication", 401, acct},
		{"authorization", 403, acct},
		{"missing_access", 403, perm},
		{"validation", 400, perm},
		{"not_found", 404, perm},
		{"already_exists", 409, perm},
		{"group_not_found", 404, perm},
		{"limit_reached", 422, perm},
		{"chat_inactive", 422, perm},
		{"agent_offline", 422, perm},
		{"entity_too_large", 413, perm},
		{"license_expired", 403, acct},
		{"license_not_found", 404, acct},
		{"wrong_product_version", 400, acct},
		{"unsupported_version", 400, acct},
		{"misdirected_request", 421, acct},
		{"too_many_requests", 429, temp},
		{"request_timeout", 504, temp},
		{"service_unavailable", 503, temp},
		{"internal", 500, temp},

		// The type decides, not the status.
		{"validation", 500, perm},
		{"too_many_requests", 400, temp},
		{"missing_access", 401, perm},
		{"internal", 403, temp},

		// A type that is not documented leaves it to the status.
		{"ownership_transfer", 400, perm},
		{"something_new", 401, acct},
		{"something_new", 403, acct},
		{"something_new", 404, perm},
		{"something_new", 408, temp},
		{"something_new", 429, temp},
		{"something_new", 502, temp},

		// Not the platform's answer.
		{"", 0, temp},
		{"", 200, temp},
		{"", 302, temp},
		{"", 401, acct},
		{"", 403, acct},
		{"", 404, temp},
		{"", 502, temp},
	} {
		e := &Error{Method: methodTagThread, Type: tt.typ, Status: tt.status, cause: errNotJSON}
		got := perm
		switch {
		case e.Temporary() && e.Token():
			got = "both"
		case e.Temporary():
			got = temp
		case e.Token():
			got = acct
		}
		if got != tt.want {
			t.Errorf("type %q, status %d: %s, want %s", tt.typ, tt.status, got, tt.want)
		}
	}
}

// TestErrorSamples: each sample of an error is read as its type, and each has
// a class of its own.
func TestErrorSamples(t *testing.T) {
	t.Parallel()
	for _, name := range samples(t, "api.error.*.json") {
		want := strings.TrimSuffix(strings.TrimPrefix(name, "api.error."), ".json")
		if want == "validation_missing_param" {
			want = "validation"
		}
		e := &Error{Status: http.StatusTeapot}
		if err := e.read(sample(t, name), "application/json"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if e.Type != want {
			t.Errorf("%s: type %q", name, e.Type)
		}
		if _, ok := classes[want]; !ok {
			t.Errorf("%s has no class", want)
		}
		if want == typeMisdirected && e.Region != "fra" {
			t.Errorf("region %q", e.Region)
		}
	}
}

func TestTagAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		method, typ, message string
		already, notTagged   bool
	}{
		{"tag_thread", "already_exists", "Already exists", true, false},
		{"tag_thread", "already_exists", "", true, false},
		{"tag_thread", "validation", "Thread is already tagged", true, false},
		{"tag_thread", "validation", "tag ALREADY set", true, false},
		{"tag_thread", "validation", "Wrong format of request", false, false},
		{"tag_thread", "validation", "Tag does not exist", false, false},
		{"tag_thread", "not_found", "already", false, false},
		{"create_tag", "already_exists", "Already exists", false, false},
		{"untag_thread", "already_exists", "Already exists", false, false},
		{"untag_thread", "not_found", "Not found", false, true},
		{"untag_thread", "not_found", "", false, true},
		{"untag_thread", "validation", "Thread is not tagged with it", false, true},
		{"untag_thread", "validation", "Tag not found", false, true},
		{"untag_thread", "validation", "thread doesn't have this tag", false, true},
		{"untag_thread", "validation", "`tag` is required", false, false},
		{"untag_thread", "missing_access", "Not found", false, false},
		{"tag_thread", "not_found", "Not found", false, false},
		{"get_chat", "not_found", "Not found", false, false},
	} {
		body, err := json.Marshal(map[string]any{"error": map[string]string{"type": tt.typ, "message": tt.message}})
		if err != nil {
			t.Fatal(err)
		}
		e := &Error{Method: tt.method, Status: http.StatusBadRequest}
		if err := e.read(body, "application/json"); err != nil {
			t.Fatal(err)
		}
		if e.AlreadyTagged() != tt.already || e.IsNotTagged() != tt.notTagged {
			t.Errorf("%s: %s %q: already %v, not tagged %v", tt.method, tt.typ, tt.message, e.AlreadyTagged(), e.IsNotTagged())
		}
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]*Error{
		"tag_thread: too_many_requests (HTTP 429)":             {Method: "tag_thread", Type: "too_many_requests", Status: 429},
		"get_chat: misdirected_request (HTTP 421, region fra)": {Method: "get_chat", Type: "misdirected_request", Status: 421, Region: "fra"},
		"get_chat: answer is not JSON (HTTP 200)":              {Method: "get_chat", Status: 200, cause: errNotJSON},
		"get_chat: connection failed or answer is not HTTP":    {Method: "get_chat", cause: errTransport},
		"list_tags: no token: organization o is not installed": {Method: "list_tags", noToken: true, cause: errors.New("organization o is not installed")},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestTokenIsNeverShown(t *testing.T) {
	t.Parallel()
	token := Token{AccountID: "canary-account", PAT: "canary-pat", Access: "canary:access"}
	holder := struct {
		Token   Token
		Pointer *Token
		List    []Token
		Map     map[string]Token
	}{token, &token, []Token{token}, map[string]Token{"o": token}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		fmt.Fprintf(&out, verb+"\n", token)
		fmt.Fprintf(&out, verb+"\n", holder)
	}
	if err := json.NewEncoder(&out).Encode(holder); err != nil {
		t.Fatal(err)
	}
	out.WriteString(token.String())
	for _, encode := range []string{"%s", "%x", "%X"} {
		if canary := fmt.Sprintf(encode, "canary"); strings.Contains(out.String(), canary) {
			t.Errorf("token is shown:\n%s", out.String())
		}
	}
}

func TestTokenRegion(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		token Token
		want  string
	}{
		{Token{Access: "dal:abc"}, "dal"},
		{Token{Access: "fra-a:abc:d"}, "fra-a"},
		{Token{Access: "abc"}, ""},
		{Token{Access: ":abc"}, ""},
		{Token{Access: "no region\r\n:abc"}, ""},
		{Token{AccountID: "a", PAT: "dal:pat"}, ""},
	} {
		if got := tt.token.region(); got != tt.want {
			t.Errorf("region %q, want %q", got, tt.want)
		}
	}
}

// FuzzAnswer: no answer makes the reader panic, passes for both a success and
// an error, or brings free text into an error.
func FuzzAnswer(f *testing.F) {
	for _, name := range samples(f, "api.*.json") {
		f.Add(200, "application/json", sample(f, name))
		f.Add(400, "text/html", sample(f, name))
	}
	f.Fuzz(func(t *testing.T, status int, contentType string, body []byte) {
		e := &Error{Method: methodTagThread, Status: status}
		err := e.read(body, contentType)
		if e.Type != "" && !isErrorType(e.Type) || e.Region != "" && !isRegion(e.Region) {
			t.Fatalf("type %q, region %q", e.Type, e.Region)
		}
		if err != nil && e.Type != "" {
			t.Fatalf("type %q and %v", e.Type, err)
		}
		if err == nil && e.Type == "" && status != http.StatusOK && status != http.StatusNoContent {
			t.Fatalf("status %d is a success", status)
		}
	})
}
