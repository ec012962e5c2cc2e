//go:build linux

package main

import (
	"errors"
	"fmt"
	"strings"

	"sigver/bench/proc"
	"sigver/bench/wire"
)

const (
	serverSpare = 512  // descriptors that a server keeps for itself
	driverSpare = 64   // and a driver
	guestLimit  = 1000 // connections to a server that is somebody else's
)

// fit makes the scenario fit into what server and drivers may have open, and
// notes what that has changed.
func (m *measurement) fit() error {
	room, why := m.room()
	if room < 2 {
		return errors.New("the open-file limits leave no room for connections: " + why)
	}
	most := room / m.each
	switch m.kind {
	case wire.Sessions:
		m.atOnce = min(most, m.pairs)
		if m.pairs > most && m.rate == 0 {
			m.note("At most %s sessions at once, the %s of them in %s waves: %s.", comma(most), comma(m.pairs), comma((m.pairs+most-1)/most), why)
		}
	case wire.Churn, wire.Joins:
		m.atOnce = min(m.inFlight, most)
	case wire.HotKey:
		most--
		fallthrough
	default:
		if m.pairs > most {
			m.note("%s instead of %s: %s.", comma(most), comma(m.pairs), why)
			m.pairs = most
		}
	}
	return nil
}

// room returns how many connections there may be, and why.
func (m *measurement) room() (connections int, why string) {
	drivers := len(m.fleet.drivers)
	if m.kind == wire.HotKey {
		drivers = 1
	}
	perDriver := m.fleet.drivers[0].files
	room := drivers * (perDriver - driverSpare)
	reasons := []string{fmt.Sprintf("each of %d drivers may open %s files", drivers, comma(perDriver))}
	if drivers == 1 {
		reasons[0] = fmt.Sprintf("the driver may open %s files", comma(perDriver))
	}
	if nodes := len(m.server.pids); nodes > 0 {
		if files, err := proc.FileLimit(m.server.pids[0]); err == nil {
			room = min(room, nodes*(files-serverSpare))
			who := "the server"
			if nodes > 1 {
				who = fmt.Sprintf("each of %d nodes", nodes)
			}
			reasons = append([]string{fmt.Sprintf("%s may open %s", who, comma(files))}, reasons...)
		}
	}
	switch most := m.o.connections; {
	case most > 0 && most < room:
		return most, fmt.Sprintf("--connections %s", comma(most))
	case most == 0 && m.server.pids == nil && room > guestLimit:
		return guestLimit, fmt.Sprintf("%s connections to a server of somebody, unless --connections says otherwise", comma(guestLimit))
	}
	return room, strings.Join(reasons, " and ")
}
