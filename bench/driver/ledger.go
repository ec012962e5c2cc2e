//go:build linux

package driver

// ledger follows the messages of one direction of one pair.
type ledger struct {
	sent    uint32 // the number of the next message to be sent
	next    uint32 // the lowest number that may arrive next, if all is in order
	missing map[uint32]struct{}
	sentAt  []int64 // when the last few were sent, by number modulo its length
}

// verdict is what can be wrong with a message that arrived whole.
type verdict uint8

const (
	inOrder verdict = iota
	late            // later ones came before it
	again           // it has arrived before
	unsent          // nobody has sent it yet
)

// arrived enters the message of that number.
func (l *ledger) arrived(number uint32) verdict {
	switch {
	case number >= l.sent:
		return unsent
	case number >= l.next:
		for ; l.next < number; l.next++ {
			if l.missing == nil {
				l.missing = make(map[uint32]struct{})
			}
			l.missing[l.next] = struct{}{}
		}
		l.next++
		return inOrder
	}
	if _, was := l.missing[number]; was {
		delete(l.missing, number)
		return late
	}
	return again
}

// complete says whether n messages have been sent and all of them are here.
func (l *ledger) complete(n uint32) bool {
	return l.sent == n && l.next == n && len(l.missing) == 0
}

// send returns the number of the message that is sent now.
func (l *ledger) send(now int64) uint32 {
	number := l.sent
	l.sent++
	if len(l.sentAt) > 0 {
		l.sentAt[number%uint32(len(l.sentAt))] = now
	}
	return number
}

// since returns when the message of that number was sent.
func (l *ledger) since(number uint32) int64 {
	return l.sentAt[number%uint32(len(l.sentAt))]
}
