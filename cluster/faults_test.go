package cluster_test

import (
	"bufio"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/cluster"
	"sigver/protocol"
	"sigver/router"
	"sigver/soak/cable"
)

// pave makes a way to the engine on which its answers can be lost.
func pave(t *testing.T, engine string) (way *cable.Way, port string) {
	t.Helper()
	way, err := cable.Pave("127.0.0.1:" + engine)
	require.NoError(t, err)
	t.Cleanup(way.Close)
	_, port, _ = strings.Cut(way.Addr, ":")
	return way, port
}

func ask(t *testing.T, port string, command ...string) string {
	t.Helper()
	out, err := exec.Command("redis-cli", append([]string{"-p", port}, command...)...).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// end is how c has ended, or 0.
func (c *client) end() protocol.CloseCode {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.code
}

func (c *client) wantEnd(code protocol.CloseCode) {
	c.t.Helper()
	require.Eventually(c.t, func() bool { return c.end() != 0 }, patience, 10*time.Millisecond)
	require.Equal(c.t, code, c.end())
}

func (c *client) wantOpen() {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.told
	}, patience, time.Millisecond)
	require.True(c.t, c.opened)
}

// A takeover whose answer is lost has happened all the same: whose key it was does
// not go on as if it still were.
func TestALostAnswerLeavesNoSecondOpener(t *testing.T) {
	port := startEngine(t)
	way, detour := pave(t, port)
	here, there := startNode(t, port), startNode(t, detour)
	var clients sync.WaitGroup
	old := here.enter(t, "key", 1, &clients)
	old.open("token")
	old.wantOpen()
	way.LoseAnswers(true)
	heir := there.enter(t, "key", 2, &clients)
	heir.open("token")
	old.wantEnd(protocol.KeyTakenOver)
	heir.wantEnd(protocol.TryAgainLater)
	way.LoseAnswers(false)
	require.Eventually(t, func() bool { return entries(t, port) == 0 }, patience, 50*time.Millisecond)
	clients.Wait()
	here.Close()
	there.Close()
}

// A node whose lease was not there, for whatever reason, does not count on its keys
// until it has claimed them again.
func TestALeaseThatWasNotThere(t *testing.T) {
	port := startEngine(t)
	n := startNode(t, port)
	var clients sync.WaitGroup
	c := n.enter(t, "key", 1, &clients)
	c.open("")
	c.wantOpen()
	before, sure := n.Tenure()
	require.True(t, sure)
	require.Equal(t, "1", ask(t, port, "del", "sigver:n:"+n.Name()))
	require.Eventually(t, func() bool {
		now, sure := n.Tenure()
		return sure && now > before
	}, patience, 10*time.Millisecond)
	joining := func() bool {
		j := n.enter(t, "key", 2, &clients)
		j.join()
		require.Eventually(t, func() bool { j.mu.Lock(); defer j.mu.Unlock(); return j.told }, patience, time.Millisecond)
		j.Post(j.leave)
		return j.opened
	}
	require.Eventually(t, joining, patience, 10*time.Millisecond)
	c.Post(c.leave)
	clients.Wait()
	n.Close()
}

// A node that others cannot reach, while the engine answers, may not know that a key
// was taken over.
func TestWhoIsDeafIsNotSure(t *testing.T) {
	port := startEngine(t)
	n := startNode(t, port)
	before, sure := n.Tenure()
	require.True(t, sure)
	ask(t, port, "client", "kill", "type", "pubsub")
	for sure {
		time.Sleep(time.Millisecond)
		var now uint32
		now, sure = n.Tenure()
		require.Equal(t, before, now, "it hears again, and was sure all along")
	}
	require.Eventually(t, func() bool {
		now, sure := n.Tenure()
		return sure && now > before
	}, patience, time.Millisecond)
	n.Close()
}

// A node that nobody reaches is there as long as it has its lease.
func TestANodeThatHearsNothingIsNotDead(t *testing.T) {
	port := startEngine(t)
	n := startNode(t, port)
	answer := func() error {
		answers := make(chan error, 1)
		n.router.Ask(7, []byte("anybody there?"), func(_ []byte, err error) { answers <- err })
		return <-answers
	}
	const lease = "sigver:n:0000000000000007"
	ask(t, port, "set", lease, "1")
	require.ErrorIs(t, answer(), router.ErrDown)
	ask(t, port, "del", lease)
	require.ErrorIs(t, answer(), router.ErrNobody)
	n.Close()
}

// The death of a node is noticed even if the list of nodes was lost, and what it
// leaves is swept.
func TestANodeThatDiesUnlisted(t *testing.T) {
	port := startEngine(t)
	n := startNode(t, port)
	const name = "0000000000000007"
	ask(t, port, "set", "sigver:n:"+name, "1")
	ask(t, port, "sadd", "sigver:nodes", name)
	require.Eventually(t, func() bool { _, nodes := n.State(); return nodes == 2 }, patience, 10*time.Millisecond)
	ask(t, port, "eval", `redis.call('del', 'sigver:nodes') redis.call('del', 'sigver:n:`+name+`')`, "0")
	require.Eventually(t, func() bool {
		return ask(t, port, "sismember", "sigver:nodes", name) == "1"
	}, patience, 50*time.Millisecond)
	_, nodes := n.State()
	require.Equal(t, 1, nodes)
	n.Close()
}

// Where the engine is gone, what a node has goes on.
func TestWhoHasNoEngineIsSureForAWhile(t *testing.T) {
	port := startEngine(t)
	way, detour := pave(t, port)
	n := startNode(t, detour)
	way.Close()
	require.Eventually(t, func() bool {
		up, _ := n.State()
		_, sure := n.Tenure()
		return !up && sure
	}, patience, time.Millisecond)
	n.Close()
}

// Where the engine has forgotten everything, no key gets a second Opener: who has
// it is asked first.
func TestAForgottenKeyIsNobodyElses(t *testing.T) {
	port := startEngine(t)
	a, b := startNode(t, port), startNode(t, port)
	var clients sync.WaitGroup
	first := a.enter(t, "key", 1, &clients)
	first.open("")
	first.wantOpen()
	ask(t, port, "flushall")
	for name := 2; entries(t, port) == 0; name++ {
		second := b.enter(t, "key", name, &clients)
		second.open("")
		second.wantEnd(protocol.TryAgainLater)
	}
	require.Eventually(t, func() bool {
		third := b.enter(t, "key", -1, &clients)
		third.open("")
		require.Eventually(t, func() bool { return third.end() != 0 }, patience, time.Millisecond)
		return third.end() == protocol.KeyExists
	}, patience, 100*time.Millisecond, "others are served again")
	require.Equal(t, 1, entries(t, port))
	require.Zero(t, first.end())
	require.NotEmpty(t, ask(t, port, "get", "sigver:secret"), "the proof of the secret is back")
	first.Post(first.leave)
	clients.Wait()
	a.Close()
	b.Close()
}

// A claim that was asked for before the engine forgot, and is sent when that is known,
// gets no key that may be somebody's.
func TestAClaimFromBeforeTheEngineForgot(t *testing.T) {
	port := startEngine(t)
	c, work := openIdle(t, port)
	defer c.Close()
	require.NoError(t, c.Renew())
	answers := make(chan error, 2)
	claim := func(right router.Right) {
		c.Claim(router.Claim{Key: []byte("key"), Ref: router.Ref{Node: c.Node(), Slot: 1, Gen: 1}, Right: right},
			func(_ router.Ref, err error) { answers <- err })
	}
	claim(router.ByToken)
	ask(t, port, "flushall")
	require.NoError(t, c.Renew())
	work()
	require.ErrorIs(t, <-answers, router.ErrDown)
	claim(router.ByTime) // of who has it
	require.NoError(t, <-answers)
}

// Whoever finds the engine's new memory finds the fence too.
func TestTheFenceComesBeforeTheMemory(t *testing.T) {
	port := startEngine(t)
	c, _ := openIdle(t, port)
	defer c.Close()
	require.NoError(t, c.Renew())
	require.Equal(t, "0", ask(t, port, "exists", "sigver:fence"), "a new cluster is served at once")
	ask(t, port, "flushall")
	monitor := exec.Command("redis-cli", "-p", port, "monitor")
	out, err := monitor.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, monitor.Start())
	defer func() {
		_ = monitor.Process.Kill()
		_ = monitor.Wait()
	}()
	said := bufio.NewScanner(out)
	require.True(t, said.Scan(), "it monitors")
	require.NoError(t, c.Renew())
	ask(t, port, "echo", "the end")
	var order []string
	for said.Scan() && !strings.Contains(said.Text(), "the end") {
		for _, step := range []string{`"SET" "sigver:fence"`, `"SET" "sigver:memory"`, `"GET" "sigver:memory"`, `"PTTL" "sigver:fence"`} {
			if strings.Contains(said.Text(), step) {
				order = append(order, step)
			}
		}
	}
	require.Less(t, slices.Index(order, `"SET" "sigver:fence"`), slices.Index(order, `"SET" "sigver:memory"`))
	require.GreaterOrEqual(t, slices.Index(order, `"SET" "sigver:fence"`), 0)
	slices.Reverse(order)
	require.Less(t, slices.Index(order, `"PTTL" "sigver:fence"`), slices.Index(order, `"GET" "sigver:memory"`), "who reads the memory looks for the fence afterwards")
}

// While the engine is away nothing gathers that has to be done before others are
// served again.
func TestNothingGathersWithoutTheEngine(t *testing.T) {
	port := startEngine(t)
	c, _ := openIdle(t, port)
	defer c.Close()
	c.Away()
	for _, right := range []router.Right{router.ByToken, router.Yielding, router.ByTime} {
		answered := false
		c.Claim(router.Claim{Key: []byte("key"), Right: right}, func(_ router.Ref, err error) {
			answered = true
			require.ErrorIs(t, err, router.ErrNotAsked)
			require.ErrorIs(t, err, router.ErrDown)
		})
		require.True(t, answered)
		wish, made := c.Wish()
		require.Equal(t, right != router.ByToken, made, "what a node has is claimed later")
		require.True(t, !made || wish == right)
	}
	require.Zero(t, c.Waiting())
}

// Whoever waits for an answer when a node stops gets one.
func TestNobodyWaitsForANodeThatStops(t *testing.T) {
	port := startEngine(t)
	c, _ := openIdle(t, port)
	answers := make(chan error, 4)
	ask := func() {
		c.Claim(router.Claim{Key: []byte("key"), Right: router.Yielding}, func(_ router.Ref, err error) { answers <- err })
		c.LookUp([]byte("key"), func(_ router.Ref, err error) { answers <- err })
	}
	ask()
	c.Release([]byte("key"), router.Ref{})
	require.Equal(t, 3, c.Waiting())
	c.Close()
	ask()
	for range 4 {
		require.ErrorIs(t, <-answers, router.ErrDown)
	}
	require.Zero(t, c.Waiting())
}

// What waits at a worker is bounded: who would wait too long is told so, and who
// waits gets his answer.
func TestTooMuchToDo(t *testing.T) {
	port := startEngine(t)
	c, work := openIdle(t, port)
	defer c.Close()
	answers := make(chan error, cluster.MaxAsked+1)
	look := func() {
		c.LookUp([]byte("always the same worker's"), func(_ router.Ref, err error) { answers <- err })
	}
	for range cluster.MaxAsked {
		look()
	}
	require.Empty(t, answers, "there is room")
	look()
	require.ErrorIs(t, <-answers, router.ErrDown)

	work()
	for range cluster.MaxAsked {
		require.Equal(t, router.ErrUnknown, <-answers)
	}
	look()
	require.Equal(t, router.ErrUnknown, <-answers, "there is room again")
}
