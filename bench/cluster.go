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
	defer func() { _ = e.Stop() }()
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
	sound, err = o.benchVariants(ctx, variants{
		subjects: []*subject{alone, node}, specs: relays, verdict: costOfANode,
	})
	if err != nil || ctx.Err() != nil {
		return sound, errors.Join(err, ctx.Err())
	}

	node.nodes = o.nodes
	node.about.Name = fmt.Sprintf("%d nodes", o.nodes)
	if o.drivers < o.nodes {
		o.drivers = o.nodes // each has its own limit of open files too
	}
	asked := make(map[string]work)
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
				each := workOf(before, after, usedAfter-usedBefore, scenario.Operations)
				asked[sp.name] = each
				scenario.Notes = append(scenario.Notes, each.notes(sp, asked)...)
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
	// The last is no load but a claim: so many connections there are.
	full := o.pairs / 2
	if o.connections > 0 {
		full = o.connections / 2
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
			pairs:   max(1, full), each: 2, demand: o.connections / 2 * 2, size: 200, depth: 1,
			duration: o.duration, warmUp: o.warmUp, inFlight: 16 * o.nodes,
		})
}

// costOfANode says what being one of a cluster costs a server whose clients are
// all its own.
func costOfANode(operation string, ratio ratioOf) string {
	cpu := ratio((*report.Scenario).CPUMicros)
	return fmt.Sprintf("CPU per %s in ratio to a server alone in the same round: %.3f. At most %.0f %% more: %s.",
		operation, cpu, 100*atMost, yes(cpu <= 1+atMost))
}

// work is what the engine does for one operation.
type work struct {
	calls map[string]float64
	cpu   float64 // microseconds
}

func workOf(before, after map[string]int64, cpu time.Duration, operations int64) work {
	n := float64(operations)
	w := work{make(map[string]float64), float64(cpu) / float64(time.Microsecond) / n}
	for name := range after {
		w.calls[name] = float64(after[name]-before[name]) / n
	}
	return w
}

// less returns what w has more than other.
func (w work) less(other work) work {
	rest := work{make(map[string]float64), w.cpu - other.cpu}
	for name, n := range w.calls {
		rest.calls[name] = n - other.calls[name]
	}
	return rest
}

func (w work) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(w.calls)) {
		// What is not many is upkeep.
		if each := w.calls[name]; each >= 0.05 {
			parts = append(parts, fmt.Sprintf("%.2f %s", each, strings.ToUpper(name)))
		}
	}
	if len(parts) == 0 {
		parts = []string{"nothing"}
	}
	return fmt.Sprintf("%s; %.1f µs of its CPU", strings.Join(parts, ", "), w.cpu)
}

// notes say what the engine did in a scenario, and where its clients are of
// different nodes, which part of that has this reason: the rest, as between
// clients of one node, is the claim of the Opener's key and its release.
func (w work) notes(sp spec, asked map[string]work) []string {
	all := []string{fmt.Sprintf("The engine's work, from beginning to end, for each %s counted: %s.", sp.operation, w)}
	kind, far := strings.CutSuffix(sp.name, "-far")
	if near, known := asked[kind+"-near"]; far && known {
		all = append(all, fmt.Sprintf("Of that, for each %s because its clients are at two nodes: %s. The claim and the release of the keys: %s.", sp.operation, w.less(near), near))
	}
	return all
}

// usage is what the engine was asked for so far, and its CPU time.
func (e *engine) usage() (calls map[string]int64, cpu time.Duration, err error) {
	calls, err = e.calls()
	used, cpuErr := proc.ReadCPU(e.PID)
	return calls, used.Total, errors.Join(err, cpuErr)
}
