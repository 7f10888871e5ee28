package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	pageBytes   = 8 << 20
	pageBatch   = 10_000
	pageSilence = 5 * time.Second
	// DefaultMaxRead bounds a reading whose options name no bound.
	DefaultMaxRead = 64 << 20
)

// Stored is a message as it lies in a stream.
type Stored struct {
	Subject string
	Seq     uint64
	Time    time.Time // when the server stored it
	Header  nats.Header
	Data    []byte
}

// ReadOptions says what to read.
type ReadOptions struct {
	Stream string
	Filter string // a subject; wildcards after literal tokens are cheap
	From   uint64 // first sequence; 0 for all
	To     uint64 // last sequence; 0 for all
	// Reach, if not 0, is a sequence that the reading must reach: a replica
	// that has not got this message yet gives ErrBehind instead of a short
	// answer. A message that the stream no longer has, or that lies outside
	// the filter, asks for nothing.
	Reach uint64
	// MaxBytes bounds the sum of the messages, subjects and headers included;
	// ErrTooMuch above it. Default DefaultMaxRead.
	MaxBytes int
}

// ReadAll reads every message on filter from sequence from on, in order.
func ReadAll(ctx context.Context, nc *nats.Conn, stream, filter string, from uint64) ([]Stored, error) {
	return Read(ctx, nc, ReadOptions{Stream: stream, Filter: filter, From: from})
}

// Read reads every message on a filter, in order, by direct batch gets in
// pages. It either returns all that the answering replica had at the end of
// the last page, or an error: the server ends a page early without a word at
// its own limit, so only a page whose closing message says that nothing is
// pending ends the reading, and each message must name its predecessor.
func Read(ctx context.Context, nc *nats.Conn, o ReadOptions) ([]Stored, error) {
	msgs, err := readPages(ctx, nc, o)
	if err == nil && o.Reach > 0 && (len(msgs) == 0 || msgs[len(msgs)-1].Seq < o.Reach) {
		err = checkReached(ctx, nc, o)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", o.Stream, err)
	}
	return msgs, nil
}

func readPages(ctx context.Context, nc *nats.Conn, o ReadOptions) ([]Stored, error) {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxRead
	}
	sub, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	var all []Stored
	total := 0
	next := max(o.From, 1)
	for {
		batch := pageBatch
		if o.To > 0 {
			if next > o.To {
				return all, nil
			}
			// The server knows no end: it is asked for no more messages than
			// there are sequences, and what lies beyond is left out.
			batch = int(min(pageBatch, o.To-next+1))
		}
		req, err := json.Marshal(map[string]any{
			"seq": next, "next_by_subj": o.Filter, "batch": batch, "max_bytes": pageBytes,
		})
		if err != nil {
			return nil, err
		}
		if err := nc.PublishRequest("$JS.API.DIRECT.GET."+o.Stream, sub.Subject, req); err != nil {
			return nil, err
		}
		// The server names in each message of a page its predecessor in the
		// page; the first has none.
		var last uint64
		pending := uint64(0)
	page:
		for {
			m, err := nextPart(ctx, sub)
			if err != nil {
				return nil, err
			}
			if m.Header.Get(jetstream.SequenceHeader) == "" {
				switch status := m.Header.Get("Status"); status {
				case "204":
					end, err1 := number(m.Header, "Nats-Last-Sequence")
					left, err2 := number(m.Header, "Nats-Num-Pending")
					if err := errors.Join(err1, err2); err != nil {
						return nil, err
					}
					if end != last {
						return nil, errors.New("a message of the page is missing")
					}
					pending = left
					break page
				case "404":
					if len(all) > 0 {
						return nil, errors.New("the rest of the pages is gone")
					}
					return nil, nil
				default:
					return nil, fmt.Errorf("page ended with status %q", status)
				}
			}
			s, prev, err := parseDirect(m)
			if err != nil {
				return nil, err
			}
			if prev != last || s.Seq < next || s.Seq <= last {
				return nil, errors.New("a message of the page is missing")
			}
			last = s.Seq
			if o.To > 0 && s.Seq > o.To {
				continue
			}
			if total += m.Size(); total > o.MaxBytes {
				return nil, fmt.Errorf("%w: more than %d bytes", ErrTooMuch, o.MaxBytes)
			}
			all = append(all, s)
		}
		if pending == 0 {
			return all, nil
		}
		if last == 0 {
			return nil, errors.New("an empty page announces more")
		}
		next = last + 1
	}
}

// nextPart waits for the next message of a page: the server sends without
// pause, so a silence means that the rest was lost.
func nextPart(ctx context.Context, sub *nats.Subscription) (*nats.Msg, error) {
	quiet, cancel := context.WithTimeout(ctx, pageSilence)
	defer cancel()
	m, err := sub.NextMsgWithContext(quiet)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, ErrNoStream
	case err != nil && ctx.Err() == nil && quiet.Err() != nil:
		return nil, errors.New("the page broke off")
	}
	return m, err
}

// directHeaders are what a direct get adds to the stored headers.
var directHeaders = []string{
	jetstream.StreamHeader, jetstream.SubjectHeader, jetstream.SequenceHeader,
	jetstream.TimeStampHeaer, "Nats-Num-Pending", "Nats-Last-Sequence",
}

func parseDirect(m *nats.Msg) (s Stored, previous uint64, err error) {
	s.Subject = m.Header.Get(jetstream.SubjectHeader)
	if s.Seq, err = number(m.Header, jetstream.SequenceHeader); err != nil {
		return Stored{}, 0, err
	}
	if previous, err = number(m.Header, "Nats-Last-Sequence"); err != nil {
		return Stored{}, 0, err
	}
	if s.Time, err = time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer)); err != nil {
		return Stored{}, 0, fmt.Errorf("stored time: %w", err)
	}
	for _, h := range directHeaders {
		m.Header.Del(h)
	}
	s.Header, s.Data = m.Header, m.Data
	return s, previous, nil
}

func number(h nats.Header, name string) (uint64, error) {
	n, err := strconv.ParseUint(h.Get(name), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("header %s is no number", name)
	}
	return n, nil
}

// checkReached asks the leader about a message that a reading did not reach.
func checkReached(ctx context.Context, nc *nats.Conn, o ReadOptions) error {
	s, found, err := get(ctx, nc, o.Stream, map[string]any{"seq": o.Reach})
	if err != nil {
		return err
	}
	if found && matches(o.Filter, s.Subject) && s.Seq >= o.From {
		return ErrBehind
	}
	return nil
}

// Last reads the newest message on subject, which may hold wildcards, from the
// stream's leader: it sees every message whose PubAck anybody has got before
// the call, which a direct get on a replica would not promise.
func Last(ctx context.Context, nc *nats.Conn, stream, subject string) (Stored, bool, error) {
	s, found, err := get(ctx, nc, stream, map[string]any{"last_by_subj": subject})
	if err != nil {
		return Stored{}, false, fmt.Errorf("read the last of %s: %w", stream, err)
	}
	return s, found, nil
}

func get(ctx context.Context, nc *nats.Conn, stream string, req map[string]any) (Stored, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, pageSilence)
	defer cancel()
	body, err := json.Marshal(req)
	if err != nil {
		return Stored{}, false, err
	}
	m, err := nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, body)
	if errors.Is(err, nats.ErrNoResponders) {
		return Stored{}, false, ErrNoStream
	}
	if err != nil {
		return Stored{}, false, err
	}
	var resp struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(m.Data, &resp); err != nil {
		return Stored{}, false, fmt.Errorf("parse the answer: %w", err)
	}
	switch {
	case resp.Error != nil && resp.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return Stored{}, false, nil
	case resp.Error != nil && resp.Error.ErrorCode == jetstream.JSErrCodeStreamNotFound:
		return Stored{}, false, fmt.Errorf("%w: %w", ErrNoStream, resp.Error)
	case resp.Error != nil:
		return Stored{}, false, resp.Error
	case resp.Message == nil:
		return Stored{}, false, errors.New("the answer holds no message")
	}
	s := Stored{Subject: resp.Message.Subject, Seq: resp.Message.Seq, Time: resp.Message.Time, Data: resp.Message.Data}
	if len(resp.Message.Header) > 0 {
		if s.Header, err = nats.DecodeHeadersMsg(resp.Message.Header); err != nil {
			return Stored{}, false, fmt.Errorf("parse the stored headers: %w", err)
		}
	}
	return s, true, nil
}
