// Command nbio is the comparison server on github.com/lesismal/nbio.
package main

import (
	"net"
	"net/http"
	"os"
	"time"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"

	"sigver/bench/peers/boot"
	"sigver/bench/peers/relay"
)

const closeWait = 5 * time.Second

func main() {
	logging.Output = os.Stderr // it would be stdout
	logging.SetLevel(logging.LevelError)

	upgrader := newUpgrader(relay.New())
	handler := func(w http.ResponseWriter, r *http.Request) {
		upgrader.Upgrade(w, r, nil)
	}
	boot.Run(func(ln net.Listener) error {
		engine := nbhttp.NewEngine(nbhttp.Config{
			Network:                 "tcp",
			Addrs:                   []string{ln.Addr().String()},
			Listen:                  func(_, _ string) (net.Listener, error) { return ln, nil },
			Handler:                 http.HandlerFunc(handler),
			ReleaseWebsocketPayload: true,
		})
		if err := engine.Start(); err != nil {
			return err
		}
		select {}
	})
}

func newUpgrader(r *relay.Relay) *websocket.Upgrader {
	u := websocket.NewUpgrader()
	u.KeepaliveTime = 0 // else a connection that says nothing ends after two minutes
	u.MessageLengthLimit = relay.MaxMessage
	u.CheckOrigin = func(*http.Request) bool { return true }
	u.OnOpen(func(c *websocket.Conn) {
		c.SetSession(r.Attach(conn{c}))
	})
	u.OnMessage(func(c *websocket.Conn, kind websocket.MessageType, data []byte) {
		if kind == websocket.TextMessage {
			c.Session().(*relay.Session).Handle(data)
		}
	})
	u.OnClose(func(c *websocket.Conn, _ error) {
		if s, ok := c.Session().(*relay.Session); ok {
			s.Gone()
		}
	})
	return u
}

type conn struct{ ws *websocket.Conn }

func (c conn) Send(text []byte) error {
	return c.ws.WriteMessage(websocket.TextMessage, text)
}

func (c conn) Close(code int, reason string) {
	c.ws.WriteClose(code, reason)
	c.ws.SetReadDeadline(time.Now().Add(closeWait))
}
