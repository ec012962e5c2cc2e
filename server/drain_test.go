package server_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/server"
)

// Clients are sent away over the whole time, however many loops share them.
func TestTheDrainIsSpread(t *testing.T) {
	for _, loops := range []int{1, 8} {
		t.Run(fmt.Sprint(loops, " loops"), func(t *testing.T) {
			const clients, drain = 40, 3 * time.Second
			c := config(t)
			c.Loops, c.Drain = loops, drain
			s, err := server.New(c)
			require.NoError(t, err)
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.Run(ctx) }()
			var gone sync.WaitGroup
			ends := make(chan time.Time, clients)
			for i := range clients {
				conn := dial(t, s)
				say(t, conn, fmt.Sprintf(`{"open":"%d"}`, i))
				require.Equal(t, `{"isKeyOk":true}`, hear(t, conn))
				gone.Go(func() {
					_, _, _ = conn.Read(context.Background())
					ends <- time.Now()
				})
			}
			begun := time.Now()
			stop()
			require.NoError(t, <-ended)
			gone.Wait()
			close(ends)
			early := 0
			for end := range ends {
				if end.Sub(begun) < drain/2 {
					early++
				}
			}
			// 24 ticks, and two clients at a time until there are as many as ticks.
			require.InDelta(t, clients*2/3, early, clients/4, "in the first half of the time")
		})
	}
}
