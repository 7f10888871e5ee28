package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"autotag/pkg/admin"
	"autotag/pkg/testkit/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func start(t *testing.T) *admin.Server {
	t.Helper()
	s := admin.New("127.0.0.1:0", zaptest.NewLogger(t))
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func get(t *testing.T, s *admin.Server, path string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + s.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	s := start(t)
	if code, body := get(t, s, "/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("/healthz: %d %q", code, body)
	}
	if code, body := get(t, s, "/metrics"); code != 200 || !strings.Contains(body, "go_goroutines") || !strings.Contains(body, "process_") || !strings.Contains(body, "autotag_build_info") {
		t.Errorf("/metrics: %d", code)
	}
	if code, _ := get(t, s, "/debug/pprof"); code != 404 {
		t.Errorf("unknown path: %d", code)
	}
	if code, _ := get(t, s, "/readyz"); code != 200 {
		t.Errorf("ready without checks: %d", code)
	}
	for _, ready := range []bool{false, true} {
		if err := admin.Healthcheck(t.Context(), s.Addr(), ready); err != nil {
			t.Error(err)
		}
	}
}

func TestReadyzNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.AddCheck("nats", func(context.Context) error { return nil })
	s.AddCheck("redis", func(context.Context) error { return errors.New("connection refused") })
	s.AddNotice("rules", func() string { return "old rules go on" })
	s.AddNotice("quiet", func() string { return "" })
	code, body := get(t, s, "/readyz")
	var got admin.Readiness
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if code != 503 || got.Ready || got.Checks["nats"] != "ok" || got.Checks["redis"] != "connection refused" || got.Notices["rules"] != "old rules go on" || len(got.Notices) != 1 {
		t.Errorf("%d %s", code, body)
	}
	if err := admin.Healthcheck(t.Context(), s.Addr(), true); err == nil || !strings.Contains(err.Error(), `"redis": "connection refused"`) {
		t.Errorf("healthcheck --ready says %v", err)
	}
	if err := admin.Healthcheck(t.Context(), s.Addr(), false); err != nil {
		t.Error(err)
	}
}

func TestOfChecksWithOneNameTheFailingOneShows(t *testing.T) {
	t.Parallel()
	good := func(context.Context) error { return nil }
	bad := func(context.Context) error { return errors.New("frozen") }
	for _, checks := range [][]admin.Check{{good, bad}, {bad, good}} {
		s := start(t)
		for _, c := range checks {
			s.AddCheck("nats", c)
		}
		if r := s.Ready(t.Context()); r.Ready || r.Checks["nats"] != "frozen" {
			t.Errorf("readiness is %+v", r)
		}
	}
}

func TestNoticeDoesNotFailReadinessAndStoppingDoes(t *testing.T) {
	t.Parallel()
	s := admin.New("", zaptest.NewLogger(t))
	s.AddNotice("server", func() string { return "sync_interval is not always" })
	if r := s.Ready(t.Context()); !r.Ready || len(r.Notices) != 1 {
		t.Errorf("%+v", r)
	}
	s.NotReady("stopping")
	if r := s.Ready(t.Context()); r.Ready || r.Checks["running"] != "stopping" {
		t.Errorf("%+v", r)
	}
}

func TestFrozenDependencyIsNoticedAndAskedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := admin.New("", zaptest.NewLogger(t))
		release := make(chan struct{})
		var runs atomic.Int32
		s.AddCheck("frozen", func(context.Context) error { runs.Add(1); <-release; return nil }) // ignores its context
		begin := time.Now()
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if r := s.Ready(t.Context()); r.Ready {
					t.Error("ready")
				}
			})
		}
		wg.Wait()
		if took := time.Since(begin); took > 6*time.Second || runs.Load() != 1 {
			t.Errorf("took %v, %d runs", took, runs.Load())
		}
		close(release)
		synctest.Wait()
		if r := s.Ready(t.Context()); !r.Ready {
			t.Errorf("after it thawed: %+v", r)
		}
	})
}

func TestChecksAreSharedForASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := admin.New("", zaptest.NewLogger(t))
		runs := 0
		s.AddCheck("counted", func(context.Context) error { runs++; return nil })
		for range 5 {
			s.Ready(t.Context())
		}
		if runs != 1 {
			t.Errorf("%d runs at once", runs)
		}
		time.Sleep(2 * time.Second) // the bubble's clock
		if s.Ready(t.Context()); runs != 2 {
			t.Errorf("%d runs after two seconds", runs)
		}
	})
}

func TestStartFailsOnATakenPort(t *testing.T) {
	t.Parallel()
	s := start(t)
	if err := admin.New(s.Addr(), zaptest.NewLogger(t)).Start(); err == nil {
		t.Error("no error")
	}
}
