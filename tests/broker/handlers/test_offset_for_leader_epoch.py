"""OffsetForLeaderEpoch: where an epoch ended, and who may say so."""

from __future__ import annotations

import pytest

from broker.catching_up import CatchingUp
from broker.handlers.offset_for_leader_epoch import OffsetForLeaderEpochHandler
from protocol.api.offset_for_leader_epoch import (
    EpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from protocol.errors import ErrorCode
from tests.support.leading_broker import PEER, TOPIC, LeadingBroker, context


@pytest.fixture
async def broker():
    """Leads `orders-0` under epochs 1 (offsets 0 to 2), 3 (2 to 5) and 4 (nothing yet)."""
    broker = LeadingBroker(partitions=1)
    await broker.obey()
    await broker.write(0, 2)
    await broker.elect(0)
    await broker.elect(0)
    await broker.write(0, 3)
    await broker.elect(0)
    return broker


async def ask(
    broker: LeadingBroker, epoch: int, *, current: int = 4, topic: str = TOPIC
) -> EpochEndOffset:
    asked = OffsetForLeaderPartition(partition=0, current_leader_epoch=current, leader_epoch=epoch)
    request = OffsetForLeaderEpochRequest(topics=[OffsetForLeaderTopic(topic, [asked])])
    handler = OffsetForLeaderEpochHandler(
        broker.partitions, broker.confirmation, CatchingUp(broker.view)
    )
    response = handler(request, context(4))
    if not isinstance(response, OffsetForLeaderEpochResponse):
        response = await response
    (answer,) = response.topics[0].partitions
    return answer


@pytest.mark.parametrize(
    ("epoch", "end"),
    [
        (0, (0, 0)),
        (1, (1, 2)),
        (2, (1, 2)),
        (3, (3, 5)),
        (4, (4, 5)),
        (5, (-1, -1)),
        (-1, (-1, -1)),
    ],
)
async def test_the_largest_epoch_not_above_the_asked_one_is_told_with_its_end(broker, epoch, end):
    answer = await ask(broker, epoch)

    assert answer.error_code == ErrorCode.NONE
    assert (answer.leader_epoch, answer.end_offset) == end


@pytest.mark.parametrize(
    ("current", "code"),
    [
        (3, ErrorCode.FENCED_LEADER_EPOCH),
        (5, ErrorCode.UNKNOWN_LEADER_EPOCH),
        (-1, ErrorCode.NONE),
    ],
)
async def test_who_believes_in_another_leader_epoch_is_refused(broker, current, code):
    assert (await ask(broker, 3, current=current)).error_code == code


async def test_only_the_leader_answers(broker):
    await broker.elect(0, PEER)

    answer = await ask(broker, 3, current=5)

    assert answer.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert (answer.leader_epoch, answer.end_offset) == (-1, -1)


async def test_an_unknown_topic_is_unknown(broker):
    answer = await ask(broker, 3, topic="other")

    assert answer.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.parametrize("epoch", [3, 5])
async def test_who_has_seen_a_newer_epoch_is_sent_away_by_a_leader_that_is_not_confirmed(
    broker, epoch
):
    broker.confirmation.is_led = False

    answer = await ask(broker, epoch, current=-1)

    if epoch == 3:
        assert answer.error_code == ErrorCode.NONE
    else:
        assert answer.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
        assert (answer.leader_epoch, answer.end_offset) == (-1, -1)
