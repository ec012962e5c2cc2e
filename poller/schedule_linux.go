package poller

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// LetOthersFinish puts all threads of the process, and those that come, under
// SCHED_BATCH (sched(7)): a thread that is woken does not interrupt who has its
// core, but comes when that one waits or its slice is over. A core that is free
// is taken at once, as ever. So the batches of a loop stay large when it shares
// its cores with other loops and with those who send.
//
// It leaves nice values alone, and a thread that has another policy than the usual
// one: that is the operator's choice.
func LetOthersFinish() error {
	// A thread that starts meanwhile has the policy of whoever starts it, so all
	// have it once nothing is left to change.
	for changed := true; changed; {
		changed = false
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, thread := range threads {
			id, err := strconv.Atoi(thread.Name())
			if err != nil {
				return err
			}
			usual, err := makeBatch(id)
			if err != nil {
				return err
			}
			changed = changed || usual
		}
	}
	return nil
}

// makeBatch reports whether a thread had the usual policy, which it has no more.
func makeBatch(thread int) (usual bool, err error) {
	now, err := unix.SchedGetAttr(thread, 0)
	switch {
	case err == unix.ESRCH: // it has ended
		return false, nil
	case err != nil:
		return false, os.NewSyscallError("sched_getattr", err)
	case now.Policy != unix.SCHED_NORMAL:
		return false, nil
	}
	err = unix.SchedSetAttr(thread, &unix.SchedAttr{Policy: unix.SCHED_BATCH, Nice: now.Nice}, 0)
	switch {
	case err == unix.ESRCH:
		return false, nil
	case err != nil:
		return false, os.NewSyscallError("sched_setattr", err)
	}
	return true, nil
}
