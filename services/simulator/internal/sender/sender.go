// Package sender posts webhooks as LiveChat does: success is exactly status
// 200 within ten seconds, anything else is tried again three times within about
// a minute, then the webhook is gone.
package sender

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// Timeout is the documented time-out of one try.
const Timeout = 10 * time.Second

// pauses lie between the tries: LiveChat documents up to three retries within
// about a minute, not when they come.
var pauses = []time.Duration{10 * time.Second, 20 * time.Second, 30 * time.Second}

// Try is one try of a delivery.
type Try struct {
	Number int  // from 1
	Status int  // 0 when no answer came in time
	OK     bool // the webhook arrived
	Took   time.Duration
	Err    error // why no answer came
	Again  time.Duration
	Last   bool // arrived, or given up
}

// Options of a Sender.
type Options struct {
	// URLs are the addresses to post to, at least one; the tries take turns.
	URLs []string
	// Speed shortens the pauses between tries by that factor (1 when 0); the
	// time-out of a try stays as it is, for it measures the receiver.
	Speed float64
	// Accept2xx takes every status of 200 to 299 for a success. LiveChat
	// documents 200 alone.
	Accept2xx bool
}

// Sender posts webhooks.
type Sender struct {
	opts   Options
	turn   atomic.Uint64
	client *http.Client
}

// New returns a sender.
func New(opts Options) *Sender {
	if opts.Speed == 0 {
		opts.Speed = 1
	}
	return &Sender{opts: opts, client: &http.Client{
		Timeout:       Timeout,
		Transport:     &http.Transport{DialContext: dialAny, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Send delivers one webhook and returns whether it arrived. It calls report,
// which may be nil, after every try. A context that ends stops it.
func (s *Sender) Send(ctx context.Context, body []byte, report func(Try)) bool {
	for n := 1; ; n++ {
		try := s.try(ctx, body)
		try.Number = n
		try.Last = try.OK || n > len(pauses) || ctx.Err() != nil
		if !try.Last {
			try.Again = time.Duration(float64(pauses[n-1]) / s.opts.Speed)
		}
		if report != nil {
			report(try)
		}
		if try.Last {
			return try.OK
		}
		if !Sleep(ctx, try.Again) {
			return false
		}
	}
}

func (s *Sender) try(ctx context.Context, body []byte) Try {
	start := time.Now()
	status, err := s.post(ctx, body)
	ok := status == http.StatusOK || s.opts.Accept2xx && status/100 == 2
	return Try{Status: status, OK: ok, Took: time.Since(start), Err: err}
}

func (s *Sender) post(ctx context.Context, body []byte) (int, error) {
	url := s.opts.URLs[(s.turn.Add(1)-1)%uint64(len(s.opts.URLs))]
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("post webhook: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("post webhook: %w", err)
	}
	defer res.Body.Close()
	// Read a little, so that the connection can be used again.
	if _, err := io.CopyN(io.Discard, res.Body, 64<<10); err != nil && err != io.EOF {
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	return res.StatusCode, nil
}

// Close drops idle connections.
func (s *Sender) Close() { s.client.CloseIdleConnections() }

// Sleep waits d and says whether the context let it.
func Sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
