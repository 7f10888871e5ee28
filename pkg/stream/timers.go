package stream

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"autotag/pkg/transcript"
)

// armsInFlight bounds the publishes of one ArmAll.
const armsInFlight = 64

// Timer is a thread's one schedule.
type Timer struct {
	Key transcript.Key
	At  time.Time
	// Seq is the sequence in LIVECHAT_EVENTS that a reading of the thread must
	// reach; the due message carries it in SeqHeader. 0 for none.
	Seq uint64
}

// Arm sets the thread's timer; one that is set already is replaced. The due
// message comes at or up to about 0.4 s after at, at once if at has passed,
// never early, at least once. A re-arm that meets the firing of the old timer
// can vanish, the due message of the old one then follows it: whoever handles
// a due message that comes too early for what has happened since arms again.
func Arm(ctx context.Context, js jetstream.JetStream, k transcript.Key, at time.Time, seq uint64) error {
	if err := schedule(ctx, js, TimerSubject(k), DueSubject(k), at, seq); err != nil {
		return fmt.Errorf("arm timer: %w", err)
	}
	return nil
}

// ArmAll arms many timers at once and returns one error per timer, nil for
// those that are set. Of two timers for one thread, either may win.
func ArmAll(ctx context.Context, js jetstream.JetStream, timers []Timer) []error {
	errs := make([]error, len(timers))
	slots := make(chan struct{}, armsInFlight)
	var wg sync.WaitGroup
	for i, t := range timers {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = Arm(ctx, js, t.Key, t.At, t.Seq)
		})
	}
	wg.Wait()
	return errs
}

// Park sets the thread's one parked retry; the due message comes to
// RetryDueSubject under the same conditions as a timer's.
func Park(ctx context.Context, js jetstream.JetStream, k transcript.Key, at time.Time) error {
	if err := schedule(ctx, js, RetrySubject(k), RetryDueSubject(k), at, 0); err != nil {
		return fmt.Errorf("park retry: %w", err)
	}
	return nil
}

func schedule(ctx context.Context, js jetstream.JetStream, subject, target string, at time.Time, seq uint64) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	m := &nats.Msg{Subject: subject, Header: nats.Header{
		// The client's own option cuts the time to whole seconds and so fires
		// early; the server takes fractions.
		jetstream.ScheduleHeader:       {"@at " + at.UTC().Format(time.RFC3339Nano)},
		jetstream.ScheduleTargetHeader: {target},
	}}
	if seq > 0 {
		m.Header.Set(SeqHeader, strconv.FormatUint(seq, 10))
	}
	_, err := publish(ctx, js, m, nil, jetstream.WithExpectStream(Timers))
	return err
}
