package router_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/protocol"
	"sigver/router"
)

// newSeed returns a seed and prints it, so that a failure can be run again.
func newSeed(t *testing.T) uint64 {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return seed
}

// TestStorm lets many goroutines do everything at a time on few keys.
func TestStorm(t *testing.T) {
	const (
		goroutines = 8
		operations = 5000
	)
	seed := newSeed(t)
	r := router.New(2, 3)
	ended := make([][]*client, goroutines)
	left := make([][]*client, goroutines)
	var storm sync.WaitGroup
	for g := range goroutines {
		storm.Go(func() {
			w := &stormWorker{
				random: rand.New(rand.NewPCG(seed, uint64(g))),
				enter:  func() *client { return newClient(t, r) },
			}
			for range operations {
				w.step()
			}
			ended[g], left[g] = w.ended, w.present[:]
		})
	}
	storm.Wait()
	require.NoError(t, r.Check())

	for g := range goroutines {
		for _, c := range left[g] {
			if c != nil {
				c.Gone()
				ended[g] = append(ended[g], c)
			}
		}
	}
	require.NoError(t, r.Check())
	require.Zero(t, r.Stats())
	for g := range goroutines {
		for _, c := range ended[g] {
			requireOneAnswerFirst(t, c)
		}
	}
}

// stormWorker is one goroutine of the storm and the clients that it owns.
type stormWorker struct {
	random  *rand.Rand
	enter   func() *client
	present [4]*client
	ended   []*client
}

// step does one random thing with one random client.
func (w *stormWorker) step() {
	i := w.random.IntN(len(w.present))
	if w.present[i] == nil {
		w.present[i] = w.enter()
	}
	c := w.present[i]
	key := fmt.Sprint(w.random.IntN(3))
	var code protocol.CloseCode
	switch draw := w.random.IntN(20); {
	case draw == 0:
		c.Gone()
		w.ended = append(w.ended, c)
		w.present[i] = nil
		return
	case !c.Bound() && draw < 5:
		code = c.open(key, "")
	case !c.Bound() && draw < 10:
		code = c.open(key, "secret")
	case !c.Bound() && draw < 15:
		code = c.join(key)
	case !c.Bound():
		code = c.joinWith(key, `"hello"`)
	case draw < 10:
		// Wrong half of the time, which ends the client.
		code = c.toOpener(`1`)
	default:
		code = c.toJoining(w.lastID(c), `1`)
	}
	if code != 0 || c.closedWith() != 0 && w.random.IntN(3) == 0 {
		c.Gone()
		w.ended = append(w.ended, c)
		w.present[i] = nil
	}
}

// lastID returns the id in the last message to c, or one that is not in use.
func (w *stormWorker) lastID(c *client) uint32 {
	id := uint32(1)
	if all := c.messages(); len(all) > 1 {
		_, _ = fmt.Sscanf(all[len(all)-1], `{"id":%d,`, &id)
	}
	return id
}

// requireOneAnswerFirst requires that c has been answered before it got anything
// else, and once. Nothing at all is fine for who never asked.
func requireOneAnswerFirst(t *testing.T, c *client) {
	t.Helper()
	for i, message := range c.messages() {
		answer := message == keyOk || message == keyNotOk
		require.Equal(t, i == 0, answer, "message %d is %s", i, message)
	}
}

// TestEveryJoiningOfADepartedOpenerIsClosed races joins with departures. Whoever
// was told that the key is fine must hear of the Opener's end.
func TestEveryJoiningOfADepartedOpenerIsClosed(t *testing.T) {
	const rounds, joins = 300, 8
	r := router.New(1, 0)
	for range rounds {
		opener := newClient(t, r)
		require.Zero(t, opener.open("k", ""))
		joinings := make([]*client, joins)
		var race sync.WaitGroup
		for i := range joinings {
			race.Go(func() {
				joinings[i] = newClient(t, r)
				joinings[i].join("k")
			})
		}
		race.Go(opener.Gone)
		race.Wait()
		for _, c := range joinings {
			if c.Bound() {
				c.wants(keyOk)
				c.wantsClose(protocol.OpenerNoLongerAvailable)
			} else {
				c.wants(keyNotOk)
				c.wantsClose(protocol.KeyUnknown)
			}
			c.Gone()
		}
		require.Zero(t, r.Stats())
		require.NoError(t, r.Check())
	}
}

// TestOneOpenerWinsAFreeKey races opens that come with the departure of the last
// Opener.
func TestOneOpenerWinsAFreeKey(t *testing.T) {
	const rounds, opens = 300, 8
	r := router.New(1, 0)
	last := newClient(t, r)
	require.Zero(t, last.open("k", ""))
	for range rounds {
		rivals := make([]*client, opens)
		var race sync.WaitGroup
		for i := range rivals {
			race.Go(func() {
				rivals[i] = newClient(t, r)
				rivals[i].open("k", "")
			})
		}
		race.Go(last.Gone)
		race.Wait()

		var winner *client
		for _, c := range rivals {
			if c.Bound() {
				require.Nil(t, winner, "two Openers of one key")
				winner = c
			}
		}
		if winner == nil { // all came before the last one had gone
			winner = newClient(t, r)
			require.Zero(t, winner.open("k", ""))
		}
		require.NoError(t, r.Check())
		require.Equal(t, router.Stats{Keys: 1}, r.Stats())
		last = winner
	}
	last.Gone()
}

// TestOrderToTheOpener lets Joinings send numbers and leave while one Opener
// after the other takes the key over. All holders' messages, one after the
// other, must be each Joining's numbers without a gap and then its end.
func TestOrderToTheOpener(t *testing.T) {
	const joinings, messages = 4, 3000
	r := router.New(1, 0)
	holders := []*client{newClient(t, r)}
	require.Zero(t, holders[0].open("k", "secret"))

	var sending sync.WaitGroup
	for range joinings {
		c := newClient(t, r)
		require.Zero(t, c.join("k"))
		sending.Go(func() {
			for n := range messages {
				c.toOpener(fmt.Sprint(n))
			}
			c.Gone()
		})
	}
	done := make(chan struct{})
	go func() { sending.Wait(); close(done) }()
	for isDone := false; !isDone; {
		select {
		case <-done:
			isDone = true
		default:
		}
		last := holders[len(holders)-1]
		heir := newClient(t, r)
		require.Zero(t, heir.open("k", "secret"))
		require.Equal(t, protocol.KeyTakenOver, last.closedWith())
		last.Gone()
		holders = append(holders, heir)
	}
	holders[len(holders)-1].Gone()
	require.Zero(t, r.Stats())

	next := make(map[uint32]int) // by id; -1 after its end
	for _, holder := range holders {
		all := holder.messages()
		require.Equal(t, keyOk, all[0])
		for _, message := range all[1:] {
			id := idOf(t, message)
			if n := next[id]; n < messages {
				require.Equal(t, dataFrom(id, fmt.Sprint(n)), message)
				next[id]++
			} else {
				require.Equal(t, messages, n, "nothing follows the end")
				require.Equal(t, unavailable(id), message)
				next[id]++
			}
		}
	}
	require.Len(t, next, joinings)
	for _, n := range next {
		require.Equal(t, messages+1, n)
	}
	t.Logf("%d takeovers", len(holders)-1)
}

// TestOrderToTheJoinings lets one Opener after the other take the key over and
// send numbers to all Joinings. A Joining must see the holders in their order,
// and of each its first numbers without a gap.
func TestOrderToTheJoinings(t *testing.T) {
	const joinings, takeovers, messages = 3, 100, 50
	r := router.New(1, 0)
	first := newClient(t, r)
	require.Zero(t, first.open("k", "secret"))
	first.wants(keyOk)
	var (
		receivers []*client
		ids       []uint32
	)
	for range joinings {
		c := newClient(t, r)
		require.Zero(t, c.joinWith("k", `"hello"`))
		receivers = append(receivers, c)
		ids = append(ids, first.wantsFrom(`"hello"`))
	}

	// send sends holder's numbers until it is closed, at least so many of them
	// before the next one may come.
	send := func(holder int, c *client, enough chan<- struct{}) {
		for n := 0; c.closedWith() == 0; n++ {
			for _, id := range ids {
				c.toJoining(id, fmt.Sprintf(`[%d,%d]`, holder, n))
			}
			if n == messages {
				close(enough)
			}
		}
		c.toJoining(ids[0], `"too late"`)
		c.Gone()
	}
	var sending sync.WaitGroup
	holder := first
	for i := range takeovers {
		enough, sender := make(chan struct{}), holder
		sending.Go(func() { send(i, sender, enough) })
		<-enough
		holder = newClient(t, r)
		require.Zero(t, holder.open("k", "secret"))
	}
	sending.Wait()
	holder.wants(keyOk)
	require.NoError(t, r.Check())

	for _, c := range receivers {
		all := c.messages()
		require.Equal(t, keyOk, all[0])
		sender, next := 0, 0
		for _, message := range all[1:] {
			var got struct{ Data [2]int }
			require.NoError(t, json.Unmarshal([]byte(message), &got), message)
			if got.Data[0] == sender+1 {
				require.Greater(t, next, messages, "holder %d has sent more", sender)
				sender, next = sender+1, 0
			}
			require.Equal(t, [2]int{sender, next}, got.Data)
			next++
		}
		require.Equal(t, takeovers-1, sender)
		c.Gone()
	}
	holder.Gone()
	require.Zero(t, r.Stats())
}
