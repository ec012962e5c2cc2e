package router_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/protocol"
	"sigver/router"
)

// FuzzRouter reads its input as operations of a few clients on a few keys and
// compares every message and every close with those of a simple model.
func FuzzRouter(f *testing.F) {
	for seed := range uint64(16) {
		f.Add(randomOperations(seed, 100))
	}
	f.Fuzz(func(t *testing.T, operations []byte) {
		runModel(t, operations)
	})
}

// TestModel does the same with longer random input.
func TestModel(t *testing.T) {
	seed := newSeed(t)
	for i := range uint64(20) {
		runModel(t, randomOperations(seed+i, 1500))
	}
}

func randomOperations(seed uint64, n int) []byte {
	random := rand.New(rand.NewPCG(seed, 0))
	operations := make([]byte, 2*n+1)
	for i := range operations {
		operations[i] = byte(random.Uint32())
	}
	return operations
}

// runModel takes the limit of Joinings from the first byte and an operation from
// each two that follow.
func runModel(t *testing.T, input []byte) {
	if len(input) == 0 {
		return
	}
	m := &model{
		t:           t,
		maxJoinings: int(input[0] % 4),
		keys:        make(map[string]*modelKey),
	}
	m.router = router.New(2, m.maxJoinings)
	for input = input[1:]; len(input) >= 2; input = input[2:] {
		m.step(input[0], input[1])
		m.compare()
	}
	for i := range m.slots {
		m.leave(i)
		m.compare()
	}
	require.Empty(t, m.keys)
	require.Zero(t, m.router.Stats())
}

// model is what the router should be: a map of keys, told in as few words as
// possible and used by one goroutine.
type model struct {
	t           *testing.T
	router      *router.Router
	maxJoinings int
	keys        map[string]*modelKey
	slots       [8]*modelClient
}

type modelKey struct {
	name, token string
	holder      *modelClient
	joinings    map[*modelClient]bool
}

type modelClient struct {
	real    *client
	opened  *modelKey
	joined  *modelKey
	id      uint32 // 0 until an Opener has been told
	wants   []want // not yet compared
	code    protocol.CloseCode
	refused bool // closed itself by a wrong message; does nothing but leave
}

// want is a message that should come. If from is not nil, format has a place
// for its id.
type want struct {
	from   *modelClient
	format string
}

// expect notes a message to c.
func (c *modelClient) expect(from *modelClient, format string) {
	if c.code == 0 {
		c.wants = append(c.wants, want{from, format})
	}
}

// close notes a close of c.
func (c *modelClient) close(code protocol.CloseCode) {
	if c.code == 0 {
		c.code = code
	}
}

// step does one operation: choice says by whom and with which key, or that one
// leaves; what says what is done, and with which token or to whom.
func (m *model) step(choice, what byte) {
	slot := int(choice % 8)
	if choice>>3 == 0 {
		m.leave(slot)
		return
	}
	if m.slots[slot] != nil && m.slots[slot].refused {
		m.leave(slot)
	}
	if m.slots[slot] == nil {
		m.slots[slot] = &modelClient{real: newClient(m.t, m.router)}
	}
	c := m.slots[slot]
	key := string('a' + rune(choice>>3%3))
	data := fmt.Sprintf(`[%d,%d]`, choice, what)
	var got, expected protocol.CloseCode
	switch what % 6 {
	case 0, 1:
		token := []string{"", "s", "t", "long-secret-of-more-than-thirty-two-bytes"}[what>>3%4]
		got, expected = c.real.open(key, token), m.open(c, key, token)
	case 2:
		got, expected = c.real.join(key), m.join(c, key, "")
	case 3:
		got, expected = c.real.joinWith(key, data), m.join(c, key, data)
	case 4:
		got, expected = c.real.toOpener(data), m.toOpener(c, data)
	case 5:
		to := m.slots[what>>3%8]
		if to == nil || to.id == 0 {
			to = &modelClient{id: 1}
		}
		got, expected = c.real.toJoining(to.id, data), m.toJoining(c, to, data)
	}
	require.Equal(m.t, expected, got)
	if expected != 0 {
		c.close(expected)
		c.refused = true
	}
}

func (m *model) open(c *modelClient, name, token string) protocol.CloseCode {
	key := m.keys[name]
	switch {
	case c.opened != nil || c.joined != nil:
		return protocol.AlreadyBound
	case key == nil:
		key = &modelKey{name: name, token: token, joinings: make(map[*modelClient]bool)}
		m.keys[name] = key
	case key.token == "" || key.token != token:
		c.expect(nil, keyNotOk)
		return protocol.KeyExists
	default:
		key.holder.close(protocol.KeyTakenOver)
	}
	c.expect(nil, keyOk)
	c.opened = key
	key.holder = c
	return 0
}

func (m *model) join(c *modelClient, name, data string) protocol.CloseCode {
	key := m.keys[name]
	switch {
	case c.opened != nil || c.joined != nil:
		return protocol.AlreadyBound
	case key == nil:
		c.expect(nil, keyNotOk)
		return protocol.KeyUnknown
	case m.maxJoinings > 0 && len(key.joinings) == m.maxJoinings:
		c.expect(nil, keyNotOk)
		return protocol.TooManyJoinings
	}
	c.expect(nil, keyOk)
	c.joined = key
	key.joinings[c] = true
	if data != "" {
		key.holder.expect(c, `{"id":%d,"data":`+data+`}`)
	}
	return 0
}

func (m *model) toOpener(c *modelClient, data string) protocol.CloseCode {
	if c.joined == nil {
		return protocol.TransmitBeforeJoin
	}
	if c.joined.holder != nil {
		c.joined.holder.expect(c, `{"id":%d,"data":`+data+`}`)
	}
	return 0
}

func (m *model) toJoining(c, to *modelClient, data string) protocol.CloseCode {
	switch {
	case c.opened == nil:
		return protocol.TransmitBeforeOpen
	case c.opened.holder != c:
	case c.opened.joinings[to]:
		to.expect(nil, `{"data":`+data+`}`)
	default:
		c.expect(to, `{"id":%d,"unavailable":"true"}`)
	}
	return 0
}

// leave takes the client of a slot away, in the model and in the router.
func (m *model) leave(slot int) {
	c := m.slots[slot]
	if c == nil {
		return
	}
	c.real.Gone()
	switch {
	case c.opened != nil && c.opened.holder == c:
		for joining := range c.opened.joinings {
			joining.close(protocol.OpenerNoLongerAvailable)
		}
		delete(m.keys, c.opened.name)
		c.opened.holder = nil
		clear(c.opened.joinings)
	case c.joined != nil && c.joined.holder != nil:
		delete(c.joined.joinings, c)
		c.joined.holder.expect(c, `{"id":%d,"unavailable":"true"}`)
	}
	m.check(c)
	m.compare()
	m.slots[slot] = nil
}

// compare holds everything that can be seen of the router against the model.
func (m *model) compare() {
	for _, c := range m.slots {
		if c != nil {
			m.check(c)
		}
	}
	var expected router.Stats
	for _, key := range m.keys {
		expected.Keys++
		expected.Joinings += len(key.joinings)
	}
	require.Equal(m.t, expected, m.router.Stats())
	require.NoError(m.t, m.router.Check())
}

// check compares what c should have got with what it got. It learns the id of a
// Joining from the first message that has it.
func (m *model) check(c *modelClient) {
	got := c.real.take()
	require.Len(m.t, got, len(c.wants))
	for i, want := range c.wants {
		expected := want.format
		if want.from != nil {
			m.learnID(want.from, got[i])
			expected = fmt.Sprintf(want.format, want.from.id)
		}
		require.Equal(m.t, expected, got[i])
	}
	c.wants = nil
	require.Equal(m.t, c.code, c.real.closedWith())
}

// learnID takes the id of c, if that is not known yet, from a message about it.
func (m *model) learnID(c *modelClient, message string) {
	if c.id != 0 {
		return
	}
	id := idOf(m.t, message)
	require.GreaterOrEqual(m.t, id, uint32(1))
	require.LessOrEqual(m.t, id, uint32(math.MaxInt32))
	for other := range c.joined.joinings {
		require.NotEqual(m.t, id, other.id, "two Joinings have one id")
	}
	c.id = id
}
