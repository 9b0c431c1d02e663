"""Batches of idempotent producers that may still come, though what was sent behind them is here.

A producer has up to five requests under way. Where the first is refused for a reason that passes,
and is over before the second is looked at, the second leaves a gap; so it does where the first went
to an earlier leader, and the client has the second overtake it. A producer that is told of a gap
may do harm: librdkafka begins a new epoch for all its partitions at once, and what is in doubt in
another one is then written twice (its issue 4953). And a log that does not know the producer would
take the second, and the first never again. Refused for the moment, both come again in their order.
Must never know: records, why a batch is refused, connections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from broker.log.producers import BATCHES_KEPT, NO_PRODUCER_ID, next_sequence, precedes
from protocol.batch import read_header
from protocol.errors import RETRIABLE_CODES, CorruptBatch, ErrorCode, RequestError

if TYPE_CHECKING:
    from broker.log.disk import Buffer
    from broker.log.errors import OutOfOrderSequence
    from broker.log.producers import ProducerEntry, ProducerStates
    from protocol.batch import BatchHeader

REMEMBERED_MAX: Final = 4096
BEHIND_MAX: Final = BATCHES_KEPT - 1
"""How many batches can be under way behind the first: nobody sends more than five at a time.
One who goes on without the first hears of the gap after so many."""

Place = tuple[str, int, int]
"""Topic, partition, producer id."""


class SentBehind(RequestError):
    """A batch was sent behind one that may still come, and is refused as that one was."""

    def __init__(self, code: ErrorCode, *, sequence: int, missing: int) -> None:
        super().__init__(f"sequence {sequence} was sent behind {missing}: send both again")
        self.code = code


class _Expected(Struct):
    """The batch that may come, and what is said of those behind it; `left` more are refused so."""

    epoch: int
    sequence: int
    code: ErrorCode
    left: int = BEHIND_MAX


class ExpectedBatches:
    """Remembers one for each producer in a partition, the oldest not longer than there is room."""

    def __init__(self) -> None:
        self._expected: dict[Place, _Expected] = {}

    def __len__(self) -> int:
        return len(self._expected)

    def refused(self, topic: str, index: int, records: Buffer | None, code: ErrorCode) -> None:
        """Expect a batch that is refused, if its producer is idempotent and will send it again."""
        header = _header(records) if code in RETRIABLE_CODES else None
        if header is not None:
            place = (topic, index, header.producer_id)
            self._expect(place, _Expected(header.producer_epoch, header.base_sequence, code))

    def overtaken(
        self, topic: str, index: int, gap: OutOfOrderSequence, known: ProducerEntry
    ) -> None:
        """Expect what is missing before a batch of a producer that comes from another leader.

        Raises: SentBehind, unless that was said often enough or nothing is missing before it.
        """
        if gap.expected != known.awaited_sequence:
            return  # of a new epoch of the producer, or within one request
        place = (topic, index, gap.producer_id)
        expected = self._expected.get(place)
        if expected is None or expected.sequence != gap.expected:
            expected = _Expected(known.epoch, gap.expected, ErrorCode.NOT_LEADER_OR_FOLLOWER)
            self._expect(place, expected)
        _refuse_behind(expected, epoch=known.epoch, sequence=gap.sequence)

    def demand_none_before(
        self, topic: str, index: int, records: Buffer, producers: ProducerStates
    ) -> None:
        """Refuse a batch that was sent behind an expected one which the log still lacks.

        Raises: SentBehind.
        """
        header = _header(records)
        if header is None:
            return
        place = (topic, index, header.producer_id)
        expected = self._expected.get(place)
        if expected is None:
            return
        if _is_lacking(producers.entry(header.producer_id), expected):
            _refuse_behind(expected, epoch=header.producer_epoch, sequence=header.base_sequence)
        else:
            del self._expected[place]

    def _expect(self, place: Place, expected: _Expected) -> None:
        self._expected.pop(place, None)  # the newest stands last
        self._expected[place] = expected
        if len(self._expected) > REMEMBERED_MAX:
            del self._expected[next(iter(self._expected))]


def _refuse_behind(expected: _Expected, *, epoch: int, sequence: int) -> None:
    is_behind = precedes(next_sequence(expected.sequence), sequence)
    if is_behind and epoch == expected.epoch and expected.left:
        expected.left -= 1
        raise SentBehind(expected.code, sequence=sequence, missing=expected.sequence)


def _header(records: Buffer | None) -> BatchHeader | None:
    """Read whose batch it is and where it stands; None where that is nobody's or cannot be read."""
    try:
        header = read_header(records) if records else None
    except CorruptBatch:
        return None
    if header is None or header.producer_id == NO_PRODUCER_ID or header.base_sequence < 0:
        return None
    return header


def _is_lacking(known: ProducerEntry | None, expected: _Expected) -> bool:
    if known is None or known.epoch < expected.epoch:
        return True
    return known.epoch == expected.epoch and precedes(known.awaited_sequence, expected.sequence)
