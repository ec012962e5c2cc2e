package cluster

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/redis/rueidis"
)

// listen receives what other nodes send to one lane of this one. subscribed gets
// a value the first time that it does.
func (c *Cluster) listen(lane int, subscribed chan<- struct{}) {
	first := true
	ctx := rueidis.WithOnSubscriptionHook(c.ctx, func(s rueidis.PubSubSubscription) {
		if s.Kind != "subscribe" {
			return
		}
		if first {
			subscribed <- struct{}{}
			first = false
			return
		}
		// What was sent in between is lost. Not here: the hook must not wait.
		go c.router.Recheck()
	})
	for c.ctx.Err() == nil {
		c.receive(ctx, lane)
		select {
		case <-c.ctx.Done():
		case <-time.After(retry):
		}
	}
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
