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

// client is one client, over a WebSocket or Server-Sent Events. One goroutine reads.
type client struct {
	ws       *websocket.Conn // nil for a stream
	http     *http.Client
	url      string
	patience time.Duration // for each answer
	token    string
	body     io.Closer
	events   *bufio.Reader
	ctx      context.Context // ends with drop
	cancel   context.CancelFunc

	in   chan message
	gone chan struct{} // closed when the connection has ended and end says how
	end  *ended        // read after gone
}

// from gives each client of a server on the loopback one of many addresses.
func from(url string, chance *rand.Rand) *http.Transport {
	if !strings.HasPrefix(url, "ws://127.") {
		return &http.Transport{DialContext: new(net.Dialer).DialContext}
	}
	ip := net.IPv4(127, 88, byte(chance.IntN(4)), byte(1+chance.IntN(250)))
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}}
	return &http.Transport{DialContext: dialer.DialContext}
}

func connect(url string, patience time.Duration, chance *rand.Rand) (*client, error) {
	c := &client{
		http:     &http.Client{Transport: from(url, chance)},
		url:      strings.Replace(url, "ws", "http", 1) + "/",
		patience: patience,
		in:       make(chan message, 16),
		gone:     make(chan struct{}),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	var err error
	if chance.IntN(4) == 0 {
		err = c.connectStream()
	} else {
		ctx, cancel := context.WithTimeout(c.ctx, patience)
		defer cancel()
		c.ws, _, err = websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: c.http})
	}
	if err != nil {
		c.drop()
		return nil, err
	}
	go c.read()
	return c, nil
}

func (c *client) connectStream() error {
	// The context is that of the whole stream, which goes on.
	timer := time.AfterFunc(c.patience, c.cancel)
	defer timer.Stop()
	req, err := http.NewRequestWithContext(c.ctx, http.MethodGet, c.url, nil)
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
	ctx, cancel := context.WithTimeout(c.ctx, c.patience)
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

// read hands over what comes, until the end.
func (c *client) read() {
	defer close(c.gone)
	for {
		m, err := c.next()
		if err != nil {
			c.end = err
			return
		}
		select {
		case c.in <- m:
		case <-c.ctx.Done():
			c.end = &ended{0, c.ctx.Err()}
			return
		}
	}
}

func (c *client) next() (m message, end *ended) {
	var text []byte
	var err error
	if c.ws != nil {
		if _, text, err = c.ws.Read(c.ctx); err != nil {
			return m, &ended{int(websocket.CloseStatus(err)), err}
		}
	} else {
		name, data, err := c.event()
		if err != nil {
			return m, &ended{0, err}
		}
		if name == "close" {
			var said struct{ Code int }
			_ = json.Unmarshal([]byte(data), &said)
			return m, &ended{said.Code, errors.New(data)}
		}
		text = []byte(data)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, &ended{0, err}
	}
	return m, nil
}

// message is the next one. An *ended says that none will come.
func (c *client) message() (message, error) { return c.messageWhile(nil) }

// messageWhile is the next one, if other does not end before: then none is to be
// waited for.
func (c *client) messageWhile(other *client) (m message, err error) {
	var otherGone chan struct{}
	if other != nil {
		otherGone = other.gone
	}
	timer := time.NewTimer(c.patience)
	defer timer.Stop()
	select {
	case m = <-c.in:
		return m, nil
	case <-c.gone:
		select {
		case m = <-c.in: // came before the end
			return m, nil
		default:
			return m, c.end
		}
	case <-otherGone:
		return m, fmt.Errorf("the other %w", other.end)
	case <-timer.C:
		return m, fmt.Errorf("nothing came in %s", c.patience)
	}
}

func (c *client) isClosed(code int) bool {
	select {
	case <-c.gone:
		return c.end.code == code
	default:
		return false
	}
}

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
	c.cancel()
	if c.body != nil {
		_ = c.body.Close()
	}
	c.http.CloseIdleConnections()
}
