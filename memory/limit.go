package memory

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Available is what this process may use at most, in bytes: the memory of its
// control group, or of the machine. 0: unknown.
func Available() int64 { return available("/") }

// available looks below root.
func available(root string) (least int64) {
	for _, b := range bounds(root) {
		if least == 0 || b.total < least {
			least = b.total
		}
	}
	return least
}

// bound is memory that the process has in common with others. In bytes.
type bound struct {
	of    string
	total int64
	// left is what can still be had before the kernel ends a process. What it keeps
	// of files it gives up before that.
	left int64
}

// bounds are those of the machine and of the control groups that the process is in.
func bounds(root string) (all []bound) {
	meminfo := numbers(filepath.Join(root, "proc/meminfo")) // in KiB
	if total := meminfo["MemTotal:"] << 10; total > 0 {
		left, known := meminfo["MemAvailable:"]
		if !known {
			left = total >> 10
		}
		all = append(all, bound{"the machine", total, left << 10})
	}
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return all
	}
	for line := range strings.Lines(string(groups)) {
		// Version 2 has one hierarchy, 0::/path, and each ancestor limits too.
		path, found := strings.CutPrefix(strings.TrimSpace(line), "0::")
		for ; found && path != "" && path != "."; path = filepath.Dir(path) {
			dir := filepath.Join(root, "sys/fs/cgroup", path)
			if total := number(filepath.Join(dir, "memory.max")); total > 0 {
				all = append(all, bound{"the control group", total, leftOfGroup(dir, total)})
			}
			if path == "/" {
				break
			}
		}
	}
	return all
}

// leftOfGroup is all of total where the group does not say what it uses.
func leftOfGroup(dir string, total int64) int64 {
	current := number(filepath.Join(dir, "memory.current"))
	if current == 0 {
		return total
	}
	if left := total - current; left > 2*reserve(total) {
		return left // whatever of it is cache; asking that costs the kernel more
	}
	stat := numbers(filepath.Join(dir, "memory.stat"))
	if len(stat) == 0 {
		return total
	}
	cache := stat["inactive_file"] + stat["active_file"] + stat["slab_reclaimable"]
	return total - current + cache
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

// numbers are those of a file that has a name and a number on each line.
func numbers(file string) map[string]int64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	all := make(map[string]int64)
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) >= 2 {
			all[fields[0]], _ = strconv.ParseInt(fields[1], 10, 64)
		}
	}
	return all
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
