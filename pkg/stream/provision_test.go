package stream

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"autotag/pkg/testkit/natstest"
)

func config(t *testing.T, js jetstream.JetStream, name string) jetstream.StreamConfig {
	t.Helper()
	s, err := js.Stream(ctx(t), name)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().Config
}

func TestProvisionCreates(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, nil)
	_, js := s.Connect()
	if diffs := provision(t, js, ProvisionOptions{EventsMaxBytes: 1 << 20}); len(diffs) > 0 {
		t.Errorf("differences in what was just created: %v", diffs)
	}
	e := config(t, js, Events)
	if e.MaxAge != 7*24*time.Hour || e.MaxBytes != 1<<20 || e.Discard != jetstream.DiscardNew || !e.AllowDirect || e.Duplicates != 5*time.Minute ||
		e.Storage != jetstream.FileStorage || e.Retention != jetstream.LimitsPolicy || e.Metadata[VersionKey] != "1" {
		t.Errorf("%s: %+v", Events, e)
	}
	if c := config(t, js, Timers); c.MaxAge != 8*24*time.Hour || c.MaxMsgsPerSubject != 1 || !c.AllowMsgSchedules {
		t.Errorf("%s: %+v", Timers, c)
	}
	if c := config(t, js, Decisions); c.MaxAge != 90*24*time.Hour || !c.AllowDirect {
		t.Errorf("%s: %+v", Decisions, c)
	}
	if c := config(t, js, Dead); c.MaxAge != 30*24*time.Hour || !c.AllowMsgTTL {
		t.Errorf("%s: %+v", Dead, c)
	}
	for _, spec := range consumers {
		cons, err := js.Consumer(ctx(t), spec.stream, spec.durable)
		if err != nil {
			t.Fatal(err)
		}
		c := cons.CachedInfo().Config
		if c.AckPolicy != jetstream.AckExplicitPolicy || c.AckWait != 30*time.Second || c.MaxDeliver != -1 || c.FilterSubject != spec.filter || c.MaxAckPending != spec.maxAckPending {
			t.Errorf("consumer %s: %+v", spec.durable, c)
		}
	}
	for _, b := range []string{StateBucket, RulesBucket} {
		if _, err := js.KeyValue(ctx(t), b); err != nil {
			t.Errorf("bucket %s: %v", b, err)
		}
	}
	kv, err := js.KeyValue(ctx(t), StateBucket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Create(ctx(t), "lease", nil, jetstream.KeyTTL(time.Minute)); err != nil {
		t.Errorf("a key that expires: %v", err)
	}
}

func TestProvisionRaisesAndNeverLowers(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, nil)
	_, js := s.Connect()
	provision(t, js, ProvisionOptions{EventsMaxBytes: 2 << 20, EventsMaxAge: 48 * time.Hour})

	diffs := provision(t, js, ProvisionOptions{EventsMaxBytes: 1 << 20, EventsMaxAge: 24 * time.Hour})
	if e := config(t, js, Events); e.MaxBytes != 2<<20 || e.MaxAge != 48*time.Hour {
		t.Errorf("lowered: %+v", e)
	}
	for _, field := range []string{"max_bytes", "max_age"} {
		if !slices.ContainsFunc(diffs, func(d Difference) bool { return d.Where == Events && d.Field == field && d.Have != d.Want }) {
			t.Errorf("difference in %s is not named: %v", field, diffs)
		}
	}
	if diffs := provision(t, js, ProvisionOptions{EventsMaxBytes: 4 << 20, EventsMaxAge: 72 * time.Hour}); len(diffs) > 0 {
		t.Errorf("differences after raising: %v", diffs)
	}
	if e := config(t, js, Events); e.MaxBytes != 4<<20 || e.MaxAge != 72*time.Hour {
		t.Errorf("not raised: %+v", e)
	}
	provision(t, js, ProvisionOptions{EventsMaxAge: 72 * time.Hour})
	if e := config(t, js, Events); e.MaxBytes != 4<<20 {
		t.Errorf("an unset size changed it: %d", e.MaxBytes)
	}
}

func TestProvisionAddsToOlder(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, nil)
	_, js := s.Connect()
	old := []jetstream.StreamConfig{
		{Name: Events, Subjects: []string{"livechat.*.*.*.incoming_chat", "other.>"}, MaxAge: time.Hour, Discard: jetstream.DiscardOld, Description: "mine", Metadata: map[string]string{"team": "x"}},
		{Name: Timers, Subjects: []string{"autotag.timer.>"}},
		{Name: Dead, Subjects: []string{"autotag.dead.>"}, MaxAge: 60 * 24 * time.Hour},
	}
	for _, c := range old {
		if _, err := js.CreateStream(ctx(t), c); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.CreateKeyValue(ctx(t), jetstream.KeyValueConfig{Bucket: StateBucket}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateConsumer(ctx(t), Events, jetstream.ConsumerConfig{Durable: Accumulate, AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Second, MaxDeliver: 3, MaxAckPending: 10}); err != nil {
		t.Fatal(err)
	}
	diffs := provision(t, js, ProvisionOptions{})
	e := config(t, js, Events)
	if want := []string{"livechat.*.*.*.*", "other.>"}; !slices.Equal(sorted(e.Subjects), want) {
		t.Errorf("subjects %v, want %v", e.Subjects, want)
	}
	if e.MaxAge != 7*24*time.Hour || !e.AllowDirect || e.Description != "mine" || e.Metadata["team"] != "x" || e.Metadata[VersionKey] != "1" || e.Discard != jetstream.DiscardOld {
		t.Errorf("%s: %+v", Events, e)
	}
	for _, field := range []string{"discard", "max_bytes"} {
		if !slices.ContainsFunc(diffs, func(d Difference) bool { return d.Where == Events && d.Field == field }) {
			t.Errorf("the other %s is not named: %v", field, diffs)
		}
	}
	if c := config(t, js, Timers); !c.AllowMsgSchedules {
		t.Errorf("%s has no schedules: %+v", Timers, c)
	}
	if c := config(t, js, Dead); !c.AllowMsgTTL || c.MaxAge != 60*24*time.Hour {
		t.Errorf("%s: %+v", Dead, c)
	}
	cons, err := js.Consumer(ctx(t), Events, Accumulate)
	if err != nil {
		t.Fatal(err)
	}
	if c := cons.CachedInfo().Config; c.AckWait != AckWait || c.MaxDeliver != -1 || c.MaxAckPending != 2000 {
		t.Errorf("consumer: %+v", c)
	}
}

func TestProvisionLeavesNewerAlone(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, nil)
	_, js := s.Connect()
	newer := jetstream.StreamConfig{Name: Events, Subjects: []string{"livechat.>"}, MaxAge: time.Hour, Metadata: map[string]string{VersionKey: "2"}}
	if _, err := js.CreateStream(ctx(t), newer); err != nil {
		t.Fatal(err)
	}
	provision(t, js, ProvisionOptions{EventsMaxBytes: 1 << 20})
	if e := config(t, js, Events); e.MaxAge != time.Hour || e.AllowDirect || e.MaxBytes != -1 || e.Metadata[VersionKey] != "2" {
		t.Errorf("changed: %+v", e)
	}
}

func TestProvisionConcurrently(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, func(o *server.Options) { o.JetStreamMaxStore = 1 << 30 })
	var wg sync.WaitGroup
	for i := range 6 {
		_, js := s.Connect()
		wg.Go(func() {
			if _, err := Provision(ctx(t), js, ProvisionOptions{EventsMaxAge: time.Duration(i+1) * 24 * time.Hour}); err != nil {
				t.Errorf("start %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	_, js := s.Connect()
	e := config(t, js, Events)
	if e.MaxAge != 6*24*time.Hour {
		t.Errorf("max age %v, want the highest", e.MaxAge)
	}
	// A quarter of the store, to a sixteenth, whoever measured.
	if quarter := int64(1 << 28); e.MaxBytes > quarter || e.MaxBytes < quarter-quarter/8 {
		t.Errorf("max bytes %d, want about %d", e.MaxBytes, quarter)
	}
	if _, err := js.Stream(ctx(t), probeStream); err == nil {
		t.Error("the probe is still there")
	}
}

// Three servers: everything has three copies, and what one program stored is
// there for another however the leader changes.
func TestCluster(t *testing.T) {
	t.Parallel()
	servers := natstest.Cluster(t, 3)
	urls := servers[0].URL + "," + servers[1].URL + "," + servers[2].URL
	nc, js := connect(t, urls)
	eventually(t, "connected", nc.IsConnected)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if _, err := Provision(ctx(t), js, ProvisionOptions{Replicas: 3}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	e := config(t, js, Events)
	if e.Replicas != 3 || e.MaxBytes <= 0 {
		t.Fatalf("%+v", e)
	}
	if e := config(t, js, "KV_"+StateBucket); e.Replicas != 3 {
		t.Errorf("%+v", e)
	}
	p := NewPublisher(js, nil)
	var n uint64
	put := func() {
		n++
		if err := p.Publish(ctx(t), EventSubject(key, "x"), fmt.Sprint(n), []byte(fmt.Sprint(n)), nil); err != nil {
			t.Error(err)
		}
		var got []Stored
		var err error
		eventually(t, "the reading reaches what was stored", func() bool {
			got, err = Read(ctx(t), nc, ReadOptions{Stream: Events, Filter: ThreadSubject(key), Reach: n})
			return err == nil
		})
		if uint64(len(got)) != n {
			t.Errorf("%d messages, want %d", len(got), n)
		}
	}
	for range 20 {
		put()
	}
	s, err := js.Stream(ctx(t), Events)
	if err != nil {
		t.Fatal(err)
	}
	leader := s.CachedInfo().Cluster.Leader
	for _, srv := range servers {
		if srv.Name == leader {
			srv.Kill()
			put()
			srv.Start()
		}
	}
	put()
}

func TestProvisionRemovesLeftOverProbe(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, func(o *server.Options) { o.JetStreamMaxStore = 1 << 30 })
	_, js := s.Connect()
	if _, err := js.CreateStream(ctx(t), jetstream.StreamConfig{Name: probeStream, Subjects: []string{probeSubject}}); err != nil {
		t.Fatal(err)
	}
	provision(t, js, ProvisionOptions{})
	if e := config(t, js, Events); e.MaxBytes <= 0 {
		t.Errorf("max bytes %d", e.MaxBytes)
	}
}

func TestCheckServer(t *testing.T) {
	t.Parallel()
	always := natstest.Start(t, nil)
	_, js := always.Connect()
	if ws := CheckServer(ctx(t), js, always.MonitorURL); len(ws) > 0 {
		t.Errorf("sync always: %v", ws)
	}
	if ws := CheckServer(ctx(t), js, ""); len(ws) != 1 {
		t.Errorf("no monitoring address: %v", ws)
	}
	if ws := CheckServer(ctx(t), js, "http://127.0.0.1:1"); len(ws) != 1 {
		t.Errorf("monitoring port out of reach: %v", ws)
	}
	if _, err := js.CreateStream(ctx(t), jetstream.StreamConfig{Name: Events, Subjects: []string{"livechat.>"}, PersistMode: jetstream.AsyncPersistMode}); err != nil {
		t.Fatal(err)
	}
	if ws := CheckServer(ctx(t), js, always.MonitorURL); len(ws) != 1 {
		t.Errorf("asynchronous stream: %v", ws)
	}
	def := natstest.Start(t, func(o *server.Options) { o.SyncAlways = false })
	_, js = def.Connect()
	if ws := CheckServer(ctx(t), js, def.MonitorURL); len(ws) != 1 {
		t.Errorf("default sync interval: %v", ws)
	}
	off := natstest.Start(t, func(o *server.Options) { o.JetStream = false })
	_, js = off.Connect()
	if ws := CheckServer(ctx(t), js, off.MonitorURL); len(ws) != 1 {
		t.Errorf("no JetStream: %v", ws)
	}
}
