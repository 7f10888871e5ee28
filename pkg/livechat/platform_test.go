package livechat_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"testing"

	"autotag/pkg/livechat"
	"autotag/pkg/livechat/livechattest"
)

const (
	org      = "5f0b2c4e-7a1d-4c39-9f57-3d2a61b8e0c4"
	customer = "2c8f1e5a-9b34-4d7e-8a61-0f5d3c7b9e20"
	agent    = "smith@example.com"
)

// TestAgainstPlatform: the client and the stand-in for the platform read the
// documentation alike, in both shapes of webhooks.
func TestAgainstPlatform(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"3.3", "3.6"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			platform := livechattest.New(livechattest.Config{
				Seed:     1,
				Switches: livechattest.Switches{Retag: livechattest.AnswerAlreadyExists, UntagMissing: livechattest.AnswerNotFound},
			})
			must(t, platform.AddOrganization(livechattest.Organization{
				ID: org, LicenseID: 15872341, Secret: "secret", WebhookVersion: version, AccountID: "account", PAT: "pat", Region: "fra",
			}))
			_, err := platform.CreateTag(org, "refund", 0)
			must(t, err)
			hooks, err := platform.StartChat(org, livechattest.Chat{
				Users:  []livechattest.User{{ID: customer}, {ID: agent}},
				Thread: livechattest.Thread{Events: []livechattest.Event{{Author: customer, Text: "I want a refund"}}},
			})
			must(t, err)
			chat, thread := hooks[0].Chat, hooks[0].Thread
			more, err := platform.AddEvent(thread, livechattest.Event{Author: agent, Text: "a note", Internal: true})
			must(t, err)
			hooks = append(hooks, more...)

			wantOrg := org
			if version == "3.3" {
				wantOrg = "license-15872341"
			}
			var events []livechat.Event
			for _, hook := range hooks {
				w, err := livechat.ParseWebhook(hook.Body)
				must(t, err)
				p, err := livechat.ParsePayload(w.Action, w.Payload)
				must(t, err)
				if w.Organization != wantOrg || p.ChatID != chat || p.ThreadID != thread {
					t.Errorf("%s of %s/%s/%s", w.Action, w.Organization, p.ChatID, p.ThreadID)
				}
				if p.Chat != nil {
					events = append(events, p.Chat.Thread.Events...)
				}
				if p.Event != nil {
					events = append(events, *p.Event)
				}
			}

			server := httptest.NewServer(platform)
			t.Cleanup(server.Close)
			c := livechat.New(livechat.Options{BaseURL: server.URL, Token: func(context.Context, string) (livechat.Token, error) {
				return livechat.Token{AccountID: "account", PAT: "pat"}, nil
			}})
			t.Cleanup(c.Close)
			ctx := context.Background()

			must(t, c.TagThread(ctx, org, chat, thread, "refund"))
			if e := failure(t, c.TagThread(ctx, org, chat, thread, "refund")); !e.AlreadyTagged() {
				t.Error(e)
			}
			got, err := c.GetChat(ctx, org, chat, thread)
			must(t, err)
			if !slices.Equal(got.Thread.Tags, []string{"refund"}) || len(got.Users) != 2 {
				t.Errorf("tags %v, users %v", got.Thread.Tags, got.Users)
			}
			for _, e := range events {
				if !slices.ContainsFunc(got.Thread.Events, func(f livechat.Event) bool {
					return e.ID == f.ID && e.Text == f.Text && e.AuthorID == f.AuthorID && e.Internal == f.Internal && e.CreatedAt.Equal(f.CreatedAt)
				}) {
					t.Errorf("%+v is not in %+v", e, got.Thread.Events)
				}
			}
			if len(events) < 2 {
				t.Errorf("%d events", len(events))
			}
			must(t, c.UntagThread(ctx, org, chat, thread, "refund"))
			if e := failure(t, c.UntagThread(ctx, org, chat, thread, "refund")); !e.IsNotTagged() {
				t.Error(e)
			}
			if e := failure(t, c.TagThread(ctx, org, chat, thread, "unknown")); e.Type != "validation" || e.Temporary() || e.Token() {
				t.Error(e)
			}
			tags, err := c.ListTags(ctx, org)
			must(t, err)
			if len(tags) != 1 || tags[0].Name != "refund" || !slices.Equal(tags[0].GroupIDs, []int{0}) {
				t.Errorf("tags %+v", tags)
			}
			platform.RevokeToken(org)
			if e := failure(t, c.TagThread(ctx, org, chat, thread, "refund")); !e.Token() {
				t.Error(e)
			}

			var misdirected int
			for _, call := range platform.Calls() {
				if call.Type == "misdirected_request" {
					misdirected++
				}
			}
			if misdirected != 1 {
				t.Errorf("the region was learned %d times", misdirected)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func failure(t *testing.T, err error) *livechat.Error {
	t.Helper()
	var e *livechat.Error
	if !errors.As(err, &e) {
		t.Fatalf("not an *Error: %v", err)
	}
	return e
}
