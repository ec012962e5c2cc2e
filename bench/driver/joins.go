//go:build linux

package driver

// joins lets pairs meet and part: what is timed is a join, from its being sent
// until its answer.
type joins struct {
	d      *driver
	begun  int
	active int
}

func (s *joins) start() { s.fill() }

func (s *joins) next() {}

func (s *joins) fill() {
	for s.active < s.d.plan.InFlight && s.begun < s.d.plan.Pairs {
		p := &pair{number: s.d.pairNumber(s.begun)}
		p.key = s.d.appendKey(nil, p.number)
		s.begun++
		s.active++
		p.opener = s.d.dial(p, 0)
	}
	if s.active == 0 {
		s.d.finish()
	}
}

func (s *joins) opened(c *conn) {
	if p := c.pair; c == p.opener {
		c.openKey(p.key)
	} else {
		c.began = s.d.clock()
		c.joinKey(p.key)
	}
}

func (s *joins) got(c *conn, m *message) {
	p := c.pair
	switch {
	case m.unavailable && c == p.opener:
	case !m.answered || c.deadline == 0 || c.state != open:
		s.d.unexpected(m, "a join")
	case !m.keyOK:
		c.fail(faultKey, "of a join")
	case c == p.opener:
		c.calm()
		p.joining = s.d.dial(p, 0)
	default:
		s.d.tally.operations++
		s.d.tally.took(s.d.now - c.began)
		p.stage = exchanged
		c.close()
	}
}

func (s *joins) gone(c *conn, clean bool) {
	p := c.pair
	switch {
	case c == p.joining && clean:
		p.opener.close()
		return
	case c == p.opener:
		p.opener = nil
	}
	p.drop()
	if p.stage != failed {
		if p.stage != exchanged {
			s.d.tally.failed++
		}
		p.stage = failed // it is over
		s.active--
		s.fill()
	}
}
