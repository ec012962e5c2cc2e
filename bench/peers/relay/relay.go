// Package relay pairs Openers with Joinings by key and relays between them,
// for every WebSocket library beside it alike. It is the protocol as somebody
// would write it with encoding/json: exact in what it answers, lenient where
// encoding/json is (the case of member names, repeated members).
package relay

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"sync"
	"unicode/utf8"
)

// Close codes of the protocol.
const (
	MessageError            = 4000
	KeyError                = 4001
	KeyExists               = 4010
	KeyUnknown              = 4011
	AlreadyBound            = 4013
	OpenerNoLongerAvailable = 4020
	TransmitBeforeOpen      = 4022
	TransmitBeforeJoin      = 4023
)

// MaxMessage is the size in bytes that a server lets a message have.
const MaxMessage = 64 << 10

const maxKey = 512 // characters

var (
	keyOk    = []byte(`{"isKeyOk":true}`)
	keyNotOk = []byte(`{"isKeyOk":false}`)
)

// A Conn is one client's connection. Both methods may be called by several
// goroutines at once, and neither calls the Session back before it returns.
type Conn interface {
	// Send writes one text message. It neither changes text nor keeps it.
	Send(text []byte) error
	// Close starts the closing handshake and does not wait for its end.
	Close(code int, reason string)
}

// Relay is the table of keys. Its mutex is never held over a Send. What a Send
// returns is not looked at: a connection that cannot be written to ends, and
// its Gone tells those who need to know.
type Relay struct {
	mu      sync.Mutex
	openers map[string]*opener
}

// New returns a Relay without keys.
func New() *Relay {
	return &Relay{openers: make(map[string]*opener)}
}

type opener struct {
	key  string
	conn Conn

	mu       sync.Mutex
	gone     bool
	joinings map[int32]Conn
}

type role uint8

const (
	unbound role = iota
	asOpener
	asJoining
	ended
)

// Session is one connection's place in the Relay. Handle and Gone belong to
// its connection: no two calls at the same time.
type Session struct {
	relay  *Relay
	conn   Conn
	role   role
	id     int32   // of a Joining
	opener *opener // itself, or the one it joined
}

// Attach returns the Session of a new connection.
func (r *Relay) Attach(conn Conn) *Session {
	return &Session{relay: r, conn: conn}
}

// Handle takes one text message of the client. It does not keep text.
func (s *Session) Handle(text []byte) {
	if s.role == ended {
		return
	}
	b := buffers.Get().(*buffer)
	defer buffers.Put(b)
	if err := b.parse(text); err != nil {
		s.refuse(MessageError, "MESSAGE_ERROR: not a JSON object of the protocol")
		return
	}
	switch {
	case len(b.Open) > 0 && len(b.Key) == 0 && len(b.Join) == 0:
		s.open(b.Open)
	case len(b.Key) > 0 && len(b.Open) == 0 && len(b.Join) == 0:
		s.open(b.Key)
	case len(b.Join) > 0 && len(b.Open) == 0 && len(b.Key) == 0:
		s.join(b)
	case len(b.Data) == 0 || len(b.Open) > 0:
		s.refuse(MessageError, "MESSAGE_ERROR: no known message")
	case b.ID != "":
		s.toJoining(b)
	default:
		s.toOpener(b)
	}
}

// Gone ends the session: an Opener's key becomes free and its Joinings are
// closed, a Joining's Opener is told. Safe to repeat.
func (s *Session) Gone() {
	was := s.role
	s.role = ended
	switch was {
	case asOpener:
		s.openerGone()
	case asJoining:
		s.joiningGone()
	}
}

func (s *Session) refuse(code int, reason string) {
	s.conn.Close(code, reason)
	s.Gone()
}

func (s *Session) open(raw []byte) {
	if s.role != unbound {
		s.refuse(AlreadyBound, "ALREADY_BOUND: the connection has opened or joined a key")
		return
	}
	key, ok := parseKey(raw)
	if !ok {
		s.refuse(KeyError, "KEY_ERROR: not a string of 1 to 512 characters")
		return
	}
	// Whoever joins waits for o.mu, so that the answer comes first.
	o := &opener{key: key, conn: s.conn}
	o.mu.Lock()
	s.relay.mu.Lock()
	taken := s.relay.openers[key] != nil
	if !taken {
		s.relay.openers[key] = o
	}
	s.relay.mu.Unlock()
	if taken {
		s.conn.Send(keyNotOk)
		s.refuse(KeyExists, "KEY_EXISTS: the key has an Opener")
		return
	}
	s.role, s.opener = asOpener, o
	s.conn.Send(keyOk)
	o.mu.Unlock()
}

func (s *Session) join(b *buffer) {
	if s.role != unbound {
		s.refuse(AlreadyBound, "ALREADY_BOUND: the connection has opened or joined a key")
		return
	}
	key, ok := parseKey(b.Join)
	if !ok {
		s.refuse(KeyError, "KEY_ERROR: not a string of 1 to 512 characters")
		return
	}
	s.relay.mu.Lock()
	o := s.relay.openers[key]
	s.relay.mu.Unlock()
	if o != nil {
		s.id = o.add(s.conn)
	}
	if s.id == 0 {
		s.conn.Send(keyNotOk)
		s.refuse(KeyUnknown, "KEY_UNKNOWN: nobody opened the key")
		return
	}
	s.role, s.opener = asJoining, o
	s.conn.Send(keyOk)
	if len(b.Data) > 0 {
		o.conn.Send(b.fromJoining(s.id))
	}
}

// add returns the id of the new Joining, or 0 when the Opener is gone.
func (o *opener) add(joining Conn) int32 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gone {
		return 0
	}
	if o.joinings == nil {
		o.joinings = make(map[int32]Conn)
	}
	for {
		id := rand.Int32() // from 0 to 2^31-1
		if id != 0 && o.joinings[id] == nil {
			o.joinings[id] = joining
			return id
		}
	}
}

func (s *Session) toOpener(b *buffer) {
	if s.role != asJoining {
		s.refuse(TransmitBeforeJoin, "TRANSMIT_BEFORE_JOIN: the connection is no Joining")
		return
	}
	s.opener.conn.Send(b.fromJoining(s.id))
}

func (s *Session) toJoining(b *buffer) {
	if s.role != asOpener {
		s.refuse(TransmitBeforeOpen, "TRANSMIT_BEFORE_OPEN: the connection is no Opener")
		return
	}
	n, err := strconv.ParseInt(b.ID.String(), 10, 32)
	if err != nil {
		s.refuse(MessageError, "MESSAGE_ERROR: id is no whole number below 2^31")
		return
	}
	id := int32(n)
	o := s.opener
	o.mu.Lock()
	joining := o.joinings[id]
	o.mu.Unlock()
	if joining == nil {
		s.conn.Send(b.unavailable(id))
		return
	}
	joining.Send(b.fromOpener())
}

func (s *Session) openerGone() {
	o := s.opener
	s.relay.mu.Lock()
	delete(s.relay.openers, o.key)
	s.relay.mu.Unlock()

	o.mu.Lock()
	o.gone = true
	joinings := o.joinings
	o.joinings = nil
	o.mu.Unlock()
	for _, joining := range joinings {
		joining.Close(OpenerNoLongerAvailable, "OPENER_NO_LONGER_AVAILABLE: the Opener is gone")
	}
}

func (s *Session) joiningGone() {
	o := s.opener
	o.mu.Lock()
	delete(o.joinings, s.id)
	gone := o.gone
	o.mu.Unlock()
	if gone {
		return
	}
	b := buffers.Get().(*buffer)
	defer buffers.Put(b)
	o.conn.Send(b.unavailable(s.id))
}

func parseKey(raw []byte) (key string, ok bool) {
	if err := json.Unmarshal(raw, &key); err != nil {
		return "", false
	}
	return key, key != "" && utf8.RuneCountInString(key) <= maxKey
}
