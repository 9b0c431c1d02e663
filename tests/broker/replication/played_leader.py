"""A leader that is played by a test, and the replicas that follow it."""

from __future__ import annotations

from contextlib import asynccontextmanager

import trio

from coordinator.cluster import PartitionState
from protocol.api.fetch import FetchableTopicResponse, FetchRequest, FetchResponse, PartitionData
from protocol.api.offset_for_leader_epoch import (
    EpochEndOffset,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderTopicResult,
)
from protocol.batch import assign
from protocol.errors import ErrorCode
from protocol.records import Record, encode_batch

US, LEADER = 1, 2
TOPIC_ID = bytes(range(16))
ASKED_MAX = 1000
"""Requests after which a loop without end is taken for one."""


class Leader:
    """Answers every fetch: `answer(partition index)` after `delay_s`, or the whole long poll.

    With `grants_sessions` it remembers what it was asked for, and answers for all of it.
    """

    def __init__(self) -> None:
        self.asked: list[FetchRequest] = []
        self.answer = PartitionData
        self.delay_s: float | None = None
        self.before_epochs = lambda: None
        self.epochs_end: int | None = None
        """Where every epoch that is asked about ends in its log; None: it does not answer."""
        self.grants_sessions = False
        self.refusals: list[ErrorCode] = []
        self.sessions_begun = 0
        self.session: dict[tuple[bytes, int], int] = {}
        """The offset of each partition in the session."""

    @asynccontextmanager
    async def connect(self, leader_id: int):
        yield self

    async def call(self, request, *, version: int, timeout_s: float):
        if not isinstance(request, FetchRequest):
            await trio.lowlevel.checkpoint()
            self.before_epochs()
            return OffsetForLeaderEpochResponse(
                topics=[
                    OffsetForLeaderTopicResult(
                        topic.topic,
                        [
                            EpochEndOffset(0, one.partition, one.leader_epoch, self.epochs_end)
                            for one in topic.partitions
                        ],
                    )
                    for topic in request.topics
                    if self.epochs_end is not None
                ]
            )
        self.asked.append(request)
        assert timeout_s > 0, "as the real one demands"
        assert len(self.asked) < ASKED_MAX, "asks without end"
        if request.session_epoch == 0:
            self.session.clear()
        for topic in request.topics:
            for asked in topic.partitions:
                self.session[topic.topic_id, asked.partition] = asked.fetch_offset
        for topic in request.forgotten_topics_data:
            for index in topic.partitions:
                del self.session[topic.topic_id, index]
        await trio.sleep(request.max_wait_ms / 1000 if self.delay_s is None else self.delay_s)
        if self.refusals:
            return FetchResponse(error_code=self.refusals.pop(0))
        if request.session_epoch == 0 and self.grants_sessions:
            self.sessions_begun += 1
        return FetchResponse(
            session_id=self.sessions_begun,
            responses=[
                FetchableTopicResponse(
                    topic_id=topic_id, partitions=[self.answer(partition_index=index)]
                )
                for topic_id, index in self.session
                if self.answer is not PartitionData or request.session_epoch == 0
            ],
        )

    def named(self) -> list[dict[int, int]]:
        """Give the partitions that each request named, with their offsets."""
        return [
            {p.partition: p.fetch_offset for t in request.topics for p in t.partitions}
            for request in self.asked
        ]

    def forgotten(self) -> list[list[int]]:
        """Give the partitions that each request forgot."""
        return [
            [index for topic in request.forgotten_topics_data for index in topic.partitions]
            for request in self.asked
        ]


def led_by(
    leader_id: int, *, leader_epoch: int, isr: tuple[int, ...] = (US, LEADER, 3)
) -> PartitionState:
    return PartitionState(
        replicas=(US, LEADER, 3),
        leader_id=leader_id,
        leader_epoch=leader_epoch,
        isr=isr,
        partition_epoch=leader_epoch,
        leader_broker_epoch=7,
    )


def batch(count: int, *, base_offset: int, leader_epoch: int) -> memoryview:
    data = bytearray(encode_batch([Record(i, 0, None, b"value", ()) for i in range(count)]))
    assign(data, base_offset=base_offset, leader_epoch=leader_epoch)
    return memoryview(data)
