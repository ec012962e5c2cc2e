//go:build linux

package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/sys/unix"

	"sigver/bench/wire"
)

// lineEvery is how often progress is told where there is no terminal.
const lineEvery = 3 * time.Second

// progress tells a waiting person how far a scenario is: a bar on a terminal,
// a line now and then elsewhere.
type progress struct {
	out   io.Writer
	title string
	spec  *spec
	bar   *progressbar.ProgressBar // nil: no terminal
	began time.Time
	told  time.Time
}

func startProgress(out io.Writer, server string, s *spec) *progress {
	p := &progress{out: out, title: server + " " + s.name, spec: s, began: time.Now(), told: time.Now()}
	if terminal(out) {
		p.bar = progressbar.NewOptions64(p.whole(),
			progressbar.OptionSetWriter(out),
			progressbar.OptionSetDescription(p.title),
			progressbar.OptionSetWidth(24),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionShowDescriptionAtLineEnd(),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
		)
	}
	return p
}

func terminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// whole is what has to be done: operations, or milliseconds if it is done when
// its time is over.
func (p *progress) whole() int64 {
	if p.spec.duration > 0 {
		return (p.spec.duration + p.spec.warmUp).Milliseconds()
	}
	return int64(p.spec.pairs)
}

func (p *progress) part(t wire.Tick) int64 {
	part := int64(t.Progress)
	if p.spec.duration > 0 {
		part = time.Since(p.began).Milliseconds()
	}
	// A bar that is full is finished; end does that.
	return min(part, p.whole()-1)
}

func (p *progress) update(t wire.Tick, rate float64) {
	text := fmt.Sprintf("%s  %s/s  %s connections  %s errors", p.title,
		humanize.Comma(int64(rate)), comma(t.Connections), humanize.Comma(t.Errors))
	if p.bar != nil {
		p.bar.Describe(text)
		_ = p.bar.Set64(p.part(t)) // fails when it cannot be drawn
		return
	}
	if time.Since(p.told) >= lineEvery {
		p.told = time.Now()
		fmt.Fprintf(p.out, "%5.1f s  %3d %%  %s\n", time.Since(p.began).Seconds(), 100*p.part(t)/max(1, p.whole()), text)
	}
}

func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
		return
	}
	fmt.Fprintf(p.out, "%5.1f s  done   %s\n", time.Since(p.began).Seconds(), p.title)
}
