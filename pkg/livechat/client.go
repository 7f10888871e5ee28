package livechat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options configure a Client. The zero value of each field but Token is its
// default.
type Options struct {
	// BaseURL is the platform's API without the version; the default is
	// https://api.livechatinc.com.
	BaseURL string
	// Version of the API; the default is 3.6.
	Version string
	// Token returns the token of an organization. It is asked for every call,
	// so a rotated token is in force at once. Required.
	Token func(ctx context.Context, org string) (Token, error)
	// Timeout of one request, the reading of its answer included; the default
	// is 16 s. The platform itself gives a request up after 15 s, so with a
	// longer time-out nothing that was given up here is still applied later. A
	// call that has to go to another region makes two requests.
	Timeout time.Duration
	// OnNotice is called once for each distinct value of the headers Legacy
	// and Deprecation, by which the platform announces the end of an API
	// version. It may be called from several goroutines.
	OnNotice func(header, value string)
	// Transport carries the requests; the default keeps a bounded number of
	// idle connections, finds dead ones within seconds, and takes proxies from
	// the environment (HTTPS_PROXY).
	Transport http.RoundTripper
}

// Methods of the API as they stand in its URLs.
const (
	methodTagThread   = "tag_thread"
	methodUntagThread = "untag_thread"
	methodGetChat     = "get_chat"
	methodListTags    = "list_tags"

	agentAPI         = "agent"
	configurationAPI = "configuration"
)

const (
	// maxDataAnswer bounds get_chat and list_tags: a thread may hold thousands
	// of events of 16 KB, an account thousands of tags.
	maxDataAnswer = 16 << 20
	// maxPlainAnswer bounds the methods that answer {}.
	maxPlainAnswer = 64 << 10

	maxRetryAfter = 5 * time.Minute
	maxNotices    = 64 // distinct values remembered
	maxNotice     = 64 // bytes of a value passed on
)

// Client calls the methods of the LiveChat API that Autotag needs. It never
// repeats a call by itself, except once in the other region when the platform
// says that an organization lives there. Every failed call is an *Error. It is
// safe for concurrent use.
type Client struct {
	base     string
	token    func(ctx context.Context, org string) (Token, error)
	timeout  time.Duration
	onNotice func(header, value string)
	http     *http.Client

	mu      sync.Mutex
	regions map[string]string // by organization, as learned from misdirected_request
	notices map[string]bool   // header and value
}

// New returns a client.
func New(o Options) *Client {
	if o.BaseURL == "" {
		o.BaseURL = "https://api.livechatinc.com"
	}
	if o.Version == "" {
		o.Version = "3.6"
	}
	if o.Timeout <= 0 {
		o.Timeout = 16 * time.Second
	}
	if o.OnNotice == nil {
		o.OnNotice = func(string, string) {}
	}
	if o.Transport == nil {
		o.Transport = transport()
	}
	return &Client{
		base:     strings.TrimRight(o.BaseURL, "/") + "/v" + o.Version + "/",
		token:    o.Token,
		timeout:  o.Timeout,
		onNotice: o.OnNotice,
		http: &http.Client{
			Transport: o.Transport,
			// A redirect would carry the token and the request elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		regions: make(map[string]string),
		notices: make(map[string]bool),
	}
}

func transport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout:    5 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        60 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		// An HTTP/2 connection that a network cut has killed would otherwise
		// stay in the pool and time out one request after the other.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 5 * time.Second},
	}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

type tagRequest struct {
	Chat   string `json:"chat_id"`
	Thread string `json:"thread_id"`
	Tag    string `json:"tag"`
}

// TagThread sets a tag, whose name is case sensitive, on a thread, active or
// not. See Error.AlreadyTagged.
func (c *Client) TagThread(ctx context.Context, org, chat, thread, tag string) error {
	return c.changeTag(ctx, org, methodTagThread, tagRequest{chat, thread, tag})
}

// UntagThread takes a tag from a thread. See Error.IsNotTagged.
func (c *Client) UntagThread(ctx context.Context, org, chat, thread, tag string) error {
	return c.changeTag(ctx, org, methodUntagThread, tagRequest{chat, thread, tag})
}

// changeTag calls a method whose success is {} or an empty answer.
func (c *Client) changeTag(ctx context.Context, org, method string, request tagRequest) error {
	answer, err := c.call(ctx, org, agentAPI, method, request, maxPlainAnswer)
	if err != nil {
		return err
	}
	if len(answer) > 0 && !isObject(answer) {
		return &Error{Method: method, Status: http.StatusOK, cause: errOther}
	}
	return nil
}

// GetChat returns a chat with the thread asked for, its latest one if thread
// is "".
func (c *Client) GetChat(ctx context.Context, org, chat, thread string) (Chat, error) {
	request := struct {
		Chat   string `json:"chat_id"`
		Thread string `json:"thread_id,omitempty"`
	}{chat, thread}
	body, err := c.call(ctx, org, agentAPI, methodGetChat, request, maxDataAnswer)
	if err != nil {
		return Chat{}, err
	}
	x := (&cursor{data: body}).chat()
	if x == nil || x.ID != chat || x.Thread == nil || thread != "" && x.Thread.ID != thread {
		return Chat{}, &Error{Method: methodGetChat, Status: http.StatusOK, cause: errOther}
	}
	return *x, nil
}

// ListTags returns all tags of the account that the token may see.
func (c *Client) ListTags(ctx context.Context, org string) ([]Tag, error) {
	body, err := c.call(ctx, org, configurationAPI, methodListTags, struct{}{}, maxDataAnswer)
	if err != nil {
		return nil, err
	}
	tags := []Tag{}
	cur := cursor{data: body}
	if !cur.array(func() {
		if t := cur.tag(); t != nil && t.Name != "" {
			tags = append(tags, *t)
		}
	}) {
		return nil, &Error{Method: methodListTags, Status: http.StatusOK, cause: errOther}
	}
	return tags, nil
}

// call makes one call, and a second one in another region if the platform asks
// for that. It returns the answer's JSON, which is empty for an empty answer.
func (c *Client) call(ctx context.Context, org, api, method string, request any, limit int64) ([]byte, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, &Error{Method: method, cause: err}
	}
	token, err := c.token(ctx, org)
	if err != nil {
		return nil, &Error{Method: method, cause: err, noToken: ctx.Err() == nil}
	}
	if !token.usable() {
		return nil, &Error{Method: method, cause: errToken, noToken: true}
	}
	c.mu.Lock()
	region, learned := c.regions[org]
	c.mu.Unlock()
	if !learned {
		region = token.region()
	}
	answer, failure := c.send(ctx, api, method, token, region, body, limit)
	if failure != nil && failure.Type == typeMisdirected && failure.Region != "" && failure.Region != region {
		region = failure.Region
		answer, failure = c.send(ctx, api, method, token, region, body, limit)
		if failure == nil || failure.Type != "" && failure.Type != typeMisdirected {
			c.mu.Lock()
			c.regions[org] = region
			c.mu.Unlock()
		}
	}
	if failure != nil {
		return nil, failure
	}
	return answer, nil
}

// send makes one request and reads its answer.
func (c *Client) send(ctx context.Context, api, method string, token Token, region string, body []byte, limit int64) ([]byte, *Error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+api+"/action/"+method, bytes.NewReader(body))
	if err != nil {
		return nil, &Error{Method: method, cause: errors.New("API address is not a URL")}
	}
	request.Header.Set("Authorization", token.authorization())
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "autotag")
	if region != "" {
		// Undocumented since 2025, but what the platform's own SDK sends.
		request.Header.Set("X-Region", region)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, &Error{Method: method, cause: transportCause(err)}
	}
	defer func() { _ = response.Body.Close() }()
	c.notice(response.Header)

	failure := &Error{Method: method, Status: response.StatusCode, RetryAfter: retryAfter(response.Header.Get("Retry-After"), time.Now())}
	answer, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	switch {
	case err != nil:
		failure.cause = transportCause(err)
		return nil, failure
	case int64(len(answer)) > limit:
		failure.cause = errTooLarge
		return nil, failure
	}
	failure.cause = failure.read(answer, response.Header.Get("Content-Type"))
	if failure.Type == "" && failure.cause == nil {
		return answer, nil
	}
	return nil, failure
}

// read looks at an answer: it sets the fields of a platform error, or returns
// why the answer cannot be taken, or nil for a success.
func (e *Error) read(answer []byte, contentType string) error {
	if 300 <= e.Status && e.Status < 400 {
		return errRedirect
	}
	success := e.Status == http.StatusOK || e.Status == http.StatusNoContent
	if success && len(answer) == 0 {
		return nil
	}
	// The document tells, not its Content-Type, which is undocumented: to take a
	// tagging that worked for a failure would repeat a billed call. Only what
	// calls itself a page is a gateway's.
	if success && strings.HasPrefix(strings.ToLower(contentType), "text/html") || !json.Valid(answer) {
		return errNotJSON
	}
	c := cursor{data: answer}
	failed := false
	c.object(func(key []byte) {
		if string(key) == "error" {
			failed = true
			e.readError(&c)
		}
	})
	if e.Type != "" || success && !failed {
		return nil
	}
	return errNoType
}

func (e *Error) readError(c *cursor) {
	c.object(func(key []byte) {
		switch string(key) {
		case "type":
			if t := c.str(); isErrorType(t) {
				e.Type = t
			}
		case "message":
			e.message = kindOfMessage(c.str())
		case "data":
			c.object(func(key []byte) {
				if string(key) != "region" {
					return
				}
				if region := c.str(); isRegion(region) {
					e.Region = region
				}
			})
		}
	})
}

// isErrorType keeps free text out of errors and of what is made of them, such
// as labels of metrics.
func isErrorType(s string) bool {
	for i := range len(s) {
		switch b := s[i]; {
		case 'a' <= b && b <= 'z', '0' <= b && b <= '9', b == '_':
		default:
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// retryAfter reads seconds or a date.
func retryAfter(value string, now time.Time) time.Duration {
	var wait time.Duration
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if date, err := http.ParseTime(value); err == nil {
		wait = date.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

// notice passes on what the platform says about the API version.
func (c *Client) notice(header http.Header) {
	for _, name := range [...]string{"Legacy", "Deprecation"} {
		value := header.Get(name)
		if value == "" {
			continue
		}
		value = value[:min(len(value), maxNotice)]
		c.mu.Lock()
		seen := c.notices[name+value] || len(c.notices) >= maxNotices
		if !seen {
			c.notices[name+value] = true
		}
		c.mu.Unlock()
		if !seen {
			c.onNotice(name, value)
		}
	}
}
