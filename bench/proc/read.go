//go:build linux

// Package proc starts the processes that are measured and reads from /proc what
// they and the kernel use.
package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is the time that a process has been running, all its threads together.
type CPU struct {
	Total time.Duration // exact to the nanosecond

	user, system uint64 // in ticks of the kernel, 10 ms
}

// Sub returns what was used between before and c.
func (c CPU) Sub(before CPU) CPU {
	return CPU{c.Total - before.Total, c.user - before.user, c.system - before.system}
}

// Add returns what c and another process have used.
func (c CPU) Add(other CPU) CPU {
	return CPU{c.Total + other.Total, c.user + other.user, c.system + other.system}
}

// System returns the share of the kernel, as far as its ticks tell. A span
// without a tick, which is a short one, is given to the kernel as a whole, where
// servers spend most.
func (c CPU) System() time.Duration {
	if c.user+c.system == 0 {
		return c.Total
	}
	return time.Duration(float64(c.Total) * float64(c.system) / float64(c.user+c.system))
}

// User returns what is not the kernel's share.
func (c CPU) User() time.Duration { return c.Total - c.System() }

// ReadCPU returns the CPU time of a process so far.
func ReadCPU(pid int) (CPU, error) {
	// clock_getcpuclockid(3): the process's number, inverted, and the clock of
	// the scheduler.
	const schedClock = 2
	var now unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|schedClock, &now); err != nil {
		return CPU{}, os.NewSyscallError("clock_gettime", err)
	}
	user, system, err := ticks(pid)
	return CPU{time.Duration(now.Nano()), user, system}, err
}

// ticks reads utime and stime of proc_pid_stat(5).
func ticks(pid int) (user, system uint64, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	// The second field is the program's name in brackets, which may hold blanks.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const utime, stime = 14 - 3, 15 - 3
	if len(fields) <= stime {
		return 0, 0, fmt.Errorf("/proc/%d/stat: too short", pid)
	}
	if user, err = strconv.ParseUint(fields[utime], 10, 64); err != nil {
		return 0, 0, err
	}
	system, err = strconv.ParseUint(fields[stime], 10, 64)
	return user, system, err
}

// BusyCPU returns the time that all processors together have been working for
// processes since the machine was started, this one or, if it is virtual,
// others. What they did for interrupts is left out: some kernels count the way
// of a packet through the loopback there, others with the process that sent it.
func BusyCPU() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	// cpu user nice system idle iowait irq softirq steal …
	words := strings.Fields(line)
	const user, system, steal = 1, 3, 8
	var busy int64
	for i, word := range words {
		if (i < user || i > system) && i != steal {
			continue
		}
		n, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		busy += n
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 wherever Go runs
	return time.Duration(busy) * tick, nil
}

// Resident returns the resident memory of a process (VmRSS) in bytes.
func Resident(pid int) (int64, error) {
	return field(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:")
}

// Sockets returns how many sockets a process has open.
func Sockets(pid int) (int, error) {
	folder := fmt.Sprintf("/proc/%d/fd", pid)
	dir, err := os.Open(folder)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, name := range names {
		// Fails for one that has been closed meanwhile.
		if what, err := os.Readlink(folder + "/" + name); err == nil && strings.HasPrefix(what, "socket:") {
			n++
		}
	}
	return n, nil
}

// FileLimit returns how many descriptors a process may have open.
func FileLimit(pid int) (int, error) {
	n, err := field(fmt.Sprintf("/proc/%d/limits", pid), "Max open files")
	return int(min(n, 1<<30)), err
}

// Kernel is memory that the kernel holds for all processes, in bytes.
type Kernel struct {
	Slab     int64
	Sockets  int64 // buffers of TCP sockets
	TimeWait int   // connections that are over and not forgotten yet
}

// ReadKernel reads it.
func ReadKernel() (Kernel, error) {
	var k Kernel
	var err error
	if k.Slab, err = field("/proc/meminfo", "Slab:"); err != nil {
		return k, err
	}
	sockets, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return k, err
	}
	for line := range strings.Lines(string(sockets)) {
		words := strings.Fields(line)
		for i := 1; i+1 < len(words) && words[0] == "TCP:"; i += 2 {
			n, _ := strconv.ParseInt(words[i+1], 10, 64)
			switch words[i] {
			case "tw":
				k.TimeWait = int(n)
			case "mem":
				k.Sockets = n * int64(os.Getpagesize())
			}
		}
	}
	return k, nil
}

// field returns the number that follows name in the file path, in bytes if its
// unit is kB.
func field(path, name string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		rest, found := strings.CutPrefix(line, name)
		if !found {
			continue
		}
		words := strings.Fields(rest)
		if len(words) == 0 {
			break
		}
		if words[0] == "unlimited" {
			return 1 << 62, nil
		}
		n, err := strconv.ParseInt(words[0], 10, 64)
		if err == nil && len(words) > 1 && words[1] == "kB" {
			n <<= 10
		}
		return n, err
	}
	return 0, fmt.Errorf("%s: has no %s", path, name)
}
