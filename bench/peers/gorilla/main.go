// Command gorilla is the comparison server on github.com/gorilla/websocket.
package main

import (
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"sigver/bench/peers/boot"
	"sigver/bench/peers/relay"
)

const closeWait = 5 * time.Second

var upgrader = websocket.Upgrader{
	ReadBufferSize:  2048, // a usual message fits
	WriteBufferSize: 2048,
	WriteBufferPool: new(sync.Pool),
	CheckOrigin:     func(*http.Request) bool { return true },
}

func main() {
	r := relay.New()
	handler := func(w http.ResponseWriter, req *http.Request) {
		ws, err := upgrader.Upgrade(w, req, nil)
		if err != nil {
			return
		}
		// A goroutine of its own lets the request be collected.
		go read(ws, r)
	}
	boot.Run(func(ln net.Listener) error {
		return http.Serve(ln, http.HandlerFunc(handler))
	})
}

func read(ws *websocket.Conn, r *relay.Relay) {
	defer ws.Close()
	ws.SetReadLimit(relay.MaxMessage)
	s := r.Attach(&conn{ws: ws})
	defer s.Gone()
	for {
		kind, text, err := ws.ReadMessage()
		if err != nil {
			return
		}
		if kind == websocket.TextMessage {
			s.Handle(text)
		}
	}
}

type conn struct {
	mu sync.Mutex // the library allows one writer at a time
	ws *websocket.Conn
}

func (c *conn) Send(text []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ws.WriteMessage(websocket.TextMessage, text)
}

func (c *conn) Close(code int, reason string) {
	end := time.Now().Add(closeWait)
	c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), end)
	c.ws.SetReadDeadline(end)
}
