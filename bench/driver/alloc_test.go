//go:build linux && !race

package driver

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/bench/wire"
)

// checker is a scenario that gets messages of one pair.
type checker struct {
	t *testing.T
	d *driver
	p *pair
}

func (*checker) start()           {}
func (*checker) next()            {}
func (*checker) opened(*conn)     {}
func (*checker) gone(*conn, bool) {}

func (s *checker) got(_ *conn, m *message) {
	tag, ok := s.d.readTag(toOpener, m.data)
	must(s.t, ok && s.d.enter(s.p, toOpener, tag) && s.d.introduce(s.p, m.id))
	s.d.tally.took(1000)
}

// A message is built, framed, found, read and checked without an allocation.
func TestMessagesAllocateNothing(t *testing.T) {
	d := &driver{plan: new(wire.Plan), tally: newTally()}
	c := &conn{d: d, mask: mask(), state: open, out: make([]byte, 0, 4096), queued: true}
	p := &pair{number: 7, id: 12345}
	for i := range p.ledgers {
		p.ledgers[i].sentAt = make([]int64, 4)
	}
	d.scenario = &checker{t, d, p}
	fillers := plainFillers(1000)
	frames := make([]byte, 0, 4096)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		c.sendData(p, toJoining, &fillers[0])
		c.out = c.out[:0]
		frames = append(frames[:0], 0x81, 126, 0, 0)
		frames = append(frames, `{"id":12345,"data":`...)
		frames = appendData(frames, 7, toOpener, p.ledger(toOpener).send(0), &fillers[1])
		frames = append(frames, '}')
		frames[2], frames[3] = byte((len(frames)-4)>>8), byte(len(frames)-4)
		before := d.tally.latency.TotalCount()
		must(t, len(c.consume(frames)) == 0)
		must(t, d.tally.latency.TotalCount() == before+1)
	}))
	require.Zero(t, d.tally.errors)
}

// must is require.True without what that allocates.
func must(t *testing.T, ok bool) {
	if !ok {
		t.Fatal("not as expected")
	}
}
