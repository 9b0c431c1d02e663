"""What clients did, written down as they do it, and the highest of what they were promised.

Must never know: clients, faults, what is judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from chaos.history import Committed, Operation, Outcome, Partition, Polled, Positioned, Trimmed
from chaos.load import Counts
from chaos.naming import name_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from chaos.history import Sent
    from client.errors import DeliveryFailed
    from client.records import ConsumerRecord, TopicPartition


class Journal:
    """The operations of a run so far; `history` has each client's own in its order."""

    def __init__(self) -> None:
        self._slots: list[Operation | None] = []
        self._unsettled: dict[int, Sent] = {}
        self._pairs: dict[Partition, dict[int, tuple[int, bytes]]] = {}
        self.acknowledged: dict[int, int] = {}
        """By partition: the highest offset that was acknowledged."""
        self.committed: dict[tuple[str, int], int] = {}
        """By group and partition: the highest offset that was acknowledged as committed."""
        self.trimmed: dict[int, int] = {}
        """By partition: the highest offset below which records were to be deleted."""
        self.deleted: dict[int, int] = {}
        """By partition: the highest offset below which they are, as was acknowledged."""
        self.counts = Counts()

    @property
    def history(self) -> list[Operation]:
        """All operations; what is not known to have ended is UNKNOWN."""
        for slot, sent in self._unsettled.items():
            self._slots[slot] = sent
        return [operation for operation in self._slots if operation is not None]

    def note(self, operation: Operation) -> None:
        """Write down what somebody has seen."""
        self._slots.append(operation)

    def trim(self, place: Partition, offset: int) -> None:
        """Note that the records of a partition below an offset may be gone from now on."""
        now, number = trio.current_time(), place.number
        self.trimmed[number] = max(self.trimmed.get(number, 0), offset)
        self.note(Trimmed("retention", place, offset, offset, now, now, Outcome.UNKNOWN))

    # Writing.

    def begin_send(self, sent: Sent) -> int:
        """Note that a record is sent. Returns: its slot."""
        slot = len(self._slots)
        self._slots.append(None)
        self._unsettled[slot] = sent
        self.counts.sent += 1
        return slot

    def give_up(self, slot: int, error: DeliveryFailed) -> None:
        """Note that a record was given up."""
        self.counts.given_up += 1
        outcome = Outcome.UNKNOWN if error.may_be_written else Outcome.FAILED
        self._slots[slot] = self._unsettled.pop(slot)._replace(
            ended_at=trio.current_time(), outcome=outcome, error=str(error.cause)
        )

    def acknowledge(self, slot: int, offset: int | None) -> None:
        """Note where a record was acknowledged to be; None: nobody says."""
        sent = self._unsettled.pop(slot)
        number = sent.partition.number
        self.counts.acknowledged += 1
        self._slots[slot] = sent._replace(
            ended_at=trio.current_time(), outcome=Outcome.OK, offset=offset
        )
        if offset is not None:
            self.acknowledged[number] = max(self.acknowledged.get(number, -1), offset)
            self._pair(sent.partition, offset, sent.value)

    def _pair(self, place: Partition, offset: int, value: bytes) -> tuple[int, bytes]:
        """Give (offset, value), the same object to all who have seen it: histories are long."""
        pair = offset, value
        known = self._pairs.setdefault(place, {}).setdefault(offset, pair)
        return known if known == pair else pair

    # Reading.

    def position(
        self, name: str, places: Iterable[TopicPartition], *, at: int | None = None, group: str = ""
    ) -> None:
        """Note that a consumer goes on elsewhere in these partitions."""
        now = trio.current_time()
        for place in places:
            self.note(Positioned(name, Partition(*place), at, now, group))

    def hand_out(self, name: str, records: Iterable[ConsumerRecord], began_at: float) -> None:
        """Note what a consumer was handed."""
        by_place: dict[Partition, list[tuple[int, bytes]]] = {}
        for record in records:
            place = Partition(record.topic, record.partition)
            pair = self._pair(place, record.offset, name_of(record))
            by_place.setdefault(place, []).append(pair)
            self.counts.read += 1
        now = trio.current_time()
        for place, found in by_place.items():
            self.note(Polled(name, place, tuple(found), began_at, now))

    def commit(
        self,
        name: str,
        group: str,
        offsets: Mapping[TopicPartition, int],
        began_at: float,
        outcome: Outcome = Outcome.UNKNOWN,
    ) -> None:
        """Note what was committed; UNKNOWN: what may be from now on, of itself."""
        now = trio.current_time()
        for place, offset in offsets.items():
            if outcome is Outcome.OK:
                of = group, place.partition
                self.committed[of] = max(self.committed.get(of, -1), offset)
            at = Partition(*place)
            self.note(Committed(name, group, at, offset, began_at, now, outcome))
