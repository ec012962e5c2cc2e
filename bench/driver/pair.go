//go:build linux

package driver

import "fmt"

// pair is an Opener and one Joining of it.
type pair struct {
	number  uint32 // its own over all drivers
	key     []byte
	opener  *conn
	joining *conn
	id      uint32 // of the Joining, at the Opener; 0: not heard of yet
	ledgers [2]ledger

	stage stage   // of the scenario
	parts float64 // of the way through it that counts as progress
	began int64   // the moment from which its latency counts
}

// stage is how far a pair is in its scenario.
type stage uint8

// ledger returns that of the messages in that direction.
func (p *pair) ledger(way direction) *ledger {
	if way == toOpener {
		return &p.ledgers[0]
	}
	return &p.ledgers[1]
}

// drop ends both connections without a word.
func (p *pair) drop() {
	for _, c := range []*conn{p.opener, p.joining} {
		if c != nil {
			c.drop()
		}
	}
}

// appendKey appends a key of 16 bytes that only this run has.
func (d *driver) appendKey(key []byte, number uint32) []byte {
	return appendHex(appendHex(key, d.plan.Nonce), number)
}

// pairNumber makes the index of a pair of this driver its own over all drivers.
func (d *driver) pairNumber(index int) uint32 {
	return uint32(d.plan.Driver)<<24 | uint32(index)&0xffffff
}

// readTag counts the arrival of data and returns its tag, or false if it is not
// as it was sent.
func (d *driver) readTag(way direction, data []byte) (tag, bool) {
	d.tally.arrived++
	t, ok := readData(data)
	if !ok {
		d.tally.fault(faultCorrupted, "a message %s: %.80q", way, data)
	}
	return t, ok
}

// enter enters the message of tag t, which came to the end of p that way leads
// to. It returns false if nobody should answer it. All that is wrong with it is
// counted.
func (d *driver) enter(p *pair, way direction, t tag) bool {
	if t.pair != p.number || t.way != way {
		d.tally.fault(faultMisdelivered, "message %d of pair %d, %s, came to pair %d, %s", t.number, t.pair, t.way, p.number, way)
		return false
	}
	l := p.ledger(way)
	switch next := l.next; l.arrived(t.number) {
	case again:
		d.tally.arrived-- // it was counted when it first came
		d.tally.fault(faultDoubled, "message %d of pair %d, %s", t.number, p.number, way)
		return false
	case unsent:
		d.tally.fault(faultCorrupted, "message %d of pair %d, %s, was never sent", t.number, p.number, way)
		return false
	case late:
		d.tally.fault(faultReordered, "message %d of pair %d, %s, came after message %d", t.number, p.number, way, next-1)
	}
	return true
}

// introduce takes note of the id by which the Opener of p knows its Joining.
func (d *driver) introduce(p *pair, id uint32) bool {
	switch {
	case id == 0:
		d.tally.fault(faultProtocol, "data without an id came to the Opener of pair %d", p.number)
		return false
	case p.id == 0:
		p.id = id
	case p.id != id:
		d.tally.fault(faultMisdelivered, "the Joining of pair %d had the id %d, and now %d", p.number, p.id, id)
		return false
	}
	return true
}

// unexpected counts a message that has no place where it came.
func (d *driver) unexpected(m *message, where string) {
	kind := "data"
	switch {
	case m.answered:
		kind = fmt.Sprintf("isKeyOk %v", m.keyOK)
	case m.unavailable:
		kind = fmt.Sprintf("unavailable of id %d", m.id)
	}
	d.tally.fault(faultProtocol, "%s, at %s", kind, where)
}
