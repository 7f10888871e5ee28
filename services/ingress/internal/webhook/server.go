package webhook

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/netutil"
)

const (
	// leaveTime is how long, at a stop, everything goes on as before: readiness
	// says no by then, and load balancers go elsewhere.
	leaveTime = time.Second
	// lingerTime is how long at most the connections that are left are then
	// served, each being closed with its next answer. A sender that keeps
	// connections open learns so from an answer, not from a reset, unless it is
	// silent for longer.
	lingerTime = 3 * time.Second
	lookAgain  = 10 * time.Millisecond
	// quiet is how long nobody may knock before the port is closed, and
	// drainTime how long that is waited for: connections that the kernel has
	// taken and the program has not would be reset.
	quiet     = 2 * time.Millisecond
	drainTime = 250 * time.Millisecond
)

// Server serves a handler: HTTP/1.1 only, with a limit on everything that a
// sender could draw out.
type Server struct {
	handler  *Handler
	http     *http.Server
	listener *listener
	open     atomic.Int64 // connections
}

// Serve opens the port and serves until Stop. failed is called if serving ends
// otherwise.
func Serve(h *Handler, addr string, failed func(error)) (*Server, error) {
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	// What net/http has to say is about broken requests, which anybody can send.
	errorLog, err := zap.NewStdLogAt(h.Log, zap.DebugLevel)
	if err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	l := h.Limits
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	s := &Server{
		handler: h,
		http: &http.Server{
			Handler:           h,
			Protocols:         protocols,
			ReadHeaderTimeout: l.ReadHeader,
			ReadTimeout:       l.Read,
			WriteTimeout:      l.Write,
			IdleTimeout:       l.Idle,
			MaxHeaderBytes:    l.HeaderBytes,
			ErrorLog:          errorLog,
		},
		listener: &listener{TCPListener: tcp.(*net.TCPListener), drained: make(chan struct{}), closed: make(chan struct{})},
	}
	s.http.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.open.Add(1)
		case http.StateClosed:
			s.open.Add(-1)
		}
	}
	go func() {
		if err := s.http.Serve(netutil.LimitListener(s.listener, l.Connections)); !errors.Is(err, http.ErrServerClosed) {
			failed(err)
		}
	}()
	return s, nil
}

// Addr is the bound address.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Stop stops serving without failing a request: senders get time to go
// elsewhere, the port is closed, what is in flight is answered. When ctx ends,
// what is left is cut off.
func (s *Server) Stop(ctx context.Context) error {
	pause(ctx, leaveTime)
	s.listener.drain()
	s.handler.closing.Store(true)
	for until := time.Now().Add(lingerTime); s.open.Load() > 0 && time.Now().Before(until) && ctx.Err() == nil; {
		pause(ctx, lookAgain)
	}
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// listener is a listener that can be closed without resetting the connections
// that it has not accepted yet.
type listener struct {
	*net.TCPListener
	draining atomic.Bool
	until    time.Time // set before draining
	drained  chan struct{}
	closed   chan struct{}
	once     sync.Once
}

// drain closes the port as soon as nobody has knocked for a moment, or after
// drainTime.
func (l *listener) drain() {
	l.until = time.Now().Add(drainTime)
	l.draining.Store(true)
	_ = l.SetDeadline(time.Now().Add(quiet)) // an error means that it is closed
	select {
	case <-l.drained:
	case <-l.closed:
	case <-time.After(2 * drainTime): // nobody accepts: the limit on connections is reached
		_ = l.TCPListener.Close()
	}
}

// Accept returns the next connection. Once drained it waits for Close, so that
// the server, which takes an end before that for a failure, is never told of
// one.
func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.TCPListener.Accept()
	if !l.draining.Load() {
		return conn, err
	}
	if err == nil && time.Now().Before(l.until) {
		_ = l.SetDeadline(time.Now().Add(quiet))
		return conn, nil
	}
	_ = l.TCPListener.Close()
	if err == nil {
		return conn, nil
	}
	select {
	case <-l.drained:
	default:
		close(l.drained)
	}
	<-l.closed
	return nil, net.ErrClosed
}

// Close closes the port if it is open, and ends Accept.
func (l *listener) Close() error {
	err := l.TCPListener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	l.once.Do(func() { close(l.closed) })
	return err
}
