package server

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// While memory is short, the messages of streams' clients have to be there in
// tightPostTime, and all that are on their way may take no more than tightPosts
// bytes.
const (
	tightPostTime = 2 * time.Second
	tightPosts    = 1 << 20
)

var errNoMemory = errors.New("no memory for the rest of the body")

// posts are the messages of streams' clients that are on their way. Any goroutine.
type posts struct {
	mu     sync.Mutex
	coming map[*visitor]int // bytes that have come; guarded by mu
	bytes  int              // of all of them; guarded by mu
	tight  bool             // memory is short; guarded by mu
}

// begin notes that a message of v begins to come. end follows.
func (p *posts) begin(v *visitor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.coming == nil {
		p.coming = make(map[*visitor]int)
	}
	p.coming[v] = 0
	if p.tight {
		v.hurry()
	}
}

// grow notes n more bytes of v's. It is false if they are too many.
func (p *posts) grow(v *visitor, n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.coming[v] += n
	p.bytes += n
	return !p.tight || p.bytes <= tightPosts
}

func (p *posts) end(v *visitor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes -= p.coming[v]
	delete(p.coming, v)
}

// setTight says whether memory is short.
func (p *posts) setTight(tight bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if tight && !p.tight {
		for v := range p.coming {
			v.hurry()
		}
	}
	p.tight = tight
}

// hurry ends the wait for the rest of v's request soon.
func (v *visitor) hurry() { _ = v.SetReadDeadline(time.Now().Add(tightPostTime)) }

// readPost reads the body of r, of limit bytes at most. errNoMemory says that memory
// has become short meanwhile.
func (s *Server) readPost(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	v := visitorOf(r)
	s.posts.begin(v)
	defer s.posts.end(v)
	body, err := io.ReadAll(&post{http.MaxBytesReader(w, r.Body, limit), v, &s.posts})
	if err != nil && s.tight.Load() {
		// Neither is the rest waited for.
		_ = v.SetReadDeadline(time.Now())
		return nil, errNoMemory
	}
	return body, err
}

// post is a body that is counted while it is read.
type post struct {
	io.Reader
	visitor *visitor
	posts   *posts
}

func (p *post) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if !p.posts.grow(p.visitor, n) {
		return 0, errNoMemory
	}
	return n, err
}
