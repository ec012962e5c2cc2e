package conn

// state is where a connection is in its life. Only its loop moves it:
//
//	handshake --> open --> closing --> closed
//	    |           |         ^           ^
//	    |           +---------|-----------+   the socket failed
//	    +---------------------+               refused: an HTTP answer, then the end
//	    +---------------------------------+   the socket failed
type state uint8

const (
	stateHandshake state = iota // the HTTP header is not complete
	stateOpen                   // messages pass both ways
	stateClosing                // our last bytes are on their way; what comes in is thrown away
	stateClosed                 // the descriptor is closed; terminal
)
