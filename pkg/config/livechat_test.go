package config

import (
	"context"
	"strings"
	"testing"

	"autotag/pkg/livechat"
)

func TestLiveChat(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		env    map[string]string
		faults string // their settings
		token  livechat.Token
	}{
		"none":            {},
		"PAT":             {env: map[string]string{"LIVECHAT_ACCOUNT_ID": "a", "LIVECHAT_PAT": "p"}, token: livechat.Token{AccountID: "a", PAT: "p"}},
		"access token":    {env: map[string]string{"LIVECHAT_ACCESS_TOKEN": "dal:x"}, token: livechat.Token{Access: "dal:x"}},
		"account alone":   {env: map[string]string{"LIVECHAT_ACCOUNT_ID": "a"}, faults: "LIVECHAT_PAT", token: livechat.Token{AccountID: "a"}},
		"PAT alone":       {env: map[string]string{"LIVECHAT_PAT": "p"}, faults: "LIVECHAT_ACCOUNT_ID", token: livechat.Token{PAT: "p"}},
		"both ways":       {env: map[string]string{"LIVECHAT_PAT": "p", "LIVECHAT_ACCESS_TOKEN": "x"}, faults: "LIVECHAT_ACCESS_TOKEN", token: livechat.Token{Access: "x"}},
		"address":         {env: map[string]string{"LIVECHAT_API_URL": "api.livechatinc.com"}, faults: "LIVECHAT_API_URL"},
		"address with it": {env: map[string]string{"LIVECHAT_API_URL": "https://user:secret@x"}, faults: "LIVECHAT_API_URL"},
		"version":         {env: map[string]string{"LIVECHAT_API_VERSION": "3.6/x"}, faults: "LIVECHAT_API_VERSION"},
		"two":             {env: map[string]string{"LIVECHAT_API_VERSION": "v3", "LIVECHAT_API_URL": "x"}, faults: "LIVECHAT_API_URL LIVECHAT_API_VERSION"},
	} {
		var s LiveChat
		err := Load(&s, "none", "", func(name string) (string, bool) { v, ok := test.env[name]; return v, ok })
		if err != nil {
			t.Errorf("%s: loading judges: %v", name, err)
		}
		var faults []string
		for _, err := range s.Faults() {
			setting, _, _ := strings.Cut(err.Error(), ":")
			faults = append(faults, setting)
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := strings.Join(faults, " "); got != test.faults {
			t.Errorf("%s: faults %q, want %q", name, got, test.faults)
		}
		if token, err := s.Token(context.Background(), ""); token != test.token || err != nil {
			t.Errorf("%s: another token, %v", name, err)
		}
		if s.HasToken() != (test.token != livechat.Token{}) {
			t.Errorf("%s: HasToken is %v", name, s.HasToken())
		}
	}
}
