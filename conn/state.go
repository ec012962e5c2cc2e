package conn

// state is where a connection is in its life. Only its loop moves it:
//
//	handshake --> open --> closing --> closed
//	    |           |         ^           ^
//	    |           +---------|-----------+   the socket failed
//	    +---------------------+               refused: an HTTP answer, then the end
//	    +---------------------------------+   the socket failed, or is a Visitor's
//
// With TLS the life begins with hello --> queued --> away --> handshake, and can
// end at each of them; behind a proxy with proxied, before either. A stream begins as
// open, and so does what goes on for a connection that has gone from open by moving to
// closed.
type state uint8

const (
	stateHandshake state = iota // the HTTP header is not complete
	stateProxied                // the proxy's header is not complete
	stateHello                  // the TLS client's first record is not complete
	stateQueued                 // it is, and the TLS handshake waits its turn
	stateAway                   // a goroutine does it, and has the socket
	stateOpen                   // messages pass both ways
	stateMoving                 // its socket goes to another loop once the present callback is over
	stateClosing                // our last bytes are on their way; what comes in is thrown away
	stateClosed                 // the connection has no socket any more; terminal
)
