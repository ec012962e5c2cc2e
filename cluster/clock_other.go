//go:build !linux

package cluster

import "time"

var begun = time.Now()

// uptime is how long the program has been running. Where the machine can sleep, that
// may not count.
func uptime() time.Duration { return time.Since(begun) }
