package conn

import "time"

// Stats counts what the connections of one Set have done since it was made. It
// belongs to the loop: whoever wants it asks there (Set.Stats).
type Stats struct {
	Refused Refusals // HTTP answers in place of an upgrade

	Received      uint64 // messages
	ReceivedBytes uint64 // of them, without frames
	Sent          uint64 // messages, pings and closes
	SentBytes     uint64 // with their frames, before TLS
	Writes        uint64 // system calls that wrote them

	Batches uint64 // of the loop in which something was written
	Unsent  int    // bytes that wait for clients to read, at present

	Handshakes Histogram // from accept to upgrade or stream, which TLS is part of
	Relays     Histogram // from being sent on to the write, of one in sampleEvery
	Lag        Histogram // how late the loop's ticks come
}

// Refusals counts refusals by what they say. Its zero value is empty.
type Refusals map[Refused]uint64

// Refused is what refusals are counted by.
type Refused struct {
	Status int
	Reason Reason
}

// Count counts r.
func (all *Refusals) Count(r *Refusal) {
	all.Add(Refusals{{r.Status, r.Reason}: 1})
}

// Add adds what other has counted.
func (all *Refusals) Add(other Refusals) {
	if *all == nil && len(other) > 0 {
		*all = make(Refusals)
	}
	for refused, n := range other {
		(*all)[refused] += n
	}
}

// sampleEvery is how many outputs are filled for one whose way is timed.
const sampleEvery = 64

// HistogramBounds are the upper ends of a Histogram's buckets; the last one has
// none.
var HistogramBounds = [...]time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 10 * time.Second,
}

// Histogram counts durations by HistogramBounds.
type Histogram struct {
	Counts [len(HistogramBounds) + 1]uint64
	Sum    time.Duration
}

func (h *Histogram) observe(d time.Duration) {
	d = max(d, 0)
	i := 0
	for i < len(HistogramBounds) && d > HistogramBounds[i] {
		i++
	}
	h.Counts[i]++
	h.Sum += d
}

// Add adds what other has counted.
func (h *Histogram) Add(other *Histogram) {
	for i, n := range other.Counts {
		h.Counts[i] += n
	}
	h.Sum += other.Sum
}

// Add adds what other has counted.
func (s *Stats) Add(other *Stats) {
	s.Refused.Add(other.Refused)
	s.Received += other.Received
	s.ReceivedBytes += other.ReceivedBytes
	s.Sent += other.Sent
	s.SentBytes += other.SentBytes
	s.Writes += other.Writes
	s.Batches += other.Batches
	s.Unsent += other.Unsent
	s.Handshakes.Add(&other.Handshakes)
	s.Relays.Add(&other.Relays)
	s.Lag.Add(&other.Lag)
}

// Stats adds to total what the connections have done. Loop only.
func (s *Set) Stats(total *Stats) {
	total.Add(&s.stats)
	total.Batches += s.loop.Batches()
	for _, c := range s.conns {
		c.mu.Lock()
		if c.fd >= 0 { // else a goroutine may have it, for its TLS handshake
			total.Unsent += c.out.unsent()
			if sec := c.secure(); sec != nil {
				total.Unsent += sec.wire.out.unsent()
			}
		}
		c.mu.Unlock()
	}
}

// unsent is how many bytes the socket has not taken.
func (o *output) unsent() int {
	if o == nil {
		return 0
	}
	return len(o.bytes) - o.sent
}

// shookHands times a handshake that ends now.
func (c *Conn) shookHands() { c.set.stats.Handshakes.observe(c.age()) }

// age is the time since a connection whose handshake is not over was accepted.
func (c *Conn) age() time.Duration {
	s := c.set
	s.setClock()
	begun := c.deadline - uint32(s.limits.Handshake.Milliseconds())
	return time.Duration(int32(s.now-begun)) * time.Millisecond
}

// written notes n bytes, and where the output ends what it held. Loop only.
func (s *Set) written(n int) {
	s.stats.Writes++
	s.stats.SentBytes += uint64(n)
}

// finished notes that all of out has been written. Loop only.
func (s *Set) finished(out *output) {
	s.stats.Sent += uint64(out.messages)
	if out.since != 0 {
		s.stats.Relays.observe(time.Duration(nanotime() - out.since))
	}
}

var epoch = time.Now()

// nanotime is a monotonic clock, which never is 0.
func nanotime() int64 { return int64(time.Since(epoch)) | 1 }
