// Package livechattest is an in-memory LiveChat platform for tests, the
// simulator and the demo: the API methods that Autotag calls, as strict as the
// platform itself, and the webhooks that a change would cause.
//
// A [Platform] is a plain [http.Handler]; serve it on any path root. What
// people do in LiveChat (start a chat, write, edit, tag, close) is a method of
// Platform: it changes the state that the API shows and returns the webhooks
// that LiveChat would send, secret_key included, in the order of their making.
// Sending them, in whatever order and number, is the caller's business. What a
// call of the API causes (the thread_tagged after a tag_thread) goes to the
// sink given in [Config].
//
// What LiveChat documents is refused or done as documented; what it leaves
// undocumented is a field of [Switches].
package livechattest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Config says how a Platform runs. The zero value is usable.
type Config struct {
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Seed of the generated chat, thread and webhook ids; 0 takes a random one,
	// so that two runs against the same receiver do not share ids.
	Seed uint64
	// Versions of the API that are served; 3.4 to 3.7 when nil.
	Versions []string
	// Switches are the readings of what LiveChat leaves undocumented.
	Switches Switches
	// Sink takes the webhooks that API calls cause, before the call is
	// answered. It must not block. Nil drops them.
	Sink func(Webhook)
	// OnCall is told of every API call once it is over. It must not block.
	OnCall func(Call)
	// KeepCalls is how many of the newest calls Calls returns; 100,000 when 0.
	KeepCalls int
}

// Organization is a customer of LiveChat and its one token.
type Organization struct {
	ID        string // organization_id
	LicenseID int    // license_id of webhooks up to v3.3
	Secret    string // secret_key of its webhooks
	// WebhookVersion is the shape of its webhooks, 3.2 to 3.7; 3.6 when empty.
	WebhookVersion string
	AdditionalData bool // webhooks carry chat properties and the users present

	Region string // data centre, that of the switches when empty; others than "dal" want the header X-Region or a token with that prefix

	AccountID string   // Basic user name (a UUID on the platform)
	PAT       string   // Basic password: a personal access token
	Tokens    []string // Bearer tokens that are accepted too

	Scopes      []string // of the token; nil has all
	TokenGroups []int    // groups of the token's owner, which chats--access:* needs; nil is all
	NormalRole  bool     // the token is of a normal agent: deleted events come as stubs

	ClientIDs []string // apps that the organization owns (owner_client_id)
	Groups    []int    // groups beside General (0), which every organization has
	TagQuota  int      // limits.tags.hard; 2000 when 0
}

// Webhook is one webhook as LiveChat would post it.
type Webhook struct {
	Organization string
	Chat, Thread string // "" where the action has none
	Event        string // event id, "" where the action has none
	Action       string
	Body         []byte // JSON, with secret_key
}

// Errors of the methods that stand for people's work.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("already exists")
	ErrRefused  = errors.New("refused")
)

// Platform is a LiveChat platform in memory. It is safe for concurrent use.
type Platform struct {
	now       func() time.Time
	versions  []string
	sink      func(Webhook)
	onCall    func(Call)
	keepCalls int

	mu      sync.Mutex
	sw      Switches
	rng     *rand.Rand
	orgs    map[string]*organization
	chats   map[string]*chat
	threads map[string]*thread
	adopted map[string]*thread // see Switches.Adopt
	order   []*thread          // by time of creation
	pages   map[string]*page
	calls   []Call
	faults  []queuedFault
	hook    func(Call) *Fault
}

type organization struct {
	Organization
	sw       *Switches // the platform's
	tags     map[string]*tag
	hooks    []*registration
	disabled map[string]bool // by owner_client_id
	revoked  bool
	buckets  map[string]*bucket // of the rate limit, by method
}

type tag struct {
	name      string
	groups    []int
	author    string
	created   time.Time
	before    []int // groups that count until changed + TagDelay; nil: not known to tag_thread yet
	effective time.Time
}

type chat struct {
	id         string
	org        *organization
	version    string
	users      []User
	threads    []*thread
	groups     []int
	properties Properties
}

type thread struct {
	id         string
	chat       *chat
	active     bool
	created    time.Time
	ended      time.Time
	users      []string
	events     []*event
	number     int
	last       time.Time
	tags       []string
	groups     []int
	properties Properties
	queued     bool
	restricted string
	summary    string
}

type event struct {
	Event
	deleted bool
	clicked map[string][]string // users by postback id
}

// New returns an empty platform.
func New(cfg Config) *Platform {
	p := &Platform{
		now: cfg.Now, versions: cfg.Versions, sink: cfg.Sink, onCall: cfg.OnCall,
		keepCalls: cfg.KeepCalls, sw: cfg.Switches,
		orgs: map[string]*organization{}, chats: map[string]*chat{},
		threads: map[string]*thread{}, adopted: map[string]*thread{}, pages: map[string]*page{},
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.versions == nil {
		p.versions = []string{"3.4", "3.5", "3.6", "3.7"}
	}
	if p.keepCalls == 0 {
		p.keepCalls = 100_000
	}
	seed := cfg.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	p.rng = rand.New(rand.NewPCG(seed, 0))
	return p
}

// SetSwitches changes the switches of a running platform.
func (p *Platform) SetSwitches(change func(*Switches)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.sw)
}

// AddOrganization makes an organization known.
func (p *Platform) AddOrganization(o Organization) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o.ID == "" {
		return errors.New("add organization: the id is empty")
	}
	if p.orgs[o.ID] != nil {
		return fmt.Errorf("add organization %s: %w", o.ID, ErrExists)
	}
	if o.WebhookVersion == "" {
		o.WebhookVersion = "3.6"
	}
	if o.TagQuota == 0 {
		o.TagQuota = 2000
	}
	if !slices.Contains(o.Groups, 0) {
		o.Groups = append([]int{0}, o.Groups...)
	}
	p.orgs[o.ID] = &organization{
		Organization: o, sw: &p.sw, tags: map[string]*tag{}, disabled: map[string]bool{},
		buckets: map[string]*bucket{},
	}
	return nil
}

// RevokeToken makes every token of the organization fail with error type
// authentication until RestoreToken.
func (p *Platform) RevokeToken(org string) { p.setRevoked(org, true) }

// RestoreToken undoes RevokeToken.
func (p *Platform) RestoreToken(org string) { p.setRevoked(org, false) }

func (p *Platform) setRevoked(org string, revoked bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.orgs[org]; o != nil {
		o.revoked = revoked
	}
}

// Tags returns the tags of a thread in the order in which they were set; it is
// empty for an unknown thread.
func (p *Platform) Tags(thread string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.threads[thread]
	if t == nil {
		t = p.adopted[thread]
	}
	if t == nil {
		return nil
	}
	return slices.Clone(t.tags)
}

// EventIDs returns the ids of a thread's events in their order; none for an
// unknown thread.
func (p *Platform) EventIDs(thread string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.threads[thread]
	if t == nil {
		return nil
	}
	var ids []string
	for _, e := range t.events {
		ids = append(ids, e.ID)
	}
	return ids
}

// WebhooksEnabled says whether an organization's webhooks are sent, as
// enable_license_webhooks and disable_license_webhooks left it for its first
// app.
func (p *Platform) WebhooksEnabled(org string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.orgs[org]
	return o != nil && !o.disabled[o.client()]
}

// DisableWebhooks is what the platform may do by itself to an organization
// whose webhooks fail; enable_license_webhooks undoes it.
func (p *Platform) DisableWebhooks(org string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.orgs[org]; o != nil {
		o.disabled[o.client()] = true
	}
}

// client is the organization's first app.
func (o *organization) client() string {
	if len(o.ClientIDs) == 0 {
		return ""
	}
	return o.ClientIDs[0]
}

// Active says whether the thread is open.
func (p *Platform) Active(thread string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.threads[thread]
	return t != nil && t.active
}

// newID returns an unused id in the form of chat and thread ids.
func (p *Platform) newID() string {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for {
		b := make([]byte, 10)
		for i := range b {
			b[i] = letters[p.rng.IntN(len(letters))]
		}
		b[0] = 'S'
		id := string(b)
		if p.chats[id] == nil && p.threads[id] == nil {
			return id
		}
	}
}

// encode is JSON without the escaping of HTML characters, as the platform
// sends it.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		// Every value comes from this package or from a caller's Go literal.
		panic(fmt.Sprintf("livechattest: encode: %v", err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
