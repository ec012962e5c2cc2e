package conn

import (
	"bytes"
	"encoding/base64"
	"errors"
	"iter"
	"net/http"
	"strconv"
	"strings"

	"github.com/gobwas/ws"

	"sigver/poller"
)

// Refusal is an HTTP answer in place of the upgrade (RFC 6455 §4.2.2).
type Refusal struct {
	Status     int    // an HTTP status of 400 or more
	Reason     Reason // to be counted by
	RetryAfter int    // seconds; 0: not said
	Detail     string // what was wrong, for a person to read
	allow      string // the header Allow, or nothing
	upgrade    bool   // name the protocol that is spoken here
}

// Reason is why a client is refused, as metrics have it.
type Reason string

// All reasons that there are.
const (
	BadRequest  Reason = "bad_request" // not HTTP, or not as it should be
	HeaderSize  Reason = "header_size"
	Timeout     Reason = "timeout" // the header did not arrive in time
	BadVersion  Reason = "version" // of the protocol
	NoTLS       Reason = "no_tls"  // plain text where TLS is spoken
	Origin      Reason = "origin"
	Full        Reason = "full"     // as many connections as there may be
	OutOfMemory Reason = "memory"   // none left for another client
	Stopping    Reason = "stopping" // the server
	PerIP       Reason = "per_ip"   // too many connections of one address
	AcceptRate  Reason = "accept_rate"
	Guesses     Reason = "guesses" // too many joins of unknown keys
)

// Refusals that the handshake itself gives.
var (
	tooSlow     = &Refusal{Status: http.StatusRequestTimeout, Reason: Timeout, Detail: "the request's header did not arrive in time"}
	tooLarge    = &Refusal{Status: http.StatusRequestHeaderFieldsTooLarge, Reason: HeaderSize, Detail: "the request's header is over 8 KiB"}
	notHTTP     = &Refusal{Status: http.StatusBadRequest, Reason: BadRequest, Detail: "this is not an HTTP request; if it is TLS, use ws:// and not wss://"}
	malformed   = &Refusal{Status: http.StatusBadRequest, Reason: BadRequest, Detail: "malformed HTTP request"}
	badKey      = &Refusal{Status: http.StatusBadRequest, Reason: BadRequest, Detail: "Sec-WebSocket-Key must be there once, 16 bytes in base64"}
	badMethod   = &Refusal{Status: http.StatusMethodNotAllowed, Reason: BadRequest, Detail: "a WebSocket handshake is a GET request", allow: http.MethodGet}
	badVersion  = &Refusal{Status: http.StatusUpgradeRequired, Reason: BadVersion, Detail: "Sec-WebSocket-Version must be 13", upgrade: true}
	stopping    = &Refusal{Status: http.StatusServiceUnavailable, Reason: Stopping, Detail: "the server is stopping", RetryAfter: 1}
	endOfHeader = []byte("\r\n\r\n")
	endOfLine   = []byte("\r\n")
	colon       = []byte{':'}
	hostName    = []byte("Host")
	webSocket   = []byte("websocket")
)

// handshake answers the request at the beginning of b and returns how many
// bytes it covers, or 0 when more must arrive.
func (c *Conn) handshake(b []byte) int {
	if b[0] < 'A' || b[0] > 'Z' {
		c.refuse(notHTTP)
		return 0
	}
	end := bytes.Index(b, endOfHeader)
	size := end + len(endOfHeader)
	switch {
	case end < 0 && len(b) < maxHeader:
		return 0
	case end < 0 || size > maxHeader:
		c.refuse(tooLarge)
		return 0
	}
	header := b[:size]
	if !wellFormed(header) {
		c.refuse(malformed)
		return size
	}
	if !asksForUpgrade(header) {
		if refusal := c.events().Visiting(header); refusal != nil {
			c.refuse(refusal)
			return size
		}
		c.handOver(b)
		return len(b)
	}
	answer, refusal := c.set.upgrade.answer(header)
	if refusal == nil {
		refusal = c.events().Opening(header)
	}
	if refusal != nil {
		c.refuse(refusal)
		return size
	}
	c.shookHands()
	c.state = stateOpen
	c.deadline = c.set.after(c.set.limits.Idle)
	c.queue(answer)
	return size
}

// refuse answers the handshake with an HTTP error and ends the connection.
func (c *Conn) refuse(r *Refusal) {
	c.set.stats.Refused.Count(r)
	c.queue(r.append(nil))
	c.beginClosing()
}

// queue sends bytes that are no frame.
func (c *Conn) queue(b []byte) {
	c.mu.Lock()
	_, _ = c.outputLocked().Write(b)
	c.mu.Unlock()
}

// append adds the whole HTTP answer to b.
func (r *Refusal) append(b []byte) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(r.Status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(r.Status)...)
	b = append(b, "\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"...)
	// A page that asked for Server-Sent Events may know why, whoever's it is.
	b = append(b, "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: Retry-After\r\n"...)
	if r.upgrade {
		b = append(b, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: upgrade, close\r\n"...)
	} else {
		b = append(b, "Connection: close\r\n"...)
	}
	if r.allow != "" {
		b = append(b, "Allow: "...)
		b = append(b, r.allow...)
		b = append(b, endOfLine...)
	}
	if r.RetryAfter > 0 {
		b = append(b, "Retry-After: "...)
		b = strconv.AppendInt(b, int64(r.RetryAfter), 10)
		b = append(b, endOfLine...)
	}
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(len(r.Detail)+1), 10)
	b = append(b, endOfHeader...)
	b = append(b, r.Detail...)
	return append(b, '\n')
}

// Answer is the refusal as a whole HTTP answer that ends the connection.
func (r *Refusal) Answer() []byte { return r.append(nil) }

// upgrade lets ws.Upgrader, which reads and writes a stream, work on bytes that
// are in memory. It is one per set and used again for each handshake.
type upgrade struct {
	in  bytes.Reader
	out []byte
}

func (u *upgrade) Read(p []byte) (int, error) { return u.in.Read(p) }

func (u *upgrade) Write(p []byte) (int, error) {
	u.out = append(u.out, p...)
	return len(p), nil
}

// answer returns what is to be answered to a handshake with this header, valid
// until the next call, or why it is refused.
func (u *upgrade) answer(header []byte) ([]byte, *Refusal) {
	u.in.Reset(header)
	u.out = u.out[:0]
	// The buffer holds the longest line: none has to be put together from parts.
	_, err := ws.Upgrader{ReadBufferSize: maxHeader}.Upgrade(u)
	if err != nil {
		// What the Upgrader wrote is not used: our answers also say that the
		// connection closes, and all look alike.
		return nil, refusalOf(err)
	}
	if !soundKey(header) {
		return nil, badKey
	}
	return u.out, nil
}

func refusalOf(err error) *Refusal {
	switch {
	case errors.Is(err, ws.ErrHandshakeBadMethod):
		return badMethod
	case errors.Is(err, ws.ErrHandshakeUpgradeRequired):
		return badVersion
	case errors.Is(err, ws.ErrHandshakeBadSecKey):
		return badKey
	}
	var rejected *ws.ConnectionRejectedError
	if errors.As(err, &rejected) && rejected.StatusCode() != 0 {
		return &Refusal{Status: rejected.StatusCode(), Reason: BadRequest, Detail: rejected.Error()}
	}
	return malformed
}

// wellFormed checks what the Upgrader lets pass and no two programs read alike:
// line ends without a carriage return, field names that are no tokens, control
// characters in values, and a second Host (RFC 9112 §2.2, §3.2, §5; RFC 9110
// §5.5).
func wellFormed(header []byte) bool {
	if bytes.Count(header, endOfLine[1:]) != bytes.Count(header, endOfLine) {
		return false
	}
	_, lines, found := bytes.Cut(bytes.TrimSuffix(header, endOfHeader), endOfLine)
	if !found {
		return true // a request line alone
	}
	hosts := 0
	for line := range bytes.SplitSeq(lines, endOfLine) {
		name, value, _ := bytes.Cut(line, colon)
		if len(name) == 0 || bytes.IndexFunc(name, notInToken) >= 0 || bytes.IndexFunc(value, notInValue) >= 0 {
			return false
		}
		if bytes.EqualFold(name, hostName) {
			hosts++
		}
	}
	return hosts <= 1
}

// notInToken reports whether r may not be in a field's name (RFC 9110 §5.6.2).
func notInToken(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}

// notInValue reports whether r may not be in a field's value (RFC 9110 §5.5).
func notInValue(r rune) bool {
	return r < ' ' && r != '\t' || r == 0x7f
}

// soundKey checks what the Upgrader does not: that the key is there only once
// and is the base64 of 16 bytes (RFC 6455 §4.1, §4.2.1).
func soundKey(header []byte) bool {
	var key []byte
	for value := range fields(header, "Sec-WebSocket-Key") {
		if key != nil {
			return false
		}
		key = value
	}
	var decoded [18]byte
	if base64.StdEncoding.DecodedLen(len(key)) != len(decoded) {
		return false
	}
	n, err := base64.StdEncoding.Decode(decoded[:], key)
	return err == nil && n == 16
}

// asksForUpgrade tells a client of WebSocket from one of HTTP (RFC 6455 §4.2.1).
func asksForUpgrade(header []byte) bool {
	for value := range fields(header, "Upgrade") {
		for protocol := range bytes.SplitSeq(value, []byte{','}) {
			if bytes.EqualFold(bytes.TrimSpace(protocol), webSocket) {
				return true
			}
		}
	}
	return false
}

// HeaderValues yields the values of all fields of that name in a request's
// header, as Events.Opening gets it.
func HeaderValues(header []byte, name string) iter.Seq[[]byte] { return fields(header, name) }

// fields yields the values of all header fields of that name.
func fields(header []byte, name string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for line := range bytes.SplitSeq(header, endOfLine) {
			field, value, found := bytes.Cut(line, colon)
			if found && strings.EqualFold(string(field), name) && !yield(bytes.TrimSpace(value)) {
				return
			}
		}
	}
}

var _ poller.Flusher = (*Conn)(nil)
