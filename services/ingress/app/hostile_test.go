package app_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"autotag/pkg/stream"
	"autotag/pkg/testkit/natstest"
	"autotag/services/ingress/app"
)

// bodies are the constant bodies of the answers.
var bodies = map[int]string{
	200: `{}`,
	400: `{"error":"bad request"}`,
	401: `{"error":"unauthorized"}`,
	403: `{"error":"forbidden"}`,
	404: `{"error":"not found"}`,
	405: `{"error":"method not allowed"}`,
	408: `{"error":"request timeout"}`,
	413: `{"error":"request entity too large"}`,
	415: `{"error":"unsupported media type"}`,
	429: `{"error":"too many requests"}`,
	500: `{"error":"internal server error"}`,
	503: `{"error":"service unavailable"}`,
}

// row is a hostile input and the exact answer. Where nothing else is said,
// nothing may be written to NATS unless the answer is 200, which stores one
// webhook.
type row struct {
	name    string
	text    string
	status  int
	byGo    bool // net/http answers by itself: a constant line of its own
	dead    string
	subject string // of the stored webhook; the default is that of hook
	data    string // what is stored, if it is to be compared
	none    bool   // 200, but nothing new is stored
}

func rows(t *testing.T) map[int][]row {
	chunked := func(body string, headers ...string) string {
		var b strings.Builder
		b.WriteString("POST " + path + " HTTP/1.1\r\nHost: ingress\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n")
		for _, h := range headers {
			b.WriteString(h + "\r\n")
		}
		b.WriteString("\r\n")
		for len(body) > 0 {
			n := min(len(body), 32<<10)
			fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
			body = body[n:]
		}
		return b.String() + "0\r\n\r\n"
	}
	head := func(line string, headers ...string) string {
		return line + "\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n"
	}
	good := hook("", "")
	const typed = "Content-Type: application/json"
	secretAs := func(value string) string {
		return `{"secret_key":` + value + `,"action":"chat_deactivated","organization_id":"o","payload":{"chat_id":"c","thread_id":"t"}}`
	}
	nest := func(levels int) string { // all in all
		return hook("", `,"x":`+strings.Repeat("[", levels-2)+strings.Repeat("]", levels-2))
	}
	unique := 0
	fresh := func(payload string) string { // a webhook that none of the others equals
		unique++
		return hook("", fmt.Sprintf(`,"n":%d%s`, unique, payload))
	}
	rows := map[int][]row{
		1: {{name: "wrong secret", text: post(secretAs(`"wrong"`)), status: 401}},
		3: {
			{name: "in a header", text: post(secretAs(`""`), "secret_key: "+secret, "Authorization: Bearer "+secret), status: 401},
			{name: "in the query", text: request("POST", path+"?secret_key="+secret, secretAs(`""`), typed), status: 401},
		},
		4: {
			{name: "twice", text: post(`{"secret_key":"` + secret + `","secret_key":"bad"}`), status: 400},
			{name: "twice, good last", text: post(`{"secret_key":"bad","secret_key":"` + secret + `"}`), status: 400},
			{name: "other case", text: post(`{"secret_key":"bad","SECRET_KEY":"` + secret + `"}`), status: 400},
			{name: "other case alone", text: post(`{"Secret_Key":"` + secret + `"}`), status: 400},
			{name: "escaped twin", text: post(`{"secret_key":"` + secret + `","secret\u005fkey":"bad"}`), status: 400},
		},
		5: {
			{name: "two documents", text: post(good + good), status: 400},
			{name: "trailing garbage", text: post(good + "x"), status: 400},
		},
		6: {
			{name: "no length", text: head("POST "+path+" HTTP/1.1", "Host: i", typed), status: 400},
			{name: "length 0", text: post(""), status: 400},
			{name: "empty chunked", text: chunked(""), status: 400},
		},
		7: {
			{name: "null", text: post("null"), status: 400}, {name: "array", text: post("[]"), status: 400},
			{name: "string", text: post(`"x"`), status: 400}, {name: "number", text: post("1"), status: 400},
		},
		8: {
			{name: "truncated", text: post(good[:len(good)-1]), status: 400},
			{name: "NaN", text: post(hook("", `,"x":NaN`)), status: 400},
			{name: "comment", text: post(hook("", `/* */`)), status: 400},
			{name: "BOM", text: post("\xef\xbb\xbf" + good), status: 400},
			{name: "NUL", text: post(hook("", ",\"x\":\"\x00\"")), status: 400},
		},
		9: {
			{name: "not UTF-8", text: post(hook("", ",\"x\":\"\xff\"")), status: 400},
			{name: "lone surrogate", text: post(fresh(`,"x":"\ud800"`)), status: 200},
		},
		10: {
			{name: "64 levels", text: post(nest(64)), status: 200},
			{name: "65 levels", text: post(nest(65)), status: 400},
			{name: "9999 levels", text: post(nest(9_999)), status: 400},
			{name: "20000 levels", text: post(nest(20_000)), status: 400},
		},
		11: {
			{name: "1e400", text: post(fresh(`,"x":1e400`)), status: 200},
			{name: "10 kB number", text: post(fresh(`,"x":` + strings.Repeat("9", 10_000))), status: 200},
			{name: "100k keys", text: post(fresh(manyKeys(100_000))), status: 200},
			{name: "nested twins", text: post(fresh(`,"x":{"a":1,"a":2,"A":3},"secret_key":"customer's own"`)), status: 200},
			{name: "900 kB string", text: post(fresh(`,"x":"` + strings.Repeat("<", 900_000) + `"`)), status: 200},
			{name: "exactly 1,000,000 bytes", text: post(pad(hook("", `,"x":"`), `"}}`, 1_000_000)), status: 200},
		},
		12: {
			{name: "1,000,001 bytes", text: post(pad(hook("", `,"x":"`), `"}}`, 1_000_001)), status: 413},
			{name: "lying", text: head("POST "+path+" HTTP/1.1", "Host: i", typed, "Content-Length: 5000000") + good, status: 413},
		},
		13: {{name: "chunked above the cap", text: chunked(pad(hook("", `,"x":"`), `"}}`, 1_000_001)), status: 413}},
		15: {
			{name: "gzip", text: post("\x1f\x8b\x08", "Content-Encoding: gzip"), status: 415},
			{name: "br", text: post(good, "Content-Encoding: br"), status: 415},
		},
		16: {{name: "asks to be another method", text: post(good, "X-HTTP-Method-Override: DELETE"), status: 405},
			{name: "asks to be POST", text: request("GET", path, "", "X-HTTP-Method-Override: POST"), status: 405}},
		17: {
			{name: "preface of HTTP/2", text: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", status: 404},
		},
		18: {
			{name: "9 kB of headers", text: post(fresh(""), "X-Pad: "+strings.Repeat("x", 9_000)), status: 200},
			{name: "20 kB of headers", text: post(good, "X-Pad: "+strings.Repeat("x", 20_000)), status: 431, byGo: true},
			{name: "13 kB of headers", text: post(good, "X-Pad: "+strings.Repeat("x", 13_000)), status: 431, byGo: true},
		},
		19: {
			{name: "CR in a header", text: post(good, "X-A: b\rc"), status: 400, byGo: true},
			{name: "NUL in a header", text: post(good, "X-A: b\x00c"), status: 400, byGo: true},
			{name: "no host", text: head("POST "+path+" HTTP/1.1", typed, "Content-Length: 2") + "{}", status: 400, byGo: true},
			{name: "TLS", text: "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", status: 400, byGo: true},
			{name: "negative length", text: head("POST "+path+" HTTP/1.1", "Host: i", typed, "Content-Length: -1") + good, status: 400, byGo: true},
			{name: "two lengths", text: head("POST "+path+" HTTP/1.1", "Host: i", typed, "Content-Length: 2", "Content-Length: 3") + good, status: 400, byGo: true},
		},
		20: {{name: "length and chunked", text: chunked(fresh(""), "Content-Length: 3"), status: 200}},
		21: {
			{name: "gzip, chunked", text: head("POST "+path+" HTTP/1.1", "Host: i", typed, "Transfer-Encoding: gzip, chunked") + good, status: 501, byGo: true},
			{name: "Expect: junk", text: post(good, "Expect: junk"), status: 417, byGo: true},
			{name: "HTTP/3.7", text: head("POST "+path+" HTTP/3.7", "Host: i", typed), status: 505, byGo: true},
		},
		26: {
			{name: "unknown action", text: post(`{"secret_key":"` + secret + `","action":"brand_new_2","organization_id":"o","payload":{"chat_id":"C","x":[1]}}`), status: 200,
				subject: "livechat.o.C._.brand_new_2", data: `{"action":"brand_new_2","organization_id":"o","payload":{"chat_id":"C","x":[1]}}`},
			{name: "unknown shape", text: post(`{"secret_key":"` + secret + `","action":"incoming_event","organization_id":"o","payload":[]}`), status: 200, dead: "payload_unusable",
				subject: "autotag.dead.ingress.o._._", data: `{"action":"incoming_event","organization_id":"o","payload":[]}`},
			{name: "no organization", text: post(`{"secret_key":"` + secret + `","action":"incoming_event"}`), status: 200, dead: "organization_unusable", subject: "autotag.dead.ingress._._._"},
			{name: "only the secret", text: post(`{"secret_key":"` + secret + `"}`), status: 200, dead: "organization_unusable", subject: "autotag.dead.ingress._._._", data: `{}`},
		},
	}
	for _, v := range []string{`""`, "null", "1", "[]", `["` + secret + `"]`, "{}", `{"a":"` + secret + `"}`, "true"} {
		rows[2] = append(rows[2], row{name: "secret " + v, text: post(secretAs(v)), status: 401})
	}
	rows[2] = append(rows[2], row{name: "no secret", text: post(`{"action":"chat_deactivated"}`), status: 401})
	for _, v := range []string{"", "Content-Type:", "Content-Type: text/plain", "Content-Type: application/x-www-form-urlencoded", "Content-Type: multipart/form-data; boundary=x",
		"Content-Type: application/xml", "Content-Type: application/jsonx", "Content-Type: application/json; charset=latin1", "Content-Type: application/json\r\nContent-Type: text/plain"} {
		headers := []string{v}
		if v == "" {
			headers = nil
		}
		rows[14] = append(rows[14], row{name: "type " + strings.TrimPrefix(v, "Content-Type: "), text: request("POST", path, good, headers...), status: 415})
	}
	for _, m := range []string{"GET", "HEAD", "PUT", "DELETE", "TRACE", "OPTIONS", "PATCH", "PROPFIND", "post", "X"} {
		rows[16] = append(rows[16], row{name: m, text: request(m, path, good, typed), status: 405}, row{name: m + " without a body", text: head(m+" "+path+" HTTP/1.1", "Host: i"), status: 405})
	}
	for _, p := range []string{"/", "//webhooks/livechat", "/webhooks//livechat", "/webhooks/livechat/", "/webhooks/x/../livechat", "/Webhooks/livechat", "/webhooks%2Flivechat", "/%77ebhooks/livechat", "/healthz", "/metrics", "*"} {
		rows[17] = append(rows[17], row{name: p, text: request("POST", p, good, typed), status: 404})
	}
	rows[17] = append(rows[17], row{name: "GET of an escaped slash", text: request("GET", "/webhooks%2Flivechat", ""), status: 404})
	rows[17] = append(rows[17], row{name: "GET of another path", text: request("GET", "/x", ""), status: 404})
	for name, id := range map[string]string{"dot": "a.b", "star": "*", "gt": "a.>", "blank": "a b", "CRLF": `a\r\nNats-Rollup: all`, "129 bytes": strings.Repeat("x", 129), "NUL": `\u0000`, "umlaut": "ä"} {
		rows[24] = append(rows[24],
			row{name: "chat " + name, text: post(`{"secret_key":"` + secret + `","action":"chat_deactivated","organization_id":"o","payload":{"chat_id":"` + id + `","thread_id":"T"}}`), status: 200,
				dead: "chat_id_unusable", subject: "autotag.dead.ingress.o._.T", data: `{"action":"chat_deactivated","organization_id":"o","payload":{"chat_id":"` + id + `","thread_id":"T"}}`},
			row{name: "thread " + name, text: post(`{"secret_key":"` + secret + `","action":"chat_deactivated","organization_id":"o","payload":{"chat_id":"C","thread_id":"` + id + `"}}`), status: 200,
				dead: "thread_id_unusable", subject: "autotag.dead.ingress.o.C._"},
		)
	}
	body := fresh("")
	sum := sha256.Sum256([]byte(body[strings.Index(body, `"payload":`)+len(`"payload":`) : len(body)-1]))
	id := org + ":C1:T1:chat_deactivated:_:" + hex.EncodeToString(sum[:8])
	rows[27] = []row{{name: "forged headers", text: post(body, "Nats-Msg-Id: forged", "X-Forwarded-For: 203.0.113.9", "Nats-Rollup: all", "Nats-TTL: 1s"), status: 200}}
	rows[28] = []row{{name: "replay", text: post(body), status: 200, none: true}}
	rows[27][0].data = "id:" + id
	for _, all := range rows {
		for _, r := range all {
			if r.name == "" {
				t.Fatal("a row without a name")
			}
		}
	}
	return rows
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"` + strconv.FormatInt(int64(i), 36) + `":1`)
	}
	return b.String()
}

// pad fills a string between the two to a length.
func pad(begin, end string, n int) string {
	begin = strings.TrimSuffix(begin, "}}") // of hook
	return begin + strings.Repeat("x", n-len(begin)-len(end)) + end
}

// TestHostileInputs goes through the inputs that need no special set-up, each
// over a socket of its own, each with a look at what NATS holds after it.
func TestHostileInputs(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t, nil)
	r := startRig(t, server.URL, nil)
	all := rows(t)
	n := 0
	for number := 1; number <= 31; number++ {
		for _, c := range all[number] {
			n++
			t.Run(fmt.Sprintf("%d/%s", number, c.name), func(t *testing.T) {
				r := &rig{t: t, app: r.app, js: r.js, logs: r.logs}
				before := r.marks()
				// An address of its own, so that failures of one row do not
				// count for another.
				got := r.sendFrom(fmt.Sprintf("127.0.%d.%d", 1+n/200, 1+n%200), c.text)
				if got.status != c.status {
					t.Fatalf("answered %d %q, should be %d", got.status, got.body, c.status)
				}
				switch want := bodies[c.status]; {
				case c.byGo:
					if !got.closed || strings.Contains(got.body, "127.0.") || strings.Contains(got.body, "x:") {
						t.Errorf("closed %v, body %q", got.closed, got.body)
					}
				case strings.HasPrefix(c.text, "HEAD"):
				case got.body != want || got.header.Get("Content-Type") != "application/json":
					t.Errorf("body %q (%s), should be %q", got.body, got.header.Get("Content-Type"), want)
				}
				if c.status == 405 && got.header.Get("Allow") != "POST" {
					t.Errorf("Allow: %q", got.header.Get("Allow"))
				}
				events, dead := r.written(before)
				r.checkWritten(c, events, dead)
			})
		}
	}
	t.Run("26/metric", func(t *testing.T) {
		_, text := r.admin("/metrics")
		for _, want := range []string{
			`autotag_dead_letters_total{reason="payload_unusable",stage="ingress"} 1`,
			`autotag_dead_letters_total{reason="organization_unusable",stage="ingress"} 2`,
			`autotag_webhooks_total{action="other",answer="200"} 2`,
			`autotag_webhooks_total{action="none",answer="401"}`,
			`autotag_webhooks_total{action="chat_deactivated",answer="200"}`,
			`autotag_webhook_secret_matches_total{index="0"}`,
			`autotag_webhook_seconds_count`, `autotag_webhooks_in_flight 0`, `autotag_webhook_bytes_in_flight 0`,
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%s is not in the metrics", want)
			}
		}
	})
}

func (r *rig) checkWritten(c row, events, dead []*jetstream.RawStreamMsg) {
	t := r.t
	t.Helper()
	wantEvents, wantDead := 0, 0
	if c.status == 200 && !c.none {
		if c.dead != "" {
			wantDead = 1
		} else {
			wantEvents = 1
		}
	}
	if len(events) != wantEvents || len(dead) != wantDead {
		t.Fatalf("%d webhooks and %d dead letters were stored, should be %d and %d", len(events), len(dead), wantEvents, wantDead)
	}
	for _, m := range append(events, dead...) {
		subject := c.subject
		if subject == "" {
			subject = "livechat." + org + ".C1.T1.chat_deactivated"
		}
		if m.Subject != subject {
			t.Errorf("stored on %s, should be %s", m.Subject, subject)
		}
		if id, isID := strings.CutPrefix(c.data, "id:"); isID {
			if m.Header.Get("Nats-Msg-Id") != id {
				t.Errorf("id %s, should be %s", m.Header.Get("Nats-Msg-Id"), id)
			}
		} else if c.data != "" && string(m.Data) != c.data {
			t.Errorf("stored %q, should be %q", m.Data, c.data)
		}
		if strings.Contains(string(m.Data)+fmt.Sprint(m.Header)+m.Subject, secret) {
			t.Errorf("the secret is stored: %v %q", m.Header, m.Data)
		}
		if c.dead != m.Header.Get(stream.ReasonHeader) {
			t.Errorf("reason %q, should be %q", m.Header.Get(stream.ReasonHeader), c.dead)
		}
		for name := range headerNames(m.Header) {
			switch name {
			case "Nats-Msg-Id", "Nats-Expected-Stream":
			case "Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp": // of the reading, not stored
			case stream.ReasonHeader, stream.FirstSeenHeader, stream.AttemptsHeader, "Nats-TTL":
				if c.dead == "" {
					t.Errorf("header %s on a webhook", name)
				}
			default:
				t.Errorf("header %s", name)
			}
		}
	}
}

// Row 22.
func TestSlowHeaders(t *testing.T) {
	t.Parallel()
	r := startRig(t, natstest.Start(t, nil).URL, nil)
	before := r.marks()
	conn := r.dial("127.0.0.1")
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: i\r\n"); err != nil {
		t.Fatal(err)
	}
	got := readAnswer(t, conn, http.MethodPost)
	if !got.closed || got.status != 0 && got.status != 400 && got.status != 408 {
		t.Errorf("%+v", got)
	}
	if events, dead := r.written(before); len(events)+len(dead) > 0 {
		t.Error("something was stored")
	}
}

// Row 23, and: what is refused without its body being read is refused before
// the time for reading bodies has passed.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	r := startRig(t, natstest.Start(t, nil).URL, nil)
	before := r.marks()
	body := hook("", "")
	stalled := strings.TrimSuffix(post(body), body[10:])
	texts := map[int]string{
		408: stalled,
		415: strings.Replace(stalled, "application/json", "text/plain", 1),
		405: strings.Replace(stalled, "POST", "PUT", 1),
		413: strings.Replace(post(body), "Content-Length: ", "Content-Length: 1000", 1),
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	took := make(map[int]time.Duration)
	for status, text := range texts {
		wg.Go(func() {
			begin := time.Now()
			got := r.send(text)
			if got.status != status || got.body != bodies[status] || !got.closed {
				t.Errorf("%+v, should be %d", got, status)
			}
			mu.Lock()
			defer mu.Unlock()
			took[status] = time.Since(begin)
		})
	}
	wg.Wait()
	for status, d := range took {
		if status != 408 && d > took[408] {
			t.Errorf("refused with %d after %v, the body that did not come after %v", status, d, took[408])
		}
	}
	if events, dead := r.written(before); len(events)+len(dead) > 0 {
		t.Error("something was stored")
	}
}

// A body that trickles in: an absolute time limit, not one between two bytes.
func TestTricklingBody(t *testing.T) {
	t.Parallel()
	r := startRig(t, natstest.Start(t, nil).URL, nil)
	conn := r.dial("127.0.0.1")
	defer conn.Close()
	go func() {
		text := post(hook("", `,"x":"`+strings.Repeat("x", 5000)+`"`))
		if _, err := io.WriteString(conn, text[:200]); err != nil {
			return
		}
		for i := 200; i < len(text); i++ {
			<-time.After(100 * time.Millisecond)
			if _, err := io.WriteString(conn, text[i:i+1]); err != nil {
				return
			}
		}
	}()
	// All of it would take minutes.
	if got := readAnswer(t, conn, http.MethodPost); got.status != 408 {
		t.Errorf("%+v", got)
	}
}

// Row 25.
func TestOrganizations(t *testing.T) {
	t.Parallel()
	r := startRig(t, natstest.Start(t, nil).URL, func(c *app.Config) { c.Organizations = []string{org, "license-15872341"} })
	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"allowed":         {hook("", ""), 200},
		"allowed license": {sample(t, "incoming_event.v3.3"), 200},
		"other":           {strings.Replace(hook("", ""), org, "other", 1), 403},
		"none":            {strings.Replace(hook("", ""), `"organization_id"`, `"organisation"`, 1), 403},
		"unusable":        {strings.Replace(hook("", ""), org, "a.b", 1), 403},
		"none token":      {strings.Replace(hook("", ""), org, "_", 1), 403},
		"wrong secret":    {strings.Replace(strings.Replace(hook("", ""), org, "other", 1), secret, "wrong", 1), 401},
	} {
		t.Run(name, func(t *testing.T) {
			r := &rig{t: t, app: r.app, js: r.js}
			before := r.marks()
			if got := r.send(post(c.body)); got.status != c.status || got.body != bodies[c.status] {
				t.Errorf("%+v", got)
			}
			if events, dead := r.written(before); (len(events) == 1) != (c.status == 200) || len(dead) > 0 {
				t.Errorf("%d webhooks, %d dead letters", len(events), len(dead))
			}
		})
	}
}

// Row 29: failed authentications.
func TestFailedAuthentications(t *testing.T) {
	t.Parallel()
	r := startRig(t, natstest.Start(t, nil).URL, nil)
	before := r.marks()
	wrong := post(strings.Replace(hook("", ""), secret, "wrong", 1))
	for i := range 60 {
		if got := r.send(wrong); got.status != 401 {
			t.Fatalf("failure %d: %+v", i+1, got)
		}
	}
	for range 3 {
		got := r.send(wrong)
		if got.status != 429 || got.body != bodies[429] {
			t.Fatalf("%+v", got)
		}
		if s, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || s < 1 || s > 60 {
			t.Errorf("Retry-After: %q", got.header.Get("Retry-After"))
		}
	}
	if events, dead := r.written(before); len(events)+len(dead) > 0 {
		t.Error("something was stored")
	}
	if got := r.send(post(hook("", ""))); got.status != 200 {
		t.Errorf("the right secret: %+v", got)
	}
	if got := r.send(post("{")); got.status != 400 {
		t.Errorf("malformed comes before the limit: %+v", got)
	}
	if got := r.sendFrom("127.0.0.2", wrong); got.status != 401 {
		t.Errorf("another address: %+v", got)
	}
}
