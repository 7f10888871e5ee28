package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"autotag/pkg/stream"

	"github.com/nats-io/nats.go/jetstream"
)

func TestDataFolderIsForOne(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "data")
	unlock, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(dir); err == nil || err.Error() != dir+" is in use by another standalone; stop it or choose another folder with --data" {
		t.Errorf("the second lock: %v", err)
	}
	unlock()
	unlock, err = lock(dir)
	if err != nil {
		t.Fatalf("after unlocking: %v", err)
	}
	unlock()
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others can look into the folder: %v %v", info.Mode(), err)
	}
}

func TestNATSThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "nats"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "nats", "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := startNATS(dir, zap.NewNop(), nil); err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("a file where the store should be: %v", err)
	}
}

func TestNATSIsOutOfReachAndFsyncs(t *testing.T) {
	t.Parallel()
	s, nc, leave, err := startNATS(t.TempDir(), zap.NewNop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = leave(context.Background()); s.Shutdown(); s.WaitForShutdown() }()
	if addr := s.Addr(); addr != nil {
		t.Errorf("listens on %v", addr)
	}
	if !s.JetStreamConfig().SyncAlways {
		t.Error("does not fsync always")
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := stream.Provision(ctx, js, stream.ProvisionOptions{EventsMaxAge: time.Hour, Replicas: 1}); err != nil {
		t.Error(err)
	}
}

func TestRedisNeedsItsPasswordAndForgets(t *testing.T) {
	t.Parallel()
	r, err := startRedis(10 * time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer r.stop()
	ctx := t.Context()
	stranger := redis.NewClient(&redis.Options{Addr: r.server.Addr()})
	defer stranger.Close()
	if err := stranger.Set(ctx, "a", 1, 0).Err(); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("without a password: %v", err)
	}
	options, err := redis.ParseURL(r.url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	for key, ttl := range map[string]time.Duration{"short": 50 * time.Millisecond, "long": time.Hour} {
		if err := client.HSet(ctx, key, "field", 1).Err(); err != nil {
			t.Fatal(err)
		}
		if err := client.PExpire(ctx, key, ttl).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for limit := time.Now().Add(30 * time.Second); r.server.Exists("short"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("a key does not expire")
		}
	}
	if !r.server.Exists("long") {
		t.Error("a key expires too early")
	}
}

// BenchmarkRedis is one command beside the keys of 10,000 chats.
func BenchmarkRedis(b *testing.B) {
	r, err := startRedis(expireEvery)
	if err != nil {
		b.Fatal(err)
	}
	defer r.stop()
	options, err := redis.ParseURL(r.url)
	if err != nil {
		b.Fatal(err)
	}
	client := redis.NewClient(options)
	defer client.Close()
	ctx := context.Background()
	for i := range 20_000 {
		pipe := client.Pipeline()
		key := "key" + string(rune('a'+i%26)) + time.Duration(i).String()
		pipe.HSet(ctx, key, "field", i)
		pipe.Expire(ctx, key, time.Hour)
		if _, err := pipe.Exec(ctx); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if err := client.HGet(ctx, "none", "field").Err(); err != redis.Nil {
			b.Fatal(err)
		}
	}
}
