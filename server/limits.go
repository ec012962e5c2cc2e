package server

// Limits are those that the server keeps to, in the units that their names say. 0
// stands for none, as with the flags.
type Limits struct {
	Connections      int     `json:"connections"`
	MessageBytes     int     `json:"message_bytes"`
	BufferBytes      int     `json:"buffer_bytes"`
	Joinings         int     `json:"joinings"` // of one Opener
	Rate             float64 `json:"rate"`     // frames per second and client
	Burst            float64 `json:"burst"`    // frames
	PerIP            int     `json:"per_ip"`   // connections
	AcceptRate       float64 `json:"accept_rate"`
	GuessesPerMinute float64 `json:"guesses_per_minute"`
	HandshakeSeconds float64 `json:"handshake_seconds"`
	IdleSeconds      float64 `json:"idle_seconds"`
	HeartbeatSeconds float64 `json:"heartbeat_seconds"`
	DrainSeconds     float64 `json:"drain_seconds"`
	Loops            int     `json:"loops"`
}

// Limits does not change. Any goroutine.
func (s *Server) Limits() Limits {
	return Limits{
		Connections:      s.maxConnections,
		MessageBytes:     s.limits.Message,
		BufferBytes:      s.limits.Unsent,
		Joinings:         s.maxJoinings,
		Rate:             s.limits.Rate,
		Burst:            s.limits.Burst,
		PerIP:            s.perAddress.Connections,
		AcceptRate:       s.perAddress.Rate,
		GuessesPerMinute: s.perAddress.Guesses,
		HandshakeSeconds: s.limits.Handshake.Seconds(),
		IdleSeconds:      s.limits.Idle.Seconds(),
		HeartbeatSeconds: s.limits.Heartbeat.Seconds(),
		DrainSeconds:     s.drain.Seconds(),
		Loops:            len(s.workers),
	}
}
