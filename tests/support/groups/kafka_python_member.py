"""A member by kafka-python. Run as a program, see `program`."""

from __future__ import annotations

import time

import kafka
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from kafka.structs import OffsetAndMetadata, TopicPartition

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
    "cooperative-sticky": CooperativeStickyAssignor,
}
COMMIT_TIMEOUT_MS = 30_000
POLL_MS = 10_000
"""Longer than a rebalance: a poll of kafka-python 3.0.12 that times out between the answers to its
JoinGroup and its SyncGroup leaves a member that takes itself for joined and never heartbeats."""


class Member(kafka.ConsumerRebalanceListener):
    """Consumes, reports and commits."""

    def __init__(self, spec: MemberSpec, reporter: Reporter) -> None:
        self._reporter = reporter
        self._progress = Progress(reporter)
        self._consumer = kafka.KafkaConsumer(
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
            reconnect_backoff_max_ms=500,
        )
        if spec.pattern:
            self._consumer.subscribe(pattern=f"^{spec.pattern}", listener=self)
        else:
            self._consumer.subscribe(topics=list(spec.topics), listener=self)

    def run(self, orders: Orders) -> None:
        while not orders.leave.is_set():
            found = self._poll()
            if found:
                self._progress.processed(
                    (p.topic, p.partition, record.offset)
                    for p, records in found.items()
                    for record in records
                )
            self._commit(self._progress.of())
        self._consumer.close()

    def _poll(self):
        try:
            return self._consumer.poll(timeout_ms=POLL_MS, max_records=BATCH_RECORDS)
        except kafka.errors.KafkaConnectionError:
            # So it says that no broker can be reached; it goes on when it is asked again.
            time.sleep(POLL_S)
            return {}

    def _commit(self, offsets: dict[tuple[str, int], int]) -> None:
        if not offsets:
            return
        wanted = {TopicPartition(*p): OffsetAndMetadata(o, "", -1) for p, o in offsets.items()}
        try:
            self._consumer.commit(wanted, timeout_ms=COMMIT_TIMEOUT_MS)
        except kafka.errors.KafkaError as error:
            self._progress.ended(offsets, error)
            if isinstance(error, kafka.errors.FencedInstanceIdError):
                raise
        else:
            self._progress.ended(offsets, None)

    def on_partitions_assigned(self, assigned):
        self._reporter.assigned(names(assigned))

    def on_partitions_revoked(self, revoked):
        self._commit(self._progress.of(names(revoked)))
        self._progress.forget(names(revoked))
        self._reporter.revoked(names(revoked))

    def on_partitions_lost(self, lost):
        self._progress.forget(names(lost))
        self._reporter.lost(names(lost))


def names(partitions) -> list[tuple[str, int]]:
    return sorted((partition.topic, partition.partition) for partition in partitions)


def main(spec: MemberSpec, reporter: Reporter, orders: Orders) -> None:
    Member(spec, reporter).run(orders)


if __name__ == "__main__":
    run_program(main)
