package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"autotag/pkg/rules"
	"autotag/pkg/stream"
)

const (
	// rulesPoll is how often the rules file is read. It is taken when two
	// readings in a row are equal, since nothing else tells that whoever
	// writes it has finished.
	rulesPoll = time.Second
	// behindLimit is how long a worker waits for rules that another has
	// already loaded.
	behindLimit = time.Minute
	// orderFresh is how long the place of another's version is remembered: a
	// file that is loaded once more moves to the end.
	orderFresh = 5 * time.Second
	// registerLimit bounds one try to register the rules in NATS.
	registerLimit = 3 * time.Second
)

// Rules are the rules in force: those of a file, followed as it changes.
// Whatever is wrong with a new state of the file leaves the last good rules in
// force.
//
// Every version is put into a bucket when it is loaded, which gives all workers
// one order of versions.
type Rules struct {
	file    string
	nc      *nats.Conn
	js      jetstream.JetStream
	metrics *Metrics
	log     *zap.Logger

	mu     sync.Mutex
	set    *rules.Set
	text   []byte
	order  uint64 // 0 until the version is registered
	fault  string // what is wrong with the file as it is now
	behind time.Time
	others map[string]foreign
	loaded chan struct{} // closed when there are rules

	last reading // of the file
	seen string  // the state that was judged last
}

type foreign struct {
	order uint64
	at    time.Time
}

// reading is one look at the file: its text, or why there is none.
type reading struct {
	text  []byte
	err   string
	valid bool
}

func (r reading) state() string { return r.err + "\x00" + string(r.text) }

// NewRules makes rules that Run has yet to load.
func NewRules(file string, nc *nats.Conn, js jetstream.JetStream, m *Metrics, log *zap.Logger) *Rules {
	return &Rules{
		file: file, nc: nc, js: js, metrics: m, log: log,
		fault:  "the rules have not been read yet",
		others: map[string]foreign{}, loaded: make(chan struct{}),
	}
}

// Loaded is closed once there are rules.
func (r *Rules) Loaded() <-chan struct{} { return r.loaded }

// Run follows the file until ctx ends.
func (r *Rules) Run(ctx context.Context) {
	t := time.NewTicker(rulesPoll)
	defer t.Stop()
	for {
		r.look(ctx)
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// look reads the file, takes it if it has been the same twice and is new, and
// registers what is in force where that is still to be done.
func (r *Rules) look(ctx context.Context) {
	now := reading{valid: true}
	text, err := readFile(r.file)
	if err != nil {
		now.err = err.Error()
	} else {
		now.text = text
	}
	steady := r.last.valid && r.last.state() == now.state()
	r.last = now
	if steady && r.seen != now.state() {
		r.seen = now.state()
		r.judge(ctx, now)
	}
	r.mu.Lock()
	set, order, behind := r.set, r.order, r.behind
	r.mu.Unlock()
	if set != nil && (order == 0 || !behind.IsZero()) {
		r.register(ctx)
	}
}

// readFile reads a file, but not far beyond what rules may have.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, rules.MaxFile+1))
}

// judge takes a new state of the file, or says why not.
func (r *Rules) judge(ctx context.Context, now reading) {
	if now.err != "" {
		r.refuse(now.err)
		return
	}
	set, problems := rules.Parse(r.file, now.text)
	if set == nil {
		r.refuse(strings.TrimSpace(problems.String()))
		return
	}
	if len(problems) > 0 {
		r.log.Warn("the rules file has warnings", zap.String("file", r.file), zap.String("problems", problems.String()))
	}
	r.mu.Lock()
	r.fault = ""
	r.metrics.rulesValid.Set(1)
	if r.set != nil && r.set.Version == set.Version {
		r.mu.Unlock()
		r.log.Info("the rules file is good again", zap.String("rules_version", set.Version))
		return
	}
	r.mu.Unlock()

	order, err := r.announce(ctx, set.Version, now.text)
	if err != nil {
		r.log.Warn("the rules are not registered in NATS yet", zap.Error(err))
	}
	r.mu.Lock()
	first := r.set == nil
	r.set, r.text, r.order, r.behind = set, now.text, order, time.Time{}
	r.mu.Unlock()
	r.metrics.rulesInfo.Reset()
	r.metrics.rulesInfo.WithLabelValues(set.Version).Set(1)
	r.log.Info("rules are in force", zap.String("rules_version", set.Version), zap.Int("rules", len(set.Rules)))
	if first {
		close(r.loaded)
	}
}

func (r *Rules) refuse(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = why
	r.metrics.rulesValid.Set(0)
	r.log.Error("the rules file cannot be used", zap.String("file", r.file),
		zap.Bool("older_rules_stay", r.set != nil), zap.String("problems", why))
}

// register puts the version in force into the order of versions if that has not
// worked so far, and finds out whether it is the newest again.
func (r *Rules) register(ctx context.Context) {
	r.mu.Lock()
	set, text, order := r.set, r.text, r.order
	r.mu.Unlock()
	limit, cancel := context.WithTimeout(ctx, registerLimit)
	defer cancel()
	if order == 0 {
		var err error
		if order, err = r.announce(limit, set.Version, text); err != nil {
			return // said once, by judge; readiness says it too
		}
		r.log.Info("the rules are registered in NATS", zap.String("rules_version", set.Version))
	} else {
		newest, seq, err := r.newest(limit)
		if err != nil || newest != set.Version {
			return
		}
		order = seq
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.set == set {
		r.order, r.behind = order, time.Time{}
	}
}

// announce makes the version the newest, unless it is already, and returns its
// place.
func (r *Rules) announce(ctx context.Context, version string, text []byte) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, registerLimit)
	defer cancel()
	if err := stream.Connected(r.nc); err != nil {
		return 0, err
	}
	newest, seq, err := r.newest(ctx)
	if err != nil {
		return 0, fmt.Errorf("look up the newest rules: %w", err)
	}
	if newest == version {
		return seq, nil
	}
	kv, err := r.js.KeyValue(ctx, stream.RulesBucket)
	if err != nil {
		return 0, fmt.Errorf("open the bucket of rules: %w", err)
	}
	packed, err := stream.PackRules(text, r.nc.MaxPayload())
	if err != nil {
		return 0, err
	}
	if seq, err = kv.Put(ctx, version, packed); err != nil {
		return 0, fmt.Errorf("store the rules: %w", err)
	}
	return seq, nil
}

// newest is the version that was loaded last by any worker.
func (r *Rules) newest(ctx context.Context) (version string, seq uint64, err error) {
	prefix := "$KV." + stream.RulesBucket + "."
	last, _, err := stream.Last(ctx, r.nc, "KV_"+stream.RulesBucket, prefix+">")
	return strings.TrimPrefix(last.Subject, prefix), last.Seq, err
}

// Current gives the rules in force and their place in the order of versions, 0
// while it is not known.
func (r *Rules) Current() (*rules.Set, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.set, r.order
}

// Order is the place of a version, 0 if it is not known.
func (r *Rules) Order(ctx context.Context, version string) (uint64, error) {
	r.mu.Lock()
	known, ok := r.others[version]
	r.mu.Unlock()
	if ok && time.Since(known.at) < orderFresh {
		return known.order, nil
	}
	kv, err := r.js.KeyValue(ctx, stream.RulesBucket)
	if err != nil {
		return 0, fmt.Errorf("open the bucket of rules: %w", err)
	}
	entry, err := kv.Get(ctx, version)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrInvalidKey):
		known.order = 0
	case err != nil:
		return 0, fmt.Errorf("look up a version: %w", err)
	default:
		known.order = entry.Revision()
	}
	known.at = time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.others[version] = known
	return known.order, nil
}

// Behind is told that a record is of rules loaded after those in force here. It
// reports whether the wait for them has been long enough.
func (r *Rules) Behind() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.behind.IsZero() {
		r.behind = time.Now()
		r.log.Warn("another worker has newer rules than this one", zap.String("rules_version", r.set.Version))
	}
	return time.Since(r.behind) >= behindLimit
}

// Ready says why the rules cannot be worked with.
func (r *Rules) Ready(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.set == nil:
		return errors.New(r.fault)
	case !r.behind.IsZero():
		return fmt.Errorf("another worker has newer rules than this one, for %s", time.Since(r.behind).Round(time.Second))
	}
	return nil
}

// Notice says what is wrong with the file while older rules are in force.
func (r *Rules) Notice() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.set != nil && r.fault != "":
		return "older rules are in force (" + r.set.Version + "): " + r.fault
	case r.set != nil && r.order == 0:
		return "the rules are not registered in NATS yet"
	}
	return ""
}
