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
	if r.engine == nil {
		return nil
	}
	return r.checkPlaces()
}

// checkPlaces looks at what other nodes can name.
func (r *Router) checkPlaces() (err error) {
	keys, ends := 0, 0
	r.places.each(func(at placed) {
		wrong := func(what string) {
			err = fmt.Errorf("router: place %d of %T: %s", at.slot, at.what, what)
		}
		switch end := at.what.(type) {
		case *opener:
			keys++
			end.mu.Lock()
			if end.holder == nil || end.holder.id != at.slot {
				wrong("is not its Opener's")
			}
			end.mu.Unlock()
		case *farJoining:
			ends++
			o := end.opener
			o.mu.Lock()
			switch {
			case end.slot != at.slot || end.gen != at.gen:
				wrong("is another's")
			case end.ended.Load():
				wrong("has ended")
			case o.joinings[end.id] != &end.Session:
				wrong("is not with its Opener")
			}
			o.mu.Unlock()
		case *farOpener:
			if end.session.id != at.slot {
				wrong("is not its Joining's")
			}
		case *claim:
			if end.session.id != at.slot {
				wrong("is not its client's")
			}
		}
	})
	switch stats := r.Stats(); {
	case err != nil:
		return err
	case keys != stats.Keys:
		return fmt.Errorf("router: %d keys have places, %d are open", keys, stats.Keys)
	case ends > stats.Joinings:
		return fmt.Errorf("router: %d Joinings of other nodes, %d in all", ends, stats.Joinings)
	}
	return nil
}

func (r *Router) checkShard(s *shard) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	joinings := 0
	keys := 0
	for _, o := range s.openers.slots {
		if o == nil {
			continue
		}
		n, err := r.checkOpener(s, o)
		if err != nil {
			return fmt.Errorf("key %q: %w", o.key, err)
		}
		keys++
		joinings += n
	}
	switch counted := int(s.joinings.Load()); {
	case counted != joinings:
		return fmt.Errorf("counts %d Joinings, has %d", counted, joinings)
	case s.openers.count != keys:
		return fmt.Errorf("counts %d keys, has %d", s.openers.count, keys)
	case len(s.openers.slots) > minSlots && keys*sparse < len(s.openers.slots):
		return fmt.Errorf("%d keys keep the memory of %d", keys, len(s.openers.slots))
	}
	return nil
}

// checkOpener looks at the record o, which is in the table of s, and returns the
// number of its Joinings.
func (r *Router) checkOpener(s *shard, o *opener) (joinings int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	home, hash := r.shardOfOpener(o)
	switch {
	case home != s:
		return 0, errors.New("is in the wrong shard")
	case s.openers.find(hash, []byte(o.key)) != o:
		return 0, errors.New("is not found by its key")
	case o.holder == nil:
		return 0, errors.New("the record is dead")
	case o.holder.opener != o || o.holder.role != asOpener:
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
		case s.opener != o || s.role != asJoining:
			return 0, fmt.Errorf("id %d is not its Joining", id)
		case s.id != id:
			return 0, fmt.Errorf("id %d leads to the Joining %d", id, s.id)
		}
	}
	return len(o.joinings), nil
}
