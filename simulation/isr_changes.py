"""How often an ISR may change: who is slow leaves it once, and comes back when it no longer is.

Must never know: clusters, faults, why an ISR has changed.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from simulation.committed import Broken

if TYPE_CHECKING:
    from collections.abc import Mapping

CHANGES_MAX: Final = 30
CHANGES_WITHIN_S: Final = 1.0
"""How often, within how long, a leader's ISR may change, in however many leader epochs of its own:
brokers that come and go change it too."""

LEAVES_MAX: Final = 4
"""How often one incarnation of a follower may leave an ISR within `replica.lag.time.max.ms`.

To leave it has to lag for that time, and to come back not for half of it. So half of it lies
between two leaves, but for what it takes the coordinator to answer."""


class Led(NamedTuple):
    """A partition under one leader, in one leader epoch."""

    broker_id: int
    topic_id: bytes
    partition: int
    leader_epoch: int


class IsrChanges:
    """When the ISRs that leaders obey have changed, and who has left them, of late."""

    def __init__(self, *, lag_time_max_s: float) -> None:
        self._leaves_within_s = lag_time_max_s
        self._changes: dict[tuple[int, bytes, int], deque[float]] = {}
        self._leaves: dict[tuple[Led, int, int], deque[float]] = {}

    def note(self, led: Led, name: str, *, left: Mapping[int, int], now: float) -> None:
        """Note a change, and of followers that have left the broker epoch, where registered.

        Raises: Broken where there are too many.
        """
        changes = self._changes.setdefault(led[:3], deque(maxlen=CHANGES_MAX))
        if _too_many(changes, now, CHANGES_WITHIN_S):
            raise Broken(
                f"no-progress: the ISR of {name} changed {CHANGES_MAX} times within"
                f" {CHANGES_WITHIN_S:g} s"
            )
        for follower in left.items():
            leaves = self._leaves.setdefault((led, *follower), deque(maxlen=LEAVES_MAX))
            if _too_many(leaves, now, self._leaves_within_s):
                raise Broken(
                    f"no-progress: broker {follower[0]} left the ISR of {name} {LEAVES_MAX} times"
                    f" within {self._leaves_within_s:g} s, the time that it may lag"
                )


def _too_many(last: deque[float], now: float, within_s: float) -> bool:
    """Note one more, and say whether there were as many as there is room for within this time."""
    last.append(now)
    return len(last) == last.maxlen and now - last[0] < within_s
