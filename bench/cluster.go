//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sigver/bench/proc"
	"sigver/bench/report"
	"sigver/bench/wire"
)

// benchCluster measures what it costs a server to be one of a cluster, and then a
// cluster of o.nodes: joins and relays between clients of one node and of two, how
// fast keys are claimed, and all connections at once that there is room for.
func (o *options) benchCluster(ctx context.Context) (sound bool, err error) {
	e, err := startEngine(ctx)
	if err != nil {
		return false, err
	}
	defer e.Stop()
	alone, clean, err := o.sigver(ctx)
	if err != nil {
		return false, err
	}
	defer clean()
	node, cleanNode, err := o.sigver(ctx, "--cluster", e.url())
	if err != nil {
		return false, err
	}
	defer cleanNode()
	node.about.Name = "a node"
	node.beside = processes{e.PID}

	relays := o.relays()
	for i := range relays {
		relays[i].inFlight = o.inFlight
	}
	sound, err = o.benchRounds(ctx, []*subject{alone, node}, relays)
	if err != nil || ctx.Err() != nil {
		return sound, errors.Join(err, ctx.Err())
	}

	node.nodes = o.nodes
	node.about.Name = fmt.Sprintf("%d nodes", o.nodes)
	if o.drivers < o.nodes {
		o.drivers = o.nodes // each has its own limit of open files too
	}
	result := o.newResult(fmt.Sprintf("%s-nodes", o.name))
	for _, sp := range o.clusterSpecs() {
		before, usedBefore, err := e.usage()
		if err != nil {
			return false, err
		}
		scenario, err := o.measure(ctx, node, sp)
		result.Server = node.about
		if scenario != nil {
			after, usedAfter, usageErr := e.usage()
			if usageErr == nil && scenario.Operations > 0 {
				scenario.Notes = append(scenario.Notes, used(before, after, usedAfter-usedBefore, scenario))
			}
			result.Scenarios = append(result.Scenarios, *scenario)
		}
		if err != nil {
			return false, fmt.Errorf("%s: %w", sp.name, err)
		}
	}
	remark(result)
	fmt.Fprintln(o.out)
	return sound && soundness(result), errors.Join(report.WriteTable(o.out, result), o.save(result.Name, result))
}

// clusterSpecs are near and far alike, and everything at once. Apart is an odd
// number, so that nodes of every pair of cores talk.
func (o *options) clusterSpecs() []spec {
	var all []spec
	for _, way := range []struct {
		name  string
		apart int
	}{{"near", 0}, {"far", 1}} {
		all = append(all, spec{
			name: "joins-" + way.name, kind: wire.Joins, operation: "join", apart: way.apart,
			latency: "from a join's being sent until its answer", pairs: min(3000, o.pairs), each: 2, inFlight: 1,
		})
	}
	for _, way := range []struct {
		name  string
		apart int
	}{{"near", 0}, {"far", 1}} {
		all = append(all, spec{
			name: "relay-" + way.name, kind: wire.Relay, operation: "relay", apart: way.apart,
			latency: "from one client to the other", pairs: min(2*o.nodes, o.pairs), each: 2, size: 200, depth: 1,
			duration: o.duration, warmUp: o.warmUp, inFlight: o.inFlight,
		})
	}
	return append(all,
		spec{
			name: "claims", kind: wire.Idle, operation: "opener",
			latency: "from connecting to being open, while the nodes are being filled",
			pairs:   o.pairs, each: 1, quiet: o.quiet, inFlight: 16 * o.nodes,
		},
		spec{
			name: "full", kind: wire.Relay, operation: "relay", apart: 1,
			latency: "from one client to the other, with a message of every pair on its way",
			pairs:   max(1, o.pairs/2), each: 2, size: 200, depth: 1,
			duration: o.duration, warmUp: o.warmUp, inFlight: 16 * o.nodes,
		})
}

// used says what the engine did for an operation.
func used(before, after map[string]int64, cpu time.Duration, s *report.Scenario) string {
	n := float64(s.Operations)
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		// What is not many is upkeep.
		if each := float64(after[name]-before[name]) / n; each >= 0.05 {
			parts = append(parts, fmt.Sprintf("%.2f %s", each, strings.ToUpper(name)))
		}
	}
	if len(parts) == 0 {
		parts = []string{"nothing"}
	}
	each := float64(cpu) / float64(time.Microsecond) / n
	return fmt.Sprintf("The engine's work, from beginning to end, for each %s counted: %s; %.1f µs of its CPU.", s.Operation, strings.Join(parts, ", "), each)
}

// usage is what the engine was asked for so far, and its CPU time.
func (e *engine) usage() (calls map[string]int64, cpu time.Duration, err error) {
	calls, err = e.calls()
	used, cpuErr := proc.ReadCPU(e.PID)
	return calls, used.Total, errors.Join(err, cpuErr)
}
