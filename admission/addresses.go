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
	// Immutable.
	limits    Limits
	accepting allowance
	guessing  allowance

	mu    sync.Mutex
	known map[netip.Addr]*Address // guarded by mu

	suspects atomic.Int64 // how many of known have guessed; a hint
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
	return &Addresses{
		limits:    limits,
		accepting: newAllowance(limits.Rate, limits.Rate*burstTime.Seconds()),
		guessing:  newAllowance(limits.Guesses/time.Minute.Seconds(), limits.Guesses),
		known:     make(map[netip.Addr]*Address),
	}
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
	case a.limits.Rate > 0 && !known.accepted.take(now, a.accepting):
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
	a.dropIdleLocked(known)
}

// dropIdleLocked forgets known if it is neither here, nor slowed down, nor suspected.
func (a *Addresses) dropIdleLocked(known *Address) {
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
	a.guessLocked(known, now)
}

// guessLocked is false if known must wait before it guesses again.
func (a *Addresses) guessLocked(known *Address, now time.Time) bool {
	if known.guesses.untouched() {
		a.suspects.Add(1)
	}
	return known.guesses.take(now, a.guessing)
}

// Try is Guessed for a join of which it is not known yet whether the key is. It is
// false if addr must wait; if it is true and the key proves to be known, Right
// follows.
func (a *Addresses) Try(addr netip.Addr) bool {
	if a.limits.Guesses <= 0 {
		return true
	}
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.guessLocked(a.knownLocked(addr, now), now)
}

// Right takes back what Try counted.
func (a *Addresses) Right(addr netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.known[Network(addr)]
	if known == nil || known.guesses.untouched() {
		return
	}
	known.guesses.giveBack()
	if known.guesses.spent == 0 {
		known.guesses = bucket{}
		a.suspects.Add(-1)
		a.dropIdleLocked(known)
	}
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
	return known.guesses.level(now, a.guessing) < 1
}

// Suspects reports whether there may be an address that GuessesTooMuch is true
// of. Mostly there is none, and nobody's address has to be found out.
func (a *Addresses) Suspects() bool { return a.suspects.Load() > 0 }

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
		rested := known.accepted.full(now, a.accepting) && known.guesses.full(now, a.guessing)
		if rested || len(a.known) > remembered {
			if !known.guesses.untouched() {
				a.suspects.Add(-1)
			}
			delete(a.known, network)
		}
	}
}

// allowance is what a bucket gets.
type allowance struct {
	rate float64 // tokens per second
	most float64 // that it can hold: one at least, or nobody could ever take one
}

func newAllowance(rate, most float64) allowance { return allowance{rate, max(most, 1)} }

// bucket holds tokens, which come at a rate up to a most. Its zero value is full.
type bucket struct {
	spent float64   // of the most, at the time at
	at    time.Time // zero: never used
}

func (b *bucket) untouched() bool { return b.at.IsZero() }

// level is how many tokens there are.
func (b *bucket) level(now time.Time, a allowance) float64 {
	if b.untouched() {
		return a.most
	}
	return min(a.most, a.most-b.spent+now.Sub(b.at).Seconds()*a.rate)
}

func (b *bucket) full(now time.Time, a allowance) bool { return b.level(now, a) >= a.most }

// take takes a token, if there is a whole one.
func (b *bucket) take(now time.Time, a allowance) bool {
	level := b.level(now, a)
	if level < 1 {
		return false
	}
	b.spent, b.at = a.most-level+1, now
	return true
}

// giveBack undoes a take.
func (b *bucket) giveBack() { b.spent = max(b.spent-1, 0) }
