package router_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/protocol"
	"sigver/router"
)

func TestOpenOfAFreeKey(t *testing.T) {
	h := start(t, 0)
	c := h.client()
	require.False(t, c.Bound())
	require.Zero(t, c.open("k", ""))
	c.wants(keyOk)
	c.wantsOpen()
	require.True(t, c.Bound())
	require.Equal(t, router.Stats{Keys: 1}, h.Stats())
}

func TestOpenOfATakenKey(t *testing.T) {
	h := start(t, 0)
	first := h.opener("k", "")
	second := h.client()
	require.Equal(t, protocol.KeyExists, second.open("k", ""))
	second.wants(keyNotOk)
	require.False(t, second.Bound())

	second.Gone()
	first.wants()
	first.wantsOpen()
	require.Equal(t, router.Stats{Keys: 1}, h.Stats())
}

func TestWhoHasAKey(t *testing.T) {
	h := start(t, 0)
	has := func(key string) (router.Peer, int) { return h.Opener([]byte(key)) }
	nobody, _ := has("k")
	require.Nil(t, nobody)

	opener := h.opener("k", "token")
	peer, joinings := has("k")
	require.Same(t, &opener.recorder, peer)
	require.Zero(t, joinings)

	first, _ := h.joining("k", opener)
	h.joining("k", opener)
	_, joinings = has("k")
	require.Equal(t, 2, joinings)
	first.Gone()
	_, joinings = has("k")
	require.Equal(t, 1, joinings)

	heir := h.client()
	require.Zero(t, heir.open("k", "token"))
	peer, _ = has("k")
	require.Same(t, &heir.recorder, peer)
	heir.Gone()
	nobody, joinings = has("k")
	require.Nil(t, nobody)
	require.Zero(t, joinings)
}

// What has refused or bound a session decides whether it could still be either.
func TestUnbound(t *testing.T) {
	h := start(t, 0)
	opener, joining, fresh := h.opener("k", ""), h.client(), h.client()
	joining.join("k")
	require.True(t, fresh.Unbound())
	for _, c := range []*client{opener, joining} {
		require.False(t, c.Unbound())
		c.Gone()
		require.False(t, c.Unbound())
	}
}

func TestOpenersOfDifferentKeysKnowNothingOfEachOther(t *testing.T) {
	h := start(t, 0)
	a, b := h.opener("a", ""), h.opener("b", "")
	_, id := h.joining("a", a)
	b.wants()
	require.Zero(t, b.toJoining(id, `1`))
	b.wants(unavailable(id))
}

func TestJoinOfAnOpenKey(t *testing.T) {
	h := start(t, 0)
	opener, joining := h.opener("k", ""), h.client()
	require.Zero(t, joining.join("k"))
	joining.wants(keyOk)
	joining.wantsOpen()
	opener.wants()
	require.True(t, joining.Bound())
	require.Equal(t, router.Stats{Keys: 1, Joinings: 1}, h.Stats())
}

func TestJoinWithDataRelaysItAtOnce(t *testing.T) {
	h := start(t, 0)
	opener, joining := h.opener("k", ""), h.client()
	require.Zero(t, joining.joinWith("k", `{"offer":1}`))
	joining.wants(keyOk)
	id := opener.wantsFrom(`{"offer":1}`)
	require.Zero(t, joining.toOpener(`2`))
	opener.wants(dataFrom(id, `2`))
}

func TestJoinOfAnUnknownKey(t *testing.T) {
	h := start(t, 0)
	c := h.client()
	require.Equal(t, protocol.KeyUnknown, c.joinWith("k", `1`))
	c.wants(keyNotOk)
	require.False(t, c.Bound())
}

func TestJoinOverTheLimit(t *testing.T) {
	h := start(t, 2)
	opener := h.opener("k", "")
	h.opener("other", "")
	first, id := h.joining("k", opener)
	h.joining("k", opener)

	refused := h.client()
	require.Equal(t, protocol.TooManyJoinings, refused.joinWith("k", `1`))
	refused.wants(keyNotOk)
	opener.wants()
	require.Zero(t, h.client().join("other"), "the limit is each Opener's own")

	first.Gone()
	opener.wants(unavailable(id))
	h.joining("k", opener)
}

func TestAnyNumberOfJoiningsWithoutALimit(t *testing.T) {
	h := start(t, 0)
	h.opener("k", "")
	for range 1000 {
		require.Zero(t, h.client().join("k"))
	}
	require.Equal(t, router.Stats{Keys: 1, Joinings: 1000}, h.Stats())
}

func TestIDsAreInRangeAndDifferent(t *testing.T) {
	h := start(t, 0)
	opener := h.opener("k", "")
	seen := make(map[uint32]bool)
	for range 1000 {
		_, id := h.joining("k", opener)
		require.GreaterOrEqual(t, id, uint32(1))
		require.LessOrEqual(t, id, uint32(math.MaxInt32))
		require.False(t, seen[id])
		seen[id] = true
	}
}

func TestOpenAndJoinOnABoundConnection(t *testing.T) {
	bind := map[string]func(h *house) *client{
		"Opener": func(h *house) *client { return h.opener("mine", "secret") },
		"Joining": func(h *house) *client {
			c, _ := h.joining("k", h.opener("k", ""))
			return c
		},
	}
	again := map[string]func(c *client) protocol.CloseCode{
		"opens a free key":     func(c *client) protocol.CloseCode { return c.open("free", "") },
		"opens its own key":    func(c *client) protocol.CloseCode { return c.open("mine", "secret") },
		"opens a taken key":    func(c *client) protocol.CloseCode { return c.open("taken", "") },
		"joins an open key":    func(c *client) protocol.CloseCode { return c.join("taken") },
		"joins its own key":    func(c *client) protocol.CloseCode { return c.join("mine") },
		"joins an unknown key": func(c *client) protocol.CloseCode { return c.join("free") },
	}
	for who, bind := range bind {
		for what, again := range again {
			t.Run(who+" "+what, func(t *testing.T) {
				h := start(t, 0)
				h.opener("taken", "")
				c := bind(h)
				before := h.Stats()
				require.Equal(t, protocol.AlreadyBound, again(c))
				c.wants()
				require.Equal(t, before, h.Stats())
			})
		}
	}
}

func TestTransmitFromTheWrongSide(t *testing.T) {
	h := start(t, 0)
	opener := h.opener("k", "")
	joining, id := h.joining("k", opener)

	require.Equal(t, protocol.TransmitBeforeOpen, h.client().toJoining(id, `1`), "unbound, with id")
	require.Equal(t, protocol.TransmitBeforeJoin, h.client().toOpener(`1`), "unbound, without id")
	require.Equal(t, protocol.TransmitBeforeOpen, joining.toJoining(id, `1`), "Joining, with id")
	require.Equal(t, protocol.TransmitBeforeJoin, opener.toOpener(`1`), "Opener, without id")
	opener.wants()
	joining.wants()
}

func TestNoKind(t *testing.T) {
	require.Equal(t, protocol.MessageError, start(t, 0).client().handle(protocol.Message{}))
}

func TestRelayBothWays(t *testing.T) {
	h := start(t, 0)
	opener := h.opener("k", "")
	a, idA := h.joining("k", opener)
	b, idB := h.joining("k", opener)

	require.Zero(t, a.toOpener(`"from a"`))
	require.Zero(t, b.toOpener(`"from b"`))
	opener.wants(dataFrom(idA, `"from a"`), dataFrom(idB, `"from b"`))

	require.Zero(t, opener.toJoining(idB, `"to b"`))
	require.Zero(t, opener.toJoining(idA, `"to a"`))
	a.wants(`{"data":"to a"}`)
	b.wants(`{"data":"to b"}`)
}

func TestEveryMessageToAnUnknownIDIsAnswered(t *testing.T) {
	h := start(t, 0)
	opener := h.opener("k", "")
	for range 3 {
		require.Zero(t, opener.toJoining(77, `1`))
		opener.wants(unavailable(77))
	}
	opener.wantsOpen()
}

func TestAJoiningThatLeavesIsReportedOnce(t *testing.T) {
	h := start(t, 0)
	opener := h.opener("k", "")
	leaver, id := h.joining("k", opener)
	_, stays := h.joining("k", opener)

	require.Zero(t, leaver.toOpener(`"bye"`))
	leaver.Gone()
	opener.wants(dataFrom(id, `"bye"`), unavailable(id))
	leaver.Gone()
	opener.wants()
	require.Equal(t, router.Stats{Keys: 1, Joinings: 1}, h.Stats())

	require.Zero(t, opener.toJoining(id, `1`))
	opener.wants(unavailable(id))
	require.Zero(t, opener.toJoining(stays, `1`))
	opener.wants()
}

func TestAnOpenerThatLeavesClosesItsJoinings(t *testing.T) {
	h := start(t, 0)
	opener := h.opener("k", "")
	a, _ := h.joining("k", opener)
	b, _ := h.joining("k", opener)
	other, _ := h.joining("other", h.opener("other", ""))

	opener.Gone()
	a.wantsClose(protocol.OpenerNoLongerAvailable)
	b.wantsClose(protocol.OpenerNoLongerAvailable)
	other.wantsOpen()
	require.Equal(t, router.Stats{Keys: 1, Joinings: 1}, h.Stats())
	require.NoError(t, h.Check())
}

func TestAKeyIsFreeOnceItsOpenerIsGone(t *testing.T) {
	h := start(t, 0)
	first := h.opener("k", "")
	orphan, _ := h.joining("k", first)
	first.Gone()

	require.Equal(t, protocol.KeyUnknown, h.client().join("k"))
	second := h.opener("k", "")
	_, id := h.joining("k", second)

	// What the orphan still does, before it learns that it is closed, is
	// nothing to the new Opener of the key.
	require.Zero(t, orphan.toOpener(`"lost"`))
	orphan.Gone()
	second.wants()
	require.Equal(t, router.Stats{Keys: 1, Joinings: 1}, h.Stats())

	first.Gone()
	require.Zero(t, second.toJoining(id, `1`))
	second.wants()
}

func TestNothingHappensAfterGone(t *testing.T) {
	h := start(t, 0)
	c := h.opener("k", "")
	c.Gone()
	require.False(t, c.Bound())
	require.Zero(t, c.open("k", ""))
	require.Zero(t, c.toOpener(`1`))
	require.Zero(t, c.toJoining(1, `1`))
	c.wants()
	require.Zero(t, h.Stats())

	unbound := h.client()
	unbound.Gone()
	require.Zero(t, unbound.open("k", ""))
	require.Zero(t, h.Stats())
}

func TestNumberOfShards(t *testing.T) {
	for _, shards := range []int{-1, 0, 1, 2, 3, 64, 1000} {
		h := &house{Router: router.New(shards, 0), t: t}
		for _, key := range []string{"a", "b", "c", "d"} {
			h.opener(key, "")
		}
		require.Equal(t, router.Stats{Keys: 4}, h.Stats())
	}
}

func TestASilentRouterTellsNobody(t *testing.T) {
	h := start(t, 0)
	opener := h.opener("k", "")
	first, _ := h.joining("k", opener)
	second, _ := h.joining("k", opener)

	h.Silence()
	first.Gone()
	opener.wants()
	opener.Gone()
	second.wantsOpen()
	second.Gone()
	require.Zero(t, h.Stats())
	require.NoError(t, h.Check())
}

func TestAnOpenerThatLeavesAStoppingServer(t *testing.T) {
	h := start(t, 0)
	opener := h.opener("k", "")
	joining, _ := h.joining("k", opener)
	h.Stopping()
	opener.Gone()
	joining.wantsClose(protocol.GoingAway)
	require.NoError(t, h.Check())
}
