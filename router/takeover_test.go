package router_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/protocol"
	"sigver/router"
)

func TestTakeoverMovesTheKeyWithItsJoinings(t *testing.T) {
	h := start(t, 0)
	old := h.opener("k", "secret")
	joining, id := h.joining("k", old)

	heir := h.opener("k", "secret")
	old.wantsClose(protocol.KeyTakenOver)
	old.wants()
	joining.wants()
	joining.wantsOpen()
	require.Equal(t, router.Stats{Keys: 1, Joinings: 1}, h.Stats())

	require.Zero(t, heir.toJoining(id, `1`))
	joining.wants(`{"data":1}`)
	require.Zero(t, joining.toOpener(`2`))
	heir.wants(dataFrom(id, `2`))
	joining.Gone()
	heir.wants(unavailable(id))
	h.joining("k", heir)
}

func TestTheOldOpenerIsNobodyAfterATakeover(t *testing.T) {
	h := start(t, 0)
	old := h.opener("k", "secret")
	joining, id := h.joining("k", old)
	heir := h.opener("k", "secret")

	require.Zero(t, old.toJoining(id, `"late"`), "a message in flight is no error")
	require.Zero(t, old.toJoining(id+1, `"late"`))
	joining.wants()
	require.True(t, old.Bound())

	old.Gone()
	joining.wantsOpen()
	heir.wantsOpen()
	require.Equal(t, router.Stats{Keys: 1, Joinings: 1}, h.Stats())

	heir.Gone()
	joining.wantsClose(protocol.OpenerNoLongerAvailable)
	require.Zero(t, h.Stats())
}

func TestTakeoverAfterTakeover(t *testing.T) {
	h := start(t, 0)
	holder := h.opener("k", "secret")
	joining, id := h.joining("k", holder)
	for range 5 {
		heir := h.opener("k", "secret")
		holder.wantsClose(protocol.KeyTakenOver)
		holder = heir
	}
	require.Zero(t, joining.toOpener(`1`))
	holder.wants(dataFrom(id, `1`))
}

func TestTakeoverIsRefused(t *testing.T) {
	long := strings.Repeat("x", 512)
	tests := []struct {
		name     string
		has, got string
	}{
		{name: "another token", has: "secret", got: "other"},
		{name: "no token", has: "secret", got: ""},
		{name: "the beginning of the token", has: "secret", got: "secre"},
		{name: "more than the token", has: "secret", got: "secrets"},
		{name: "a token for an Opener without one", has: "", got: "secret"},
		{name: "no token for an Opener without one", has: "", got: ""},
		{name: "a long token with another end", has: long, got: long[1:] + "y"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := start(t, 0)
			holder := h.opener("k", test.has)
			joining, id := h.joining("k", holder)

			thief := h.client()
			require.Equal(t, protocol.KeyExists, thief.open("k", test.got))
			thief.wants(keyNotOk)
			thief.Gone()

			holder.wantsOpen()
			require.Zero(t, joining.toOpener(`1`))
			holder.wants(dataFrom(id, `1`))
		})
	}
}

func TestATokenGoesWithItsOpener(t *testing.T) {
	h := start(t, 0)
	h.opener("k", "secret").Gone()
	h.opener("k", "other")
	require.Equal(t, protocol.KeyExists, h.client().open("k", "secret"))
}
