package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// session is a pair from beginning to end: it finds each other, every message is
// as it was sent, and the end is told as the protocol says. How it goes is chance.
func (c *crew) session(key string, chance *rand.Rand) (err error) {
	token := "token of " + key
	opener, err := connect(c.url, c.patience, chance)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer func() { opener.drop() }()
	if err := opener.bind(map[string]any{"open": key, "token": token}); err != nil {
		return fmt.Errorf("opening: %w", err)
	}
	joining, err := connect(c.url, c.patience, chance)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer joining.drop()
	if err := joining.bind(map[string]any{"join": key}); err != nil {
		return fmt.Errorf("joining: %w", err)
	}

	var id int64
	number := 0
	bounce := func() error {
		number++
		sent := fmt.Sprintf("%d %s", number, strings.Repeat("x", chance.IntN(3000)))
		if err := joining.send(map[string]any{"data": sent}); err != nil {
			return err
		}
		m, err := opener.messageWhile(joining)
		if err != nil || m.Data != sent {
			return fmt.Errorf("the Opener got %.60q (%v), not %.60q", m.Data, err, sent)
		}
		if id != 0 && m.ID != id {
			return fmt.Errorf("the id changed from %d to %d", id, m.ID)
		}
		id = m.ID
		if err := opener.send(map[string]any{"id": id, "data": sent}); err != nil {
			return err
		}
		if m, err = joining.message(); err != nil || m.Data != sent {
			return fmt.Errorf("the Joining got %.60q (%v), not %.60q", m.Data, err, sent)
		}
		return nil
	}
	for range 1 + chance.IntN(12) {
		if err := bounce(); err != nil {
			return err
		}
	}
	if chance.IntN(4) == 0 {
		// Its connection breaks, and another takes the key over.
		again, err := connect(c.url, c.patience, chance)
		if err != nil {
			return fmt.Errorf("connecting again: %w", err)
		}
		if chance.IntN(2) == 0 {
			opener.drop()
		}
		if err := again.bind(map[string]any{"open": key, "token": token}); err != nil {
			again.drop()
			return fmt.Errorf("taking over: %w", err)
		}
		// A connection that breaks may be noticed first: then the Joining is gone.
		opener.drop()
		opener = again
		if err := bounce(); err != nil {
			if _, _ = joining.message(); joining.isClosed(4020) {
				return nil
			}
			return err
		}
	}
	// Both ends of a pair that waits: the server must have exactly these.
	part := func() {
		opener.drop()
		joining.drop()
	}
	if err := c.rest(bounce, part); err != nil {
		return err
	}
	if err := bounce(); err != nil {
		return err
	}
	if chance.IntN(2) == 0 {
		joining.leave(chance.IntN(2) == 0)
		m, err := opener.message()
		if err != nil || m.Unavailable != "true" || m.ID != id {
			return fmt.Errorf("the Opener was not told that its Joining left: %+v, %v", m, err)
		}
		return nil
	}
	opener.leave(chance.IntN(2) == 0)
	if m, err := joining.message(); err == nil || !joining.isClosed(4020) {
		return fmt.Errorf("the Joining was not told that its Opener left: %+v, %v", m, err)
	}
	return nil
}
