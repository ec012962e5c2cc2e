package router_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/protocol"
	"sigver/router"
)

// sink is a Peer that costs nothing.
type sink struct{}

func (sink) Send([]byte)                      {}
func (sink) Close(protocol.CloseCode, string) {}
func (sink) Post(func())                      {}

// newPair returns an Opener of "key" and its one Joining, which cost nothing to
// send to.
func newPair(t testing.TB, r *router.Router) (opener, joining *router.Session, id uint32) {
	ear := newClient(t, r)
	require.Zero(t, ear.open("key", "secret"))
	joining = new(router.Session)
	r.Attach(joining, sink{})
	_, err := r.Handle(joining, &protocol.Message{
		Kind: protocol.Join,
		Key:  []byte("key"),
		Data: []byte(`1`),
	}, nil)
	require.NoError(t, err)
	id = idOf(t, ear.messages()[1])

	opener = new(router.Session)
	r.Attach(opener, sink{})
	_, err = r.Handle(opener, &protocol.Message{
		Kind:  protocol.Open,
		Key:   []byte("key"),
		Token: []byte("secret"),
	}, nil)
	require.NoError(t, err)
	return opener, joining, id
}

func BenchmarkRelay(b *testing.B) {
	for _, size := range []int{200, 2000} {
		r := router.New(1, 0)
		opener, joining, id := newPair(b, r)
		data := make([]byte, size)
		b.Run(fmt.Sprintf("ToOpener/%d", size), func(b *testing.B) {
			relay(b, r, joining, &protocol.Message{Kind: protocol.ToOpener, Data: data})
		})
		b.Run(fmt.Sprintf("ToJoining/%d", size), func(b *testing.B) {
			relay(b, r, opener, &protocol.Message{Kind: protocol.ToJoining, ID: id, Data: data})
		})
	}
}

func relay(b *testing.B, r *router.Router, from *router.Session, m *protocol.Message) {
	b.ReportAllocs()
	b.SetBytes(int64(len(m.Data)))
	var scratch []byte
	for b.Loop() {
		scratch, _ = r.Handle(from, m, scratch)
	}
}

func BenchmarkOpenAndGone(b *testing.B) {
	r := router.New(256, 0)
	comeAndGo(b, r, &protocol.Message{Kind: protocol.Open, Key: []byte("sixteen-byte-key")})
}

func BenchmarkJoinAndGone(b *testing.B) {
	r := router.New(256, 0)
	newPair(b, r)
	comeAndGo(b, r, &protocol.Message{Kind: protocol.Join, Key: []byte("key")})
}

func comeAndGo(b *testing.B, r *router.Router, m *protocol.Message) {
	b.ReportAllocs()
	var scratch []byte
	for b.Loop() {
		var err error
		s := new(router.Session)
		r.Attach(s, sink{})
		if scratch, err = r.Handle(s, m, scratch); err != nil {
			b.Fatal(err)
		}
		r.Gone(s)
	}
}

// BenchmarkContention opens and frees keys of each goroutine's own in one table.
func BenchmarkContention(b *testing.B) {
	for _, shards := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("shards=%d", shards), func(b *testing.B) {
			b.ReportAllocs()
			r := router.New(shards, 0)
			var goroutines atomic.Uint64
			b.RunParallel(func(pb *testing.PB) {
				key := keyOf(goroutines.Add(1) << 32)
				m := &protocol.Message{Kind: protocol.Open, Key: key[:]}
				var scratch []byte
				for n := uint64(0); pb.Next(); n++ {
					binary.NativeEndian.PutUint64(key[8:], n)
					s := new(router.Session)
					r.Attach(s, sink{})
					scratch, _ = r.Handle(s, m, scratch)
					r.Gone(s)
				}
			})
		})
	}
}

// keyOf returns a key of 16 bytes.
func keyOf(n uint64) (key [16]byte) {
	binary.NativeEndian.PutUint64(key[:], n)
	return key
}

// BenchmarkTables1M fills the tables with a million idle Openers. It reports
// the bytes that the tables have for each, its Session not included, and the
// longest pause that the garbage collector made meanwhile. The time is that of
// one open, growth and collections included.
func BenchmarkTables1M(b *testing.B) {
	const openers = 1_000_000
	var bytes, pause float64
	for b.Loop() {
		sessions := make([]router.Session, openers)
		pausesBefore := pauses()
		before := liveBytes()

		r := router.New(256, 0)
		var scratch []byte
		for i := range sessions {
			key := keyOf(uint64(i))
			s := &sessions[i]
			r.Attach(s, sink{})
			scratch, _ = r.Handle(s, &protocol.Message{Kind: protocol.Open, Key: key[:]}, scratch)
		}

		bytes = float64(liveBytes()-before) / openers
		pause = max(pause, longestSince(pausesBefore))
		require.Equal(b, router.Stats{Keys: openers}, r.Stats())
		runtime.KeepAlive(sessions)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/openers, "ns/entry")
	b.ReportMetric(bytes, "B/entry")
	b.ReportMetric(pause*1e6, "µs-longest-pause")
}

// liveBytes returns the bytes of the heap that are in use.
func liveBytes() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// pauses returns how often the garbage collector has stopped the program, by
// duration.
func pauses() *metrics.Float64Histogram {
	sample := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(sample)
	return sample[0].Value.Float64Histogram()
}

// longestSince returns the upper bound, in seconds, of the longest pause that
// is not in before.
func longestSince(before *metrics.Float64Histogram) float64 {
	now := pauses()
	for i := len(now.Counts) - 1; i >= 0; i-- {
		if now.Counts[i] > before.Counts[i] && !math.IsInf(now.Buckets[i+1], 1) {
			return now.Buckets[i+1]
		}
	}
	return 0
}
