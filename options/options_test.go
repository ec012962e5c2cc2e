package options_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/options"
)

// environment is a process's environment as a map.
type environment map[string]string

func (e environment) lookup(name string) (string, bool) {
	value, found := e[name]
	return value, found
}

func TestDefaultsAreTheDocumentedOnes(t *testing.T) {
	o, err := options.Parse(nil, environment{}.lookup)
	require.NoError(t, err)
	c := o.Config
	require.Equal(t, "0.0.0.0", c.Host)
	require.Equal(t, 8000, c.Port)
	require.Positive(t, c.Loops)
	require.Zero(t, c.MaxConnections)
	require.Equal(t, 64<<10, c.MaxMessage)
	require.Equal(t, 1<<20, c.MaxBuffer)
	require.Equal(t, 1024, c.MaxJoinings)
	require.Equal(t, 10*time.Second, c.HandshakeTimeout)
	require.Equal(t, 30*time.Second, c.IdleTimeout)
	require.Equal(t, 30*time.Second, c.Heartbeat)
	require.InDelta(t, 100, c.Rate, 0)
	require.InDelta(t, 500, c.Burst, 0)
}

func TestTheFlagWinsOverTheEnvironment(t *testing.T) {
	env := environment{"SIGVER_PORT": "9000", "SIGVER_MAX_MESSAGE": "1MiB", "SIGVER_HOST": ""}
	o, err := options.Parse([]string{"-p", "9001"}, env.lookup)
	require.NoError(t, err)
	require.Equal(t, 9001, o.Config.Port)
	require.Equal(t, 1<<20, o.Config.MaxMessage)
	require.Equal(t, "0.0.0.0", o.Config.Host, "an empty variable is not set")
}

func TestHumanUnits(t *testing.T) {
	o, err := options.Parse([]string{"--max-message=100kB", "--max-buffer", "2 MiB", "--idle-timeout", "1m30s", "--heartbeat", "0", "--rate=0.5"}, environment{}.lookup)
	require.NoError(t, err)
	require.Equal(t, 100_000, o.Config.MaxMessage)
	require.Equal(t, 2<<20, o.Config.MaxBuffer)
	require.Equal(t, 90*time.Second, o.Config.IdleTimeout)
	require.Zero(t, o.Config.Heartbeat)
	require.InDelta(t, 0.5, o.Config.Rate, 0)
}

func TestShortHHasTwoMeanings(t *testing.T) {
	for _, args := range [][]string{{"-h"}, {"--help"}, {"-h", "-p", "1"}, {"-p", "1", "-h"}} {
		_, err := options.Parse(args, environment{}.lookup)
		require.ErrorIs(t, err, options.ErrHelp, "%v", args)
	}
	for _, args := range [][]string{{"-h", "::1"}, {"-h=::1"}, {"-h::1"}, {"--host", "::1"}} {
		o, err := options.Parse(args, environment{}.lookup)
		require.NoError(t, err, "%v", args)
		require.Equal(t, "::1", o.Config.Host, "%v", args)
	}
	_, err := options.Parse([]string{"-v"}, environment{}.lookup)
	require.ErrorIs(t, err, options.ErrVersion)
}

func TestMistakesAreNamed(t *testing.T) {
	cases := []struct {
		name string
		args []string
		env  environment
		says []string
	}{
		{
			name: "below the least",
			args: []string{"--loops", "0"},
			says: []string{"--loops", `"0"`, "1 to 1024"},
		},
		{
			name: "above the most",
			args: []string{"--max-message", "1TiB"},
			says: []string{"--max-message", `"1TiB"`, "64MiB"},
		},
		{
			name: "negative",
			args: []string{"--max-joinings=-1"},
			says: []string{"--max-joinings", `"-1"`, "0 to"},
		},
		{
			name: "duration or nothing",
			args: []string{"--heartbeat", "1ms"},
			says: []string{"--heartbeat", `"1ms"`, "0 or a duration from 1s to 24h"},
		},
		{
			name: "not a number",
			args: []string{"--rate", "NaN"},
			says: []string{"--rate", `"NaN"`, "0 to 1000000"},
		},
		{
			name: "one of several",
			args: []string{"--log-level", "loud"},
			says: []string{"--log-level", `"loud"`, "debug, info, warn or error"},
		},
		{
			name: "a variable",
			env:  environment{"SIGVER_BURST": "0"},
			says: []string{"SIGVER_BURST", `"0"`, "1 to 1000000"},
		},
		{
			name: "secure in the environment",
			env:  environment{"SIGVER_SECURE": "true"},
			says: []string{"--secure"},
		},
		{
			name: "a key without the rest",
			args: []string{"-k", "key.pem"},
			says: []string{"--key", "--cert"},
		},
		{
			name: "intermediates without the rest",
			args: []string{"-a", "ca.pem"},
			says: []string{"--ca"},
		},
		{
			name: "no port",
			args: []string{"--admin", "127.0.0.1"},
			says: []string{"--admin", `"127.0.0.1"`},
		},
		{
			name: "a port above the most",
			args: []string{"--admin", "127.0.0.1:99999"},
			says: []string{"--admin", `"127.0.0.1:99999"`, "0 to 65535"},
		},
		{
			name: "a port that is no number",
			args: []string{"--admin", ":nonsense"},
			says: []string{"--admin", `":nonsense"`, "0 to 65535"},
		},
		{
			name: "no network",
			args: []string{"--trusted-proxy", "10.0.0.0/33"},
			says: []string{"--trusted-proxy", `"10.0.0.0/33"`},
		},
		{
			name: "more than all of IPv4",
			args: []string{"--trusted-proxy", "::ffff:10.0.0.0/90"},
			says: []string{"--trusted-proxy", `"::ffff:10.0.0.0/90"`},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := options.Parse(c.args, c.env.lookup)
			require.Error(t, err)
			for _, text := range c.says {
				require.ErrorContains(t, err, text)
			}
		})
	}
}

func TestUsageNamesEveryDefault(t *testing.T) {
	o, err := options.Parse([]string{"--help"}, environment{}.lookup)
	require.ErrorIs(t, err, options.ErrHelp)
	for _, text := range []string{"-h, --host", "0.0.0.0", "-p, --port", "64KiB", "1MiB", "1024", "30s", "text|json", "SIGVER_MAX_MESSAGE"} {
		require.Contains(t, o.Usage(), text)
	}
}

func TestLoggerKeepsToLevelAndFormat(t *testing.T) {
	o, err := options.Parse([]string{"--log-level", "warn", "--log-format", "json"}, environment{}.lookup)
	require.NoError(t, err)
	var out bytes.Buffer
	log := o.Logger(&out)
	log.Info("quiet")
	log.Warn("loud")
	require.NotContains(t, out.String(), "quiet")
	require.Contains(t, out.String(), `"msg":"loud"`)
}

func TestAFileComesAfterFlagsAndEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sigver.toml")
	write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	write("port = 9001\nrate = 12.5\nburst = 20\nmax-message = \"128KiB\"\nno-demo = true\n" +
		"origin = [\"https://a.example\", \"https://*.b.example\"]\nheartbeat = \"45s\" # longer\n")
	o, err := options.Parse([]string{"--config", file, "--burst", "40"}, environment{"SIGVER_RATE": "7"}.lookup)
	require.NoError(t, err)
	c := o.Config
	require.Equal(t, 9001, c.Port)
	require.InDelta(t, 7, c.Rate, 0)
	require.InDelta(t, 40, c.Burst, 0)
	require.Equal(t, 128<<10, c.MaxMessage)
	require.Equal(t, 45*time.Second, c.Heartbeat)
	require.True(t, c.NoDemo)
	require.True(t, c.Origins.Allows("https://a.example"))
	require.True(t, c.Origins.Allows("https://x.b.example"))
	require.False(t, c.Origins.Allows("https://b.example"))

	// What --check prints is a file for --config that says the same.
	settings := o.Settings()
	write(settings)
	again, err := options.Parse([]string{"--config", file}, environment{}.lookup)
	require.NoError(t, err)
	require.Equal(t, settings, again.Settings())
	require.Contains(t, settings, "trusted-proxy = []\n")
	require.Contains(t, settings, "rate = 7\n")

	o, err = options.Parse(nil, environment{"SIGVER_CONFIG": file}.lookup)
	require.NoError(t, err)
	require.Equal(t, 9001, o.Config.Port)
}

func TestMistakesInAFileAreNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sigver.toml")
	for text, says := range map[string][]string{
		"prt = 1":                {"no setting", `"prt"`},
		"help = true":            {"no setting", `"help"`},
		"port = \"x\"":           {`"port"`, "x", "0 to 65535"},
		"port = [1, 2]":          {`"port"`, "one value"},
		"[port]\nx = 1":          {`"port"`, "no tables"},
		"a = 1\nport = ":         {"line 2"},
		"origin = [\"example\"]": {"--origin", `"example"`},
		"secure = true":          {"--secure", "certificate"},
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		_, err := options.Parse([]string{"--config", file}, environment{}.lookup)
		require.Error(t, err, text)
		for _, part := range says {
			require.ErrorContains(t, err, part, text)
		}
	}
	_, err := options.Parse([]string{"--config", file + ".not"}, environment{}.lookup)
	require.ErrorContains(t, err, "no such file")
}

func TestSecretsAreNotPrinted(t *testing.T) {
	o, err := options.Parse([]string{"--cluster", "redis://me:hidden@h:6379", "--cluster-secret", "hidden"},
		environment{"SIGVER_CLUSTER_PASSWORD": "hidden"}.lookup)
	require.NoError(t, err)
	require.Equal(t, "hidden", o.Cluster.Password)
	settings := o.Settings()
	require.NotContains(t, settings, "hidden")
	require.Contains(t, settings, "# cluster-password is set and not shown\n")
	require.Contains(t, settings, "cluster = \"redis://me:xxxxx@h:6379\"\n")
	require.Contains(t, settings, "cluster-down = \"refuse\"\n")

	for _, url := range []string{
		"redis://me:hid den@h", "redis://me:hid/den@h", "redis://me:hid#den@h", "redis://me:hid?den@h",
		"redis://:1/hid@h", "redis://:1/2/hid@h", "redis://:1/2#hid@h", "redis://:1#hid@h", "redis://:1?hid@h", "redis://:1/?db=hid@h",
	} {
		_, err = options.Parse([]string{"--cluster", url}, environment{}.lookup)
		require.ErrorContains(t, err, "--cluster: must be as redis://HOST:6379", url)
		require.NotContains(t, err.Error(), "hid")
		require.NotContains(t, err.Error(), "den")
	}
	_, err = options.Parse([]string{"--cluster", "redis://me:a%2Fb%40c@h:6379/2?addr=i:6379"}, environment{}.lookup)
	require.NoError(t, err)

	file := filepath.Join(t.TempDir(), "sigver.toml")
	for _, name := range []string{"cluster", "cluster-password", "cluster-secret"} {
		for _, value := range []string{`["hidden"]`, `{a = "hidden"}`, `hidden`, `0xhidden`, `2001-hidden`} {
			require.NoError(t, os.WriteFile(file, []byte("port = 9001\n"+name+" = "+value+"\n"), 0o600))
			_, err = options.Parse([]string{"--config", file}, environment{}.lookup)
			require.ErrorContains(t, err, `invalid value of "`+name+`"`)
			require.NotContains(t, err.Error(), "hid")
			require.NotContains(t, err.Error(), "'h'")
		}
	}
}

// A network of IPv4 is one, however it is written: the addresses of clients are compared
// with it.
func TestNetworksOfProxies(t *testing.T) {
	for text, want := range map[string]string{
		"10.1.2.3/8":          "10.0.0.0/8",
		"192.0.2.1":           "192.0.2.1/32",
		"::ffff:10.0.0.0/104": "10.0.0.0/8",
		"::ffff:192.0.2.1":    "192.0.2.1/32",
		"2001:db8::1/32":      "2001:db8::/32",
		"2001:db8::1":         "2001:db8::1/128",
		"0.0.0.0/0":           "0.0.0.0/0",
		"::ffff:0.0.0.0/96":   "0.0.0.0/0",
	} {
		o, err := options.Parse([]string{"--trusted-proxy", text}, environment{}.lookup)
		require.NoError(t, err, text)
		require.Equal(t, want, o.Config.Proxies[0].String(), text)
	}
}
