package webhook

import (
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"autotag/pkg/stream"
)

// unauthenticated is the action label of requests that were refused before
// their secret was accepted.
const unauthenticated = "none"

type metrics struct {
	webhooks *prometheus.CounterVec
	seconds  prometheus.Histogram
	inFlight prometheus.Gauge
	dead     *prometheus.CounterVec
	secrets  *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, b *budget) *metrics {
	m := &metrics{
		webhooks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "autotag_webhooks_total",
			Help: "Requests to the webhook path by action (none: not authenticated, other: not a documented action) and status answered.",
		}, []string{"action", "answer"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "autotag_webhook_seconds",
			Help:    "Time from the headers of a request to the webhook path to its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 8.5, 10},
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "autotag_webhooks_in_flight", Help: "Requests to the webhook path that are not answered yet.",
		}),
		dead: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "autotag_dead_letters_total", Help: "Messages stored in AUTOTAG_DEAD by stage and reason.",
		}, []string{"stage", "reason"}),
		secrets: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "autotag_webhook_secret_matches_total",
			Help: "Authenticated webhooks by which of the configured secrets matched, counted from 0: when the old one's counter rests, it can go.",
		}, []string{"index"}),
	}
	bytes := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "autotag_webhook_bytes_in_flight", Help: "Bytes that the requests in flight hold.",
	}, func() float64 { return float64(b.used.Load()) })
	reg.MustRegister(m.webhooks, m.seconds, m.inFlight, m.secrets, bytes)
	// The tagger counts its dead letters under the same name, and may run in
	// the same process.
	var taken prometheus.AlreadyRegisteredError
	if err := reg.Register(m.dead); errors.As(err, &taken) {
		m.dead = taken.ExistingCollector.(*prometheus.CounterVec)
	} else if err != nil {
		panic(err) // the name or the labels are wrong: a fault of this program
	}
	for _, reason := range reasons {
		m.dead.WithLabelValues(stream.StageIngress, reason)
	}
	return m
}

func (m *metrics) answered(label string, status int, took time.Duration) {
	m.webhooks.WithLabelValues(label, strconv.Itoa(status)).Inc()
	m.seconds.Observe(took.Seconds())
}
