"""Clients that know of a leader before the broker which leads now."""

from __future__ import annotations

import pytest
import trio

from broker.catching_up import WITHIN_S, CatchingUp
from broker.handlers.list_offsets import LATEST, ListOffsetsHandler
from broker.handlers.offset_for_leader_epoch import OffsetForLeaderEpochHandler
from protocol.api.fetch import FetchPartition, FetchRequest, FetchTopic, ReplicaState
from protocol.api.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from protocol.api.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from protocol.errors import ErrorCode
from tests.support.leading_broker import PEER, PEER_EPOCH, TOPIC, LeadingBroker, context

KNOWN = 3
"""The leader epoch of partition 0 that clients know: the next but one."""

HEARD_AFTER_S = 0.1
CONSUMER_ID = -1


@pytest.fixture
async def broker():
    broker = LeadingBroker(partitions=2)
    await broker.obey()
    await broker.write(0)
    await broker.elect(0, PEER)
    return broker


def fetch_request(broker: LeadingBroker, *, known: int = KNOWN, **fields) -> FetchRequest:
    partitions = [
        FetchPartition(partition=0, current_leader_epoch=known, partition_max_bytes=1 << 20),
        FetchPartition(partition=1, current_leader_epoch=1, partition_max_bytes=1 << 20),
    ]
    fields = {"max_wait_ms": 0, "min_bytes": 1, "max_bytes": 1 << 20, **fields}
    topic = FetchTopic(topic_id=broker.topic.topic_id, partitions=partitions)
    return FetchRequest(topics=[topic], **fields)


async def fetch(broker: LeadingBroker, **fields) -> list[tuple[ErrorCode, bool]]:
    """Fetch both partitions. Returns: the code of each, and whether there are records."""
    response = await broker.fetch(fetch_request(broker, **fields))
    (topic,) = response.responses
    return [(ErrorCode(p.error_code), bool(len(p.records or b""))) for p in topic.partitions]


async def note_what_comes(
    broker: LeadingBroker, request: FetchRequest, answers: list[bool]
) -> None:
    """Fetch, and note of each partition whether there are records."""
    response = await broker.fetch(request)
    answers.extend(len(p.records or b"") > 0 for p in response.responses[0].partitions)


async def list_offsets(broker: LeadingBroker) -> list[tuple[ErrorCode, bool]]:
    asked = ListOffsetsPartition(partition_index=0, current_leader_epoch=KNOWN, timestamp=LATEST)
    request = ListOffsetsRequest(replica_id=CONSUMER_ID, topics=[ListOffsetsTopic(TOPIC, [asked])])
    handler = ListOffsetsHandler(broker.partitions, CatchingUp(broker.view))
    response = await handler(request, context(10))
    (found,) = response.topics[0].partitions
    return [(ErrorCode(found.error_code), found.offset >= 0)]


async def end_of_epoch(broker: LeadingBroker) -> list[tuple[ErrorCode, bool]]:
    asked = OffsetForLeaderPartition(partition=0, current_leader_epoch=KNOWN, leader_epoch=1)
    request = OffsetForLeaderEpochRequest(
        replica_id=CONSUMER_ID, topics=[OffsetForLeaderTopic(TOPIC, [asked])]
    )
    handler = OffsetForLeaderEpochHandler(
        broker.partitions, broker.confirmation, CatchingUp(broker.view)
    )
    response = await handler(request, context(4))
    (found,) = response.topics[0].partitions
    return [(ErrorCode(found.error_code), found.end_offset >= 0)]


@pytest.mark.parametrize(
    ("ask", "rest"),
    [(fetch, [(ErrorCode.NONE, False)]), (list_offsets, []), (end_of_epoch, [])],
    ids=["fetch", "list offsets", "end of an epoch"],
)
async def test_the_answer_comes_once_the_new_leader_knows_too(broker, ask, rest, autojump_clock):
    answers: list[list[tuple[ErrorCode, bool]]] = []
    began_at = trio.current_time()

    async def wait() -> None:
        answers.append(await ask(broker))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.sleep(HEARD_AFTER_S)
        assert answers == []
        await broker.elect(0)

    assert answers == [[(ErrorCode.NONE, True), *rest]]
    assert trio.current_time() - began_at == pytest.approx(HEARD_AFTER_S)


@pytest.mark.parametrize("ask", [fetch, list_offsets, end_of_epoch])
async def test_it_is_not_waited_for_longer_than_brokers_hear_of_it(broker, ask, autojump_clock):
    began_at = trio.current_time()

    assert (await ask(broker))[0] == (ErrorCode.UNKNOWN_LEADER_EPOCH, False)
    assert trio.current_time() - began_at == pytest.approx(WITHIN_S)


async def test_only_what_the_client_knows_more_of_is_looked_at_again(broker, autojump_clock):
    await broker.write(1)

    assert await fetch(broker) == [(ErrorCode.UNKNOWN_LEADER_EPOCH, False), (ErrorCode.NONE, True)]


async def test_what_has_been_waited_for_may_still_be_empty_and_is_waited_for(
    broker, autojump_clock
):
    await broker.elect(0)
    await broker.elect(0, PEER)
    request = fetch_request(broker, known=5, max_wait_ms=10_000)
    request.topics[0].partitions[0].fetch_offset = 1
    answers: list[bool] = []

    async with trio.open_nursery() as nursery:
        nursery.start_soon(note_what_comes, broker, request, answers)
        await trio.sleep(HEARD_AFTER_S)
        await broker.elect(0)
        await trio.sleep(1)
        assert answers == []
        await broker.write(0)

    assert answers == [True, False]


async def test_what_comes_for_another_partition_meanwhile_is_answered_with(broker, autojump_clock):
    request = fetch_request(broker, max_wait_ms=10_000)
    request.topics[0].partitions[0].fetch_offset = 1
    began_at = trio.current_time()
    answers: list[bool] = []

    async with trio.open_nursery() as nursery:
        nursery.start_soon(note_what_comes, broker, request, answers)
        await trio.sleep(HEARD_AFTER_S)
        await broker.write(1)
        await broker.elect(0)

    assert answers == [False, True]
    assert trio.current_time() - began_at == pytest.approx(HEARD_AFTER_S)


async def test_a_session_that_goes_on_meanwhile_has_the_next_request_answered(
    broker, autojump_clock
):
    first = fetch_request(broker, session_epoch=0)
    session = (await broker.fetch(first)).session_id
    codes: list[int] = []

    async def ask(epoch: int) -> None:
        request = fetch_request(broker, session_id=session, session_epoch=epoch)
        codes.append((await broker.fetch(request)).error_code)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, 1)
        await trio.sleep(HEARD_AFTER_S)
        nursery.start_soon(ask, 2)

    assert codes == [ErrorCode.INVALID_FETCH_SESSION_EPOCH, ErrorCode.NONE]


async def test_a_follower_is_told_at_once(broker, autojump_clock):
    began_at = trio.current_time()
    request = fetch_request(broker, replica_state=ReplicaState(PEER, PEER_EPOCH))
    response = await broker.fetch(request)

    assert response.responses[0].partitions[0].error_code == ErrorCode.UNKNOWN_LEADER_EPOCH
    assert trio.current_time() == began_at


async def test_whoever_knows_less_is_sent_to_the_leader(broker):
    answers = await fetch(broker, known=1)
    assert answers[0] == (ErrorCode.NOT_LEADER_OR_FOLLOWER, False)
    await broker.elect(0)
    answers = await fetch(broker, known=1)
    assert answers[0] == (ErrorCode.FENCED_LEADER_EPOCH, False)
