package memory

import (
	"context"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

const (
	checkEvery = 250 * time.Millisecond
	// Over the limit until the process is under this part of it again, so that
	// clients are not let in and refused in turn.
	enoughRoom = 0.95
	// collectAt is the part of the limit from which on the collector works harder
	// rather than letting the process grow.
	collectAt = 0.9
)

// Available is what this process may use at most, in bytes: the memory of its
// control group, or of the machine. 0: unknown.
func Available() int64 { return available("/") }

// available looks below root.
func available(root string) int64 {
	least := machine(root)
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return least
	}
	for line := range strings.Lines(string(groups)) {
		// Version 2 has one hierarchy, 0::/path, and each ancestor limits too.
		path, found := strings.CutPrefix(strings.TrimSpace(line), "0::")
		for ; found && path != "" && path != "."; path = filepath.Dir(path) {
			limit := number(filepath.Join(root, "sys/fs/cgroup", path, "memory.max"))
			if limit > 0 && (least == 0 || limit < least) {
				least = limit
			}
			if path == "/" {
				break
			}
		}
	}
	return least
}

// machine is MemTotal of /proc/meminfo.
func machine(root string) int64 {
	text, err := os.ReadFile(filepath.Join(root, "proc/meminfo"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "MemTotal:"); found {
			kilobytes, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}

// number is the number that a file holds, or 0.
func number(file string) int64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n
}

// Resident is how much memory the process has, in bytes. 0: unknown.
func Resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// Guard compares the process with limit, in bytes, until ctx is done, and tells
// when it goes over it, and when there is enough room again. Shortly before the
// limit the collector works harder.
func Guard(ctx context.Context, limit int64, tell func(over bool)) {
	debug.SetMemoryLimit(int64(float64(limit) * collectAt))
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	over := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		resident := Resident()
		switch {
		case !over && resident > limit:
			// What is garbage does not count.
			debug.FreeOSMemory()
			if Resident() > limit {
				over = true
				tell(over)
			}
		case over && resident < int64(float64(limit)*enoughRoom):
			over = false
			tell(over)
		}
	}
}
