package server

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"sigver/conn"
	"sigver/protocol"
)

// A client of Server-Sent Events has two ways: a stream, which a GET opens and
// an event loop serves like any other connection, and a POST for each message of
// its own, which goes to that loop. What joins them is the token that is the
// first event of the stream.

// token is the right to send for a stream: 128 random bits.
type token [16]byte

var tokenText = base64.RawURLEncoding

// parseToken reads a token as the client was told it.
func parseToken(text string) (t token, ok bool) {
	if len(text) != tokenText.EncodedLen(len(t)) {
		return t, false
	}
	n, err := tokenText.Strict().Decode(t[:], []byte(text))
	return t, err == nil && n == len(t) // ends of lines would be passed over
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
	address, refusal := s.admitStream(r)
	if refusal != nil {
		w.Header().Set("Retry-After", strconv.Itoa(refusal.RetryAfter))
		http.Error(w, refusal.Detail, refusal.Status)
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
	s.router.Attach(&st.Session, &st.Conn)
	head = protocol.AppendAuthEvent(head, tokenText.EncodeToString(st.token[:]))
	s.streams.add(st)
	v.becomeSocket(w, &st.client)
	if err := w.clients.ServeStream(&st.Conn, v.Visitor, head, st); err != nil {
		s.streams.remove(st)
		s.admitted.Add(-1)
		w.leaveAddress(&st.client)
		w.notServed(err)
	}
}

// postMessage takes one message of a stream's client, TOKEN@JSON.
func (s *Server) postMessage(w http.ResponseWriter, r *http.Request) {
	var t token
	limit := int64(tokenText.EncodedLen(len(t)) + len("@") + s.limits.Message)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, "the message is over the size limit", http.StatusRequestEntityTooLarge)
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
	t, ok := parseToken(name)
	if st := s.streams.find(t); !ok || st == nil || !s.deliver(st, []byte(message)) {
		http.Error(w, "no stream has this token (any more)", http.StatusUnauthorized)
	}
}

// deliver waits until the loop of st has dealt with a message of its client. It
// is false if there is no stream any more.
func (s *Server) deliver(st *stream, message []byte) bool {
	done := make(chan bool, 1)
	st.home.loop.Post(func() { done <- st.Deliver(message) })
	select {
	case ok := <-done:
		return ok
	case <-s.ended:
		return false
	}
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
