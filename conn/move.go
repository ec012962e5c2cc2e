package conn

// move is where the socket of a connection goes that is in stateMoving.
type move struct {
	to      *Set
	next    *Conn
	arrived func() error
}

// Move lets the loop of another set serve the client, as the connection next, which
// must be zero. It is for Events.Message, and c's owner is told nothing more: c is no
// connection from then on, and what the client sends later comes to next. Before that
// arrived is called, on the other loop; an error of it is dealt with as one of Message.
//
// It is false, and nothing has happened, when more has come together with the message,
// while the client has not taken all that was sent to it, and for streams. Nobody else
// may have c by then. Both sets must share their limits. Loop only.
func (c *Conn) Move(to *Set, next *Conn, arrived func() error) bool {
	if c.state != stateOpen || c.stream || c.set.more || !c.settled() {
		return false
	}
	c.state = stateMoving
	c.set.move = move{to, next, arrived}
	return true
}

// settled writes what is queued, and reports whether nothing is left.
func (c *Conn) settled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.closing && c.writeLocked() == nil && c.drainedLocked()
}

// depart takes c out of its loop. Its events that the loop has at hand, and its Flush,
// find it closed.
func (c *Conn) depart() {
	m := c.set.move
	c.set.move = move{}
	next := m.next
	next.in, c.in = c.in, nil
	next.heard, next.deadline, next.allowance = c.heard, c.deadline, c.allowance
	fd := c.detach()
	c.leaveSet()
	m.to.loop.Post(func() { next.arrive(m.to, fd, m.arrived) })
}

// arrive makes c, which has the past of another, the connection of fd.
func (c *Conn) arrive(s *Set, fd int, arrived func() error) {
	s.setClock() // which must not be behind what the other loop has noted
	c.set, c.state = s, stateOpen
	c.mu.Lock()
	c.fd = int32(fd) // before attach would set it: arrived may send
	c.mu.Unlock()
	s.add(c)
	if err := arrived(); err != nil {
		c.failFor(err)
	}
	if err := s.loop.Add(fd, c.ready); err != nil {
		c.lost()
		return
	}
	if sec := c.secure(); sec != nil {
		c.readSecure(sec) // what TLS has read already makes no event
	}
}
