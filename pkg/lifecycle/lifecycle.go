// Package lifecycle stops what a program has started, last started first.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"autotag/pkg/logging"
)

// Stack collects the stop steps of a program, each pushed at the moment the
// thing it stops exists. It is safe for use by several goroutines.
type Stack struct {
	log   *zap.Logger
	mu    sync.Mutex
	steps []step
}

type step struct {
	name string
	stop func(context.Context) error
}

// New returns an empty stack that logs its steps.
func New(log *zap.Logger) *Stack { return &Stack{log: log} }

// Push adds a step. stop should return soon after its context ends; one that
// does not is left behind.
func (s *Stack) Push(name string, stop func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(s.steps, step{name, stop})
}

// Stop runs every step, last pushed first, and empties the stack; a second call
// finds nothing to do. All steps together have until ctx ends: the ones that are
// left then still run, with a context that has ended. It returns the joined
// errors of the steps, each with the step's name.
func (s *Stack) Stop(ctx context.Context) error {
	s.mu.Lock()
	steps := s.steps
	s.steps = nil
	s.mu.Unlock()

	var faults []error
	for i := len(steps) - 1; i >= 0; i-- {
		begin := time.Now()
		err := run(ctx, steps[i].stop)
		log := s.log.With(zap.String(logging.Step, steps[i].name), zap.Duration(logging.Took, time.Since(begin)))
		if err != nil {
			log.Warn("stop step ended with an error", zap.Error(err))
			faults = append(faults, fmt.Errorf("stop %s: %w", steps[i].name, err))
			continue
		}
		log.Debug("stopped")
	}
	return errors.Join(faults...)
}

// grace is what a step gets to notice that its context has ended.
const grace = 100 * time.Millisecond

func run(ctx context.Context, stop func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- stop(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(grace):
		return context.Cause(ctx)
	}
}
