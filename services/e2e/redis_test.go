//go:build unix

package e2e

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"autotag/pkg/testkit/redistest"
)

// redisServer is the Redis of a world.
type redisServer interface {
	url() string
	kill()
	start()
	startEmpty()
	flush()
	holds(text string) bool // anywhere in what it keeps
}

// newRedis starts a redis-server or, where there is none and none is required,
// a Redis in memory.
func newRedis(t testing.TB) redisServer {
	t.Helper()
	switch {
	case redistest.Available():
		return &realRedis{t, redistest.NewProcess(t)}
	case os.Getenv("REQUIRE_REDIS") == "1":
		t.Fatal("REQUIRE_REDIS is set, and no redis-server is on the PATH")
	}
	t.Log("no redis-server on the PATH: a Redis in memory stands in for it")
	url, m := redistest.Mini(t)
	return &miniRedis{t, url, m}
}

type realRedis struct {
	t testing.TB
	p *redistest.Process
}

func (r *realRedis) url() string { return r.p.URL }
func (r *realRedis) kill()       { r.p.Kill() }
func (r *realRedis) start()      { r.p.Start() }

func (r *realRedis) startEmpty() {
	files, err := filepath.Glob(filepath.Join(r.p.Dir, "*"))
	for _, f := range files {
		if err == nil {
			err = os.RemoveAll(f)
		}
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.p.Start()
}

func (r *realRedis) flush() { r.p.Flush() }

func (r *realRedis) holds(text string) (found bool) {
	err := filepath.WalkDir(r.p.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		kept, err := os.ReadFile(path)
		found = found || bytes.Contains(kept, []byte(text))
		return err
	})
	if err != nil {
		r.t.Errorf("look into what Redis keeps: %v", err)
	}
	return found
}

type miniRedis struct {
	t    testing.TB
	addr string
	m    *miniredis.Miniredis
}

func (r *miniRedis) url() string { return r.addr }
func (r *miniRedis) kill()       { r.m.Close() }

func (r *miniRedis) start() {
	if err := r.m.Restart(); err != nil {
		r.t.Fatalf("start miniredis: %v", err)
	}
}

func (r *miniRedis) flush() { r.m.FlushAll() }

func (r *miniRedis) holds(text string) bool { return strings.Contains(r.m.Dump(), text) }

func (r *miniRedis) startEmpty() {
	r.m.FlushAll()
	r.start()
}
