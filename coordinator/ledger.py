"""Writes what was decided into the store: fenced by the term, in few multis, side by side.

The ledger is given the cluster before and after, and writes the difference. Each topic is written
whole or not at all, and for each it is known afterwards what became of it.
Must never know: why something changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
from msgspec import Struct, field
from msgspec.structs import replace

from coordinator import paths, records
from coordinator.store import (
    Check,
    ConnectionLost,
    Create,
    Delete,
    MultiFailed,
    NoNode,
    SessionLost,
    Set,
    Stat,
)
from coordinator.tombstones import bury

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from coordinator.campaign import Term
    from coordinator.cluster import BrokerRegistration, ClusterState, TopicState
    from coordinator.store import Operation, Store

MULTI_BYTES_MAX: Final = 512 * 1024
MULTI_OPERATIONS_MAX: Final = 500
MULTIS_IN_FLIGHT_MAX: Final = 8
OPERATION_BYTES: Final = 64
"""What an operation weighs besides its path and value."""


class Outcome(Struct):
    """What became of the topics: written, refused because somebody else wrote, or unknown."""

    changed: list[tuple[TopicState, int]] = field(default_factory=list)
    created: list[TopicState] = field(default_factory=list)
    deleted: list[TopicState] = field(default_factory=list)
    stale: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    term_over: bool = False
    session_lost: SessionLost | None = None

    @property
    def complete(self) -> bool:
        """Say whether everything is known to be written."""
        return not (self.stale or self.unknown or self.term_over or self.session_lost)


class _Entry(Struct, frozen=True):
    """One topic's difference and the operations that write it."""

    name: str
    before: TopicState | None
    after: TopicState | None
    operations: tuple[Operation, ...]

    @property
    def size_bytes(self) -> int:
        """Give what the operations weigh in a multi."""
        return sum(
            OPERATION_BYTES + len(each.path) + len(getattr(each, "value", b""))
            for each in self.operations
        )


class Ledger:
    """The writing hand of a controller in one term."""

    def __init__(self, store: Store, term: Term) -> None:
        self._store = store
        self._term = term

    async def write_topics(
        self, before: ClusterState, after: ClusterState, names: Iterable[str]
    ) -> Outcome:
        """Write what is different in the named topics. Returns: what became of each; no raises."""
        outcome = Outcome()
        entries = (_entry(name, before, after) for name in names)
        limit = trio.CapacityLimiter(MULTIS_IN_FLIGHT_MAX)
        async with trio.open_nursery() as nursery:
            for batch in _batches(entry for entry in entries if entry is not None):
                nursery.start_soon(self._write, batch, outcome, limit)
        return outcome

    async def write_brokers(self, before: ClusterState, after: ClusterState) -> list[str]:
        """Write what is noted of brokers and what they are given. Returns: the paths written.

        Raises: MultiFailed, ConnectionLost, SessionLost.
        """
        operations: list[Operation] = []
        for broker_id, registration in after.brokers.items():
            if registration != before.brokers.get(broker_id):
                epoch_path = paths.broker_epoch(broker_id)
                operations += [
                    Check(epoch_path, registration.epoch_version),
                    await self._note_on(registration),
                ]
        if after.acknowledged != before.acknowledged:
            value = records.encode_acknowledged(after.acknowledged)
            operations.append(Set(paths.ACKNOWLEDGED, value))
        if (before.config, before.broker_configs) != (after.config, after.broker_configs):
            value = records.encode_config(after.config, after.broker_configs)
            operations.append(Set(paths.CONFIG, value))
        if operations:
            await self._store.multi([self._term.fence, *operations])
        return [each.path for each in operations if isinstance(each, Set)]

    async def _note_on(self, registration: BrokerRegistration) -> Set:
        """Give the write of what we say of a broker, beside what it has said of itself since."""
        path = paths.registration(registration.broker_id)
        try:
            value, stat = await self._store.get(path)
        except NoNode:  # as the multi will find
            return Set(path, records.encode_registration(registration))
        known = records.decode_registration(registration.broker_id, value, stat)
        noted = replace(known, shutting_down=registration.shutting_down)
        return Set(path, records.encode_registration(noted), version=stat.version)

    async def _write(
        self, batch: list[_Entry], outcome: Outcome, limit: trio.CapacityLimiter
    ) -> None:
        operations = [each for entry in batch for each in entry.operations]
        names = {entry.name for entry in batch}
        async with limit:
            try:
                results = await self._store.multi([self._term.fence, *operations])
            except MultiFailed as error:
                outcome.stale |= names
                outcome.term_over = outcome.term_over or error.index == 0
            except ConnectionLost:
                outcome.unknown |= names
            except SessionLost as error:
                outcome.session_lost = error
            else:
                _note_written(batch, results[1:], outcome)


def is_written(name: str, *, wanted: ClusterState, found: ClusterState) -> bool:
    """Say whether a topic in the store is what was to be written, after an unknown outcome.

    Only a controller writes topics, and under the fence of this term it is us: what looks like
    our write is our write.
    """
    mine, theirs = wanted.topics.get(name), found.topics.get(name)
    if mine is None or theirs is None:
        return mine is theirs
    return replace(mine, version=theirs.version) == theirs and theirs.version > mine.version


def _entry(name: str, before: ClusterState, after: ClusterState) -> _Entry | None:
    """Give the operations that turn one topic into the other; None where they are the same."""
    old, new = before.topics.get(name), after.topics.get(name)
    if old == new:
        return None
    path = paths.topic(name)
    if old is not None and new is not None and old.topic_id == new.topic_id:
        change = Set(path, records.encode_topic(new), version=old.version)
        return _Entry(name, old, new, (change,))
    operations: list[Operation] = []
    if old is not None:
        operations += [Delete(path, version=old.version), bury(old)]
    if new is not None:
        operations.append(Create(path, records.encode_topic(new)))
    return _Entry(name, old, new, tuple(operations))


def _batches(entries: Iterable[_Entry]) -> Iterator[list[_Entry]]:
    """Cut entries into multis within the limits; an entry is never divided."""
    batch: list[_Entry] = []
    size_bytes = operation_count = 0
    for entry in entries:
        size_bytes += entry.size_bytes
        operation_count += len(entry.operations)
        if batch and (size_bytes > MULTI_BYTES_MAX or operation_count > MULTI_OPERATIONS_MAX):
            yield batch
            batch, size_bytes, operation_count = [], entry.size_bytes, len(entry.operations)
        batch.append(entry)
    if batch:
        yield batch


def _note_written(batch: list[_Entry], results: list[Stat | str | None], outcome: Outcome) -> None:
    remaining = iter(results)
    for entry in batch:
        stats = [next(remaining) for _ in entry.operations]
        if isinstance(stats[0], Stat) and entry.after is not None:
            topic = replace(entry.after, version=stats[0].version)
            outcome.changed.append((topic, stats[0].mzxid))
            continue
        if entry.before is not None:
            outcome.deleted.append(entry.before)
        if entry.after is not None:
            outcome.created.append(replace(entry.after, version=0))
