package cluster

import (
	"sync"
	"time"

	"sigver/router"
)

// wish is that all keys of this node be claimed again.
type wish struct {
	mu    sync.Mutex
	made  bool         // guarded by mu
	right router.Right // guarded by mu

	wake chan struct{} // buffered: it was made, or can be granted
}

// again asks for all keys to be claimed again. Of several wishes the one that
// harms others least counts.
func (c *Cluster) again(right router.Right) {
	w := &c.wish
	w.mu.Lock()
	if !w.made || right == router.Yielding {
		w.right = right
	}
	w.made = true
	w.mu.Unlock()
	w.kick()
}

// kick has the wish looked at, if there is one.
func (w *wish) kick() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// take takes the wish, if there is one.
func (w *wish) take() (right router.Right, made bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	right, made = w.right, w.made
	w.made = false
	return right, made
}

// reclaim does what again asks for. What fails is tried again.
func (c *Cluster) reclaim() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.wish.wake:
		}
		if !c.reachable() {
			continue // there is a kick when it is
		}
		if right, made := c.wish.take(); made && !c.router.Reclaim(right) {
			c.again(right)
			time.Sleep(retry)
		}
	}
}
