package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"

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

func (c Config) option() (rueidis.ClientOption, error) {
	option, err := rueidis.ParseURL(c.URL)
	var wrong *url.Error // would show all of it
	if errors.As(err, &wrong) {
		err = wrong.Err
	}
	if err != nil {
		return option, fmt.Errorf("--cluster: must be as redis://HOST:6379: %w", err)
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
