"""What replicas of a partition hold: the same below both high watermarks, and all that is there.

Records below a replica's start were deleted, or may have been.
Must never know: how a history came about, what was deleted.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from chaos.anomaly import Anomaly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from chaos.history import Replica

    MayBeGone = Callable[[bytes, int], bool]


def differing(
    place: str, replicas: Sequence[Replica], *, may_be_gone: MayBeGone
) -> Iterator[Anomaly]:
    """Compare the replicas of a partition; some have not been compacted as far as others."""
    for one, other in combinations(replicas, 2):
        end = min(one.high_watermark, other.high_watermark)
        start = max(one.log_start, other.log_start)
        ours, theirs = (between(replica, start, end) for replica in (one, other))
        offset = min(_differences(ours, theirs, may_be_gone), default=None)
        if offset is not None:
            facts = (
                f"at {offset} broker {one.broker_id} holds {ours.get(offset)!r},"
                f" broker {other.broker_id} {theirs.get(offset)!r}; both say {end} is committed"
            )
            yield Anomaly("replicas-differ", place, facts)


def missing(
    place: str, replica: Replica, there: Mapping[int, bytes], *, may_be_gone: MayBeGone
) -> Iterator[Anomaly]:
    """Tell what one replica lacks of what is `there`, by offset: acknowledged or read."""
    held = between(replica, replica.log_start, replica.high_watermark)
    for offset in sorted(there.keys() - held.keys()):
        is_due = replica.log_start <= offset < replica.high_watermark
        if is_due and not may_be_gone(there[offset], offset):
            facts = (
                f"{there[offset]!r} was acknowledged or read at {offset}; broker"
                f" {replica.broker_id} does not hold it, and says {replica.high_watermark} is"
                " committed"
            )
            yield Anomaly("lost-write", place, facts)


def between(replica: Replica, start: int, end: int) -> dict[int, bytes]:
    """Give what a replica holds from an offset up to another."""
    return {offset: value for offset, value in replica.records if start <= offset < end}


def _differences(
    ours: Mapping[int, bytes], theirs: Mapping[int, bytes], may_be_gone: MayBeGone
) -> Iterator[int]:
    for offset in ours.keys() | theirs.keys():
        one, other = ours.get(offset), theirs.get(offset)
        if one is None or other is None:
            if not may_be_gone(one or other or b"", offset):
                yield offset
        elif one != other:
            yield offset
