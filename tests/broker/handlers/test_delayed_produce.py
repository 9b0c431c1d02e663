"""A produce that waits, while others ask whether it is done: one of them decides, once."""

from __future__ import annotations

from math import inf

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from broker.errors import NotLeader
from broker.handlers.delayed_produce import Appended, DelayedProduce
from broker.partition import ACKS_ALL
from broker.watermark import Watermark
from protocol.api.produce import PartitionProduceResponse, ProduceResponse
from protocol.errors import ErrorCode

NONE, NOT_LEADER = ErrorCode.NONE, ErrorCode.NOT_LEADER_OR_FOLLOWER


class Led:
    """A partition that is led under one epoch until that ends."""

    def __init__(self) -> None:
        self.high_watermark = Watermark()
        self.is_over = False

    def require_epoch(self, _epoch: int) -> None:
        if self.is_over:
            raise self.not_leader()

    async def wait_committed(self, end_offset: int, *, leader_epoch: int) -> None:
        self.require_epoch(leader_epoch)
        await self.high_watermark.wait_reached(end_offset)

    def end(self) -> None:
        self.is_over = True
        self.high_watermark.abort(self.not_leader())

    @staticmethod
    def not_leader() -> NotLeader:
        return NotLeader(leader_id=2, leader_epoch=2)


@pytest.fixture
def partitions():
    return [Led(), Led()]


@pytest.fixture
def replies():
    return [PartitionProduceResponse(index=0), PartitionProduceResponse(index=1)]


@pytest.fixture
def produce(partitions, replies):
    waiting = [Appended(led, 1, 1, reply) for led, reply in zip(partitions, replies, strict=True)]
    return DelayedProduce(
        ProduceResponse(),
        waiting,
        acks=ACKS_ALL,
        deadline=inf,
        finish=lambda response: response,
    )


async def test_who_is_asked_just_after_the_epochs_end_decides_and_the_waiting_one_finds_that(
    partitions, replies, produce
):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce.wait)
        await wait_all_tasks_blocked()
        for led in partitions:
            led.end()

        assert produce.is_done()

    assert [reply.error_code for reply in replies] == [NOT_LEADER] * 2


async def test_one_partitions_refusal_is_not_taken_for_that_of_the_next_one(
    partitions, replies, produce
):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(produce.wait)
        await wait_all_tasks_blocked()
        partitions[0].end()
        assert not produce.is_done()
        await wait_all_tasks_blocked()

        partitions[1].high_watermark.advance(1)

    assert [reply.error_code for reply in replies] == [NOT_LEADER, NONE]
