package protocol

import (
	"encoding/json"
	"strconv"
)

// What is around a message that is one event without a name (HTML Living
// Standard §9.2.6).
var (
	EventData = []byte("data: ")
	EventEnd  = []byte("\n\n")
)

// AppendAuthEvent appends the first event of an SSE stream, which tells the
// client the token that its messages have to begin with.
func AppendAuthEvent(dst []byte, token string) []byte {
	dst = append(dst, "event: auth\ndata: "...)
	dst = append(dst, token...)
	return append(dst, EventEnd...)
}

// AppendCloseEvent appends the last event of an SSE stream. It says what a close
// frame would: the code, and the reason as AppendReason writes it.
func AppendCloseEvent(dst []byte, code CloseCode, detail string) []byte {
	dst = append(dst, `event: close`+"\n"+`data: {"code":`...)
	dst = strconv.AppendUint(dst, uint64(code), 10)
	dst = append(dst, `,"reason":`...)
	// A string of valid UTF-8 always has a JSON form.
	reason, _ := json.Marshal(string(AppendReason(nil, code, detail)))
	dst = append(dst, reason...)
	dst = append(dst, '}')
	return append(dst, EventEnd...)
}
