package report

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A picture is this large in its own units. It is scaled to the width of the
// page, and small enough that its text can still be read on a phone.
const (
	pictureWidth  = 440
	pictureHeight = 270
)

// ink is a colour as the plot is drawn with and the variable of the style sheet
// that takes its place, so that a page can be light or dark.
type ink struct {
	color color.Color
	name  string
}

var (
	inkText = ink{color.RGBA{0x40, 0x46, 0x4e, 0xff}, "--text2"}
	inkGrid = ink{color.RGBA{0xe2, 0xe5, 0xe9, 0xff}, "--grid"}
	inkOne  = ink{color.RGBA{0x0b, 0x63, 0xce, 0xff}, "--one"}
	inkTwo  = ink{color.RGBA{0xc2, 0x5a, 0x00, 0xff}, "--two"}
	inkArea = ink{color.RGBA{0xdd, 0xe9, 0xf8, 0xff}, "--area"}
	inkFit  = ink{color.RGBA{0x7a, 0x82, 0x8c, 0xff}, "--fit"}
)

func (i ink) hex() string {
	r, g, b, _ := i.color.RGBA()
	return fmt.Sprintf("#%02X%02X%02X", r>>8, g>>8, b>>8)
}

// picture is one plot on the page.
type picture struct {
	Title string
	SVG   template.HTML
}

// pictures draws what there are data for.
func (s *Scenario) pictures() []picture {
	var all []picture
	add := func(title string, p *plot.Plot) {
		if p != nil {
			all = append(all, picture{title, svg(p, title)})
		}
	}
	add("Latency by percentile", s.latencyPlot())
	add("Memory against connections", s.memoryPlot())
	add("Rate over time", s.overTime("rate", perSecondTick, func(m *Sample) float64 { return m.Rate }))
	add("Resident memory over time", s.overTime("resident memory", sizeTick,
		func(m *Sample) float64 { return float64(m.Resident) }))
	add("Connections over time", s.overTime("connections", countTick,
		func(m *Sample) float64 { return float64(m.Connections) }))
	add("CPU of the server over time", s.overTime("cores busy", coresTick,
		func(m *Sample) float64 { return m.ServerCPU }))
	return all
}

// latencyPlot draws the distribution over a scale on which every further nine of
// the percentile takes the same room. It is nil if nothing was timed.
func (s *Scenario) latencyPlot() *plot.Plot {
	l := &s.Latency
	points := l.Points
	if len(points) == 0 {
		points = []Point{{.5, l.P50}, {.9, l.P90}, {.99, l.P99}, {.999, l.P999}, {1, l.Max}}
	}
	if l.Count == 0 {
		return nil
	}
	// The share 1 is infinitely far; the slowest of n stands where 1-1/n does.
	end := math.Max(1, math.Log10(float64(l.Count)))
	var line plotter.XYs
	low, high := math.Inf(1), math.Inf(-1)
	at := func(share, micros float64) plotter.XY {
		return plotter.XY{X: math.Min(-math.Log10(1-math.Min(share, 1)), end), Y: math.Log10(micros)}
	}
	for _, p := range points {
		// A logarithm has no place for nothing.
		if !finite(p.Micros) || p.Micros <= 0 || !(p.Share >= 0) {
			continue
		}
		xy := at(p.Share, p.Micros)
		low, high = math.Min(low, xy.Y), math.Max(high, xy.Y)
		line = append(line, xy)
	}
	if len(line) == 0 {
		return nil
	}

	p := newPlot("percentile", "latency")
	p.X.Min, p.X.Max = 0, end
	p.X.Tick.Marker = ninesTicks(end)
	// About a decade at least, or the ticks would have nothing to stand on.
	pad := math.Max(0.12*(high-low), (0.95-(high-low))/2)
	p.Y.Min, p.Y.Max = low-pad, high+pad
	p.Y.Tick.Marker = logTicks(p.Y.Min, p.Y.Max)
	p.Add(grid())
	p.Add(drawn(line, inkOne, false)...)

	// The curve rises, so there is room below and to the right of it.
	var dots plotter.XYLabels
	for _, d := range []Point{{.5, l.P50}, {.99, l.P99}, {.999, l.P999}} {
		if x := at(d.Share, 1).X; d.Micros > 0 && finite(d.Micros) && x < end-0.5 {
			dots.XYs = append(dots.XYs, at(d.Share, d.Micros))
			dots.Labels = append(dots.Labels, duration(d.Micros))
		}
	}
	p.Add(labelled(dots, 4, -11, draw.XLeft)...)
	if last := line[len(line)-1]; finite(l.Max) && l.Max > 0 {
		p.Add(labelled(plotter.XYLabels{XYs: plotter.XYs{last}, Labels: []string{"max " + duration(l.Max)}}, -2, 6, draw.XRight)...)
	}
	return p
}

// overTime draws a value of the samples. It is nil if there is none but zeros.
func (s *Scenario) overTime(what string, tick ticker, value func(*Sample) float64) *plot.Plot {
	var line plotter.XYs
	high, end := 0.0, 0.0
	for i := range s.Samples {
		m := &s.Samples[i]
		if v := value(m); finite(v) && finite(m.Second) {
			line = append(line, plotter.XY{X: m.Second, Y: v})
			high, end = math.Max(high, v), math.Max(end, m.Second)
		}
	}
	if high == 0 {
		return nil
	}
	p := newPlot("time", what)
	p.X.Min, p.X.Max = 0, cmp.Or(end, 1)
	p.X.Tick.Marker = ticker(secondsTick).to(p.X.Max, 6)
	p.Y.Min, p.Y.Max = 0, 1.1*high
	p.Y.Tick.Marker = tick.to(p.Y.Max, 6)
	p.Add(grid())
	p.Add(drawn(line, inkOne, true)...)
	return p
}

// memoryPlot draws memory against connections, apart for the time of filling and
// that of emptying. It is nil unless the memory of a connection was the subject.
func (s *Scenario) memoryPlot() *plot.Plot {
	if s.Name != "idle" && s.BytesPerConnection == 0 {
		return nil
	}
	var up, down plotter.XYs
	most, high, turn := 0, 0.0, 0
	for i, m := range s.Samples {
		if m.Connections >= most {
			most, turn = m.Connections, i
		}
	}
	for i, m := range s.Samples {
		if m.Resident <= 0 {
			continue
		}
		xy := plotter.XY{X: float64(m.Connections), Y: float64(m.Resident)}
		if i <= turn {
			up = append(up, xy)
		} else {
			down = append(down, xy)
		}
		high = math.Max(high, xy.Y)
	}
	if most == 0 || len(up)+len(down) == 0 {
		return nil
	}
	p := newPlot("connections", "resident memory")
	p.X.Min, p.X.Max = 0, 1.03*float64(most)
	p.X.Tick.Marker = ticker(countTick).to(p.X.Max, 5)
	p.Add(grid())

	if s.BytesPerConnection > 0 && s.Resident.Before > 0 {
		before := float64(s.Resident.Before)
		end := before + s.BytesPerConnection*float64(most)
		high = math.Max(high, end)
		fit, _ := plotter.NewLine(plotter.XYs{{X: 0, Y: before}, {X: float64(most), Y: end}})
		fit.Color, fit.Width, fit.Dashes = inkFit.color, 1.5, []vg.Length{5, 4}
		p.Add(fit)
		p.Legend.Add(each(s.BytesPerConnection)+" per connection", fit)
	}
	for _, part := range []struct {
		name string
		xys  plotter.XYs
		ink  ink
	}{{"filling", up, inkOne}, {"emptying", down, inkTwo}} {
		if len(part.xys) == 0 {
			continue
		}
		dots, _ := plotter.NewScatter(part.xys) // fails on none and on NaN only
		dots.GlyphStyle = draw.GlyphStyle{Color: part.ink.color, Radius: 2.5, Shape: draw.CircleGlyph{}}
		p.Add(dots)
		p.Legend.Add(part.name, dots)
	}
	// The legend stands in the lower right corner, where a line that rises from
	// the left leaves room.
	p.Y.Min, p.Y.Max = 0, 1.1*high
	p.Y.Tick.Marker = ticker(sizeTick).to(p.Y.Max, 6)
	return p
}

func newPlot(x, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil // the card's
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font = face(12)
		axis.Label.TextStyle.Color = inkText.color
		axis.Label.Padding = 4
		axis.Tick.Label.Font = face(11)
		axis.Tick.Label.Color = inkText.color
		axis.Tick.LineStyle.Color = inkFit.color
		axis.Tick.Length = 4
		axis.LineStyle.Color = inkFit.color
		axis.Padding = 0
	}
	p.X.Label.Text, p.Y.Label.Text = x, y
	p.Legend.TextStyle.Font = face(11)
	p.Legend.TextStyle.Color = inkText.color
	p.Legend.XOffs, p.Legend.YOffs = -6, 6
	p.Legend.Padding = 3
	p.Legend.YPosition = draw.PosCenter
	return p
}

func face(points vg.Length) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: points}
}

func grid() *plotter.Grid {
	g := plotter.NewGrid()
	g.Vertical.Color, g.Horizontal.Color = inkGrid.color, inkGrid.color
	g.Vertical.Width, g.Horizontal.Width = 0.7, 0.7
	return g
}

// drawn is a line, or a dot where a line would have no length.
func drawn(xys plotter.XYs, i ink, filled bool) []plot.Plotter {
	if len(xys) == 1 {
		return labelled(plotter.XYLabels{XYs: xys, Labels: []string{""}}, 0, 0, draw.XLeft)
	}
	line, err := plotter.NewLine(xys)
	if err != nil {
		return nil // none, or NaN: the callers have left those out
	}
	line.Color, line.Width = i.color, 1.8
	if !filled {
		return []plot.Plotter{line}
	}
	// The area apart from the line: a filled line is stroked all around.
	area, _ := plotter.NewLine(xys)
	area.Width = 0
	area.FillColor = inkArea.color
	return []plot.Plotter{area, line}
}

// labelled is dots with text beside them.
func labelled(dots plotter.XYLabels, dx, dy vg.Length, align draw.XAlignment) []plot.Plotter {
	if len(dots.XYs) == 0 {
		return nil
	}
	scatter, err := plotter.NewScatter(dots.XYs)
	if err != nil {
		return nil
	}
	scatter.GlyphStyle = draw.GlyphStyle{Color: inkOne.color, Radius: 3, Shape: draw.CircleGlyph{}}
	names, err := plotter.NewLabels(dots)
	if err != nil {
		return nil
	}
	for i := range names.TextStyle {
		names.TextStyle[i].Font = face(11)
		names.TextStyle[i].Color = inkText.color
		names.TextStyle[i].XAlign = align
	}
	names.Offset = vg.Point{X: dx, Y: dy}
	return []plot.Plotter{scatter, names}
}

// ticker chooses the steps of a linear axis that reaches from 0 to high: not less
// than least, and what is written at each.
type ticker func(least, high float64) (step float64, label func(v float64) string)

func perSecondTick(least, _ float64) (float64, func(float64) string) {
	step := decimalStep(least)
	return step, func(v float64) string { return decimal(v, step) + "/s" }
}

func countTick(least, _ float64) (float64, func(float64) string) {
	step := math.Max(1, decimalStep(least))
	return step, func(v float64) string { return decimal(v, step) }
}

func coresTick(least, _ float64) (float64, func(float64) string) {
	step := decimalStep(least)
	return step, func(v float64) string { return decimal(v, step) }
}

func sizeTick(least, high float64) (float64, func(float64) string) {
	u := unitOf(high, sizeUnits, 1024)
	step := decimalStep(least / u.size)
	return step * u.size, func(v float64) string { return decimal(v/u.size, step) + " " + u.name }
}

func secondsTick(least, high float64) (float64, func(float64) string) {
	// 20 and 50 are no round numbers of what comes in sixties.
	for _, step := range []float64{15, 30, 60, 120, 300, 600, 900, 1800, 3600} {
		switch {
		case least <= 10 || step < least:
		case step < 30:
			return step, func(v float64) string { return decimal(v, step) + " s" }
		default:
			return step, func(v float64) string { return decimal(v/60, step/60) + " min" }
		}
	}
	u := unitOf(high*1e6, timeUnits, 1000)
	size := u.size / 1e6
	step := decimalStep(least / size)
	return step * size, func(v float64) string { return decimal(v/size, step) + " " + u.name }
}

// to returns the ticks from 0 to high, at most most and the one at 0.
func (t ticker) to(high float64, most int) plot.ConstantTicks {
	step, label := t(high/float64(most), high)
	ticks := plot.ConstantTicks{{Value: 0, Label: "0"}}
	for n := 1.0; n*step <= high*(1+1e-9); n++ {
		ticks = append(ticks, plot.Tick{Value: n * step, Label: label(n * step)})
	}
	return ticks
}

// decimalStep returns 1, 2 or 5 times a power of ten, not less than least.
func decimalStep(least float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, lead := range []float64{1, 2, 5} {
		if lead*power >= least*(1-1e-9) {
			return lead * power
		}
	}
	return 10 * power
}

// decimal shows v with as many decimals as its step has.
func decimal(v, step float64) string {
	decimals := max(0, -int(math.Floor(math.Log10(step)+1e-9)))
	if decimals == 0 {
		return humanize.Comma(int64(math.Round(v)))
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// ninesTicks are the percentiles that stand at whole numbers of nines, and 50 %.
func ninesTicks(end float64) plot.ConstantTicks {
	ticks := plot.ConstantTicks{{Value: 0, Label: "0"}}
	if end <= 5 { // else there is no room between 0 and 90
		ticks = append(ticks, plot.Tick{Value: -math.Log10(.5), Label: "50 %"})
	}
	for n := 1; float64(n) <= end+1e-9; n++ {
		label := "90 %"
		switch {
		case n == 2:
			label = "99 %"
		case n > 2:
			label = "99." + strings.Repeat("9", n-2) + " %"
		}
		if end > 6 && n > 4 && n%2 == 1 {
			label = "" // so many nines are wider than their room
		}
		ticks = append(ticks, plot.Tick{Value: float64(n), Label: label})
	}
	return ticks
}

// logTicks are those of an axis of log10 microseconds: every decade, and 2 and 5
// of each where there are few.
func logTicks(low, high float64) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for decade := math.Floor(low); decade <= high; decade++ {
		for lead := 1.0; lead < 10; lead++ {
			at := decade + math.Log10(lead)
			if at < low || at > high {
				continue
			}
			label := ""
			if lead == 1 || high-low < 2.2 && (lead == 2 || lead == 5) {
				label = duration(lead * math.Pow(10, decade))
				label = trailingZeros.ReplaceAllString(label, "")
			}
			ticks = append(ticks, plot.Tick{Value: at, Label: label})
		}
	}
	return ticks
}

var (
	trailingZeros = regexp.MustCompile(`\.0+\b`)
	fontStyle     = regexp.MustCompile(`font-family:[^;"]*;font-variant:[^;"]*;font-weight:[^;"]*;font-style:[^;"]*;?`)
)

// svg draws p as an element to stand within a page, which gives it its fonts,
// its colours and its size.
func svg(p *plot.Plot, title string) template.HTML {
	canvas := vgsvg.New(pictureWidth, pictureHeight)
	p.Draw(draw.Crop(draw.New(canvas), 2, -6, 2, -4))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return "" // a Buffer takes everything
	}
	// Up to the end of the <svg> tag stands what only a file of its own needs.
	_, body, _ := strings.Cut(b.String(), "<svg")
	_, body, _ = strings.Cut(body, ">")
	body = fontStyle.ReplaceAllString(body, "")
	for _, i := range []ink{inkText, inkGrid, inkOne, inkTwo, inkArea, inkFit} {
		body = strings.ReplaceAll(body, i.hex(), "var("+i.name+")")
	}
	return template.HTML(fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">%s`,
		pictureWidth, pictureHeight, template.HTMLEscapeString(title), body))
}
