package serving

import (
	"io"
	"time"
)

// SetStopPause shortens the pause before a lost stop call is repeated.
func SetStopPause(s *Server, d time.Duration) { s.pause = d }

// ParseLogWithin is ParseLog with a smaller bound on its lists.
func ParseLogWithin(r io.Reader, limit int) (*Log, error) { return parseLog(r, limit) }
