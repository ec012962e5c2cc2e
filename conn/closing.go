package conn

import "sigver/poller"

// leave moves an open connection to closing. Its close frame is queued.
func (c *Conn) leave() {
	if c.state != stateOpen {
		return
	}
	c.beginClosing()
	c.events.Leaving(c.code)
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
	if err := poller.ShutdownWrite(int(c.fd)); err != nil {
		c.close()
	}
}

// lost ends a connection whose socket has failed or ended without a close frame.
func (c *Conn) lost() {
	if c.state == stateOpen {
		c.state = stateClosing
		c.events.Leaving(Lost)
	}
	c.close()
}

// close gives up the descriptor and everything else that c holds, and says so.
func (c *Conn) close() {
	c.state = stateClosed
	c.mu.Lock()
	fd := int(c.fd)
	_ = c.set.loop.Remove(fd) // an error would say that it is not watched
	// Under mu, so that no Send can write to a number that is somebody else's.
	_ = poller.CloseFD(fd)
	c.fd = -1
	c.releaseOutputLocked()
	c.mu.Unlock()
	c.releaseInput()
	c.set.remove(c)
	c.events.Closed()
}
