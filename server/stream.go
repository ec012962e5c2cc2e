package server

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"sigver/conn"
	"sigver/protocol"
	"sigver/router"
)

// A client of Server-Sent Events has two ways: a stream, which a GET opens and
// an event loop serves like any other connection, and a POST for each message of
// its own, which goes to that loop. What joins them is the token that is the
// first event of the stream.

// token is the right to send for a stream: 128 random bits.
type token [16]byte

var tokenText = base64.RawURLEncoding

// A client's text of its token ends, in a cluster, with the node of its stream,
// since a balancer may bring a POST to another one.
const nodeLen = 8

// tokenTextFor is what the client of a stream at node is told; node is 0 without a
// cluster.
func tokenTextFor(t token, node uint64) string {
	if node == 0 {
		return tokenText.EncodeToString(t[:])
	}
	return tokenText.EncodeToString(binary.BigEndian.AppendUint64(t[:], node))
}

// parseToken reads a token as the client was told it.
func parseToken(text string) (t token, node uint64, ok bool) {
	var all [len(t) + nodeLen]byte
	if len(text) != tokenText.EncodedLen(len(t)) && len(text) != tokenText.EncodedLen(len(all)) {
		return t, 0, false
	}
	n, err := tokenText.Strict().Decode(all[:], []byte(text))
	if err != nil || n != tokenText.DecodedLen(len(text)) { // ends of lines would be passed over
		return t, 0, false
	}
	copy(t[:], all[:])
	return t, binary.BigEndian.Uint64(all[len(t):]), true
}

// stream is a client that has its messages by Server-Sent Events.
type stream struct {
	client

	// Immutable, and there before anybody finds the stream.
	token token
	home  *worker
}

// streams finds them by their tokens.
type streams struct {
	mu      sync.Mutex
	byToken map[token]*stream // guarded by mu
}

func (all *streams) add(st *stream) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.byToken == nil {
		all.byToken = make(map[token]*stream)
	}
	all.byToken[st.token] = st
}

func (all *streams) remove(st *stream) {
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.byToken, st.token)
}

func (all *streams) size() int {
	all.mu.Lock()
	defer all.mu.Unlock()
	return len(all.byToken)
}

func (all *streams) find(t token) *stream {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.byToken[t]
}

// Leaving takes the stream out of the key table, and its token's right away.
func (st *stream) Leaving(code protocol.CloseCode) {
	st.worker().server.streams.remove(st)
	st.client.Leaving(code)
}

// streamHead is the header of the answer that a stream is (HTML Living Standard
// §9.2.4). It has no length and no chunks: it ends with the connection.
const streamHead = "HTTP/1.1 200 OK\r\n" +
	"Content-Type: text/event-stream; charset=utf-8\r\n" +
	"Cache-Control: no-cache\r\n" +
	"X-Accel-Buffering: no\r\n" +
	"X-Content-Type-Options: nosniff\r\n" +
	"Connection: close\r\n"

// getStream opens a stream: the connection goes back to an event loop.
func (s *Server) getStream(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		w.Header().Set("Cache-Control", "no-cache")
		return
	}
	if s.leaving.Load() {
		s.refuse(w, serverStopping)
		return
	}
	address, refusal := s.admitStream(r)
	if refusal != nil {
		s.refuse(w, refusal)
		return
	}
	v, _, err := hijack(w)
	if err != nil {
		s.admitted.Add(-1)
		s.leaveAddress(address)
		http.Error(w, "a stream needs HTTP/1.1", http.StatusHTTPVersionNotSupported)
		return
	}
	if address != nil {
		v.address = address
	}
	head := []byte(streamHead)
	for _, name := range []string{"Access-Control-Allow-Origin", "Vary"} {
		for _, value := range w.Header()[name] {
			head = fmt.Appendf(head, "%s: %s\r\n", name, value)
		}
	}
	worker := s.anyWorker()
	worker.loop.Post(func() { worker.serveStream(v, append(head, "\r\n"...)) })
}

// serveStream makes v, whose client is admitted, a stream. Loop only.
func (w *worker) serveStream(v *visitor, head []byte) {
	s := w.server
	st := &stream{home: w}
	_, _ = rand.Read(st.token[:]) // never fails
	s.attach(&st.client)
	head = protocol.AppendAuthEvent(head, tokenTextFor(st.token, s.node()))
	s.streams.add(st)
	v.becomeSocket(w, &st.client)
	if err := w.clients.ServeStream(&st.Conn, v.Visitor, head); err != nil {
		s.streams.remove(st)
		s.admitted.Add(-1)
		w.leaveAddress(&st.client)
		w.notServed(err)
		return
	}
	if s.leaving.Load() {
		st.GoAway() // the others may have been told already
	}
}

// postMessage takes one message of a stream's client, TOKEN@JSON.
func (s *Server) postMessage(w http.ResponseWriter, r *http.Request) {
	var t token
	limit := int64(tokenText.EncodedLen(len(t)+nodeLen) + len("@") + s.limits.Message)
	body, err := s.readPost(w, r, limit)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, errNoMemory):
		w.Header().Set("Connection", "close")
		s.refuse(w, outOfMemory)
		return
	case errors.As(err, &tooLarge):
		tooLong(w)
		return
	case err != nil:
		http.Error(w, "the body did not arrive", http.StatusBadRequest)
		return
	}
	name, message, found := strings.Cut(string(body), "@")
	if !found {
		http.Error(w, "a message is TOKEN@JSON, with the token of the stream's auth event", http.StatusBadRequest)
		return
	}
	t, node, ok := parseToken(name)
	if !ok {
		node = s.node() // where no stream has it either
	}
	if len(message) > s.limits.Message { // the token was a short one
		tooLong(w)
		return
	}
	switch err := s.deliver(t, node, []byte(message)); {
	case errors.Is(err, errTooLong):
		tooLong(w)
	case errors.Is(err, router.ErrDown):
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the node of the stream does not answer", http.StatusServiceUnavailable)
	case err != nil:
		http.Error(w, "no stream has this token (any more)", http.StatusUnauthorized)
	}
}

var errTooLong = errors.New("over the size limit")

func tooLong(w http.ResponseWriter) {
	http.Error(w, "the message is over the size limit", http.StatusRequestEntityTooLarge)
}

// deliver waits until the loop of t's stream has dealt with a message of its
// client, at this node or another. router.ErrNobody says that there is no stream
// any more.
func (s *Server) deliver(t token, node uint64, message []byte) error {
	done := make(chan error, 1)
	if node == s.node() {
		s.deliverHere(t, message, func(err error) { done <- err })
	} else {
		s.router.Ask(node, append(t[:], message...), func(answer []byte, err error) {
			switch {
			case err != nil:
			case string(answer) == saysTooLong:
				err = errTooLong
			case string(answer) != saysDelivered:
				err = router.ErrNobody
			}
			done <- err
		})
	}
	select {
	case err := <-done:
		return err
	case <-s.ended:
		return router.ErrNobody
	}
}

// What a node says of a message that it was asked to deliver; nothing if it cannot.
const (
	saysDelivered = "delivered"
	saysTooLong   = "too long"
)

// deliverFrom does what deliver asks of another node, whose limits may be others.
func (s *Server) deliverFrom(text []byte, reply func([]byte)) {
	var t token
	message := text[copy(t[:], text):]
	if len(message) > s.limits.Message {
		reply([]byte(saysTooLong))
		return
	}
	s.deliverHere(t, message, func(err error) {
		if err != nil {
			reply(nil)
			return
		}
		reply([]byte(saysDelivered))
	})
}

func (s *Server) deliverHere(t token, message []byte, done func(error)) {
	st := s.streams.find(t)
	if st == nil {
		done(router.ErrNobody)
		return
	}
	st.home.loop.Post(func() {
		if st.Deliver(message) {
			done(nil)
		} else {
			done(router.ErrNobody)
		}
	})
}

// node is this server's name in a cluster, or 0.
func (s *Server) node() uint64 {
	if s.engine == nil {
		return 0
	}
	return s.engine.Node()
}

// preflight lets pages of other origins send what they like (Fetch Standard
// §3.2).
func preflight(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Access-Control-Allow-Methods", "GET, POST")
	header.Set("Access-Control-Allow-Headers", "Content-Type, Cache-Control, Last-Event-ID")
	header.Set("Access-Control-Max-Age", "86400")
	header.Set("Allow", "GET, HEAD, POST, OPTIONS")
	w.WriteHeader(http.StatusNoContent)
}

var _ conn.Events = (*stream)(nil)
