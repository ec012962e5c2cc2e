package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var operatorsSide = regexp.MustCompile(`operator's side" address=(\S+)`)

// startAdmin starts a server with an operator's side, whose address it returns.
func startAdmin(t testing.TB, args ...string) (*instance, string) {
	t.Helper()
	s := start(t, append([]string{"--admin", "127.0.0.1:0"}, args...)...)
	found := operatorsSide.FindStringSubmatch(s.logged())
	require.NotNil(t, found, s.logged())
	return s, "http://" + found[1]
}

// look asks the operator's side.
func look(t testing.TB, url string) (status int, text string) {
	t.Helper()
	client := httpClient(t)
	defer client.CloseIdleConnections() // files and goroutines of the server
	resp, err := client.Get(url)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, string(body)
}

var sample = regexp.MustCompile(`^([a-z_]+(?:\{.*\})?) ([0-9.e+-]+|\+Inf)$`)

// scrape reads /metrics by name and labels. Every line has to be in the text
// format of Prometheus, and every name of ours announced.
func scrape(t testing.TB, admin string) map[string]float64 {
	t.Helper()
	status, text := look(t, admin+"/metrics")
	require.Equal(t, http.StatusOK, status)
	values := make(map[string]float64)
	announced := make(map[string]bool)
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if kind, found := strings.CutPrefix(line, "# TYPE "); found {
			name, _, _ := strings.Cut(kind, " ")
			require.False(t, announced[name], "twice: %s", name)
			announced[name] = true
		}
		if line == "" || line[0] == '#' {
			continue
		}
		parts := sample.FindStringSubmatch(line)
		require.NotNil(t, parts, line)
		value, err := strconv.ParseFloat(parts[2], 64)
		require.NoError(t, err)
		require.NotContains(t, values, parts[1])
		values[parts[1]] = value
		if name, _, _ := strings.Cut(parts[1], "{"); strings.HasPrefix(name, "sigver_") {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				name = strings.TrimSuffix(name, suffix)
			}
			require.True(t, announced[name], name)
		}
	}
	return values
}

func TestMetricsCountWhatHappened(t *testing.T) {
	s, admin := startAdmin(t, "--max-message", "1KiB")
	before := scrape(t, admin)
	require.Zero(t, before["sigver_accepted_total"])

	opener := dial(t, s)
	opener.send(`{"open":"secret key","token":"secret token"}`)
	opener.want(`{"isKeyOk":true}`)
	joining := openStream(t, s)
	joining.send(`{"join":"secret key","data":"secret offer"}`)
	require.Equal(t, `{"isKeyOk":true}`, joining.receive())
	id := opener.wantData(`"secret offer"`)
	opener.send(`{"id":` + id.String() + `,"data":"answer"}`)
	require.Equal(t, `{"data":"answer"}`, joining.receive())
	stranger := dial(t, s)
	stranger.send(`{"join":"nobody"}`)
	stranger.want(`{"isKeyOk":false}`)
	stranger.wantClose(4011, "KEY_UNKNOWN")
	rude := dial(t, s)
	rude.send(strings.Repeat(" ", 1025))
	rude.wantClose(1009, "")
	inventive := dial(t, s)
	require.NoError(t, inventive.conn.Close(4999, ""))
	old := dialRaw(t, s)
	old.write("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 7\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	require.Contains(t, old.header(), "426 Upgrade Required")

	var now map[string]float64
	require.Eventually(t, func() bool {
		now = scrape(t, admin)
		return now["sigver_loop_lag_seconds_count"] > 0 && now[`sigver_connections{transport="websocket"}`] == 1 && now[`sigver_closes_total{code="0",name="OTHER"}`] == 1
	}, patience, 10*time.Millisecond)
	for name, want := range map[string]float64{
		`sigver_connections{transport="sse"}`:                     1,
		`sigver_keys`:                                             1,
		`sigver_joinings`:                                         1,
		`sigver_relays_total`:                                     2,
		`sigver_messages_received_total`:                          4,
		`sigver_closes_total{code="4011",name="KEY_UNKNOWN"}`:     1,
		`sigver_closes_total{code="1009",name="MESSAGE_TOO_BIG"}`: 1,
		`sigver_refusals_total{status="426",reason="version"}`:    1,
		`sigver_handshake_seconds_count`:                          5, // four, and a stream
		`sigver_handshake_seconds_bucket{le="+Inf"}`:              5,
		`sigver_stopping`:                                         0,
	} {
		require.Equal(t, want, now[name], name)
	}
	for _, name := range []string{
		"sigver_writes_total", "sigver_bytes_sent_total", "sigver_messages_sent_total", "sigver_batches_total",
		"sigver_loop_lag_seconds_count", "process_open_fds", "process_max_fds", "process_resident_memory_bytes", "go_goroutines",
	} {
		require.Positive(t, now[name], name)
	}
	for name, value := range before {
		if strings.HasPrefix(name, "sigver_") && (strings.HasSuffix(name, "_total") || strings.Contains(name, "_bucket")) {
			require.GreaterOrEqual(t, now[name], value, "a counter only rises: %s", name)
		}
	}

	status, text := look(t, admin+"/status")
	require.Equal(t, http.StatusOK, status)
	var said struct {
		Version     string
		Uptime      *int64 `json:"uptime_seconds"`
		Connections map[string]int
		Keys        int
		Limits      map[string]int
	}
	require.NoError(t, json.Unmarshal([]byte(text), &said))
	require.NotEmpty(t, said.Version)
	require.NotNil(t, said.Uptime)
	require.Less(t, *said.Uptime, int64(patience/time.Second))
	require.Equal(t, []int{1, 1}, []int{said.Connections["websocket"], said.Connections["sse"]})
	require.Equal(t, 1, said.Keys)
	require.Equal(t, 1024, said.Limits["message_bytes"])

	// Nothing of what clients said is anywhere.
	for _, path := range []string{"/metrics", "/status", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline"} {
		status, text := look(t, admin+path)
		require.Equal(t, http.StatusOK, status, path)
		require.NotContains(t, text, "secret", path)
	}
	require.NotContains(t, s.logged(), "secret")
	status, _ = look(t, admin+"/nothing")
	require.Equal(t, http.StatusNotFound, status)
	for _, path := range []string{"/metrics", "/status", "/readyz", "/debug/pprof/"} {
		resp, _ := ask(t, s, "GET", path)
		require.Equal(t, http.StatusNotFound, resp.StatusCode, "the public has no business with %s", path)
	}
}

func TestReadiness(t *testing.T) {
	s, admin := startAdmin(t, "--max-connections", "2")
	ready := func() string {
		status, text := look(t, admin+"/readyz")
		return strconv.Itoa(status) + " " + strings.TrimSpace(text)
	}
	require.Equal(t, "200 ready", ready())
	dial(t, s)
	second := dial(t, s)
	require.Equal(t, "503 full", ready())
	second.conn.CloseNow()
	require.Eventually(t, func() bool { return ready() == "200 ready" }, patience, time.Millisecond)
	status, text := look(t, admin+"/healthz")
	require.Equal(t, "200 ok\n", strconv.Itoa(status)+" "+text)
}

// When the server stops, clients are sent away one after the other, and those
// that are still there are served.
func TestDrain(t *testing.T) {
	s, admin := startAdmin(t, "--drain", "3s", "--loops", "2")
	const pairs = 60
	type pair struct{ opener, joining *client }
	var all []pair
	for i := range pairs {
		p := pair{dial(t, s), dial(t, s)}
		key := strconv.Itoa(i)
		p.opener.send(`{"open":"` + key + `"}`)
		p.opener.want(`{"isKeyOk":true}`)
		p.joining.send(`{"join":"` + key + `"}`)
		p.joining.want(`{"isKeyOk":true}`)
		all = append(all, p)
	}
	begun := time.Now()
	s.signal(syscall.SIGTERM)
	require.Eventually(t, func() bool {
		status, text := look(t, admin+"/readyz")
		return status == http.StatusServiceUnavailable && text == "stopping\n"
	}, patience, time.Millisecond)
	// It says so a moment before it stops to listen.
	require.Eventually(t, func() bool {
		resp, err := httpClient(t).Get("http://" + s.addr)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err != nil
	}, patience, time.Millisecond, "nobody new is let in")

	var served atomic.Int64 // Openers that heard something of their Joinings
	ends := make(chan time.Duration, 2*pairs)
	for _, p := range all {
		for _, c := range []*client{p.opener, p.joining} {
			go func() {
				for {
					if _, err := c.read(); err != nil {
						assert.ErrorContains(t, err, "GOING_AWAY")
						ends <- time.Since(begun)
						return
					}
					served.Add(1)
				}
			}()
		}
		// It may have been sent away already.
		_ = p.joining.conn.Write(t.Context(), websocket.MessageText, []byte(`{"data":1}`))
	}
	var first, last time.Duration
	late := 0
	for i := range 2 * pairs {
		end := <-ends
		if i == 0 {
			first = end
		}
		if end > time.Second {
			late++
		}
		last = end
	}
	require.Less(t, first, last/2)
	require.Greater(t, last, 1500*time.Millisecond)
	require.Greater(t, late, pairs/2, "most of the time some are still there")
	require.Positive(t, served.Load())
	s.wantExit(0)
}

// Every limit that a flag sets is in /status.
func TestStatusHasAllLimits(t *testing.T) {
	_, admin := startAdmin(t, "--max-connections", "11", "--max-message", "12KiB", "--max-buffer", "13KiB", "--max-joinings", "14",
		"--rate", "15.5", "--burst", "16", "--max-per-ip", "17", "--accept-rate", "18.5", "--max-guesses", "0.5",
		"--handshake-timeout", "20s", "--idle-timeout", "21s", "--heartbeat", "22s", "--drain", "1500ms", "--loops", "3", "--max-memory", "4GiB")
	_, text := look(t, admin+"/status")
	var said struct{ Limits json.RawMessage }
	require.NoError(t, json.Unmarshal([]byte(text), &said))
	require.JSONEq(t, `{"connections":11,"message_bytes":12288,"buffer_bytes":13312,"joinings":14,"rate":15.5,"burst":16,
		"per_ip":17,"accept_rate":18.5,"guesses_per_minute":0.5,"handshake_seconds":20,"idle_seconds":21,"heartbeat_seconds":22,
		"drain_seconds":1.5,"loops":3,"memory_bytes":4294967296}`, string(said.Limits))
}

// Flags can be passwords, and what the operator's side shows is copied to others.
func TestTheCommandLineIsNotShown(t *testing.T) {
	e := startEngine(t)
	_, admin := startAdmin(t, "--cluster", e.url(), "--cluster-secret", "hide me", "--log-level", "debug")
	for _, path := range []string{"/debug/pprof/cmdline", "/debug/pprof/", "/status", "/metrics"} {
		status, text := look(t, admin+path)
		require.Equal(t, http.StatusOK, status)
		require.NotContains(t, text, "hide me")
		require.NotContains(t, text, "--cluster")
	}
}

// Refusals count wherever they are made: at the handshake of a WebSocket, and in
// answer to a request for a stream or a message.
func TestRefusalsAreCountedByReason(t *testing.T) {
	s, admin := startAdmin(t, "--origin", "https://a.example", "--max-connections", "2", "--max-per-ip", "1", "--trusted-proxy", "127.0.0.2", "--max-guesses", "1")
	proxy := func(request string, fields ...string) int { return from(t, s, "127.0.0.2").ask(request, fields...) }
	require.Equal(t, 403, proxy(upgradeRequest, "Origin: https://b.example"))
	require.Equal(t, 403, proxy(streamRequest, "Origin: https://b.example"))
	require.Equal(t, 403, proxy("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n", "Origin: https://b.example", "", "x"))
	require.Equal(t, 101, proxy(upgradeRequest, "X-Forwarded-For: 198.51.100.1"))
	require.Equal(t, 429, proxy(upgradeRequest, "X-Forwarded-For: 198.51.100.1"))
	require.Equal(t, 429, proxy(streamRequest, "X-Forwarded-For: 198.51.100.1"))
	guesser := dialFrom(t, s, "127.0.0.3")
	guesser.send(`{"join":"nobody"}`)
	guesser.want(`{"isKeyOk":false}`)
	guesser.wantClose(4011, "")
	eventually(t, func() bool { return from(t, s, "127.0.0.3").ask(upgradeRequest) == 429 }, "its connection is gone, and counts no more")
	require.Equal(t, 429, proxy(streamRequest, "X-Forwarded-For: 127.0.0.3"))
	require.Equal(t, 101, proxy(upgradeRequest, "X-Forwarded-For: 198.51.100.2"))
	require.Equal(t, 503, proxy(upgradeRequest, "X-Forwarded-For: 198.51.100.3"))
	require.Equal(t, 503, proxy(streamRequest, "X-Forwarded-For: 198.51.100.4"))
	require.Equal(t, 400, proxy("GET / HTTP/1.1\nHost: h\r\n\r\n"))
	now := scrape(t, admin)
	for labels, want := range map[string]float64{
		`status="403",reason="origin"`:      3,
		`status="429",reason="per_ip"`:      2,
		`status="429",reason="guesses"`:     2,
		`status="503",reason="full"`:        2,
		`status="400",reason="bad_request"`: 1,
	} {
		require.Equal(t, want, now["sigver_refusals_total{"+labels+"}"], labels)
	}
}

var metricName = regexp.MustCompile(`\b(?:sigver|process|go)_[a-z_]+\b`)

// Dashboard and alerts ask for metrics that there are.
func TestDashboardAndAlertsNameRealMetrics(t *testing.T) {
	s, admin := startAdmin(t, "--max-connections", "1", "--cluster", startEngine(t).url())
	first := dial(t, s)
	require.Equal(t, 503, from(t, s, "127.0.0.1").ask(upgradeRequest))
	first.send(`{"join":"nobody"}`)
	known := make(map[string]bool)
	eventually(t, func() bool {
		for name := range scrape(t, admin) {
			name, _, _ = strings.Cut(name, "{")
			known[name] = true
		}
		return known["sigver_closes_total"] && known["sigver_refusals_total"]
	}, "all metrics that appear with what they count")
	runbook, err := os.ReadFile("../docs/OPERATIONS.md")
	require.NoError(t, err)
	for name := range known {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, suffix)
		}
		if strings.HasPrefix(name, "sigver_") {
			require.Regexp(t, "`"+name+"[`{]", string(runbook), "what there is, is explained")
		}
	}
	for _, file := range []string{"../deploy/grafana.json", "../deploy/prometheus-rules.yml", "../docs/OPERATIONS.md"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		names := metricName.FindAllString(string(text), -1)
		require.NotEmpty(t, names)
		for _, name := range names {
			whole := known[name] || known[name+"_count"]
			require.True(t, whole || strings.HasSuffix(name, "_"), "%s: %s", file, name)
		}
		if strings.HasSuffix(file, ".json") {
			require.True(t, json.Valid(text))
		}
	}
}

// A normal end is no error of the operator's side.
func TestOperatorsSideEndsQuietly(t *testing.T) {
	for range 30 {
		s, _ := startAdmin(t)
		s.stop()
		require.NotContains(t, s.logged(), "level=ERROR")
	}
}
