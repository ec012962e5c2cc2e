// Command gws is the comparison server on github.com/lxzan/gws.
package main

import (
	"github.com/lxzan/gws"

	"sigver/bench/peers/boot"
	"sigver/bench/peers/relay"
)

func main() {
	// ParallelEnabled stays off: it would change the order of messages.
	options := &gws.ServerOption{
		ReadMaxPayloadSize: relay.MaxMessage,
		Logger:             quiet{},
		Recovery:           gws.Recovery,
	}
	boot.Run(gws.NewServer(&handler{relay: relay.New()}, options).RunListener)
}

type handler struct {
	gws.BuiltinEventHandler
	relay *relay.Relay
}

const sessionKey = "session"

func (h *handler) OnOpen(socket *gws.Conn) {
	socket.Session().Store(sessionKey, h.relay.Attach(conn{socket}))
}

func (h *handler) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	if message.Opcode != gws.OpcodeText {
		return
	}
	if s, ok := socket.Session().Load(sessionKey); ok {
		s.(*relay.Session).Handle(message.Bytes())
	}
}

func (h *handler) OnClose(socket *gws.Conn, _ error) {
	if s, ok := socket.Session().Load(sessionKey); ok {
		s.(*relay.Session).Gone()
	}
}

type conn struct{ socket *gws.Conn }

func (c conn) Send(text []byte) error {
	return c.socket.WriteMessage(gws.OpcodeText, text)
}

func (c conn) Close(code int, reason string) {
	c.socket.WriteClose(uint16(code), []byte(reason))
}

// quiet keeps connections that end before their handshake out of the log.
type quiet struct{}

func (quiet) Error(...any) {}
