//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigver/bench/report"
)

// benchPeers measures sigver and other servers in turn, o.rounds times: what
// changes on the machine meanwhile then meets all of them.
func (o *options) benchPeers(ctx context.Context) (sound bool, err error) {
	subjects, clean, err := o.contestants(ctx)
	if err != nil {
		return false, err
	}
	defer clean()
	return o.benchRounds(ctx, subjects, o.specs())
}

// benchRounds measures the subjects in turn, and shows the medians and how they
// compare with the first.
func (o *options) benchRounds(ctx context.Context, subjects []*subject, specs []spec) (sound bool, err error) {
	rounds, err := o.inRounds(ctx, subjects, specs, false)
	medians := rounds.medians()
	if len(medians) == 0 {
		return false, err
	}
	s := &medians[0].Scenarios[0]
	s.Notes = append(s.Notes, o.leftOut...)
	return allSound(medians), errors.Join(err, o.showPeers(medians))
}

// rounds are the results of each subject, one for each round.
type rounds [][]*report.Result

// inRounds measures the subjects in turn, one scenario after the other, so that what is
// compared was measured within seconds. If back is true, every other round has them the
// other way round, so that none always comes after the same one.
func (o *options) inRounds(ctx context.Context, subjects []*subject, specs []spec, back bool) (rounds, error) {
	all := make(rounds, len(subjects))
	out := make([]bool, len(subjects))
	var errs []error
	for round := range o.rounds {
		for _, sp := range specs {
			for i := range subjects {
				if back && round%2 == 1 {
					i = len(subjects) - 1 - i
				}
				if out[i] || ctx.Err() != nil {
					continue
				}
				s := subjects[i]
				fmt.Fprintf(o.messages, "\nround %d of %d: %s\n", round+1, o.rounds, s.about.Name)
				result, err := o.measureAll(ctx, s, o.name+"-"+strings.ReplaceAll(s.about.Name, " ", "-"), []spec{sp})
				if err != nil {
					fmt.Fprintf(o.messages, "bench: %v\n", err)
					errs = append(errs, err)
					out[i] = true
				}
				all.add(i, round, result)
			}
		}
	}
	return all, errors.Join(errs...)
}

// add adds a scenario of a round to the results of subject i. What came to no good end
// is told all the same.
func (all rounds) add(i, round int, result *report.Result) {
	switch {
	case len(result.Scenarios) == 0:
	case len(all[i]) <= round:
		all[i] = append(all[i], result)
	default:
		whole := all[i][round]
		whole.Scenarios = append(whole.Scenarios, result.Scenarios...)
	}
}

// medians returns those of each subject that has any result.
func (all rounds) medians() (medians []*report.Result) {
	for _, r := range all {
		if len(r) > 0 {
			median := report.Medians(r)
			remark(median)
			medians = append(medians, median)
		}
	}
	return medians
}

func allSound(results []*report.Result) bool {
	return !slices.ContainsFunc(results, func(r *report.Result) bool { return !soundness(r) })
}

// contestants builds sigver, the first, and the others.
func (o *options) contestants(ctx context.Context) (all []*subject, clean func(), err error) {
	folder, err := os.MkdirTemp("", "sigver-peers-")
	if err != nil {
		return nil, nil, err
	}
	first, cleanFirst, err := o.sigver(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(folder))
	}
	clean = func() {
		cleanFirst()
		_ = os.RemoveAll(folder)
	}
	all = append(all, first)
	for _, name := range o.peers {
		s, err := o.peer(ctx, name, folder)
		if errors.Is(err, errNoNode) {
			o.leftOut = append(o.leftOut, fmt.Sprintf("%s is left out: %v.", name, err))
			fmt.Fprintf(o.messages, "bench: %s\n", o.leftOut[len(o.leftOut)-1])
			continue
		}
		if err != nil {
			clean()
			return nil, nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, s)
	}
	if len(all) == 1 {
		clean()
		return nil, nil, errors.New("there is no other server to measure")
	}
	return all, clean, nil
}

// showPeers prints tables and writes the files: a JSON file and a page for each
// server, and the ratios as text and as markdown.
func (o *options) showPeers(medians []*report.Result) error {
	fmt.Fprintln(o.out)
	err := report.WriteTable(o.out, medians...)
	fmt.Fprintln(o.out)
	err = errors.Join(err, report.WriteRatios(o.out, medians[0], medians[1:]))
	for _, r := range medians {
		err = errors.Join(err, o.save(r.Name, r))
	}
	path := o.path(o.name) + ".md"
	err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755))
	f, createErr := os.Create(path)
	if createErr != nil {
		return errors.Join(err, createErr)
	}
	err = errors.Join(err, report.WriteMarkdown(f, medians[0], medians[1:]), f.Close())
	fmt.Fprintf(o.out, "\n%s\n", path)
	return err
}
