package lifecycle_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap/zaptest"

	"autotag/pkg/lifecycle"
)

func TestStopRunsLastPushedFirstAndOnce(t *testing.T) {
	t.Parallel()
	s := lifecycle.New(zaptest.NewLogger(t))
	var ran []string
	boom := errors.New("boom")
	for _, name := range []string{"a", "b", "c"} {
		s.Push(name, func(context.Context) error {
			ran = append(ran, name)
			if name == "b" {
				return boom
			}
			return nil
		})
	}
	if err := s.Stop(t.Context()); !errors.Is(err, boom) || !strings.Contains(err.Error(), "stop b: ") {
		t.Errorf("%v", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("second: %v", err)
	}
	if diff := cmp.Diff([]string{"c", "b", "a"}, ran); diff != "" {
		t.Error(diff)
	}
}

func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := lifecycle.New(zaptest.NewLogger(t))
		last := false
		s.Push("last", func(ctx context.Context) error { last = ctx.Err() != nil; return nil })
		release := make(chan struct{})
		s.Push("hangs", func(context.Context) error { <-release; return nil })
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		err := s.Stop(ctx)
		if took := time.Since(begin); took > 4*time.Second || !errors.Is(err, context.DeadlineExceeded) || !last {
			t.Errorf("took %v, %v, last step ran with an ended context: %v", took, err, last)
		}
		close(release)
	})
}
