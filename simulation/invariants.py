"""What must hold in a simulated cluster at every moment: looked at after every step of every task.

- At most one broker leads a partition in a leader epoch, in the whole run.
- A leader is in the ISR that it obeys.
- A leader's high watermark never falls within its epoch.
- A new leader has all that was acknowledged before it came to lead, and nothing that was deleted.
- No ISR changes time and again (isr_changes.py), and time goes on.
- Replicas are alike below their high watermarks, and committed offsets never fall (committed.py);
  of a compacted topic they have the newest record of each key (committed_keys.py).
- No log starts beyond what was to be deleted, on demand or as there is more than is to be kept, nor
  that of a leader beyond its high watermark.
- Nobody has a replica of a deleted topic after it has told that it is rid of it (deletions.py).

Must never know: faults, clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from chaos.history import Partition as Place
from chaos.naming import name_of
from coordinator import paths
from protocol.records import decode_batch
from simulation.committed import Broken, CommittedOffsets, CommittedRecords, batches_of
from simulation.committed_keys import CommittedKeys
from simulation.deletions import Deletions
from simulation.isr_changes import IsrChanges, Led
from simulation.plan import TOPIC

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from broker.partition import Partition
    from chaos.workload import Workload
    from coordinator.cluster import PartitionState
    from simulation.cluster import SimulatedBroker, SimulatedCluster


STEPS_AT_ONCE_MAX: Final = 100_000
"""Without time going on; somebody asks again and again without ever waiting."""


class Invariants(trio.abc.Instrument):
    """Looks after each step at what it may have changed; the first thing wrong ends the run.

    `work` knows what clients asked for and were promised. `told` hears of each state that a leader
    comes to lead in. `lag_time_max_s` is how long followers may lag. `compacted` names topics; a
    log may not know yet that its topic is.
    """

    def __init__(
        self,
        cluster: SimulatedCluster,
        work: Workload,
        *,
        told: Callable[[str], None],
        lag_time_max_s: float,
        compacted: Collection[str] = (),
    ) -> None:
        self.steps = 0
        self._looked_at_time = -1.0
        self.broken: Broken | None = None
        self._cluster = cluster
        self._acknowledged = work.acknowledged
        self._work = work
        self._trimmed, self._deleted = work.trimmed, work.deleted
        self._told = told
        self._records = CommittedRecords()
        self._keys = CommittedKeys()
        self._compacted = compacted
        self._offsets = CommittedOffsets(
            cluster.memory.tree, topic=TOPIC, acknowledged=work.committed
        )
        self._deletions = Deletions(cluster.memory.tree)
        self._states: dict[tuple[int, bytes, int], PartitionState] = {}
        self._changes = IsrChanges(lag_time_max_s=lag_time_max_s)
        self._newest: dict[tuple[bytes, int], int] = {}
        self._leaders: dict[tuple[bytes, int, int], int] = {}
        self._watermarks: dict[tuple[int, bytes, int, int], int] = {}

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Look at the replicas of the task's broker, unless something is wrong already."""
        self.steps += 1
        if self.broken is not None:
            return
        try:
            if self.steps % STEPS_AT_ONCE_MAX == 0:
                self._look_at_time()
            machine = self._cluster.machine_of(task)
            # A broker changes what is committed, whoever is told so is no broker.
            if machine is None or self._offsets.changed:
                self._offsets.look()
            self._deletions.look()
            if machine is not None:
                self._look_at(machine)
        except Broken as error:
            self.broken = error
            self._cluster.nursery.cancel_scope.cancel()

    def _look_at_time(self) -> None:
        now = trio.current_time()
        if now == self._looked_at_time:
            raise Broken(f"no-progress: {STEPS_AT_ONCE_MAX:,} steps, and it is still {now:.6f} s")
        self._looked_at_time = now

    def _look_at(self, machine: SimulatedBroker) -> None:
        """Look at a broker's replicas once. Raises: Broken."""
        if machine.broker is None or not machine.is_running:
            return
        with machine.disk.sparing():  # a fault that is planned is not for who looks on
            for partition in machine.broker.partitions:
                self._look_at_replica(machine.broker_id, partition)
                if not machine.disk.is_rotten:  # it does not hold what it should, and may not
                    self._records_of(partition).look(machine.broker_id, partition)

    def _look_at_replica(self, broker_id: int, partition: Partition) -> None:
        self._deletions.look_at(broker_id, partition)
        if partition.is_leader:
            self._look_at_leader(broker_id, partition)
        if partition.log.log_start_offset:
            self._look_at_start(broker_id, partition)

    def _records_of(self, partition: Partition) -> CommittedKeys | CommittedRecords:
        return self._keys if partition.topic in self._compacted else self._records

    def _look_at_leader(self, broker_id: int, partition: Partition) -> None:
        epoch, name = partition.leader_epoch, partition.name
        key = partition.topic_id, partition.index, epoch
        first = self._leaders.get(key)
        if first is None:
            self._leaders[key] = broker_id
            self._look_at_new_leader(broker_id, partition)
        elif first != broker_id:
            raise Broken(f"two-leaders: brokers {first} and {broker_id} lead {name} in {epoch}")
        state = partition.state
        of = broker_id, *key[:2]
        if state is not None and state is not (known := self._states.get(of)):
            self._states[of] = state
            self._tell(broker_id, partition, state)
            if known is not None and known.leader_epoch == epoch and known.isr != state.isr:
                left = self._registered(set(known.isr) & set(state.replicas) - set(state.isr))
                self._changes.note(Led(*of, epoch), name, left=left, now=trio.current_time())
        if state is not None and state.leader_id == broker_id and broker_id not in state.isr:
            raise Broken(f"leader-not-in-isr: broker {broker_id} leads {name}, ISR {state.isr}")
        mark = broker_id, *key
        watermark = partition.high_watermark.value
        before = self._watermarks.get(mark, 0)
        if watermark < before:
            raise Broken(
                f"watermark-fell: {name} from {before} to {watermark} at broker {broker_id},"
                f" epoch {epoch}"
            )
        self._watermarks[mark] = watermark

    def _look_at_start(self, broker_id: int, partition: Partition) -> None:
        start, name = partition.log.log_start_offset, partition.name
        asked = self._trimmed.get(partition.index, 0) if partition.topic == TOPIC else 0
        if start > asked:
            kept, size = partition.log.config.retention_bytes, partition.log.size_bytes
            if kept < 0 or size < kept:
                raise Broken(
                    f"start-moved: {name} starts at {start} at broker {broker_id} and has {size}"
                    f" bytes; {asked} is all that was asked for, {kept} bytes are to be kept"
                )
            self._work.trim(Place(partition.topic, partition.index), start)
        if partition.is_leader and start > partition.high_watermark.value:
            raise Broken(
                f"start-uncommitted: broker {broker_id} leads {name}, which starts at {start};"
                f" the high watermark is {partition.high_watermark.value}"
            )

    def _registered(self, brokers: Iterable[int]) -> dict[int, int]:
        """Give the broker epochs of those that the coordinator has a registration of."""
        nodes = self._cluster.memory.tree.nodes
        at = {broker: paths.registration(broker) for broker in brokers}
        return {broker: nodes[path].czxid for broker, path in at.items() if path in nodes}

    def _tell(self, broker_id: int, partition: Partition, state: PartitionState) -> None:
        acknowledged = self._acknowledged.get(partition.index, -1)
        known = f"; {acknowledged} is acknowledged" if partition.topic == TOPIC else ""
        self._told(
            f"broker {broker_id} leads {partition.name} in epoch {state.leader_epoch},"
            f" ISR {_listed(state.isr)}, ELR {_listed(state.elr)},"
            f" high watermark {partition.high_watermark.value},"
            f" durable to {partition.durable.value}, end {partition.log.log_end_offset}{known}"
        )

    def _look_at_new_leader(self, broker_id: int, partition: Partition) -> None:
        epoch, place = partition.leader_epoch, (partition.topic_id, partition.index)
        if epoch < self._newest.get(place, -1):
            return  # It was told late, and somebody has led after it already.
        self._newest[place] = epoch
        last = self._acknowledged.get(partition.index, -1) if partition.topic == TOPIC else -1
        end = partition.log.log_end_offset
        if end <= last:
            raise Broken(
                f"lost-write: broker {broker_id} leads {partition.name} from epoch {epoch}"
                f" and ends at {end}; {last} was acknowledged"
            )
        start = partition.log.log_start_offset
        deleted = self._deleted.get(partition.index, 0) if partition.topic == TOPIC else 0
        if start < deleted:
            raise Broken(
                f"undeleted: broker {broker_id} leads {partition.name} from epoch {epoch}"
                f" and starts at {start}; what is below {deleted} was deleted"
            )


def _listed(brokers: tuple[int, ...]) -> str:
    return ",".join(map(str, brokers)) or "-"


def replicas(cluster: SimulatedCluster) -> Iterator[tuple[int, Partition]]:
    """Give every replica of every running broker."""
    for machine in cluster.brokers.values():
        for partition in machine.replicas():
            yield machine.broker_id, partition


def records_of(partition: Partition) -> dict[int, bytes]:
    """Read all values of a replica, by offset."""
    return {
        record.offset: name_of(record)
        for _, batch in batches_of(partition, 0, partition.log.log_end_offset, check_crc=True)
        for record in decode_batch(batch)
    }
