"""How far each follower of a leader has come, and what follows from it: pure decisions.

The two rules that keep acknowledged records: the high watermark advances only over offsets that
every member of the ISR, and of a pending ISR, has durably acknowledged under this leader epoch;
the ISR grows only by a follower that has reached the epoch's start and the high watermark, and has
nothing any more of what was deleted on demand.
Must never know: logs, requests, clocks (times are handed in, in seconds of a monotonic clock).
Source: KIP-101, KIP-107, KIP-497, KIP-841, KIP-966 and Kafka's replication specification.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Iterable

NOTHING_YET = -1


class FollowerProgress(Struct):
    """What one follower has told its leader under this leader epoch.

    `durable_end_offset` is the offset of its last fetch: all below is on its stable storage.
    `caught_up_at` is when it last had everything that the leader held at its fetch before.
    `log_start_offset` is where its log starts, also after a crash.
    """

    broker_epoch: int
    durable_end_offset: int = NOTHING_YET
    log_start_offset: int = NOTHING_YET
    caught_up_at: float = 0.0
    _previous_fetch_at: float = 0.0
    _previous_log_end: int = 0

    def fetched(self, offset: int, *, log_end_offset: int, now: float) -> None:
        """Note a fetch from `offset`, while the leader's log ends at `log_end_offset`."""
        if offset >= log_end_offset:
            self.caught_up_at = now
        elif offset >= self._previous_log_end:
            self.caught_up_at = max(self.caught_up_at, self._previous_fetch_at)
        self.durable_end_offset = offset
        self._previous_fetch_at = now
        self._previous_log_end = log_end_offset

    def was_caught_up(self, at: float) -> None:
        """Note fetches from the same offset, the leader's log end, the last of them `at`."""
        self.caught_up_at = max(self.caught_up_at, at)
        self._previous_fetch_at = max(self._previous_fetch_at, at)


class Progress(Struct):
    """The leader's book about its followers, one for each leader epoch.

    Somebody may have been told that all below `deleted_before` is deleted.
    """

    broker_id: int
    epoch_start_offset: int
    led_since: float
    deleted_before: int = 0
    followers: dict[int, FollowerProgress] = field(default_factory=dict)

    def high_watermark(self, *, durable_end_offset: int, members: frozenset[int]) -> int:
        """Give the offset that every one of `members` holds durably; -1 while one is unheard.

        `members` is the ISR united with a pending one, or all replicas; `durable_end_offset` the
        leader's own.
        """
        lowest = durable_end_offset
        for member in members:
            if member == self.broker_id:
                continue
            follower = self.followers.get(member)
            if follower is None:
                return NOTHING_YET
            lowest = min(lowest, follower.durable_end_offset)
        return lowest

    def low_watermark(self, *, log_start_offset: int, members: Iterable[int]) -> int:
        """Give the offset below which none of `members` holds a record; -1 while one is unheard.

        `log_start_offset` is the leader's own.
        """
        lowest = log_start_offset
        for member in members:
            if member != self.broker_id:
                follower = self.followers.get(member)
                lowest = min(lowest, NOTHING_YET if follower is None else follower.log_start_offset)
        return lowest

    def is_caught_up(self, follower_id: int, *, high_watermark: int) -> bool:
        """Say whether a follower may join the ISR."""
        follower = self.followers.get(follower_id)
        return (
            follower is not None
            and follower.durable_end_offset >= max(high_watermark, self.epoch_start_offset)
            and max(follower.log_start_offset, 0) >= self.deleted_before
        )

    def lagging(
        self, isr: tuple[int, ...], *, log_end_offset: int, lag_time_max_s: float, now: float
    ) -> frozenset[int]:
        """Name the members of the ISR that have been behind for longer than allowed."""
        late = set()
        for member in isr:
            if member == self.broker_id:
                continue
            follower = self.followers.get(member)
            if follower is not None and follower.durable_end_offset >= log_end_offset:
                continue
            heard_at = follower.caught_up_at if follower is not None else 0.0
            if now - max(heard_at, self.led_since) > lag_time_max_s:
                late.add(member)
        return frozenset(late)
