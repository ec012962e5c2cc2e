//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/dustin/go-humanize/english"

	"sigver/bench/report"
)

// atMost is what a variant of the server may be worse by than the first: further
// loops in rate, being one of a cluster in CPU.
const atMost = 0.03

// variants are builds or settings of one server that are measured in turn, the
// first being what the others are compared with.
type variants struct {
	subjects []*subject
	specs    []spec
	back     bool // every other round the other way round

	// verdict says how a variant stands to the first under one load.
	verdict func(first, other *report.Scenario) string
}

// benchLoops measures sigver with each number of loops that was asked for.
func (o *options) benchLoops(ctx context.Context) (sound bool, err error) {
	path, version, clean, err := o.binary(ctx)
	if err != nil {
		return false, err
	}
	defer clean()
	v := variants{specs: o.specs()}
	for _, n := range o.compareLoops {
		s := o.sigverAt(path, version, "--loops", fmt.Sprint(n))
		s.about.Name = english.Plural(n, "loop", "")
		v.subjects = append(v.subjects, s)
	}
	name := v.subjects[0].about.Name
	v.verdict = func(first, other *report.Scenario) string {
		rate := other.Rate / first.Rate
		return fmt.Sprintf("In ratio to %s: rate %.3f, CPU per %s %.3f. Slower by %.0f %% at most: %s.",
			name, rate, other.Operation, other.CPUMicros()/first.CPUMicros(), 100*atMost, yes(rate >= 1-atMost))
	}
	return o.benchVariants(ctx, v)
}

// benchVariants shows the medians, how they compare with the first and the
// verdicts, which are in the files too.
func (o *options) benchVariants(ctx context.Context, v variants) (sound bool, err error) {
	medians, err := o.inRounds(ctx, v.subjects, v.specs, v.back)
	if len(medians) == 0 {
		return false, err
	}
	if len(medians) == len(v.subjects) { // else a variant has no figures, and err says why
		for _, other := range medians[1:] {
			v.judge(medians[0], other)
		}
	}
	return allSound(medians), errors.Join(err, o.showPeers(medians))
}

// judge adds the verdicts to the scenarios of other.
func (v *variants) judge(first, other *report.Result) {
	for i := range min(len(first.Scenarios), len(other.Scenarios)) {
		a, b := &first.Scenarios[i], &other.Scenarios[i]
		if a.Name == b.Name && a.Rate > 0 && a.CPUMicros() > 0 {
			b.Notes = append(b.Notes, v.verdict(a, b))
		}
	}
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}
