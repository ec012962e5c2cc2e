// Package cable lays a network cable to a network of its own: pulling it is what a
// telephone in a tunnel does, and no packet says goodbye.
package cable

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"
)

// Cable is a pair of interfaces and the network namespace of the far one.
type Cable struct {
	Namespace string // of the far end
	Local     string // address of the near end
	Far       string // address of the far end

	near string // interface
}

var laid atomic.Int64

// Lay lays one. It needs Linux, root and iproute2.
func Lay() (*Cable, error) {
	n := (int64(os.Getpid()) + laid.Add(1)*7919) % 25000
	network := fmt.Sprintf("10.%d.%d.", 100+n/250, n%250)
	c := &Cable{
		Namespace: fmt.Sprintf("sigver-%d", n),
		Local:     network + "1",
		Far:       network + "2",
		near:      fmt.Sprintf("sigver%d", n),
	}
	for _, args := range []string{
		"netns add " + c.Namespace,
		"link add " + c.near + " type veth peer name eth0 netns " + c.Namespace,
		"addr add " + c.Local + "/30 dev " + c.near,
		"link set " + c.near + " up",
		"-n " + c.Namespace + " addr add " + c.Far + "/30 dev eth0",
		"-n " + c.Namespace + " link set eth0 up",
	} {
		if err := ip(args); err != nil {
			c.Remove()
			return nil, err
		}
	}
	return c, nil
}

// Pull cuts the two ends off from each other.
func (c *Cable) Pull() error { return ip("link set " + c.near + " down") }

// Plug joins them again.
func (c *Cable) Plug() error { return ip("link set " + c.near + " up") }

// Command is a program that will run at the far end.
func (c *Cable) Command(name string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", c.Namespace, name}, args...)...)
}

// Remove takes the cable away, pulled or not.
func (c *Cable) Remove() {
	_ = ip("link del " + c.near)
	_ = ip("netns del " + c.Namespace)
}

func ip(args string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s (this needs root and iproute2)", args, err, strings.TrimSpace(string(out)))
	}
	return nil
}
