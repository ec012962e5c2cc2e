package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCommandLineMistakesNameFlagValueAndWhatIsAllowed(t *testing.T) {
	cases := []struct {
		name string
		args []string
		env  string
		says []string
	}{
		{
			name: "unknown flag",
			args: []string{"--prot", "8000"},
			says: []string{"--prot"},
		},
		{
			name: "port that is no number",
			args: []string{"--port", "http"},
			says: []string{"--port", `"http"`, "0 to 65535"},
		},
		{
			name: "port out of range",
			args: []string{"-p", "65536"},
			says: []string{"--port", `"65536"`, "0 to 65535"},
		},
		{
			name: "size without sense",
			args: []string{"--max-message", "many"},
			says: []string{"--max-message", `"many"`, "64KiB"},
		},
		{
			name: "duration without a unit",
			args: []string{"--idle-timeout", "30"},
			says: []string{"--idle-timeout", `"30"`, "30s"},
		},
		{
			name: "no origin",
			args: []string{"--origin", "https://a.example,example.org"},
			says: []string{"--origin", `"example.org"`, "https://example.org"},
		},
		{
			name: "no network",
			args: []string{"--trusted-proxy", "10.0.0.0/33"},
			says: []string{"--trusted-proxy", `"10.0.0.0/33"`, "10.0.0.0/8"},
		},
		{
			name: "an address for operators that is none",
			args: []string{"--admin", "nowhere", "--port", "0"},
			says: []string{"--admin", "nowhere"},
		},
		{
			name: "log format",
			args: []string{"--log-format", "xml"},
			says: []string{"--log-format", `"xml"`, "text or json"},
		},
		{
			name: "more connections than files",
			args: []string{"--max-connections", "1000000000"},
			says: []string{"--max-connections 1000000000", "open-file limit", "1 to"},
		},
		{
			name: "host that is nobody's",
			args: []string{"--host", "no.such.host.invalid"},
			says: []string{"--host", "no.such.host.invalid"},
		},
		{
			name: "an argument that is no flag",
			args: []string{"8000"},
			says: []string{`"8000"`},
		},
		{
			name: "the environment",
			env:  "SIGVER_LOOPS=none",
			says: []string{"SIGVER_LOOPS", `"none"`, "1 to"},
		},
		{
			name: "TLS, which must not become plain text",
			args: []string{"-s", "-k", "key.pem", "-c", "cert.pem"},
			says: []string{"key.pem", "no such file"},
		},
		{
			name: "a certificate alone",
			args: []string{"-c", "cert.pem"},
			says: []string{"--cert", "--key"},
		},
		{
			name: "TLS without anything to do it with",
			args: []string{"-s"},
			says: []string{"--secure", "--key", "--cert"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cmd := bounded(t, c.args...)
			cmd.Env = append(os.Environ(), c.env)
			out, err := cmd.CombinedOutput()
			require.Error(t, err)
			require.Equal(t, 2, cmd.ProcessState.ExitCode(), "%s", out)
			for _, text := range c.says {
				require.Contains(t, string(out), text)
			}
			require.LessOrEqual(t, strings.Count(string(out), "\n"), 3)
		})
	}
}

// bounded is a run of the program that ends by itself, and is killed if it does not:
// a mistake that is accepted becomes a server.
func bounded(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, program, args...)
}

func TestHelpAndVersion(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"-h"}, {"-p", "1", "-h"}, {"-h", "-p", "1"}} {
		out, err := bounded(t, args...).Output()
		require.NoError(t, err)
		require.Contains(t, string(out), "--max-joinings")
		require.Contains(t, string(out), "64KiB")
	}
	for _, arg := range []string{"-v", "--version"} {
		out, err := bounded(t, arg).Output()
		require.NoError(t, err)
		require.Regexp(t, `^sigver \S+\n$`, string(out))
	}
}

func TestHostsAndPorts(t *testing.T) {
	for name, args := range map[string][]string{
		"short, IPv4":    {"-h", "127.0.0.1", "-p", "0"},
		"IPv6":           {"-h", "::1", "-p", "0"},
		"all of IPv4":    {"-p", "0"},
		"all, IPv6 too":  {"--host=::", "--port=0"},
		"a name":         {"-h", "localhost", "-p", "0"},
		"a single loop":  {"-h", "127.0.0.1", "-p", "0", "--loops", "1"},
		"more than many": {"-h", "127.0.0.1", "-p", "0", "--loops", "16"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startCommand(t, exec.Command(program, args...))
			exchange(t, s, "hello")
			s.stop()
		})
	}
}

func TestEnvironmentSetsWhatFlagsDoNot(t *testing.T) {
	cmd := exec.Command(program, "--port", "0")
	cmd.Env = append(os.Environ(), "SIGVER_HOST=127.0.0.1", "SIGVER_PORT=1", "SIGVER_MAX_CONNECTIONS=7", "SIGVER_LOOPS=1")
	s := startCommand(t, cmd)
	require.Contains(t, s.logged(), "127.0.0.1")
	eventually(t, func() bool { return strings.Contains(s.logged(), "connections=7 because=--max-connections") }, "its limit")
}

func TestTheSoftFileLimitIsRaised(t *testing.T) {
	s := startCommand(t, exec.Command("sh", "-c", "ulimit -Sn 150; exec "+program+" --host 127.0.0.1 --port 0"))
	eventually(t, func() bool { return strings.Contains(s.logged(), "because=") }, "its limit")
	require.NotContains(t, s.logged(), "limit 150")
	gather(t, s, 300)
}

func TestJSONLog(t *testing.T) {
	cmd := exec.Command(program, "--host", "127.0.0.1", "--port", "0", "--log-format", "json")
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() }) // which ends its output
	defer func() {
		late.Stop()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	var line struct {
		Level string `json:"level"`
		Msg   string `json:"msg"`
		URL   string `json:"url"`
	}
	require.NoError(t, json.NewDecoder(stderr).Decode(&line))
	require.Equal(t, "INFO", line.Level)
	require.Equal(t, "listening", line.Msg)
	require.Regexp(t, `^ws://127\.0\.0\.1:\d+$`, line.URL)
}

// What --check prints is a file that says the same, and what cannot be it names.
func TestCheck(t *testing.T) {
	printed, err := bounded(t, "--check", "--port", "0", "--max-guesses", "0.5", "--max-message", "100000", "--idle-timeout", "90s",
		"--origin", "https://a.example,https://b.example", "--trusted-proxy", "10.0.0.0/8", "--no-demo").Output()
	require.NoError(t, err)
	for _, line := range []string{"port = 0", "max-guesses = 0.5", `idle-timeout = "1m30s"`, "no-demo = true", `max-message = "100000B"`} {
		require.Contains(t, string(printed), line+"\n")
	}
	file := filepath.Join(t.TempDir(), "sigver.toml")
	require.NoError(t, os.WriteFile(file, printed, 0o644))
	again, err := bounded(t, "--check", "--config", file).Output()
	require.NoError(t, err)
	require.Equal(t, string(printed), string(again))

	for name, args := range map[string][]string{
		"--max-connections": {"--max-connections", "1000000000"},
		"--host":            {"--host", "no.such.host.invalid"},
		"--origin":          {"--origin", "example.org"},
		"key.pem":           {"--key", "key.pem", "--cert", "cert.pem"},
	} {
		cmd := bounded(t, append(args, "--check")...)
		out, err := cmd.CombinedOutput()
		require.Error(t, err, name)
		require.Equal(t, 2, cmd.ProcessState.ExitCode(), "%s", out)
		require.Contains(t, string(out), name)
		require.NotContains(t, string(out), "max-message =", "there is nothing to print")
	}
}

// What the program can be told is in both documents for those who run it.
func TestEveryFlagIsDocumented(t *testing.T) {
	help, err := bounded(t, "--help").Output()
	require.NoError(t, err)
	flags := regexp.MustCompile(`(?m)^ +(?:-\w, )?(--[a-z-]+)`).FindAllStringSubmatch(string(help), -1)
	require.Greater(t, len(flags), 30)
	for _, path := range []string{"../README.md", "../docs/OPERATIONS.md"} {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, flag := range flags {
			if flag[1] != "--help" && flag[1] != "--version" {
				require.Regexp(t, flag[1]+"[`= ]", string(text), path)
			}
		}
	}
}
