package router_test

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/protocol"
	"sigver/router"
)

// paper is an Engine that grants everything, knows one key of another node, and
// keeps what is sent. It is for one goroutine.
type paper struct{ sent [][]byte }

const (
	here  = 1
	there = 2
)

func (p *paper) Node() uint64                                       { return here }
func (p *paper) Claim(_ router.Claim, done func(router.Ref, error)) { done(router.Ref{}, nil) }
func (p *paper) Release([]byte, router.Ref)                         {}
func (p *paper) Tenure() (uint32, bool)                             { return 1, true }
func (p *paper) State() (bool, int)                                 { return true, 2 }

func (p *paper) LookUp(key []byte, done func(router.Ref, error)) {
	if string(key) == "theirs" {
		done(router.Ref{Node: there, Slot: 7, Gen: 7}, nil)
		return
	}
	done(router.Ref{}, router.ErrUnknown)
}

func (p *paper) Send(_ router.Ref, frame []byte, _ bool) bool {
	p.sent = append(p.sent, append([]byte(nil), frame...))
	return true
}

// direct is a client whose goroutine is the test's.
type direct struct {
	router.Session
	recorder
}

// Post runs fn at once.
func (d *direct) Post(fn func()) { fn() }

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
	f.Add(append(join, frame(4, 4, 9, 1, `1`)...))
	f.Add(append(join, frame(5, 4, 9, 0, "")...))
	f.Add(frame(2, 2, 9, 0, ""))
	f.Add(append(frame(2, 2, 9, 0, ""), frame(4, 2, 9, 1, `{"isKeyOk":true}`)...))
	f.Add(frame(3, 2, 0, 0, "\x0f\xaaKEY_UNKNOWN"))
	for kind := byte(0); kind < 16; kind++ {
		for to := range uint32(5) {
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

		_ = r.Receive(there, frames)
		require.NoError(t, r.Check())
		for _, sent := range engine.sent {
			r.Undelivered(there, sent, len(frames)%2 == 0)
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
