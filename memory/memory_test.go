package memory

import (
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var sink [][]byte

func grow(mib int) {
	for range mib {
		sink = append(sink, make([]byte, 1<<20))
	}
}

func TestMemoryIsGivenBackWhenItIsQuiet(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // no collections but ours
	debug.FreeOSMemory()
	k := newKeeper()
	now := time.Now()
	next := func() bool {
		now = now.Add(time.Hour)
		return k.look(now)
	}
	require.False(t, next(), "there is nothing to compare with")
	require.True(t, next(), "it did not change")

	grow(64)
	require.False(t, next(), "it has just grown")
	grow(64)
	require.False(t, next(), "it still grows")
	sink = slices.Clone(sink[:64])
	before := k.held()
	require.True(t, next())
	require.InDelta(t, before-64<<20, k.held(), 4<<20, "the garbage is gone, the rest is not")
	require.False(t, next(), "nothing would come of it")

	sink = nil
	grow(8)
	require.False(t, next())
	require.True(t, next())
	require.Less(t, k.held(), before-100<<20)
}

func TestItTakesNoMoreThanItsShare(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	k := newKeeper()
	now := time.Now()
	k.look(now)
	require.True(t, k.look(now))
	sink = nil
	grow(32)
	k.look(now.Add(time.Millisecond))
	require.False(t, k.look(now.Add(leastPause-time.Millisecond)))
	require.True(t, k.look(now.Add(time.Hour)))
	sink = nil
}

func TestThePauseFollowsTheCost(t *testing.T) {
	for cost, want := range map[time.Duration]time.Duration{
		time.Millisecond:       leastPause,
		20 * time.Millisecond:  4 * time.Second,
		500 * time.Millisecond: mostPause,
	} {
		require.Equal(t, want, pauseAfter(cost))
	}
}
