package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// ratioFigures are what servers are set beside each other by.
var ratioFigures = []figure{figureCPU, figureRate, figureP99, figureEach}

// ratioRow is one server under one load.
type ratioRow struct {
	label    string // of the load
	server   string
	language string // of the server; empty: unknown
	s        *Scenario
	first    *Scenario // the same load on the first server, which may be s itself
	mine     bool
}

// cell shows a figure and the ratio of the first server's to it. Either is empty
// if unknown.
func (r *ratioRow) cell(f figure) (value, ratio string) {
	v, known := f.of(r.s)
	if !known {
		return "", ""
	}
	value = f.show(v)
	if q := r.ratio(f); !r.mine && !math.IsNaN(q) {
		ratio = times(q)
	}
	return value, ratio
}

// ratio is first/other, NaN if either is unknown or nothing.
func (r *ratioRow) ratio(f figure) float64 {
	a, known := f.of(r.first)
	b, bKnown := f.of(r.s)
	if !known || !bKnown || a == 0 || b == 0 {
		return math.NaN()
	}
	return a / b
}

// ratios returns the rows load by load, the first server's own ahead of the
// others', and the figures that at least one row has.
func ratios(first *Result, others []*Result) (loads [][]ratioRow, figures []figure) {
	names := labels(first.Scenarios)
	pairs := make([][]*Scenario, len(others))
	for i, other := range others {
		pairs[i] = pair(first, other)
	}
	for i := range first.Scenarios {
		s := &first.Scenarios[i]
		load := []ratioRow{{names[i], first.Server.title(), first.Server.Language, s, s, true}}
		for j, other := range others {
			if theirs := pairs[j][i]; theirs != nil {
				load = append(load, ratioRow{names[i], other.Server.title(), other.Server.Language, theirs, s, false})
			}
		}
		loads = append(loads, load)
	}
	figures = slices.DeleteFunc(slices.Clone(ratioFigures), func(f figure) bool {
		for _, load := range loads {
			for _, row := range load {
				if _, known := f.of(row.s); known {
					return false
				}
			}
		}
		return true
	})
	return loads, figures
}

// chief is the figure by which the servers under one load are ranked: what an
// idle connection costs in memory, else what an operation costs in CPU, else the
// first that is known of all.
func chief(load []ratioRow) (figure, bool) {
	order := []figure{figureCPU, figureEach, figureRate, figureP99}
	if load[0].s.Name == "idle" {
		order[0], order[1] = order[1], order[0]
	}
	for _, f := range order {
		if _, known := f.of(load[0].s); !known {
			continue
		}
		if slices.ContainsFunc(load[1:], func(r ratioRow) bool { return !math.IsNaN(r.ratio(f)) }) {
			return f, true
		}
	}
	return figure{}, false
}

// best says which of the other servers does best under a load, and how the first
// stands to it; if that one is not in the language of the first, the best of those
// that are is named too. A server that lost messages may be fast for that reason,
// so it is not ranked but named.
func best(load []ratioRow) string {
	f, known := chief(load)
	if !known {
		return ""
	}
	var ranked []ratioRow
	var unsound []string
	for _, row := range load[1:] {
		switch {
		case !row.s.soundIn(f):
			unsound = append(unsound, row.server)
		case !math.IsNaN(row.ratio(f)):
			ranked = append(ranked, row)
		}
	}
	// The best is the one to which the first's ratio is least flattering.
	slices.SortStableFunc(ranked, func(a, b ratioRow) int {
		if f.higher {
			return cmp.Compare(a.ratio(f), b.ratio(f))
		}
		return cmp.Compare(b.ratio(f), a.ratio(f))
	})
	said := "no other server has a valid figure"
	if len(ranked) > 0 {
		winner := &ranked[0]
		v, _ := f.of(winner.s)
		mine, _ := f.of(load[0].s)
		said = fmt.Sprintf("by %s the best other is %s with %s; %s has %s, %s of that",
			f.name, winner.server, f.show(v), load[0].server, f.show(mine), times(winner.ratio(f)))
		language := load[0].language
		same := slices.IndexFunc(ranked, func(r ratioRow) bool { return r.language == language })
		if language != "" && winner.language != language && same >= 0 {
			v, _ := f.of(ranked[same].s)
			said += fmt.Sprintf("; the best other in %s is %s with %s, of which it is %s",
				language, ranked[same].server, f.show(v), times(ranked[same].ratio(f)))
		}
	}
	if len(unsound) > 0 {
		said += "; left out because of errors or as not valid: " + strings.Join(unsound, ", ")
	}
	if !load[0].s.soundIn(f) {
		said += fmt.Sprintf("; %s's own figures have errors or are not valid", load[0].server)
	}
	return said
}

// WriteRatios writes a table with the CPU per operation, rate, p99 latency and
// bytes per connection of every server, load by load, and beside each figure the
// ratio of the first server's to it. Below it stands, load by load, which other
// server is the best and the ratio to that one.
func WriteRatios(w io.Writer, first *Result, others []*Result) error {
	var b bytes.Buffer
	results := append([]*Result{first}, others...)
	writeFacts(&b, results)
	loads, figures := ratios(first, others)
	head := table.Row{"scenario", "server"}
	for _, f := range figures {
		head = append(head, f.name, "ratio")
	}
	t := newTable(head)
	for i, load := range loads {
		if i > 0 {
			t.AppendSeparator()
		}
		for _, row := range load {
			cells := table.Row{"", marked(row.server, row.s)}
			if row.mine {
				cells[0] = row.label
			}
			for _, f := range figures {
				value, ratio := row.cell(f)
				cells = append(cells, orDash(row.s.marked(f.paced(), value, "!!")), ratio)
			}
			t.AppendRow(cells)
		}
	}
	if len(loads) > 0 {
		t.SetColumnConfigs(append(right(3, len(head)), table.ColumnConfig{Number: 1, WidthMax: 36, WidthMaxEnforcer: text.WrapSoft}))
		fmt.Fprintf(&b, "\n%s\n\n", trimmed(t.Render()))
		wrapped(&b, "", legend(first))
	}
	for _, load := range loads {
		if line := best(load); line != "" {
			wrapped(&b, "- ", load[0].label+": "+line)
		}
	}
	writeTrouble(&b, "", results...)
	_, err := w.Write(b.Bytes())
	return err
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func legend(first *Result) string {
	return fmt.Sprintf("A ratio is %s's figure divided by that of the server in its row: "+
		"below 1 is good for %[1]s, but above 1 where it is the rate.", first.Server.title())
}

// WriteMarkdown writes the table of WriteRatios for GitHub, each ratio in
// brackets behind its figure, and a line that says how, where and when it came
// about.
func WriteMarkdown(w io.Writer, first *Result, others []*Result) error {
	var b bytes.Buffer
	loads, figures := ratios(first, others)
	b.WriteString("| scenario | server |")
	for _, f := range figures {
		fmt.Fprintf(&b, " %s |", f.name)
	}
	b.WriteString("\n| --- | --- |" + strings.Repeat(" ---: |", len(figures)) + "\n")
	broken, bound := false, false // which marks there are
	for _, load := range loads {
		for _, row := range load {
			label, server := "", cell(row.server)
			if row.mine {
				label, server = cell(row.label), "**"+server+"**"
			}
			if !row.s.sound() {
				server, broken = server+" ⚠", true
			}
			fmt.Fprintf(&b, "| %s | %s |", label, server)
			for _, f := range figures {
				value, ratio := row.cell(f)
				if ratio != "" {
					value += " (" + ratio + ")"
				}
				shown := row.s.marked(f.paced(), value, "⚠")
				bound = bound || shown != value
				fmt.Fprintf(&b, " %s |", shown)
			}
			b.WriteString("\n")
		}
	}
	fmt.Fprintf(&b, "\nIn brackets: %s.", strings.TrimSuffix(strings.TrimPrefix(cell(legend(first)), "A ratio is "), "."))
	if broken {
		b.WriteString(" ⚠ marks a server whose run had errors or is not valid.")
	}
	if bound {
		b.WriteString(" ⚠ behind a rate or latency: the client was the bottleneck, so it is the client's; the other figures are the server's.")
	}
	b.WriteString("\n\n")
	for _, load := range loads {
		if line := best(load); line != "" {
			fmt.Fprintf(&b, "- %s: %s.\n", cell(load[0].label), cell(line))
		}
	}
	m := first.Machine
	var command string
	if first.Command != "" {
		command = "`" + strings.ReplaceAll(first.Command, "`", "'") + "`"
	}
	var pinned string
	if first.Server.Pinned != "" {
		pinned = "server pinned to " + first.Server.Pinned
	}
	var date string
	if !first.Started.IsZero() {
		date = first.Started.Format("2006-01-02")
	}
	var cores string
	if m.Cores > 0 {
		cores = plural(m.Cores, "core")
	}
	fmt.Fprintf(&b, "\n%s.\n", list("; ", command, cell(list(", ", m.CPU, cores, m.kernel(), m.golang())),
		cell(list(", ", pinned, first.rounds())), with("commit ", cell(first.Commit)), date))
	_, err := w.Write(b.Bytes())
	return err
}

// cell makes text fit for a cell of a table, and harmless.
func cell(s string) string { return cellText.Replace(s) }

var cellText = strings.NewReplacer("|", `\|`, "\n", " ", "&", "&amp;", "<", "&lt;", ">", "&gt;")
