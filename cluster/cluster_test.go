package cluster_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"sigver/cluster"
	"sigver/protocol"
	"sigver/router"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// startEngine starts a Redis server and returns its port.
func startEngine(t testing.TB) (port string) {
	t.Helper()
	// Below 32768 no connection to elsewhere takes it in the meantime.
	port = strconv.Itoa(10_000 + rand.IntN(10_000))
	cmd := exec.Command("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "")
	require.NoError(t, cmd.Start(), "apt-get install redis-server")
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}, patience, 10*time.Millisecond)
	return port
}

// node is a table of keys and its part of the cluster.
type node struct {
	*cluster.Cluster
	router *router.Router
}

func configOf(port string) cluster.Config {
	return cluster.Config{URL: "redis://127.0.0.1:" + port, Log: slog.New(slog.DiscardHandler)}
}

// openIdle is cluster.OpenIdle, for what a node does by itself.
func openIdle(t testing.TB, port string) (c *cluster.Cluster, work func()) {
	t.Helper()
	c, work, err := cluster.OpenIdle(configOf(port))
	require.NoError(t, err)
	return c, work
}

func startNode(t testing.TB, port string) *node {
	t.Helper()
	c, err := cluster.Open(configOf(port))
	require.NoError(t, err)
	n := &node{Cluster: c, router: router.New(2, 3)}
	n.router.Cluster(c, false)
	require.NoError(t, c.Run(n.router))
	return n
}

// client is a connection as a server would have it: its session belongs to one
// goroutine, which runs what is posted.
type client struct {
	router.Session
	t    *testing.T
	node *node
	key  string // of all that it does
	name int    // different for each client

	token bool // it opens with one; set before it does

	mu      sync.Mutex
	wake    *sync.Cond
	posted  []func()           // guarded by mu
	ended   bool               // guarded by mu: the session is gone
	told    bool               // guarded by mu: there was an answer
	opened  bool               // guarded by mu: and it was yes
	code    protocol.CloseCode // guarded by mu: of the first Close; 0: none
	seen    map[int]int        // guarded by mu: by name, how many messages came
	last    json.Number        // guarded by mu: id of the last Joining that said something
	said    int                // the session's goroutine only
	scratch []byte             // the same
}

func (n *node) enter(t *testing.T, key string, name int, wg *sync.WaitGroup) *client {
	c := &client{t: t, node: n, key: key, name: name, seen: make(map[int]int)}
	c.wake = sync.NewCond(&c.mu)
	n.router.Attach(&c.Session, c)
	wg.Go(c.run)
	return c
}

func (c *client) run() {
	for {
		c.mu.Lock()
		for len(c.posted) == 0 {
			c.wake.Wait()
		}
		fn := c.posted[0]
		c.posted = c.posted[1:]
		c.mu.Unlock()
		fn()
		c.mu.Lock()
		ended := c.ended
		c.mu.Unlock()
		if ended {
			return
		}
	}
}

// Post implements router.Peer.
func (c *client) Post(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.posted = append(c.posted, fn)
	c.wake.Signal()
}

// Close implements router.Peer: the connection ends a little later.
func (c *client) Close(code protocol.CloseCode, _ string) {
	c.mu.Lock()
	if c.code == 0 {
		c.code = code
	}
	c.mu.Unlock()
	c.Post(c.leave)
}

func (c *client) leave() {
	c.node.router.Gone(&c.Session)
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
}

func (c *client) gone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// words are what clients say: which key they mean, who they are, and how many
// words came before.
type words struct {
	Key  string
	From int
	N    int // of an answer -1
}

// Send implements router.Peer. It checks that nothing is another key's, and that
// of what somebody says nothing is missing, doubled or out of order.
func (c *client) Send(payload []byte) {
	var m struct {
		IsKeyOk *bool
		ID      json.Number
		Data    *words
	}
	if err := json.Unmarshal(payload, &m); err != nil {
		c.t.Errorf("not JSON: %s", payload)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.IsKeyOk != nil {
		if c.told {
			c.t.Errorf("a second answer: %s", payload)
		}
		c.told, c.opened = true, *m.IsKeyOk
	}
	if m.Data == nil {
		return
	}
	if m.Data.Key != c.key {
		c.t.Errorf("client of %s got %s", c.key, payload)
	}
	if m.Data.N < 0 {
		return
	}
	// Who takes a key over hears its Joinings from where they are.
	next, known := c.seen[m.Data.From]
	if m.Data.N != next && (known || !c.token) {
		c.t.Errorf("word %d of client %d in place of %d", m.Data.N, m.Data.From, next)
	}
	c.seen[m.Data.From] = m.Data.N + 1
	c.last = m.ID
}

// do handles m on the session's goroutine.
func (c *client) do(make func() protocol.Message) {
	c.Post(func() {
		m := make()
		scratch, err := c.node.router.Handle(&c.Session, &m, c.scratch)
		c.scratch = scratch
		var why *protocol.Error
		if errors.As(err, &why) {
			c.Close(why.Code, why.Detail)
		}
	})
}

func (c *client) open(token string) {
	c.token = token != ""
	c.do(func() protocol.Message {
		m := protocol.Message{Kind: protocol.Open, Key: []byte(c.key)}
		if token != "" {
			m.Token = []byte(token)
		}
		return m
	})
}

func (c *client) join() {
	c.do(func() protocol.Message { return protocol.Message{Kind: protocol.Join, Key: []byte(c.key)} })
}

// speak says something to the Opener.
func (c *client) speak() {
	c.do(func() protocol.Message {
		c.said++
		return protocol.Message{Kind: protocol.ToOpener, Data: c.words(c.said - 1)}
	})
}

// answer says something to the Joining that spoke last.
func (c *client) answer() {
	c.do(func() protocol.Message {
		c.mu.Lock()
		defer c.mu.Unlock()
		id, _ := c.last.Int64()
		c.last = ""
		if id == 0 {
			id = 1 // nobody's, most likely
		}
		return protocol.Message{Kind: protocol.ToJoining, ID: uint32(id), Data: c.words(-1)}
	})
}

func (c *client) words(n int) []byte {
	text, _ := json.Marshal(words{c.key, c.name, n})
	return text
}

// entries counts the engine's keys of clients.
func entries(t *testing.T, port string) int {
	out, err := exec.Command("redis-cli", "-p", port, "--scan", "--pattern", "sigver:k:*").Output()
	require.NoError(t, err)
	return strings.Count(string(out), "sigver:k:")
}

// TestStormOverNodes lets many clients of three nodes do everything at a time with
// few keys. What the nodes and the engine have agrees when it is quiet.
func TestStormOverNodes(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	port := startEngine(t)
	nodes := []*node{startNode(t, port), startNode(t, port), startNode(t, port)}
	var clients, storm sync.WaitGroup
	var stay [5]*client
	for g := range 6 {
		storm.Go(func() {
			chance := rand.New(rand.NewPCG(seed, uint64(g)))
			var present [5]*client
			for step := range 4000 {
				i := chance.IntN(len(present))
				c := present[i]
				if c == nil || c.gone() {
					key := fmt.Sprint("key ", chance.IntN(4))
					c = nodes[chance.IntN(len(nodes))].enter(t, key, g*1_000_000+step, &clients)
					present[i] = c
					switch chance.IntN(4) {
					case 0:
						c.open("")
					case 1:
						c.open("token")
					default:
						c.join()
					}
				}
				switch draw := chance.IntN(20); {
				case draw == 0:
					c.Post(c.leave)
					present[i] = nil
				case draw < 8:
					c.speak() // of an Opener, its end
				default:
					c.answer()
				}
				if chance.IntN(4) == 0 {
					time.Sleep(time.Duration(chance.IntN(2000)) * time.Microsecond)
				}
			}
			time.Sleep(100 * time.Millisecond)
			if g == 0 {
				stay = present
				return
			}
			for _, c := range present {
				if c != nil && !c.gone() {
					c.Post(c.leave)
				}
			}
		})
	}
	storm.Wait()

	agree := func() error {
		keys := 0
		for i, n := range nodes {
			if err := n.router.Check(); err != nil {
				return fmt.Errorf("node %d: %w", i, err)
			}
			keys += n.router.Stats().Keys
		}
		if there := entries(t, port); there != keys {
			return fmt.Errorf("the engine has %d keys, the nodes have %d", there, keys)
		}
		return nil
	}
	eventually := func() {
		t.Helper()
		var err error
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			if err = agree(); err == nil {
				return
			}
		}
		require.NoError(t, err)
	}
	eventually()
	for _, c := range stay {
		if c != nil && !c.gone() {
			c.Post(c.leave)
		}
	}
	clients.Wait()
	eventually()
	for _, n := range nodes {
		require.Zero(t, n.router.Stats())
	}
	for _, n := range nodes {
		n.Close()
	}
}
