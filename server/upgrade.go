package server

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
)

// A proxy may keep a connection for many clients and ask for a WebSocket after
// other requests. Then the connection goes back to an event loop, which answers
// as it would have at first.

// asksForWebSocket reports whether r is the request of RFC 6455 §4.1.
func asksForWebSocket(r *http.Request) bool {
	for _, field := range r.Header.Values("Upgrade") {
		for protocol := range strings.SplitSeq(field, ",") {
			if strings.EqualFold(strings.TrimSpace(protocol), "websocket") {
				return true
			}
		}
	}
	return false
}

func (s *Server) getWebSocket(w http.ResponseWriter, r *http.Request) {
	v, early, err := hijack(w)
	if err != nil {
		http.Error(w, "a WebSocket needs HTTP/1.1", http.StatusHTTPVersionNotSupported)
		return
	}
	var request bytes.Buffer
	fmt.Fprintf(&request, "%s %s %s\r\nHost: %s\r\n", r.Method, r.RequestURI, r.Proto, r.Host)
	_ = r.Header.Write(&request) // to memory
	request.WriteString("\r\n")
	request.Write(early)
	worker := s.anyWorker()
	worker.loop.Post(func() { worker.serveVisitor(v, request.Bytes()) })
}

// hijack takes the connection from the HTTP server, with what it has read.
func hijack(w http.ResponseWriter) (v *visitor, early []byte, err error) {
	hijacked, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	early, _ = buffered.Reader.Peek(buffered.Reader.Buffered())
	return hijacked.(*visitor), early, nil
}

// anyWorker takes turns among the workers.
func (s *Server) anyWorker() *worker {
	return s.workers[s.nextLoop.Add(1)%uint64(len(s.workers))]
}

func (w *worker) serveVisitor(v *visitor, request []byte) {
	c := new(client)
	v.becomeSocket(w, c)
	if err := w.clients.ServeVisitor(&c.Conn, v.Visitor, request); err != nil {
		w.leaveAddress(c)
		w.notServed(err)
		return
	}
	if w.server.leaving.Load() {
		c.GoAway() // the others may have been told already
	}
}
