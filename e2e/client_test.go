package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// client is a WebSocket client of a library that the server does not use.
type client struct {
	t    testing.TB
	conn *websocket.Conn
}

func dial(t testing.TB, s *instance) *client {
	t.Helper()
	s = s.next()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, s.url, &websocket.DialOptions{HTTPClient: httpClient(t)})
	require.NoError(t, err)
	conn.SetReadLimit(1 << 20)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &client{t: t, conn: conn}
}

func (c *client) send(text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(c.t, c.conn.Write(ctx, websocket.MessageText, []byte(text)))
}

func (c *client) read() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, text, err := c.conn.Read(ctx)
	return string(text), err
}

func (c *client) receive() string {
	c.t.Helper()
	text, err := c.read()
	require.NoError(c.t, err)
	return text
}

func (c *client) want(text string) {
	c.t.Helper()
	require.Equal(c.t, text, c.receive())
}

// wantData reads a Joining's data at its Opener and returns the id.
func (c *client) wantData(data string) (id json.Number) {
	c.t.Helper()
	var m struct {
		ID   json.Number     `json:"id"`
		Data json.RawMessage `json:"data"`
	}
	require.NoError(c.t, json.Unmarshal([]byte(c.receive()), &m))
	require.Equal(c.t, data, string(m.Data))
	return m.ID
}

// wantClose reads the end of the connection.
func (c *client) wantClose(code int, reason string) {
	c.t.Helper()
	text, err := c.read()
	var closed websocket.CloseError
	require.True(c.t, errors.As(err, &closed), "want a close frame, got %q %v", text, err)
	require.Equal(c.t, code, int(closed.Code))
	if reason != "" {
		require.Contains(c.t, closed.Reason, reason)
	}
}

func (c *client) closeWith(code int) {
	c.t.Helper()
	require.NoError(c.t, c.conn.Close(websocket.StatusCode(code), ""))
}

func (c *client) drop() { _ = c.conn.CloseNow() }

func (c *client) open(key string) {
	c.t.Helper()
	c.send(`{"open":"` + key + `"}`)
	c.want(`{"isKeyOk":true}`)
}

func (c *client) join(key string) {
	c.t.Helper()
	c.send(`{"join":"` + key + `"}`)
	c.want(`{"isKeyOk":true}`)
}

func (c *client) close() {
	c.t.Helper()
	c.closeWith(1000)
}

// exchange lets a fresh pair find each other, which shows that the server serves.
func exchange(t testing.TB, s *instance, key string) {
	t.Helper()
	opener, joining := dial(t, s), dial(t, s)
	opener.open(key)
	joining.join(key)
	joining.send(`{"data":"offer"}`)
	id := opener.wantData(`"offer"`)
	opener.send(`{"id":` + id.String() + `,"data":"answer"}`)
	joining.want(`{"data":"answer"}`)
	joining.close()
	opener.want(`{"id":` + id.String() + `,"unavailable":"true"}`)
	opener.close()
}

// eventually waits for what follows from something that has no answer.
func eventually(t testing.TB, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, patience, 10*time.Millisecond, what)
}

// dialFrom is dial from a local address.
func dialFrom(t testing.TB, s *instance, ip string) *client {
	t.Helper()
	conn, err := connectFrom(t, s, ip)
	require.NoError(t, err)
	return &client{t: t, conn: conn}
}

func tryFrom(t testing.TB, s *instance, ip string) bool {
	_, err := connectFrom(t, s, ip)
	return err == nil
}

func connectFrom(t testing.TB, s *instance, ip string) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	transport := &http.Transport{TLSClientConfig: trusted(), DialContext: dialer.DialContext}
	conn, _, err := websocket.Dial(ctx, s.url, &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err == nil {
		t.Cleanup(func() { _ = conn.CloseNow() })
	}
	return conn, err
}

// opens tries to open key, and returns what became of it.
func opens(t *testing.T, s *instance, key string) (c *client, answer string) {
	t.Helper()
	c = dial(t, s)
	c.send(`{"open":"` + key + `"}`)
	return c, c.receive()
}
