package router

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/protocol"
)

// nobody is a Peer that keeps nothing.
type nobody struct{}

func (nobody) Send([]byte)                      {}
func (nobody) Close(protocol.CloseCode, string) {}
func (nobody) Post(func())                      {}

// bound returns a session that has opened or joined key.
func bound(t *testing.T, r *Router, kind protocol.Kind, key string) *Session {
	t.Helper()
	s := new(Session)
	r.Attach(s, nobody{})
	_, err := r.Handle(s, &protocol.Message{Kind: kind, Key: []byte(key)}, nil)
	require.NoError(t, err)
	return s
}

// TestCheckSeesWhatIsBroken breaks each invariant in turn. Without it, a Check
// that always returns nil would make all other tests content.
func TestCheckSeesWhatIsBroken(t *testing.T) {
	tests := []struct {
		name  string
		wreck func(r *Router, opener, joining *Session)
	}{
		{"wrong key", func(r *Router, opener, _ *Session) {
			// Of the other shard: a key of the same slot would be as good.
			home, _ := r.shardOfOpener(opener.opener)
			for other, shard := 0, home; shard == home; other++ {
				opener.opener.key = strconv.Itoa(other)
				shard, _ = r.shardOfOpener(opener.opener)
			}
		}},
		{"wrong shard", func(r *Router, opener, _ *Session) {
			shard, hash := r.shardOfOpener(opener.opener)
			shard.openers.remove(hash, opener.opener)
			r.shardAt(hash+1).openers.add(hash, opener.opener)
		}},
		{"wrong slot", func(r *Router, opener, _ *Session) {
			shard, hash := r.shardOfOpener(opener.opener)
			shard.openers.remove(hash, opener.opener)
			shard.openers.add(hash+5<<32, opener.opener)
		}},
		{"dead record", func(r *Router, opener, _ *Session) { opener.opener.holder = nil }},
		{"holder is a Joining", func(r *Router, opener, joining *Session) { opener.opener.holder = joining }},
		{"holder is elsewhere", func(r *Router, opener, _ *Session) { opener.opener = nil }},
		{"too many Joinings", func(r *Router, opener, _ *Session) {
			r.maxJoinings = 1
			opener.opener.joinings[7] = opener.opener.joinings[1]
		}},
		{"id out of range", func(r *Router, opener, joining *Session) {
			joining.id = maxID + 1
			opener.opener.joinings = map[uint32]*Session{joining.id: joining}
		}},
		{"wrong id", func(r *Router, _, joining *Session) { joining.id++ }},
		{"Joining is elsewhere", func(r *Router, _, joining *Session) { joining.opener = nil }},
		{"Joining is none", func(r *Router, _, joining *Session) { joining.role = unbound }},
		{"wrong count", func(r *Router, opener, _ *Session) { r.shards[0].joinings.Add(1) }},
		{"empty map of Joinings", func(r *Router, opener, joining *Session) {
			delete(opener.opener.joinings, joining.id)
		}},
		{"wrong count of keys", func(r *Router, opener, _ *Session) {
			shard, _ := r.shardOfOpener(opener.opener)
			shard.openers.count++
		}},
		{"kept memory", func(r *Router, opener, _ *Session) { r.shards[0].openers.resize(2 * minSlots) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := New(2, 0)
			opener := bound(t, r, protocol.Open, "k")
			joining := bound(t, r, protocol.Join, "k")
			require.NoError(t, r.Check())
			test.wreck(r, opener, joining)
			require.Error(t, r.Check())
		})
	}
}
