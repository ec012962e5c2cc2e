package memory

import (
	"context"
	"runtime/debug"
	"time"
)

const (
	checkEvery = 250 * time.Millisecond
	// Short until the process is under this part of its limit again, and until there
	// is this multiple of the reserve, so that clients are not let in and refused in
	// turn.
	enoughRoom    = 0.95
	enoughReserve = 1.25
	// Severely short over this multiple of the limit, or with this part of the
	// reserve.
	farOver       = 1.25
	littleReserve = 0.5
	// collectAt is the part of the limit from which on the collector works harder
	// rather than letting the process grow.
	collectAt = 0.9

	reservePart = 10        // of the whole
	mostReserve = 100 << 20 // bytes
)

// reserve is what should be left of total, in bytes. The kernel has no other place
// for the sockets of clients, which are no part of the process.
func reserve(total int64) int64 { return min(total/reservePart, mostReserve) }

// Shortage says whether memory is short. Its zero value: it is not.
type Shortage struct {
	Why    string // what there is too little of
	Severe bool   // the kernel may soon end a process
}

// Guard compares the process with limit, in bytes, and what is left of the machine
// and of the control group with what should be, until ctx is done. It tells when
// memory becomes short or severely so, and when there is enough again. Shortly
// before the limit the collector works harder.
func Guard(ctx context.Context, limit int64, tell func(Shortage)) {
	debug.SetMemoryLimit(int64(float64(limit) * collectAt))
	g := guard{root: "/", limit: limit}
	g.resident = g.reader.resident
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if g.look() {
			tell(g.now)
		}
	}
}

// guard remembers what was told. It belongs to one goroutine.
type guard struct {
	reader   reader
	root     string // of the files
	limit    int64  // bytes
	resident func() int64
	now      Shortage
}

// look reports whether g.now has changed.
func (g *guard) look() bool {
	found := g.shortage()
	if found.Why != "" && g.now.Why == "" {
		debug.FreeOSMemory() // what is garbage does not count
		found = g.shortage()
	}
	if found.Severe == g.now.Severe && (found.Why == "") == (g.now.Why == "") {
		return false
	}
	g.now = found
	return true
}

// shortage is what there is at the moment.
func (g *guard) shortage() (found Shortage) {
	most, share := float64(g.limit), 1.0
	if g.now.Why != "" {
		most, share = most*enoughRoom, enoughReserve
	}
	resident := float64(g.resident())
	if resident > most {
		found.Why = "the process"
		found.Severe = resident > float64(g.limit)*farOver
	}
	for _, b := range g.reader.bounds(g.root) {
		left, wanted := float64(b.left), float64(reserve(b.total))
		if left < wanted*share {
			found.Why = b.of
			found.Severe = found.Severe || left < wanted*littleReserve
		}
	}
	return found
}
