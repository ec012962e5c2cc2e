package e2e

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// An attack is what one bad client does, over and over. It gets a connection of
// its own and may use it as it likes; errors are what it deserves.
var attacks = map[string]func(a *attacker){
	"slowloris": func(a *attacker) {
		for _, b := range []byte(upgradeRequest[:60]) {
			a.write(string(b))
			a.pause(20 * time.Millisecond)
		}
	},
	"header flood": func(a *attacker) {
		a.write("GET / HTTP/1.1\r\n" + strings.Repeat("X-Filler: "+strings.Repeat("x", 90)+"\r\n", 200))
		a.readAll()
	},
	"one-byte fragments": func(a *attacker) {
		a.upgrade()
		a.write(masked(0x01, "x") + strings.Repeat(masked(0x00, "x"), 400))
		a.readAll()
	},
	"ping flood": func(a *attacker) {
		a.upgrade()
		a.write(strings.Repeat(masked(0x89, "ping"), 1000))
		a.readAll()
	},
	"half a TLS hello": func(a *attacker) {
		a.write("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
		a.pause(200 * time.Millisecond)
	},
	"brackets": func(a *attacker) {
		a.upgrade()
		a.write(masked(0x81, strings.Repeat("[", 65000)))
		a.readAll()
	},
	"connect and reset": func(a *attacker) {
		_ = a.conn.(*net.TCPConn).SetLinger(0)
	},
	"a slow reader": func(a *attacker) {
		a.upgrade()
		key := a.name()
		a.write(masked(0x81, `{"open":"`+key+`"}`))
		other := a.another()
		other.upgrade()
		other.write(masked(0x81, `{"join":"`+key+`"}`))
		for range 50 {
			other.write(masked(0x81, `{"data":"`+strings.Repeat("x", 20000)+`"}`))
		}
		a.pause(100 * time.Millisecond)
	},
	"joins of unknown keys": func(a *attacker) {
		a.upgrade()
		a.write(masked(0x81, `{"join":"`+a.name()+`"}`))
		a.readAll()
	},
}

// attacker is one bad client.
type attacker struct {
	addr    string
	conn    net.Conn
	stop    <-chan struct{}
	number  int
	brought []*attacker
}

func (a *attacker) write(text string) { _, _ = a.conn.Write([]byte(text)) }

func (a *attacker) readAll() {
	_ = a.conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	for b := make([]byte, 4096); ; {
		if _, err := a.conn.Read(b); err != nil {
			return
		}
	}
}

func (a *attacker) upgrade() {
	a.write(upgradeRequest)
	_ = a.conn.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = a.conn.Read(make([]byte, 512))
}

func (a *attacker) pause(d time.Duration) {
	select {
	case <-a.stop:
	case <-time.After(d):
	}
}

func (a *attacker) name() string { return fmt.Sprintf("%p-%d-%d", a, a.number, time.Now().UnixNano()) }

// another is a second client of the same attacker.
func (a *attacker) another() *attacker {
	b := &attacker{addr: a.addr, stop: a.stop, number: a.number}
	b.connect()
	a.brought = append(a.brought, b)
	return b
}

func (a *attacker) connect() {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 66, 0, byte(1+a.number))}}
	var err error
	if a.conn, err = dialer.Dial("tcp", a.addr); err != nil {
		a.conn, _ = net.Pipe() // which takes and gives nothing
		_ = a.conn.Close()
	}
}

// besiege runs many of one attack until stopped.
func besiege(s *instance, attackers int, attack func(*attacker)) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i := range attackers {
		wg.Go(func() {
			for {
				a := &attacker{addr: s.addr, stop: done, number: i}
				a.connect()
				attack(a)
				_ = a.conn.Close()
				for _, b := range a.brought {
					_ = b.conn.Close()
				}
				a.pause(20 * time.Millisecond)
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	return func() {
		close(done)
		wg.Wait()
	}
}

// behave lets a well-behaved pair talk for a while and returns the 99th
// percentile of the time there and back. New pairs come in between.
func behave(t *testing.T, s *instance, name string) time.Duration {
	t.Helper()
	var times []time.Duration
	for round := range 10 {
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
	return times[len(times)*99/100]
}

// resident is the server's memory as /metrics has it, in bytes.
func resident(t *testing.T, admin string) float64 {
	return scrape(t, admin)["process_resident_memory_bytes"]
}

// noise is what the scheduling of one machine, on which the attackers, the pair and
// other tests run too, may add to a single time.
const noise = 50 * time.Millisecond

// While somebody misbehaves, others are served as ever; afterwards nothing is
// left.
func TestAbuseCostsTheAbuser(t *testing.T) {
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			args := []string{"--handshake-timeout", "2s", "--rate", "1000", "--burst", "5000"}
			if strings.Contains(name, "flood") {
				args = []string{"--handshake-timeout", "2s"}
			}
			s, admin := startAdmin(t, args...)
			if strings.Contains(name, "TLS") {
				s = startTLS(t, append(args, "--admin", "127.0.0.1:0")...)
				admin = "http://" + operatorsSide.FindStringSubmatch(s.logged())[1]
			}
			quiet := behave(t, s, "quiet")
			before := resident(t, admin)
			attackers := 32
			if name == "a slow reader" {
				attackers = 4 // each moves as many bytes as this machine copies in their time
			}
			stop := besiege(s, attackers, attack)
			attacked := behave(t, s, "attacked")
			stop()
			t.Logf("p99 %s quiet, %s attacked; resident %.1f MB before", quiet, attacked, before/1e6)
			require.Less(t, attacked, 3*quiet+noise)
			eventually(t, func() bool {
				now := scrape(t, admin)
				return now[`sigver_connections{transport="websocket"}`] == 0 && now[`sigver_connections{transport="other"}`] == 0 &&
					now["sigver_keys"] == 0 && now["sigver_unsent_bytes"] == 0
			}, "nothing is left")
			eventually(t, func() bool { return resident(t, admin) < before+8e6 }, "memory is given back")
			exchange(t, s, "afterwards")
		})
	}
}
