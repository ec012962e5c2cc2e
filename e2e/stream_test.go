package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// streamClient is a client of Server-Sent Events.
type streamClient struct {
	t      testing.TB
	s      *instance
	http   *http.Client
	resp   *http.Response
	events *bufio.Reader
	token  string
	cancel context.CancelFunc
}

// openStream opens a stream and reads its first event.
func openStream(t testing.TB, s *instance) *streamClient {
	t.Helper()
	return openStreamAt(t, s, s.next())
}

// openStreamAt is openStream at one of the nodes of s. What is posted goes to any.
func openStreamAt(t testing.TB, s, node *instance) *streamClient {
	t.Helper()
	return openStreamBy(t, s, node, httpClient(t))
}

func openStreamBy(t testing.TB, s, node *instance, by *http.Client) *streamClient {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, node.httpURL(), nil)
	require.NoError(t, err)
	req.Header.Set("Accept", "text/event-stream")
	c := &streamClient{t: t, s: s, http: by, cancel: cancel}
	timer := time.AfterFunc(patience, cancel)
	defer timer.Stop()
	c.resp, err = c.http.Do(req)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.resp.Body.Close() })
	require.Equal(t, http.StatusOK, c.resp.StatusCode)
	require.Equal(t, "no-cache", c.resp.Header.Get("Cache-Control"))
	require.Equal(t, "no", c.resp.Header.Get("X-Accel-Buffering"), "nginx would keep events back")
	c.events = bufio.NewReader(c.resp.Body)
	name, data, err := c.event()
	require.NoError(t, err)
	require.Equal(t, "auth", name)
	require.Regexp(t, "^[A-Za-z0-9_-]{22}([A-Za-z0-9_-]{10})?$", data)
	c.token = data
	return c
}

// event reads the next event; its data is one line here.
func (c *streamClient) event() (name, data string, err error) {
	timer := time.AfterFunc(patience, c.cancel)
	defer timer.Stop()
	for {
		line, err := c.events.ReadString('\n')
		if err != nil {
			return "", "", err
		}
		line = strings.TrimSuffix(line, "\n")
		switch field, value, _ := strings.Cut(line, ": "); field {
		case "event":
			name = value
		case "data":
			data = value
		case "":
			if data != "" {
				return name, data, nil
			}
		default:
			return "", "", fmt.Errorf("not a line of an event: %q", line)
		}
	}
}

// post sends a message and returns what the server answers.
func (c *streamClient) post(text string) (status int, body string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.s.next().httpURL(), strings.NewReader(c.token+"@"+text))
	require.NoError(c.t, err)
	req.Header.Set("Content-Type", "text/plain")
	resp, err := c.http.Do(req)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return resp.StatusCode, string(content)
}

func (c *streamClient) send(text string) {
	c.t.Helper()
	status, body := c.post(text)
	require.Equal(c.t, http.StatusOK, status, body)
	require.Empty(c.t, body)
}

func (c *streamClient) receive() string {
	c.t.Helper()
	name, data, err := c.event()
	require.NoError(c.t, err)
	require.Empty(c.t, name, "%s", data)
	return data
}

// wantClose reads the close event and, after it, the end of the stream.
func (c *streamClient) wantClose(code int, reason string) {
	c.t.Helper()
	name, data, err := c.event()
	require.NoError(c.t, err)
	require.Equal(c.t, "close", name, "%s", data)
	var closed struct {
		Code   int
		Reason string
	}
	require.NoError(c.t, json.Unmarshal([]byte(data), &closed))
	require.Equal(c.t, code, closed.Code)
	require.Contains(c.t, closed.Reason, reason)
	timer := time.AfterFunc(patience, c.cancel)
	defer timer.Stop()
	rest, err := io.ReadAll(c.events)
	require.NoError(c.t, err)
	require.Empty(c.t, string(rest))
}

func (c *streamClient) closeWith(int) { c.drop() }

func (c *streamClient) drop() { c.cancel() }

// What ends a WebSocket with a code of the protocol ends a stream with the same.
func TestCloseEvents(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...string) *instance{"one server": start, "two nodes": startNodes} {
		t.Run(name, func(t *testing.T) {
			testCloseEvents(t, start(t, "--max-joinings", "1", "--idle-timeout", "2s", "--burst", "20", "--rate", "1", "--max-message", "1KiB"))
		})
	}
}

func testCloseEvents(t *testing.T, s *instance) {
	opener := openStream(t, s)
	opener.send(`{"open":"taken","token":"t"}`)
	require.JSONEq(t, `{"isKeyOk":true}`, opener.receive())
	joining := openStream(t, s)
	joining.send(`{"join":"taken"}`)
	require.JSONEq(t, `{"isKeyOk":true}`, joining.receive())

	cases := []struct {
		send   []string
		answer string
		code   int
		reason string
	}{
		{send: []string{"nonsense"}, code: 4000, reason: "MESSAGE_ERROR: "},
		{send: []string{""}, code: 4000, reason: "MESSAGE_ERROR: "},
		{send: []string{"{}"}, code: 4000, reason: "MESSAGE_ERROR: "},
		{send: []string{`{"open":""}`}, code: 4001, reason: "KEY_ERROR: "},
		{send: []string{`{"open":"taken"}`}, answer: `{"isKeyOk":false}`, code: 4010, reason: "KEY_EXISTS: "},
		{send: []string{`{"join":"nobody"}`}, answer: `{"isKeyOk":false}`, code: 4011, reason: "KEY_UNKNOWN: "},
		{send: []string{`{"join":"taken"}`}, answer: `{"isKeyOk":false}`, code: 4014, reason: "TOO_MANY_JOININGS: "},
		{send: []string{`{"open":"mine"}`, `{"open":"yours"}`}, answer: `{"isKeyOk":true}`, code: 4013, reason: "ALREADY_BOUND: "},
		{send: []string{`{"id":1,"data":1}`}, code: 4022, reason: "TRANSMIT_BEFORE_OPEN: "},
		{send: []string{`{"data":1}`}, code: 4023, reason: "TRANSMIT_BEFORE_JOIN: "},
		{send: []string{"\xff"}, code: 1007, reason: "INVALID_PAYLOAD: "},
		{code: 4003, reason: "IDLE: "},
	}
	for _, tc := range cases {
		t.Run(tc.reason, func(t *testing.T) {
			for _, node := range s.nodes() { // where others have what it is about, and elsewhere
				c := openStreamAt(t, s, node)
				for _, message := range tc.send {
					c.send(message)
				}
				if tc.answer != "" {
					require.Equal(t, tc.answer, c.receive())
				}
				c.wantClose(tc.code, tc.reason)
				status, _ := c.post("{}")
				require.Equal(t, http.StatusUnauthorized, status, "the token's right ends with the stream")
			}
		})
	}
	t.Run("RATE_LIMITED", func(t *testing.T) {
		c := openStream(t, s)
		c.send(`{"open":"rate"}`)
		c.receive()
		for status := http.StatusOK; status == http.StatusOK; {
			status, _ = c.post(`{"id":1,"data":1}`)
		}
		for {
			name, data, err := c.event()
			require.NoError(t, err)
			if name == "close" {
				require.Contains(t, data, "4029")
				break
			}
		}
	})

	taker := openStream(t, s)
	taker.send(`{"open":"taken","token":"t"}`)
	require.JSONEq(t, `{"isKeyOk":true}`, taker.receive())
	opener.wantClose(4012, "KEY_TAKEN_OVER: ")
	taker.drop()
	joining.wantClose(4020, "OPENER_NO_LONGER_AVAILABLE: ")

	last := openStream(t, s)
	for _, node := range s.nodes() {
		node.signal(terminate)
	}
	last.wantClose(1001, "GOING_AWAY: ")
	for _, node := range s.nodes() {
		node.wantExit(0)
	}
}

func TestPosts(t *testing.T) {
	t.Run("one server", func(t *testing.T) { testPosts(t, start(t, "--max-message", "1KiB")) })
	t.Run("two nodes", func(t *testing.T) { testPosts(t, startNodes(t, "--max-message", "1KiB")) })
}

func testPosts(t *testing.T, s *instance) {
	c := openStream(t, s)
	post := func(contentType, body string) (int, string, http.Header) {
		resp, err := c.http.Post(s.next().httpURL(), contentType, strings.NewReader(body))
		require.NoError(t, err)
		defer resp.Body.Close()
		content, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "*", resp.Header.Get("Access-Control-Allow-Origin"))
		return resp.StatusCode, string(content), resp.Header
	}
	other := strings.Repeat("A", 22)
	for _, tc := range []struct {
		body   string
		status int
		says   string
	}{
		{other + `@{"open":"k"}`, 401, "token"},
		{c.token + `x@{"open":"k"}`, 401, "token"},
		{c.token[1:] + `@{"open":"k"}`, 401, "token"},
		{"@{}", 401, "token"},
		{c.token, 400, "TOKEN@JSON"},
		{"", 400, "TOKEN@JSON"},
		{other + "AAAAAAAAAA" + `@{"open":"k"}`, 401, "token"},
		{c.token + "@" + strings.Repeat("x", 1025), 413, "limit"},
		{strings.Repeat("x", 100<<10), 413, "limit"},
	} {
		status, body, _ := post("application/json", tc.body)
		require.Equal(t, tc.status, status, "%.50q: %s", tc.body, body)
		require.Contains(t, body, tc.says)
	}
	// None of that was the stream's fault, and the type does not matter.
	largest := `{"open":"k","more":"` + strings.Repeat("x", 1024-22) + `"}`
	require.Len(t, largest, 1024)
	for _, contentType := range []string{"application/json", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", ""} {
		c := openStream(t, s)
		status, body, _ := post(contentType, c.token+"@"+largest)
		require.Equal(t, http.StatusOK, status)
		require.Empty(t, body)
		require.JSONEq(t, `{"isKeyOk":true}`, c.receive())
		c.drop()
		eventually(t, func() bool {
			o := dial(t, s)
			defer o.drop()
			o.send(`{"open":"k"}`)
			return o.receive() == `{"isKeyOk":true}`
		}, "the key of a stream that is gone stays taken")
		eventually(t, func() bool {
			j := dial(t, s)
			defer j.drop()
			j.send(`{"join":"k"}`)
			return j.receive() == `{"isKeyOk":false}`
		}, "the key stays taken")
	}
}

// What many streams leave behind is nothing.
func TestStreamsLeaveNothing(t *testing.T) {
	s := start(t)
	tls := startTLS(t)
	for _, s := range []*instance{s, tls} {
		exchange(t, s, "before")
		openStream(t, s).drop()
		files := s.files() + 2
		for range 3 {
			var all []*streamClient
			for i := range 200 {
				c := openStream(t, s)
				c.send(fmt.Sprintf(`{"open":"%d"}`, i))
				require.JSONEq(t, `{"isKeyOk":true}`, c.receive())
				all = append(all, c)
			}
			for _, c := range all {
				c.drop()
				c.http.CloseIdleConnections()
			}
			eventually(t, func() bool { return s.files() <= files }, "descriptors are left over")
		}
		s.stop()
		require.Contains(t, s.logged(), "cut_off=0")
	}
}

func TestAFullServerRefusesStreams(t *testing.T) {
	s := start(t, "--max-connections", "1")
	first := openStream(t, s)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.httpURL(), nil)
	require.NoError(t, err)
	req.Header.Set("Accept", "text/event-stream")
	resp, err := httpClient(t).Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.NotEmpty(t, resp.Header.Get("Retry-After"))
	first.drop()
	eventually(t, func() bool {
		resp, err := httpClient(t).Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode == http.StatusOK
	}, "there is room, and the server does not know it")
}

// A keep-alive comment is how the server learns that nobody listens any more.
func TestKeepAliveComments(t *testing.T) {
	s := start(t, "--heartbeat", "1s")
	c := openStream(t, s)
	c.send(`{"open":"quiet"}`)
	c.receive()
	timer := time.AfterFunc(patience, c.cancel)
	defer timer.Stop()
	for range 4 {
		line, err := c.events.ReadString('\n')
		require.NoError(t, err)
		require.Contains(t, []string{": \n", "\n"}, line)
	}
}
