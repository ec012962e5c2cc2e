// Command coder is the comparison server on github.com/coder/websocket.
package main

import (
	"context"
	"net"
	"net/http"

	"github.com/coder/websocket"

	"sigver/bench/peers/boot"
	"sigver/bench/peers/relay"
)

func main() {
	r := relay.New()
	options := &websocket.AcceptOptions{InsecureSkipVerify: true} // of the Origin
	handler := func(w http.ResponseWriter, req *http.Request) {
		ws, err := websocket.Accept(w, req, options)
		if err != nil {
			return
		}
		read(ws, r)
	}
	boot.Run(func(ln net.Listener) error {
		return http.Serve(ln, http.HandlerFunc(handler))
	})
}

func read(ws *websocket.Conn, r *relay.Relay) {
	defer ws.CloseNow()
	ws.SetReadLimit(relay.MaxMessage)
	s := r.Attach(conn{ws})
	defer s.Gone()
	for {
		kind, text, err := ws.Read(context.Background())
		if err != nil {
			return
		}
		if kind == websocket.MessageText {
			s.Handle(text)
		}
	}
}

type conn struct{ ws *websocket.Conn }

func (c conn) Send(text []byte) error {
	return c.ws.Write(context.Background(), websocket.MessageText, text)
}

func (c conn) Close(code int, reason string) {
	go c.ws.Close(websocket.StatusCode(code), reason) // waits for the client's answer
}
