//go:build unix

package redistest

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"autotag/pkg/testkit/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func client(t *testing.T, addr string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(addr)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), answerTimeout)
	t.Cleanup(cancel)
	return ctx
}

func TestMini(t *testing.T) {
	t.Parallel()
	addr, _ := Mini(t)
	c := client(t, addr)
	if err := c.Set(within(t), "k", "v", 50*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	for limit := within(t); c.Exists(limit, "k").Val() != 0; time.Sleep(10 * time.Millisecond) {
	}
	if n, err := c.Exists(within(t), "k").Result(); n != 0 || err != nil {
		t.Errorf("the key does not expire: %d, %v", n, err)
	}
}

func TestStart(t *testing.T) {
	t.Parallel()
	if err := client(t, Start(t)).Set(within(t), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestProcess(t *testing.T) {
	t.Parallel()
	if !Available() {
		t.Skip("no redis-server on the PATH")
	}
	p := NewProcess(t)
	c := client(t, p.URL)
	if err := c.Set(within(t), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	if err := c.Get(within(t), "k").Err(); err == nil {
		t.Error("a killed server answers")
	}
	p.Start()
	if v, err := c.Get(within(t), "k").Result(); v != "v" || err != nil {
		t.Errorf("after the restart: %q, %v", v, err)
	}
	p.Freeze()
	short, cancel := context.WithTimeout(within(t), 200*time.Millisecond)
	defer cancel()
	frozen := client(t, p.URL+"?max_retries=-1&read_timeout=100ms")
	if err := frozen.Ping(short).Err(); err == nil {
		t.Error("a frozen server answers")
	}
	p.Thaw()
	p.Flush()
	if n := c.Exists(within(t), "k").Val(); n != 0 {
		t.Error("still there after Flush")
	}
	p.Terminate()
}
