package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// message is what the server sends.
type message struct {
	IsKeyOk     *bool
	ID          int64
	Data        string
	Unavailable string
}

// ended is the end of a connection, with the code of the server if it gave one.
type ended struct {
	code int
	err  error
}

func (e *ended) Error() string { return fmt.Sprintf("ended with %d: %v", e.code, e.err) }

// client is one client, over a WebSocket or Server-Sent Events.
type client struct {
	ws     *websocket.Conn // nil for a stream
	http   *http.Client
	url    string
	token  string
	body   io.Closer
	events *bufio.Reader
	cancel context.CancelFunc
	end    *ended
}

// from gives each client of a server on the loopback one of many addresses.
func from(url string, chance *rand.Rand) *http.Transport {
	if !strings.HasPrefix(url, "ws://127.") {
		return &http.Transport{DialContext: (&net.Dialer{Timeout: patience}).DialContext}
	}
	ip := net.IPv4(127, 88, byte(chance.IntN(4)), byte(1+chance.IntN(250)))
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}, Timeout: patience}
	return &http.Transport{DialContext: dialer.DialContext}
}

func connect(url string, chance *rand.Rand) (*client, error) {
	c := &client{http: &http.Client{Transport: from(url, chance)}, url: strings.Replace(url, "ws", "http", 1) + "/"}
	if chance.IntN(4) == 0 {
		return c, c.connectStream()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	c.ws, _, err = websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: c.http})
	return c, err
}

func (c *client) connectStream() error {
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return errors.New(resp.Status)
	}
	c.body, c.events = resp.Body, bufio.NewReader(resp.Body)
	name, data, err := c.event()
	if err != nil || name != "auth" {
		return fmt.Errorf("no auth event but %q: %w", name, err)
	}
	c.token = data
	return nil
}

// event reads the next event.
func (c *client) event() (name, data string, err error) {
	timer := time.AfterFunc(patience, c.cancel)
	defer timer.Stop()
	for {
		line, err := c.events.ReadString('\n')
		if err != nil {
			return "", "", err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "event":
			name = value
		case "data":
			data = value
		case "":
			if data != "" {
				return name, data, nil
			}
		}
	}
}

// bind opens or joins.
func (c *client) bind(first map[string]any) error {
	if err := c.send(first); err != nil {
		return err
	}
	m, err := c.message()
	if err == nil && (m.IsKeyOk == nil || !*m.IsKeyOk) {
		return fmt.Errorf("got %+v", m)
	}
	return err
}

func (c *client) send(m map[string]any) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if c.ws != nil {
		return c.ws.Write(ctx, websocket.MessageText, text)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(append([]byte(c.token+"@"), text...)))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// message is the next one. An *ended says that none will come.
func (c *client) message() (m message, err error) {
	if c.end != nil {
		return m, c.end
	}
	var text []byte
	if c.ws != nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if _, text, err = c.ws.Read(ctx); err != nil {
			c.end = &ended{int(websocket.CloseStatus(err)), err}
			return m, c.end
		}
	} else {
		name, data, err := c.event()
		if err != nil {
			c.end = &ended{0, err}
			return m, c.end
		}
		if name == "close" {
			var said struct{ Code int }
			_ = json.Unmarshal([]byte(data), &said)
			c.end = &ended{said.Code, errors.New(data)}
			return m, c.end
		}
		text = []byte(data)
	}
	err = json.Unmarshal(text, &m)
	return m, err
}

func (c *client) isClosed(code int) bool { return c.end != nil && c.end.code == code }

// leave ends the connection, with a word or without.
func (c *client) leave(politely bool) {
	if politely && c.ws != nil {
		_ = c.ws.Close(websocket.StatusNormalClosure, "")
		return
	}
	c.drop()
}

func (c *client) drop() {
	if c.ws != nil {
		_ = c.ws.CloseNow()
	}
	if c.cancel != nil {
		c.cancel()
	}
	if c.body != nil {
		_ = c.body.Close()
	}
	c.http.CloseIdleConnections()
}
