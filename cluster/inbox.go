package cluster

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"sigver/router"
)

// ears are the lanes on which this node hears others.
type ears struct {
	mu    sync.Mutex
	lanes [lanes]bool // guarded by mu
	open  int         // how many of them are true; guarded by mu
	all   atomic.Bool // they are; written under mu
	began bool        // they were, once; guarded by mu
}

// listen receives what other nodes send to one lane of this one.
func (c *Cluster) listen(lane int) {
	ctx := rueidis.WithOnSubscriptionHook(c.ctx, func(s rueidis.PubSubSubscription) {
		if s.Kind == "subscribe" {
			c.hears(lane, true)
		}
	})
	for c.ctx.Err() == nil {
		c.receive(ctx, lane)
		c.hears(lane, false)
		if c.up.Load() { // else it is asked for all the time
			c.soon(0)
		}
		select {
		case <-c.ctx.Done():
		case <-time.After(retry):
		}
	}
}

// hears notes whether a lane is subscribed. While one was not, the node may have
// been told that it has lost a key, and not know.
func (c *Cluster) hears(lane int, does bool) {
	e := &c.ears
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.lanes[lane] == does {
		return
	}
	e.lanes[lane] = does
	if !does {
		if e.open--; e.all.Swap(false) && c.ctx.Err() == nil {
			c.log.Warn("messages of other nodes do not come")
		}
		return
	}
	if e.open++; e.open < lanes {
		return
	}
	if e.began {
		right := router.ByTime
		if !c.leased() {
			right = router.Yielding
		}
		c.tenure.Add(1)
		c.again(right)
		c.wg.Go(c.router.Recheck) // not here: the hook must not wait
		c.log.Info("messages of other nodes come again")
	}
	e.all.Store(true)
	if !e.began {
		e.began = true
		close(c.heard) // whoever waits for that may claim keys at once
	}
	c.wish.kick()
}

// receive subscribes, and returns when the subscription has ended.
func (c *Cluster) receive(ctx context.Context, lane int) {
	err := c.inbox.Receive(ctx, c.inbox.B().Subscribe().Channel(channel(c.node, lane)).Build(), func(m rueidis.PubSubMessage) {
		if len(m.Message) < nodeLen {
			return
		}
		from := binary.BigEndian.Uint64([]byte(m.Message[:nodeLen]))
		if err := c.router.Receive(from, []byte(m.Message[nodeLen:])); err != nil {
			c.log.Warn("nonsense from another node", "node", nodeName(from), "error", err)
		}
	})
	if err != nil && c.ctx.Err() == nil {
		c.log.Debug("the subscription has ended", "error", err)
	}
}
