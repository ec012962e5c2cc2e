package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
)

// noise is what two runs of the same thing differ by. A figure that has changed
// by less is called neither worse nor better. Of errors, each counts.
const noise = 0.03

var comparedFigures = []figure{
	figureRate, figureP50, figureP90, figureP99, figureP999, figureMax, figureCPU, figureIdleCPU, figureFill, figureEmpty,
	figureEach, figureKernel, figurePeak, figureErrors,
}

// comparison is one figure of one scenario in two results.
type comparison struct {
	scenario        string
	figure          figure
	old, new        float64
	oldKnown, known bool
	unsound         bool
	ratio, badness  float64 // NaN if one is unknown
}

// Compare writes the figures of two results side by side, with the ratio of new
// to old, and what has become worse first. It says where the two were not taken
// alike, because then the ratios say less.
func Compare(w io.Writer, old, new *Result) error {
	var b bytes.Buffer
	for _, side := range []struct {
		head string
		r    *Result
	}{{"old  ", old}, {"new  ", new}} {
		wrapped(&b, side.head, list(", ", side.r.Name, side.r.Server.title(),
			with("commit ", side.r.Commit), moment(side.r.Started), side.r.rounds()))
	}

	rows, unmatched := compare(old, new)
	if len(rows) > 0 {
		t := newTable(table.Row{"scenario", "figure", "better", "old", "new", "new/old", ""})
		for _, c := range rows {
			t.AppendRow(c.row())
		}
		configs := right(4, 6)
		t.SetColumnConfigs(append(configs, table.ColumnConfig{Number: 1, WidthMax: 40}))
		fmt.Fprintf(&b, "\n%s\n", trimmed(t.Render()))
		if slices.ContainsFunc(rows, func(c comparison) bool { return strings.HasPrefix(c.verdict(), "noise") }) {
			fmt.Fprintf(&b, "\nnoise: less than %.0f %% apart\n", 100*noise)
		}
	} else {
		b.WriteString("\nThe two have no scenario in common.\n")
	}

	writeList(&b, "NOT TAKEN ALIKE, so the ratios say less", "!! ", differences(old, new))
	writeList(&b, "Only in one of the two", "   ", unmatched)
	for _, side := range []struct {
		head string
		r    *Result
	}{{"old", old}, {"new", new}} {
		writeTrouble(&b, " in "+side.head, side.r)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// compare returns the figures of all scenarios that both have, the worst first,
// and what only one has.
func compare(old, new *Result) (rows []comparison, unmatched []string) {
	names := labels(new.Scenarios)
	matched := make(map[*Scenario]bool)
	for i, before := range pair(new, old) {
		now := &new.Scenarios[i]
		if before == nil {
			unmatched = append(unmatched, names[i]+" is only in new")
			continue
		}
		matched[before] = true
		for _, f := range comparedFigures {
			c := comparison{scenario: names[i], figure: f, unsound: len(before.Invalid)+len(now.Invalid) > 0}
			if f.paced() && len(before.ClientBound)+len(now.ClientBound) > 0 {
				c.unsound = true
			}
			c.old, c.oldKnown = f.of(before)
			c.new, c.known = f.of(now)
			if c.measure() {
				rows = append(rows, c)
			}
		}
	}
	names = labels(old.Scenarios)
	for i := range old.Scenarios {
		if !matched[&old.Scenarios[i]] {
			unmatched = append(unmatched, names[i]+" is only in old")
		}
	}
	slices.SortStableFunc(rows, func(a, b comparison) int {
		if math.IsNaN(a.badness) || math.IsNaN(b.badness) {
			// What cannot be compared stands last.
			return cmp.Compare(btoi(math.IsNaN(a.badness)), btoi(math.IsNaN(b.badness)))
		}
		return cmp.Compare(b.badness, a.badness)
	})
	return rows, unmatched
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// measure works out the ratio and returns false if there is nothing to tell.
func (c *comparison) measure() bool {
	c.ratio, c.badness = math.NaN(), math.NaN()
	switch {
	case !c.known && !c.oldKnown, c.old == 0 && c.new == 0:
		return false
	case !c.known || !c.oldKnown:
		return true
	}
	c.ratio = c.new / c.old // +Inf if there was nothing before
	c.badness = c.ratio
	if c.figure.higher {
		c.badness = c.old / c.new
	}
	return true
}

func (c *comparison) row() table.Row {
	better, old, now, ratio := "lower", "-", "-", "-"
	if c.figure.higher {
		better = "higher"
	}
	if c.oldKnown {
		old = c.figure.show(c.old)
	}
	if c.known {
		now = c.figure.show(c.new)
	}
	if !math.IsNaN(c.ratio) {
		ratio = times(c.ratio)
	}
	return table.Row{c.scenario, c.figure.name, better, old, now, ratio, c.verdict()}
}

func (c *comparison) verdict() string {
	var said string
	exact := c.figure.name == figureErrors.name
	switch {
	case math.IsNaN(c.badness):
		said = "unknown"
	case math.Abs(c.ratio-1) < 0.005 && !exact:
		said = "same"
	case max(c.badness, 1/c.badness) < 1+noise && !exact:
		said = "noise"
	case c.ratio == 1:
		said = "same"
	case c.badness > 1:
		said = "WORSE"
	default:
		said = "better"
	}
	if c.unsound {
		said += " (not valid)"
	}
	return said
}

// differences says in what the two were not taken alike.
func differences(old, new *Result) []string {
	var all []string
	differ := func(what, a, b string) {
		if a != b {
			all = append(all, fmt.Sprintf("%s: %s, then %s", what, cmp.Or(a, "unknown"), cmp.Or(b, "unknown")))
		}
	}
	was, is := &old.Machine, &new.Machine
	differ("CPU", was.CPU, is.CPU)
	differ("cores", number(was.Cores), number(is.Cores))
	differ("memory", size(float64(was.Memory)), size(float64(is.Memory)))
	differ("kernel", was.Kernel, is.Kernel)
	differ("Go", was.Go, is.Go)
	differ("open files", number(was.OpenFiles), number(is.OpenFiles))
	differ("somaxconn", number(was.Somaxconn), number(is.Somaxconn))
	differ("local ports", was.ports(), is.ports())
	differ("server", old.Server.Name, new.Server.Name)
	differ("server's arguments", strings.Join(old.Server.Args, " "), strings.Join(new.Server.Args, " "))
	differ("pinned to", cmp.Or(old.Server.Pinned, "no core"), cmp.Or(new.Server.Pinned, "no core"))
	if old.Server.Local != new.Server.Local {
		differ("server on the same machine", fmt.Sprint(old.Server.Local), fmt.Sprint(new.Server.Local))
	}
	differ("rounds", number(max(1, old.Rounds)), number(max(1, new.Rounds)))
	names := labels(new.Scenarios)
	for i, before := range pair(new, old) {
		if before == nil {
			continue
		}
		now := &new.Scenarios[i]
		keys := maps.Clone(now.Params)
		if keys == nil {
			keys = make(map[string]string)
		}
		maps.Copy(keys, before.Params)
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			a, b := before.Params[key], now.Params[key]
			differ(names[i]+", "+key, cmp.Or(a, "not set"), cmp.Or(b, "not set"))
		}
		differ(names[i]+", counted", before.Operation, now.Operation)
		differ(names[i]+", latency", before.Latency.What, now.Latency.What)
	}
	return all
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return count(n)
}

// writeList writes a list with a head, or nothing if it is empty.
func writeList(b *bytes.Buffer, head, mark string, items []string) {
	if len(items) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", head)
	for _, item := range items {
		wrapped(b, mark, item)
	}
}
