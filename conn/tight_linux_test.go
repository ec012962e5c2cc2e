package conn_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/protocol"
)

// While memory is short, who does not read is closed long before Limits.Unsent,
// whether anything more comes for it or not. Who reads is served as ever.
func TestSlowReadersWhileMemoryIsShort(t *testing.T) {
	l := newLoop(t, generous)
	l.do(func() {
		slow, later, reads := l.open(), l.open(), l.open()
		for _, c := range []*client{slow, later, reads} {
			c.KeepOpen()
		}
		slow.fill(100 << 10)
		l.set.Advance(second)
		require.Empty(t, slow.left, "there is memory enough")
		l.set.Tight(true, false)
		l.set.Advance(second)
		require.Equal(t, []protocol.CloseCode{protocol.SlowConsumer}, slow.left)
		l.set.Advance(6 * second)
		unsent, room := slow.Output()
		require.Zero(t, unsent+room, "and what it did not read is given up")

		for range 1000 {
			later.Send([]byte(strings.Repeat("x", 1<<10)))
			later.Flush()
		}
		require.Equal(t, []protocol.CloseCode{protocol.SlowConsumer}, later.left)

		for range 100 { // more than may wait, but the socket takes it
			reads.Send([]byte(strings.Repeat("x", 1<<10)))
		}
		got, _ := reads.receive()
		require.NotEmpty(t, got)
		for len(got) > 0 {
			got, _ = reads.receive()
		}
		l.set.Advance(second)
		require.Empty(t, reads.left)
		l.set.Tight(false, false)
		reads.fill(100 << 10)
		l.set.Advance(second)
		require.Empty(t, reads.left)
		for _, c := range []*client{slow, later, reads} {
			c.hangUp()
		}
	})
}

// While memory is short, a message that was begun has to get complete in the time
// of a handshake.
func TestMessagesThatDoNotEndWhileMemoryIsShort(t *testing.T) {
	limits := generous
	limits.Handshake = 10 * second
	l := newLoop(t, limits)
	big := strings.Repeat("x", 20<<10)
	l.do(func() {
		whole := frame(text, big)
		half, fragments, busy, small := l.open(), l.open(), l.open(), l.open()
		all := []*client{half, fragments, busy, small}
		for _, c := range all {
			c.KeepOpen()
		}
		half.send(whole[:len(whole)-1])
		fragments.send(frame(textBegins, big))
		small.send(whole[:100])
		l.set.Advance(60 * second)
		for _, c := range all {
			require.Empty(t, c.left, "there is memory enough")
		}
		l.set.Tight(true, false)
		busy.send(whole[:len(whole)-1])
		for range 5 { // one after the other: there is always a beginning
			l.set.Advance(5 * second)
			busy.send(whole[len(whole)-1:] + whole[:len(whole)-1])
		}
		for _, c := range []*client{half, fragments} {
			require.Equal(t, []protocol.CloseCode{protocol.TryAgainLater}, c.left)
		}
		require.Empty(t, busy.left)
		require.Len(t, busy.messages, 5)
		require.Empty(t, small.left, "it holds next to nothing")
		l.set.Advance(11 * second)
		require.Equal(t, []protocol.CloseCode{protocol.TryAgainLater}, busy.left)
		for _, c := range all {
			c.hangUp()
		}
	})
}

// While it is severely short, nobody is waited for.
func TestMessagesThatDoNotEndWhileMemoryIsSeverelyShort(t *testing.T) {
	limits := generous
	limits.Handshake = 10 * second
	l := newLoop(t, limits)
	whole := frame(text, strings.Repeat("x", 20<<10))
	l.do(func() {
		before, grows, small := l.open(), l.open(), l.open()
		all := []*client{before, grows, small}
		for _, c := range all {
			c.KeepOpen()
		}
		before.send(whole[:len(whole)-1])
		small.send(whole[:100])
		l.set.Tight(true, false)
		l.set.Advance(second)
		require.Empty(t, before.left, "there is time for it")
		l.set.Tight(true, true)
		l.set.Advance(second)
		require.Equal(t, []protocol.CloseCode{protocol.TryAgainLater}, before.left)
		grows.send(whole[:len(whole)-1])
		require.Equal(t, []protocol.CloseCode{protocol.TryAgainLater}, grows.left, "no sweep has come by")
		small.send(whole[100:200])
		require.Empty(t, small.left, "it holds next to nothing")
		for _, c := range all {
			c.hangUp()
		}
	})
}
