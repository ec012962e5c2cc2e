package protocol

import (
	"strconv"
	"unicode/utf8"
)

// CloseCode says why the server closes a connection. It is the status code of a
// WebSocket's close frame (RFC 6455 §7.4), and the code of an SSE stream's close
// event.
type CloseCode uint16

// The codes of RFC 6455 and its registry that the server sends.
const (
	NormalClosure   CloseCode = 1000 // echo of a client's normal close
	GoingAway       CloseCode = 1001 // the server is stopping
	ProtocolError   CloseCode = 1002 // a frame breaks RFC 6455
	UnsupportedData CloseCode = 1003 // a binary message
	InvalidPayload  CloseCode = 1007 // a text message that is not UTF-8
	SlowConsumer    CloseCode = 1008 // unsent bytes passed the limit
	MessageTooBig   CloseCode = 1009 // a message over the size limit
	TryAgainLater   CloseCode = 1013 // the server is full
)

// The codes of sigver's own protocol.
const (
	MessageError            CloseCode = 4000 // not JSON, not an object, no known message
	KeyError                CloseCode = 4001 // a key that is no string, empty, or too long
	HeartbeatTimeout        CloseCode = 4002 // nothing heard, pongs included, for too long
	Idle                    CloseCode = 4003 // neither opened nor joined in time
	KeyExists               CloseCode = 4010 // open of a key that is taken
	KeyUnknown              CloseCode = 4011 // join of a key that nobody opened
	KeyTakenOver            CloseCode = 4012 // a connection with the same token took the key
	AlreadyBound            CloseCode = 4013 // open or join on a connection that did one already
	TooManyJoinings         CloseCode = 4014 // join of an Opener that is at its limit
	OpenerNoLongerAvailable CloseCode = 4020 // the Opener of this Joining is gone
	TransmitBeforeOpen      CloseCode = 4022 // {"id","data"} from no Opener
	TransmitBeforeJoin      CloseCode = 4023 // {"data"} from no Joining
	RateLimited             CloseCode = 4029 // messages over the connection's rate
)

var codeNames = map[CloseCode]string{
	NormalClosure:           "NORMAL",
	GoingAway:               "GOING_AWAY",
	ProtocolError:           "PROTOCOL_ERROR",
	UnsupportedData:         "UNSUPPORTED_DATA",
	InvalidPayload:          "INVALID_PAYLOAD",
	SlowConsumer:            "SLOW_CONSUMER",
	MessageTooBig:           "MESSAGE_TOO_BIG",
	TryAgainLater:           "TRY_AGAIN_LATER",
	MessageError:            "MESSAGE_ERROR",
	KeyError:                "KEY_ERROR",
	HeartbeatTimeout:        "HEARTBEAT_TIMEOUT",
	Idle:                    "IDLE",
	KeyExists:               "KEY_EXISTS",
	KeyUnknown:              "KEY_UNKNOWN",
	KeyTakenOver:            "KEY_TAKEN_OVER",
	AlreadyBound:            "ALREADY_BOUND",
	TooManyJoinings:         "TOO_MANY_JOININGS",
	OpenerNoLongerAvailable: "OPENER_NO_LONGER_AVAILABLE",
	TransmitBeforeOpen:      "TRANSMIT_BEFORE_OPEN",
	TransmitBeforeJoin:      "TRANSMIT_BEFORE_JOIN",
	RateLimited:             "RATE_LIMITED",
}

// Known reports whether c is one of the constants.
func (c CloseCode) Known() bool {
	_, known := codeNames[c]
	return known
}

// String returns the code's name, for example KEY_EXISTS, or CODE_ and the
// number for a code that is none of the constants.
func (c CloseCode) String() string {
	if name, ok := codeNames[c]; ok {
		return name
	}
	return "CODE_" + strconv.Itoa(int(c))
}

// MaxReason is the most bytes of reason that fit in a close frame: 125 for a
// control frame's payload less 2 for the code (RFC 6455 §5.5).
const MaxReason = 123

// AppendReason appends the reason of a close, "NAME: detail" or just "NAME" when
// detail is empty, and returns the extended dst. It appends at most MaxReason
// bytes, cut between runes. They are valid UTF-8 whatever detail holds: each
// byte of it that is not becomes U+FFFD.
func AppendReason(dst []byte, code CloseCode, detail string) []byte {
	start := len(dst)
	dst = append(dst, code.String()...)
	if detail == "" {
		return dst
	}
	dst = append(dst, ": "...)
	for _, r := range detail {
		if len(dst)-start+utf8.RuneLen(r) > MaxReason {
			break
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// Error is what is wrong with a client's message: the code to close with and a
// fixed text of ours, which never repeats any of the input. Errors are shared
// between connections and must not be changed.
type Error struct {
	Code   CloseCode
	Detail string
}

// Error returns the close reason as AppendReason writes it.
func (e *Error) Error() string {
	return string(AppendReason(nil, e.Code, e.Detail))
}
