package chatstore

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/redis/go-redis/v9"

	"autotag/pkg/transcript"
)

const (
	// horizon is how far ahead a permit is reserved; who would have to wait
	// longer is sent away.
	horizon = 2 * time.Second
	// rateLife keeps an idle organization's bucket; a missing one is taken for
	// a lost one.
	rateLife = 7 * 24 * time.Hour
	// probeLife is longer than a call for an unknown tag is kept trying.
	probeLife = 26 * time.Hour
	// A tag that was refused is tried probeTries times, probePause apart, and
	// then every probeRest.
	probeTries = 5
	probePause = 36 * time.Second
	probeRest  = 10 * time.Minute
	// A try ends within tryLimit; meanwhile the others wait for tryPause.
	tryLimit = 20 * time.Second
	tryPause = 5 * time.Second
	// That many threads in a row whose gap brought nothing make gaps harmless
	// for harmlessLife.
	gapsNeeded   = 50
	harmlessLife = time.Hour
	gapsLife     = 7 * 24 * time.Hour
)

func orgKey(org, what string) string  { return "autotag:{" + org + "}:" + what }
func rateKey(org string) string       { return orgKey(org, "rate") }
func probeKey(org, tag string) string { return orgKey(org, "probe:"+tag) }
func gapsKey(org string) string       { return orgKey(org, "gaps") }
func harmlessKey(org string) string   { return orgKey(org, "gaps-harmless") }

// PermitLife is how long after its time a permit for a call may be used.
const PermitLife = 100 * time.Millisecond

// Permit is the answer to a reservation.
type Permit struct {
	// Wait says to come back after this time; nothing was reserved. 0: the
	// permit may be used at At, and within PermitLife after it.
	Wait time.Duration
	At   time.Time
	// Probe says that LiveChat did not know the tag when last asked: with Wait
	// that it is not time to ask again, else that this call is the
	// organization's one try whether the tag works by now.
	Probe bool
}

// Limits is what all workers share about an organization's calls.
type Limits struct {
	client redis.UniversalClient
	// interval between two calls, and how many may come at once, in
	// microseconds and calls.
	interval int64
	burst    int64
}

// NewLimits makes limits of rate calls a second and organization (API_RATE):
// never more than 1.2 times the rate and 2 in any second, over all workers.
func NewLimits(client redis.UniversalClient, rate float64) *Limits {
	return &Limits{
		client:   client,
		interval: int64(math.Ceil(1e6 / rate)),
		burst:    1 + int64(rate/5),
	}
}

// reserve is a bucket kept as the time at which it is full again (generic cell
// rate algorithm), with a look at the tag first.
//
// KEYS: 1 the bucket, 2 the tag's probe (left out for calls that name no tag).
// ARGV, in microseconds: 1 interval between calls, 2 calls at once (a number),
// 3 how far ahead to reserve, 4 life of the bucket in ms, 5 life of a probe in
// ms, 6 tries at the short pause (a number), 7 short pause, 8 long pause, 9 how
// long a try may take, 10 how long to wait while one is under way.
//
// Returns {now, slot, wait, probe}: the server's time; the reserved time, or 0
// and then how long to wait; 1 if the tag was unknown when last asked for.
//
// Everybody who waits for a try comes at its time: one makes it, and the others
// are told to wait for how it ends, not for the next one.
//
// A bucket that is missing was lost, perhaps with reservations in it that are
// still to be used: the new one gives out nothing before they are. One that is
// full later than it can be counts as lost too, and a try that is due later than
// it can be is due now: the server's clock was set back, or another server's has
// taken its place.
var reserve = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local interval, burst, ahead = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local probe, tries = 0, 0
if KEYS[2] then
  local p = redis.call('HMGET', KEYS[2], 'next', 'tries', 'trying')
  if p[1] then
    probe = 1
    tries = tonumber(p[2])
    local next = tonumber(p[1])
    local wait = next - now
    if wait > 0 and wait <= ahead + tonumber(ARGV[8]) then
      if p[3] and now - tonumber(p[3]) < tonumber(ARGV[9]) then wait = math.min(wait, tonumber(ARGV[10])) end
      return {now, 0, wait, 1}
    end
  end
end
local latest = now + ahead + burst * interval
local full = tonumber(redis.call('GET', KEYS[1]) or '')
local lost = not full or full > latest
if lost then full = latest end
local slot = math.max(now, full - (burst - 1) * interval)
local reserved = slot - now <= ahead
if reserved then full = math.max(full, now) + interval end
if reserved or lost then
  redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', ARGV[4])
end
if not reserved then return {now, 0, slot - now, 0} end
if probe == 1 then
  tries = tries + 1
  local pause = tries < tonumber(ARGV[6]) and ARGV[7] or ARGV[8]
  redis.call('HSET', KEYS[2], 'tries', tries, 'next', string.format('%.0f', slot + pause), 'trying', string.format('%.0f', slot))
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
end
return {now, slot, 0, probe}
`)

// Reserve asks for a permit. Its time is by this machine's clock, which is
// compared with Redis's in the same call: it is never early, and late by no
// more than the call took.
func (l *Limits) Reserve(ctx context.Context, org, tag string) (Permit, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	keys := []string{rateKey(org)}
	if tag != "" {
		keys = append(keys, probeKey(org, tag))
	}
	answer, err := reserve.Run(ctx, l.client, keys,
		l.interval, l.burst, horizon.Microseconds(), rateLife.Milliseconds(),
		probeLife.Milliseconds(), probeTries, probePause.Microseconds(), probeRest.Microseconds(),
		tryLimit.Microseconds(), tryPause.Microseconds()).Int64Slice()
	if err != nil {
		return Permit{}, fmt.Errorf("redis reserve: %w", err)
	}
	if len(answer) != 4 {
		return Permit{}, fmt.Errorf("redis reserve: %d values instead of 4", len(answer))
	}
	now, slot, wait, probe := answer[0], answer[1], answer[2], answer[3] == 1
	if slot == 0 {
		return Permit{Wait: time.Duration(max(wait, 1)) * time.Microsecond, Probe: probe}, nil
	}
	return Permit{At: time.Now().Add(time.Duration(slot-now) * time.Microsecond), Probe: probe}, nil
}

// refuse begins the probing of a tag, or notes that a try of it has ended.
//
// KEYS: 1 the probe. ARGV: 1 the first pause in microseconds, 2 life in ms.
var refuse = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 1 then return redis.call('HDEL', KEYS[1], 'trying') end
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 'tries', 0, 'next', string.format('%.0f', t[1] * 1000000 + t[2] + ARGV[1]))
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
`)

// Refused says that the platform does not know the tag: from now on only every
// so often one call of the organization asks for it.
func (l *Limits) Refused(ctx context.Context, org, tag string) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	err := refuse.Run(ctx, l.client, []string{probeKey(org, tag)}, probePause.Microseconds(), probeLife.Milliseconds()).Err()
	if err != nil {
		return fmt.Errorf("redis refuse: %w", err)
	}
	return nil
}

// Accepted says that the platform knows the tag.
func (l *Limits) Accepted(ctx context.Context, org, tag string) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	if err := l.client.Del(ctx, probeKey(org, tag)).Err(); err != nil {
		return fmt.Errorf("redis del: %w", err)
	}
	return nil
}

// GapsHarmless says whether gaps in event numbers have lately hidden nothing.
func (l *Limits) GapsHarmless(ctx context.Context, org string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	n, err := l.client.Exists(ctx, harmlessKey(org)).Result()
	if err != nil {
		return false, fmt.Errorf("redis exists: %w", err)
	}
	return n == 1, nil
}

// noteGap counts threads, not answers, so that a repeated one counts once.
//
// KEYS: 1 threads whose gap hid nothing, 2 the mark that gaps are harmless.
// ARGV: 1 the thread, 2 "1" if the gap hid something, 3 life of the set in ms,
// 4 how many are needed, 5 life of the mark in ms.
var noteGap = redis.NewScript(`
if ARGV[2] == '1' then return redis.call('DEL', KEYS[1], KEYS[2]) end
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if redis.call('SCARD', KEYS[1]) >= tonumber(ARGV[4]) then
  redis.call('SET', KEYS[2], 1, 'PX', ARGV[5])
end
return 0
`)

// Gap says what LiveChat's answer to a gap of the thread brought.
func (l *Limits) Gap(ctx context.Context, k transcript.Key, brought bool) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	err := noteGap.Run(ctx, l.client, []string{gapsKey(k.Org), harmlessKey(k.Org)},
		k.Chat+":"+k.Thread, brought, gapsLife.Milliseconds(), gapsNeeded, harmlessLife.Milliseconds()).Err()
	if err != nil {
		return fmt.Errorf("redis note gap: %w", err)
	}
	return nil
}
