// Package app is Autotag in one process: the ingress and one tagger on an
// embedded NATS, whose store lies in a folder, and an embedded Redis. It is for
// trying Autotag out and for sites that one process can serve. The demo adds a
// simulated LiveChat.
package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"autotag/pkg/admin"
	"autotag/pkg/config"
	"autotag/pkg/lifecycle"
	ingress "autotag/services/ingress/app"
	tagger "autotag/services/tagger/app"
)

// stopTimeout is how long a stop may take in all.
const stopTimeout = 25 * time.Second

// App is a running standalone.
type App struct {
	log     *zap.Logger
	stop    *lifecycle.Stack
	nc      *nats.Conn
	admin   *admin.Server
	ingress *ingress.App
	tagger  *tagger.App
	failed  chan error
}

// New starts the embedded servers and prepares the services. If it fails,
// nothing is left running. Stop it even if Start fails.
func New(cfg Config, log *zap.Logger) (*App, error) {
	a := &App{log: log, stop: lifecycle.New(log), failed: make(chan error, 1)}
	if err := a.build(cfg); err != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		return nil, errors.Join(err, a.stop.Stop(ctx))
	}
	return a, nil
}

func (a *App) build(cfg Config) error {
	unlock, err := lock(cfg.DataDir)
	if err != nil {
		return err
	}
	a.stop.Push("data folder", func(context.Context) error { unlock(); return nil })

	server, nc, leave, err := startNATS(cfg.DataDir, a.log, a.fail)
	if err != nil {
		return err
	}
	a.nc = nc
	a.stop.Push("NATS", func(context.Context) error {
		server.Shutdown()
		server.WaitForShutdown()
		return nil
	})
	a.stop.Push("NATS connection", leave)

	redis, err := startRedis(expireEvery)
	if err != nil {
		return err
	}
	a.stop.Push("Redis", func(context.Context) error { redis.stop(); return nil })

	a.admin = admin.New(cfg.Ingress.AdminAddr, a.log)
	a.stop.Push("admin listener", a.admin.Stop)

	cfg.Tagger.RedisURL = config.NewSecret(redis.url)
	cfg.Ingress.NATSMonitorURL = "" // it is sure to fsync
	cfg.Ingress.Replicas, cfg.Tagger.Replicas = 1, 1
	a.tagger, err = tagger.New(cfg.Tagger, a.log.Named("tagger"), tagger.Deps{NATS: nc, Admin: a.admin})
	if err != nil {
		return err
	}
	a.stop.Push("tagger", a.tagger.Stop)
	a.ingress, err = ingress.New(cfg.Ingress, a.log.Named("ingress"), ingress.Deps{NATS: nc, Admin: a.admin})
	if err != nil {
		return err
	}
	a.stop.Push("ingress", a.ingress.Stop)
	return nil
}

// Start takes webhooks and tags chats; it returns once the ports are bound.
func (a *App) Start() error {
	if err := a.admin.Start(); err != nil {
		return err
	}
	if err := a.tagger.Start(); err != nil {
		return err
	}
	if err := a.ingress.Start(); err != nil {
		return err
	}
	go func() {
		select {
		case err := <-a.ingress.Failed():
			a.fail(err)
		case err := <-a.tagger.Failed():
			a.fail(err)
		}
	}()
	return nil
}

func (a *App) fail(err error) {
	select {
	case a.failed <- err:
	default:
	}
}

// Failed gives the error after which the standalone cannot go on.
func (a *App) Failed() <-chan error { return a.failed }

// Addr is the bound address for webhooks; AdminAddr that of /readyz. They are
// valid after Start.
func (a *App) Addr() string      { return a.ingress.Addr() }
func (a *App) AdminAddr() string { return a.admin.Addr() }

// Ready waits until webhooks can be taken and chats be decided.
func (a *App) Ready(ctx context.Context) error {
	for {
		r := a.admin.Ready(ctx)
		if r.Ready {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready: %s", faults(r.Checks))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func faults(checks map[string]string) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		if checks[name] != "ok" {
			list = append(list, name+": "+checks[name])
		}
	}
	return strings.Join(list, "; ")
}

// Stop takes no more, finishes what is under way and ends the servers.
func (a *App) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	return a.stop.Stop(ctx)
}

// Run serves until the context ends or the standalone cannot go on.
func Run(ctx context.Context, cfg Config, log *zap.Logger) error {
	a, err := New(cfg, log)
	if err != nil {
		return err
	}
	if len(cfg.Ignored) > 0 {
		log.Warn("standalone has its own NATS and Redis; these settings do not count", zap.Strings("settings", cfg.Ignored))
	}
	err = a.Start()
	if err == nil {
		log.Info("standalone serves", zap.String("webhooks", a.Addr()), zap.String("admin", a.AdminAddr()), zap.String("data", cfg.DataDir))
		select {
		case <-ctx.Done():
		case err = <-a.Failed():
		}
	}
	return errors.Join(err, a.Stop(context.WithoutCancel(ctx)))
}
