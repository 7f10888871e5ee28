package config

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"autotag/pkg/livechat"
)

// LiveChat are the settings of a program that calls the API. Embed it.
type LiveChat struct {
	APIURL      string `env:"LIVECHAT_API_URL" envDefault:"https://api.livechatinc.com" desc:"the LiveChat API"`
	APIVersion  string `env:"LIVECHAT_API_VERSION" envDefault:"3.6" desc:"version of the LiveChat API"`
	AccountID   Secret `env:"LIVECHAT_ACCOUNT_ID" desc:"account id of LIVECHAT_PAT"`
	PAT         Secret `env:"LIVECHAT_PAT" desc:"personal access token"`
	AccessToken Secret `env:"LIVECHAT_ACCESS_TOKEN" desc:"OAuth access token, instead of LIVECHAT_ACCOUNT_ID and LIVECHAT_PAT"`
}

// Faults returns the faults of the settings. No token at all is none: whether
// that matters is for the program to say. It is not called Validate, so that a
// program may load the settings without them being judged.
func (s *LiveChat) Faults() (faults []error) {
	if u, err := url.Parse(s.APIURL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		faults = append(faults, errors.New("LIVECHAT_API_URL: must be an http or https address"))
	}
	if s.APIVersion == "" || strings.Trim(s.APIVersion, "0123456789.") != "" { // it becomes part of addresses
		faults = append(faults, fmt.Errorf("LIVECHAT_API_VERSION: %q is not a version such as 3.6", s.APIVersion))
	}
	account, pat, access := s.AccountID.Get() != "", s.PAT.Get() != "", s.AccessToken.Get() != ""
	switch {
	case access && (account || pat):
		faults = append(faults, errors.New("LIVECHAT_ACCESS_TOKEN: both it and LIVECHAT_ACCOUNT_ID or LIVECHAT_PAT are set; choose one way"))
	case pat && !account:
		faults = append(faults, errors.New("LIVECHAT_ACCOUNT_ID: must be set with LIVECHAT_PAT"))
	case account && !pat:
		faults = append(faults, errors.New("LIVECHAT_PAT: must be set with LIVECHAT_ACCOUNT_ID"))
	}
	return faults
}

// HasToken tells whether a token is set, or a part of one.
func (s *LiveChat) HasToken() bool {
	return s.AccountID.Get() != "" || s.PAT.Get() != "" || s.AccessToken.Get() != ""
}

// Token is for livechat.Options: it is asked for each call, and so a secret's file is
// followed as it changes.
func (s *LiveChat) Token(context.Context, string) (livechat.Token, error) {
	t := livechat.Token{Access: s.AccessToken.Get()}
	if t.Access == "" {
		t.AccountID, t.PAT = s.AccountID.Get(), s.PAT.Get()
	}
	return t, nil
}
