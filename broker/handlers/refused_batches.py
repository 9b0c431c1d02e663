"""What idempotent producers were refused for the time being; what they sent behind it is, too.

A producer has up to five requests under way. Where the first is refused for a reason that passes,
and is over before the second is looked at, the second leaves a gap. A producer that is told of a
gap may do harm: librdkafka begins a new epoch for all its partitions at once, and what is in doubt
in another one is then written twice (its issue 4953). And a log that does not know the producer
would take the second, and the first never again. Refused alike, both come again in their order.
Must never know: records, why a batch is refused, connections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from broker.log.producers import BATCHES_KEPT, NO_PRODUCER_ID, next_sequence
from protocol.batch import read_header
from protocol.errors import RETRIABLE_CODES, CorruptBatch, RequestError

if TYPE_CHECKING:
    from broker.log.disk import Buffer
    from broker.log.producers import ProducerEntry, ProducerStates
    from protocol.batch import BatchHeader
    from protocol.errors import ErrorCode

REMEMBERED_MAX: Final = 4096
FOLLOWING_MAX: Final = BATCHES_KEPT - 1
"""How many batches can be on their way behind a refused one: more than five at a time nobody sends.
One who goes on without the first hears of the gap after so many."""

_SEQUENCES: Final = 2**31

Place = tuple[str, int, int]
"""Topic, partition, producer id."""


class FollowsRefused(RequestError):
    """A batch was sent behind one that was refused, and is refused like it."""

    def __init__(self, code: ErrorCode, *, sequence: int, missing: int) -> None:
        super().__init__(
            f"sequence {sequence} was sent behind {missing}, which was refused: send both again"
        )
        self.code = code


@dataclass(slots=True)
class _Refused:
    """The batch refused last in one place; `left` more may follow it."""

    epoch: int
    sequence: int
    code: ErrorCode
    left: int = FOLLOWING_MAX


class RefusedBatches:
    """Remembers them, the oldest not longer than there is room."""

    def __init__(self) -> None:
        self._refused: dict[Place, _Refused] = {}

    def __len__(self) -> int:
        return len(self._refused)

    def note(self, topic: str, index: int, records: Buffer | None, code: ErrorCode) -> None:
        """Remember a refused batch, if its producer is idempotent and will send it again."""
        header = _header(records) if code in RETRIABLE_CODES else None
        if header is None:
            return
        place = (topic, index, header.producer_id)
        self._refused.pop(place, None)  # the newest stands last
        self._refused[place] = _Refused(header.producer_epoch, header.base_sequence, code)
        if len(self._refused) > REMEMBERED_MAX:
            del self._refused[next(iter(self._refused))]

    def demand_none_before(
        self, topic: str, index: int, records: Buffer, producers: ProducerStates
    ) -> None:
        """Refuse a batch that was sent behind a refused one which the log still lacks.

        Raises: FollowsRefused.
        """
        header = _header(records)
        if header is None:
            return
        place = (topic, index, header.producer_id)
        before = self._refused.get(place)
        if before is None:
            return
        if not (_is_lacking(producers.entry(header.producer_id), before) and before.left):
            del self._refused[place]
        elif header.producer_epoch == before.epoch and _precedes(
            next_sequence(before.sequence), header.base_sequence
        ):
            before.left -= 1
            raise FollowsRefused(
                before.code, sequence=header.base_sequence, missing=before.sequence
            )


def _header(records: Buffer | None) -> BatchHeader | None:
    """Read whose batch it is and where it stands; None where that is nobody's or cannot be read."""
    try:
        header = read_header(records) if records else None
    except CorruptBatch:
        return None
    if header is None or header.producer_id == NO_PRODUCER_ID or header.base_sequence < 0:
        return None
    return header


def _is_lacking(known: ProducerEntry | None, refused: _Refused) -> bool:
    if known is None or known.epoch < refused.epoch:
        return True
    awaited = next_sequence(known.batches[-1].last_sequence)
    return known.epoch == refused.epoch and _precedes(awaited, refused.sequence)


def _precedes(first: int, second: int) -> bool:
    """Say whether a sequence number is another one or stands before it; after 2^31-1 comes 0."""
    return (second - first) % _SEQUENCES < _SEQUENCES // 2
