//go:build !race

// A server with the race detector takes many times the memory and the time.

package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// outOfMemory makes s keep large messages whose end does not come, one by one: where
// memory is severely short they are not waited for.
func outOfMemory(t *testing.T, s *instance, admin string) (greedy []*raw) {
	t.Helper()
	for scrape(t, admin)["sigver_out_of_memory"] == 0 {
		require.Less(t, len(greedy), 50)
		r := dialRaw(t, s)
		r.write(upgradeRequest)
		if strings.Contains(r.header(), "101") {
			r.write(masked(0x01, strings.Repeat("x", 3<<19)))
			greedy = append(greedy, r)
		}
		time.Sleep(300 * time.Millisecond) // the server looks four times a second
	}
	require.NotEmpty(t, greedy)
	return greedy
}

// A server without memory refuses who is new and serves who is there; when there
// is memory again, everybody.
func TestOutOfMemory(t *testing.T) {
	s, admin := startAdmin(t, "--max-memory", "48MiB", "--max-message", "4MiB", "--rate", "0", "--handshake-timeout", "1h")
	opener, joining := dial(t, s), dial(t, s)
	opener.open("old")
	joining.join("old")
	greedy := outOfMemory(t, s, admin)
	require.Equal(t, 503, from(t, s, "127.0.0.1").ask(upgradeRequest), "nobody new is let in")
	require.Equal(t, 503, from(t, s, "127.0.0.1").ask(streamRequest))
	status, _ := look(t, admin+"/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, float64(1), scrape(t, admin)["sigver_out_of_memory"])
	joining.send(`{"data":1}`)
	opener.wantData("1")
	require.Contains(t, s.logged(), "--max-memory")
	for _, r := range greedy {
		require.NoError(t, r.conn.Close())
	}
	eventually(t, func() bool { return from(t, s, "127.0.0.1").ask(upgradeRequest) == 101 }, "there is memory again")
	exchange(t, s, "new")
}

// While there is no memory, requests of HTTP are refused before they cost any, but
// for the messages of streams that are there and for whoever asks whether the server
// lives.
func TestVisitorsOfAServerWithoutMemory(t *testing.T) {
	s, admin := startAdmin(t, "--max-memory", "48MiB", "--max-message", "4MiB", "--rate", "0", "--handshake-timeout", "1h")
	opener, stream := dial(t, s), openStream(t, s)
	opener.open("old")
	kept := from(t, s, "127.0.0.1")
	require.Equal(t, 200, kept.ask("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"))
	outOfMemory(t, s, admin)
	const library = "GET /sigver.js HTTP/1.1\r\nHost: h\r\n\r\n"
	require.Equal(t, 503, from(t, s, "127.0.0.1").ask(library), "visitors are refused")
	_, err := io.Copy(io.Discard, kept.conn)
	require.NoError(t, err, "who has had an answer is not waited for")
	require.Equal(t, 200, from(t, s, "127.0.0.1").ask("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"))
	stream.send(`{"join":"old","data":1}`)
	require.JSONEq(t, `{"isKeyOk":true}`, stream.receive())
	opener.wantData("1")
	before := scrape(t, admin)
	var crowd []came
	for range 300 {
		crowd = append(crowd, from(t, s, "127.0.0.1"))
	}
	for _, c := range crowd {
		require.Equal(t, 503, c.ask(library))
	}
	now := scrape(t, admin)
	const refused = `sigver_refusals_total{status="503",reason="memory"}`
	require.GreaterOrEqual(t, now[refused]-before[refused], 300.0)
	require.Less(t, now["go_goroutines"]-before["go_goroutines"], 30.0, "the loops answer")
}

// Clients that have begun large messages and do not end them are closed while memory is
// short, which ends the shortage.
func TestOutOfMemoryEndsByItself(t *testing.T) {
	s, admin := startAdmin(t, "--max-memory", "48MiB", "--max-message", "4MiB", "--rate", "0", "--handshake-timeout", "2s")
	var greedy []*raw
	for range 20 {
		greedy = append(greedy, upgradeRaw(t, s))
	}
	for _, r := range greedy {
		r.write(masked(0x01, strings.Repeat("x", 3<<20)))
	}
	closed := 0
	for _, r := range greedy {
		_ = r.conn.SetReadDeadline(time.Now().Add(patience / 4))
		if _, err := r.conn.Read(make([]byte, 1)); err == nil {
			closed++
		}
	}
	require.Positive(t, closed)
	eventually(t, func() bool { return scrape(t, admin)["sigver_out_of_memory"] == 0 }, "there is memory again")
	require.Equal(t, float64(closed), scrape(t, admin)[`sigver_closes_total{code="1013",name="TRY_AGAIN_LATER"}`])
	exchange(t, s, "new")
}
