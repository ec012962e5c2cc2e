package report

import (
	"cmp"
	"maps"
	"slices"
)

// Medians makes one result of several rounds against the same server: each of
// its figures is the median of that figure over the rounds that know it, so the
// figures of one scenario need not be of one round. User and system CPU are parts
// of the median of both together. Errors are added up and the notes of all are
// kept, so that a fault of one round is not hidden by the others. Samples and the
// points of the latency are of the round whose rate is the median, the lower one
// of an even number. A scenario that a round lacks, because it was stopped, is of
// the others. Of no rounds it returns nil.
func Medians(rounds []*Result) *Result {
	rounds = slices.DeleteFunc(slices.Clone(rounds), func(r *Result) bool { return r == nil })
	if len(rounds) == 0 {
		return nil
	}
	whole := slices.MaxFunc(rounds, func(a, b *Result) int { return cmp.Compare(len(a.Scenarios), len(b.Scenarios)) })
	all := make([][]*Scenario, len(whole.Scenarios))
	for _, r := range rounds {
		for i, s := range pair(whole, r) {
			if s != nil {
				all[i] = append(all[i], s)
			}
		}
	}
	m := *rounds[0]
	m.Rounds = len(rounds)
	m.Scenarios = make([]Scenario, len(all))
	for i, same := range all {
		m.Scenarios[i] = medianScenario(same)
	}
	return &m
}

func medianScenario(rounds []*Scenario) Scenario {
	byRate := keep(rounds, func(s *Scenario) bool { return s.Rate != 0 })
	if len(byRate) == 0 {
		byRate = slices.Clone(rounds)
	}
	slices.SortStableFunc(byRate, func(a, b *Scenario) int { return cmp.Compare(a.Rate, b.Rate) })
	middle := byRate[(len(byRate)-1)/2]

	m := *rounds[0]
	m.Params = maps.Clone(m.Params)
	m.Notes, m.Invalid, m.ClientBound, m.Errors = nil, nil, nil, nil
	for _, s := range rounds {
		m.Notes = union(m.Notes, s.Notes)
		m.Invalid = union(m.Invalid, s.Invalid)
		m.ClientBound = union(m.ClientBound, s.ClientBound)
		for kind, n := range s.Errors {
			if m.Errors == nil {
				m.Errors = make(map[string]int64)
			}
			m.Errors[kind] += n
		}
	}
	m.Samples = slices.Clone(middle.Samples)

	of := func(field func(*Scenario) float64) float64 {
		return median(rounds, field)
	}
	whole := func(field func(*Scenario) int64) int64 {
		return int64(of(func(s *Scenario) float64 { return float64(field(s)) }))
	}
	m.Seconds = of(func(s *Scenario) float64 { return s.Seconds })
	m.Operations = whole(func(s *Scenario) int64 { return s.Operations })
	m.Connections = int(whole(func(s *Scenario) int64 { return int64(s.Connections) }))
	m.Rate = of(func(s *Scenario) float64 { return s.Rate })
	m.Latency = Latency{
		What:   middle.Latency.What,
		Count:  whole(func(s *Scenario) int64 { return s.Latency.Count }),
		Mean:   of(func(s *Scenario) float64 { return s.Latency.Mean }),
		P50:    of(func(s *Scenario) float64 { return s.Latency.P50 }),
		P90:    of(func(s *Scenario) float64 { return s.Latency.P90 }),
		P99:    of(func(s *Scenario) float64 { return s.Latency.P99 }),
		P999:   of(func(s *Scenario) float64 { return s.Latency.P999 }),
		Max:    of(func(s *Scenario) float64 { return s.Latency.Max }),
		Points: slices.Clone(middle.Latency.Points),
	}
	// CPU per operation is what servers are compared by, so it is the sum that is the
	// median, and divided by the median share of the kernel, which may be nothing.
	cpu := keep(rounds, func(s *Scenario) bool { return s.CPUMicros() > 0 })
	total := middleOf(cpu, (*Scenario).CPUMicros)
	m.SystemMicros = total * middleOf(cpu, func(s *Scenario) float64 { return s.SystemMicros / s.CPUMicros() })
	m.UserMicros = total - m.SystemMicros
	m.ServerCPU = of(func(s *Scenario) float64 { return s.ServerCPU })
	m.DriverCPU = of(func(s *Scenario) float64 { return s.DriverCPU })
	m.Resident = Memory{
		Before: whole(func(s *Scenario) int64 { return s.Resident.Before }),
		Peak:   whole(func(s *Scenario) int64 { return s.Resident.Peak }),
		After:  whole(func(s *Scenario) int64 { return s.Resident.After }),
	}
	m.BytesPerConnection = of(func(s *Scenario) float64 { return s.BytesPerConnection })
	m.KernelPerConnection = of(func(s *Scenario) float64 { return s.KernelPerConnection })
	idle := keep(rounds, (*Scenario).idleKnown)
	m.IdleCPU = middleOf(idle, func(s *Scenario) float64 { return s.IdleCPU })
	m.FillSeconds = of(func(s *Scenario) float64 { return s.FillSeconds })
	m.EmptySeconds = of(func(s *Scenario) float64 { return s.EmptySeconds })
	return m
}

// median returns the middle of the values that are known. One that is 0 is not:
// the round was stopped too early, or the figure could not be read.
func median(rounds []*Scenario, field func(*Scenario) float64) float64 {
	return middleOf(keep(rounds, func(s *Scenario) bool { return field(s) != 0 }), field)
}

// MedianRatio returns the median over the rounds of how a figure of the scenario i of
// whole in other stands to that in first, or 0 if no round knows both.
func MedianRatio(whole *Result, i int, first, other []*Result, figure func(*Scenario) float64) float64 {
	var ratios []float64
	for round := range min(len(first), len(other)) {
		a, b := pair(whole, first[round])[i], pair(whole, other[round])[i]
		if a != nil && b != nil && figure(a) > 0 && figure(b) > 0 {
			ratios = append(ratios, figure(b)/figure(a))
		}
	}
	return middle(ratios)
}

func keep(rounds []*Scenario, known func(*Scenario) bool) []*Scenario {
	return slices.DeleteFunc(slices.Clone(rounds), func(s *Scenario) bool { return !known(s) })
}

// middleOf is middle of a field.
func middleOf(rounds []*Scenario, field func(*Scenario) float64) float64 {
	values := make([]float64, len(rounds))
	for i, s := range rounds {
		values[i] = field(s)
	}
	return middle(values)
}

// middle returns the middle value, of an even number the mean of the two, and of
// none 0. It sorts them.
func middle(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	slices.Sort(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// union returns all with those of more that it lacks.
func union(all, more []string) []string {
	for _, s := range more {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}
