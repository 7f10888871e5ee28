package livechat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var pat = Token{AccountID: "acc", PAT: "pat-canary"}

// request is what a server has seen of a call.
type request struct {
	method, path, auth, region, contentType, body string
}

func seen(r *http.Request) request {
	body, _ := io.ReadAll(r.Body)
	return request{r.Method, r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("X-Region"), r.Header.Get("Content-Type"), string(body)}
}

// newClient returns a client of a server with the handler.
func newClient(t *testing.T, handler http.HandlerFunc, change ...func(*Options)) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	o := Options{BaseURL: server.URL, Token: func(context.Context, string) (Token, error) { return pat, nil }}
	for _, f := range change {
		f(&o)
	}
	c := New(o)
	t.Cleanup(c.Close)
	return c
}

func withToken(token Token) func(*Options) {
	return func(o *Options) { o.Token = func(context.Context, string) (Token, error) { return token, nil } }
}

func answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// failure returns the *Error of a call that must have failed.
func failure(t *testing.T, err error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("not an *Error: %v", err)
	}
	return e
}

func TestRequests(t *testing.T) {
	t.Parallel()
	const patAuth = "Basic YWNjOnBhdC1jYW5hcnk=" // acc:pat-canary
	ctx := context.Background()
	tagging := `{"chat_id":"C1","thread_id":"T1","tag":"Refund \u003c50€"}`
	for _, tt := range []struct {
		name   string
		token  Token
		answer string
		call   func(*Client) error
		want   request
	}{
		{"tag", pat, `{}`, func(c *Client) error { return c.TagThread(ctx, "o", "C1", "T1", "Refund <50€") },
			request{path: "/v3.6/agent/action/tag_thread", auth: patAuth, body: tagging}},
		{"tag, empty answer", pat, ``, func(c *Client) error { return c.TagThread(ctx, "o", "C1", "T1", "Refund <50€") },
			request{path: "/v3.6/agent/action/tag_thread", auth: patAuth, body: tagging}},
		{"untag by bearer", Token{Access: "fra:abc"}, `{}`, func(c *Client) error { return c.UntagThread(ctx, "o", "C1", "T1", "Refund <50€") },
			request{path: "/v3.6/agent/action/untag_thread", auth: "Bearer fra:abc", region: "fra", body: tagging}},
		{"get_chat", pat, `{"id":"C1","thread":{"id":"T1"}}`, func(c *Client) error { _, err := c.GetChat(ctx, "o", "C1", "T1"); return err },
			request{path: "/v3.6/agent/action/get_chat", auth: patAuth, body: `{"chat_id":"C1","thread_id":"T1"}`}},
		{"get_chat, latest thread", pat, `{"id":"C1","thread":{"id":"T9"}}`, func(c *Client) error { _, err := c.GetChat(ctx, "o", "C1", ""); return err },
			request{path: "/v3.6/agent/action/get_chat", auth: patAuth, body: `{"chat_id":"C1"}`}},
		{"list_tags", pat, `[]`, func(c *Client) error { _, err := c.ListTags(ctx, "o"); return err },
			request{path: "/v3.6/configuration/action/list_tags", auth: patAuth, body: `{}`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan request, 2)
			c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				got <- seen(r)
				answer(200, "application/json; charset=utf-8", tt.answer)(w, r)
			}, withToken(tt.token))
			if err := tt.call(c); err != nil {
				t.Fatal(err)
			}
			tt.want.method, tt.want.contentType = http.MethodPost, "application/json"
			if diff := cmp.Diff(tt.want, <-got, cmp.AllowUnexported(request{})); diff != "" {
				t.Error(diff)
			}
			if len(got) != 0 {
				t.Error("more than one request")
			}
		})
	}
}

func TestOptionsDefaults(t *testing.T) {
	t.Parallel()
	c := New(Options{})
	if c.base != "https://api.livechatinc.com/v3.6/" || c.timeout != 16*time.Second {
		t.Errorf("base %q, timeout %v", c.base, c.timeout)
	}
	if c := New(Options{BaseURL: "http://x/", Version: "3.7"}); c.base != "http://x/v3.7/" {
		t.Errorf("base %q", c.base)
	}
}

func TestGetChatAndListTags(t *testing.T) {
	t.Parallel()
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		name := "api.get_chat.response.v3.6.json"
		if strings.HasSuffix(r.URL.Path, "list_tags") {
			name = "api.list_tags.response.v3.6.json"
		}
		answer(200, "application/json", string(sample(t, name)))(w, r)
	})
	chat, err := c.GetChat(context.Background(), orgID, chatID, threadID)
	if err != nil {
		t.Fatal(err)
	}
	var want Chat
	if err := json.Unmarshal(sample(t, "api.get_chat.response.v3.6.json"), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, chat); diff != "" {
		t.Error(diff)
	}
	tags, err := c.ListTags(context.Background(), orgID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Tag{{"refund", []int{0, 3}}, {"Shipping", []int{0}}, {"spam", []int{0}}, {"vip", nil}}, tags); diff != "" {
		t.Error(diff)
	}
}

// TestPlatformErrors answers with every sample of an error.
func TestPlatformErrors(t *testing.T) {
	t.Parallel()
	for _, name := range samples(t, "api.error.*.json") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				answer(http.StatusTeapot, "application/json", string(sample(t, name)))(w, r)
			})
			want := strings.TrimSuffix(strings.TrimPrefix(name, "api.error."), ".json")
			wantCalls := int32(1)
			switch want {
			case "validation_missing_param":
				want = "validation"
			case "misdirected_request":
				wantCalls = 2
			}
			_, err := c.GetChat(context.Background(), orgID, chatID, threadID)
			e := failure(t, err)
			if e.Type != want || e.Status != http.StatusTeapot || e.Method != "get_chat" || e.RetryAfter != 0 {
				t.Errorf("%+v", *e)
			}
			if calls.Load() != wantCalls {
				t.Errorf("%d calls", calls.Load())
			}
		})
	}
}

// TestUnusableAnswers: none of them may pass for a success.
func TestUnusableAnswers(t *testing.T) {
	t.Parallel()
	const object, html = "application/json", "text/html"
	half := string(sample(t, "api.get_chat.response.v3.6.json"))
	for _, tt := range []struct {
		name    string
		call    string
		handler http.HandlerFunc
		status  int
		typ     string
		cause   error
	}{
		{"HTML 200", "tag", answer(200, html, "<html>{}</html>"), 200, "", errNotJSON},
		{"HTML that is JSON", "tag", answer(200, html, "{}"), 200, "", errNotJSON},
		{"text", "tag", answer(200, "text/plain", "ok"), 200, "", errNotJSON},
		{"HTML, said to be JSON", "tag", answer(200, object, "<html>"), 200, "", errNotJSON},
		{"array", "tag", answer(200, object, "[]"), 200, "", errOther},
		{"null", "tag", answer(200, object, "null"), 200, "", errOther},
		{"blanks", "tag", answer(200, object, " "), 200, "", errNotJSON},
		{"error in a 200", "tag", answer(200, object, `{"error":{"type":"validation"}}`), 200, "validation", nil},
		{"untyped error in a 200", "tag", answer(200, object, `{"error":"broken"}`), 200, "", errNoType},
		{"accepted", "tag", answer(202, object, "{}"), 202, "", errNoType},
		{"HTML 502", "tag", answer(502, html, "<html>"), 502, "", errNotJSON},
		{"empty 503", "tag", answer(503, "", ""), 503, "", errNotJSON},
		{"JSON without a type", "tag", answer(401, object, `{"message":"Unauthorized"}`), 401, "", errNoType},
		{"type is free text", "tag", answer(400, object, `{"error":{"type":"You said: refund"}}`), 400, "", errNoType},
		{"error as text/plain", "tag", answer(403, "text/plain", `{"error":{"type":"authorization"}}`), 403, "authorization", nil},
		{"redirect", "tag", func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "elsewhere") {
				answer(200, object, "{}")(w, r)
				return
			}
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, 307, "", errRedirect},
		{"redirect with JSON", "tag", answer(302, object, `{}`), 302, "", errRedirect},
		{"65 KiB", "tag", answer(200, object, `{"a":"`+strings.Repeat("a", 65<<10)+`"}`), 200, "", errTooLarge},
		{"17 MiB", "get", answer(200, object, `{"a":"`+strings.Repeat("a", 17<<20)+`"}`), 200, "", errTooLarge},
		{"half a JSON", "get", answer(200, object, half[:len(half)/2]), 200, "", errNotJSON},
		{"cut connection", "get", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100000")
			answer(200, object, half[:len(half)/2])(w, r)
		}, 200, "", io.ErrUnexpectedEOF},
		{"empty chat", "get", answer(200, object, `{}`), 200, "", errOther},
		{"no chat", "get", answer(200, object, ``), 200, "", errOther},
		{"another chat", "get", answer(200, object, `{"id":"X","thread":{"id":"`+threadID+`"}}`), 200, "", errOther},
		{"another thread", "get", answer(200, object, `{"id":"`+chatID+`","thread":{"id":"X"}}`), 200, "", errOther},
		{"no thread", "get", answer(200, object, `{"id":"`+chatID+`"}`), 200, "", errOther},
		{"array for a chat", "get", answer(200, object, `[]`), 200, "", errOther},
		{"object for tags", "list", answer(200, object, `{}`), 200, "", errOther},
		{"empty for tags", "list", answer(200, object, ``), 200, "", errOther},
		{"connection dropped", "tag", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, "", io.EOF},
		{"not HTTP", "tag", func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = io.WriteString(conn, "you said: text-canary\r\n\r\n")
			_ = conn.Close()
		}, 0, "", errTransport},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, tt.handler)
			var err error
			switch tt.call {
			case "tag":
				err = c.TagThread(context.Background(), orgID, chatID, threadID, "refund")
			case "get":
				_, err = c.GetChat(context.Background(), orgID, chatID, threadID)
			case "list":
				_, err = c.ListTags(context.Background(), orgID)
			}
			e := failure(t, err)
			if e.Status != tt.status || e.Type != tt.typ || !errors.Is(err, tt.cause) && tt.cause != nil {
				t.Errorf("status %d, type %q, %v", e.Status, e.Type, e)
			}
			if tt.typ == "" && tt.status != 401 && !e.Temporary() {
				t.Errorf("%v is not temporary", e)
			}
		})
	}
}

func TestNoContentIsSuccess(t *testing.T) {
	t.Parallel()
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	if err := c.TagThread(context.Background(), orgID, chatID, threadID, "refund"); err != nil {
		t.Error(err)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 1, 9, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "300": maxRetryAfter, "301": maxRetryAfter, "99999999999999999999": 0,
		"-5": 0, "soon": 0, "1.5": 0,
		"Mon, 01 Jun 2026 09:00:30 GMT": 30 * time.Second,
		"Mon, 01 Jun 2026 08:00:00 GMT": 0,
		"Tue, 02 Jun 2026 09:00:00 GMT": maxRetryAfter,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "12")
		answer(http.StatusTooManyRequests, "application/json", string(sample(t, "api.error.too_many_requests.json")))(w, r)
	})
	e := failure(t, c.TagThread(context.Background(), orgID, chatID, threadID, "refund"))
	if e.RetryAfter != 12*time.Second || e.Type != "too_many_requests" || !e.Temporary() {
		t.Errorf("%+v", *e)
	}
}

func TestSlowAnswer(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"no header": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice the end
			<-r.Context().Done()
		},
		"no body": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "{")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, handler, func(o *Options) { o.Timeout = 100 * time.Millisecond })
			err := c.TagThread(context.Background(), orgID, chatID, threadID, "refund")
			if e := failure(t, err); !errors.Is(err, context.DeadlineExceeded) || !e.Temporary() || e.Type != "" {
				t.Errorf("%+v", *e)
			}
		})
	}
}

func TestCanceled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	c := newClient(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
	})
	err := c.TagThread(ctx, orgID, chatID, threadID, "refund")
	if e := failure(t, err); !errors.Is(err, context.Canceled) || e.Status != 0 {
		t.Errorf("%+v", *e)
	}
}

func TestNoServer(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	c := newClient(t, nil, func(o *Options) { o.BaseURL = server.URL })
	err := c.TagThread(context.Background(), orgID, chatID, threadID, "refund")
	var op *net.OpError
	if e := failure(t, err); !errors.As(err, &op) || !e.Temporary() || e.Status != 0 {
		t.Errorf("%+v", *e)
	}
	c = newClient(t, nil, func(o *Options) { o.BaseURL = "http://\x7f" })
	if e := failure(t, c.TagThread(context.Background(), orgID, chatID, threadID, "refund")); e.Status != 0 {
		t.Errorf("%+v", *e)
	}
}

func TestUntrustedCertificate(t *testing.T) {
	t.Parallel()
	var called atomic.Bool
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called.Store(true) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	c := newClient(t, nil, func(o *Options) { o.BaseURL = server.URL })
	err := c.TagThread(context.Background(), orgID, chatID, threadID, "refund")
	if e := failure(t, err); e.Status != 0 || !strings.Contains(err.Error(), "certificate") || called.Load() {
		t.Errorf("%v, called %v", err, called.Load())
	}
}

func TestTokenLookup(t *testing.T) {
	t.Parallel()
	gone := errors.New("not installed")
	c := newClient(t, func(http.ResponseWriter, *http.Request) { t.Error("called without a token") }, func(o *Options) {
		o.Token = func(ctx context.Context, org string) (Token, error) {
			if org != orgID {
				t.Errorf("token of %q", org)
			}
			return Token{}, errors.Join(gone, ctx.Err())
		}
	})
	err := c.TagThread(context.Background(), orgID, chatID, threadID, "refund")
	if e := failure(t, err); !e.Token() || e.Temporary() || !errors.Is(err, gone) {
		t.Errorf("%+v", *e)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err = c.TagThread(ctx, orgID, chatID, threadID, "refund")
	if e := failure(t, err); e.Token() || !e.Temporary() {
		t.Errorf("%+v", *e)
	}
}

func TestUnusableTokens(t *testing.T) {
	t.Parallel()
	for _, token := range []Token{{}, {PAT: "canary"}, {AccountID: "canary"}, {Access: "canary\n"}, {Access: "can ary"}, {Access: "canary\x7f"}, {Access: "canaryé"}} {
		c := newClient(t, func(http.ResponseWriter, *http.Request) { t.Error("called") }, withToken(token))
		err := c.TagThread(context.Background(), orgID, chatID, threadID, "refund")
		if e := failure(t, err); !e.Token() || strings.Contains(err.Error(), "canary") {
			t.Errorf("%v", e)
		}
	}
}

// regional answers as the platform does: 200 in the home region, elsewhere
// misdirected_request with the region to go to.
func regional(home string, next func(region string) string, calls *[]string) http.HandlerFunc {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) {
		region := r.Header.Get("X-Region")
		mu.Lock()
		*calls = append(*calls, region)
		mu.Unlock()
		if region == home {
			answer(200, "application/json", "{}")(w, r)
			return
		}
		answer(421, "application/json", fmt.Sprintf(`{"error":{"type":"misdirected_request","message":"m","data":{"region":%q}}}`, next(region)))(w, r)
	}
}

func TestRegions(t *testing.T) {
	t.Parallel()
	tag := func(c *Client, org string) error {
		return c.TagThread(context.Background(), org, chatID, threadID, "refund")
	}
	check := func(t *testing.T, got []string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	t.Run("learned per organization", func(t *testing.T) {
		t.Parallel()
		var calls []string
		c := newClient(t, regional("fra", func(string) string { return "fra" }, &calls))
		for _, org := range []string{"a", "a", "b", "a"} {
			if err := tag(c, org); err != nil {
				t.Fatal(err)
			}
		}
		check(t, calls, "", "fra", "fra", "", "fra", "fra")
	})
	t.Run("learned over the token's", func(t *testing.T) {
		t.Parallel()
		var calls []string
		c := newClient(t, regional("fra-b", func(string) string { return "fra-b" }, &calls), withToken(Token{Access: "dal:x"}))
		for range 2 {
			if err := tag(c, "a"); err != nil {
				t.Fatal(err)
			}
		}
		check(t, calls, "dal", "fra-b", "fra-b")
	})
	t.Run("loop", func(t *testing.T) {
		t.Parallel()
		var calls []string
		c := newClient(t, regional("nowhere", func(region string) string { return region + "x" }, &calls), withToken(Token{Access: "dal:x"}))
		for range 2 {
			e := failure(t, tag(c, "a"))
			if e.Type != "misdirected_request" || e.Region != "dalxx" || !e.Token() {
				t.Errorf("%+v", *e)
			}
		}
		check(t, calls, "dal", "dalx", "dal", "dalx")
	})
	t.Run("same region named", func(t *testing.T) {
		t.Parallel()
		var calls []string
		c := newClient(t, regional("nowhere", func(string) string { return "dal" }, &calls), withToken(Token{Access: "dal:x"}))
		failure(t, tag(c, "a"))
		check(t, calls, "dal")
	})
	t.Run("no region named", func(t *testing.T) {
		t.Parallel()
		var calls []string
		c := newClient(t, regional("nowhere", func(string) string { return "\r\nX-Evil: 1" }, &calls))
		if e := failure(t, tag(c, "a")); e.Region != "" {
			t.Errorf("%+v", *e)
		}
		check(t, calls, "")
	})
	t.Run("moved", func(t *testing.T) {
		t.Parallel()
		var calls []string
		home := "fra"
		c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
			regional(home, func(string) string { return home }, &calls)(w, r)
		})
		if err := tag(c, "a"); err != nil {
			t.Fatal(err)
		}
		home = "dal"
		for range 2 {
			if err := tag(c, "a"); err != nil {
				t.Fatal(err)
			}
		}
		check(t, calls, "", "fra", "fra", "dal", "dal")
	})
}

func TestNotices(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	var mu sync.Mutex
	got := map[string]int{}
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		switch i := n.Add(1); {
		case i <= 10:
			w.Header().Set("Legacy", "2026-12-01")
		case i <= 12:
			w.Header().Set("Deprecation", "2027-01-01")
			w.Header().Set("Legacy", "2026-12-02")
		default:
			w.Header().Set("Legacy", fmt.Sprintf("%d", i))
		}
		answer(200, "application/json", "{}")(w, r)
	}, func(o *Options) {
		o.OnNotice = func(header, value string) {
			mu.Lock()
			defer mu.Unlock()
			got[header+" "+value]++
		}
	})
	tag := func() {
		if err := c.TagThread(context.Background(), orgID, chatID, threadID, "refund"); err != nil {
			t.Error(err)
		}
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(tag)
	}
	wg.Wait()
	for range 2 {
		tag()
	}
	want := map[string]int{"Legacy 2026-12-01": 1, "Legacy 2026-12-02": 1, "Deprecation 2027-01-01": 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for range 2 * maxNotices {
		tag()
	}
	if len(got) != maxNotices {
		t.Errorf("%d distinct notices", len(got))
	}
}

// TestNothingLeaks lets the server send back all that it got, in every place an
// answer has, and looks for it in the errors.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	const secret, text = "token-canary", "text-canary"
	token := Token{Access: "dal:" + secret}
	echo := func(r *http.Request) string {
		q := seen(r)
		return q.auth + " " + q.body
	}
	quote := func(s string) string {
		b, _ := json.Marshal(s)
		return string(b)
	}
	for name, handler := range map[string]http.HandlerFunc{
		"message": func(w http.ResponseWriter, r *http.Request) {
			answer(400, "application/json", `{"error":{"type":"validation","message":`+quote(echo(r))+`}}`)(w, r)
		},
		"type": func(w http.ResponseWriter, r *http.Request) {
			answer(400, "application/json", `{"error":{"type":`+quote(echo(r))+`}}`)(w, r)
		},
		"region": func(w http.ResponseWriter, r *http.Request) {
			answer(421, "application/json", `{"error":{"type":"misdirected_request","data":{"region":`+quote(echo(r))+`}}}`)(w, r)
		},
		"page":         func(w http.ResponseWriter, r *http.Request) { answer(502, "text/html", echo(r))(w, r) },
		"content type": func(w http.ResponseWriter, r *http.Request) { answer(200, echo(r), "x")(w, r) },
		"location": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://example.invalid/?"+secret+text)
			w.WriteHeader(http.StatusFound)
		},
		"status line": func(w http.ResponseWriter, r *http.Request) {
			said := echo(r)
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 9x9 "+said+"\r\n\r\n")
			_ = conn.Close()
		},
		"header line": func(w http.ResponseWriter, r *http.Request) {
			said := echo(r)
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+strings.ReplaceAll(said, ":", " ")+"\r\n\r\n")
			_ = conn.Close()
		},
		"no answer": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, handler, withToken(token))
			err := c.TagThread(context.Background(), orgID, chatID, threadID, text)
			e := failure(t, err)
			said := fmt.Sprintf("%v\n%+v\n%#v\n%q\n", err, err, err, err)
			for cause := error(e); cause != nil; cause = errors.Unwrap(cause) {
				said += fmt.Sprintf("%v\n%+v\n%#v\n", cause, cause, cause)
			}
			for _, canary := range []string{secret, text, threadID} {
				if strings.Contains(said, canary) {
					t.Errorf("%s is in the error:\n%s", canary, said)
				}
			}
		})
	}
}

// TestConnectionsAreReused: one connection serves calls one after the other.
func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(answer(200, "application/json", "{}"))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	c := newClient(t, nil, func(o *Options) { o.BaseURL = server.URL })
	for range 20 {
		if err := c.TagThread(context.Background(), orgID, chatID, threadID, "refund"); err != nil {
			t.Fatal(err)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// What Content-Type a success carries is undocumented: the document counts.
func TestSuccessOfAnyContentType(t *testing.T) {
	t.Parallel()
	for _, contentType := range []string{"application/json", "text/plain; charset=utf-8", "application/octet-stream", ""} {
		c := newClient(t, answer(200, contentType, "{}"))
		if err := c.TagThread(context.Background(), "org", "C", "T", "x"); err != nil {
			t.Errorf("%s: %v", contentType, err)
		}
	}
}
