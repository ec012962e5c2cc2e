//go:build linux

package driver

import (
	"sigver/bench/wire"
)

// Stages of a pair in relay: opening, joining, and these.
const (
	bouncing stage = exchanging
	dead     stage = failed
)

// relayPhase is how far the whole scenario is.
type relayPhase uint8

const (
	filling relayPhase = iota // pairs connect
	ready
	warming
	measuring
	halted // nobody sends; what is on its way may arrive
	emptying
)

// relay lets pairs bounce messages: the Joining sends plan.Depth of them, and
// whoever gets one sends one back. With the hot key, all Joinings have the same
// Opener.
type relay struct {
	d       *driver
	hot     bool
	fillers []filler
	pairs   []*pair
	hub     *conn // the Opener of the hot key
	hubKey  []byte

	phase    relayPhase
	active   int   // pairs that are connecting
	arrival  int64 // when the last message arrived
	joinings int   // still connected while emptying
	leave    leavers
	deaths   int // pairs that ended before their time
}

func newRelay(d *driver, hot bool) *relay {
	return &relay{d: d, hot: hot, fillers: plainFillers(d.plan.Size), leave: leavers{d: d}}
}

func (r *relay) start() {
	if r.hot {
		r.hubKey = r.d.appendKey(nil, r.d.pairNumber(0xffffff))
		r.hub = r.d.dial(nil, 0)
		return
	}
	r.fill()
}

// fill lets pairs begin to connect, and reports when all have.
func (r *relay) fill() {
	for r.active < r.d.plan.InFlight && len(r.pairs) < r.d.plan.Pairs {
		p := &pair{number: r.d.pairNumber(len(r.pairs))}
		for i := range p.ledgers {
			p.ledgers[i].sentAt = make([]int64, 4*r.d.plan.Depth)
		}
		r.pairs = append(r.pairs, p)
		r.active++
		if r.hot {
			p.stage, p.key, p.opener = joining, r.hubKey, r.hub
			p.joining = r.d.dial(p, 0)
			continue
		}
		p.key = r.d.appendKey(nil, p.number)
		p.opener = r.d.dial(p, 0)
	}
	if r.phase == filling && r.active == 0 {
		r.phase = ready
		r.d.reached(wire.Connected)
	}
}

func (r *relay) next() {
	switch r.phase {
	case ready:
		r.phase = warming
		for _, p := range r.pairs {
			if p.stage != bouncing {
				continue
			}
			for range r.d.plan.Depth {
				r.send(p, toOpener)
			}
		}
	case warming:
		r.phase = measuring
		r.d.count()
		r.d.reached(wire.Measuring)
	case measuring:
		r.phase = halted
		r.arrival = r.d.now
		r.d.reached(wire.Halted)
		r.swept()
	}
}

func (r *relay) send(p *pair, way direction) {
	c := p.opener
	if way == toOpener {
		c = p.joining
	}
	l := p.ledger(way)
	c.sendData(p, way, &r.fillers[l.sent%uint32(len(r.fillers))])
}

func (r *relay) opened(c *conn) {
	switch p := c.pair; {
	case p == nil:
		c.openKey(r.hubKey)
	case c == p.opener:
		c.openKey(p.key)
	default:
		c.joinKey(p.key)
	}
}

func (r *relay) got(c *conn, m *message) {
	switch {
	case m.data != nil:
		r.arrived(c, m)
	case m.answered && r.phase == filling && c.deadline != 0: // it is awaited
		r.answered(c, m.keyOK)
	case m.unavailable && (r.phase == emptying || r.deaths > 0):
		if p := c.pair; p != nil && p.id != 0 && m.id != p.id {
			r.d.unexpected(m, "the Opener of another Joining")
		}
	default:
		r.d.unexpected(m, "a relay")
	}
}

func (r *relay) answered(c *conn, ok bool) {
	c.calm()
	p := c.pair
	switch {
	case !ok:
		c.fail(faultKey, "of a relay")
	case p == nil:
		r.fill()
	case c == p.opener:
		p.stage = joining
		p.joining = r.d.dial(p, 0)
	default:
		p.stage = bouncing
		r.active--
		r.fill()
	}
}

// arrived deals with a message of a pair, and lets it be answered.
func (r *relay) arrived(c *conn, m *message) {
	p, way := c.pair, toJoining
	if p == nil || c == p.opener {
		way = toOpener
	}
	r.arrival = r.d.now
	t, ok := r.d.readTag(way, m.data)
	if ok && p == nil {
		p = r.pairOf(t)
	}
	if !ok || p == nil || !r.d.enter(p, way, t) || way == toOpener && !r.d.introduce(p, m.id) {
		return
	}
	if r.phase == measuring {
		r.d.tally.operations++
		r.d.tally.took(r.d.now - p.ledger(way).since(t.number))
	}
	switch {
	case r.phase == halted:
		r.allArrived()
	case p.stage != bouncing || r.phase == emptying:
	default:
		if way == toOpener {
			r.send(p, toJoining)
		} else {
			r.send(p, toOpener)
		}
	}
}

// pairOf returns the pair whose message came to the hot key's Opener.
func (r *relay) pairOf(t tag) *pair {
	index := int(t.pair & 0xffffff)
	if index >= len(r.pairs) || r.pairs[index].number != t.pair {
		r.d.tally.fault(faultMisdelivered, "message %d of pair %d, which is not of this Opener", t.number, t.pair)
		return nil
	}
	return r.pairs[index]
}

// swept ends the waiting for messages that do not come.
func (r *relay) swept() {
	if r.phase == halted && !r.allArrived() && r.d.now-r.arrival > int64(r.d.plan.Settle) {
		r.empty()
	}
}

func (r *relay) allArrived() bool {
	if r.d.tally.arrived < r.d.tally.sent {
		return false
	}
	r.empty()
	return true
}

// empty lets all leave, Joinings first: an Opener that left would take its
// Joinings with it.
func (r *relay) empty() {
	r.phase = emptying
	for _, p := range r.pairs {
		if p.stage == bouncing {
			r.joinings++
			r.leave.add(p.joining)
		}
	}
	r.leave.goOn()
	r.emptied()
}

func (r *relay) emptied() {
	if r.hot && r.joinings == 0 && r.hub != nil {
		r.hub.close()
	}
	if len(r.d.conns) == 0 {
		r.d.finish()
	}
}

func (r *relay) gone(c *conn, clean bool) {
	p := c.pair
	if p == nil {
		r.hub = nil
		r.lost()
		return
	}
	if r.phase == emptying {
		if c == p.joining {
			r.joinings--
			if !r.hot {
				r.leave.add(p.opener)
			}
		}
		r.leave.gone(c)
		r.emptied()
		return
	}
	if p.stage == dead {
		return
	}
	connecting := p.stage < bouncing
	p.stage = dead
	r.deaths++
	if r.hot {
		p.joining.drop()
	} else {
		p.drop()
	}
	if connecting {
		r.active--
		r.fill()
	}
}

// lost is called when the hot key's Opener is gone: at the end, or too early.
func (r *relay) lost() {
	if r.phase == emptying {
		r.emptied()
		return
	}
	r.d.end(true)
}
