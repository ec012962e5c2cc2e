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

	// verdict says how a variant stands to the first under one load, by what ratio says
	// of a figure of both.
	verdict func(operation string, ratio ratioOf) string
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
	v.verdict = func(operation string, ratio ratioOf) string {
		rate := ratio(func(s *report.Scenario) float64 { return s.Rate })
		return fmt.Sprintf("In ratio to %s in the same round: rate %.3f, CPU per %s %.3f. Slower by %.0f %% at most: %s.",
			name, rate, operation, ratio((*report.Scenario).CPUMicros), 100*atMost, yes(rate >= 1-atMost))
	}
	return o.benchVariants(ctx, v)
}

// benchVariants measures there and back, and shows the medians, how they compare with
// the first and the verdicts, which are in the files too.
func (o *options) benchVariants(ctx context.Context, v variants) (sound bool, err error) {
	rounds, err := o.inRounds(ctx, v.subjects, v.specs, true)
	medians := rounds.medians()
	if len(medians) == 0 {
		return false, err
	}
	if len(medians) == len(v.subjects) { // else a variant has no figures, and err says why
		for i := 1; i < len(medians); i++ {
			v.judge(rounds[0], rounds[i], medians[i])
		}
	}
	return allSound(medians), errors.Join(err, o.showPeers(medians))
}

// ratioOf returns how a figure of a variant stands to the first's.
type ratioOf func(figure func(*report.Scenario) float64) float64

// judge adds the verdicts to the scenarios of median, which is that of other. Each
// ratio is the median of the rounds': a machine that others share is not the same from
// one to the next, and then medians may be of different machines.
func (v *variants) judge(first, other []*report.Result, median *report.Result) {
	for i := range median.Scenarios {
		s := &median.Scenarios[i]
		ratio := func(figure func(*report.Scenario) float64) float64 {
			return report.MedianRatio(median, i, first, other, figure)
		}
		if ratio((*report.Scenario).CPUMicros) > 0 {
			s.Notes = append(s.Notes, v.verdict(s.Operation, ratio))
		}
	}
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}
