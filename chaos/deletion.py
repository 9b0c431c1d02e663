"""Which records of a partition were deleted on demand, and which of them are there again. Pure.

Must never know: how a history came about, what follows from what is gone.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING, Final

from chaos.history import Outcome, Positioned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from chaos.history import Polled, Replica, Sent, Trimmed

HEARD_WITHIN_S: Final = 12.0
"""Until a leader that was replaced hears of it: twice a session's timeout (6 s by default)."""

_OUT_OF_ORDER: Final = "OUT_OF_ORDER_SEQUENCE_NUMBER"
_BEHIND_IT: Final = "a record before it failed"
"""What our producer says of those; the text is its own."""


class Deletion:
    """What was deleted of one partition: from its start up to some offset.

    A leader that was replaced may not have heard of it, nor of a deletion, for `heard_within_s`.
    """

    def __init__(
        self, trims: Iterable[Trimmed] = (), *, heard_within_s: float = HEARD_WITHIN_S
    ) -> None:
        trims, self._heard_within_s = list(trims), heard_within_s
        wanted = sorted(
            (one.began_at, one.offset) for one in trims if one.outcome is not Outcome.FAILED
        )
        self._times = [began_at for began_at, _ in wanted]
        self._bounds = list(accumulate((offset for _, offset in wanted), max))
        self._done = [one for one in trims if one.outcome is Outcome.OK]

    def gone_below(self, by: float = inf) -> int:
        """Give the offset below which records may have been deleted by then; 0: none may."""
        index = bisect_right(self._times, by)
        return self._bounds[index - 1] if index else 0

    def may_be_gone(self, offset: int | None) -> bool:
        """Say whether a record may have been deleted at last; None: nobody knows where it is."""
        return offset is not None and offset < self.gone_below()

    def may_begin_at(self, offset: int, *, by: float) -> bool:
        """Say whether that may have been the first offset left by then: all below was to go."""
        return 0 < offset <= self.gone_below(by)

    def may_be_there_twice(self, sent: Sent | None, first: int, again: int) -> bool:
        """Say whether a record may be there twice, for what tells of its producer was deleted.

        A replica that begins anew after a deletion does not know who wrote what is gone. If it
        leads before the producer is answered it takes the record for a new one, as in Kafka.
        """
        if sent is None or (sent.outcome is Outcome.OK and sent.offset != again):
            return False
        return first < self.gone_below(sent.ended_at if sent.outcome is Outcome.OK else inf)

    def may_be_given_up(self, sent: Sent) -> bool:
        """Say whether a producer may be told of a gap, for what it sent before was deleted.

        As above, where of what it awaits an answer for only the oldest is gone: it has to give that
        up, and what came behind it.
        """
        is_gap = any(one in sent.error for one in (_OUT_OF_ORDER, _BEHIND_IT))
        return is_gap and sent.outcome is Outcome.UNKNOWN and self.gone_below(sent.ended_at) > 0

    def undone(
        self, read: Mapping[str, Iterable[Polled | Positioned]], replicas: Iterable[Replica]
    ) -> Iterator[str]:
        """Tell who found what had been deleted before it began to look."""
        for process, operations in read.items():
            floor = 0
            for operation in operations:
                if isinstance(operation, Positioned):
                    # What a consumer has fetched before is its own to hand out.
                    floor = self._floor(operation.at - self._heard_within_s)
                    continue
                for offset, value in operation.records:
                    if offset < floor:
                        yield f"{process} was handed {value!r} at {offset}; {floor} is the first"
        floor = self._floor()
        for replica in replicas:
            if replica.log_start < floor:
                start = f"broker {replica.broker_id} begins at {replica.log_start}"
                yield f"{start}; {floor} is the first"

    def _floor(self, at: float | None = None) -> int:
        """Give the first offset that is left of what was deleted for sure, by then or at last."""
        done = (one.reached for one in self._done if at is None or one.ended_at < at)
        return max(done, default=0)
