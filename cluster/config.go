package cluster

import (
	"errors"
	"log/slog"
	"net/url"
	"strings"

	"github.com/redis/rueidis"
)

// Config is how to reach the engine.
type Config struct {
	// URL is redis://HOST:PORT, or rediss:// for TLS. Further addresses of a Redis
	// Cluster, or of Sentinels, are parameters addr; master_set makes it Sentinels.
	URL      string
	Password string // in place of that of URL
	Secret   string // hides keys from who sees the engine; the same at all nodes
	Log      *slog.Logger
}

// Check finds mistakes that can be found without the engine. Errors never contain
// a password.
func (c Config) Check() error {
	if c.URL == "" && (c.Password != "" || c.Secret != "") {
		return errors.New("--cluster-password and --cluster-secret need --cluster")
	}
	if c.URL == "" {
		return nil
	}
	_, err := c.option()
	return err
}

// Redacted is URL without its password.
func (c Config) Redacted() string {
	u, err := url.Parse(c.URL)
	if err != nil {
		return ""
	}
	return u.Redacted()
}

// errURL says no more: what is wrong with a URL can be a part of a password.
var errURL = errors.New("--cluster: must be as redis://HOST:6379; in a user's name or password " +
	"what is not a letter or digit has to be written as %XX, or set --cluster-password")

func (c Config) option() (rueidis.ClientOption, error) {
	option, err := rueidis.ParseURL(c.URL)
	if err != nil {
		return option, errURL
	}
	// Where a password has / ? or # in it, what follows is not taken to be a part of it.
	if u, err := url.Parse(c.URL); err != nil || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") {
		return option, errURL
	}
	if c.Password != "" {
		option.Password = c.Password
	}
	if option.TLSConfig != nil {
		option.TLSConfig.ServerName = "" // each address has its own
	}
	if option.Sentinel.MasterSet != "" {
		option.Sentinel.TLSConfig = option.TLSConfig
		option.Sentinel.Username, option.Sentinel.Password = option.Username, option.Password
	}
	option.ClientName = "sigver"
	option.DisableCache = true
	option.DisableRetry = true // of what may have happened: that is decided here
	// One connection for all that is asked, as large as a pipeline may be, and
	// buffers that suit a small machine.
	option.PipelineMultiplex = -1
	option.BlockingPipeline = 1 << 20
	option.ReadBufferEachConn, option.WriteBufferEachConn = 64<<10, 64<<10
	option.Dialer.Timeout = patience
	option.ConnWriteTimeout = patience
	return option, nil
}
