package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func ask(t *testing.T, s *instance, method, path string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, strings.TrimSuffix(s.httpURL(), "/")+path, nil)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := httpClient(t).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
	require.Equal(t, "*", resp.Header.Get("Access-Control-Allow-Origin"))
	return resp, string(body)
}

func TestTheHTTPSide(t *testing.T) {
	const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	plain, secure := start(t), startTLS(t)
	for _, s := range []*instance{plain, secure} {
		t.Run(strings.Split(s.url, ":")[0], func(t *testing.T) {
			resp, page := ask(t, s, "GET", "/", "Accept", browser)
			require.Equal(t, 200, resp.StatusCode)
			require.Equal(t, "text/html; charset=utf-8", resp.Header.Get("Content-Type"))
			require.Contains(t, resp.Header.Get("Content-Security-Policy"), "default-src 'none'")
			require.Contains(t, resp.Header.Get("Content-Security-Policy"), "connect-src 'self';", "and no WebSocket of others")
			require.Equal(t, "Accept", resp.Header.Get("Vary"))
			require.Contains(t, page, "<!doctype html>")

			resp, body := ask(t, s, "GET", "/", "Accept", browser, "If-None-Match", resp.Header.Get("ETag"))
			require.Equal(t, http.StatusNotModified, resp.StatusCode)
			require.Empty(t, body)

			resp, body = ask(t, s, "HEAD", "/", "Accept", browser)
			require.Equal(t, 200, resp.StatusCode)
			require.Equal(t, int64(len(page)), resp.ContentLength)
			require.Empty(t, body)

			for path, kind := range map[string]string{
				"/sigver.js":   "text/javascript; charset=utf-8",
				"/sigver.d.ts": "application/typescript; charset=utf-8",
				"/healthz":     "text/plain; charset=utf-8",
			} {
				resp, body := ask(t, s, "GET", path)
				require.Equal(t, 200, resp.StatusCode, path)
				require.Equal(t, kind, resp.Header.Get("Content-Type"))
				require.NotEmpty(t, body)
				require.NotEmpty(t, resp.Header.Get("Cache-Control"))
				resp, _ = ask(t, s, "POST", path)
				require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode, path)
				require.Equal(t, "GET, HEAD", resp.Header.Get("Allow"))
			}
			resp, body = ask(t, s, "GET", "/", "Accept", "*/*")
			require.Equal(t, http.StatusUpgradeRequired, resp.StatusCode)
			require.Equal(t, "websocket", resp.Header.Get("Upgrade"))
			require.Contains(t, body, "WebSocket")
			resp, _ = ask(t, s, "GET", "/", "Accept", "text/event-stream;q=0, text/html;q=0.5")
			require.Equal(t, "text/html; charset=utf-8", resp.Header.Get("Content-Type"))
			resp, _ = ask(t, s, "HEAD", "/", "Accept", "text/event-stream")
			require.Equal(t, "text/event-stream; charset=utf-8", resp.Header.Get("Content-Type"))
			resp, _ = ask(t, s, "GET", "/nowhere", "Accept", browser)
			require.Equal(t, http.StatusNotFound, resp.StatusCode)
			resp, _ = ask(t, s, "DELETE", "/")
			require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
			require.Equal(t, "GET, HEAD, OPTIONS, POST", resp.Header.Get("Allow"))
			resp, _ = ask(t, s, "OPTIONS", "/", "Origin", "https://elsewhere.example",
				"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type")
			require.Equal(t, http.StatusNoContent, resp.StatusCode)
			require.Contains(t, resp.Header.Get("Access-Control-Allow-Methods"), "POST")
			require.Contains(t, resp.Header.Get("Access-Control-Allow-Headers"), "Content-Type")
			exchange(t, s, "after all that")
		})
	}
}

// What a page of another origin needs to know that the server refuses it a stream
// for now, and how long to wait.
func TestPagesOfOthersReadRefusals(t *testing.T) {
	full := start(t, "--max-connections", "1")
	openStream(t, full)
	resp, _ := ask(t, full, "GET", "/", "Accept", "text/event-stream", "Origin", "https://elsewhere.example")
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.NotEmpty(t, resp.Header.Get("Retry-After"))
	require.Equal(t, "Retry-After", resp.Header.Get("Access-Control-Expose-Headers"))
	require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
	// The event loops answer by themselves, and say the same.
	r := dialRaw(t, full)
	r.write(upgradeRequest)
	header := r.header()
	for _, field := range []string{"503 Service Unavailable", "Retry-After: 5", "Access-Control-Allow-Origin: *",
		"Access-Control-Expose-Headers: Retry-After", "Cache-Control: no-store"} {
		require.Contains(t, header, field)
	}
	one := start(t, "--origin", "https://app.example")
	for origin, status := range map[string]int{"https://app.example": http.StatusOK, "https://elsewhere.example": http.StatusForbidden} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, one.httpURL(), nil)
		require.NoError(t, err)
		req.Header.Set("Accept", "text/event-stream")
		req.Header.Set("Origin", origin)
		resp, err := httpClient(t).Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, status, resp.StatusCode)
		require.Contains(t, resp.Header.Values("Vary"), "Origin")
		if status == http.StatusForbidden {
			require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
		}
	}
}

// A stopping server has told its clients: who comes by a connection that was there
// before is told too.
func TestNoStreamsOfAStoppingServer(t *testing.T) {
	s := start(t, "--drain", "5s")
	kept := dialRaw(t, s)
	kept.write("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
	require.Contains(t, kept.header(), "200 OK")
	kept.want("ok\n")
	for i := range 30 { // so that it is busy with them
		dial(t, s).open(fmt.Sprint(i))
	}
	s.signal(terminate)
	eventually(t, func() bool { return strings.Contains(s.logged(), "msg=stopping") }, "it does not stop")
	kept.write("GET / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n")
	header := kept.header()
	require.Contains(t, header, "503 Service Unavailable")
	require.Contains(t, header, "Retry-After: 1")
	s.wantExit(0)
}

func TestNoDemo(t *testing.T) {
	s := start(t, "--no-demo")
	resp, _ := ask(t, s, "GET", "/", "Accept", "text/html")
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	resp, _ = ask(t, s, "GET", "/page/page.js")
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
	resp, _ = ask(t, s, "GET", "/sigver.js")
	require.Equal(t, 200, resp.StatusCode, "the library is no demonstration")
	exchange(t, s, "all the same")
}

// One connection serves page, message and, in the end, a WebSocket or a stream.
func TestOneConnectionForManyRequests(t *testing.T) {
	s := start(t)
	for _, last := range []string{
		"GET / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n",
		"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
	} {
		r := dialRaw(t, s)
		// The first two at once, then one in two pieces.
		r.write("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nPOST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\na")
		require.Contains(t, r.header(), "200 OK")
		r.want("ok\n")
		r.write("bc")
		require.Contains(t, r.header(), "400 Bad Request")
		line, err := r.in.ReadString('\n')
		require.NoError(t, err)
		require.Contains(t, line, "TOKEN@JSON")
		r.write(last)
		require.Contains(t, r.header(), "200 OK")
	}
	for _, s := range []*instance{s, startTLS(t)} {
		r := dialRaw(t, s)
		if s.url[:3] == "wss" {
			r = rawOver(t, dialTLS(t, s, trusted()))
		}
		r.write("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
		require.Contains(t, r.header(), "200 OK")
		r.want("ok\n")
		r.write(upgradeRequest + masked(0x81, `{"open":"kept"}`))
		require.Contains(t, r.header(), "101 Switching Protocols")
		_, payload := r.frame()
		require.JSONEq(t, `{"isKeyOk":true}`, string(payload))
		joining := dial(t, s)
		joining.join("kept")
		r.write(masked(0x88, "\x03\xe8"))
		r.wantClose(1000, "")
		joining.wantClose(4020, "OPENER_NO_LONGER_AVAILABLE")
	}
	exchange(t, s, "after that")
}

func (r *raw) want(text string) {
	r.t.Helper()
	got := make([]byte, len(text))
	_, err := io.ReadFull(r.in, got)
	require.NoError(r.t, err)
	require.Equal(r.t, text, string(got))
}
