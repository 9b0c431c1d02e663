"""A member by our own client. Run as a program, see `program`."""

from __future__ import annotations

import re

import trio

from client import Consumer, ConsumerConfig, MemberFenced, TopicPartition
from protocol.errors import OttlaError
from tests.support.groups.program import (
    BATCH_RECORDS,
    POLL_S,
    MemberSpec,
    Orders,
    Progress,
    Reporter,
    run_program,
)


class Member:
    """Consumes, reports and commits."""

    def __init__(self, spec: MemberSpec, reporter: Reporter) -> None:
        self._spec = spec
        self._reporter = reporter
        self._progress = Progress(reporter)
        self._consumer = Consumer(
            spec.bootstrap,
            ConsumerConfig(
                client_id=spec.name,
                group_id=spec.group,
                group_instance_id=spec.instance_id,
                assignors=(spec.assignor,),
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                session_timeout_s=spec.session_timeout_ms / 1000,
                heartbeat_interval_s=spec.heartbeat_interval_ms / 1000,
                metadata_max_age_s=spec.metadata_max_age_ms / 1000,
            ),
        )

    async def run(self, orders: Orders) -> None:
        async with self._consumer as consumer:
            consumer.subscribe(
                re.compile(self._spec.pattern) if self._spec.pattern else self._spec.topics,
                on_assigned=self._take,
                on_revoked=self._give_up,
                on_lost=self._lose,
            )
            while not orders.leave.is_set():
                records = await consumer.poll(max_records=BATCH_RECORDS, timeout_s=POLL_S)
                if records:
                    self._progress.processed((r.topic, r.partition, r.offset) for r in records)
                await self._commit(self._progress.of())

    async def _commit(self, offsets: dict[tuple[str, int], int]) -> None:
        if not offsets:
            return
        try:
            await self._consumer.commit({TopicPartition(*p): o for p, o in offsets.items()})
        except MemberFenced:
            raise
        except OttlaError as error:
            self._progress.ended(offsets, error)
        else:
            self._progress.ended(offsets, None)

    async def _take(self, partitions: tuple[TopicPartition, ...]) -> None:
        self._reporter.assigned(names(partitions))

    async def _give_up(self, partitions: tuple[TopicPartition, ...]) -> None:
        await self._commit(self._progress.of(names(partitions)))
        self._progress.forget(names(partitions))
        self._reporter.revoked(names(partitions))

    async def _lose(self, partitions: tuple[TopicPartition, ...]) -> None:
        self._progress.forget(names(partitions))
        self._reporter.lost(names(partitions))


def names(partitions: tuple[TopicPartition, ...]) -> list[tuple[str, int]]:
    return [(place.topic, place.partition) for place in partitions]


def main(spec: MemberSpec, reporter: Reporter, orders: Orders) -> None:
    trio.run(Member(spec, reporter).run, orders)


if __name__ == "__main__":
    run_program(main)
