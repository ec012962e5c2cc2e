package e2e

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// over tells a pair on two nodes something each, in both directions.
func over(t testing.TB, opener, joining *client) (id json.Number) {
	t.Helper()
	joining.send(`{"data":"offer"}`)
	id = opener.wantData(`"offer"`)
	opener.send(`{"id":` + id.String() + `,"data":"answer"}`)
	joining.want(`{"data":"answer"}`)
	return id
}

func TestAPairOnTwoNodes(t *testing.T) {
	e := startEngine(t)
	a, b := e.node(), e.node()
	for _, end := range []string{"joining", "opener"} {
		opener, joining := dial(t, a), dial(t, b)
		opener.open("key")
		joining.send(`{"join":"key","data":"first"}`)
		joining.send(`{"data":"second"}`)
		joining.want(`{"isKeyOk":true}`)
		id := opener.wantData(`"first"`)
		require.Equal(t, id, opener.wantData(`"second"`))
		require.Equal(t, id, over(t, opener, joining))
		if end == "joining" {
			joining.close()
			opener.want(`{"id":` + id.String() + `,"unavailable":"true"}`)
			opener.send(`{"id":` + id.String() + `,"data":1}`)
			opener.want(`{"id":` + id.String() + `,"unavailable":"true"}`)
			opener.close()
		} else {
			opener.close()
			joining.wantClose(4020, "OPENER_NO_LONGER_AVAILABLE")
		}
		late := dial(t, b)
		eventually(t, func() bool {
			late = dial(t, b)
			late.send(`{"join":"key"}`)
			return late.receive() == `{"isKeyOk":false}`
		}, "the key is free everywhere")
		late.wantClose(4011, "KEY_UNKNOWN")
	}
}

func TestAKeyIsUniqueOverNodes(t *testing.T) {
	e := startEngine(t)
	a, b := e.node(), e.node("--max-joinings", "1")
	first := dial(t, a)
	first.send(`{"open":"key","token":"secret"}`)
	first.send(`{"id":7,"data":1}`)
	first.want(`{"isKeyOk":true}`)
	first.want(`{"id":7,"unavailable":"true"}`)
	for _, open := range []string{`{"open":"key"}`, `{"open":"key","token":"guess"}`} {
		second := dial(t, b)
		second.send(open)
		second.want(`{"isKeyOk":false}`)
		second.wantClose(4010, "KEY_EXISTS")
	}
	joining := dial(t, b)
	joining.join("key")
	over(t, first, joining)

	heir := dial(t, b)
	heir.send(`{"open":"key","token":"secret"}`)
	heir.want(`{"isKeyOk":true}`)
	first.wantClose(4012, "KEY_TAKEN_OVER")
	joining.wantClose(4020, "")
	joining = dial(t, a)
	joining.join("key")
	over(t, heir, joining)
	more := dial(t, a)
	more.send(`{"join":"key"}`)
	more.want(`{"isKeyOk":false}`)
	more.wantClose(4014, "")
}

func TestANodeThatIsKilled(t *testing.T) {
	e := startEngine(t)
	a, b := e.node(), e.node()
	opener, joining := dial(t, a), dial(t, b)
	opener.send(`{"open":"of a","token":"secret"}`)
	opener.want(`{"isKeyOk":true}`)
	joining.join("of a")
	over(t, opener, joining)
	other, guest := dial(t, b), dial(t, a)
	other.open("of b")
	guest.join("of b")
	id := over(t, other, guest)

	a.signal(syscall.SIGKILL)
	<-a.done
	joining.send(`{"data":1}`)
	joining.wantClose(4020, "")
	other.send(`{"id":` + id.String() + `,"data":1}`)
	other.want(`{"id":` + id.String() + `,"unavailable":"true"}`)
	heir := dial(t, b)
	heir.send(`{"open":"of a","token":"secret"}`)
	heir.want(`{"isKeyOk":true}`)
	exchange(t, b, "another")
}

func TestAKeyOfADeadNodeIsFree(t *testing.T) {
	e := startEngine(t)
	a, b := e.node(), e.node()
	dial(t, a).open("key")
	a.signal(syscall.SIGKILL)
	<-a.done
	eventually(t, func() bool {
		c := dial(t, b)
		c.send(`{"open":"key"}`)
		answer := c.receive()
		return answer == `{"isKeyOk":true}`
	}, "the lease is over")
}

// Whoever leaves while its join is on its way has been, and is told to be gone, as
// at one node; its place at the Opener is free.
func TestJoiningsThatDoNotStay(t *testing.T) {
	e := startEngine(t)
	const most = 10
	a := e.node("--max-joinings", strconv.Itoa(most), "--rate", "0")
	b := e.node()
	opener := dial(t, a)
	opener.open("key")
	for range 20 {
		var leaving []*client
		for range most {
			joining := dial(t, b)
			joining.send(`{"join":"key","data":1}`)
			leaving = append(leaving, joining)
		}
		for _, joining := range leaving {
			joining.drop()
		}
		// Their joins come, or not, if they were gone before the Opener was found.
		counts := make(map[string]int) // ids, 1 while there
		for settled := false; !settled; {
			last := dial(t, b)
			last.send(`{"join":"key","data":"last"}`)
			if last.receive() == `{"isKeyOk":false}` {
				last.wantClose(4014, "")
			} else {
				settled = true
				for text := ""; !strings.Contains(text, `"last"`); {
					text = opener.receive()
					note(t, counts, text)
				}
				last.close()
			}
			for len(counts) > 0 {
				note(t, counts, opener.receive())
			}
		}
	}
}

// note keeps the ids of Joinings that have said something and not left.
func note(t testing.TB, present map[string]int, text string) {
	t.Helper()
	var m struct {
		ID          json.Number
		Unavailable string
	}
	require.NoError(t, json.Unmarshal([]byte(text), &m))
	if m.Unavailable == "" {
		present[m.ID.String()]++
	} else {
		require.Contains(t, present, m.ID.String())
		delete(present, m.ID.String())
	}
}

// A takeover at the Opener's own node takes its Joinings along, those of other
// nodes too.
func TestATakeoverTakesFarJoiningsAlong(t *testing.T) {
	e := startEngine(t)
	a, b := e.node(), e.node()
	old, joining := dial(t, a), dial(t, b)
	old.send(`{"open":"key","token":"secret"}`)
	old.want(yes)
	joining.join("key")
	id := over(t, old, joining)
	heir := dial(t, a)
	heir.send(`{"open":"key","token":"secret"}`)
	heir.want(yes)
	old.wantClose(4012, "KEY_TAKEN_OVER")
	require.Equal(t, id, over(t, heir, joining))
	joining.close()
	heir.want(`{"id":` + id.String() + `,"unavailable":"true"}`)
}

// A node that stops sends its clients away. The Joinings of other nodes, which do not
// stop, are told what it means for them.
func TestANodeThatStops(t *testing.T) {
	e := startEngine(t)
	a, b := e.node("--drain", "0"), e.node()
	opener, joining, other, guest := dial(t, a), dial(t, b), dial(t, b), dial(t, a)
	opener.open("of a")
	joining.join("of a")
	other.open("of b")
	guest.join("of b")
	id := over(t, other, guest)
	a.stop()
	opener.wantClose(1001, "GOING_AWAY: ")
	guest.wantClose(1001, "GOING_AWAY: ")
	joining.wantClose(4020, "OPENER_NO_LONGER_AVAILABLE: the Opener's")
	other.want(`{"id":` + id.String() + `,"unavailable":"true"}`)
	dial(t, b).open("of a") // at once: a node that stops leaves nothing
	exchange(t, b, "afterwards")
}

// Joins of keys that no node has count as guesses, as they do at one server.
func TestGuessingKeysOfManyNodes(t *testing.T) {
	e := startEngine(t)
	a, b := e.node(), e.node("--max-guesses", "5")
	dial(t, a).open("hard to guess")
	for i := range 5 {
		guesser := dialFrom(t, b, "127.0.0.2")
		guesser.send(fmt.Sprintf(`{"join":"guess %d"}`, i))
		guesser.want(no)
		guesser.wantClose(4011, "KEY_UNKNOWN")
	}
	require.Equal(t, 429, from(t, b, "127.0.0.2").ask(upgradeRequest))
	dialFrom(t, b, "127.0.0.3").join("hard to guess")
}
