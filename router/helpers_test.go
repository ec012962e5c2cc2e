package router_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sigver/protocol"
	"sigver/router"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// Answers to open and join.
const (
	keyOk    = `{"isKeyOk":true}`
	keyNotOk = `{"isKeyOk":false}`
)

// recorder is a Peer that keeps what it gets. It does what Peer asks for: it
// copies, the first Close wins, and nothing follows a Close. It dawdles where
// another goroutine could come first if the router let it.
type recorder struct {
	mu   sync.Mutex
	sent []string
	code protocol.CloseCode // 0 while open
}

func (r *recorder) Send(payload []byte) {
	for range rand.IntN(4) {
		runtime.Gosched()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.code == 0 {
		r.sent = append(r.sent, string(payload))
	}
}

// Post is for clusters.
func (r *recorder) Post(func()) { panic("not in a cluster") }

func (r *recorder) Close(code protocol.CloseCode, _ string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.code == 0 {
		r.code = code
	}
}

// messages returns what has been sent so far.
func (r *recorder) messages() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sent)
}

// closedWith returns the code of the first Close, or 0.
func (r *recorder) closedWith() protocol.CloseCode {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.code
}

// client is a connection as a server would have it: a session and its peer.
type client struct {
	router.Session
	recorder
	router  *router.Router
	t       testing.TB
	read    int // messages that take has returned
	scratch []byte
}

func newClient(t testing.TB, r *router.Router) *client {
	c := &client{router: r, t: t}
	r.Attach(&c.Session, &c.recorder)
	return c
}

// handle passes m to the session and closes the client for an error, as the
// server does. It returns the code of the error, or 0.
func (c *client) handle(m protocol.Message) protocol.CloseCode {
	scratch, err := c.router.Handle(&c.Session, &m, c.scratch)
	c.scratch = scratch
	if err == nil {
		return 0
	}
	var refusal *protocol.Error
	if !errors.As(err, &refusal) {
		c.t.Errorf("Handle returned %T, not a *protocol.Error", err)
		return 0
	}
	c.Close(refusal.Code, refusal.Detail)
	return refusal.Code
}

func (c *client) Gone() { c.router.Gone(&c.Session) }

// open opens key; without a token if that is empty.
func (c *client) open(key, token string) protocol.CloseCode {
	m := protocol.Message{Kind: protocol.Open, Key: []byte(key)}
	if token != "" {
		m.Token = []byte(token)
	}
	return c.handle(m)
}

func (c *client) join(key string) protocol.CloseCode {
	return c.handle(protocol.Message{Kind: protocol.Join, Key: []byte(key)})
}

func (c *client) joinWith(key, data string) protocol.CloseCode {
	return c.handle(protocol.Message{Kind: protocol.Join, Key: []byte(key), Data: []byte(data)})
}

func (c *client) toOpener(data string) protocol.CloseCode {
	return c.handle(protocol.Message{Kind: protocol.ToOpener, Data: []byte(data)})
}

func (c *client) toJoining(id uint32, data string) protocol.CloseCode {
	return c.handle(protocol.Message{Kind: protocol.ToJoining, ID: id, Data: []byte(data)})
}

// take returns the messages that came since the last take.
func (c *client) take() []string {
	all := c.messages()
	unread := all[c.read:]
	c.read = len(all)
	return unread
}

// wants requires that exactly these messages came since the last look.
func (c *client) wants(messages ...string) {
	c.t.Helper()
	if len(messages) == 0 {
		require.Empty(c.t, c.take())
		return
	}
	require.Equal(c.t, messages, c.take())
}

// wantsFrom requires one message, data from a Joining, and returns its id.
func (c *client) wantsFrom(data string) uint32 {
	c.t.Helper()
	got := c.take()
	require.Len(c.t, got, 1)
	id := idOf(c.t, got[0])
	require.Equal(c.t, dataFrom(id, data), got[0])
	return id
}

// wantsClose requires that the peer has been closed, with this code.
func (c *client) wantsClose(code protocol.CloseCode) {
	c.t.Helper()
	require.Equal(c.t, code, c.closedWith())
}

// wantsOpen requires that the peer has not been closed.
func (c *client) wantsOpen() {
	c.t.Helper()
	require.Zero(c.t, c.closedWith())
}

// idOf returns the id that a message to an Opener begins with.
func idOf(t testing.TB, message string) uint32 {
	t.Helper()
	var id uint32
	_, err := fmt.Sscanf(message, `{"id":%d,`, &id)
	require.NoError(t, err, message)
	return id
}

func dataFrom(id uint32, data string) string {
	return fmt.Sprintf(`{"id":%d,"data":%s}`, id, data)
}

func unavailable(id uint32) string {
	return fmt.Sprintf(`{"id":%d,"unavailable":"true"}`, id)
}

// house is a router and the clients of one test.
type house struct {
	*router.Router
	t testing.TB
}

// start returns a house with nobody in it.
func start(t testing.TB, maxJoinings int) *house {
	return &house{Router: router.New(4, maxJoinings), t: t}
}

// client returns a new unbound client. When the test ends it goes, between two
// looks at the invariants.
func (h *house) client() *client {
	c := newClient(h.t, h.Router)
	h.t.Cleanup(func() {
		require.NoError(h.t, h.Check())
		c.Gone()
		require.NoError(h.t, h.Check())
	})
	return c
}

// opener returns a client that has opened key.
func (h *house) opener(key, token string) *client {
	h.t.Helper()
	c := h.client()
	require.Zero(h.t, c.open(key, token))
	c.wants(keyOk)
	return c
}

// joining returns a client that has joined key, and its id at opener.
func (h *house) joining(key string, opener *client) (*client, uint32) {
	h.t.Helper()
	c := h.client()
	require.Zero(h.t, c.joinWith(key, `"hello"`))
	c.wants(keyOk)
	return c, opener.wantsFrom(`"hello"`)
}
