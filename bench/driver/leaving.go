//go:build linux

package driver

// leavers are connections that are to close, no more than plan.InFlight of them
// at a time: the server shall have each closed within the timeout of a step,
// however many there are.
type leavers struct {
	d       *driver
	waiting []*conn
	leaving int // closes that are asked for and not over
}

// add lets c leave when its turn comes.
func (l *leavers) add(c *conn) { l.waiting = append(l.waiting, c) }

// goOn lets as many leave as may.
func (l *leavers) goOn() {
	for l.leaving < l.d.plan.InFlight && len(l.waiting) > 0 {
		c := l.waiting[0]
		l.waiting = l.waiting[1:]
		if c.state >= closing {
			continue // it has ended by itself
		}
		c.leaver = true
		l.leaving++
		c.close()
	}
}

// gone takes note that c has ended, and lets others leave.
func (l *leavers) gone(c *conn) {
	if c.leaver {
		c.leaver = false
		l.leaving--
	}
	l.goOn()
}
