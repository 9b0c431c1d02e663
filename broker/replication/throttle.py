"""How much may be sent for replicas that catch up: a rate for a broker, and to whom it applies.

Only replicas that their topic names, and only while they are out of sync, are held back: what is
acknowledged never waits for a throttle. Must never know: requests, logs, where rates come from
(they are asked for, since they change), clocks (times are handed in, in seconds).
Source: KIP-73.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LEADER_REPLICAS: Final = "leader.replication.throttled.replicas"
FOLLOWER_REPLICAS: Final = "follower.replication.throttled.replicas"
EVERY_REPLICA: Final = "*"

BURST_S: Final = 1.0
"""How much of an unused rate can be made up for."""
STEP_S: Final = 0.1
"""How much of a rate must be there before something passes: a few bytes are not worth a request."""
RECHECK_S: Final = 1.0
"""How long one waits at most before asking again: the rate may have been raised."""

_REPLICA_LIST: Final = re.compile(r"([0-9]+:[0-9]+(,[0-9]+:[0-9]+)*)?")


def is_replica_list(text: str) -> bool:
    """Say whether a topic's setting names replicas: `*`, or `partition:broker,...`, or nothing."""
    text = text.replace(" ", "")
    return text == EVERY_REPLICA or _REPLICA_LIST.fullmatch(text) is not None


class Throttle:
    """Lets bytes pass at a rate; more than there was room for is waited for afterwards.

    `rate` gives the bytes in a second that may pass now, None for as many as there are.
    """

    def __init__(self, rate: Callable[[], int | None]) -> None:
        self._rate = rate
        self._room_bytes = 0.0
        self._settled_at = 0.0

    def count(self, size_bytes: int, *, now: float) -> None:
        """Take note of bytes that have passed."""
        self._settle(now)
        self._room_bytes -= size_bytes

    def room(self, *, now: float, at_most: int) -> int:
        """Give how many bytes may pass now, in [0, at_most]."""
        rate = self._settle(now)
        if rate is None:
            return at_most
        return 0 if self._wait_s(rate) > 0 else min(int(self._room_bytes), at_most)

    def wait_s(self, *, now: float) -> float:
        """Give how long to wait before asking again; 0 where something may pass now."""
        rate = self._settle(now)
        return 0.0 if rate is None else self._wait_s(rate)

    def _wait_s(self, rate: int) -> float:
        lacking_bytes = max(rate * STEP_S, 1) - self._room_bytes
        if lacking_bytes <= 0:
            return 0.0
        return min(lacking_bytes / rate, RECHECK_S) if rate > 0 else RECHECK_S

    def _settle(self, now: float) -> int | None:
        rate = self._rate()
        elapsed_s, self._settled_at = now - self._settled_at, now
        if rate is None:
            self._room_bytes = 0.0
        else:
            most = max(rate * BURST_S, 1)
            self._room_bytes = min(self._room_bytes + rate * elapsed_s, most)
        return rate


def unbounded() -> int | None:
    """Serve as rate where there is none."""
    return None


class ThrottledReplicas(Struct, frozen=True):
    """The replicas that a topic's config names, read once for all of them: lists may be long."""

    leaders: frozenset[str]
    followers: frozenset[str]

    @classmethod
    def of(cls, config: Mapping[str, str]) -> ThrottledReplicas:
        """Read a topic's config."""
        return cls(
            leaders=_named(config.get(LEADER_REPLICAS, "")),
            followers=_named(config.get(FOLLOWER_REPLICAS, "")),
        )


class Throttles(Struct, frozen=True):
    """What holds a replica back while it leads, and while it follows; None for nothing."""

    leader: Throttle | None = None
    follower: Throttle | None = None

    def of_replica(self, named: ThrottledReplicas, index: int, broker_id: int) -> Throttles:
        """Give those of a broker's throttles that apply to a replica, as its topic names it."""
        either = {EVERY_REPLICA, f"{index}:{broker_id}"}
        return Throttles(
            leader=None if named.leaders.isdisjoint(either) else self.leader,
            follower=None if named.followers.isdisjoint(either) else self.follower,
        )


def _named(text: str) -> frozenset[str]:
    return frozenset(text.replace(" ", "").split(","))
