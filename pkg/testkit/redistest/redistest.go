//go:build unix

// Package redistest gives tests a Redis: an in-memory one in the test's own
// process, or a real redis-server that can be killed, frozen and started
// again.
package redistest

import (
	"net/url"
	"os"
	"os/exec"
	"testing"

	"github.com/alicebob/miniredis/v2"
)

// AddrVariable names the environment variable with the host:port of a Redis
// that tests may empty and use. Its database 15 is used.
const AddrVariable = "TEST_REDIS_ADDR"

// Mini returns the redis:// address of an in-memory Redis whose keys expire,
// and the Redis itself, which ends with the test.
func Mini(t testing.TB) (addr string, m *miniredis.Miniredis) {
	t.Helper()
	m = miniredis.NewMiniRedis()
	m.ClockTTL(true)
	if err := m.Start(); err != nil {
		t.Fatalf("start miniredis: %v", err)
	}
	t.Cleanup(m.Close)
	return "redis://" + m.Addr() + "/0", m
}

// Start returns the address of the most real Redis there is: the one that
// TEST_REDIS_ADDR names, emptied; else a redis-server of the PATH, started for
// this test; else an in-memory one.
func Start(t testing.TB) (addr string) {
	t.Helper()
	if a := os.Getenv(AddrVariable); a != "" {
		addr = (&url.URL{Scheme: "redis", Host: a, Path: "/15"}).String()
		flush(t, a, "15")
		return addr
	}
	if Available() {
		return NewProcess(t).URL
	}
	addr, _ = Mini(t)
	return addr
}

// Available tells whether NewProcess has a redis-server to start.
func Available() bool {
	_, err := exec.LookPath(program)
	return err == nil
}
