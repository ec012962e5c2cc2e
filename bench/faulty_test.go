//go:build linux

package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/stretchr/testify/require"
)

// faulty is a server that relays as it should, but for one fault that it makes
// once. The zero value makes none.
type faulty struct {
	fault string
	after int // relayed messages, or events of the fault's kind, before it is made

	of       string        // swap: "joining" if only what goes to one
	late     time.Duration // how late a delayed message is, if longer than usual
	farewell time.Duration // for every close, one after the other; no fault
	slow     time.Duration // before every message is obeyed; no fault
	met      chan struct{} // count, which is no fault: closed after so many messages
	onGone   func(n int)   // called when the n-th client has left; nil: nothing

	gate    sync.RWMutex // held while the whole server stands still
	door    sync.Mutex   // of those that leave slowly
	mu      sync.Mutex
	openers map[string]*client
	events  int
	made    int                // faults
	held    map[*client][]byte // a message that was overtaken
	others  []*client          // joinings, to misdeliver to
	left    int                // clients
}

// client is a connection to it.
type client struct {
	conn     net.Conn
	mu       sync.Mutex // of writing
	key      string     // as Opener
	opener   *client    // as Joining
	id       int
	joinings map[int]*client
}

// slowCloser lets one client leave after the other.
type slowCloser struct {
	net.Conn
	f *faulty
}

func (c *slowCloser) Write(p []byte) (int, error) {
	if p[0] == 0x80|byte(ws.OpClose) {
		c.f.door.Lock()
		time.Sleep(c.f.farewell)
		c.f.door.Unlock()
	}
	return c.Conn.Write(p)
}

type order struct {
	Open *string         `json:"open"`
	Join *string         `json:"join"`
	ID   int             `json:"id"`
	Data json.RawMessage `json:"data"`
}

// serve starts it and returns its URL.
func (f *faulty) serve(t *testing.T, secure bool) string {
	t.Helper()
	f.openers = make(map[string]*client)
	f.held = make(map[*client][]byte)
	server := httptest.NewUnstartedServer(f)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	scheme := "ws"
	if secure {
		scheme = "wss"
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	_, address, _ := strings.Cut(server.URL, "://")
	return scheme + "://" + address
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.now("handshake") {
		http.Error(w, "full", http.StatusServiceUnavailable)
		return
	}
	conn, _, _, err := ws.UpgradeHTTP(r, w)
	if err != nil {
		return
	}
	if f.farewell > 0 {
		conn = &slowCloser{conn, f}
	}
	c := &client{conn: conn, joinings: make(map[int]*client)}
	defer conn.Close()
	for {
		text, err := wsutil.ReadClientText(conn)
		if err != nil {
			var closed wsutil.ClosedError // and wsutil has answered it
			f.gone(c, errors.As(err, &closed))
			return
		}
		var o order
		if err := json.Unmarshal(text, &o); err != nil {
			return
		}
		f.stall()
		time.Sleep(f.slow)
		if !f.obey(c, &o) {
			return
		}
	}
}

// stall lets everybody wait, if that is due.
func (f *faulty) stall() {
	if f.now("stall") {
		f.gate.Lock()
		time.Sleep(delay)
		f.gate.Unlock()
	}
	f.gate.RLock()
	defer f.gate.RUnlock()
}

// now says whether the fault of that kind is due.
func (f *faulty) now(kind string) bool {
	if f.fault != kind {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.nowLocked(kind)
}

func (f *faulty) nowLocked(kind string) bool {
	if f.fault != kind {
		return false
	}
	if f.events++; f.made > 0 || f.events <= f.after {
		return false
	}
	f.made++
	return true
}

func (c *client) write(text []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = wsutil.WriteServerText(c.conn, text)
}

func (f *faulty) obey(c *client, o *order) bool {
	switch {
	case o.Open != nil:
		f.answer(c, f.open(c, *o.Open))
	case o.Join != nil:
		f.mu.Lock()
		c.opener = f.openers[*o.Join]
		if c.opener != nil {
			n, _ := rand.Int(rand.Reader, big.NewInt(1<<30))
			c.id = 1 + int(n.Int64())
			c.opener.joinings[c.id] = c
			f.others = append(f.others, c)
		}
		f.mu.Unlock()
		f.answer(c, c.opener != nil)
	case c.opener != nil:
		return f.relay(c.opener, func(data []byte) []byte {
			id := c.id
			if f.now("alias") {
				id++
			}
			return fmt.Appendf(nil, `{"id":%d,"data":%s}`, id, data)
		}, o.Data)
	default:
		f.mu.Lock()
		to := c.joinings[o.ID]
		f.mu.Unlock()
		if to == nil {
			c.write(fmt.Appendf(nil, `{"id":%d,"unavailable":"true"}`, o.ID))
			return true
		}
		return f.relay(to, func(data []byte) []byte {
			switch {
			case f.now("id"):
				return fmt.Appendf(nil, `{"id":%d,"data":%s}`, o.ID, data)
			case f.now("member"):
				return fmt.Appendf(nil, `{"time":"noon","data":%s}`, data)
			}
			return fmt.Appendf(nil, `{"data":%s}`, data)
		}, o.Data)
	}
	return true
}

// answer says whether open or join has worked.
func (f *faulty) answer(c *client, ok bool) {
	text := fmt.Appendf(nil, `{"isKeyOk":%v}`, ok)
	c.write(text)
	if f.now("answer") || c.opener != nil && f.now("answer a join") {
		c.write(text)
	}
}

func (f *faulty) open(c *client, key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.openers[key] != nil || f.nowLocked("refuse") {
		return false
	}
	f.openers[key] = c
	c.key = key
	return true
}

// relay writes a message, or makes the fault with it. It returns false if the
// sender's connection shall break.
func (f *faulty) relay(to *client, message func([]byte) []byte, data []byte) bool {
	f.mu.Lock()
	overtaken := f.held[to]
	delete(f.held, to)
	due := false
	switch f.fault {
	case "count":
		if f.nowLocked("count") {
			close(f.met)
		}
	case "drop", "double", "delay", "corrupt", "break", "binary":
		due = f.nowLocked(f.fault)
	case "swap":
		if due = (f.of == "" || to.opener != nil) && f.nowLocked("swap"); due {
			f.held[to] = message(data)
		}
	case "misdeliver":
		if to.opener != nil { // to a Joining, and there is another
			for _, other := range f.others {
				if other != to && other.opener != to.opener {
					if due = f.nowLocked("misdeliver"); due {
						to = other
					}
					break
				}
			}
		}
	}
	fault := f.fault
	f.mu.Unlock()

	switch {
	case due && (fault == "drop" || fault == "swap"):
		return true
	case due && fault == "double":
		to.write(message(data))
	case due && fault == "delay":
		time.Sleep(max(delay, f.late))
	case due && fault == "corrupt":
		data[len(data)-10] ^= 1
	case due && fault == "binary":
		_ = wsutil.WriteServerBinary(to.conn, data)
	case due && fault == "break":
		return false
	}
	to.write(message(data))
	if overtaken != nil {
		to.write(overtaken)
	}
	return true
}

// delay is how late a delayed message is.
const delay = 300 * time.Millisecond

func (f *faulty) gone(c *client, clean bool) {
	f.mu.Lock()
	if c.key != "" && !f.nowLocked("keep") {
		delete(f.openers, c.key)
	}
	opener := c.opener
	if opener != nil {
		delete(opener.joinings, c.id)
	}
	f.left++
	left := f.left
	silent := opener != nil && f.nowLocked("silent")
	f.mu.Unlock()
	if f.onGone != nil {
		f.onGone(left)
	}
	if opener != nil && !silent {
		word := `"true"`
		if f.now("word") {
			word = "true"
		}
		opener.write(fmt.Appendf(nil, `{"id":%d,"unavailable":%s}`, c.id, word))
	}
}

// TestFaultsAreFound runs the harness against servers that make one fault each.
func TestFaultsAreFound(t *testing.T) {
	relay := []string{"--scenarios", "relay", "--relay-pairs", "5", "--depth", "4", "--size", "100"}
	sessions := []string{"--scenarios", "sessions", "--pairs", "30"}
	waiting := append(slices.Clone(sessions), "--timeout", "5s") // which one of them will do in vain
	churn := []string{"--scenarios", "churn", "--pairs", "100"}
	hotkey := []string{"--scenarios", "hotkey", "--hot", "10", "--depth", "4"}
	// 64 clients warm the server, twice.
	idle := []string{"--scenarios", "idle", "--pairs", "50"}
	cases := []struct {
		name   string
		load   []string
		fault  *faulty // nil: none
		errors map[string]int64
		says   []string // in the notes
	}{
		{name: "relay, no fault", load: relay},
		{
			name:   "relay, a message is dropped",
			load:   relay,
			fault:  &faulty{fault: "drop", after: 40},
			errors: map[string]int64{"lost": 1},
		},
		{
			name:   "relay, a message is doubled",
			load:   relay,
			fault:  &faulty{fault: "double", after: 40},
			errors: map[string]int64{"doubled": 1},
		},
		{
			name:   "relay, two messages change places",
			load:   relay,
			fault:  &faulty{fault: "swap", after: 40},
			errors: map[string]int64{"reordered": 1},
			says:   []string{"came after message"},
		},
		{
			name:   "relay, a message is changed",
			load:   relay,
			fault:  &faulty{fault: "corrupt", after: 40},
			errors: map[string]int64{"corrupted": 1},
		},
		{
			name:   "relay, an id comes to a Joining",
			load:   relay,
			fault:  &faulty{fault: "id", after: 40},
			errors: map[string]int64{"protocol": 1},
			says:   []string{"an id in a message to a Joining"},
		},
		{
			name:   "relay, a member that nobody knows",
			load:   relay,
			fault:  &faulty{fault: "member", after: 40},
			errors: map[string]int64{"protocol": 1},
			says:   []string{"a member that the protocol does not have"},
		},
		{
			name:   "relay, unavailable in another word",
			load:   relay,
			fault:  &faulty{fault: "word"},
			errors: map[string]int64{"protocol": 1},
			says:   []string{"unavailable is not"},
		},
		{
			name:   "relay, an Opener is answered twice",
			load:   relay,
			fault:  &faulty{fault: "answer"},
			errors: map[string]int64{"protocol": 1},
			says:   []string{"isKeyOk true, at a relay"},
		},
		{
			name:   "relay, a Joining is answered twice",
			load:   relay,
			fault:  &faulty{fault: "answer a join"},
			errors: map[string]int64{"protocol": 1},
			says:   []string{"isKeyOk true, at a relay"},
		},
		{name: "sessions, no fault", load: sessions},
		{
			name:   "sessions, a message is dropped",
			load:   waiting,
			fault:  &faulty{fault: "drop", after: 40},
			errors: map[string]int64{"lost": 1, "timeout": 1},
			says:   []string{"the exchange of offer, answer and candidates took more than 5s"},
		},
		{
			name:   "sessions, a message is doubled",
			load:   sessions,
			fault:  &faulty{fault: "double", after: 40},
			errors: map[string]int64{"doubled": 1},
		},
		{
			name:   "sessions, two messages change places",
			load:   sessions,
			fault:  &faulty{fault: "swap", after: 2},
			errors: map[string]int64{"reordered": 1},
		},
		{
			name:   "sessions, a message is changed",
			load:   waiting,
			fault:  &faulty{fault: "corrupt", after: 40},
			errors: map[string]int64{"corrupted": 1, "timeout": 1},
		},
		{
			name:   "sessions, an Opener is not told that its Joining has left",
			load:   waiting,
			fault:  &faulty{fault: "silent", after: 7},
			errors: map[string]int64{"timeout": 1},
			says:   []string{"the news that the Joining has left"},
		},
		{
			name:   "sessions, a message comes to another Joining",
			load:   waiting,
			fault:  &faulty{fault: "misdeliver", after: 40},
			errors: map[string]int64{"misdelivered": 1, "timeout": 1},
			says:   []string{"came to pair"},
		},
		{
			name:   "sessions, a Joining is answered twice",
			load:   sessions,
			fault:  &faulty{fault: "answer a join", after: 7},
			errors: map[string]int64{"protocol": 1},
		},
		{name: "hot key, no fault", load: hotkey},
		{
			name:   "hot key, a message is dropped",
			load:   hotkey,
			fault:  &faulty{fault: "drop", after: 40},
			errors: map[string]int64{"lost": 1},
		},
		{
			name:   "hot key, a message is doubled",
			load:   hotkey,
			fault:  &faulty{fault: "double", after: 40},
			errors: map[string]int64{"doubled": 1},
		},
		{
			name:   "hot key, two messages change places",
			load:   append(hotkey, "--size", "100"),
			fault:  &faulty{fault: "swap", after: 40, of: "joining"},
			errors: map[string]int64{"reordered": 1},
		},
		{
			name:   "hot key, a Joining has the id of another",
			load:   hotkey,
			fault:  &faulty{fault: "alias", after: 100},
			errors: map[string]int64{"misdelivered": 1},
			says:   []string{"had the id"},
		},
		{
			name:   "hot key, a Joining is answered twice",
			load:   hotkey,
			fault:  &faulty{fault: "answer a join"},
			errors: map[string]int64{"protocol": 1},
		},
		{name: "idle, no fault", load: idle},
		{
			name:   "idle, a key is refused",
			load:   idle,
			fault:  &faulty{fault: "refuse", after: 140},
			errors: map[string]int64{"key refused": 1},
		},
		{
			name:   "idle, an Opener is answered twice",
			load:   idle,
			fault:  &faulty{fault: "answer", after: 140},
			errors: map[string]int64{"protocol": 1},
			says:   []string{"isKeyOk true, at an idle Opener"},
		},
		{
			name:   "idle, a handshake is refused",
			load:   idle,
			fault:  &faulty{fault: "handshake", after: 140},
			errors: map[string]int64{"handshake": 1},
		},
		{
			name: "churn, no fault",
			load: churn,
		},
		{
			name:   "churn, a key is refused",
			load:   churn,
			fault:  &faulty{fault: "refuse", after: 20},
			errors: map[string]int64{"key refused": 1},
		},
		{
			name:   "churn, a handshake is refused",
			load:   churn,
			fault:  &faulty{fault: "handshake", after: 20},
			errors: map[string]int64{"handshake": 1},
			says:   []string{"HTTP/1.1 503"},
		},
		{
			name:   "churn, a key stays taken",
			load:   churn,
			fault:  &faulty{fault: "keep", after: 20},
			errors: map[string]int64{"left behind": 1},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.fault == nil {
				c.fault = new(faulty)
			}
			s := measured(t, c.fault.serve(t, false), c.load...)
			require.Equal(t, c.errors, s.Errors, "%v", s.Notes)
			for _, text := range c.says {
				require.Contains(t, strings.Join(s.Notes, "\n"), text)
			}
			require.Positive(t, s.Operations)
			require.Empty(t, s.Invalid)
		})
	}
}

// How much is lost besides is chance: what is on its way when a connection ends,
// and a message that comes to another driver before that one has begun to count.
func TestFaultsThatLoseMoreAreFound(t *testing.T) {
	for fault, kind := range map[string]string{"break": "closed", "binary": "protocol", "misdeliver": "misdelivered"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			server := faulty{fault: fault, after: 40}
			s := measured(t, server.serve(t, false), "--scenarios", "relay", "--relay-pairs", "5", "--depth", "4")
			require.EqualValues(t, 1, s.Errors[kind], "%v", s.Errors)
			delete(s.Errors, kind)
			delete(s.Errors, "lost")
			require.Empty(t, s.Errors)
			require.Positive(t, s.Operations)
		})
	}
}

// A session that waits longer than it may is over. What it sent meanwhile arrives
// nowhere.
func TestADelayBeyondTheTimeoutIsNamed(t *testing.T) {
	t.Parallel()
	server := faulty{fault: "delay", after: 40, late: 12 * time.Second}
	s := measured(t, server.serve(t, false), "--scenarios", "sessions", "--pairs", "30", "--timeout", "5s")
	require.EqualValues(t, 1, s.Errors["timeout"], "%v", s.Errors)
	require.Contains(t, strings.Join(s.Notes, "\n"), "the exchange of offer, answer and candidates took more than 5s")
	delete(s.Errors, "timeout")
	delete(s.Errors, "lost")
	require.Empty(t, s.Errors)
	require.EqualValues(t, 29, s.Operations)
}

// A server that needs longer for all to leave than one may take makes no error.
func TestManyMayLeaveSlowly(t *testing.T) {
	for name, load := range map[string][]string{
		"idle":   {"--scenarios", "idle", "--pairs", "230"},
		"relay":  {"--scenarios", "relay", "--relay-pairs", "120", "--pairs", "120"},
		"hotkey": {"--scenarios", "hotkey", "--hot", "230", "--pairs", "230"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := faulty{farewell: 20 * time.Millisecond}
			s := measured(t, server.serve(t, false), append(load, "--timeout", "4s")...)
			require.Empty(t, s.Errors, "%v", s.Notes)
		})
	}
}
