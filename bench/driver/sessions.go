//go:build linux

package driver

import "time"

// Stages of a pair in sessions. It fails from anywhere but done.
const (
	opening    stage = iota // the Opener connects and opens
	waiting                 // for the Joining's turn, in a closed loop
	joining                 // the Joining connects and joins
	exchanging              // offer, answer and candidates are on their way
	exchanged               // waiting for its turn to leave, in a closed loop
	leaving                 // the Joining closes, and the Opener is to see it
	finishing               // the Opener closes
	done
	failed
)

// part is what a session has done of its way after each pass of three, the last
// of which makes it whole: so progress is even, though sessions of a wave end
// together.
const part = 1.0 / 3

// messagesEach is what each end of a session sends.
const messagesEach = 1 + candidates

// sessions runs whole signaling sessions.
//
// In a closed loop they come in waves. A wave has three passes: all Openers
// open; all Joinings join and exchange; all leave. So there is a moment when all
// of a wave are connected. In each pass, plan.InFlight pairs are on their way.
//
// In an open loop each session runs through, beginning when its time has come.
type sessions struct {
	d         *driver
	offer     filler
	answer    filler
	candidate filler

	begun int // sessions, over all waves

	// Closed loop.
	wave   []*pair
	pass   stage // what pairs are being led to: waiting, exchanged or done
	cursor int   // the next of the wave to be sent on
	active int   // pairs on their way

	// Open loop.
	free  []*pair
	zero  int64 // the time from which the schedule counts
	ended int
}

func newSessions(d *driver) *sessions {
	return &sessions{d: d, offer: description("offer"), answer: description("answer"), candidate: candidate()}
}

func (s *sessions) open() bool { return s.d.plan.Rate > 0 }

func (s *sessions) start() {
	if !s.open() {
		s.nextWave()
		return
	}
	s.zero = s.d.now
	for range min(s.d.plan.AtOnce, s.d.plan.Pairs) {
		s.free = append(s.free, new(pair))
	}
	if s.d.plan.Pairs == 0 {
		s.d.finish()
	}
}

func (s *sessions) next() {}

// startPair gives p to a new session.
func (s *sessions) startPair(p *pair, began int64) {
	number := s.d.pairNumber(s.begun)
	s.begun++
	*p = pair{number: number, key: s.d.appendKey(p.key[:0], number), began: began}
	p.opener = s.d.dial(p, 0)
}

// nextWave begins a wave, or ends the scenario if there is nothing to do.
func (s *sessions) nextWave() {
	size := min(s.d.plan.AtOnce, s.d.plan.Pairs-s.begun)
	if size <= 0 {
		s.d.finish()
		return
	}
	for len(s.wave) < size {
		s.wave = append(s.wave, new(pair))
	}
	s.wave = s.wave[:size]
	s.pass, s.cursor, s.active = waiting, 0, 0
	s.sendOn()
}

// sendOn sends as many pairs on their way as may be, and begins the next pass
// when all have arrived.
func (s *sessions) sendOn() {
	for s.active < s.d.plan.InFlight && s.cursor < len(s.wave) {
		p := s.wave[s.cursor]
		s.cursor++
		switch {
		case s.pass == waiting:
			s.active++
			s.startPair(p, 0)
		case p.stage == failed:
		case s.pass == exchanged:
			s.active++
			s.join(p)
		default:
			s.active++
			s.leave(p)
		}
	}
	if s.active > 0 || s.cursor < len(s.wave) {
		return
	}
	s.cursor = 0
	switch s.pass {
	case waiting:
		s.pass = exchanged
	case exchanged:
		s.pass = done
	default:
		s.nextWave()
		return
	}
	s.sendOn()
}

// arrive notes that p is where the present pass leads to, or that it has failed
// on the way.
func (s *sessions) arrive() {
	s.active--
	s.sendOn()
}

// pace begins the sessions of an open loop whose time has come. Times lie on a
// grid of paceEvery, so that a late timer makes latencies longer and not shorter.
func (s *sessions) pace() {
	for len(s.free) > 0 && s.begun < s.d.plan.Pairs {
		due := time.Duration(float64(s.begun) / s.d.plan.Rate * float64(time.Second))
		intended := s.zero + int64(due.Truncate(paceEvery)+paceEvery)
		if intended > s.d.now {
			return
		}
		p := s.free[len(s.free)-1]
		s.free = s.free[:len(s.free)-1]
		s.startPair(p, intended)
	}
}

// end notes the end of a session in an open loop.
func (s *sessions) end(p *pair) {
	s.free = append(s.free, p)
	if s.ended++; s.ended == s.d.plan.Pairs {
		s.d.finish()
	}
}

func (s *sessions) opened(c *conn) {
	if p := c.pair; c == p.opener {
		c.openKey(p.key)
	} else {
		c.joinKey(p.key)
	}
}

func (s *sessions) got(c *conn, m *message) {
	p := c.pair
	atOpener := c == p.opener
	switch {
	case m.answered && (atOpener && p.stage == opening || !atOpener && p.stage == joining):
		s.answered(c, p, m.keyOK)
	case m.data != nil && atOpener:
		s.openerGot(p, m)
	case m.data != nil:
		if t, ok := s.d.readTag(toJoining, m.data); ok && s.d.enter(p, toJoining, t) {
			s.look(p)
		}
	case m.unavailable && atOpener && p.stage == leaving && m.id == p.id:
		p.stage = finishing
		c.close()
	default:
		s.d.unexpected(m, "a session")
	}
}

func (s *sessions) answered(c *conn, p *pair, ok bool) {
	c.calm()
	switch {
	case !ok:
		c.fail(faultKey, "key %s of a session", p.key)
	case p.stage == opening:
		p.stage = waiting
		s.passed(p)
		if s.open() {
			s.join(p)
		} else {
			s.arrive()
		}
	default:
		p.stage = exchanging
		c.expect("the exchange of offer, answer and candidates")
		s.sendAll(c, p, toOpener, &s.offer)
	}
}

func (s *sessions) sendAll(c *conn, p *pair, way direction, first *filler) {
	c.sendData(p, way, first)
	for range candidates {
		c.sendData(p, way, &s.candidate)
	}
}

// join lets the Joining of p come. In a closed loop its latency counts from here.
func (s *sessions) join(p *pair) {
	p.stage = joining
	if !s.open() {
		p.began = s.d.clock()
	}
	p.joining = s.d.dial(p, 0)
}

func (s *sessions) openerGot(p *pair, m *message) {
	t, ok := s.d.readTag(toOpener, m.data)
	if !ok || !s.d.enter(p, toOpener, t) || !s.d.introduce(p, m.id) {
		return
	}
	if p.ledger(toJoining).sent == 0 {
		s.sendAll(p.opener, p, toJoining, &s.answer)
	}
	s.look(p)
}

// look sees whether all messages of p have arrived.
func (s *sessions) look(p *pair) {
	if p.stage != exchanging || !p.ledgers[0].complete(messagesEach) || !p.ledgers[1].complete(messagesEach) {
		return
	}
	p.stage = exchanged
	s.passed(p)
	p.joining.calm()
	s.d.tally.took(s.d.now - p.began)
	if s.open() {
		s.leave(p)
	} else {
		s.arrive()
	}
}

func (s *sessions) leave(p *pair) {
	p.stage = leaving
	p.joining.close()
	p.opener.expect("the news that the Joining has left")
}

func (s *sessions) gone(c *conn, clean bool) {
	p := c.pair
	if c == p.opener {
		p.opener = nil
	} else {
		p.joining = nil
	}
	switch {
	case p.stage >= done:
	case !clean:
		s.fail(p)
	case p.opener == nil && p.joining == nil:
		p.stage = done
		s.back(p)
		s.d.tally.operations++
		s.over(p, true)
	}
}

// passed counts a part of p, and back takes its parts away when it is over.
func (s *sessions) passed(p *pair) {
	p.parts += part
	s.d.tally.parts += part
}

func (s *sessions) back(p *pair) {
	s.d.tally.parts -= p.parts
	p.parts = 0
}

// fail ends a session that cannot go on.
func (s *sessions) fail(p *pair) {
	active := p.stage != waiting && p.stage != exchanged
	p.stage = failed
	s.back(p)
	s.d.tally.failed++
	p.drop()
	s.over(p, active)
}

func (s *sessions) over(p *pair, active bool) {
	switch {
	case s.open():
		s.end(p)
	case active:
		s.arrive()
	}
}
