//go:build unix

// Package natstest gives tests a real nats-server: in the test's own process,
// or as a process of its own that can be killed, frozen and started again.
package natstest

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"autotag/pkg/testkit/proc"
)

// startTimeout is generous: whoever waits goes on as soon as the server is
// ready.
const startTimeout = time.Minute

// Server is a nats-server in the test's process: one node, JetStream on, every
// write fsynced, its store in a folder of the test.
type Server struct {
	URL        string // stays the same over Restart
	MonitorURL string // http://..., as long as the server is not restarted
	Dir        string // the store

	t   testing.TB
	opt server.Options
	srv *server.Server
}

// Start starts a server that ends with the test. edit, which may be nil,
// changes its options before the start.
func Start(t testing.TB, edit func(*server.Options)) *Server {
	t.Helper()
	s := &Server{t: t, Dir: t.TempDir()}
	port, err := strconv.Atoi(proc.FreePort(t))
	if err != nil {
		t.Fatal(err)
	}
	s.opt = server.Options{
		ServerName: "natstest",
		Host:       "127.0.0.1",
		Port:       port, // kept over Restart
		HTTPHost:   "127.0.0.1",
		HTTPPort:   server.RANDOM_PORT,
		JetStream:  true,
		StoreDir:   s.Dir,
		SyncAlways: true,
		NoSigs:     true,
		NoLog:      true,
	}
	if edit != nil {
		edit(&s.opt)
	}
	s.start()
	t.Cleanup(s.Stop)
	return s
}

func (s *Server) start() {
	s.t.Helper()
	opt := s.opt // the server writes into its options
	srv, err := server.NewServer(&opt)
	if err != nil {
		s.t.Fatalf("start nats-server: %v", err)
	}
	go srv.Start()
	if !srv.ReadyForConnections(startTimeout) {
		srv.Shutdown()
		s.t.Fatalf("nats-server is not ready after %v", startTimeout)
	}
	s.srv = srv
	addr := srv.Addr().(*net.TCPAddr)
	s.URL = "nats://" + net.JoinHostPort(addr.IP.String(), strconv.Itoa(addr.Port))
	if m := srv.MonitorAddr(); m != nil {
		s.MonitorURL = "http://" + m.String()
	}
}

// Stop stops the server; it may be stopped already.
func (s *Server) Stop() {
	if s.srv != nil {
		s.srv.Shutdown()
		s.srv.WaitForShutdown()
		s.srv = nil
	}
}

// Restart stops the server and starts it on the same address and store.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.start()
}

// Connect returns a plain connection that is closed with the test.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, jetstream.JetStream) {
	s.t.Helper()
	return Connect(s.t, s.URL, opts...)
}

// Connect returns a plain connection to url that is closed with the test.
func Connect(t testing.TB, url string, opts ...nats.Option) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect(url, append([]nats.Option{nats.Timeout(startTimeout)}, opts...)...)
	if err != nil {
		t.Fatalf("connect to nats-server: %v", err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatalf("use JetStream: %v", err)
	}
	return nc, js
}

// Messages returns how many messages a stream holds.
func Messages(t testing.TB, js jetstream.JetStream, stream string) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	s, err := js.Stream(ctx, stream)
	if err != nil {
		t.Fatalf("look up stream %s: %v", stream, err)
	}
	return s.CachedInfo().State.Msgs
}
