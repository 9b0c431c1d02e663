"""The clocks of the sessions: agreed timeouts, and when each runs out.

Deadlines are moments of one monotonic clock, in seconds; whoever calls names the moment.
Must never know: the tree, connections, which clock.
"""

from __future__ import annotations

from math import inf


def agree_timeout_ms(asked_ms: int, *, min_ms: int, max_ms: int) -> int:
    """Agree on a session timeout: what the client asked for, within the server's bounds."""
    return max(min_ms, min(asked_ms, max_ms))


class SessionClocks:
    """Timeout and deadline of every open session."""

    def __init__(self) -> None:
        self._timeouts_s: dict[int, float] = {}
        self._deadlines: dict[int, float] = {}

    def start(self, session_id: int, *, timeout_s: float, now: float) -> None:
        """Begin to count for a session, from now."""
        self._timeouts_s[session_id] = timeout_s
        self._deadlines[session_id] = now + timeout_s

    def touch(self, session_id: int, *, now: float) -> None:
        """Begin to count anew, for the client has been heard. An ended session is left alone."""
        timeout_s = self._timeouts_s.get(session_id)
        if timeout_s is not None:
            self._deadlines[session_id] = now + timeout_s

    def stop(self, session_id: int) -> None:
        """Forget a session."""
        self._timeouts_s.pop(session_id, None)
        self._deadlines.pop(session_id, None)

    def postpone(self, seconds: float) -> None:
        """Give every session more time, for nobody could be answered."""
        for session_id in self._deadlines:
            self._deadlines[session_id] += seconds

    def restart(self, *, now: float) -> None:
        """Begin to count anew for every session, for the server itself was not listening."""
        for session_id in self._deadlines:
            self.touch(session_id, now=now)

    def next_deadline(self) -> float:
        """Say when the first session runs out; infinity where there is none."""
        return min(self._deadlines.values(), default=inf)

    def due(self, now: float) -> list[int]:
        """List the sessions whose time has run out, the longest overdue first."""
        overdue = [item for item in self._deadlines.items() if item[1] <= now]
        return [session_id for session_id, _ in sorted(overdue, key=lambda item: item[1])]
