package conn

import "sigver/poller"

// leave moves an open connection to closing. Its close frame is queued.
func (c *Conn) leave() {
	if c.state != stateOpen {
		return
	}
	c.beginClosing()
	c.events().Leaving(c.code)
}

// beginClosing gives the last bytes, which are queued, and the client's answer
// a limited time.
func (c *Conn) beginClosing() {
	c.state = stateClosing
	c.deadline = c.set.after(closeTimeout)
	c.releaseInput()
}

// end follows when the last byte has been handed to the kernel. After a client
// that has finished too, the server closes (RFC 6455 §7.1.1). For any other it
// closes its half and reads until the client does the same: a close with unread
// bytes would make the kernel throw away what is still on its way.
func (c *Conn) end() {
	if c.peerClosed || c.inputEnded {
		c.close()
		return
	}
	if sec := c.secure(); sec != nil {
		sec.finish()
	}
	if err := poller.ShutdownWrite(int(c.fd)); err != nil {
		c.close()
	}
}

// lost ends a connection whose socket has failed or ended without a close frame.
func (c *Conn) lost() {
	switch c.state {
	case stateAway:
		c.abort()
		return
	case stateOpen:
		c.state = stateClosing
		c.events().Leaving(Lost)
	}
	c.close()
}

// close gives up the descriptor and everything else that c holds, and says so.
func (c *Conn) close() {
	_ = poller.CloseFD(c.detach())
	c.gone()
}

// gone says that c has no socket any more.
func (c *Conn) gone() {
	c.leaveSet()
	c.events().Closed()
}

func (c *Conn) leaveSet() {
	c.state = stateClosed
	if c.in != nil {
		c.in.dropSecure()
	}
	c.releaseInput()
	c.set.remove(c)
}

// attach makes fd, which it closes if there is an error, the socket of c.
func (c *Conn) attach(fd int) error {
	if err := c.set.loop.Add(fd, c.ready); err != nil {
		_ = poller.CloseFD(fd)
		return err
	}
	c.mu.Lock()
	c.fd = int32(fd)
	c.mu.Unlock()
	return nil
}

// detach takes the socket from c and its loop. From here on no Send writes to
// it, nor to what else may get its number.
func (c *Conn) detach() (fd int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fd = int(c.fd)
	_ = c.set.loop.Remove(fd) // an error would say that it is not watched
	c.fd = -1
	c.blocked = false
	c.releaseOutputLocked()
	return fd
}
