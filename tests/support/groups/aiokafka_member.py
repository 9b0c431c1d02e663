"""A member by aiokafka. Run as a program, see `program`."""

from __future__ import annotations

import asyncio

import aiokafka
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from tests.support.groups.program import (
    BATCH_RECORDS,
    POLL_S,
    MemberSpec,
    Orders,
    Progress,
    Reporter,
    run_program,
)

ASSIGNORS = {
    "range": RangePartitionAssignor,
    "roundrobin": RoundRobinPartitionAssignor,
    "sticky": StickyPartitionAssignor,
}


class Member(aiokafka.ConsumerRebalanceListener):
    """Consumes, reports and commits.

    aiokafka rebalances beside the application: a lock keeps a partition from being given up
    between its batch and its commit.
    """

    def __init__(self, spec: MemberSpec, reporter: Reporter) -> None:
        self._spec = spec
        self._reporter = reporter
        self._progress = Progress(reporter)
        self._lock = asyncio.Lock()

    async def run(self, orders: Orders) -> None:
        spec = self._spec
        self._consumer = aiokafka.AIOKafkaConsumer(
            bootstrap_servers=spec.bootstrap,
            group_id=spec.group,
            client_id=spec.name,
            group_instance_id=spec.instance_id,
            partition_assignment_strategy=[ASSIGNORS[spec.assignor]],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=spec.session_timeout_ms,
            heartbeat_interval_ms=spec.heartbeat_interval_ms,
            metadata_max_age_ms=spec.metadata_max_age_ms,
        )
        if spec.pattern:
            self._consumer.subscribe(pattern=f"^{spec.pattern}", listener=self)
        else:
            self._consumer.subscribe(list(spec.topics), listener=self)
        await self._consumer.start()
        while not orders.leave.is_set():
            # Waits while a rebalance is going on, so it must not hold the lock.
            found = await self._consumer.getmany(
                timeout_ms=int(POLL_S * 1000), max_records=BATCH_RECORDS
            )
            async with self._lock:
                if found:
                    self._progress.processed(
                        (p.topic, p.partition, record.offset)
                        for p, records in found.items()
                        for record in records
                    )
                await self._commit(self._progress.of())
        # It does not say by itself that it gives up what it owned.
        self._reporter.revoked(names(self._consumer.assignment()))
        await self._consumer.stop()

    async def _commit(self, offsets: dict[tuple[str, int], int]) -> None:
        if not offsets:
            return
        wanted = {aiokafka.TopicPartition(*p): offset for p, offset in offsets.items()}
        try:
            await self._consumer.commit(wanted)
        except aiokafka.errors.KafkaError as error:
            self._progress.ended(offsets, error)
        else:
            self._progress.ended(offsets, None)

    async def on_partitions_assigned(self, assigned):
        self._reporter.assigned(names(assigned))

    async def on_partitions_revoked(self, revoked):
        async with self._lock:
            await self._commit(self._progress.of(names(revoked)))
            self._progress.forget(names(revoked))
            self._reporter.revoked(names(revoked))


def names(partitions) -> list[tuple[str, int]]:
    return sorted((partition.topic, partition.partition) for partition in partitions)


def main(spec: MemberSpec, reporter: Reporter, orders: Orders) -> None:
    asyncio.run(Member(spec, reporter).run(orders))


if __name__ == "__main__":
    run_program(main)
