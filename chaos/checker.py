"""The oracle: what must never happen, looked for in a history of operations. Pure.

| anomaly | means |
|---|---|
| `inconsistent-offsets` | one offset was seen with two values |
| `duplicate` | one value was seen at two offsets, and the first was not deleted before the answer |
| `lost-write` | acknowledged, and unread where a later one was read |
| `lost-write` | acknowledged or read, and gone for the last reader, or from a replica |
| `unseen` | acknowledged, and not read even after everything was healed and read to its end |
| `aborted-read` | the cluster refused it for good, and somebody read it, or a replica has it |
| `given-up` | a producer that may send again for long enough has given a record up |
| `unsent` | somebody read what nobody has sent, or a replica has it |
| `poll-skip` | a consumer went past a record |
| `odd-start` | a member of a group began beyond a record that nobody had committed |
| `stale-start` | a member of a group began below what had been committed before |
| `nonmonotonic-poll` | a consumer went back, or was handed a record twice |
| `nonmonotonic-send` | a producer's records got offsets in another order than it sent them |
| `commit-went-back` | a group was told less than had been acknowledged or told before |
| `commit-from-nowhere` | a group was told an offset that nobody had committed by then |
| `end-went-back` | somebody was told that a partition ends, and later that it ends sooner |
| `wrong-time` | somebody asked for a record at or after a time, and was told of an older one |
| `two-leaders` | two brokers led a partition in one epoch |
| `watermark-fell` | a leader's high watermark fell within its epoch |
| `replicas-differ` | two replicas hold different records below both high watermarks |
| `undeleted` | records were deleted, and somebody who began well after that was handed them |
| `resurrected` | an older value of a key is there, its newest record or tombstone is not |

Where the topic is compacted, a record may be missing that a newer one of its key has superseded,
or that is a tombstone (compaction.py); but not before all older values of its key. Where the oldest
records were to be deleted they may be missing, too (deletion.py).
What is UNKNOWN may have happened or not; it proves nothing against the cluster.
Source: the checkers that Jepsen describes in its analyses of Kafka-like systems.
Must never know: how a history came about.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from msgspec import Struct, field

from chaos.anomaly import Anomaly, bounded
from chaos.committing import order_committed
from chaos.compaction import Compaction
from chaos.deletion import HEARD_WITHIN_S, Deletion
from chaos.history import (
    Committed,
    Dated,
    Led,
    Outcome,
    Partition,
    Polled,
    Positioned,
    Replica,
    SeenEnd,
    Sent,
    Told,
    Trimmed,
    Watermark,
)
from chaos.holding import between, differing, missing
from chaos.reading import NOWHERE, Needed, Starts, order_read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from chaos.history import Operation


class Promises(Struct, frozen=True):
    """What the clients of a run were promised beyond what always holds.

    `idempotent`: no duplicates, and a producer's order is kept. `drained`: after the last record
    was sent everything was healed, and somebody read every partition from its start to its end: all
    that is acknowledged is found again by the `last_reader`, where the history has one.
    `delivered`: producers send again until long after everything is healed, so nothing is given up.
    `compacted`: records have keys, and only the newest of each key need be kept; when the
    `last_reader` began, all was compacted that could be. `heard_within_s`: a leader that was
    replaced hears of it; until then it shows what was deleted meanwhile.
    """

    idempotent: bool = True
    drained: bool = True
    delivered: bool = False
    compacted: bool = False
    last_reader: str = "last"
    heard_within_s: float = HEARD_WITHIN_S


class _Seen(Struct):
    """All that a history says of one partition."""

    sent: list[Sent] = field(default_factory=list)
    read: dict[str, list[Polled | Positioned]] = field(default_factory=lambda: defaultdict(list))
    replicas: list[Replica] = field(default_factory=list)
    ends: dict[str, list[SeenEnd]] = field(default_factory=lambda: defaultdict(list))
    dates: list[Dated] = field(default_factory=list)
    watermarks: list[Watermark] = field(default_factory=list)
    leaders: list[Led] = field(default_factory=list)
    compaction: Compaction = field(default_factory=lambda: Compaction((), ()))
    trims: list[Trimmed] = field(default_factory=list)
    deletion: Deletion = field(default_factory=Deletion)
    starts: dict[str, Starts] = field(default_factory=dict)

    def may_be_gone(self, value: bytes, offset: int | None) -> bool:
        """Say whether a record may have been removed; None: nobody knows where it is."""
        return self.deletion.may_be_gone(offset) or self.compaction.may_be_gone(value, offset)

    def records_read(self) -> Iterator[tuple[str, int, bytes]]:
        """Give who read what, and where."""
        for process, operations in self.read.items():
            for operation in operations:
                if isinstance(operation, Polled):
                    for offset, value in operation.records:
                        yield process, offset, value


def check(history: Iterable[Operation], promises: Promises | None = None) -> list[Anomaly]:
    """Look for every anomaly. Returns: those found, none for a history that is right."""
    promises = promises or Promises()
    partitions: dict[Partition, _Seen] = defaultdict(_Seen)
    groups: dict[tuple[str, Partition], list[Committed | Told]] = defaultdict(list)
    for operation in history:
        if isinstance(operation, Committed | Told):
            groups[operation.group, operation.partition].append(operation)
        else:
            _file(operation, partitions[operation.partition])
    for (group, partition), offsets in groups.items():
        commits = (one for one in offsets if isinstance(one, Committed))
        partitions[partition].starts[group] = Starts(commits)
    found: list[Anomaly] = []
    for partition, seen in sorted(partitions.items()):
        seen.deletion = Deletion(seen.trims, heard_within_s=promises.heard_within_s)
        if promises.compacted:
            seen.compaction = _compaction(seen, promises)
        for law in (
            _records,
            _polls,
            _ends,
            _dates,
            _leaders,
            _watermarks,
            _replicas,
            _trims,
            _keys,
        ):
            found += law(partition, seen, promises)
    for (group, partition), offsets in sorted(groups.items()):
        place, seen = f"{partition} of group {group}", partitions[partition]
        starts, deletion = seen.starts[group], seen.deletion
        found += bounded(order_committed(place, offsets, starts=starts, deletion=deletion))
    return found


def _file(operation: Operation, seen: _Seen) -> None:
    match operation:
        case Sent():
            seen.sent.append(operation)
        case Polled() | Positioned():
            seen.read[operation.process].append(operation)
        case Replica():
            seen.replicas.append(operation)
        case SeenEnd():
            seen.ends[operation.process].append(operation)
        case Dated():
            seen.dates.append(operation)
        case Trimmed():
            seen.trims.append(operation)
        case Watermark():
            seen.watermarks.append(operation)
        case Led():
            seen.leaders.append(operation)


# What was written and read.


def _records(partition: Partition, seen: _Seen, promises: Promises) -> Iterator[Anomaly]:
    yield from bounded(_identities(str(partition), seen, promises))
    yield from bounded(_fates(str(partition), seen, promises))
    yield from bounded(_strangers(str(partition), seen))
    if promises.idempotent:
        yield from bounded(_order_sent(str(partition), seen.sent))


def _told(seen: _Seen) -> Iterator[tuple[str, int, bytes]]:
    """Give where producers were told that values are, and who was."""
    for sent in seen.sent:
        if sent.outcome is Outcome.OK and sent.offset is not None:
            yield f"the answer to {sent.process}", sent.offset, sent.value


def _held(seen: _Seen) -> Iterator[tuple[str, int, bytes]]:
    """Give where values are held, and by whom."""
    for replica in seen.replicas:
        for offset, value in replica.records:
            if offset < replica.high_watermark:
                yield f"broker {replica.broker_id}", offset, value


def _sightings(seen: _Seen) -> Iterator[tuple[str, int, bytes]]:
    """Give every place where a value was seen, and by whom."""
    return chain(_told(seen), seen.records_read(), _held(seen))


def _identities(place: str, seen: _Seen, promises: Promises) -> Iterator[Anomaly]:
    values: dict[int, bytes] = {}
    offsets: dict[bytes, int] = {}
    first_by: dict[int, str] = {}
    senders = {sent.value: sent for sent in seen.sent} if seen.trims else {}
    for who, offset, value in _sightings(seen):
        if (known := values.setdefault(offset, value)) != value:
            facts = f"offset {offset} is {known!r} for {first_by[offset]}, {value!r} for {who}"
            yield Anomaly("inconsistent-offsets", place, facts)
            continue
        first_by.setdefault(offset, who)
        other = offsets.setdefault(value, offset)
        if not promises.idempotent or other == offset:
            continue
        first, again = sorted((offset, other))
        if not seen.deletion.may_be_there_twice(senders.get(value), first, again):
            facts = f"{value!r} is at {other} for {first_by[other]}, at {offset} for {who}"
            yield Anomaly("duplicate", place, facts)


def _fates(place: str, seen: _Seen, promises: Promises) -> Iterator[Anomaly]:
    """Look for each record that was acknowledged or read, and is not there."""
    left = _left_at_the_end(seen, promises)
    read = {value: (who, offset) for who, offset, value in seen.records_read()}
    highest = max((offset for _, offset in read.values()), default=-1)
    for sent in seen.sent:
        who, offset = read.get(sent.value, ("", sent.offset))
        is_ok = sent.outcome is Outcome.OK
        what = f"{sent.value!r} of {sent.process}"
        if promises.delivered and sent.error and not seen.deletion.may_be_given_up(sent):
            yield Anomaly("given-up", place, f"{what} could not be delivered: {sent.error}")
        if not (is_ok or who) or seen.may_be_gone(sent.value, offset):
            continue
        if is_ok:
            what = f"{what} was acknowledged at {sent.offset}"
        if not who and sent.offset is not None and sent.offset < highest:
            yield Anomaly("lost-write", place, f"{what}, {highest} was read, it was not")
        elif not who and promises.drained:
            yield Anomaly("unseen", place, f"{what}; nobody read it, {highest} is the last")
        elif who and left is not None and sent.value not in left:
            facts = f"{what}; {who} read it at {offset}, {promises.last_reader} did not any more"
            yield Anomaly("lost-write", place, facts)


def _strangers(place: str, seen: _Seen) -> Iterator[Anomaly]:
    """Look for each record that is there, and should not be."""
    outcomes = {sent.value: (sent.process, sent.outcome) for sent in seen.sent}
    told: set[bytes] = set()
    for who, _, value in chain(seen.records_read(), _held(seen)):
        process, outcome = outcomes.get(value, ("", None))
        if value in told or outcome in (Outcome.OK, Outcome.UNKNOWN):
            continue
        told.add(value)
        if outcome is None:
            yield Anomaly("unsent", place, f"{who} has {value!r}, which nobody has sent")
        else:
            facts = f"{value!r} of {process} was refused; {who} has it"
            yield Anomaly("aborted-read", place, facts)


def _left_at_the_end(seen: _Seen, promises: Promises) -> set[bytes] | None:
    """Give all that the last reader found; None where there was none, or it proves nothing."""
    if not promises.drained or promises.last_reader not in seen.read:
        return None
    return set(_last_read(seen.read[promises.last_reader]).values())


def _order_sent(place: str, sent: Iterable[Sent]) -> Iterator[Anomaly]:
    last: dict[str, Sent] = {}
    for one in sent:
        if one.outcome is not Outcome.OK or one.offset is None:
            continue
        before = last.get(one.process)
        if before is not None and before.offset is not None and one.offset <= before.offset:
            facts = (
                f"{one.process} sent {before.value!r} before {one.value!r};"
                f" they are at {before.offset} and {one.offset}"
            )
            yield Anomaly("nonmonotonic-send", place, facts)
        last[one.process] = one


def _polls(partition: Partition, seen: _Seen, _: Promises) -> Iterator[Anomaly]:
    places = {offset: value for _, offset, value in _sightings(seen)}
    gone, deletion = seen.compaction.may_be_gone, seen.deletion
    needed = Needed(places, (o for o, value in places.items() if not gone(value, o)))
    for process, operations in seen.read.items():
        found = order_read(
            str(partition),
            process,
            operations,
            needed=needed,
            starts=seen.starts,
            deletion=deletion,
        )
        yield from bounded(found)


def _ends(partition: Partition, seen: _Seen, _: Promises) -> Iterator[Anomaly]:
    for process, told in seen.ends.items():
        for before, after in pairwise(told):
            if after.offset < before.offset:
                facts = f"{process} was told {before.offset}, then {after.offset}"
                yield Anomaly("end-went-back", str(partition), facts)


def _dates(partition: Partition, seen: _Seen, _: Promises) -> Iterator[Anomaly]:
    for one in seen.dates:
        if one.timestamp_ms < one.asked_ms:
            facts = (
                f"{one.process} asked for {one.asked_ms}, and was told {one.offset} of"
                f" {one.timestamp_ms}"
            )
            yield Anomaly("wrong-time", str(partition), facts)


# What brokers were seen to do.


def _leaders(partition: Partition, seen: _Seen, _: Promises) -> Iterator[Anomaly]:
    led: dict[int, int] = {}
    told: set[tuple[int, int]] = set()
    for one in seen.leaders:
        first = led.setdefault(one.epoch, one.broker_id)
        if first != one.broker_id and (one.epoch, one.broker_id) not in told:
            told.add((one.epoch, one.broker_id))
            facts = f"brokers {first} and {one.broker_id} led in epoch {one.epoch}"
            yield Anomaly("two-leaders", str(partition), facts)


def _watermarks(partition: Partition, seen: _Seen, _: Promises) -> Iterator[Anomaly]:
    last: dict[tuple[int, int], int] = {}
    for one in seen.watermarks:
        key = one.epoch, one.broker_id
        before = last.get(key, -1)
        if one.offset < before:
            facts = f"from {before} to {one.offset} at broker {one.broker_id} in epoch {one.epoch}"
            yield Anomaly("watermark-fell", str(partition), facts)
        last[key] = one.offset


def _replicas(partition: Partition, seen: _Seen, _: Promises) -> Iterator[Anomaly]:
    if not seen.replicas:
        return
    place, gone = str(partition), seen.compaction.may_be_gone
    yield from differing(place, seen.replicas, may_be_gone=gone)
    there = {offset: value for _, offset, value in chain(_told(seen), seen.records_read())}
    for replica in seen.replicas:
        yield from bounded(missing(place, replica, there, may_be_gone=gone))


# What was deleted on demand.


def _trims(partition: Partition, seen: _Seen, _: Promises) -> Iterator[Anomaly]:
    found = seen.deletion.undone(seen.read, seen.replicas)
    yield from bounded(Anomaly("undeleted", str(partition), facts) for facts in found)


# Compacted topics.


def _compaction(seen: _Seen, promises: Promises) -> Compaction:
    places = ((offset, value) for _, offset, value in _sightings(seen))
    return Compaction(seen.sent, places, drained=promises.drained, idempotent=promises.idempotent)


def _keys(partition: Partition, seen: _Seen, promises: Promises) -> Iterator[Anomaly]:
    """Nobody is shown an older value of a key in place of its newest record."""
    if not promises.compacted:
        return
    place, logs = str(partition), []
    for replica in seen.replicas:
        held = between(replica, replica.log_start, replica.high_watermark)
        logs.append((f"broker {replica.broker_id}", held, replica.high_watermark))
    if promises.drained:
        read = _last_read(seen.read.get(promises.last_reader, []))
        logs.append((promises.last_reader, read, NOWHERE))
    for who, records, end in logs:
        found = seen.compaction.resurrected(records.items(), end=end)
        yield from bounded(Anomaly("resurrected", place, f"{who} has {facts}") for facts in found)


def _last_read(operations: Iterable[Polled | Positioned]) -> dict[int, bytes]:
    """Give what a consumer was handed since it was positioned last."""
    records: dict[int, bytes] = {}
    for operation in operations:
        if isinstance(operation, Positioned):
            records.clear()
        else:
            records.update(operation.records)
    return records
