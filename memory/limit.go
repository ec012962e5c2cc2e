package memory

import (
	"bytes"
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
	for _, b := range new(reader).bounds(root) {
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
func (r *reader) bounds(root string) (all []bound) {
	meminfo := r.read(filepath.Join(root, "proc/meminfo")) // in KiB
	if total, _ := field(meminfo, "MemTotal:"); total > 0 {
		left, known := field(meminfo, "MemAvailable:")
		if !known {
			left = total
		}
		all = append(all, bound{"the machine", total << 10, left << 10})
	}
	groups := string(r.read(filepath.Join(root, "proc/self/cgroup")))
	for line := range strings.Lines(groups) {
		// Version 2 has one hierarchy, 0::/path, and each ancestor limits too.
		path, found := strings.CutPrefix(strings.TrimSpace(line), "0::")
		for ; found && path != "" && path != "."; path = filepath.Dir(path) {
			dir := filepath.Join(root, "sys/fs/cgroup", path)
			if total := r.number(filepath.Join(dir, "memory.max")); total > 0 {
				all = append(all, bound{"the control group", total, r.leftOfGroup(dir, total)})
			}
			if path == "/" {
				break
			}
		}
	}
	return all
}

// leftOfGroup is all of total where the group does not say what it uses.
func (r *reader) leftOfGroup(dir string, total int64) int64 {
	current := r.number(filepath.Join(dir, "memory.current"))
	if current == 0 {
		return total
	}
	if left := total - current; left > 2*reserve(total) {
		return left // whatever of it is cache; asking that costs the kernel more
	}
	stat := r.read(filepath.Join(dir, "memory.stat"))
	left := total - current
	for _, name := range []string{"inactive_file", "active_file", "slab_reclaimable"} {
		cache, known := field(stat, name)
		if !known {
			return total
		}
		left += cache
	}
	return left
}

// Resident is how much memory the process has, in bytes. 0: unknown.
func Resident() int64 { return new(reader).resident() }

func (r *reader) resident() int64 {
	_, rest, _ := bytes.Cut(r.read("/proc/self/statm"), []byte(" "))
	pages, _, _ := bytes.Cut(rest, []byte(" "))
	n, _ := strconv.ParseInt(string(pages), 10, 64)
	return n * int64(os.Getpagesize())
}

// reader reads small files of the kernel. What it leaves behind is little, since the
// garbage of looking would be looked at.
type reader struct{ buf []byte }

// read returns the text of a file, which is valid until the next one is read. It is
// empty if there is none.
func (r *reader) read(name string) []byte {
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	if r.buf == nil {
		r.buf = make([]byte, 8<<10)
	}
	n := 0
	for n < len(r.buf) {
		more, err := f.Read(r.buf[n:])
		n += more
		if err != nil {
			break
		}
	}
	return r.buf[:n]
}

// number is the number that a file holds, or 0.
func (r *reader) number(name string) int64 {
	n, _ := strconv.ParseInt(string(bytes.TrimSpace(r.read(name))), 10, 64)
	return n
}

// field is the number on the line of text that begins with name and a blank.
func field(text []byte, name string) (n int64, found bool) {
	for line := range bytes.Lines(text) {
		if len(line) > len(name) && string(line[:len(name)]) == name && line[len(name)] == ' ' {
			value, _, _ := bytes.Cut(bytes.TrimSpace(line[len(name):]), []byte(" "))
			n, err := strconv.ParseInt(string(value), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
