// Command gobwas is the comparison server on github.com/gobwas/ws with a
// goroutine per connection.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"sigver/bench/peers/boot"
	"sigver/bench/peers/relay"
)

const (
	handshakeWait = 5 * time.Second
	closeWait     = 5 * time.Second
)

func main() {
	r := relay.New()
	boot.Run(func(ln net.Listener) error {
		for {
			raw, err := ln.Accept()
			if err != nil {
				return err
			}
			go serve(raw, r)
		}
	})
}

func serve(raw net.Conn, r *relay.Relay) {
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(handshakeWait))
	if _, err := ws.Upgrade(raw); err != nil {
		return
	}
	raw.SetDeadline(time.Time{})

	c := &conn{raw: raw}
	s := r.Attach(c)
	defer s.Gone()
	switch err := read(c, s); {
	case errors.Is(err, wsutil.ErrFrameTooLarge), errors.Is(err, wsutil.ErrMessageTooLarge):
		c.Close(int(ws.StatusMessageTooBig), "")
	case errors.Is(err, wsutil.ErrInvalidUTF8):
		c.Close(int(ws.StatusInvalidFramePayloadData), "")
	}
}

func read(c *conn, s *relay.Session) error {
	control := wsutil.ControlFrameHandler(c, ws.StateServerSide)
	rd := wsutil.Reader{
		Source:         bufio.NewReader(c.raw),
		State:          ws.StateServerSide,
		CheckUTF8:      true,
		MaxFrameSize:   relay.MaxMessage,
		MaxMessageSize: relay.MaxMessage,
		OnIntermediate: control,
	}
	var text bytes.Buffer
	for {
		header, err := rd.NextFrame()
		if err != nil {
			return err
		}
		switch header.OpCode {
		case ws.OpText:
			text.Reset()
			if _, err := text.ReadFrom(&rd); err != nil {
				return err
			}
			s.Handle(text.Bytes())
		case ws.OpBinary:
			if err := rd.Discard(); err != nil {
				return err
			}
		default:
			if err := control(header, &rd); err != nil {
				return err
			}
		}
	}
}

type conn struct {
	raw net.Conn

	mu     sync.Mutex // whole frames, one after the other
	closed bool       // a close frame is the last
}

// Write writes one control frame.
func (c *conn) Write(frame []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	return c.raw.Write(frame)
}

// Send writes header and payload at once, unlike wsutil.WriteServerText. The
// writer needs room for both; what does not fit it would write in fragments.
func (c *conn) Send(text []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	w := wsutil.GetWriter(c.raw, ws.StateServerSide, ws.OpText, len(text)+ws.MaxHeaderSize)
	defer wsutil.PutWriter(w)
	if _, err := w.Write(text); err != nil {
		return err
	}
	return w.Flush()
}

func (c *conn) Close(code int, reason string) {
	body := ws.NewCloseFrameBody(ws.StatusCode(code), reason)
	frame, err := ws.CompileFrame(ws.NewCloseFrame(body))
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	c.raw.Write(frame)
	c.raw.SetReadDeadline(time.Now().Add(closeWait))
}
