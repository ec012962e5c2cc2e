package admission_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/admission"
)

func TestOrigins(t *testing.T) {
	cases := []struct {
		patterns       string
		allows, denies []string
	}{
		{"", []string{"https://a.example", "null", ""}, nil},
		{"https://a.example *", []string{"https://b.example"}, nil},
		{
			"https://a.example http://localhost:3000",
			[]string{"https://a.example", "HTTPS://A.Example", "http://localhost:3000", ""},
			[]string{"http://a.example", "https://a.example:8443", "https://b.a.example", "http://localhost", "null", "https://a.example.evil"},
		},
		{
			"https://*.a.example",
			[]string{"https://b.a.example", "https://c.b.a.example"},
			[]string{"https://a.example", "https://.a.example", "https://xa.example", "http://b.a.example", "https://b.a.example:1", "https://evil/.a.example", "https://u@b.a.example"},
		},
		{"https://*.a.example:8443", []string{"https://b.a.example:8443"}, []string{"https://b.a.example"}},
		{"null", []string{"null"}, []string{"https://a.example"}},
	}
	for _, c := range cases {
		o, err := admission.ParseOrigins(strings.Fields(c.patterns))
		require.NoError(t, err, c.patterns)
		for _, origin := range c.allows {
			require.True(t, o.Allows(origin), "%q of %q", origin, c.patterns)
		}
		for _, origin := range c.denies {
			require.False(t, o.Allows(origin), "%q of %q", origin, c.patterns)
		}
	}
	for _, pattern := range []string{"a.example", "https://", "https://a.example/", "https://*", "https://*.", "https://a.*.example", "://a", "https://a b", ""} {
		_, err := admission.ParseOrigins([]string{pattern})
		require.ErrorContains(t, err, "is no origin", pattern)
	}
}

func TestTheClientBehindProxies(t *testing.T) {
	proxies := admission.Proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	cases := []struct {
		peer, forwarded, forwardedFor, client string
	}{
		{"192.0.2.1", "", "198.51.100.7", "192.0.2.1"}, // no proxy of ours: a lie
		{"10.0.0.1", "", "", "10.0.0.1"},
		{"10.0.0.1", "", "198.51.100.7", "198.51.100.7"},
		{"10.0.0.1", "", "203.0.113.9, 198.51.100.7", "198.51.100.7"}, // the first is the client's invention
		{"10.0.0.1", "", "203.0.113.9,198.51.100.7 , 10.0.0.2", "198.51.100.7"},
		{"10.0.0.1", "", "nonsense, 10.0.0.2", "10.0.0.2"},
		{"10.0.0.1", "", "198.51.100.7:4711", "198.51.100.7"},
		{"fd00::1", "", "2001:db8::5", "2001:db8::5"},
		{"fd00::1", `for="[2001:db8::5]:80";proto=https`, "203.0.113.9", "2001:db8::5"},
		{"10.0.0.1", "proto=https; For=198.51.100.7, for=10.0.0.2", "", "198.51.100.7"},
		{"10.0.0.1", "for=unknown", "", "10.0.0.1"},
		{"10.0.0.1", "for=_hidden, for=198.51.100.7", "", "198.51.100.7"},
		{"10.0.0.1", "", "::ffff:198.51.100.7", "198.51.100.7"},
	}
	for _, c := range cases {
		got := proxies.Client(netip.MustParseAddr(c.peer), list(c.forwarded), list(c.forwardedFor))
		require.Equal(t, c.client, got.String(), "%+v", c)
	}
	two := proxies.Client(netip.MustParseAddr("10.0.0.1"), nil, []string{"203.0.113.9", "198.51.100.7"})
	require.Equal(t, "198.51.100.7", two.String(), "the last of several fields")
}

func list(field string) []string {
	if field == "" {
		return nil
	}
	return []string{field}
}

// FuzzClient reads any header: the outcome is the peer, or an address that
// stands there, and never one from before a stranger's.
func FuzzClient(f *testing.F) {
	f.Add(`for="[2001:db8::5]:80";proto=https`, "203.0.113.9, 10.1.1.1")
	f.Add("", "198.51.100.7")
	proxies := admission.Proxies{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, forwarded, forwardedFor string) {
		stranger := netip.MustParseAddr("192.0.2.1")
		require.Equal(t, stranger, proxies.Client(stranger, list(forwarded), list(forwardedFor)))
		peer := netip.MustParseAddr("10.0.0.1")
		require.True(t, proxies.Client(peer, list(forwarded), list(forwardedFor)).IsValid())
		honest := "198.51.100.7"
		require.Equal(t, honest, proxies.Client(peer, nil, []string{forwardedFor, honest}).String())
	})
}

func TestConnectionsOfOneAddress(t *testing.T) {
	a := admission.NewAddresses(admission.Limits{Connections: 2})
	first, why := a.Enter(netip.MustParseAddr("192.0.2.1"))
	require.Empty(t, why)
	_, why = a.Enter(netip.MustParseAddr("::ffff:192.0.2.1"))
	require.Empty(t, why)
	_, why = a.Enter(netip.MustParseAddr("192.0.2.1"))
	require.Equal(t, admission.TooMany, why)
	_, why = a.Enter(netip.MustParseAddr("192.0.2.2"))
	require.Empty(t, why, "another address")
	a.Leave(first)
	_, why = a.Enter(netip.MustParseAddr("192.0.2.1"))
	require.Empty(t, why)
}

func TestIPv6CountsByItsNetwork(t *testing.T) {
	a := admission.NewAddresses(admission.Limits{Connections: 1})
	_, why := a.Enter(netip.MustParseAddr("2001:db8:0:1::1"))
	require.Empty(t, why)
	_, why = a.Enter(netip.MustParseAddr("2001:db8:0:1:ffff::2"))
	require.Equal(t, admission.TooMany, why)
	_, why = a.Enter(netip.MustParseAddr("2001:db8:0:2::1"))
	require.Empty(t, why)
}

func TestTheRateOfNewConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := admission.NewAddresses(admission.Limits{Rate: 2})
		addr := netip.MustParseAddr("192.0.2.1")
		enter := func() admission.Refused {
			known, why := a.Enter(addr)
			if why == "" {
				a.Leave(known)
			}
			return why
		}
		for range 20 { // what ten seconds bring may come at once
			require.Empty(t, enter())
		}
		require.Equal(t, admission.TooFast, enter())
		time.Sleep(time.Second)
		require.Empty(t, enter())
		require.Empty(t, enter())
		require.Equal(t, admission.TooFast, enter())
		time.Sleep(time.Hour)
		for range 20 {
			require.Empty(t, enter())
		}
		require.Equal(t, admission.TooFast, enter(), "it does not save up for ever")
	})
}

func TestGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := admission.NewAddresses(admission.Limits{Guesses: 60})
		guesser, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		for range 59 {
			a.Guessed(guesser)
			require.False(t, a.GuessesTooMuch(guesser))
		}
		a.Guessed(guesser)
		require.True(t, a.GuessesTooMuch(guesser))
		require.False(t, a.GuessesTooMuch(other))
		time.Sleep(time.Second + time.Millisecond)
		require.False(t, a.GuessesTooMuch(guesser))
		a.Guessed(guesser)
		require.True(t, a.GuessesTooMuch(guesser))
	})
}

// A limit below one still allows one, and the next when its time has come.
func TestLimitsBelowOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := admission.NewAddresses(admission.Limits{Guesses: 0.5, Rate: 0.05})
		addr := netip.MustParseAddr("192.0.2.1")
		for range 3 {
			require.False(t, a.GuessesTooMuch(addr))
			a.Guessed(addr)
			require.True(t, a.GuessesTooMuch(addr))
			time.Sleep(2*time.Minute - time.Second)
			require.True(t, a.GuessesTooMuch(addr))
			time.Sleep(2 * time.Second)
		}
		for range 3 {
			known, why := a.Enter(addr)
			require.Empty(t, why)
			a.Leave(known)
			_, why = a.Enter(addr)
			require.Equal(t, admission.TooFast, why)
			time.Sleep(21 * time.Second)
		}
	})
}

// What is tried counts at once, and no more when it was right.
func TestTries(t *testing.T) {
	a := admission.NewAddresses(admission.Limits{Guesses: 2})
	addr := netip.MustParseAddr("192.0.2.1")
	for range 10 {
		require.True(t, a.Try(addr))
		require.True(t, a.Try(addr))
		require.False(t, a.Try(addr))
		require.True(t, a.GuessesTooMuch(addr))
		a.Right(addr)
		require.False(t, a.GuessesTooMuch(addr))
		a.Right(addr)
		require.False(t, a.Suspects())
		require.Zero(t, a.Known(), "there is nothing to remember")
	}
	a.Right(addr) // of what was forgotten
	require.True(t, a.Try(addr))
	a.Guessed(addr)
	require.False(t, a.Try(addr))
}

func TestNoLimits(t *testing.T) {
	a := admission.NewAddresses(admission.Limits{})
	addr := netip.MustParseAddr("192.0.2.1")
	var all []*admission.Address
	for range 1000 {
		known, why := a.Enter(addr)
		require.Empty(t, why)
		a.Guessed(addr)
		require.False(t, a.GuessesTooMuch(addr))
		all = append(all, known)
	}
	for _, known := range all {
		a.Leave(known)
	}
	require.Zero(t, a.Known())
}

// A whole internet comes by once each: the table stays bounded, and who has a
// connection is not forgotten.
func TestTheTableIsBounded(t *testing.T) {
	a := admission.NewAddresses(admission.Limits{Connections: 1, Rate: 1, Guesses: 1})
	stays := netip.MustParseAddr("198.51.100.7")
	_, why := a.Enter(stays)
	require.Empty(t, why)
	for i := range uint32(500_000) {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], 0x0b000000+i)
		addr := netip.AddrFrom4(b)
		known, why := a.Enter(addr)
		require.Empty(t, why)
		a.Guessed(addr)
		a.Leave(known)
	}
	require.Less(t, a.Known(), 70_000)
	_, why = a.Enter(stays)
	require.Equal(t, admission.TooMany, why)
}

func TestManyGoroutines(t *testing.T) {
	a := admission.NewAddresses(admission.Limits{Connections: 5, Rate: 1e6, Guesses: 10})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 5000 {
				addr := netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", (g+i)%16))
				if known, why := a.Enter(addr); why == "" {
					a.Guessed(addr)
					a.GuessesTooMuch(addr)
					a.Leave(known)
				}
			}
		})
	}
	wg.Wait()
	for i := range 16 {
		addr := netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", i))
		for range 5 {
			_, why := a.Enter(addr)
			require.Empty(t, why, "all have left")
		}
	}
}
