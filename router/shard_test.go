package router

import (
	"strconv"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"sigver/protocol"
)

func TestSizes(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(opener{}), uintptr(48), "one for each idle Opener")
	require.LessOrEqual(t, unsafe.Sizeof(Session{}), uintptr(32), "one for each connection")
	require.Zero(t, unsafe.Sizeof(paddedShard{})%cacheLine)
}

// TestShardGivesMemoryBack fills a shard and empties it, looking at the slots
// that its table has.
func TestShardGivesMemoryBack(t *testing.T) {
	const keys = 10_000
	r := New(1, 0)
	sessions := make([]*Session, keys)
	for i := range sessions {
		sessions[i] = bound(t, r, protocol.Open, strconv.Itoa(i))
	}
	shard := &r.shards[0].shard
	require.Greater(t, len(shard.openers.slots), keys)
	require.Less(t, len(shard.openers.slots), 3*keys)

	for i, s := range sessions {
		r.Gone(s)
		left := keys - i - 1
		require.LessOrEqual(t, len(shard.openers.slots), max(minSlots, left*sparse))
	}
	require.Len(t, shard.openers.slots, minSlots)
	require.NoError(t, r.Check())
}

// TestADeadRecordIsPassedBy puts the table into the moment between an Opener's
// end and the removal of its record, where others meet it.
func TestADeadRecordIsPassedBy(t *testing.T) {
	r := New(1, 0)
	first := bound(t, r, protocol.Open, "k")
	dead := first.opener
	dead.holder = nil

	late := new(Session)
	r.Attach(late, nobody{})
	_, err := r.Handle(late, &protocol.Message{Kind: protocol.Join, Key: []byte("k")}, nil)
	require.ErrorIs(t, err, errKeyUnknown)

	second := bound(t, r, protocol.Open, "k")
	require.NotSame(t, dead, second.opener)
	shard, hash := r.shardOfOpener(dead)
	shard.remove(hash, dead) // what the first one does next
	require.NoError(t, r.Check())
	require.Equal(t, Stats{Keys: 1}, r.Stats())
}
