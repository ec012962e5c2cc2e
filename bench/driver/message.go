//go:build linux

package driver

import (
	"bytes"
	"strconv"
)

// message is one of the server's, read. It says no more than what this client
// wants to know.
type message struct {
	answered    bool // it has isKeyOk
	keyOK       bool
	id          uint32 // 0: none
	unavailable bool
	data        []byte // the JSON text; aliases the message; nil: none
	strange     string // what in it is not of the protocol; empty: nothing
}

// parseMessage reads p, whatever the order of its members and the white space
// between them. It trusts the server to send JSON and only finds its way in it.
func parseMessage(p []byte) (m message, ok bool) {
	i := skipSpace(p, 0)
	if i == len(p) || p[i] != '{' {
		return m, false
	}
	for {
		i = skipSpace(p, i+1)
		nameEnd := valueEnd(p, i)
		if nameEnd < 0 || p[i] != '"' {
			return m, false
		}
		name := p[i+1 : nameEnd-1]
		if i = skipSpace(p, nameEnd); i == len(p) || p[i] != ':' {
			return m, false
		}
		i = skipSpace(p, i+1)
		end := valueEnd(p, i)
		if end < 0 {
			return m, false
		}
		if !m.member(name, p[i:end]) {
			return m, false
		}
		if i = skipSpace(p, end); i == len(p) {
			return m, false
		}
		switch p[i] {
		case ',':
		case '}':
			m.judge()
			return m, skipSpace(p, i+1) == len(p)
		default:
			return m, false
		}
	}
}

func (m *message) member(name, value []byte) bool {
	twice := false
	switch string(name) {
	case "isKeyOk":
		twice = m.answered
		m.answered = true
		m.keyOK = string(value) == "true"
		if !m.keyOK && string(value) != "false" {
			return false
		}
	case "id":
		twice = m.id != 0
		n, err := strconv.ParseUint(string(value), 10, 32)
		m.id = uint32(n)
		if err != nil || n == 0 {
			return false
		}
	case "unavailable":
		twice = m.unavailable
		m.unavailable = true
		if string(value) != `"true"` {
			m.strange = `unavailable is not "true"`
		}
	case "data":
		twice = m.data != nil
		m.data = value
	default:
		m.strange = "a member that the protocol does not have"
	}
	if twice {
		m.strange = "a member comes twice"
	}
	return true
}

// judge sees whether the members are those of one kind of message.
func (m *message) judge() {
	kinds := 0
	for _, is := range [...]bool{m.answered, m.unavailable, m.data != nil} {
		if is {
			kinds++
		}
	}
	switch {
	case m.strange != "":
	case kinds == 0:
		m.strange = "neither an answer nor data nor news"
	case kinds > 1:
		m.strange = "several messages in one"
	case m.answered && m.id != 0:
		m.strange = "an id in the answer to open or join"
	case m.unavailable && m.id == 0:
		m.strange = "unavailable without an id"
	}
}

func skipSpace(p []byte, i int) int {
	for i < len(p) && (p[i] == ' ' || p[i] == '\n' || p[i] == '\t' || p[i] == '\r') {
		i++
	}
	return i
}

// valueEnd returns the index behind the JSON value that begins at p[i], or -1.
func valueEnd(p []byte, i int) int {
	if i >= len(p) {
		return -1
	}
	switch p[i] {
	case '"':
		return stringEnd(p, i)
	case '{', '[':
		depth := 0
		for i < len(p) {
			switch p[i] {
			case '"':
				if i = stringEnd(p, i); i < 0 {
					return -1
				}
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return -1
	}
	start := i
	for i < len(p) && p[i] > ' ' && p[i] != ',' && p[i] != '}' && p[i] != ']' {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

// stringEnd returns the index behind the string whose first quote is p[i], or -1.
func stringEnd(p []byte, i int) int {
	from := i + 1
	for {
		n := bytes.IndexByte(p[from:], '"')
		if n < 0 {
			return -1
		}
		quote := from + n
		slashes := 0
		for p[quote-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return quote + 1
		}
		from = quote + 1
	}
}
