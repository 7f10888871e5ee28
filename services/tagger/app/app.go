// Package app is the tagger as a whole: it decides which tags finished chats
// get and makes LiveChat agree.
package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"autotag/pkg/admin"
	"autotag/pkg/chatstore"
	"autotag/pkg/lifecycle"
	"autotag/pkg/livechat"
	"autotag/pkg/logging"
	"autotag/pkg/stream"
	"autotag/services/tagger/internal/tagging"
	"autotag/services/tagger/internal/worker"
)

const (
	// drain is how long the handlers may go on at a stop. A call that LiveChat
	// has not answered by then is finished by whoever takes the thread up.
	drain = 10 * time.Second
	// stopLimit bounds a stop as a whole.
	stopLimit = drain + 5*time.Second
	// setUpPause lies between two tries to set up the streams.
	setUpPause     = time.Second
	provisionLimit = 30 * time.Second
)

// Deps are what another program that runs the tagger brings along; the zero
// value is for a program of its own.
type Deps struct {
	// NATS is a connection to use instead of NATS_URL; it is not closed.
	NATS *nats.Conn
	// Admin is a listener to use instead of one on ADMIN_ADDR; it is neither
	// started nor stopped. Two programs on one listener share its metrics.
	Admin *admin.Server
}

// App is a running tagger.
type App struct {
	cfg     Config
	log     *zap.Logger
	admin   *admin.Server
	shared  bool // admin is another program's
	foreign bool // nc is another program's
	nc      *nats.Conn
	js      jetstream.JetStream
	store   *chatstore.Store
	rules   *worker.Rules
	loops   *worker.Loops
	stop    *lifecycle.Stack
	failed  chan error

	mu      sync.Mutex
	streams error // why the streams are not set up yet
	kept    []stream.Difference
	// what endangers what is kept in NATS and Redis
	warnings []stream.Warning
	redis    string
}

// New returns a tagger that does nothing yet. Stop it even if Start is never
// called.
func New(cfg Config, log *zap.Logger, deps Deps) (_ *App, err error) {
	a := &App{
		cfg: cfg, log: log, admin: deps.Admin, shared: deps.Admin != nil, nc: deps.NATS, foreign: deps.NATS != nil,
		stop: lifecycle.New(log), failed: make(chan error, 1),
		streams: errors.New("not set up yet"),
	}
	defer func() {
		if err != nil {
			_ = a.stop.Stop(context.Background())
		}
	}()
	if !a.shared {
		a.admin = admin.New(cfg.AdminAddr, log)
		a.stop.Push("admin listener", a.admin.Stop)
	}
	if a.nc == nil {
		if err := a.connect(); err != nil {
			return nil, err
		}
	} else if a.js, err = jetstream.New(a.nc); err != nil {
		return nil, fmt.Errorf("use NATS: %w", err)
	}
	client, err := chatstore.Connect(cfg.RedisURL.Get)
	if err != nil {
		return nil, fmt.Errorf("REDIS_URL: %w", err)
	}
	a.stop.Push("Redis connection", func(context.Context) error { return client.Close() })
	a.store = chatstore.NewStore(client, cfg.ChatTTL)

	api := livechat.New(livechat.Options{
		BaseURL: cfg.APIURL, Version: cfg.APIVersion, Token: cfg.Token,
		OnNotice: func(header, value string) {
			log.Warn("LiveChat announces a change of its API", zap.String("header", header), zap.String("value", value))
		},
	})
	a.stop.Push("LiveChat connections", func(context.Context) error { api.Close(); return nil })

	metrics := worker.NewMetrics(a.admin.Registry())
	observer := worker.NewObserver(metrics, log)
	a.rules = worker.NewRules(cfg.RulesFile, a.nc, a.js, metrics, log)
	var organizations map[string]bool
	for _, org := range cfg.Organizations {
		if organizations == nil {
			organizations = map[string]bool{}
		}
		organizations[org] = true
	}
	a.loops = &worker.Loops{
		Core: tagging.New(tagging.Config{
			Clock: worker.Clock{}, Log: worker.NewLog(a.nc, a.js), Store: a.store, API: worker.NewAPI(api),
			Limits: observer.Limits(chatstore.NewLimits(client, cfg.APIRate)), Rules: a.rules, Observer: observer,
			Settle: cfg.Settle, Reconcile: tagging.Reconcile(cfg.Reconcile), Off: !bool(cfg.Apply), Organizations: organizations,
		}),
		JS: a.js, Observer: observer, Log: log, Provision: a.provision,
		Concurrency: cfg.APIConcurrency, Drain: drain,
	}
	a.admin.AddCheck("nats", a.checkConnection)
	a.admin.AddCheck("streams", a.checkStreams)
	a.admin.AddCheck("redis", a.store.Ready)
	a.admin.AddCheck("rules", a.rules.Ready)
	a.admin.AddNotice("rules", a.rules.Notice)
	a.admin.AddNotice("livechat", observer.Notice)
	a.admin.AddNotice("servers", a.serverNotice)
	a.admin.AddNotice("secrets", a.secretNotice)
	return a, nil
}

func (a *App) connect() (err error) {
	var leave func(context.Context) error
	a.nc, a.js, leave, err = stream.Open(stream.Options{
		URL: a.cfg.NATSURL, Creds: a.cfg.NATSCreds, Name: "autotag-" + Program,
	}, a.log, a.fail)
	if err == nil {
		a.stop.Push("NATS connection", leave)
	}
	return err
}

// fail ends Run with an error; the first one counts.
func (a *App) fail(err error) {
	select {
	case a.failed <- err:
	default:
	}
}

// Start begins to work. It returns once the admin port is bound; NATS, Redis
// and the rules may still be missing, readiness then says so.
func (a *App) Start() error {
	if !a.shared {
		if err := a.admin.Start(); err != nil {
			return err
		}
		a.log.Info("admin listener", zap.String(logging.Addr, a.admin.Addr()))
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.run(ctx)
	}()
	a.stop.Push("consumers", func(ctx context.Context) error {
		cancel()
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return nil
}

// run sets up what is needed and consumes until ctx ends.
func (a *App) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { a.checkRedis(ctx) })
	wg.Go(func() { a.rules.Run(ctx) })
	for a.provision(ctx) != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(setUpPause):
		}
	}
	wg.Go(func() { a.checkServer(ctx) })
	select {
	case <-a.rules.Loaded():
	case <-ctx.Done():
		return
	}
	wg.Go(func() { a.mend(ctx) })
	a.log.Info("taking webhooks from NATS")
	a.loops.Run(ctx)
}

// mend tries again what a set-up in between, by a consumer that missed its
// stream, has failed to do: the consumer may find it there the next time, and
// not ask again. It also tells the log when the file of a secret cannot be read
// again, and when it can.
func (a *App) mend(ctx context.Context) {
	problem := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(setUpPause):
		}
		if now := a.secretNotice(); now != problem {
			if problem = now; problem != "" {
				a.log.Warn("the last good secrets stay", zap.String("problem", problem))
			} else {
				a.log.Info("secrets are those of their files again")
			}
		}
		a.mu.Lock()
		failed := a.streams != nil
		a.mu.Unlock()
		if failed {
			_ = a.provision(ctx) // it logs and keeps its error
		}
	}
}

// provision creates what is missing of the streams and consumers.
func (a *App) provision(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, provisionLimit)
	defer cancel()
	err := stream.Connected(a.nc)
	var kept []stream.Difference
	if err == nil {
		kept, err = stream.Provision(ctx, a.js, stream.ProvisionOptions{
			EventsMaxAge: a.cfg.EventsMaxAge, EventsMaxBytes: int64(a.cfg.EventsMaxBytes), Replicas: a.cfg.Replicas,
		})
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.streams
	a.streams = err
	switch {
	case err == nil:
		for _, d := range kept {
			a.log.Warn("kept as it is", zap.String("difference", d.String()))
		}
		a.kept = kept
	case before == nil || before.Error() != err.Error(): // it is tried every second
		a.log.Warn("streams cannot be set up yet", zap.Error(err))
	}
	return err
}

// checkServer looks once at what NATS promises. Who brings its own connection
// knows its own server.
func (a *App) checkServer(ctx context.Context) {
	if a.foreign {
		return
	}
	limit, cancel := context.WithTimeout(ctx, provisionLimit)
	defer cancel()
	warnings := stream.CheckServer(limit, a.js, a.cfg.NATSMonitorURL)
	if ctx.Err() != nil {
		return
	}
	for _, w := range warnings {
		a.log.Warn("NATS server", zap.String("warning", string(w)))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.warnings = warnings
}

// checkRedis asks once, when Redis is there, whether it may throw away chats.
func (a *App) checkRedis(ctx context.Context) {
	for {
		warning, err := a.store.Warning(ctx)
		if err == nil {
			if warning != "" {
				a.log.Warn(warning)
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			a.redis = warning
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(setUpPause):
		}
	}
}

// checkConnection asks the server for a sign of life.
func (a *App) checkConnection(ctx context.Context) error {
	if err := stream.Connected(a.nc); err != nil {
		return err
	}
	if err := a.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("the server does not answer: %w", err)
	}
	return nil
}

func (a *App) checkStreams(ctx context.Context) error {
	a.mu.Lock()
	err := a.streams
	a.mu.Unlock()
	if err != nil {
		return fmt.Errorf("streams: %w", err)
	}
	if _, err := a.js.Stream(ctx, stream.Events); err != nil {
		return fmt.Errorf("%s: %w", stream.Events, err)
	}
	return nil
}

func (a *App) serverNotice() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var lines []string
	if a.redis != "" {
		lines = append(lines, a.redis)
	}
	for _, w := range a.warnings {
		lines = append(lines, string(w))
	}
	for _, d := range a.kept {
		lines = append(lines, d.String())
	}
	return strings.Join(lines, "; ")
}

// secretNotice says when a secret's file cannot be read again.
func (a *App) secretNotice() string {
	var lines []string
	for _, s := range []struct {
		name string
		err  error
	}{
		{"REDIS_URL", a.cfg.RedisURL.Err()},
		{"LIVECHAT_ACCOUNT_ID", a.cfg.AccountID.Err()}, {"LIVECHAT_PAT", a.cfg.PAT.Err()}, {"LIVECHAT_ACCESS_TOKEN", a.cfg.AccessToken.Err()},
	} {
		if s.err != nil {
			lines = append(lines, s.name+": "+s.err.Error())
		}
	}
	return strings.Join(lines, "; ")
}

// AdminAddr is the bound address of the admin listener; call it after Start.
func (a *App) AdminAddr() string { return a.admin.Addr() }

// Failed tells when the tagger cannot go on.
func (a *App) Failed() <-chan error { return a.failed }

// Stop ends the tagger: readiness says no, no more messages are taken, what is
// being handled finishes, what is not goes back, connections are closed. A
// second call does nothing.
func (a *App) Stop(ctx context.Context) error {
	if !a.shared {
		a.admin.NotReady("stopping")
	}
	return a.stop.Stop(ctx)
}

// Run runs a tagger until ctx ends or it cannot go on.
func Run(ctx context.Context, cfg Config, log *zap.Logger) error {
	a, err := New(cfg, log, Deps{})
	if err != nil {
		return err
	}
	err = a.Start()
	if err == nil {
		select {
		case <-ctx.Done():
			log.Info("stopping")
		case err = <-a.failed:
		}
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	return errors.Join(err, a.Stop(limit))
}
