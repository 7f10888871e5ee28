package worker

import (
	"context"
	"time"

	"autotag/pkg/livechat"
	"autotag/pkg/transcript"
)

// API is LiveChat as the core sees it.
type API struct{ client *livechat.Client }

// NewAPI makes an API of a client.
func NewAPI(client *livechat.Client) *API { return &API{client: client} }

// GetChat asks for a thread.
func (a *API) GetChat(ctx context.Context, k transcript.Key) (livechat.Chat, error) {
	return a.client.GetChat(ctx, k.Org, k.Chat, k.Thread)
}

// Tag sets a tag.
func (a *API) Tag(ctx context.Context, k transcript.Key, tag string) error {
	return a.client.TagThread(ctx, k.Org, k.Chat, k.Thread, tag)
}

// Untag takes a tag away.
func (a *API) Untag(ctx context.Context, k transcript.Key, tag string) error {
	return a.client.UntagThread(ctx, k.Org, k.Chat, k.Thread, tag)
}

// ListTags asks for the account's tags.
func (a *API) ListTags(ctx context.Context, org string) ([]livechat.Tag, error) {
	return a.client.ListTags(ctx, org)
}

// Clock is the machine's.
type Clock struct{}

// Now gives the time.
func (Clock) Now() time.Time { return time.Now() }

// Sleep waits for d or until ctx ends.
func (Clock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
