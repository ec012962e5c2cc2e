//go:build linux

package driver

import "sigver/bench/wire"

// idle fills the server with Openers that then do nothing, and empties it.
type idle struct {
	d      *driver
	begun  int
	active int
	full   bool
	leave  leavers
	key    []byte
}

func newIdle(d *driver) *idle { return &idle{d: d, leave: leavers{d: d}} }

func (s *idle) start() { s.fill() }

func (s *idle) fill() {
	for s.active < s.d.plan.InFlight && s.begun < s.d.plan.Pairs {
		s.d.dial(nil, s.begun)
		s.begun++
		s.active++
	}
	if s.active == 0 && !s.full {
		s.full = true
		s.d.reached(wire.Connected)
	}
}

func (s *idle) next() {
	s.d.counted = s.d.now
	for _, c := range s.d.conns {
		s.leave.add(c)
	}
	s.leave.goOn()
	s.emptied()
}

func (s *idle) emptied() {
	if len(s.d.conns) == 0 {
		s.d.finish()
	}
}

func (s *idle) opened(c *conn) {
	s.key = s.d.appendKey(s.key[:0], s.d.pairNumber(c.number))
	c.openKey(s.key)
}

func (s *idle) got(c *conn, m *message) {
	switch {
	case !m.answered || c.deadline == 0 || c.state != open:
		s.d.unexpected(m, "an idle Opener")
	case !m.keyOK:
		c.fail(faultKey, "of an idle Opener")
	default:
		c.calm()
		s.d.tally.operations++
		s.d.tally.took(s.d.now - c.began)
		s.active--
		s.fill()
	}
}

func (s *idle) gone(c *conn, clean bool) {
	if !s.full {
		if c.deadline != 0 {
			s.d.tally.failed++
			s.active--
			s.fill()
		}
		return
	}
	s.leave.gone(c)
	s.emptied()
}

// reopened is how many of the last keys churn opens again.
const reopened = 1000

// churn opens keys and leaves, and then sees whether the keys are free again.
type churn struct {
	d      *driver
	begun  int
	active int
	again  bool // keys are opened for the second time
	key    []byte
}

func newChurn(d *driver) *churn { return &churn{d: d} }

func (s *churn) start() { s.fill() }

func (s *churn) fill() {
	for s.active < s.d.plan.InFlight && s.begun < s.d.plan.Pairs {
		s.d.dial(nil, s.begun)
		s.begun++
		s.active++
	}
	switch {
	case s.active > 0:
	case s.again:
		s.d.finish()
	default:
		s.d.reached(wire.Left)
	}
}

func (s *churn) next() {
	s.again = true
	s.begun = max(0, s.d.plan.Pairs-reopened)
	s.fill()
}

func (s *churn) opened(c *conn) {
	s.key = s.d.appendKey(s.key[:0], s.d.pairNumber(c.number))
	c.openKey(s.key)
}

func (s *churn) got(c *conn, m *message) {
	switch {
	case !m.answered || c.state != open:
		s.d.unexpected(m, "an Opener that comes and goes")
	case !m.keyOK && s.again:
		c.fail(faultLeft, "the key of an Opener that has left is still taken")
	case !m.keyOK:
		c.fail(faultKey, "of an Opener that comes and goes")
	default:
		if !s.again {
			s.d.tally.took(s.d.now - c.began)
		}
		c.close()
	}
}

func (s *churn) gone(_ *conn, clean bool) {
	switch {
	case s.again:
	case clean:
		s.d.tally.operations++
	default:
		s.d.tally.failed++
	}
	s.active--
	s.fill()
}
