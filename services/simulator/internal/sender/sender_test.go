package sender

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// answers returns a transport that answers each try with the next status; 0
// never answers.
type answers struct {
	statuses []int
	times    []time.Time
	bodies   []string
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	a.times = append(a.times, time.Now())
	a.bodies = append(a.bodies, string(body))
	status := a.statuses[min(len(a.times), len(a.statuses))-1]
	if status == 0 {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: status, Body: http.NoBody, Request: r}, nil
}

// The clock of a synctest bubble is a fake one: the minute costs nothing.
func TestRetryRule(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		statuses []int
		speed    float64
		accept   bool // every 2xx
		ok       bool
		at       []time.Duration // of the tries
	}{
		{"200 at once", []int{200}, 1, false, true, []time.Duration{0}},
		{"202 is no success", []int{202, 200}, 1, false, true, []time.Duration{0, 10 * time.Second}},
		{"204 is no success", []int{204, 200}, 1, false, true, []time.Duration{0, 10 * time.Second}},
		{"202 is one by the switch", []int{202}, 1, true, true, []time.Duration{0}},
		{"302 is none by the switch", []int{302, 204}, 1, true, true, []time.Duration{0, 10 * time.Second}},
		{"4xx is tried again too", []int{401, 400, 404, 403}, 1, false, false,
			[]time.Duration{0, 10 * time.Second, 30 * time.Second, time.Minute}},
		{"a redirect is not followed", []int{302, 200}, 1, false, true, []time.Duration{0, 10 * time.Second}},
		{"up again at the third try", []int{503, 503, 200}, 1, false, true, []time.Duration{0, 10 * time.Second, 30 * time.Second}},
		{"no answer within ten seconds", []int{0, 200}, 1, false, true, []time.Duration{0, 20 * time.Second}},
		{"never an answer", []int{0}, 1, false, false, []time.Duration{0, 20 * time.Second, 50 * time.Second, 90 * time.Second}},
		{"a faster clock", []int{503}, 20, false, false,
			[]time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := &answers{statuses: tc.statuses}
				s := New(Options{URLs: []string{"http://ingress.test/webhooks/livechat"}, Speed: tc.speed, Accept2xx: tc.accept})
				s.client.Transport = a
				start := time.Now()
				var tries []Try
				if ok := s.Send(t.Context(), []byte(`{"a":1}`), func(try Try) { tries = append(tries, try) }); ok != tc.ok {
					t.Errorf("arrived: %v", ok)
				}
				var at []time.Duration
				for _, when := range a.times {
					at = append(at, when.Sub(start))
				}
				if !slices.Equal(at, tc.at) {
					t.Errorf("tries at %v, want %v", at, tc.at)
				}
				for i, try := range tries {
					last := i == len(tries)-1
					if try.Number != i+1 || try.Last != last || try.OK != (last && tc.ok) || (try.Err == nil) != (try.Status != 0) {
						t.Errorf("try %+v", try)
					}
				}
				for _, body := range a.bodies {
					if body != `{"a":1}` {
						t.Errorf("body %s", body)
					}
				}
			})
		})
	}
}

func TestContextStopsTheRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{URLs: []string{"http://ingress.test/"}})
		s.client.Transport = &answers{statuses: []int{503}}
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		start := time.Now()
		if s.Send(ctx, nil, nil) {
			t.Error("arrived")
		}
		if took := time.Since(start); took != 15*time.Second {
			t.Errorf("stopped after %s", took)
		}
	})
}

func TestRealRequest(t *testing.T) {
	t.Parallel()
	var seen atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen.Store(r.Method + " " + r.Header.Get("Content-Type"))
	}))
	defer server.Close()
	s := New(Options{URLs: []string{server.URL}})
	defer s.Close()
	if !s.Send(t.Context(), []byte("{}"), nil) || seen.Load() != "POST application/json" {
		t.Errorf("got %v", seen.Load())
	}
	var refused Try
	dead := New(Options{URLs: []string{"http://127.0.0.1:1/"}, Speed: 1e6})
	if dead.Send(t.Context(), nil, func(try Try) { refused = try }) || refused.Status != 0 || refused.Err == nil {
		t.Errorf("nobody listens, got %+v", refused)
	}
}

func TestSeveralReceiversTakeTurns(t *testing.T) {
	t.Parallel()
	var got [2]atomic.Int32
	var urls []string
	for i := range got {
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got[i].Add(1) }))
		defer server.Close()
		urls = append(urls, server.URL)
	}
	s := New(Options{URLs: urls})
	defer s.Close()
	for range 4 {
		s.Send(t.Context(), []byte("{}"), nil)
	}
	if got[0].Load() != 2 || got[1].Load() != 2 {
		t.Errorf("%d and %d", got[0].Load(), got[1].Load())
	}
}
