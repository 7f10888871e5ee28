// Package chatstore is the Redis of the taggers: the working memory of open chats
// and what all workers share about an organization's calls. It is the only code
// that knows Redis: its keys, scripts and lifetimes. tagctl reads it.
//
// Nothing in it is the only copy of anything. Redis may be emptied, restarted
// with the last second missing, or replaced by a lagging replica at any moment;
// writes are idempotent, so that one whose answer was lost may be repeated.
package chatstore

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.uber.org/zap"
)

// opTimeout bounds one operation, retries of the client included.
const opTimeout = 5 * time.Second

// Connect makes a client for a URL; it does not wait for the server.
//
//	redis://user:password@host:6379/0           one server; rediss:// with TLS
//	redis://host1:6379?addr=host2:6379          Redis Cluster, any of its nodes
//	redis://sentinel1:26379/0?addr=sentinel2:26379&master_name=main
//	                                            Redis Sentinel; username and password of the servers as parameters
//
// Further parameters are those of go-redis (read_timeout, pool_size, ...). No
// error tells the URL, which may hold a password.
//
// The URL is asked for again at each connection, so that the servers' password
// may be changed while the program runs; user and password alone are followed.
func Connect(current func() string) (redis.UniversalClient, error) {
	address := current()
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, errors.New("not a redis:// or rediss:// address")
	}
	quiet := func() *maintnotifications.Config {
		return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	}
	credentials := func() (username, password string) {
		now, err := url.Parse(current())
		if err != nil {
			now = u
		}
		if query := now.Query(); query.Has("master_name") {
			return query.Get("username"), query.Get("password")
		}
		password, _ = now.User.Password()
		return now.User.Username(), password
	}
	switch query := u.Query(); {
	case query.Has("master_name"):
		o, err := redis.ParseFailoverURL(address)
		if err != nil {
			return nil, explain(u, err)
		}
		o.ContextTimeoutEnabled = true
		o.DisableIdentity = true
		o.CredentialsProvider = credentials
		return redis.NewFailoverClient(o), nil
	case query.Has("addr"):
		o, err := redis.ParseClusterURL(address)
		if err != nil {
			return nil, explain(u, err)
		}
		o.ContextTimeoutEnabled = true
		o.DisableIdentity = true
		o.MaintNotificationsConfig = quiet()
		o.CredentialsProvider = credentials
		return redis.NewClusterClient(o), nil
	}
	o, err := redis.ParseURL(address)
	if err != nil {
		return nil, explain(u, err)
	}
	o.ContextTimeoutEnabled = true
	o.DisableIdentity = true // sets a name that only new servers know
	o.MaintNotificationsConfig = quiet()
	o.CredentialsProvider = credentials
	return redis.NewClient(o), nil
}

// explain says what is wrong with a URL without showing what may be secret.
func explain(u *url.URL, err error) error {
	if u.Scheme != "redis" && u.Scheme != "rediss" {
		return errors.New("must begin with redis:// or rediss://")
	}
	text := err.Error()
	if password, _ := u.User.Password(); password != "" && strings.Contains(text, password) || u.Query().Has("password") {
		return errors.New("its path or parameters cannot be read")
	}
	return err
}

// LogTo sends what the Redis client says by itself to log. It is for the main
// function: the client has one logger per process.
func LogTo(log *zap.Logger) { redis.SetLogger(clientLog{log}) }

type clientLog struct{ log *zap.Logger }

func (l clientLog) Printf(_ context.Context, format string, args ...any) {
	l.log.Debug("redis client", zap.String("message", fmt.Sprintf(format, args...)))
}
