package conn

import "time"

// What no setting changes.
const (
	maxHeader    = 8 << 10         // bytes of a handshake's header
	closeTimeout = 5 * time.Second // from our close frame to the end, whatever the client does
	SweepTime    = time.Second     // within which a passed deadline is noticed

	// hurriedHandshake is what there is of Limits.Handshake while clients wait for a
	// socket to be free.
	hurriedHandshake = 2 * time.Second
)

// Limits bound what one client can take. They are set before the first
// connection and shared by all.
type Limits struct {
	Message   int           // bytes of one message, all of its fragments together
	Unsent    int           // bytes that may wait for a client that does not read
	Handshake time.Duration // from accept to a whole handshake header
	Idle      time.Duration // from the handshake to KeepOpen
	Heartbeat time.Duration // of silence before a ping; twice that again, and it is closed. 0: off
	Rate      float64       // frames per second that may go on for ever. 0: no limit
	Burst     float64       // frames above Rate that may come at once
}
