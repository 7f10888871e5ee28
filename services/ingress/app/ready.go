package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"autotag/pkg/stream"
)

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

// checkStream tells whether webhooks can be stored, as far as that can be known
// without storing one.
func (a *App) checkStream(ctx context.Context) error {
	if err := stream.Connected(a.nc); err != nil {
		return err
	}
	a.mu.Lock()
	err := a.streams
	a.mu.Unlock()
	if err != nil {
		return fmt.Errorf("streams: %w", err)
	}
	s, err := a.js.Stream(ctx, stream.Events)
	if err != nil {
		return fmt.Errorf("%s: %w", stream.Events, err)
	}
	info := s.CachedInfo()
	if limit := info.Config.MaxBytes; limit > 0 && info.Config.Discard == jetstream.DiscardNew && info.State.Bytes >= uint64(limit) {
		return fmt.Errorf("%s is full", stream.Events)
	}
	if age, err := a.store.lastFailure(); err != nil && age < trouble {
		return fmt.Errorf("the last webhook could not be stored: %s", cause(err))
	}
	return nil
}

// cause is what a publish error comes down to, in words of our own.
func cause(err error) string {
	for _, known := range []error{stream.ErrFull, stream.ErrTooLarge, stream.ErrNoStream} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "no acknowledgement in time"
}

// serverNotice shows what the server does not promise, and what of the streams
// is not as this program would have it.
func (a *App) serverNotice() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var lines []string
	for _, w := range a.warnings {
		lines = append(lines, string(w))
	}
	for _, d := range a.kept {
		lines = append(lines, d.String())
	}
	return strings.Join(lines, "; ")
}
