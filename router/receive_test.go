package router_test

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/protocol"
	"sigver/router"
)

// paper is an Engine that grants everything unless it is told not to, knows one key of
// another node, never answers for another, and keeps what is sent. It is for one
// goroutine.
type paper struct {
	sent     [][]byte
	why      error // nobody gets a key, if it is not nil
	released int
}

const (
	here  = 1
	there = 2
)

func (p *paper) Node() uint64               { return here }
func (p *paper) Release([]byte, router.Ref) { p.released++ }
func (p *paper) Tenure() (uint32, bool)     { return 1, true }
func (p *paper) State() (bool, int)         { return p.why == nil, 2 }

func (p *paper) Claim(_ router.Claim, done func(router.Ref, error)) {
	done(router.Ref{}, p.why)
}

func (p *paper) LookUp(key []byte, done func(router.Ref, error)) {
	switch string(key) {
	case "theirs":
		done(router.Ref{Node: there, Slot: 7, Gen: 7}, nil)
	case "somebody's":
	default:
		done(router.Ref{}, router.ErrUnknown)
	}
}

func (p *paper) Send(_ router.Ref, frame []byte, _ bool) bool {
	p.sent = append(p.sent, append([]byte(nil), frame...))
	return true
}

// direct is a client whose goroutine is the test's.
type direct struct {
	router.Session
	recorder
	later []func() // if not nil: what was posted
}

// Post runs fn at once, or keeps it.
func (d *direct) Post(fn func()) {
	if d.later != nil {
		d.later = append(d.later, fn)
		return
	}
	fn()
}

// While the engine is away keys can be opened, but not those that another client of
// this node has opened in the same moment.
func TestTwoOpenAKeyWithoutTheEngine(t *testing.T) {
	for second, code := range map[string]protocol.CloseCode{"": protocol.KeyExists, "other": protocol.KeyExists, "token": 0} {
		r := router.New(1, 2)
		r.Cluster(&paper{why: router.ErrDown}, true)
		var clients []*direct
		for _, token := range []string{"token", second} {
			c := &direct{later: []func(){}}
			clients = append(clients, c)
			r.Attach(&c.Session, c)
			m := protocol.Message{Kind: protocol.Open, Key: []byte("key")}
			if token != "" {
				m.Token = []byte(token)
			}
			_, err := r.Handle(&c.Session, &m, nil)
			require.NoError(t, err)
		}
		for _, c := range clients {
			for _, fn := range c.later {
				fn()
			}
		}
		first, later := clients[0], clients[1]
		require.Equal(t, code, later.code)
		if code == 0 {
			require.Equal(t, protocol.KeyTakenOver, first.code)
			require.Equal(t, []string{`{"isKeyOk":true}`}, later.sent)
		} else {
			require.Zero(t, first.code)
			require.Equal(t, []string{`{"isKeyOk":false}`}, later.sent)
		}
		// And it can be joined, although the engine does not know of it.
		joining := new(direct)
		r.Attach(&joining.Session, joining)
		_, err := r.Handle(&joining.Session, &protocol.Message{Kind: protocol.Join, Key: []byte("key")}, nil)
		require.NoError(t, err)
		require.Equal(t, []string{`{"isKeyOk":true}`}, joining.sent)
		require.NoError(t, r.Check())
	}
}

// An open that perhaps was granted is taken back, and one that was not even asked for
// costs the engine nothing.
func TestAnOpenThatIsRefused(t *testing.T) {
	for why, released := range map[error]int{router.ErrDown: 1, router.ErrNotAsked: 0} {
		r := router.New(1, 2)
		engine := &paper{why: why}
		r.Cluster(engine, false)
		c := new(direct)
		r.Attach(&c.Session, c)
		_, err := r.Handle(&c.Session, &protocol.Message{Kind: protocol.Open, Key: []byte("key")}, nil)
		require.NoError(t, err)
		require.Equal(t, []string{`{"isKeyOk":false}`}, c.sent)
		require.Equal(t, protocol.TryAgainLater, c.code)
		require.Equal(t, released, engine.released)
		r.Gone(&c.Session)
		require.Equal(t, released, engine.released)
		require.NoError(t, r.Check())
	}
}

// A key is unknown, and nobody there to answer, only once the node is dead. A pair
// ends in any case.
func TestWhatDoesNotArrive(t *testing.T) {
	for state, want := range map[router.NodeState]struct {
		join   protocol.CloseCode
		answer error
	}{
		router.Unreached: {protocol.TryAgainLater, router.ErrDown},
		router.Absent:    {protocol.TryAgainLater, router.ErrDown},
		router.Dead:      {protocol.KeyUnknown, router.ErrNobody},
	} {
		r := router.New(1, 2)
		engine := new(paper)
		r.Cluster(engine, false)
		joins := func() *direct {
			c := new(direct)
			r.Attach(&c.Session, c)
			_, err := r.Handle(&c.Session, &protocol.Message{Kind: protocol.Join, Key: []byte("theirs")}, nil)
			require.NoError(t, err)
			return c
		}
		back := func() {
			sent := engine.sent
			engine.sent = nil
			for _, frame := range sent {
				r.Undelivered(there, frame, state)
			}
		}
		c := joins()
		back()
		require.Equal(t, want.join, c.code)
		require.Equal(t, []string{`{"isKeyOk":false}`}, c.sent)

		var answer error
		r.Ask(there, nil, func(_ []byte, err error) { answer = err })
		back()
		require.ErrorIs(t, answer, want.answer)

		pair := joins()
		joined := append([]byte{0, 0, 0, 21, 2}, engine.sent[0][13:21]...) // to whom the join was from
		joined = append(joined, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0)
		engine.sent = nil
		require.NoError(t, r.Receive(there, joined))
		_, err := r.Handle(&pair.Session, &protocol.Message{Kind: protocol.ToOpener, Data: []byte("1")}, nil)
		require.NoError(t, err)
		back()
		require.Equal(t, protocol.OpenerNoLongerAvailable, pair.code)
		for _, c := range []*direct{c, pair} {
			r.Gone(&c.Session)
		}
		require.NoError(t, r.Check())
	}
}

// FuzzReceive gives a node any bytes as frames of another: whatever they say, its
// tables stay in order, and nothing is left when its clients are gone.
func FuzzReceive(f *testing.F) {
	frame := func(kind byte, to, from, number uint32, payload string) []byte {
		b := binary.BigEndian.AppendUint32(nil, uint32(21+len(payload)))
		b = append(b, kind)
		for _, n := range []uint32{to, 1, from, 1, number} {
			b = binary.BigEndian.AppendUint32(b, n)
		}
		return append(b, payload...)
	}
	join := frame(1, 1, 9, 0, "\x01\"data\"")
	f.Add(join)
	f.Add(append(join, frame(4, 5, 9, 1, `1`)...))
	f.Add(append(join, frame(5, 5, 9, 0, "")...))
	f.Add(frame(2, 2, 9, 0, ""))
	f.Add(append(frame(2, 2, 9, 0, ""), frame(4, 2, 9, 1, `{"isKeyOk":true}`)...))
	f.Add(frame(3, 2, 0, 0, "\x0f\xaaKEY_UNKNOWN"))
	f.Add(frame(2, 4, 9, 0, ""))
	for kind := byte(0); kind < 16; kind++ {
		for to := range uint32(6) {
			f.Add(frame(kind, to, 9, 1, "\x01"))
		}
	}
	f.Fuzz(func(t *testing.T, frames []byte) {
		r := router.New(1, 2)
		engine := new(paper)
		r.Answer(func(text []byte, reply func([]byte)) { reply(text) })
		r.Cluster(engine, false)
		var clients []*direct
		handle := func(m protocol.Message) {
			c := new(direct)
			clients = append(clients, c)
			r.Attach(&c.Session, c)
			_, err := r.Handle(&c.Session, &m, nil)
			require.NoError(t, err)
		}
		handle(protocol.Message{Kind: protocol.Open, Key: []byte("ours")})   // in slot 1
		handle(protocol.Message{Kind: protocol.Join, Key: []byte("theirs")}) // in slot 2
		r.Ask(there, []byte("?"), func([]byte, error) {})                    // in slot 3
		handle(protocol.Message{Kind: protocol.Join, Key: []byte("somebody's")})

		_ = r.Receive(there, frames)
		require.NoError(t, r.Check())
		for _, sent := range engine.sent {
			r.Undelivered(there, sent, router.NodeState(len(frames)%3))
		}
		require.NoError(t, r.Check())
		for _, c := range clients {
			r.Gone(&c.Session)
		}
		r.NodeGone(there)
		require.NoError(t, r.Check())
		require.Zero(t, r.Stats())
	})
}
