package e2e

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/blake2b"

	"sigver/soak/cable"
)

// Three nodes and their engine, while nodes are killed, stopped for longer than
// their lease and cut off, from everything or from the engine alone, and the engine
// is stopped, killed and made to forget, each at least once and in random order.
//
// All along no join reaches anybody but the one who has the key, every message comes
// back as it was sent or both sides learn that it does not. Some keys have a token, with
// which those who compete for them take them over from each other. When it is quiet the
// nodes, the engine and the clients agree on who has which key at which node, and in the
// end nothing is left. SEED repeats a run's choices, FAULTS=10m makes it longer.
func TestAClusterUnderFaults(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	var long time.Duration // one round of all faults at least
	if text := os.Getenv("FAULTS"); text != "" {
		var err error
		long, err = time.ParseDuration(text)
		require.NoError(t, err)
	}
	t.Logf("SEED=%d", seed)
	chance := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(t)
	leaving, joiningsLeave := context.WithCancel(t.Context())
	ctx, openersLeave := context.WithCancel(t.Context())
	defer openersLeave()
	defer joiningsLeave()
	var openers, joinings sync.WaitGroup
	for k := range 20 {
		key := fmt.Sprintf("key %d", k)
		for i := range 2 { // who compete for it
			chance := rand.New(rand.NewPCG(seed, uint64(100+10*k+i)))
			openers.Go(func() { w.openers(ctx, key, chance) })
		}
		for i := range 2 {
			chance := rand.New(rand.NewPCG(seed, uint64(105+10*k+i)))
			joinings.Go(func() { w.joinings(leaving, key, chance) })
		}
	}
	for end := time.Now().Add(long); ; {
		for _, kind := range chance.Perm(len(faults)) {
			time.Sleep(time.Duration(1+chance.IntN(2)) * time.Second)
			w.fault(kind, chance)
		}
		if time.Now().After(end) || t.Failed() {
			break
		}
	}
	before := w.echoes()
	eventually(t, func() bool { return w.echoes() > before+500 }, "all is well again")
	joiningsLeave()
	joinings.Wait()
	w.quiet.Store(true)
	require.Eventually(t, w.agree, forgotten, 200*time.Millisecond, "nodes, engine and clients do not agree")
	openersLeave()
	openers.Wait()
	t.Logf("%d echoes, %d joins, %d opens, %d losses told to Joinings; faults: %v", w.echoed, w.joined, w.opened, w.told, w.faults)
	require.Greater(t, w.joined, 100)

	for i := range w.nodes {
		require.Equal(t, 200, w.status(i), "node %d lives", i)
	}
	require.Eventually(t, func() bool { return w.engine.keys() == 0 }, time.Minute, time.Second, "entries are left")
}

// world is what the test has set up and what its clients have seen. Of its nodes the
// last is at the far end of a cable, and the one before it has a way to the engine
// that can be blocked.
type world struct {
	t      *testing.T
	engine *engine
	line   *cable.Cable
	way    *cable.Way
	ports  []string
	admins []string
	nodes  []*instance

	quiet   atomic.Bool  // Openers stay until they are told to leave
	numbers atomic.Int64 // of Openers, so far

	mu                           sync.Mutex            // guards all below
	held                         map[string][]*holding // by key
	echoed, joined, opened, told int
	faults                       []string
}

// holding is one Opener's time with a key, as it saw it.
type holding struct {
	number   int64
	node     int
	from, to time.Time       // to is zero while it lasts
	present  map[string]bool // ids of Joinings that have said something and not left
}

func newWorld(t *testing.T) *world {
	e := startEngine(t)
	w := &world{t: t, engine: e, line: lay(t), held: make(map[string][]*holding)}
	var err error
	w.way, err = cable.Pave("127.0.0.1:" + e.port)
	require.NoError(t, err)
	t.Cleanup(w.way.Close)
	for i := range 3 {
		w.ports, w.admins = append(w.ports, freePort(t)), append(w.admins, freePort(t))
		w.nodes = append(w.nodes, w.startNode(i))
	}
	return w
}

func (w *world) host(i int) string {
	if i == 2 {
		return w.line.Far
	}
	return "127.0.0.1"
}

func (w *world) startNode(i int) *instance {
	engine := []string{w.engine.url(), "redis://" + w.way.Addr, "redis://" + w.line.Local + ":" + w.engine.port}[i]
	args := []string{
		"--host", w.host(i), "--port", w.ports[i], "--admin", w.host(i) + ":" + w.admins[i], "--cluster", engine,
		"--max-guesses", "0", "--heartbeat", "2s", "--drain", "0", "--rate", "0",
	}
	if i == 2 {
		return startCommand(w.t, w.line.Command(program, args...))
	}
	return startCommand(w.t, exec.Command(program, args...))
}

func (w *world) url(i int) string { return "ws://" + w.host(i) + ":" + w.ports[i] }

func (w *world) status(i int) int {
	resp, err := http.Get("http://" + w.host(i) + ":" + w.ports[i] + "/healthz")
	require.NoError(w.t, err)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// agree reports whether nodes, engine and clients have the same Openers, and nobody
// counts a Joining that is gone.
func (w *world) agree() bool {
	keys, joinings := make(map[string]int), 0 // by node
	seen := make(map[string]int)              // the same, as clients see it
	homes := make(map[string]string)          // of keys
	for i := range w.nodes {
		now := scrape(w.t, "http://"+w.host(i)+":"+w.admins[i])
		keys[w.name(i)] = int(now["sigver_keys"])
		joinings += int(now["sigver_joinings"])
		seen[w.name(i)] = 0
	}
	entries := w.entries()
	w.mu.Lock()
	defer w.mu.Unlock()
	holders, present := 0, 0
	for key, all := range w.held {
		for _, h := range all {
			if h.to.IsZero() {
				holders++
				seen[w.name(h.node)]++
				homes[entryOf(key)] = w.name(h.node)
				present += len(h.present)
			}
		}
	}
	agreed := maps.Equal(keys, seen) && maps.Equal(entries, homes) && len(homes) == holders && joinings == 0 && present == 0
	if !agreed {
		w.t.Logf("nodes: %v keys, %d Joinings; engine: %d keys; clients: %v of %d keys, %d Joinings", keys, joinings, len(entries), seen, len(homes), present)
	}
	return agreed
}

// entries is which node has which key by the engine, as it names them (cluster/entry.go).
func (w *world) entries() map[string]string {
	const list = `
local function hex(s) return (string.gsub(s, '.', function(c) return string.format('%02x', string.byte(c)) end)) end
local all = {}
for _, key in ipairs(redis.call('KEYS', 'sigver:k:*')) do
	all[#all + 1] = hex(string.sub(key, 10)) .. ' ' .. hex(string.sub(redis.call('GET', key), 1, 8))
end
return all`
	entries := make(map[string]string)
	for line := range strings.Lines(redisCLI(w.t, w.engine.port, "eval", list, "0")) {
		if key, node, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			entries[key] = node
		}
	}
	return entries
}

// entryOf is how the engine names key, without a secret.
func entryOf(key string) string {
	secret := blake2b.Sum256([]byte("sigver cluster "))
	name, _ := blake2b.New(16, secret[:]) // these sizes are right
	name.Write([]byte("key:" + key))
	return hex.EncodeToString(name.Sum(nil))
}

var ownName = regexp.MustCompile(`a node of a cluster.*node=([0-9a-f]{16})`)

// name is what node i calls itself.
func (w *world) name(i int) string {
	found := ownName.FindStringSubmatch(w.nodes[i].logged())
	require.NotNil(w.t, found)
	return found[1]
}

// faults are what can happen to a world. A lease is 10 s.
var faults = []struct {
	what       string
	least, may time.Duration // how long it lasts
	do         func(w *world, node int, last func())
}{
	{"a node is killed", 0, 0, func(w *world, node int, _ func()) {
		_ = w.nodes[node].cmd.Process.Kill()
		<-w.nodes[node].done
		w.nodes[node] = w.startNode(node)
	}},
	{"a node is stopped for a moment", 100 * time.Millisecond, 3 * time.Second, (*world).stopNode},
	{"a node is stopped for longer than its lease", 11 * time.Second, 3 * time.Second, (*world).stopNode},
	{"the engine is killed", 0, time.Second, func(w *world, _ int, last func()) {
		w.engine.kill()
		last()
		w.engine.run()
	}},
	{"the engine is killed and emptied", 0, time.Second, func(w *world, _ int, last func()) {
		w.engine.kill()
		w.engine.forget()
		last()
		w.engine.run()
	}},
	{"the engine is stopped", 100 * time.Millisecond, 7 * time.Second, func(w *world, _ int, last func()) {
		_ = w.engine.cmd.Process.Signal(syscall.SIGSTOP)
		last()
		_ = w.engine.cmd.Process.Signal(syscall.SIGCONT)
	}},
	{"a node is cut off", time.Second, 13 * time.Second, func(w *world, _ int, last func()) {
		require.NoError(w.t, w.line.Pull())
		last()
		require.NoError(w.t, w.line.Plug())
	}},
	{"a node is cut off from the engine", 8 * time.Second, 5 * time.Second, func(w *world, _ int, last func()) {
		w.way.Hold(true)
		last()
		w.way.Hold(false)
	}},
}

func (w *world) stopNode(node int, last func()) {
	w.nodes[node].signal(syscall.SIGSTOP)
	last()
	w.nodes[node].signal(syscall.SIGCONT)
}

func (w *world) fault(kind int, chance *rand.Rand) {
	f := faults[kind]
	long, node := f.least, chance.IntN(len(w.nodes))
	if f.may > 0 {
		long += time.Duration(chance.Int64N(int64(f.may)))
	}
	w.mu.Lock()
	w.faults = append(w.faults, fmt.Sprintf("%s (%d, %v)", f.what, node, long.Round(time.Millisecond)))
	w.mu.Unlock()
	f.do(w, node, func() { time.Sleep(long) })
}

func (w *world) echoes() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.echoed
}

// forgotten is how long a client waits for what may never come because its node is
// cut off: longer than any lease or heartbeat.
const forgotten = 40 * time.Second

type post struct {
	IsKeyOk     *bool
	ID          json.Number
	Data        *said
	Unavailable string
}

// said is what Joinings say: everything about themselves. Openers send it back.
type said struct {
	Key     string
	Begun   time.Time // when its connection was made
	N       int
	Padding string
	Opener  int64 `json:",omitempty"` // number of the one who sends it back
}

func (w *world) dial(ctx context.Context, node int) (*websocket.Conn, error) {
	dialing, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(dialing, w.url(node), nil)
	return conn, err
}

func (w *world) anyNode(chance *rand.Rand) int { return chance.IntN(len(w.ports)) }

// hasToken reports whether key is opened with one, always the same.
func hasToken(key string) bool { return strings.HasSuffix(key, "0") || strings.HasSuffix(key, "5") }

func receive(ctx context.Context, conn *websocket.Conn, within time.Duration) (p post, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	// While the cable was out the node may have given the connection up. A client
	// that only reads is never told by TCP.
	defer time.AfterFunc(within/2, func() {
		pinging, cancel := context.WithTimeout(ctx, within/4)
		defer cancel()
		if conn.Ping(pinging) != nil {
			_ = conn.CloseNow()
		}
	}).Stop()
	_, text, err := conn.Read(ctx)
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	return p, err
}

func write(ctx context.Context, conn *websocket.Conn, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return conn.Write(ctx, websocket.MessageText, text)
}

// openers opens key again and again, and sends back what it gets.
func (w *world) openers(ctx context.Context, key string, chance *rand.Rand) {
	for ctx.Err() == nil {
		node, pause := w.anyNode(chance), 400
		if conn, err := w.dial(ctx, node); err == nil {
			err := w.opener(ctx, conn, node, key, chance)
			_ = conn.CloseNow()
			if websocket.CloseStatus(err) == 4012 { // who has it now shall have it for a while
				pause = 10_000
				if w.quiet.Load() {
					return
				}
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(chance.IntN(pause)) * time.Millisecond):
		}
	}
}

// opener opens key once. The error is why that ended, if it was the server who did.
func (w *world) opener(ctx context.Context, conn *websocket.Conn, node int, key string, chance *rand.Rand) error {
	open := map[string]any{"open": key}
	if hasToken(key) {
		open["token"] = "secret"
	}
	if err := write(ctx, conn, open); err != nil {
		return err
	}
	p, err := receive(ctx, conn, forgotten)
	if err != nil || p.IsKeyOk == nil || !*p.IsKeyOk {
		return err
	}
	h := &holding{number: w.numbers.Add(1), node: node, from: time.Now(), present: make(map[string]bool)}
	w.mu.Lock()
	w.opened++
	w.held[key] = append(w.held[key], h)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		h.to = time.Now()
		w.mu.Unlock()
	}()
	end := time.Now().Add(time.Duration(1+chance.IntN(20)) * time.Second)
	for w.quiet.Load() || time.Now().Before(end) {
		within := time.Until(end)
		if w.quiet.Load() {
			within = forgotten
		}
		p, err := receive(ctx, conn, within)
		if err != nil {
			return err
		}
		w.mu.Lock()
		if p.Unavailable != "" {
			delete(h.present, p.ID.String())
		} else {
			h.present[p.ID.String()] = true
		}
		w.mu.Unlock()
		if p.Data == nil {
			continue
		}
		if p.Data.Key != key {
			w.t.Errorf("the Opener of %s got what was for %s", key, p.Data.Key)
		}
		w.check(key, h, p.Data)
		p.Data.Opener = h.number
		if err := write(ctx, conn, map[string]any{"id": p.ID, "data": p.Data}); err != nil {
			return err
		}
	}
	return nil
}

// check finds a join that came to h although, when it began, a newer Opener had the key.
// If that one had left, the key was free, and a node whose lease had been over may
// have claimed it again for h.
func (w *world) check(key string, h *holding, d *said) {
	if d.N != 0 {
		return
	}
	begun := d.Begun
	if hasToken(key) {
		// A node that is cut off is not told of a takeover. It counts on its lease.
		begun = begun.Add(-10 * time.Second)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, other := range w.held[key] {
		stayed := other.to.IsZero() || other.to.After(d.Begun)
		if other != h && other.from.After(h.from) && other.from.Before(begun) && stayed {
			w.t.Errorf("%s was joined at %v at an Opener that had it since %v; another has it since %v",
				key, d.Begun, h.from, other.from)
		}
	}
}

// joinings joins key again and again, and checks what comes back.
func (w *world) joinings(ctx context.Context, key string, chance *rand.Rand) {
	for ctx.Err() == nil {
		begun := time.Now()
		if conn, err := w.dial(ctx, w.anyNode(chance)); err == nil {
			w.joining(ctx, conn, key, begun, chance)
			_ = conn.CloseNow()
		}
		time.Sleep(time.Duration(chance.IntN(200)) * time.Millisecond)
	}
}

func (w *world) joining(ctx context.Context, conn *websocket.Conn, key string, begun time.Time, chance *rand.Rand) {
	begun = begun.Round(0) // as JSON has it
	opener := int64(0)
	for n := range 1 + chance.IntN(40) {
		d := said{Key: key, Begun: begun, N: n, Padding: strings.Repeat("x", chance.IntN(500))}
		m := map[string]any{"data": d}
		if n == 0 {
			m["join"] = key
		}
		if write(ctx, conn, m) != nil {
			return
		}
		if n == 0 {
			if p, err := receive(ctx, conn, forgotten); err != nil || p.IsKeyOk == nil || !*p.IsKeyOk {
				w.silent(ctx, err)
				return
			}
			w.mu.Lock()
			w.joined++
			w.mu.Unlock()
		}
		within := forgotten
		if hasToken(key) {
			within = 5 * time.Second // whoever was taken over at the Opener's node does not answer
		}
		p, err := receive(ctx, conn, within)
		if err != nil {
			if !hasToken(key) {
				w.silent(ctx, err)
			}
			return
		}
		if p.Data != nil && (n == 0 || hasToken(key)) {
			opener = p.Data.Opener
		}
		d.Opener = opener
		if p.Data == nil || !p.Data.Begun.Equal(begun) {
			w.t.Errorf("%s got back %+v for %+v", key, p.Data, d)
			return
		}
		p.Data.Begun = begun
		if *p.Data != d {
			w.t.Errorf("%s got back %+v for %+v", key, p.Data, d)
			return
		}
		w.mu.Lock()
		w.echoed++
		w.mu.Unlock()
		time.Sleep(time.Duration(chance.IntN(60)) * time.Millisecond)
	}
}

// silent complains of a message that was lost and nobody told: the connection has
// to end, where only waiting has.
func (w *world) silent(ctx context.Context, err error) {
	w.mu.Lock()
	w.told++
	w.mu.Unlock()
	if err != nil && ctx.Err() == nil && strings.Contains(err.Error(), context.DeadlineExceeded.Error()) {
		w.t.Errorf("neither an answer nor an end in %v: %v", forgotten, err)
	}
}

// keys counts the engine's entries.
func (e *engine) keys() int {
	e.t.Helper()
	out, err := exec.Command("redis-cli", "-p", e.port, "--scan", "--pattern", "sigver:k:*").Output()
	require.NoError(e.t, err)
	return strings.Count(string(out), "sigver:k:")
}

// forget throws away what it had saved.
func (e *engine) forget() {
	require.NoError(e.t, os.RemoveAll(e.dir))
	require.NoError(e.t, os.MkdirAll(e.dir, 0o755))
}
