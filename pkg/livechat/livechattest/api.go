package livechattest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Call is one call of the API. Calls that were refused count too.
type Call struct {
	Time         time.Time
	Version      string // "3.6"
	Method       string // "tag_thread"
	Organization string // "" when the token is not known
	Chat, Thread string // as the request names them
	Tag          string
	Status       int    // HTTP status, 0 when the connection was cut from either side
	Type         string // error.type, "" on success
	Applied      bool   // the call was carried out
	Billed       bool   // LiveChat charges for it: everything with a token except status 500
}

// Calls returns the newest calls (Config.KeepCalls) in the order in which they
// ended.
func (p *Platform) Calls() []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calls)
}

// refusal is an answer with an error body.
type refusal struct {
	kind    string
	message string
	data    object
}

func refuse(kind, message string) *refusal { return &refusal{kind: kind, message: message} }

// messages are the documented default messages of the error types.
var messages = map[string]string{
	"authentication":        "Authentication error",
	"authorization":         "Authorization error",
	"missing_access":        "Missing access",
	"validation":            "Wrong format of request",
	"not_found":             "Not found",
	"already_exists":        "Already exists",
	"group_not_found":       "Group not found",
	"limit_reached":         "Limit reached",
	"chat_inactive":         "Chat is inactive",
	"agent_offline":         "Agent offline",
	"entity_too_large":      "Upload limit exceeded (10MB).",
	"license_expired":       "License expired",
	"license_not_found":     "License not found",
	"wrong_product_version": "Wrong product version",
	"unsupported_version":   "Cannot call unsupported API versions.",
	"misdirected_request":   "Wrong region",
	"too_many_requests":     "Too many requests",
	"request_timeout":       "Request timed out",
	"service_unavailable":   "Service unavailable",
	"internal":              "Internal server error",
}

// statuses are assumptions: LiveChat documents error types, not their statuses.
var statuses = map[string]int{
	"authentication":        http.StatusUnauthorized,
	"authorization":         http.StatusForbidden,
	"missing_access":        http.StatusForbidden,
	"validation":            http.StatusBadRequest,
	"not_found":             http.StatusNotFound,
	"already_exists":        http.StatusConflict,
	"group_not_found":       http.StatusNotFound,
	"limit_reached":         http.StatusUnprocessableEntity,
	"chat_inactive":         http.StatusUnprocessableEntity,
	"agent_offline":         http.StatusUnprocessableEntity,
	"entity_too_large":      http.StatusRequestEntityTooLarge,
	"license_expired":       http.StatusForbidden,
	"license_not_found":     http.StatusNotFound,
	"wrong_product_version": http.StatusBadRequest,
	"unsupported_version":   http.StatusBadRequest,
	"misdirected_request":   http.StatusMisdirectedRequest,
	"too_many_requests":     http.StatusTooManyRequests,
	"request_timeout":       http.StatusGatewayTimeout,
	"service_unavailable":   http.StatusServiceUnavailable,
	"internal":              http.StatusInternalServerError,
}

func statusOf(kind string) int {
	if s, ok := statuses[kind]; ok {
		return s
	}
	return http.StatusBadRequest
}

func errorBody(r *refusal) []byte {
	e := object{"type": r.kind, "message": r.message}
	if r.data != nil {
		e["data"] = r.data
	}
	return encode(object{"error": e})
}

// maxBody is the documented limit of an upload.
const maxBody = 10 << 20

// request is one call on its way through the checks.
type request struct {
	http   *http.Request
	call   Call
	body   []byte
	tooBig bool
	org    *organization
	out    []Webhook // to the sink
}

// method is one method of the API.
type method struct {
	path   string   // "agent" or "configuration"
	since  string   // first version that has it
	scopes []string // any one of them is enough; nil needs no token
	do     func(p *Platform, r *request, params params) (any, *refusal)
}

var methods = map[string]method{
	"tag_thread":   {"agent", "3.2", []string{"chats--all:rw", "chats--access:rw"}, (*Platform).apiTagThread},
	"untag_thread": {"agent", "3.2", []string{"chats--all:rw", "chats--access:rw"}, (*Platform).apiUntagThread},
	"get_chat":     {"agent", "3.2", []string{"chats--all:ro", "chats--access:ro"}, (*Platform).apiGetChat},
	"list_threads": {"agent", "3.2", []string{"chats--all:ro", "chats--access:ro"}, (*Platform).apiListThreads},
	"list_archives": {"agent", "3.2", []string{"chats--all:ro", "chats--access:ro"},
		(*Platform).apiListArchives},

	"create_tag": {"configuration", "3.5", []string{"tags--all:rw", "tags--groups:rw"}, (*Platform).apiCreateTag},
	"list_tags":  {"configuration", "3.5", []string{"tags--all:ro", "tags--groups:ro"}, (*Platform).apiListTags},
	"update_tag": {"configuration", "3.5", []string{"tags--all:rw", "tags--groups:rw"}, (*Platform).apiUpdateTag},
	"delete_tag": {"configuration", "3.5", []string{"tags--all:rw", "tags--groups:rw"}, (*Platform).apiDeleteTag},

	"register_webhook":   {"configuration", "3.2", []string{"webhooks.configuration:rw"}, (*Platform).apiRegisterWebhook},
	"list_webhooks":      {"configuration", "3.2", []string{"webhooks.configuration:rw"}, (*Platform).apiListWebhooks},
	"unregister_webhook": {"configuration", "3.2", []string{"webhooks.configuration:rw"}, (*Platform).apiUnregisterWebhook},
	"list_webhook_names": {"configuration", "3.2", nil, (*Platform).apiListWebhookNames},

	"enable_license_webhooks":    {"configuration", "3.2", []string{"webhooks.state:rw"}, (*Platform).apiEnableWebhooks},
	"disable_license_webhooks":   {"configuration", "3.2", []string{"webhooks.state:rw"}, (*Platform).apiDisableWebhooks},
	"get_license_webhooks_state": {"configuration", "3.2", []string{"webhooks.state:ro"}, (*Platform).apiWebhooksState},
}

// ServeHTTP answers POST /v{version}/{agent|configuration}/action/{method}.
func (p *Platform) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	r := &request{http: hr, call: Call{Time: p.now()}}
	body, err := io.ReadAll(io.LimitReader(hr.Body, maxBody+1))
	if err != nil {
		return // the client has gone
	}
	r.body, r.tooBig = body, len(body) > maxBody
	path := r.readPath()
	r.readIDs()

	p.mu.Lock()
	r.org = p.authenticate(hr)
	if r.org != nil {
		r.call.Organization = r.org.ID
	}
	p.mu.Unlock()
	fault := p.faultFor(r.call)
	pause(hr, fault.Wait)

	var status int
	var answer []byte
	if !fault.answers() || fault.Apply {
		p.mu.Lock()
		var refused *refusal
		// Encoded under the lock: the answer refers to the platform's state.
		answer, refused = p.handle(r, path)
		applied := http.StatusOK
		if refused != nil {
			applied = statusOf(refused.kind)
			if p.sw.ErrorStatus != 0 {
				applied = p.sw.ErrorStatus
			}
			r.call.Type = refused.kind
			answer = errorBody(refused)
		}
		sw := p.sw
		p.mu.Unlock()
		r.call.Applied = refused == nil
		if p.sink != nil && !sw.NoEchoes {
			for _, webhook := range r.out {
				p.sink(webhook)
			}
		}
		if r.call.Type == "too_many_requests" && sw.RetryAfter > 0 {
			after := seconds(sw.RetryAfter)
			if sw.RetryAfterDate {
				// A date has whole seconds; none of the pause may be lost.
				after = p.now().Add(sw.RetryAfter + time.Second).UTC().Format(http.TimeFormat)
			}
			w.Header().Set("Retry-After", after)
		}
		if hr.Method != http.MethodPost && path.kind != "" {
			applied = http.StatusMethodNotAllowed
			w.Header().Set("Allow", http.MethodPost)
		}
		status = applied
	}
	pause(hr, fault.Stall)
	if fault.answers() {
		status, r.call.Type = fault.Status, fault.Type
	}
	if hr.Context().Err() != nil {
		status = 0 // the client has gone
	}
	r.call.Status = status
	r.call.Billed = hr.Header.Get("Authorization") != "" && status != http.StatusInternalServerError
	p.record(r.call)

	switch {
	case fault.answers():
		fault.write(w)
		return
	case status == 0:
		return
	}
	r.deprecate(w)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(answer)
}

func (p *Platform) record(c Call) {
	p.mu.Lock()
	p.calls = append(p.calls, c)
	if len(p.calls) > p.keepCalls {
		p.calls = slices.Delete(p.calls, 0, len(p.calls)-p.keepCalls)
	}
	p.mu.Unlock()
	if p.onCall != nil {
		p.onCall(c)
	}
}

// deprecate sets the headers that announce a version's end.
func (r *request) deprecate(w http.ResponseWriter) {
	switch r.call.Version {
	case "3.5":
		w.Header().Set("Legacy", "2026-08-07")
	case "3.4":
		w.Header().Set("Deprecation", "2026-02-07")
	}
}

// apiPath is the middle of a path; kind is "" when the path is none of the
// API's.
type apiPath struct{ kind string }

func (r *request) readPath() apiPath {
	parts := strings.Split(strings.TrimPrefix(r.http.URL.Path, "/"), "/")
	if len(parts) != 4 || !strings.HasPrefix(parts[0], "v") || parts[2] != "action" ||
		parts[1] != "agent" && parts[1] != "configuration" {
		return apiPath{}
	}
	r.call.Version, r.call.Method = parts[0][1:], parts[3]
	return apiPath{parts[1]}
}

// readIDs fills in what the call is about, as far as the body says so.
func (r *request) readIDs() {
	var ids map[string]any
	if r.tooBig || json.Unmarshal(r.body, &ids) != nil {
		return
	}
	text := func(name string) string { s, _ := ids[name].(string); return s }
	r.call.Chat, r.call.Thread, r.call.Tag = text("chat_id"), text("thread_id"), text("tag")
	if strings.HasSuffix(r.call.Method, "_tag") {
		r.call.Tag = text("name")
	}
}

// authenticate finds the organization of the request's token; nil when no token
// fits.
func (p *Platform) authenticate(r *http.Request) *organization {
	account, pat, basic := r.BasicAuth()
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	for _, o := range p.orgs {
		switch {
		case o.revoked:
		case basic && o.PAT != "" && account == o.AccountID && pat == o.PAT:
			return o
		case bearer && slices.Contains(o.Tokens, token):
			return o
		}
	}
	return nil
}

// handle makes every check in turn and then does what the call asks for.
func (p *Platform) handle(r *request, path apiPath) ([]byte, *refusal) {
	m, known := methods[r.call.Method]
	switch {
	case path.kind == "":
		return nil, refuse("not_found", "Not found")
	case r.http.Method != http.MethodPost:
		return nil, refuse("validation", "only POST is allowed")
	case !slices.Contains(p.versions, r.call.Version):
		return nil, refuse("unsupported_version", messages["unsupported_version"])
	case !known || m.path != path.kind || before(r.call.Version, m.since):
		return nil, refuse("not_found", "Not found")
	}
	if m.scopes != nil {
		if r.org == nil || r.org.revoked {
			return nil, refuse("authentication", messages["authentication"])
		}
		if refused := p.checkToken(r, m); refused != nil {
			return nil, refused
		}
	}
	params, refused := r.readBody()
	if refused != nil {
		return nil, refused
	}
	answer, refused := m.do(p, r, params)
	if refused != nil {
		return nil, refused
	}
	if answer == nil {
		answer = object{}
	}
	return encode(answer), nil
}

func (p *Platform) checkToken(r *request, m method) *refusal {
	region := r.http.Header.Get("X-Region")
	if region == "" {
		region = "dal"
		if token, ok := strings.CutPrefix(r.http.Header.Get("Authorization"), "Bearer "); ok {
			if prefix, _, ok := strings.Cut(token, ":"); ok {
				region = prefix
			}
		}
	}
	if home := either(r.org.Region, either(p.sw.Region, "dal")); region != home {
		return &refusal{"misdirected_request", messages["misdirected_request"], object{"region": home}}
	}
	limited := ""
	if p.sw.RatePerMethod {
		limited = r.call.Method
	}
	if !r.org.take(limited, p.now(), p.sw.Rate, p.sw.Burst) {
		return refuse("too_many_requests", messages["too_many_requests"])
	}
	if !r.org.may(m.scopes) {
		return refuse("authorization", messages["authorization"])
	}
	return nil
}

// bucket holds the calls that may come at once.
type bucket struct {
	tokens float64
	filled time.Time
}

// take takes one call out of the organization's rate limit, of which it has one
// for every method if method is not "".
func (o *organization) take(method string, now time.Time, rate float64, burst int) bool {
	if rate <= 0 {
		return true
	}
	size := float64(max(burst, 1))
	b := o.buckets[method]
	if b == nil {
		b = &bucket{tokens: size, filled: now}
		o.buckets[method] = b
	}
	b.tokens = min(size, b.tokens+rate*now.Sub(b.filled).Seconds())
	b.filled = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// may says whether the token has one of the scopes; rw includes ro.
func (o *organization) may(scopes []string) bool {
	if o.Scopes == nil {
		return true
	}
	return slices.ContainsFunc(scopes, func(s string) bool {
		return slices.Contains(o.Scopes, s) || slices.Contains(o.Scopes, strings.TrimSuffix(s, ":ro")+":rw")
	})
}

// sees says whether the token may see a thread of these groups: with a
// chats--all scope always, else only when it shares one.
func (o *organization) sees(groups []int) bool {
	all := o.Scopes == nil || slices.Contains(o.Scopes, "chats--all:ro") || slices.Contains(o.Scopes, "chats--all:rw")
	if all || o.TokenGroups == nil {
		return true
	}
	return slices.ContainsFunc(groups, func(g int) bool { return slices.Contains(o.TokenGroups, g) })
}

// readBody wants one JSON object.
func (r *request) readBody() (params, *refusal) {
	if r.tooBig {
		return nil, refuse("entity_too_large", messages["entity_too_large"])
	}
	kind, _, err := mime.ParseMediaType(r.http.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return nil, refuse("validation", "Content-Type must be application/json")
	}
	d := json.NewDecoder(bytes.NewReader(r.body))
	var out params
	if err := d.Decode(&out); err != nil || out == nil {
		return nil, refuse("validation", messages["validation"])
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, refuse("validation", messages["validation"])
	}
	return out, nil
}

// params is the body of a call.
type params map[string]json.RawMessage

// read decodes one parameter; a wrong type, and a required one that is missing,
// empty or null, is refused.
func (p params) read(name string, required bool, into any) *refusal {
	raw, there := p[name]
	if !there || string(raw) == "null" {
		if required {
			return refuse("validation", "`"+name+"` is required")
		}
		return nil
	}
	if json.Unmarshal(raw, into) != nil {
		return refuse("validation", "`"+name+"` has a wrong format")
	}
	if s, ok := into.(*string); ok && required && *s == "" {
		return refuse("validation", "`"+name+"` is required")
	}
	return nil
}

// has says whether any of the parameters was sent.
func (p params) has(names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { _, ok := p[n]; return ok })
}

// only refuses parameters other than the given ones.
func (p params) only(names ...string) *refusal {
	for name := range p {
		if !slices.Contains(names, name) {
			return refuse("validation", "unknown parameter `"+name+"`")
		}
	}
	return nil
}

// first returns the first refusal, for a row of reads.
func first(list ...*refusal) *refusal {
	for _, r := range list {
		if r != nil {
			return r
		}
	}
	return nil
}
