package livechattest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Values of the switches that are texts.
const (
	AnswerOK            = "ok" // 200, nothing changes
	AnswerValidation    = "validation"
	AnswerNotFound      = "not_found"
	AnswerAlreadyExists = "already_exists"
	AnswerLimitReached  = "limit_reached"
	AnswerMissingAccess = "missing_access"

	SystemMessagesSent   = "sent"   // numbered, in the thread, sent as incoming_event
	SystemMessagesSilent = "silent" // numbered and in the thread, but no webhook: a gap in the event ids
	SystemMessagesNone   = "none"   // not written

	EventIDsNumbered = "numbered" // <thread>_<n>
	EventIDsUUID     = "uuid"
	EventIDsShort    = "short" // <n>: the same in every thread

	ClickPostback = "postback" // a message that names the button
	ClickPlain    = "plain"    // a message like any other
	ClickNone     = "none"     // incoming_rich_message_postback alone

	BotTypeAgent = "agent"
	BotTypeBot   = "bot"

	TimestampsUTC    = "utc"    // microseconds and Z
	TimestampsOffset = "offset" // +01:00, and as many digits of the fraction as needed

	CharsetAny   = "any"
	CharsetASCII = "ascii"
)

// Switches are the points that LiveChat does not document. The zero value is a
// plausible platform: the first of a switch's values is what an empty text, 0
// and false mean. Of texts the values are all there are, of numbers and times
// they are examples.
type Switches struct {
	Retag         string `values:"ok|validation|already_exists" desc:"the answer to tag_thread of a tag that the thread has"`
	UnknownTag    string `values:"validation|not_found" desc:"the answer to tag_thread of a tag that the account has not"`
	GroupMismatch string `values:"validation|missing_access|not_found" desc:"the answer to tag_thread when tag and thread share no group"`
	UntagMissing  string `values:"ok|not_found|validation" desc:"the answer to untag_thread of a tag that the thread has not"`
	FourthWebhook string `values:"limit_reached|validation" desc:"the answer to register_webhook beyond three of an action"`
	PlainMessages bool   `values:"false|true" desc:"a validation error says \"Wrong format of request\", not what is wrong"`
	ErrorStatus   int    `values:"0|400|500|200" desc:"the HTTP status of every refused call; 0: one that fits the error type"`

	GroupZeroFitsAll bool   `values:"false|true" desc:"a tag of group 0 fits threads of every group"`
	NoGroupsFitAll   bool   `values:"false|true" desc:"a tag without groups fits threads of every group"`
	TagMaxLength     int    `values:"0|40" desc:"how many characters a new tag may have; 0: any number"`
	TagCharset       string `values:"any|ascii" desc:"the characters that a new tag may have"`

	TagDelay time.Duration `values:"0s|3s" desc:"how much later a new tag, or a tag's new groups, count for tag_thread (documented: up to 2 minutes)"`

	ResendInitialEvents bool   `values:"false|true" desc:"events inside incoming_chat are sent as incoming_event too"`
	OfflineSendsEnd     bool   `values:"false|true" desc:"a chat that is closed from its start sends chat_deactivated too"`
	SystemMessages      string `values:"sent|silent|none" desc:"system messages are sent, or leave only a gap in the event ids, or are not written"`
	EventIDs            string `values:"numbered|uuid|short" desc:"ids of events: the thread's id and a number, a UUID, or a number, which is unique in its thread only"`
	ClickMessage        string `values:"postback|plain|none" desc:"a pressed button writes a message that names the button, or one that does not, or none"`
	ClickUpdatesEvent   bool   `values:"false|true" desc:"a pressed button sends event_updated of its rich message too"`
	BotType             string `values:"agent|bot" desc:"the type of bots in a chat's list of users"`
	Timestamps          string `values:"utc|offset" desc:"times with microseconds and Z, or with +01:00 and a fraction of any length"`
	LicenseAsText       bool   `values:"false|true" desc:"license_id of old webhooks is a text"`
	NoEchoes            bool   `values:"false|true" desc:"tag_thread and untag_thread send no webhook: the registration leaves out what its own client does"`

	Rate           float64       `values:"0|50" desc:"calls a second and organization; more get too_many_requests; 0: no limit"`
	Burst          int           `values:"1|10" desc:"calls that may come at once under rate; 0 is 1"`
	RatePerMethod  bool          `values:"false|true" desc:"rate counts every method by itself"`
	RetryAfter     time.Duration `values:"0s|1s" desc:"header Retry-After of too_many_requests, in whole seconds; 0: there is none"`
	RetryAfterDate bool          `values:"false|true" desc:"Retry-After is a date, not a number of seconds"`
	Region         string        `values:"dal|fra|fra-a|fra-b" desc:"data centre of the organization; calls to another get misdirected_request"`

	ArchiveDelay      time.Duration `values:"0s|3s" desc:"how much later list_archives lists a thread that has ended"`
	ArchivesHaveOpen  bool          `values:"false|true" desc:"list_archives lists threads that are still active"`
	ArchivesByEndTime bool          `values:"false|true" desc:"from and to of list_archives compare with the end of the thread, not its start"`

	// Adopt takes chats and tags that the platform never heard of as they come:
	// for webhooks that somebody else made up. tag_thread and untag_thread of an
	// unknown thread make it, in group 0; an unknown tag is created with every
	// group. Such a thread is known by its tags only, so everything else
	// (get_chat, the listings) answers not_found or leaves it out: an empty
	// chat would be a lie.
	Adopt bool `values:"false|true" desc:"chats and tags that the platform never heard of are taken as they come"`
}

// eventID is the id of a thread's n-th event.
func (p *Platform) eventID(t *thread, n int) string {
	switch p.sw.EventIDs {
	case EventIDsUUID:
		return p.newUUID()
	case EventIDsShort:
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s_%d", t.id, n)
}

func (p *Platform) newUUID() string { return uuid(p.rng) }

func uuid(r *rand.Rand) string {
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", r.Uint32(), r.Uint32()>>16, r.Uint32()>>20, r.Uint32()>>20, r.Uint64()>>16)
}

// mayBeTag says whether a new tag may have this name.
func (s Switches) mayBeTag(name string) bool {
	if s.TagMaxLength > 0 && len([]rune(name)) > s.TagMaxLength {
		return false
	}
	return s.TagCharset != CharsetASCII || !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' })
}
