package admission

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// remembered is how many addresses are kept, at most, of which there is no
// connection any more. Beyond that old ones are forgotten, whatever they did.
const remembered = 1 << 16

// Limits of one address: an IPv4 address, or the /64 of an IPv6 address, since
// that is what one customer has. 0 stands for no limit.
type Limits struct {
	Connections int     // at once
	Rate        float64 // new connections per second that may go on
	Guesses     float64 // joins of unknown keys per minute
}

// burstTime is how long an address may be silent to be allowed as much at once.
const burstTime = 10 * time.Second

// Addresses counts what comes from which address. Its memory is bounded by the
// number of connections and remembered.
type Addresses struct {
	limits Limits // immutable

	mu    sync.Mutex
	known map[netip.Addr]*Address // guarded by mu

	guessing atomic.Int64 // how many of known have guessed; a hint
}

// Address is one that Addresses knows. All of it but network is guarded by
// Addresses.mu.
type Address struct {
	network     netip.Addr // immutable
	connections int
	accepted    bucket
	guesses     bucket
}

// NewAddresses returns an empty table.
func NewAddresses(limits Limits) *Addresses {
	return &Addresses{limits: limits, known: make(map[netip.Addr]*Address)}
}

// Network is what counts as one address: addr itself, or the /64 that it is in.
func Network(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if prefix, err := addr.Prefix(64); err == nil {
			return prefix.Addr()
		}
	}
	return addr
}

// Refused says why a connection is not let in.
type Refused string

// What Enter refuses for.
const (
	TooMany Refused = "too many connections from this address"
	TooFast Refused = "too many new connections from this address"
)

// Enter counts a new connection of addr, until Leave. If it is refused, it is not
// counted and there is nothing to leave.
func (a *Addresses) Enter(addr netip.Addr) (*Address, Refused) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.knownLocked(addr, now)
	switch {
	case a.limits.Connections > 0 && known.connections >= a.limits.Connections:
		return nil, TooMany
	case a.limits.Rate > 0 && !known.accepted.take(now, a.limits.Rate, a.limits.Rate*burstTime.Seconds()):
		return nil, TooFast
	}
	known.connections++
	return known, ""
}

// Leave ends what Enter counted.
func (a *Addresses) Leave(known *Address) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known.connections--
	// One that is neither slowed down nor suspected need not be remembered.
	if known.connections == 0 && a.limits.Rate <= 0 && known.guesses.untouched() {
		delete(a.known, known.network)
	}
}

// Guessed notes that somebody at addr has joined a key that nobody has.
func (a *Addresses) Guessed(addr netip.Addr) {
	if a.limits.Guesses <= 0 {
		return
	}
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.knownLocked(addr, now)
	if known.guesses.untouched() {
		a.guessing.Add(1)
	}
	known.guesses.take(now, a.limits.Guesses/60, a.limits.Guesses)
}

// GuessesTooMuch reports whether addr has joined so many unknown keys lately that
// it must wait.
func (a *Addresses) GuessesTooMuch(addr netip.Addr) bool {
	if !a.Suspects() {
		return false
	}
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.known[Network(addr)]
	if known == nil || known.guesses.untouched() {
		return false
	}
	return known.guesses.level(now, a.limits.Guesses/60, a.limits.Guesses) < 1
}

// Suspects reports whether there may be an address that GuessesTooMuch is true
// of. Mostly there is none, and nobody's address has to be found out.
func (a *Addresses) Suspects() bool { return a.guessing.Load() > 0 }

// Network is the address, or the first of its /64.
func (known *Address) Network() netip.Addr { return known.network }

// Known is how many addresses are remembered.
func (a *Addresses) Known() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.known)
}

func (a *Addresses) knownLocked(addr netip.Addr, now time.Time) *Address {
	network := Network(addr)
	known := a.known[network]
	if known == nil {
		a.forgetLocked(now)
		known = &Address{network: network}
		a.known[network] = known
	}
	return known
}

// forgetLocked looks at a few addresses, chosen by chance, and drops those that
// have behaved; and when there are too many, any that has no connection.
func (a *Addresses) forgetLocked(now time.Time) {
	const looks = 4
	i := 0
	for network, known := range a.known {
		if i++; i > looks {
			return
		}
		if known.connections > 0 {
			continue
		}
		rested := known.accepted.full(now, a.limits.Rate, a.limits.Rate*burstTime.Seconds()) &&
			known.guesses.full(now, a.limits.Guesses/60, a.limits.Guesses)
		if rested || len(a.known) > remembered {
			if !known.guesses.untouched() {
				a.guessing.Add(-1)
			}
			delete(a.known, network)
		}
	}
}

// bucket holds tokens, which come at a rate up to a most. Its zero value is full.
type bucket struct {
	spent float64   // of the most, at the time at
	at    time.Time // zero: never used
}

func (b *bucket) untouched() bool { return b.at.IsZero() }

// level is how many tokens there are.
func (b *bucket) level(now time.Time, rate, most float64) float64 {
	if b.untouched() {
		return most
	}
	return min(most, most-b.spent+now.Sub(b.at).Seconds()*rate)
}

func (b *bucket) full(now time.Time, rate, most float64) bool {
	return b.untouched() || b.level(now, rate, most) >= most
}

// take takes a token, if there is a whole one.
func (b *bucket) take(now time.Time, rate, most float64) bool {
	level := b.level(now, rate, max(most, 1))
	if level < 1 {
		return false
	}
	b.spent, b.at = max(most, 1)-level+1, now
	return true
}
