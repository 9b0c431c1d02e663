"""Damage to disks: lost, a bit flipped, a file cut or as it was before.

What one replica loses another one must have, so damage is done to one at a time; and not where an
ISR of one is enough: that one may be it, after the others have restarted.
Must never know: networks, sessions.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias

import trio

from broker.log.directory import CHECKPOINTS, Checkpoint, DataDirectory, parse_partition
from broker.log.errors import FileMissing
from broker.log.file_names import LOG_SUFFIX
from protocol.batch import split_batches
from protocol.errors import CorruptBatch
from simulation.faults.joins import SEEN_WITHIN_S, is_member
from simulation.faults.stage import SLOW_LINK_S, is_in_sync, seen
from simulation.kinds import EXPIRED, KILLED_AGAIN, NO_COORDINATOR, OTHERS_DIE, WHILE_JOINING
from simulation.plan import TOPIC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from broker.partition import Partition
    from simulation.cluster import SimulatedBroker
    from simulation.disk import MemoryDisk
    from simulation.faults.joins import Joins
    from simulation.faults.stage import Act, Stage
    from simulation.kinds import Fault


Harm: TypeAlias = "Callable[[SimulatedBroker], bool]"
"""Damages the disk of a process that has ended. Returns: whether there was anything to damage."""

SOUND_WITHIN_S: Final = 3.0
SOUND_SEEN_WITHIN_S: Final = 0.1
"""How long damage waits until what was lost before is there again."""

REGISTERED_WITHIN_S: Final = 7.0
REGISTERED_SEEN_WITHIN_S: Final = 0.005
AGAIN_WITHIN_S: Final = 0.02
"""What strikes again does so before the others are found dead, and a controller has acted."""

STOPPED_WITHIN_S: Final = 6.0


class Damage:
    """Faults that take from a disk what was on it."""

    def __init__(self, stage: Stage, joins: Joins) -> None:
        self._stage = stage
        self._joins = joins
        self._damaged = False

    @property
    def acts(self) -> dict[str, Act]:
        """Name what can be carried out."""
        return {
            "lose-disk": self._lose_disk,
            "damage-tail": self._damage_tail,
            "cut-file": self._cut_file,
            "roll-back": self._roll_back,
            "rot": self._rot,
        }

    async def _damage(self, fault: Fault, harm: Harm) -> bool:
        """End a process, harm its disk, start it again; with what else comes with the damage."""
        how = int(fault.amount)
        if not await seen(self._may_damage, within_s=SOUND_WITHIN_S, every_s=SOUND_SEEN_WITHIN_S):
            return False
        self._damaged = True
        self._stage.begin(fault)
        joined = await self._joins.have_it_join(fault) if how & WHILE_JOINING else []
        machine = self._stage.cluster.brokers[fault.broker]
        if machine.is_running:
            await machine.kill()
        self._damaged = done = harm(machine)
        await self._start_in_trouble(machine, fault, joined)
        return done

    async def _start_in_trouble(
        self, machine: SimulatedBroker, fault: Fault, joined: list[Partition]
    ) -> None:
        """Start a damaged broker again; nobody else is started before the fault has lasted.

        Where it had just `joined` ISRs, the others die once it hears that it is in one.
        """
        how, began_at = int(fault.amount), trio.current_time()
        if how & NO_COORDINATOR:
            self._stage.cluster.cut_from_store(fault.broker)
        if how & WHILE_JOINING:
            self._stage.start_soon(machine)
            await seen(
                lambda: is_member(machine, joined), within_s=SLOW_LINK_S, every_s=SEEN_WITHIN_S
            )
        others = [other for other in self._stage.machines() if other is not machine]
        if how & OTHERS_DIE:
            await self._stage.kill(others)
        self._stage.start_soon(machine)
        if how & NO_COORDINATOR:
            await trio.sleep(fault.lasts_s / 4)
            self._stage.cluster.reconnect_to_store(fault.broker)
        if how & (EXPIRED | KILLED_AGAIN):
            await self._strike_again(machine, fault)
        await trio.sleep_until(began_at + fault.lasts_s)
        self._stage.cluster.network.restore_links()
        for other in others:
            self._stage.start_soon(other)

    async def _strike_again(self, machine: SimulatedBroker, fault: Fault) -> None:
        """End a session or a process right after it has told what was lost, or while it does."""
        await seen(
            lambda: _is_registered(machine),
            within_s=REGISTERED_WITHIN_S,
            every_s=REGISTERED_SEEN_WITHIN_S,
        )
        await trio.sleep(fault.lasts_s % AGAIN_WITHIN_S)
        if int(fault.amount) & EXPIRED:
            self._stage.expire_session(machine)
        if int(fault.amount) & KILLED_AGAIN and machine.is_running:
            await machine.kill()
            self._stage.start_soon(machine)

    def _may_damage(self) -> bool:
        """Say whether another replica has what this one loses, whatever goes on."""
        if self._stage.plan.settings.get("min.insync.replicas") != "2":
            return False
        return not self._damaged or self._is_sound()

    def _is_sound(self) -> bool:
        """Say whether all that was lost is there again, on every replica."""
        machines = self._stage.machines()
        found = [p for m in machines if m.is_running and m.broker for p in m.broker.partitions]
        return (
            self._stage.under_way == 1
            and all(machine.is_running for machine in machines)
            and bool(found)
            and all(is_in_sync(partition) for partition in found)
            and all(self._is_whole(partition) for partition in found if partition.is_leader)
        )

    def _is_whole(self, leader: Partition) -> bool:
        """Say whether each replica holds what is committed.

        The ISR still has who came back without it, and is not registered yet.
        """
        return all(
            any(
                replica.topic_id == leader.topic_id
                and replica.index == leader.index
                and replica.log.durable_end_offset >= leader.high_watermark.value
                for replica in self._stage.cluster.brokers[broker_id].replicas()
            )
            for broker_id in (leader.state.replicas if leader.state else ())
        )

    async def _lose_disk(self, fault: Fault) -> bool:
        def harm(machine: SimulatedBroker) -> bool:
            machine.lose_disk()
            return True

        return await self._damage(fault, harm)

    async def _damage_tail(self, fault: Fault) -> bool:
        """Flip a bit of the last record of each replica that is noted as committed.

        In what was written since it could not be told from what a crash tears; and after a clean
        stop nobody looks at records that no one asks for, as with Apache Kafka.
        """

        def harm(machine: SimulatedBroker) -> bool:
            if DataDirectory(machine.disk, "data").has_clean_marker():
                return False
            for found in (committed := _last_committed(machine)):
                machine.disk.flip_bit(*found)
            return bool(committed)

        await self._have_noted(fault)
        return await self._damage(fault, harm)

    async def _cut_file(self, fault: Fault) -> bool:
        """Cut log files within these records, as a file system that repairs itself may."""

        def harm(machine: SimulatedBroker) -> bool:
            for found in (committed := _last_committed(machine)):
                machine.disk.truncate_file(*found)
            return bool(committed)

        await self._have_noted(fault)
        return await self._damage(fault, harm)

    async def _have_noted(self, fault: Fault) -> None:
        """Have a broker note how much is committed, as it does when it is stopped and started."""
        machine = self._stage.machine(fault)
        if machine is None or _last_committed(machine):
            return
        with trio.move_on_after(STOPPED_WITHIN_S):
            await machine.stop()
        self._stage.start_soon(machine)
        await trio.sleep(fault.lasts_s / 4)

    async def _roll_back(self, fault: Fault) -> bool:
        """Give a file what it held some time ago, as a disk does that lost its writes.

        Not where that leaves of a log all that is noted as committed: see `_damage_tail`. Nor has
        it a log begin where it began before: nothing else tells what was deleted.
        """
        disk = self._stage.cluster.brokers[fault.broker].disk
        if not (files := disk.durable_files()):
            return False
        path = files[fault.other % len(files)]
        try:
            remembered = disk.remember(path)
        except FileMissing:
            return False  # its directory is gone, with a topic; a crash could still bring it back
        starts = _log_starts(disk)
        await trio.sleep(fault.lasts_s / 2)

        def harm(machine: SimulatedBroker) -> bool:
            if machine.disk is not disk:
                return False  # it was lost meanwhile, and another remembers nothing
            if path.endswith(".log"):
                if path not in dict(_last_committed(machine)):
                    return False
                if _end_offset(remembered) >= _noted(machine, path).high_watermark:
                    return False
            begins_earlier = path == f"data/{CHECKPOINTS}" and any(
                start > starts.get(place, 0) for place, start in _log_starts(disk).items()
            )
            if begins_earlier or path not in disk.durable_files():
                return False
            try:
                disk.roll_back(path)
            except FileMissing:
                return False  # its directory is gone, with a topic
            return True

        return await self._damage(fault, harm)

    async def _rot(self, fault: Fault) -> bool:
        """Flip a bit where nobody looks before somebody reads; an operator replaces the disk."""
        if not await seen(self._may_damage, within_s=SOUND_WITHIN_S, every_s=SOUND_SEEN_WITHIN_S):
            return False
        machine = self._stage.machine(fault)
        found = None if machine is None else _old_batch(machine, fault.other)
        if machine is None or found is None:
            return False
        self._damaged = True
        self._stage.begin(fault)
        machine.disk.rot(*found)
        await trio.sleep(fault.lasts_s)
        if machine.is_running:
            await machine.kill()
        machine.lose_disk()
        self._stage.start_soon(machine)
        return True


def _old_batch(machine: SimulatedBroker, number: int) -> tuple[str, int] | None:
    """Find one of the batches in segments that no recovery would read: a file, and where in it.

    Where the broker leads, if it does: old records of others are hardly ever read.
    """
    ours = [partition for partition in machine.replicas() if partition.topic == TOPIC]
    found: list[tuple[str, int]] = []
    with machine.disk.sparing():
        noted = DataDirectory(machine.disk, "data").read_checkpoints()
        for partition in [one for one in ours if one.is_leader] or ours:
            known = noted.get((TOPIC, partition.index), Checkpoint())
            for segment in partition.log.segments[:-1]:
                if segment.next_offset <= min(known.recovery_point, known.high_watermark):
                    path = segment.path(LOG_SUFFIX)
                    starts = [0, *(end for end, _ in _batch_ends(machine.disk.read_file(path)))]
                    found += [(path, start) for start in starts[:-1]]
    return found[number % len(found)] if found else None


def _is_registered(machine: SimulatedBroker) -> bool:
    """Say whether a broker has registered since its process was started."""
    broker = machine.broker
    return machine.is_running and broker is not None and broker.view.broker_epoch >= 0


def _last_committed(machine: SimulatedBroker) -> list[tuple[str, int]]:
    """Find the last byte of what is noted as committed of each replica: a file, and where in it."""
    noted = DataDirectory(machine.disk, "data").read_checkpoints().items()
    found = (
        _end_of(checkpoint, machine.disk, f"data/{topic}-{index}")
        for (topic, index), checkpoint in noted
        if topic == TOPIC
    )
    return [end for end in found if end is not None]


def _log_starts(disk: MemoryDisk) -> dict[tuple[str, int], int]:
    """Tell where each log begins, as far as is noted."""
    with disk.sparing():
        noted = DataDirectory(disk, "data").read_checkpoints()
    return {place: one.log_start_offset for place, one in noted.items()}


def _noted(machine: SimulatedBroker, path: str) -> Checkpoint:
    """Give what is noted of the log that has this file."""
    noted = DataDirectory(machine.disk, "data").read_checkpoints()
    partition = parse_partition(path.split("/")[1])
    return noted[partition] if partition in noted else Checkpoint()


def _end_offset(data: bytes) -> int:
    return max((offset for _, offset in _batch_ends(data)), default=0)


def _end_of(noted: Checkpoint, disk: MemoryDisk, directory: str) -> tuple[str, int] | None:
    # Recovery reads the segment with the recovery point, and what comes after it.
    for name in reversed([n for n in disk.list(directory) if n.endswith(".log")]):
        ends = list(_batch_ends(disk.read_file(f"{directory}/{name}")))
        if found := [end for end, offset in ends if offset <= noted.high_watermark]:
            return f"{directory}/{name}", found[-1] - 1
        if ends and int(name.removesuffix(".log")) <= noted.recovery_point:
            break
    return None


def _batch_ends(data: bytes) -> Iterator[tuple[int, int]]:
    """Give where each batch of a segment ends, as far as no crash has torn one.

    Each is its position, and the offset that follows.
    """
    position = 0
    with suppress(CorruptBatch):
        for header, _ in split_batches(data, allow_cut=True):
            position += header.size_bytes
            yield position, header.next_offset
