//go:build !race

// A server with the race detector takes many times the memory and the time.

package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// An attack is what one bad client does, over and over, each time with a connection
// of its own, and what the server has to do about it.
type attack struct {
	flags []string                              // of a server that it hits within a second or two
	over  func(testing.TB, ...string) *instance // start, if nil
	many  int                                   // attackers
	rest  time.Duration                         // of each, in between
	// once is one time of it. It returns how the server ended it: the status of an
	// HTTP answer, the code of a close frame, or one of the words below.
	once func(a *attacker) string
	// ends are those that may be, each of which has to be.
	ends []string
	// counted is what the server has to have counted, at least once for each time
	// that ended as ends[0].
	counted string
}

// Ends without an answer.
const (
	closed       = "closed"        // by the server, without a word
	left         = "left"          // by the attacker
	held         = "held"          // the server did nothing
	notConnected = "not connected" // at all
)

var (
	aHeaderFlood = "GET / HTTP/1.1\r\n" + strings.Repeat("X-Filler: "+strings.Repeat("x", 90)+"\r\n", 200)
	fragments    = masked(0x01, "x") + strings.Repeat(masked(0x00, "x"), 1000)
	pings        = strings.Repeat(masked(0x89, "ping"), 1000)
	brackets     = masked(0x81, strings.Repeat("[", 64<<10))
	longData     = masked(0x81, `{"data":"`+strings.Repeat("x", 20000)+`"}`)
)

var attacks = map[string]attack{
	"slowloris": {
		flags: []string{"--handshake-timeout", "1s"},
		many:  32,
		rest:  100 * time.Millisecond,
		once: func(a *attacker) string {
			for _, b := range []byte(strings.Repeat(upgradeRequest[:60], 10)) {
				_ = a.write(string(b))
				if a.ends(100 * time.Millisecond) {
					break
				}
			}
			return a.end()
		},
		ends:    []string{"408"},
		counted: `sigver_refusals_total{status="408",reason="timeout"}`,
	},
	"header flood": {
		many: 32,
		rest: 100 * time.Millisecond,
		once: func(a *attacker) string {
			_ = a.write(aHeaderFlood)
			return a.end()
		},
		ends:    []string{"431"},
		counted: `sigver_refusals_total{status="431",reason="header_size"}`,
	},
	"one-byte fragments": {
		flags: []string{"--rate", "100", "--burst", "500"},
		many:  32,
		rest:  100 * time.Millisecond,
		once: func(a *attacker) string {
			_ = a.write(upgradeRequest + fragments)
			return a.end()
		},
		ends:    []string{"4029"},
		counted: `sigver_closes_total{code="4029",name="RATE_LIMITED"}`,
	},
	"ping flood": {
		flags: []string{"--rate", "100", "--burst", "500"},
		many:  32,
		rest:  100 * time.Millisecond,
		once: func(a *attacker) string {
			_ = a.write(upgradeRequest + pings)
			return a.end()
		},
		ends:    []string{"4029"},
		counted: `sigver_closes_total{code="4029",name="RATE_LIMITED"}`,
	},
	"half a TLS hello": {
		flags: []string{"--handshake-timeout", "1s"},
		over:  startTLS,
		many:  32,
		rest:  100 * time.Millisecond,
		once: func(a *attacker) string {
			_ = a.write("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
			return a.end()
		},
		ends: []string{closed},
	},
	"brackets": {
		many: 4,
		rest: 100 * time.Millisecond,
		once: func(a *attacker) string {
			_ = a.write(upgradeRequest + brackets)
			return a.end()
		},
		ends:    []string{"4000"},
		counted: `sigver_closes_total{code="4000",name="MESSAGE_ERROR"}`,
	},
	// The attackers share two addresses, which then have too many new connections.
	"connect and reset": {
		flags: []string{"--accept-rate", "20"},
		many:  16,
		rest:  100 * time.Millisecond,
		once: func(a *attacker) string {
			a.number %= 2
			for range 5 {
				b := a.another()
				if b.conn == nil {
					return notConnected
				}
				_ = b.conn.(*net.TCPConn).SetLinger(0)
				_ = b.conn.Close()
			}
			// Those that are gone before they are accepted have no address any more.
			var last *attacker
			for range 3 {
				if last = a.another(); last.conn == nil {
					return notConnected
				}
			}
			if last.ends(50 * time.Millisecond) {
				return closed
			}
			return left
		},
		ends:    []string{closed, left},
		counted: `sigver_turned_away_total{reason="accept_rate"}`,
	},
	"a slow reader": {
		flags: []string{"--max-buffer", "64KiB"},
		many:  1, // who moves as many bytes as this machine copies in that time
		rest:  100 * time.Millisecond,
		once: func(a *attacker) string {
			key := a.name()
			_ = a.write(upgradeRequest + masked(0x81, `{"open":"`+key+`"}`))
			if !a.reads(`{"isKeyOk":true}`) {
				return held
			}
			b := a.another()
			if b.conn == nil {
				return notConnected
			}
			_ = b.write(upgradeRequest + masked(0x81, `{"join":"`+key+`"}`))
			for range 400 {
				if b.write(longData) != nil || b.ends(time.Millisecond) {
					break
				}
			}
			return b.end() // a itself never reads again
		},
		ends:    []string{"4020"}, // of the one who writes
		counted: `sigver_closes_total{code="1008",name="SLOW_CONSUMER"}`,
	},
	// Half a message each, whose rest would be waited for longer than a test may take.
	"slow posts": {
		many: 32,
		rest: 100 * time.Millisecond,
		once: func(a *attacker) string {
			_ = a.write("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n" + strings.Repeat("x", 30000))
			for range 10 {
				if a.ends(100*time.Millisecond) || a.write("x") != nil {
					return a.end()
				}
			}
			return left
		},
		ends: []string{left},
	},
	// Nobody is stopped for asking; it must not cost others.
	"requests of HTTP": {
		many: 16,
		rest: 100 * time.Millisecond,
		once: func(a *attacker) string {
			_ = a.write(strings.Repeat("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n", 9) +
				"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
			return a.end()
		},
		ends: []string{"200"},
	},
	"joins of unknown keys": {
		flags: []string{"--max-guesses", "10"},
		many:  32,
		rest:  100 * time.Millisecond,
		once: func(a *attacker) string {
			_ = a.write(upgradeRequest + masked(0x81, `{"join":"`+a.name()+`"}`))
			return a.end()
		},
		ends:    []string{"429", "4011"},
		counted: `sigver_refusals_total{status="429",reason="guesses"}`,
	},
}

// attacker is one bad client. Its errors are what it deserves, but how it ends is
// known.
type attacker struct {
	addr    string
	conn    net.Conn // nil if there is none
	number  int
	time    int
	got     []byte
	err     error // that ended reading
	brought []*attacker
}

func (a *attacker) write(text string) error {
	_, err := a.conn.Write([]byte(text))
	return err
}

// reads waits until text has come.
func (a *attacker) reads(text string) bool {
	_ = a.conn.SetReadDeadline(time.Now().Add(patience))
	for buf := make([]byte, 4096); a.err == nil && !strings.Contains(string(a.got), text); {
		var n int
		n, a.err = a.conn.Read(buf)
		a.got = append(a.got, buf[:n]...)
	}
	return a.err == nil
}

// ends waits for the end of the connection for a while.
func (a *attacker) ends(within time.Duration) bool {
	_ = a.conn.SetReadDeadline(time.Now().Add(within))
	for buf := make([]byte, 4096); a.err == nil; {
		n, err := a.conn.Read(buf)
		a.got = append(a.got, buf[:n]...)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
		a.err = err
	}
	return true
}

// end is how the server ends the connection, see attack.once.
func (a *attacker) end() string {
	if !a.ends(patience) {
		return held
	}
	header, frames, _ := strings.Cut(string(a.got), "\r\n\r\n")
	if status, found := strings.CutPrefix(header, "HTTP/1.1 "); !found {
		return closed
	} else if status[:3] != "101" {
		return status[:3]
	}
	for len(frames) >= 4 {
		first, n := frames[0], 2+int(frames[1])
		if frames[1] == 126 {
			n = 4 + int(binary.BigEndian.Uint16([]byte(frames[2:])))
		}
		if first == 0x88 && n >= 4 {
			return fmt.Sprint(binary.BigEndian.Uint16([]byte(frames[2:])))
		}
		frames = frames[min(n, len(frames)):]
	}
	return closed
}

func (a *attacker) name() string { return fmt.Sprintf("%d-%d", a.number, a.time) }

// another is a second client of the same attacker.
func (a *attacker) another() *attacker {
	b := &attacker{addr: a.addr, number: a.number}
	b.connect()
	a.brought = append(a.brought, b)
	return b
}

func (a *attacker) connect() {
	dialer := net.Dialer{
		LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 66, 0, byte(1+a.number))},
		Timeout:   patience,
	}
	if conn, err := dialer.Dial("tcp", a.addr); err == nil {
		a.conn = conn
	}
}

func (a *attacker) leave() {
	for _, b := range append(a.brought, a) {
		if b.conn != nil {
			_ = b.conn.Close()
		}
	}
}

// siege is many of one attack at once.
type siege struct {
	done chan struct{}
	wg   sync.WaitGroup

	mu   sync.Mutex
	ends map[string]int // guarded by mu
}

// besiege goes on until it is stopped, and each attacker has its way at least once.
func besiege(s *instance, what attack) *siege {
	b := &siege{done: make(chan struct{}), ends: make(map[string]int)}
	for number := range what.many {
		b.wg.Go(func() {
			// Not all in one instant: they would disturb each other, and the pair's half of
			// this process, more than the server.
			b.over(what.rest * time.Duration(number) / time.Duration(what.many))
			for time := 0; ; time++ {
				end := b.once(s, what, number, time)
				b.mu.Lock()
				b.ends[end]++
				b.mu.Unlock()
				if b.over(what.rest) {
					return
				}
			}
		})
	}
	return b
}

func (b *siege) once(s *instance, what attack, number, time int) string {
	a := &attacker{addr: s.addr, number: number, time: time}
	a.connect()
	defer a.leave()
	if a.conn == nil {
		return notConnected
	}
	return what.once(a)
}

// over waits, since attackers and pair share this machine.
func (b *siege) over(rest time.Duration) bool {
	select {
	case <-b.done:
		return true
	case <-time.After(rest):
		return false
	}
}

// stop returns how often what ended how.
func (b *siege) stop() map[string]int {
	close(b.done)
	b.wg.Wait()
	return b.ends
}

// behave lets a well-behaved pair talk for a while and returns the median and the
// 99th percentile of the time there and back. New pairs come in between.
func behave(t *testing.T, s *instance, name string) (p50, p99 time.Duration) {
	t.Helper()
	var times []time.Duration
	for round := range 5 {
		exchange(t, s, fmt.Sprintf("%s, new pair %d", name, round))
		opener, joining := dial(t, s), dial(t, s)
		key := fmt.Sprintf("%s %d", name, round)
		opener.open(key)
		joining.join(key)
		joining.send(`{"data":0}`)
		id := opener.wantData("0")
		for i := range 60 {
			begun := time.Now()
			joining.send(fmt.Sprintf(`{"data":"offer %d"}`, i))
			opener.wantData(fmt.Sprintf(`"offer %d"`, i))
			opener.send(fmt.Sprintf(`{"id":%s,"data":"answer %d"}`, id, i))
			joining.want(fmt.Sprintf(`{"data":"answer %d"}`, i))
			times = append(times, time.Since(begun))
			time.Sleep(time.Millisecond) // people do not talk all the time, and the rate is limited
		}
		joining.drop()
		opener.drop()
	}
	slices.Sort(times)
	return times[len(times)/2], times[len(times)*99/100]
}

// rounds are what a pair had in turn while nobody disturbed it and while somebody did.
type rounds struct{ quiet50, attacked50, quiet99, attacked99 []time.Duration }

// Something else may disturb the pair in a round. What an attack does to it shows in
// most of them.
const (
	leastRounds = 3
	mostRounds  = 9
)

// undisturbed reports whether the medians of all rounds are as they should be.
func (r *rounds) undisturbed() bool {
	quiet := median(r.quiet99)
	return median(r.attacked50) <= 3*median(r.quiet50) && median(r.attacked99) <= max(3*quiet, quiet+noise)
}

func median(all []time.Duration) time.Duration { return slices.Sorted(slices.Values(all))[len(all)/2] }

// resident is the server's memory as /metrics has it, in bytes.
func resident(t *testing.T, admin string) float64 {
	return scrape(t, admin)["process_resident_memory_bytes"]
}

// noise is what the scheduling of one machine, on which the attackers, the pair and
// other tests run too, may add to the slowest hundredth. To most messages it adds
// nothing.
const noise = 5 * time.Millisecond

// While somebody misbehaves, others are served as ever, and it is he who is stopped;
// afterwards nothing is left.
func TestAbuseCostsTheAbuser(t *testing.T) {
	for name, what := range attacks {
		t.Run(name, func(t *testing.T) {
			if what.over == nil {
				what.over = start
			}
			s := what.over(t, append(what.flags, "--admin", "127.0.0.1:0")...)
			admin := "http://" + operatorsSide.FindStringSubmatch(s.logged())[1]
			behave(t, s, "warm-up")
			before := scrape(t, admin)
			ends := make(map[string]int)
			var had rounds
			for n := 1; n <= leastRounds || !had.undisturbed() || len(ends) < len(what.ends); n++ {
				require.LessOrEqual(t, n, mostRounds, "the pair was disturbed in most rounds, or not all of %v were seen", what.ends)
				quiet50, quiet99 := behave(t, s, fmt.Sprint("quiet ", n))
				siege := besiege(s, what)
				attacked50, attacked99 := behave(t, s, fmt.Sprint("attacked ", n))
				for end, times := range siege.stop() {
					ends[end] += times
				}
				t.Logf("half in %s quiet, %s attacked; p99 %s, %s; ends %v", quiet50, attacked50, quiet99, attacked99, ends)
				had.quiet50, had.attacked50 = append(had.quiet50, quiet50), append(had.attacked50, attacked50)
				had.quiet99, had.attacked99 = append(had.quiet99, quiet99), append(had.attacked99, attacked99)
			}
			require.ElementsMatch(t, what.ends, slices.Collect(maps.Keys(ends)), "how the attackers ended: %v", ends)
			var after map[string]float64
			eventually(t, func() bool {
				after = scrape(t, admin)
				return after[`sigver_connections{transport="websocket"}`] == 0 && after[`sigver_connections{transport="other"}`] == 0 &&
					after["sigver_keys"] == 0 && after["sigver_unsent_bytes"] == 0
			}, "nothing is left")
			if what.counted != "" {
				require.GreaterOrEqual(t, after[what.counted]-before[what.counted], float64(ends[what.ends[0]]))
			}
			eventually(t, func() bool { return resident(t, admin) < before["process_resident_memory_bytes"]+5e6 }, "memory is given back")
			t.Logf("resident %.1f MB before, %.1f MB afterwards", before["process_resident_memory_bytes"]/1e6, resident(t, admin)/1e6)
			exchange(t, s, "afterwards")
		})
	}
}
