package worker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"autotag/pkg/decision"
	"autotag/pkg/logging"
	"autotag/pkg/rules"
	"autotag/pkg/stream"
	"autotag/pkg/transcript"
	"autotag/services/tagger/internal/tagging"
)

// Metrics are the tagger's metrics. No label holds an id or anything that
// people wrote, and each has a bounded number of values.
type Metrics struct {
	pending     *prometheus.GaugeVec
	decisions   *prometheus.CounterVec
	tags        *prometheus.CounterVec
	calls       *prometheus.CounterVec
	dead        *prometheus.CounterVec
	rulesValid  prometheus.Gauge
	rulesInfo   *prometheus.GaugeVec
	gapsIgnored prometheus.Counter
	callsPaused prometheus.Gauge
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		pending: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "autotag_consumer_pending", Help: "Messages that wait for a consumer or are not yet acknowledged.",
		}, []string{"consumer"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "autotag_decisions_total", Help: "Decisions recorded, by reason.",
		}, []string{"reason"}),
		tags: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "autotag_tags_total", Help: "Ends of tag and untag calls; result is ok or why not.",
		}, []string{"op", "result"}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "autotag_livechat_calls_total", Help: "Calls of the LiveChat API; result is ok or the error type.",
		}, []string{"method", "result"}),
		dead: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "autotag_dead_letters_total", Help: "Messages stored in AUTOTAG_DEAD by stage and reason.",
		}, []string{"stage", "reason"}),
		rulesValid: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "autotag_rules_valid", Help: "1 if the rules file as it is now is in force, else 0.",
		}),
		rulesInfo: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "autotag_rules_info", Help: "Always 1; the label is the version of the rules in force.",
		}, []string{"version"}),
		gapsIgnored: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "autotag_gaps_ignored_total", Help: "Threads whose gaps in event numbers did not count, since gaps have lately hidden nothing.",
		}),
		callsPaused: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "autotag_livechat_paused", Help: "Organizations whose calls wait until the API takes them again.",
		}),
	}
	r.MustRegister(m.pending, m.decisions, m.tags, m.calls, m.rulesValid, m.rulesInfo, m.gapsIgnored, m.callsPaused)
	// The ingress counts its dead letters under the same name, and may run in
	// the same process.
	var taken prometheus.AlreadyRegisteredError
	if err := r.Register(m.dead); errors.As(err, &taken) {
		m.dead = taken.ExistingCollector.(*prometheus.CounterVec)
	} else if err != nil {
		panic(err) // the name or the labels are wrong: a fault of this program
	}
	// An increase from nothing would not be seen.
	for _, reason := range []string{decision.ReasonEnded, decision.ReasonLateEvent} {
		m.decisions.WithLabelValues(reason)
	}
	for _, op := range []string{decision.Tag, decision.Untag} {
		m.tags.WithLabelValues(op, "ok")
	}
	for _, reason := range []string{reasonUnreadable, reasonNoIDs, reasonNoEvent, stream.ReasonPanic} {
		m.dead.WithLabelValues(stream.StageAccumulate, reason)
	}
	m.dead.WithLabelValues(stream.StageDecide, reasonTooLarge)
	for _, reason := range []string{"unknown_tag", "foreign_organization", "not_found", "validation"} {
		m.dead.WithLabelValues(stream.StageApply, reason)
	}
	return m
}

// results are the values of the label result, and reasons of dead letters, that
// may come from the platform or the core; another is counted as other.
var results = map[string]bool{
	"ok": true, "already_tagged": true, "not_tagged": true, "unreachable": true, "not_sent": true, "given_up": true,
	"unknown_tag": true, "foreign_organization": true, reasonUnreadable: true, reasonNoIDs: true, reasonNoEvent: true, reasonSubject: true,
	reasonTooLarge: true, stream.ReasonPanic: true,
	// The platform's error types.
	"too_many_requests": true, "request_timeout": true, "service_unavailable": true, "internal": true,
	"authentication": true, "authorization": true, "license_expired": true, "license_not_found": true,
	"wrong_product_version": true, "unsupported_version": true, "misdirected_request": true,
	"missing_access": true, "validation": true, "not_found": true, "already_exists": true, "group_not_found": true,
	"limit_reached": true, "chat_inactive": true, "agent_offline": true, "entity_too_large": true,
}

func result(s string) string {
	switch {
	case s == "":
		return "ok"
	case results[s]:
		return s
	}
	return "other"
}

// Observer turns what happens into metrics and log lines.
type Observer struct {
	metrics *Metrics
	log     *zap.Logger

	mu      sync.Mutex
	paused  map[string]string       // reason by organization
	unknown map[[2]string]time.Time // last refusal by organization and tag
}

// NewObserver makes an observer.
func NewObserver(m *Metrics, log *zap.Logger) *Observer {
	return &Observer{metrics: m, log: log, paused: map[string]string{}, unknown: map[[2]string]time.Time{}}
}

// thread is the log field of a thread: three, in fact.
func thread(k transcript.Key) zap.Field { return zap.Inline(threadFields(k)) }

type threadFields transcript.Key

func (k threadFields) MarshalLogObject(e zapcore.ObjectEncoder) error {
	e.AddString(logging.Organization, k.Org)
	e.AddString(logging.Chat, k.Chat)
	e.AddString(logging.Thread, k.Thread)
	return nil
}

// Decided counts a decision and logs it: one line per decided thread.
func (o *Observer) Decided(k transcript.Key, r decision.Record, changed bool) {
	o.metrics.decisions.WithLabelValues(r.Reason).Inc()
	var used []string
	for _, h := range r.Tags {
		if !slices.Contains(used, h.Rule) {
			used = append(used, h.Rule)
		}
	}
	o.log.Info("decided", thread(k),
		zap.Strings("tags", rules.Result{Tags: r.Tags}.TagSet()), zap.Strings("rules", used),
		zap.Bool("changed", changed), zap.String(logging.Reason, r.Reason), zap.String("rules_version", r.RulesVersion),
		zap.Int("messages", r.Transcript.Messages), zap.Bool("complete", r.Transcript.Complete), zap.Bool("cut", r.Transcript.Cut))
}

// Called counts a call of the API.
func (o *Observer) Called(k transcript.Key, method, res string) {
	o.metrics.calls.WithLabelValues(method, result(res)).Inc()
	o.log.Debug("called LiveChat", thread(k), zap.String("method", method), zap.String("result", result(res)))
}

// Tagged counts the end of a tag or untag call.
func (o *Observer) Tagged(k transcript.Key, c decision.Call) {
	o.metrics.tags.WithLabelValues(c.Op, result(c.Result)).Inc()
	fields := []zap.Field{
		thread(k), zap.String("op", c.Op), zap.String(logging.Tag, c.Tag), zap.String("state", c.State),
		zap.String("result", result(c.Result)), zap.Int(logging.Attempt, c.Attempt),
	}
	if c.State == decision.Failed {
		o.log.Warn("tag call failed", fields...)
		return
	}
	if c.Op == decision.Tag {
		o.mu.Lock()
		delete(o.unknown, [2]string{k.Org, c.Tag})
		o.mu.Unlock()
	}
	o.log.Debug("tag call done", fields...)
}

// Dead counts a call that went to AUTOTAG_DEAD.
func (o *Observer) Dead(k transcript.Key, stage, reason string) {
	o.deadLetter(stage, reason)
	o.log.Error("given up: in AUTOTAG_DEAD", thread(k), zap.String("stage", stage), zap.String(logging.Reason, reason))
}

func (o *Observer) deadLetter(stage, reason string) {
	o.metrics.dead.WithLabelValues(stage, result(reason)).Inc()
}

// Paused logs that an organization's calls wait, or go on: once per change.
func (o *Observer) Paused(org, reason string, until time.Time) {
	o.mu.Lock()
	before, was := o.paused[org]
	if until.IsZero() {
		delete(o.paused, org)
	} else {
		o.paused[org] = reason
	}
	o.metrics.callsPaused.Set(float64(len(o.paused)))
	o.mu.Unlock()

	fields := []zap.Field{zap.String(logging.Organization, org), zap.String(logging.Reason, reason)}
	switch {
	case until.IsZero() && was:
		o.log.Info("calls of LiveChat go on", zap.String(logging.Organization, org), zap.String(logging.Reason, before))
	case until.IsZero(), was && before == reason:
	case needsPerson(reason):
		o.log.Error("calls of LiveChat wait until somebody mends this", fields...)
	default:
		o.log.Warn("calls of LiveChat wait", fields...)
	}
}

// needsPerson says of a pause's reason that it does not go by itself.
func needsPerson(reason string) bool {
	switch reason {
	case "too_many_requests", "request_timeout", "service_unavailable", "internal", "unreachable":
		return false
	}
	return true
}

// Notice says which organizations' calls wait, and which tags LiveChat does not
// know.
func (o *Observer) Notice() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var lines []string
	for org, reason := range o.paused {
		lines = append(lines, "calls of "+org+" wait: "+reason)
	}
	for t, at := range o.unknown {
		if time.Since(at) > unknownLife {
			continue
		}
		lines = append(lines, "LiveChat does not know the tag "+t[1]+" in "+t[0])
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

// Limits are limits whose news are observed.
func (o *Observer) Limits(l tagging.Limits) tagging.Limits { return &observedLimits{l, o} }

type observedLimits struct {
	tagging.Limits
	o *Observer
}

const (
	// maxUnknown bounds how many unknown tags are remembered.
	maxUnknown = 100
	// unknownLife is how long a refusal is news: that the tag works by now may
	// be known to another worker alone.
	unknownLife = time.Hour
)

func (l *observedLimits) Refused(ctx context.Context, org, tag string) error {
	err := l.Limits.Refused(ctx, org, tag)
	l.o.mu.Lock()
	t := [2]string{org, tag}
	at, ok := l.o.unknown[t]
	known := ok && time.Since(at) < unknownLife || !ok && len(l.o.unknown) >= maxUnknown
	if ok || !known {
		l.o.unknown[t] = time.Now()
	}
	l.o.mu.Unlock()
	if !known {
		l.o.log.Error("LiveChat does not know a tag of the rules: create it, its calls wait for a day",
			zap.String(logging.Organization, org), zap.String(logging.Tag, tag))
	}
	return err
}

func (l *observedLimits) Accepted(ctx context.Context, org, tag string) error {
	err := l.Limits.Accepted(ctx, org, tag)
	l.o.mu.Lock()
	delete(l.o.unknown, [2]string{org, tag})
	l.o.mu.Unlock()
	l.o.log.Info("LiveChat knows the tag now", zap.String(logging.Organization, org), zap.String(logging.Tag, tag))
	return err
}

func (l *observedLimits) GapsHarmless(ctx context.Context, org string) (bool, error) {
	harmless, err := l.Limits.GapsHarmless(ctx, org)
	if harmless {
		l.o.metrics.gapsIgnored.Inc()
	}
	return harmless, err
}
