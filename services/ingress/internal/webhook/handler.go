// Package webhook is the door that LiveChat knocks on: it takes webhooks over
// HTTP, checks them strictly, and has each stored before it answers 200.
//
// It knows nothing of how webhooks are used. An authenticated webhook is never
// refused for its content: what cannot be routed is stored as a dead letter.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"autotag/pkg/logging"
	"autotag/pkg/stream"
	"autotag/pkg/transcript"
)

// Path is where webhooks are posted to.
const Path = "/webhooks/livechat"

// Store keeps webhooks. Both methods return nil only once the message is safely
// stored, store a message once however often they try it with its id, and give
// up when ctx ends.
type Store interface {
	// Publish stores a webhook that can be routed.
	Publish(ctx context.Context, subject, msgID string, data []byte) error
	// DeadLetter stores one that cannot.
	DeadLetter(ctx context.Context, key transcript.Key, reason, msgID string, data []byte) error
}

// Options are what a Handler needs.
type Options struct {
	Store    Store
	Secrets  *Secrets
	Registry prometheus.Registerer
	Log      *zap.Logger
	// Organizations lists the organization tokens that are let in; empty for
	// all.
	Organizations []string
	// Limits bound what senders can cost; the zero value means DefaultLimits.
	Limits Limits
}

// Limits bound what senders can cost.
type Limits struct {
	Body         int           // bytes of one body; NATS carries 1 MiB
	InFlight     int64         // bytes that all requests hold together
	Unverified   int           // requests of one address that are not authenticated yet
	Waiting      int           // further requests of the address that wait for one of these
	Patience     time.Duration // how long they wait
	Failures     int           // failed authentications of one address in FailureSpan
	FailureSpan  time.Duration
	Budget       time.Duration // from the headers to the end of the last attempt to store
	HardBudget   time.Duration // to the answer, whatever happens
	ReadHeader   time.Duration
	Read         time.Duration // headers and body
	Write        time.Duration // from the headers to the end of the answer
	Idle         time.Duration
	HeaderBytes  int
	Connections  int
	FailureTable int // addresses remembered for Failures
}

// DefaultLimits fit LiveChat, which waits about 10 s for an answer and takes
// anything but 200 for a failure.
var DefaultLimits = Limits{
	Body:         1_000_000,
	InFlight:     64 << 20,
	Unverified:   8,
	Waiting:      1024,
	Patience:     time.Second,
	Failures:     60,
	FailureSpan:  time.Minute,
	Budget:       8500 * time.Millisecond,
	HardBudget:   8800 * time.Millisecond,
	ReadHeader:   5 * time.Second,
	Read:         8 * time.Second,
	Write:        12 * time.Second,
	Idle:         time.Minute,
	HeaderBytes:  8 << 10,
	Connections:  8192,
	FailureTable: 8192,
}

// Handler serves the webhook path, and 404 elsewhere.
type Handler struct {
	Options
	echo     *echo.Echo
	budget   *budget
	gate     *gate
	failures *failures
	metrics  *metrics
	closing  atomic.Bool // every answer closes its connection
}

// NewHandler returns a handler. Its metrics are registered with o.Registry.
func NewHandler(o Options) *Handler {
	if o.Limits == (Limits{}) {
		o.Limits = DefaultLimits
	}
	h := &Handler{
		Options:  o,
		budget:   &budget{limit: o.Limits.InFlight},
		gate:     newGate(o.Limits.Unverified, o.Limits.Waiting, o.Limits.Patience),
		failures: newFailures(o.Limits.Failures, o.Limits.FailureSpan, o.Limits.FailureTable/2, time.Now),
	}
	h.metrics = newMetrics(o.Registry, h.budget)

	e := echo.New()
	e.HTTPErrorHandler = writeError
	e.IPExtractor = echo.ExtractIPDirect()
	e.Pre(h.observe, middleware.RecoverWithConfig(middleware.RecoverConfig{
		DisableStackAll: true, DisableErrorHandler: true, LogErrorFunc: h.logPanic,
	}), onlyPost)
	e.POST(Path, h.receive)
	h.echo = e
	return h
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.echo.ServeHTTP(w, r) }

// refusal is an answer other than 200.
type refusal struct {
	status     int
	retryAfter time.Duration // 0 for no such header
	cause      error         // for the log; never from outside
}

func (r *refusal) Error() string { return http.StatusText(r.status) }
func (r *refusal) Unwrap() error { return r.cause }

// retrySoon is what overload answers: it passes within seconds.
const retrySoon = 2 * time.Second

// bodies are the constant answers by status.
var bodies = map[int]string{
	http.StatusBadRequest:            `{"error":"bad request"}`,
	http.StatusUnauthorized:          `{"error":"unauthorized"}`,
	http.StatusForbidden:             `{"error":"forbidden"}`,
	http.StatusNotFound:              `{"error":"not found"}`,
	http.StatusMethodNotAllowed:      `{"error":"method not allowed"}`,
	http.StatusRequestTimeout:        `{"error":"request timeout"}`,
	http.StatusRequestEntityTooLarge: `{"error":"request entity too large"}`,
	http.StatusUnsupportedMediaType:  `{"error":"unsupported media type"}`,
	http.StatusTooManyRequests:       `{"error":"too many requests"}`,
	http.StatusInternalServerError:   `{"error":"internal server error"}`,
	http.StatusServiceUnavailable:    `{"error":"service unavailable"}`,
}

// writeError answers every request that is not answered with 200: a constant
// body by status, whatever the error says.
func writeError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	status := statusOf(err)
	header := c.Response().Header()
	var r *refusal
	if errors.As(err, &r) && r.retryAfter > 0 {
		seconds := int((r.retryAfter + time.Second - 1) / time.Second)
		header.Set("Retry-After", strconv.Itoa(seconds))
	}
	if status == http.StatusMethodNotAllowed {
		header.Set("Allow", http.MethodPost)
	}
	_ = c.JSONBlob(status, []byte(bodies[status])) // an error means that the sender has gone
}

// statusOf is the status that an error of a handler is answered with.
func statusOf(err error) int {
	var r *refusal
	var he *echo.HTTPError
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &r):
		return r.status
	case errors.As(err, &he) && bodies[he.Code] != "":
		return he.Code
	}
	return http.StatusInternalServerError
}

// isWebhookPath tells whether a request is for the webhook path, without any
// escapes in it, as the router sees it.
func isWebhookPath(r *http.Request) bool { return r.URL.Path == Path && r.URL.RawPath == "" }

const labelKey = "label" // of the echo context: the action label

// observe measures requests to the webhook path, and says to close the
// connection where its rest is not worth reading.
func (h *Handler) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if h.closing.Load() {
			c.Response().Header().Set("Connection", "close")
		}
		if !isWebhookPath(c.Request()) {
			return next(c)
		}
		begin := time.Now()
		h.metrics.inFlight.Inc()
		defer h.metrics.inFlight.Dec()
		err := next(c)
		label, ok := c.Get(labelKey).(string)
		if !ok {
			label = unauthenticated
		}
		status, took := statusOf(err), time.Since(begin)
		h.metrics.answered(label, status, took)
		h.logAnswer(label, status, took, err)
		return err
	}
}

func (h *Handler) logAnswer(label string, status int, took time.Duration, err error) {
	log := h.Log.Debug
	if status == http.StatusServiceUnavailable {
		log = h.Log.Warn
	}
	var cause error
	var r *refusal
	if errors.As(err, &r) {
		cause = r.cause
	}
	log("webhook answered", zap.String(logging.Action, label), zap.Int("status", status),
		zap.Duration(logging.Took, took), zap.Error(cause))
}

// logPanic logs a panic without its value, which may quote the webhook; errors
// of the Go runtime quote nothing.
func (h *Handler) logPanic(_ echo.Context, err error, stack []byte) error {
	what := "a value that is not shown"
	var re runtime.Error
	if errors.As(err, &re) {
		what = re.Error()
	}
	h.Log.Error("panic", zap.String("what", what), zap.ByteString("stack", stack))
	return &refusal{status: http.StatusInternalServerError}
}

// onlyPost refuses every other method on the webhook path, and a request that
// asks to be taken for another one.
func onlyPost(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if !isWebhookPath(r) {
			return next(c)
		}
		asked := append(r.Header.Values("X-HTTP-Method-Override"), r.Method)
		if slices.ContainsFunc(asked, func(m string) bool { return !strings.EqualFold(m, http.MethodPost) }) {
			return refuse(c, http.StatusMethodNotAllowed, nil)
		}
		return next(c)
	}
}

// refuse returns a refusal of a request whose body has not been read to its
// end: the connection is not worth keeping for what is left of it.
func refuse(c echo.Context, status int, cause error) *refusal {
	if c.Request().ContentLength != 0 {
		c.Response().Header().Set("Connection", "close")
	}
	r := &refusal{status: status, cause: cause}
	if status == http.StatusServiceUnavailable {
		r.retryAfter = retrySoon
	}
	return r
}

// receive is POST on the webhook path.
func (h *Handler) receive(c echo.Context) error {
	begin := time.Now()
	req := c.Request()
	if !isJSON(req.Header) {
		return refuse(c, http.StatusUnsupportedMediaType, nil)
	}
	if req.ContentLength > int64(h.Limits.Body) {
		return refuse(c, http.StatusRequestEntityTooLarge, nil)
	}
	addr, err := netip.ParseAddr(c.RealIP())
	if err != nil {
		return fmt.Errorf("read the peer's address: %w", err)
	}
	addr = addressKey(addr)

	e, share, err := h.admit(c, addr)
	if err != nil {
		return err
	}
	r := e.route()
	c.Set(labelKey, r.label)
	if len(h.Organizations) > 0 && !slices.Contains(h.Organizations, r.key.Org) {
		share.release()
		return &refusal{status: http.StatusForbidden}
	}
	if err := h.store(begin, e, r, share); err != nil {
		return err
	}
	return c.JSONBlob(http.StatusOK, []byte("{}"))
}

var errBusyAddress = errors.New("too many requests of one address are not authenticated yet")

// admit has a request authenticated within the limits. Until it returns the
// request counts as not authenticated; unless there is an error, it then holds
// a share of the budget.
func (h *Handler) admit(c echo.Context, addr netip.Addr) (e envelope, share *lease, err error) {
	// First, so that what one address has waiting takes nothing of what all share.
	leave, ok := h.gate.enter(c.Request().Context(), addr)
	if !ok {
		return e, nil, refuse(c, http.StatusServiceUnavailable, errBusyAddress)
	}
	defer leave()
	share, ok = newLease(h.budget)
	if !ok {
		return e, nil, refuse(c, http.StatusServiceUnavailable, errBudget)
	}
	if e, err = h.authenticated(c, addr, share); err != nil {
		share.release()
		return e, nil, err
	}
	return e, share, nil
}

// authenticated reads a body and checks that it is a webhook with one of the
// secrets.
func (h *Handler) authenticated(c echo.Context, addr netip.Addr, share *lease) (envelope, error) {
	body, err := share.read(c.Request().Body, h.Limits.Body)
	switch {
	case err == nil:
	case errors.Is(err, errTooLarge):
		return envelope{}, refuse(c, http.StatusRequestEntityTooLarge, nil)
	case errors.Is(err, errBudget):
		return envelope{}, refuse(c, http.StatusServiceUnavailable, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return envelope{}, refuse(c, http.StatusRequestTimeout, nil)
	default:
		// The reader's error may quote addresses and what was sent.
		return envelope{}, refuse(c, http.StatusBadRequest, errors.New("body cannot be read"))
	}
	e, err := readEnvelope(body)
	if err != nil {
		return envelope{}, &refusal{status: http.StatusBadRequest, cause: err}
	}
	index, ok := h.Secrets.Match(e.secret)
	if !ok || !e.hasSecret {
		if wait := h.failures.add(addr); wait > 0 {
			return envelope{}, &refusal{status: http.StatusTooManyRequests, retryAfter: wait}
		}
		return envelope{}, &refusal{status: http.StatusUnauthorized}
	}
	h.metrics.secrets.WithLabelValues(strconv.Itoa(index)).Inc()
	return e, nil
}

// isJSON tells whether the headers announce JSON in UTF-8 that is not packed.
func isJSON(header http.Header) bool {
	types := header.Values("Content-Type")
	if len(types) != 1 || len(header.Values("Content-Encoding")) > 0 {
		return false
	}
	if types[0] == "application/json" {
		return true
	}
	kind, params, err := mime.ParseMediaType(types[0])
	charset, has := params["charset"]
	return err == nil && kind == "application/json" && (!has || strings.EqualFold(charset, "utf-8"))
}

var errNoAnswer = errors.New("storing did not end in time")

// store has the webhook stored by the hard budget at the latest. A storing that
// does not heed its deadline goes on by itself and keeps the request's share of
// the budget until it ends, so that there can be only so many.
func (h *Handler) store(begin time.Time, e envelope, r route, share *lease) error {
	type result struct {
		err      error
		panicked any
	}
	done := make(chan result, 1)
	go func() {
		var res result
		defer func() {
			res.panicked = recover()
			share.release()
			done <- res
		}()
		// Not the request's context: what has begun is worth finishing when the
		// sender goes away, since it would send the webhook again.
		ctx, cancel := context.WithDeadline(context.Background(), begin.Add(h.Limits.Budget))
		defer cancel()
		if r.reason != "" {
			res.err = h.Store.DeadLetter(ctx, r.key, r.reason, deadID(e.data), e.data)
		} else {
			res.err = h.Store.Publish(ctx, stream.EventSubject(r.key, r.action), r.messageID(e.payload), e.data)
		}
	}()
	late := time.NewTimer(time.Until(begin.Add(h.Limits.HardBudget)))
	defer late.Stop()
	var res result
	select {
	case res = <-done:
	case <-late.C:
		res.err = errNoAnswer
	}
	switch {
	case res.panicked != nil:
		panic(res.panicked)
	case res.err != nil:
		return &refusal{status: http.StatusServiceUnavailable, retryAfter: retryStore, cause: res.err}
	case r.reason != "":
		h.metrics.dead.WithLabelValues(stream.StageIngress, r.reason).Inc()
		h.Log.Warn("webhook cannot be routed, stored as a dead letter", zap.String(logging.Action, r.label),
			zap.String(logging.Reason, r.reason), zap.String(logging.Organization, r.key.Org),
			zap.String(logging.Chat, r.key.Chat), zap.String(logging.Thread, r.key.Thread))
	}
	return nil
}

// retryStore is what an outage of the store answers.
const retryStore = 5 * time.Second
