package conn_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/conn"
	"sigver/protocol"
)

const head = "HTTP/1.1 200 OK\r\n\r\nfirst\n\n"

// stream is a client whose visit has become a stream. Loop only.
func (l *loop) stream() *client {
	visiting := l.serve()
	visiting.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	require.NotNil(l.t, visiting.visitor)
	c := &client{fd: visiting.fd}
	require.NoError(l.t, l.set.ServeStream(l.owned(&c.Conn, c), visiting.visitor, []byte(head)))
	got, ended := c.receive()
	require.Equal(l.t, head, got)
	require.False(l.t, ended)
	return c
}

func TestAStream(t *testing.T) {
	l := newLoop(t, generous)
	before := 0
	l.do(func() {
		before = openFiles(t)
		c := l.stream()
		c.Send([]byte(`{"isKeyOk":true}`))
		c.Send([]byte(`{"data":"` + strings.Repeat("x", 70<<10) + `"}`))
		got, _ := c.receive()
		require.True(t, "data: {\"isKeyOk\":true}\n\ndata: {\"data\":\""+strings.Repeat("x", 70<<10)+"\"}\n\n" == got)

		require.True(t, c.Deliver([]byte("one")))
		require.True(t, c.Deliver([]byte("two")))
		c.send("what a client says on its stream means nothing")
		require.Equal(t, []string{"one", "two"}, c.messages)

		c.Send([]byte("last"))
		c.Close(protocol.KeyExists, `another "connection"`)
		c.Send([]byte("late"))
		require.True(t, c.Deliver([]byte("crossing")), "not heard of yet")
		got, ended := c.receive()
		require.Equal(t, "data: last\n\nevent: close\ndata: {\"code\":4010,\"reason\":\"KEY_EXISTS: another \\\"connection\\\"\"}\n\n", got)
		require.True(t, ended)
		require.Equal(t, []protocol.CloseCode{protocol.KeyExists}, c.left)
		require.False(t, c.Deliver([]byte("too late")))
		c.hangUp()
		require.Equal(t, 1, c.closed)
		require.Zero(t, l.set.Len())
		require.LessOrEqual(t, openFiles(t), before+2, "the runtime may have opened two")
	})
}

func TestAStreamThatItsClientAbandons(t *testing.T) {
	limits := generous
	limits.Heartbeat = 30 * time.Second
	l := newLoop(t, limits)
	l.do(func() {
		c := l.stream()
		c.KeepOpen()
		for range 10 {
			l.set.Advance(29 * time.Second)
			got, _ := c.receive()
			require.Empty(t, got)
			l.set.Advance(2 * time.Second)
			got, ended := c.receive()
			require.Equal(t, ": \n\n", got)
			require.False(t, ended, "a client that only listens is not dead")
		}
		c.hangUp()
		require.Equal(t, []protocol.CloseCode{conn.Lost}, c.left)
		require.Equal(t, 1, c.closed)
	})
}

// What a client sends shows nothing of its stream: comments go on, as often as
// without it, and the rate is what it is.
func TestPostsDoNotPutOffComments(t *testing.T) {
	limits := generous
	limits.Heartbeat = 30 * time.Second
	limits.Rate, limits.Burst = 0.5, 3
	l := newLoop(t, limits)
	l.do(func() {
		c := l.stream()
		c.KeepOpen()
		comments := 0
		for second := 0; second < 300; second += 2 {
			l.set.Advance(2 * time.Second)
			require.True(t, c.Deliver([]byte("m")))
			got, ended := c.receive()
			require.False(t, ended, "after %d s: %v", second, c.left)
			comments += strings.Count(got, ": \n\n")
		}
		require.InDelta(t, 10, comments, 1)
		extra := 0
		for ; extra < 10 && len(c.left) == 0; extra++ {
			c.Deliver([]byte("m"))
		}
		require.InDelta(t, 2.5, extra, 0.5, "some two are saved up")
		_, ended := c.receive()
		require.True(t, ended)
		require.Equal(t, []protocol.CloseCode{protocol.RateLimited}, c.left)
		c.hangUp()
	})
}

func TestTheLimitsOfAStream(t *testing.T) {
	limits := generous
	limits.Rate, limits.Burst, limits.Idle, limits.Unsent = 1, 3, 5*time.Second, 100<<10
	limits.Heartbeat = time.Second
	l := newLoop(t, limits)
	cases := []struct {
		name string
		do   func(*client)
		code protocol.CloseCode
	}{
		{"idle", func(*client) { l.set.Advance(6 * time.Second) }, protocol.Idle},
		{"rate", func(c *client) {
			for range 4 {
				c.Deliver([]byte("m"))
			}
		}, protocol.RateLimited},
		{"saved up", func(c *client) {
			c.KeepOpen()
			for range 3 {
				c.Deliver([]byte("m"))
			}
			l.set.Advance(2 * time.Second) // keep-alives, which count for nothing
			l.set.Advance(2 * time.Second)
			for range 4 {
				c.Deliver([]byte("m"))
			}
		}, protocol.RateLimited},
		{"not UTF-8", func(c *client) { c.Deliver([]byte("\xff")) }, protocol.InvalidPayload},
		{"its owner's error", func(c *client) {
			c.handle = func([]byte) error { return &protocol.Error{Code: protocol.KeyUnknown, Detail: "no"} }
			c.Deliver([]byte("m"))
		}, protocol.KeyUnknown},
		{"another error", func(c *client) {
			c.handle = func([]byte) error { return errors.New("no") }
			c.Deliver([]byte("m"))
		}, protocol.MessageError},
		{"a slow consumer", func(c *client) {
			for range 100 {
				c.Send([]byte(strings.Repeat("m", 10<<10)))
			}
		}, protocol.SlowConsumer},
		{"the server's end", func(*client) { l.set.GoAway() }, protocol.GoingAway},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			l.do(func() {
				c := l.stream()
				tc.do(c)
				got := ""
				for range 100 {
					more, ended := c.receive()
					if got += more; ended {
						break
					}
				}
				require.Equal(t, []protocol.CloseCode{tc.code}, c.left)
				_, last, _ := strings.Cut(got, "event: close\ndata: ")
				require.Contains(t, last, tc.code.String()+":", "%.200q", got)
				require.True(t, strings.HasSuffix(last, "\"}\n\n"))
				c.hangUp()
				require.Equal(t, 1, c.closed)
			})
		})
	}
}

func TestAStreamOverTLS(t *testing.T) {
	l := newSecureLoop(t, generous)
	visiting, wss := l.dialTLS(t)
	visit := "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	_, err := wss.Write([]byte(visit))
	require.NoError(t, err)
	l.until(t, func() bool { return visiting.visitor != nil })
	wantBytes(t, visiting.visitor, visit)

	c := new(client)
	l.do(func() { require.NoError(t, l.set.ServeStream(l.owned(&c.Conn, c), visiting.visitor, []byte(head))) })
	wantBytes(t, wss, head)
	l.do(func() { c.Send([]byte("secret")) })
	wantBytes(t, wss, "data: secret\n\n")
	require.NoError(t, wss.Close())
	l.until(t, func() bool { return c.closed == 1 })
	l.do(func() { require.Equal(t, []protocol.CloseCode{conn.Lost}, c.left) })
}

func TestAStreamToAClientThatIsGone(t *testing.T) {
	l := newLoop(t, generous)
	l.do(func() {
		visiting := l.serve()
		visiting.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		require.NoError(t, visiting.visitor.Close())
		c := new(client)
		require.Error(t, l.set.ServeStream(l.owned(&c.Conn, c), visiting.visitor, []byte(head)))
		require.Zero(t, l.set.Len())
		visiting.hangUp()
	})
}
