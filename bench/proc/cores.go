//go:build linux

package proc

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Cores is a set of processor cores by number. None means any.
type Cores []int

// ParseCores reads what taskset(1) reads: 0, 0,2 or 1-3.
func ParseCores(list string) (Cores, error) {
	var cores Cores
	if list == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(list, ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil || from < 0 || to < from || to >= 1024 {
			return nil, fmt.Errorf("%q is no list of cores, such as 0 or 1-3 or 0,2", list)
		}
		for core := from; core <= to; core++ {
			cores = append(cores, core)
		}
	}
	return cores, nil
}

// Others returns the cores of this process that are not in c, or none if that
// leaves nothing.
func (c Cores) Others() (Cores, error) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return nil, os.NewSyscallError("sched_getaffinity", err)
	}
	for _, core := range c {
		all.Clear(core)
	}
	var rest Cores
	for core := 0; all.Count() > 0 && len(rest) < all.Count(); core++ {
		if all.IsSet(core) {
			rest = append(rest, core)
		}
	}
	return rest, nil
}

// String is the form that ParseCores reads.
func (c Cores) String() string {
	var words []string
	for _, core := range c {
		words = append(words, strconv.Itoa(core))
	}
	return strings.Join(words, ",")
}

// start starts cmd bound to the cores. A process inherits the cores of the
// thread that forks it, so that even its first instruction runs there, and
// programs that ask how many cores there are see these only.
func (c Cores) start(cmd *exec.Cmd) error {
	if len(c) == 0 {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return os.NewSyscallError("sched_getaffinity", err)
	}
	for _, core := range c {
		set.Set(core)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("cores %s: %w", c, os.NewSyscallError("sched_setaffinity", err))
	}
	err := cmd.Start()
	if back := unix.SchedSetaffinity(0, &before); err == nil && back != nil {
		err = os.NewSyscallError("sched_setaffinity", back)
	}
	return err
}
