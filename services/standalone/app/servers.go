package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"autotag/pkg/stream"
)

// natsStart is how long the embedded NATS may take to read its store.
const natsStart = time.Minute

// lock takes the data folder for this process alone. nats-server itself starts
// happily on a folder that another one uses, and webhooks vanish.
func lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	name := filepath.Join(dir, ".lock")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is in use by another standalone; stop it or choose another folder with --data", dir)
		}
		return nil, fmt.Errorf("lock %s (not every network file system can): %w", name, err)
	}
	return func() { f.Close() }, nil
}

// startNATS starts a NATS that nobody outside this process can reach and that
// fsyncs every message before it acknowledges it. The returned function ends the
// connection; lost runs when anything else does.
func startNATS(dir string, log *zap.Logger, lost func(error)) (*server.Server, *nats.Conn, func(context.Context) error, error) {
	s, err := server.NewServer(&server.Options{
		ServerName: "standalone",
		DontListen: true,
		JetStream:  true,
		StoreDir:   filepath.Join(dir, "nats"),
		SyncAlways: true,
		NoSigs:     true,
	})
	if err != nil {
		return nil, nil, nil, fmt.Errorf("start the embedded NATS: %w", err)
	}
	said := &natsLog{log: log.Named("nats").Sugar(), fatal: make(chan string, 1)}
	s.SetLoggerV2(said, false, false, false)
	go s.Start()
	ready := make(chan bool, 1)
	go func() { ready <- s.ReadyForConnections(natsStart) }()
	select {
	case why := <-said.fatal:
		s.Shutdown()
		return nil, nil, nil, fmt.Errorf("start the embedded NATS on %s: %s", dir, why)
	case ok := <-ready:
		if !ok {
			s.Shutdown()
			return nil, nil, nil, fmt.Errorf("the embedded NATS is not ready after %s; is %s damaged or on a slow disk?", natsStart, dir)
		}
	}
	// To what address it has connected would be said, but there is none.
	warnings := log
	if log.Level() < zap.WarnLevel {
		warnings = log.WithOptions(zap.IncreaseLevel(zap.WarnLevel))
	}
	nc, _, leave, err := stream.Open(stream.Options{Name: Program, Extra: []nats.Option{nats.InProcessServer(s)}}, warnings, lost)
	if err != nil {
		s.Shutdown()
		return nil, nil, nil, fmt.Errorf("connect to the embedded NATS: %w", err)
	}
	return s, nc, leave, nil
}

// natsLog passes on what the embedded NATS complains about. It never says what
// is in a message.
type natsLog struct {
	log   *zap.SugaredLogger
	fatal chan string // the first reason why the server cannot go on
}

func (l *natsLog) Noticef(format string, v ...any) { l.log.Debugf(format, v...) }
func (l *natsLog) Warnf(format string, v ...any)   { l.log.Warnf(format, v...) }
func (l *natsLog) Errorf(format string, v ...any)  { l.log.Errorf(format, v...) }
func (l *natsLog) Debugf(string, ...any)           {}
func (l *natsLog) Tracef(string, ...any)           {}
func (l *natsLog) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
		l.log.Errorf(format, v...)
	}
}

// expireEvery is how often keys of the embedded Redis expire. Looking at them
// takes about 0.5 µs a key, during which no command runs; a key that lives
// somewhat longer than asked for does no harm.
const expireEvery = 30 * time.Second

// memoryRedis is a Redis in memory. It keeps nothing over a restart, which is
// enough: what it knew is read from the stream again. Other users of this
// machine can reach its port, so it asks for a password.
type memoryRedis struct {
	server *miniredis.Miniredis
	url    string // with the password
	stop   func()
}

func startRedis(expire time.Duration) (memoryRedis, error) {
	m := miniredis.NewMiniRedis()
	password := rand.Text()
	m.RequireAuth(password)
	if err := m.StartAddr("127.0.0.1:0"); err != nil {
		return memoryRedis{}, fmt.Errorf("start the embedded Redis: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var clock sync.WaitGroup
	clock.Go(func() { tick(ctx, m, expire) })
	u := url.URL{Scheme: "redis", User: url.UserPassword("", password), Host: m.Addr()}
	return memoryRedis{server: m, url: u.String(), stop: func() {
		cancel()
		clock.Wait()
		m.Close()
	}}, nil
}

// tick lets keys expire: by itself the clock of miniredis stands still, and with
// ClockTTL every command looks at every key.
func tick(ctx context.Context, m *miniredis.Miniredis, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	last := time.Now()
	for {
		select {
		case now := <-t.C:
			m.FastForward(now.Sub(last))
			last = now
		case <-ctx.Done():
			return
		}
	}
}
