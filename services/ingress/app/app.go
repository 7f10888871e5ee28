// Package app is the ingress as a whole: it takes LiveChat's webhooks over HTTP
// and keeps them in NATS.
package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"autotag/pkg/admin"
	"autotag/pkg/lifecycle"
	"autotag/pkg/logging"
	"autotag/pkg/stream"
	"autotag/services/ingress/internal/webhook"
)

const (
	// stopLimit bounds a stop: the longest request and then some.
	stopLimit = 15 * time.Second
	// provisionPause lies between two tries to set up the streams.
	provisionPause = time.Second
	provisionLimit = 30 * time.Second
	// largestMessage is a webhook of the largest size with its headers.
	largestMessage = 1 << 20
	// trouble is how long a webhook that could not be stored keeps the ingress
	// from being ready.
	trouble = 5 * time.Second
)

// Deps are what another program that runs the ingress brings along; the zero
// value is for a program of its own.
type Deps struct {
	// NATS is a connection to use instead of NATS_URL; it is not closed, and
	// whether its server fsyncs is its owner's business.
	NATS *nats.Conn
	// Admin is a listener to use instead of one on ADMIN_ADDR; it is neither
	// started nor stopped.
	Admin *admin.Server
}

// App is a running ingress.
type App struct {
	cfg      Config
	log      *zap.Logger
	admin    *admin.Server
	shared   bool // admin is another program's
	handler  *webhook.Handler
	secrets  *webhook.Secrets
	store    *store
	nc       *nats.Conn
	borrowed bool // nc is another program's
	js       jetstream.JetStream
	stop     *lifecycle.Stack
	addr     string
	failed   chan error

	mu       sync.Mutex
	streams  error            // why the streams are not set up yet
	warnings []stream.Warning // about the server
	kept     []stream.Difference
}

// New returns an ingress that is not listening yet. Stop it even if Start is
// never called.
func New(cfg Config, log *zap.Logger, deps Deps) (*App, error) {
	a := &App{
		cfg: cfg, log: log, admin: deps.Admin, shared: deps.Admin != nil, nc: deps.NATS, borrowed: deps.NATS != nil,
		stop: lifecycle.New(log), failed: make(chan error, 1),
		streams: errors.New("not set up yet"),
	}
	var err error
	if a.secrets, err = webhook.NewSecrets(cfg.Secrets); err != nil {
		return nil, fmt.Errorf("LIVECHAT_WEBHOOK_SECRETS: %w", err)
	}
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
	a.store = newStore(a.js, a.provision)
	a.handler = webhook.NewHandler(webhook.Options{
		Store: a.store, Secrets: a.secrets, Registry: a.admin.Registry(), Log: log,
		Organizations: cfg.Organizations,
	})
	a.admin.AddCheck("nats", a.checkConnection)
	a.admin.AddCheck("events", a.checkStream)
	a.admin.AddNotice("webhook_secrets", a.secrets.Problem)
	a.admin.AddNotice("nats_server", a.serverNotice)
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

// Start listens. It returns once the ports are bound; NATS may still be away,
// webhooks are then answered with 503 and readiness says why.
func (a *App) Start() error {
	if !a.shared {
		if err := a.admin.Start(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	provisioned := make(chan struct{})
	go func() {
		defer close(provisioned)
		a.setUp(ctx)
		a.mend(ctx)
	}()
	a.stop.Push("stream set-up", func(ctx context.Context) error {
		cancel()
		select {
		case <-provisioned:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})

	server, err := webhook.Serve(a.handler, a.cfg.Addr, func(err error) {
		a.fail(fmt.Errorf("webhook listener: %w", err))
	})
	if err != nil {
		return fmt.Errorf("webhook listener: %w", err)
	}
	a.addr = server.Addr()
	a.stop.Push("webhook listener", server.Stop)
	a.log.Info("taking webhooks", zap.String(logging.Addr, a.addr), zap.String("path", webhook.Path))
	return nil
}

// Addr is the address on which webhooks are taken; call it after Start.
func (a *App) Addr() string { return a.addr }

// AdminAddr is the bound address of the admin listener; call it after Start.
func (a *App) AdminAddr() string { return a.admin.Addr() }

// Failed tells when the ingress cannot go on.
func (a *App) Failed() <-chan error { return a.failed }

// Stop ends the ingress without failing a request: readiness says no, the port
// closes, what is in flight finishes, NATS is flushed. A second call does
// nothing.
func (a *App) Stop(ctx context.Context) error {
	a.admin.NotReady("stopping")
	return a.stop.Stop(ctx)
}

// Run runs an ingress until ctx ends or it cannot go on.
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

// setUp sets up the streams, for as long as it takes NATS to be there, then
// looks at what the server promises, if it is our own.
func (a *App) setUp(ctx context.Context) {
	for a.provision(ctx) != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(provisionPause):
		}
	}
	if a.borrowed {
		return
	}
	limit, cancel := context.WithTimeout(ctx, provisionLimit)
	defer cancel()
	warnings := stream.CheckServer(limit, a.js, a.cfg.NATSMonitorURL)
	if ctx.Err() != nil {
		return
	}
	if most := a.nc.MaxPayload(); most < largestMessage {
		warnings = append(warnings, stream.Warning(fmt.Sprintf(
			"max_payload is %d bytes: large webhooks cannot be stored, it should be %d at least", most, largestMessage)))
	}
	for _, w := range warnings {
		a.log.Warn("NATS server", zap.String("warning", string(w)))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.warnings = warnings
}

// mend tries again what a set-up in between, for a webhook that found no
// stream, has failed to do: the next webhook may find one, and not ask again.
// It also tells the log when the secrets' file cannot be read again, and when it
// can.
func (a *App) mend(ctx context.Context) {
	problem := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(provisionPause):
		}
		if now := a.secrets.Problem(); now != problem {
			if problem = now; problem != "" {
				a.log.Warn("webhook secrets", zap.String("problem", problem))
			} else {
				a.log.Info("webhook secrets are those of their file again")
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

// provision creates what is missing of the streams.
func (a *App) provision(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, provisionLimit)
	defer cancel()
	var kept []stream.Difference
	err := stream.Connected(a.nc)
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
