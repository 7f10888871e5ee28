// Package admin is the private side door of a program: whether it lives, whether
// it is ready for work and what is wrong if not, and its metrics.
//
//	GET /healthz  200 as long as the process can answer
//	GET /readyz   200 if every check passes, else 503; the body (JSON) names each check and notice
//	GET /metrics  Prometheus
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"autotag/pkg/buildinfo"
)

const (
	// checkLimit bounds one check, so that a frozen dependency is noticed: a
	// check that has not answered by then has failed.
	checkLimit = 5 * time.Second
	// fresh is how long an answer is used again, so that many askers cost a
	// dependency no more than one.
	fresh = time.Second
)

// Check says why a dependency cannot be used, or nil. It should end with its
// context.
type Check func(ctx context.Context) error

// Server is the private listener. Add checks and notices at any time.
type Server struct {
	addr     string
	log      *zap.Logger
	registry *prometheus.Registry
	http     *http.Server
	listener net.Listener

	mu       sync.Mutex
	checks   []*check
	notices  []notice
	stopping string
}

type check struct {
	name string
	run  Check

	mu      sync.Mutex
	at      time.Time     // when err was found
	err     error         // what the last finished run said
	running chan struct{} // closed when the run under way ends; nil if there is none
}

type notice struct {
	name string
	text func() string
}

// New returns a server for addr, not yet listening, with a registry that holds
// the collectors of the Go runtime and the process.
func New(addr string, log *zap.Logger) *Server {
	s := &Server{addr: addr, log: log, registry: prometheus.NewRegistry()}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "autotag_build_info", Help: "Always 1; the label tells the running build.",
		ConstLabels: prometheus.Labels{"version": buildinfo.Version()},
	})
	info.Set(1)
	s.registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	errorLog, err := zap.NewStdLogAt(log, zap.WarnLevel)
	if err != nil {
		panic(err) // only of a level that does not exist
	}
	s.http = &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          errorLog,
	}
	return s
}

// Registry is where the program registers its metrics.
func (s *Server) Registry() *prometheus.Registry { return s.registry }

// AddCheck adds a check that readiness depends on. Checks may share a name; if
// one of them fails, that is what the name shows.
func (s *Server) AddCheck(name string, run Check) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checks = append(s.checks, &check{name: name, run: run})
}

// AddNotice adds something that the body of /readyz shows without being less
// ready for it. text returns "" when there is nothing to say.
func (s *Server) AddNotice(name string, text func() string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notices = append(s.notices, notice{name, text})
}

// NotReady makes the program not ready for good: it is about to stop.
func (s *Server) NotReady(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopping = why
}

// Start listens and serves. It returns once the port is bound.
func (s *Server) Start() error {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return fmt.Errorf("admin listener: %w", err)
	}
	s.listener = l
	go func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("admin listener ended", zap.Error(err))
		}
	}()
	return nil
}

// Addr is the bound address; call it after Start.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Stop ends the server. Push it first, so that it is stopped last and readiness
// can be asked for until then.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

// Readiness is what /readyz tells.
type Readiness struct {
	Ready   bool              `json:"ready"`
	Checks  map[string]string `json:"checks"`            // "ok" or what is wrong, by check
	Notices map[string]string `json:"notices,omitempty"` // by notice
}

// Ready runs the checks, all at once, and says what is wrong. It takes no longer
// than five seconds.
func (s *Server) Ready(ctx context.Context) Readiness {
	s.mu.Lock()
	checks, notices, stopping := s.checks, s.notices, s.stopping
	s.mu.Unlock()

	r := Readiness{Ready: true, Checks: make(map[string]string)}
	errs := make([]error, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() { errs[i] = c.ask(ctx) })
	}
	wg.Wait()
	for i, c := range checks {
		switch {
		case errs[i] != nil:
			r.Ready = false
			r.Checks[c.name] = errs[i].Error()
		case r.Checks[c.name] == "": // not by another check of that name
			r.Checks[c.name] = "ok"
		}
	}
	if stopping != "" {
		r.Ready = false
		r.Checks["running"] = stopping
	}
	for _, n := range notices {
		if text := n.text(); text != "" {
			if r.Notices == nil {
				r.Notices = make(map[string]string)
			}
			r.Notices[n.name] = text
		}
	}
	return r
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	ready := s.Ready(r.Context())
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !ready.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(ready) // an error means that the asker has gone
}

// ask returns a fresh answer, sharing the run under way if there is one. A check
// that hangs has one run only, however often it is asked for.
func (c *check) ask(ctx context.Context) error {
	c.mu.Lock()
	if c.running == nil {
		if time.Since(c.at) < fresh {
			defer c.mu.Unlock()
			return c.err
		}
		done := make(chan struct{})
		c.running = done
		// The answer is for every asker, so it outlives the one who came first.
		go c.work(context.WithoutCancel(ctx), done)
	}
	done := c.running
	c.mu.Unlock()

	timer := time.NewTimer(checkLimit)
	defer timer.Stop()
	select {
	case <-done:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.err
	case <-timer.C:
		return fmt.Errorf("no answer within %v", checkLimit)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *check) work(ctx context.Context, done chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	err := c.run(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err, c.at, c.running = err, time.Now(), nil
	close(done)
}

// Healthcheck asks the program that listens on addr, an ADMIN_ADDR such as
// ":9090", whether it lives or, with ready, whether it is ready for work.
func Healthcheck(ctx context.Context, addr string, ready bool) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("admin address: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	path := "/healthz"
	if ready {
		path = "/readyz"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+path, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // never through a proxy
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		err := fmt.Errorf("%s answers %s", path, resp.Status)
		// What is wrong, in one line, for that is all of it that docker keeps.
		if said, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)); len(said) > 0 {
			err = fmt.Errorf("%w: %s", err, strings.Join(strings.Fields(string(said)), " "))
		}
		return err
	}
	return nil
}
