// Package protocol is sigver's message grammar: one JSON object per text
// message, and the close codes. It keeps no state between messages and does no
// I/O.
//
// A Parser reads what clients send; the Append functions write what the server
// sends. Only this package uses fastjson.
package protocol

// Kind tells which row of the grammar a client's message fits.
type Kind uint8

// The messages a client can send. No Message that Parse accepted has Kind 0.
const (
	Open      Kind = iota + 1 // {"open": key} or {"key": key}: become the key's Opener
	Join                      // {"join": key}: become a Joining of the key's Opener
	ToOpener                  // {"data": any}: from a Joining to its Opener
	ToJoining                 // {"id": id, "data": any}: from an Opener to one Joining
)

// Message is one client message, read by Parser.Parse. Its slices are valid
// until the next Parse of that Parser; whoever keeps them longer copies them.
type Message struct {
	Kind Kind

	// Key is the decoded key of Open and Join: UTF-8, 1 to 512 code points.
	Key []byte

	// Token is the decoded takeover secret of Open: UTF-8, 1 to 512 code
	// points, or nil when the message has none.
	Token []byte

	// ID is ToJoining's receiver, 1 to 2^31-1.
	ID uint32

	// Data is the value to relay as compact JSON, spelled as the client spelled
	// it. Never empty in ToOpener and ToJoining; nil in a Join without data.
	Data []byte
}
