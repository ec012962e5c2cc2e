//go:build !race

// A server with the race detector takes many times the memory and the time.

package e2e

import "testing"

func TestACrowdComesAndGoesAndLeavesNothing(t *testing.T) {
	n := crowdSize(t)
	s := start(t)
	// Go's runtime opens two descriptors of its own when it first needs them.
	files := s.files() + 2
	exchange(t, s, "before")

	var first int // bytes
	for round := range 3 {
		c := gather(t, s, n)
		exchange(t, s, "in the crowd")
		c.leave()
		eventually(t, func() bool { return s.files() <= files }, "descriptors are left over")
		exchange(t, s, "after the crowd")
		t.Logf("resident after crowd %d: %d KiB", round+1, s.resident()>>10)
		if round == 0 {
			first = s.resident()
			continue
		}
		// The first crowd grows tables; the ones after it must fit into them, if
		// not at once, then when the server gives back what it does not need.
		eventually(t, func() bool { return s.resident() < first+1<<20 }, "memory grows from crowd to crowd")
	}
	s.stop()
}

// What an idle Opener costs. The budget is 400 resident bytes; the baseline is
// the same server without anybody.
func TestAnIdleOpenerFitsItsBudget(t *testing.T) {
	n := crowdSize(t)
	s := start(t)
	// A small crowd first: what a server grows by when it first serves at all,
	// pages of its program among it, is not the cost of an Opener.
	gather(t, s, 500).leave()
	exchange(t, s, "before")
	before := s.resident()
	c := gather(t, s, n)
	// What their handshakes have left goes when the server gives back what it does not need.
	each := func() float64 { return float64(s.resident()-before) / float64(len(c.conns)) }
	eventually(t, func() bool { return each() < 400 }, "an idle Opener is over its budget")
	t.Logf("%d idle Openers: %.0f resident bytes each (%d KiB without them)", n, each(), before>>10)
}

func BenchmarkResidentPerIdleOpener(b *testing.B) {
	n := crowdSize(b)
	for b.Loop() {
		s := start(b)
		before := s.resident()
		c := gather(b, s, n)
		b.ReportMetric(float64(s.resident()-before)/float64(n), "bytes/opener")
		b.ReportMetric(float64(n), "openers")
		c.leave()
		s.stop()
	}
	b.ReportMetric(0, "ns/op")
}
