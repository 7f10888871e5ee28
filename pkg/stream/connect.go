package stream

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// Options says which NATS to use.
type Options struct {
	// URL lists the servers, comma-separated; default nats://127.0.0.1:4222.
	URL string
	// Creds is the path of a credentials file, read again at each reconnect;
	// empty for none.
	Creds string
	// Name is shown by the server beside the connection.
	Name string
	// Extra options come last; an embedded server passes nats.InProcessServer.
	Extra []nats.Option
}

// Connect opens a connection that never gives up by itself: NATS may be away
// at the start, for hours, or refuse the credentials for a while. While it is
// away, publishing fails at once instead of being kept in a buffer, whose late
// delivery would store what the caller has already reported as refused.
//
// onClosed runs when the connection is closed for good, also by the caller's
// own Close; it may be nil. A frozen server is noticed within 12 s.
func Connect(o Options, log *zap.Logger, onClosed func()) (*nats.Conn, jetstream.JetStream, error) {
	if o.URL == "" {
		o.URL = nats.DefaultURL
	}
	for i, s := range strings.Split(o.URL, ",") {
		// The client's own message would quote the address with its password.
		// An address without a scheme is one of nats://.
		s = strings.TrimSpace(s)
		if !strings.Contains(s, "://") {
			s = "nats://" + s
		}
		if _, err := url.Parse(s); err != nil {
			return nil, nil, fmt.Errorf("connect to NATS: server %d of the list is not an address", i+1)
		}
	}
	opts := []nats.Option{
		nats.Name(o.Name),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		nats.ReconnectBufSize(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(4 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 500*time.Millisecond),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			if !nc.IsClosed() {
				log.Warn("lost the connection to NATS", zap.Error(err))
			}
		}),
		nats.ConnectHandler(func(nc *nats.Conn) {
			log.Info("connected to NATS", zap.String("server", nc.ConnectedUrlRedacted()))
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("connected to NATS again", zap.String("server", nc.ConnectedUrlRedacted()))
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			log.Warn("NATS reported an error", zap.Error(err))
		}),
		nats.ClosedHandler(func(*nats.Conn) {
			if onClosed != nil {
				onClosed()
			}
		}),
	}
	if o.Creds != "" {
		opts = append(opts, nats.UserCredentials(o.Creds))
	}
	nc, err := nats.Connect(o.URL, append(opts, o.Extra...)...)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, nil, fmt.Errorf("connect to NATS: %w", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, fmt.Errorf("connect to NATS: %w", err)
	}
	return nc, js, nil
}

// Open is Connect for a program of its own: lost runs when the connection is
// closed for good by anything but the returned leave, which first sends
// what is still on its way, and returns when nothing of the connection runs or
// logs any more.
func Open(o Options, log *zap.Logger, lost func(error)) (nc *nats.Conn, js jetstream.JetStream, leave func(context.Context) error, err error) {
	var closing atomic.Bool
	closed := make(chan struct{}) // the client calls back in order, this last
	nc, js, err = Connect(o, log, func() {
		defer close(closed)
		if !closing.Load() {
			lost(errors.New("the connection to NATS was closed for good"))
		}
	})
	if err != nil {
		return nil, nil, nil, err
	}
	return nc, js, func(ctx context.Context) error {
		closing.Store(true)
		if nc.IsConnected() {
			if err := nc.FlushWithContext(ctx); err != nil {
				log.Warn("flush to NATS", zap.Error(err))
			}
		}
		nc.Close()
		select {
		case <-closed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, nil
}

// Connected says why there is no connection to a server, as far as that is
// known, or returns nil. The client itself answers what is asked meanwhile with
// an error about its buffers.
func Connected(nc *nats.Conn) error {
	if nc.IsConnected() {
		return nil
	}
	if err := nc.LastError(); err != nil {
		return fmt.Errorf("not connected: %w", err)
	}
	return errors.New("not connected: no server answers")
}
