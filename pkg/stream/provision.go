package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Version is what Provision writes into the metadata of streams, buckets and
// consumers. Raise it when this package needs something of them that an older
// program does not know.
const Version = 1

// VersionKey is the metadata key of Version.
const VersionKey = "autotag_version"

// AckWait is how long a consumer waits for an acknowledgement.
const AckWait = 30 * time.Second

const (
	day = 24 * time.Hour
	// DefaultEventsMaxAge is how long LIVECHAT_EVENTS keeps webhooks.
	DefaultEventsMaxAge = 7 * day
	// duplicateWindow is longer than LiveChat sends a webhook again.
	duplicateWindow = 5 * time.Minute
)

// ProvisionOptions are the settings of what Provision creates.
type ProvisionOptions struct {
	EventsMaxAge time.Duration // default DefaultEventsMaxAge
	// EventsMaxBytes bounds LIVECHAT_EVENTS; above it webhooks are refused.
	// Default: a quarter of what the store can still promise, measured when
	// the stream is created.
	EventsMaxBytes int64
	Replicas       int // 1 (default), 3 or 5
}

// Difference is something on the server that is not as this program would have
// created it, and that was kept.
type Difference struct {
	Where string // the stream, or stream and consumer
	Field string
	Have  string
	Want  string
}

func (d Difference) String() string {
	return fmt.Sprintf("%s: %s is %s, this program would have %s", d.Where, d.Field, d.Have, d.Want)
}

type consumerSpec struct {
	stream, durable string
	filter          string
	maxAckPending   int
}

var consumers = []consumerSpec{
	{Events, Accumulate, "livechat.>", 2000},
	{Timers, Decide, "autotag.due.>", 1000},
	{Decisions, Apply, "autotag.decision.>", 1000},
	{Timers, Retry, "autotag.retry-due.>", 1000},
}

// Provision creates the streams, buckets and consumers that are missing. What
// is there is never lowered or taken away: subjects are added, and ages, sizes,
// replicas and features are raised to what this version and o need. Streams
// that a newer version wrote are left as they are. Whatever else differs is
// kept and returned. Any number of programs may do this at the same time.
func Provision(ctx context.Context, js jetstream.JetStream, o ProvisionOptions) ([]Difference, error) {
	if o.EventsMaxAge <= 0 {
		o.EventsMaxAge = DefaultEventsMaxAge
	}
	if o.Replicas <= 0 {
		o.Replicas = 1
	}
	var all []Difference
	// The lock of what follows lies in a bucket.
	for _, b := range buckets(o) {
		diffs, err := provisionBucket(ctx, js, b)
		if err != nil {
			return nil, fmt.Errorf("provision bucket %s: %w", b.Bucket, err)
		}
		all = append(all, diffs...)
	}
	for _, cfg := range streams(o) {
		diffs, err := provisionStream(ctx, js, cfg)
		if err != nil {
			return nil, fmt.Errorf("provision stream %s: %w", cfg.Name, err)
		}
		all = append(all, diffs...)
	}
	for _, c := range consumers {
		diffs, err := provisionConsumer(ctx, js, c)
		if err != nil {
			return nil, fmt.Errorf("provision consumer %s of %s: %w", c.durable, c.stream, err)
		}
		all = append(all, diffs...)
	}
	return all, nil
}

func metadata() map[string]string { return map[string]string{VersionKey: strconv.Itoa(Version)} }

func streams(o ProvisionOptions) []jetstream.StreamConfig {
	base := func(name, description string, age time.Duration, subjects ...string) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name: name, Description: description, Subjects: subjects,
			Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: o.Replicas,
			MaxAge: age, MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1,
			Discard: jetstream.DiscardOld, Duplicates: min(duplicateWindow, age),
			AllowDirect: true, Metadata: metadata(),
		}
	}
	events := base(Events, "LiveChat webhooks", o.EventsMaxAge, "livechat.*.*.*.*")
	events.MaxBytes = o.EventsMaxBytes
	// Refuse the new rather than drop the old without a word.
	events.Discard = jetstream.DiscardNew

	timers := base(Timers, "one schedule per thread, and what has come due", 8*day,
		"autotag.timer.*.*.*", "autotag.due.*.*.*", "autotag.retry.*.*.*", "autotag.retry-due.*.*.*")
	timers.MaxMsgsPerSubject = 1
	timers.AllowMsgSchedules = true
	timers.AllowRollup = true // the server sets it with schedules

	decisions := base(Decisions, "decisions, intents and outcomes", 90*day, "autotag.decision.*.*.*", "autotag.outcome.*.*.*")

	dead := base(Dead, "what no retry can mend", 30*day, "autotag.dead.*.*.*.*")
	dead.AllowMsgTTL = true
	return []jetstream.StreamConfig{events, timers, decisions, dead}
}

func buckets(o ProvisionOptions) []jetstream.KeyValueConfig {
	base := func(name, description string) jetstream.KeyValueConfig {
		return jetstream.KeyValueConfig{
			Bucket: name, Description: description, History: 1,
			Storage: jetstream.FileStorage, Replicas: o.Replicas, Metadata: metadata(),
		}
	}
	state := base(StateBucket, "leases and marks")
	state.LimitMarkerTTL = time.Minute // allows keys that expire: leases
	return []jetstream.KeyValueConfig{state, base(RulesBucket, "rules files by hash, in load order")}
}

// rounds bounds how often something is tried against concurrent changes and
// lost answers.
const rounds = 10

// inRounds repeats step until it is done. A cluster may leave a request
// without an answer while its leaders change: that is one round.
func inRounds(ctx context.Context, step func(context.Context) (done bool, err error)) error {
	err := errors.New("other programs keep changing it")
	for range rounds {
		once, cancel := context.WithTimeout(ctx, lockLife)
		done, serr := step(once)
		cancel()
		switch {
		case serr != nil && (ctx.Err() != nil || !errors.Is(serr, context.DeadlineExceeded)):
			return serr
		case serr != nil:
			err = serr
		case done:
			return nil
		}
	}
	return err
}

func provisionStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) (diffs []Difference, err error) {
	err = inRounds(ctx, func(ctx context.Context) (bool, error) {
		s, err := js.Stream(ctx, want.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			if err := locked(ctx, js, func() error { return createStream(ctx, js, want) }); err != nil {
				return false, err
			}
			return false, nil // what is there now may be another program's
		}
		if err != nil {
			return false, err
		}
		have := s.CachedInfo().Config
		v := version(have.Metadata)
		if v > Version {
			return true, nil
		}
		raised, changed := raiseStream(have, want)
		if !changed {
			diffs = streamDifferences(have, want)
			return true, nil
		}
		if _, err := js.UpdateStream(ctx, raised); err != nil {
			return false, fmt.Errorf("update: %w", err)
		}
		return false, nil
	})
	return diffs, err
}

// createStream creates the stream if it is still missing.
func createStream(ctx context.Context, js jetstream.JetStream, c jetstream.StreamConfig) error {
	if _, err := js.Stream(ctx, c.Name); !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	if c.Name == Events && c.MaxBytes == 0 {
		free, err := freeStore(ctx, js, c.Replicas)
		if err != nil {
			return fmt.Errorf("measure the free store: %w", err)
		}
		c.MaxBytes = free / 4
	}
	_, err := js.CreateStream(ctx, c)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return nil
	}
	return err
}

// raiseStream returns have with what want needs added, and whether anything
// was.
func raiseStream(have, want jetstream.StreamConfig) (jetstream.StreamConfig, bool) {
	c := have
	changed := false
	c.Subjects = slices.Clone(c.Subjects)
	for _, s := range want.Subjects {
		if !slices.ContainsFunc(c.Subjects, func(have string) bool { return matches(have, s) }) {
			c.Subjects = slices.DeleteFunc(c.Subjects, func(have string) bool { return matches(s, have) })
			c.Subjects = append(c.Subjects, s)
			changed = true
		}
	}
	// 0 and -1 are no limit, which is above every limit.
	changed = raiseLimit(&c.MaxAge, want.MaxAge) || changed
	if want.MaxBytes != 0 {
		changed = raiseLimit(&c.MaxBytes, want.MaxBytes) || changed
	}
	changed = raise(&c.Replicas, want.Replicas) || changed
	changed = raise(&c.Duplicates, want.Duplicates) || changed
	for _, f := range []struct {
		have *bool
		want bool
	}{
		{&c.AllowDirect, want.AllowDirect},
		{&c.AllowMsgTTL, want.AllowMsgTTL},
		{&c.AllowMsgSchedules, want.AllowMsgSchedules},
		{&c.AllowRollup, want.AllowRollup},
	} {
		if f.want && !*f.have {
			*f.have, changed = true, true
		}
	}
	c.Metadata, changed = raiseVersion(c.Metadata, changed)
	return c, changed
}

func raise[T int | time.Duration](have *T, want T) bool {
	if *have >= want {
		return false
	}
	*have = want
	return true
}

func raiseLimit[T ~int64](have *T, want T) bool {
	if *have <= 0 || (want > 0 && *have >= want) {
		return false
	}
	*have = want
	return true
}

func raiseVersion(meta map[string]string, changed bool) (map[string]string, bool) {
	if version(meta) == Version {
		return meta, changed
	}
	raised := metadata()
	for k, v := range meta {
		if k != VersionKey {
			raised[k] = v
		}
	}
	return raised, true
}

// version is the version that metadata names, 0 if none.
func version(meta map[string]string) int {
	v, err := strconv.Atoi(meta[VersionKey])
	if err != nil {
		return 0
	}
	return v
}

func streamDifferences(have, want jetstream.StreamConfig) []Difference {
	var diffs differences
	if want.MaxBytes == 0 {
		want.MaxBytes = have.MaxBytes
		if have.MaxBytes <= 0 {
			diffs.add("max_bytes", "unlimited", "limited")
		}
	}
	diffs.add("subjects", strings.Join(sorted(have.Subjects), " "), strings.Join(sorted(want.Subjects), " "))
	diffs.add("retention", have.Retention, want.Retention)
	diffs.add("storage", have.Storage, want.Storage)
	diffs.add("discard", have.Discard, want.Discard)
	diffs.add("max_age", have.MaxAge, want.MaxAge)
	diffs.add("max_bytes", have.MaxBytes, want.MaxBytes)
	diffs.add("max_msgs", max(have.MaxMsgs, 0), max(want.MaxMsgs, 0))
	diffs.add("max_msgs_per_subject", max(have.MaxMsgsPerSubject, 0), max(want.MaxMsgsPerSubject, 0))
	diffs.add("replicas", have.Replicas, want.Replicas)
	diffs.add("duplicate_window", have.Duplicates, want.Duplicates)
	diffs.add("no_ack", have.NoAck, want.NoAck)
	diffs.add("sealed", have.Sealed, want.Sealed)
	diffs.add("persist_mode", have.PersistMode, want.PersistMode)
	return diffs.in(have.Name)
}

type differences []Difference

func (d *differences) add(field string, have, want any) {
	if h, w := fmt.Sprint(have), fmt.Sprint(want); h != w {
		*d = append(*d, Difference{Field: field, Have: h, Want: w})
	}
}

func (d differences) in(where string) []Difference {
	for i := range d {
		d[i].Where = where
	}
	return d
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

func provisionBucket(ctx context.Context, js jetstream.JetStream, want jetstream.KeyValueConfig) (diffs []Difference, err error) {
	name := "KV_" + want.Bucket
	err = inRounds(ctx, func(ctx context.Context) (bool, error) {
		s, err := js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			if _, err = js.CreateKeyValue(ctx, want); err != nil && !errors.Is(err, jetstream.ErrBucketExists) {
				return false, err
			}
			return false, nil // what is there now may be another program's
		}
		if err != nil {
			return false, err
		}
		have := s.CachedInfo().Config
		if version(have.Metadata) > Version {
			return true, nil
		}
		raised := have
		changed := raise(&raised.Replicas, want.Replicas)
		if want.LimitMarkerTTL > 0 && (!raised.AllowMsgTTL || raised.SubjectDeleteMarkerTTL == 0) {
			raised.AllowMsgTTL, raised.SubjectDeleteMarkerTTL, changed = true, want.LimitMarkerTTL, true
		}
		raised.Metadata, changed = raiseVersion(raised.Metadata, changed)
		if !changed {
			var d differences
			d.add("storage", have.Storage, want.Storage)
			d.add("replicas", have.Replicas, want.Replicas)
			d.add("max_age", have.MaxAge, want.TTL)
			diffs = d.in(name)
			return true, nil
		}
		if _, err := js.UpdateStream(ctx, raised); err != nil {
			return false, fmt.Errorf("update: %w", err)
		}
		return false, nil
	})
	return diffs, err
}

func provisionConsumer(ctx context.Context, js jetstream.JetStream, spec consumerSpec) (diffs []Difference, err error) {
	want := jetstream.ConsumerConfig{
		Durable: spec.durable, FilterSubject: spec.filter,
		AckPolicy: jetstream.AckExplicitPolicy, DeliverPolicy: jetstream.DeliverAllPolicy,
		AckWait: AckWait, MaxDeliver: -1, MaxAckPending: spec.maxAckPending, Metadata: metadata(),
	}
	err = inRounds(ctx, func(ctx context.Context) (bool, error) {
		cons, err := js.Consumer(ctx, spec.stream, spec.durable)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			_, err = js.CreateConsumer(ctx, spec.stream, want)
			if err != nil && !errors.Is(err, jetstream.ErrConsumerExists) {
				return false, err
			}
			return false, nil // what is there now may be another program's
		}
		if err != nil {
			return false, err
		}
		have := cons.CachedInfo().Config
		if version(have.Metadata) > Version {
			return true, nil
		}
		raised := have
		changed := raise(&raised.AckWait, want.AckWait)
		if have.MaxAckPending > 0 && have.MaxAckPending < want.MaxAckPending {
			raised.MaxAckPending, changed = want.MaxAckPending, true
		}
		if have.MaxDeliver > 0 { // a limit parks messages without a word
			raised.MaxDeliver, changed = -1, true
		}
		raised.Metadata, changed = raiseVersion(raised.Metadata, changed)
		if !changed {
			var d differences
			filters := have.FilterSubjects
			if have.FilterSubject != "" {
				filters = append(filters, have.FilterSubject)
			}
			d.add("filter_subjects", strings.Join(filters, " "), want.FilterSubject)
			d.add("ack_policy", have.AckPolicy, want.AckPolicy)
			d.add("ack_wait", have.AckWait, want.AckWait)
			d.add("max_ack_pending", have.MaxAckPending, want.MaxAckPending)
			d.add("backoff", have.BackOff, want.BackOff)
			d.add("memory_storage", have.MemoryStorage, want.MemoryStorage)
			diffs = d.in(spec.stream + " consumer " + spec.durable)
			return true, nil
		}
		if _, err := js.UpdateConsumer(ctx, spec.stream, raised); err != nil {
			return false, fmt.Errorf("update: %w", err)
		}
		return false, nil
	})
	return diffs, err
}

// matches tells whether the subjects of filter include those of subject, which
// may hold wildcards itself.
func matches(filter, subject string) bool {
	f, s := strings.Split(filter, "."), strings.Split(subject, ".")
	for i, t := range f {
		if t == ">" {
			return len(s) > i
		}
		if i >= len(s) || s[i] == ">" || (t != "*" && t != s[i]) {
			return false
		}
	}
	return len(f) == len(s)
}

const (
	probeStream  = "AUTOTAG_PROBE"
	probeSubject = "autotag.probe"

	lockKey = "provision"
	// lockLife is after which the lock of a program that died is free again.
	lockLife  = 10 * time.Second
	lockPause = 50 * time.Millisecond
)

// locked runs f while no other program creates streams: one that measures the
// free store takes nearly all of it for moments.
func locked(ctx context.Context, js jetstream.JetStream, f func() error) error {
	kv, err := js.KeyValue(ctx, StateBucket)
	if err != nil {
		return err
	}
	var mine uint64
	for {
		mine, err = kv.Create(ctx, lockKey, nil, jetstream.KeyTTL(lockLife))
		if err == nil {
			break
		}
		// The second is how a cluster says it of a key that is being stored.
		var api *jetstream.APIError
		if !errors.Is(err, jetstream.ErrKeyExists) && !(errors.As(err, &api) && api.ErrorCode == codeWrongLastSeqConst) {
			return fmt.Errorf("take the lock: %w", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPause):
		}
	}
	err = f()
	// Also when ctx has ended. If it fails, the lock is free after lockLife, or
	// is already another's.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestWait)
	defer cancel()
	_ = kv.Delete(ctx, lockKey, jetstream.LastRevision(mine))
	return err
}

// freeStore returns how many bytes a stream with replicas could still be
// promised. An ordinary client is not told, so it asks for promises: a stream
// of a size is created and removed until the largest is known, to a sixteenth.
// It needs the lock.
func freeStore(ctx context.Context, js jetstream.JetStream, replicas int) (int64, error) {
	// A program that died may have left its probe.
	if err := js.DeleteStream(ctx, probeStream); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, err
	}
	fits := func(size int64) (bool, error) {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{
			Name: probeStream, Subjects: []string{probeSubject}, Description: "measures the free store, removed at once",
			Storage: jetstream.FileStorage, Replicas: replicas, MaxBytes: size,
		})
		var api *jetstream.APIError
		if errors.As(err, &api) && slices.Contains([]jetstream.ErrorCode{codeStorage, codeInsufficient, codeNoSuitablePeers, codeAccountResources}, api.ErrorCode) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		return true, js.DeleteStream(ctx, probeStream)
	}
	const smallest, largest = 1 << 20, 1 << 50
	size := int64(largest)
	for ; size >= smallest; size /= 2 {
		ok, err := fits(size)
		if err != nil {
			return 0, err
		}
		if ok {
			break
		}
	}
	if size < smallest {
		return 0, fmt.Errorf("%w: the server cannot promise even 1 MiB", ErrFull)
	}
	for step := size / 2; step >= size/16 && size < largest; step /= 2 {
		ok, err := fits(size + step)
		if err != nil {
			return 0, err
		}
		if ok {
			size += step
		}
	}
	return size, nil
}
