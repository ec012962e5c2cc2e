//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"sigver/bench/wire"
)

// sessionsOpen is the scenario sessions as an open loop.
const sessionsOpen = "sessions-open"

// scenarioNames are what --scenarios takes.
var scenarioNames = []string{"idle", "relay", "sessions", sessionsOpen, "churn", "hotkey"}

// spec is one scenario with its parameters.
type spec struct {
	name      string // as in the report
	kind      string // of wire
	operation string
	latency   string // what is timed

	pairs    int // sessions, pairs, Openers, opens or Joinings
	each     int // connections of one of them
	atOnce   int // of them at most; 0: no limit but that of connections
	inFlight int
	demand   int // connections without which it has failed; 0: as many as there is room for
	apart    int // nodes from an Opener to its Joining
	rate     float64
	size     int
	depth    int
	duration time.Duration
	warmUp   time.Duration
	quiet    time.Duration
}

// specs returns the scenarios that were asked for.
func (o *options) specs() []spec {
	var all []spec
	for _, name := range o.scenarios {
		switch name {
		case "idle":
			all = append(all, spec{
				name: name, kind: wire.Idle, operation: "opener",
				latency: "from connecting to being open, while the server is being filled",
				pairs:   o.pairs, each: 1, quiet: o.quiet,
			})
		case "relay":
			all = append(all, o.relays()...)
		case "sessions":
			all = append(all, spec{
				name: name, kind: wire.Sessions, operation: "session",
				latency: "from the Joining's connecting until the last candidate has arrived",
				pairs:   o.pairs, each: 2,
			})
		case sessionsOpen:
			all = append(all, spec{
				name: name, kind: wire.Sessions, operation: "session",
				latency: "from when the session was to begin until the last candidate has arrived",
				pairs:   min(o.pairs, max(1, int(o.rate*o.duration.Seconds()))), each: 2, rate: o.rate,
			})
		case "churn":
			all = append(all, spec{
				name: name, kind: wire.Churn, operation: "open",
				latency: "from connecting to being open",
				pairs:   max(1, o.pairs/2), each: 1, atOnce: o.inFlight,
			})
		case "hotkey":
			all = append(all, spec{
				name: name, kind: wire.HotKey, operation: "relay",
				latency: "from one client to the other",
				pairs:   some(o.hot, 3000, o.pairs), each: 1,
				size: some(o.size, 200, 1<<20), depth: some(o.depth, 1, 1<<20),
				duration: o.duration, warmUp: o.warmUp,
			})
		}
	}
	for i := range all {
		all[i].inFlight = o.inFlight
	}
	return all
}

// some returns n, or if that is 0 the usual one, but no more than most.
func some(n, usual, most int) int {
	if n == 0 {
		return min(usual, most)
	}
	return n
}

func (o *options) relays() []spec {
	relay := func(name string, pairs, size, depth int) spec {
		return spec{
			name: name, kind: wire.Relay, operation: "relay",
			latency: "from one client to the other",
			pairs:   pairs, each: 2, size: size, depth: depth,
			duration: o.duration, warmUp: o.warmUp,
		}
	}
	if o.relayPairs > 0 || o.size > 0 || o.depth > 0 {
		return []spec{relay("relay", some(o.relayPairs, 200, o.pairs), some(o.size, 200, 1<<20), some(o.depth, 1, 1<<20))}
	}
	return []spec{
		relay("relay-200", min(200, o.pairs), 200, 1),
		relay("relay-1000", min(1000, o.pairs), 1000, 4),
	}
}

// params returns what the report says of the scenario: all that its figures
// depend on, but for the server and the machine.
func (s *spec) params(o *options) map[string]string {
	p := map[string]string{
		"in_flight": strconv.Itoa(s.inFlight),
		"timeout":   o.timeout.String(),
		"settle":    o.settle.String(),
	}
	if o.connections > 0 {
		p["connections"] = strconv.Itoa(o.connections)
	}
	if len(o.driverCores) > 0 {
		p["driver_cores"] = o.driverCores.String()
	}
	if o.trickle {
		p["trickle"] = "true"
	}
	if s.kind == wire.Idle {
		p["quiet"] = s.quiet.String()
	}
	if s.apart > 0 {
		p["apart"] = strconv.Itoa(s.apart)
	}
	noun := map[string]string{
		wire.Idle: "openers", wire.Relay: "pairs", wire.Sessions: "sessions", wire.Churn: "opens", wire.HotKey: "joinings", wire.Joins: "joins",
	}[s.kind]
	p[noun] = strconv.Itoa(s.pairs)
	if s.atOnce > 0 {
		p["at_once"] = strconv.Itoa(s.atOnce)
	}
	if s.rate > 0 {
		p["rate"] = fmt.Sprint(s.rate)
	}
	if s.size > 0 {
		p["size"] = strconv.Itoa(s.size)
		p["depth"] = strconv.Itoa(s.depth)
		p["duration"] = s.duration.String()
		p["warm_up"] = s.warmUp.String()
	}
	return p
}

// plans divides the scenario between drivers. The hot key has one Opener, and so
// one driver that has all its pairs.
func (s *spec) plans(o *options, targets []string, drivers int) []wire.Plan {
	if s.kind == wire.HotKey {
		drivers = 1
	}
	drivers = min(drivers, s.pairs)
	if s.atOnce > 0 {
		drivers = min(drivers, s.atOnce) // one that may have none at once would do nothing
	}
	nonce := rand.Uint32()
	plans := make([]wire.Plan, drivers)
	for i := range plans {
		plans[i] = wire.Plan{
			Scenario: s.kind,
			Targets:  targets,
			Apart:    s.apart,
			Insecure: o.insecure,
			Driver:   i,
			Nonce:    nonce,
			Pairs:    share(s.pairs, drivers, i),
			AtOnce:   share(s.atOnce, drivers, i),
			InFlight: max(1, share(s.inFlight, drivers, i)),
			Rate:     s.rate / float64(drivers),
			Size:     s.size,
			Depth:    s.depth,
			Trickle:  o.trickle,
			Timeout:  o.timeout,
			Settle:   o.settle,
			GiveUp:   giveUp,
		}
	}
	return plans
}

// giveUp is how many errors a driver sees before it stops.
const giveUp = 1000

// share returns the part of n that is the i-th of so many.
func share(n, parts, i int) int { return n*(i+1)/parts - n*i/parts }
