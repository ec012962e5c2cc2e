package router

import (
	"errors"
	"fmt"
)

// Check looks at every table and returns the first broken invariant, or nil. It
// is for tests: it walks all keys, and while connections come and go it may
// take a change that is under way for a broken one.
func (r *Router) Check() error {
	for i := range r.shards {
		if err := r.checkShard(&r.shards[i].shard); err != nil {
			return fmt.Errorf("router: shard %d of %d: %w", i, len(r.shards), err)
		}
	}
	return nil
}

func (r *Router) checkShard(s *shard) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	joinings := 0
	for key, o := range s.openers {
		n, err := r.checkOpener(s, key, o)
		if err != nil {
			return fmt.Errorf("key %q: %w", key, err)
		}
		joinings += n
	}
	switch counted := int(s.joinings.Load()); {
	case counted != joinings:
		return fmt.Errorf("counts %d Joinings, has %d", counted, joinings)
	case len(s.openers) > s.peak:
		return fmt.Errorf("%d keys are more than their peak %d", len(s.openers), s.peak)
	case s.peak > keptPeak && len(s.openers) <= s.peak/shrinkAt:
		return fmt.Errorf("%d keys keep the memory of %d", len(s.openers), s.peak)
	}
	return nil
}

// checkOpener looks at the record o, found under key in s, and returns the
// number of its Joinings.
func (r *Router) checkOpener(s *shard, key string, o *opener) (joinings int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.key != key:
		return 0, fmt.Errorf("leads to the record of %q", o.key)
	case o.shard != s || r.shardOf([]byte(key)) != s:
		return 0, errors.New("is in the wrong shard")
	case o.holder == nil:
		return 0, errors.New("the record is dead")
	case o.holder.router != r || o.holder.opener != o || o.holder.role != asOpener:
		return 0, errors.New("the holder is not its Opener")
	case o.joinings != nil && len(o.joinings) == 0:
		return 0, errors.New("keeps an empty map of Joinings")
	case r.maxJoinings > 0 && len(o.joinings) > r.maxJoinings:
		return 0, fmt.Errorf("%d Joinings are over the limit", len(o.joinings))
	}
	for id, s := range o.joinings {
		switch {
		case id < 1 || id > maxID:
			return 0, fmt.Errorf("id %d is out of range", id)
		case s.router != r || s.opener != o || s.role != asJoining:
			return 0, fmt.Errorf("id %d is not its Joining", id)
		case s.id != id:
			return 0, fmt.Errorf("id %d leads to the Joining %d", id, s.id)
		}
	}
	return len(o.joinings), nil
}
