"""DeleteRecords: what is forgotten is forgotten by all, and stays so through kill -9."""

from __future__ import annotations

import pytest
import trio

from client import Admin, NewTopic, Producer
from protocol.api.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from protocol.errors import ErrorCode

TOPIC = "orders"
RECORDS = 20


class Deleter:
    """A topic with records on three brokers, and requests to delete some."""

    def __init__(self, ask) -> None:
        self.ask = ask
        self.cluster = ask.cluster

    async def create(self) -> None:
        environment = self.cluster.environment("client")
        async with Admin(self.cluster.bootstrap, environment=environment) as admin:
            await admin.create_topic(NewTopic(TOPIC, partitions=1, replication_factor=3))
        async with Producer(self.cluster.bootstrap, environment=environment) as producer:
            for number in range(RECORDS):
                await producer.send(TOPIC, b"%d" % number, partition=0)

    @property
    def leader_id(self) -> int:
        views = [m.broker.view.latest for m in self.cluster.brokers.values() if m.is_running]
        return views[0].partition(TOPIC, 0).leader_id

    def log_starts(self) -> list[int]:
        return [
            machine.broker.partitions.get(TOPIC, 0).log.log_start_offset
            for machine in self.cluster.brokers.values()
            if machine.is_running
        ]

    async def __call__(self, offset, *, topic=TOPIC, timeout_ms=10_000, broker_id=None):
        partitions = [DeleteRecordsPartition(0, offset)]
        request = DeleteRecordsRequest([DeleteRecordsTopic(topic, partitions)], timeout_ms)
        response = await self.ask(request, broker_id=broker_id or self.leader_id)
        (result,) = response.topics[0].partitions
        return result.error_code, result.low_watermark


@pytest.fixture
async def delete(ask):
    deleter = Deleter(ask)
    await deleter.create()
    return deleter


async def test_an_answer_comes_when_every_live_replica_has_forgotten(delete, autojump_clock):
    assert await delete(7) == (ErrorCode.NONE, 7)
    assert delete.log_starts() == [7, 7, 7]


async def test_minus_one_stands_for_all_that_is_committed(delete, autojump_clock):
    assert await delete(-1) == (ErrorCode.NONE, RECORDS)
    assert delete.log_starts() == [RECORDS] * 3


async def test_what_is_deleted_already_is_answered_with_where_the_log_starts(
    delete, autojump_clock
):
    await delete(7)

    assert await delete(3) == (ErrorCode.NONE, 7)
    assert await delete(0) == (ErrorCode.NONE, 7)


async def test_a_partition_that_is_named_again_is_refused_there(delete, autojump_clock):
    topics = [
        DeleteRecordsTopic(TOPIC, [DeleteRecordsPartition(0, 3), DeleteRecordsPartition(0, 5)]),
        DeleteRecordsTopic(TOPIC, [DeleteRecordsPartition(0, 7)]),
    ]
    request = DeleteRecordsRequest(topics, 10_000)
    answer = await delete.ask(request, broker_id=delete.leader_id)

    told = [(r.error_code, r.low_watermark) for topic in answer.topics for r in topic.partitions]
    assert told == [(ErrorCode.NONE, 3)] + [(ErrorCode.INVALID_REQUEST, -1)] * 2
    assert delete.log_starts() == [3, 3, 3]


@pytest.mark.parametrize("offset", [-2, RECORDS + 1, 2**62])
async def test_what_is_not_committed_is_not_deleted(offset, delete, autojump_clock):
    assert await delete(offset) == (ErrorCode.OFFSET_OUT_OF_RANGE, -1)
    assert delete.log_starts() == [0, 0, 0]


async def test_only_the_leader_deletes(delete, autojump_clock):
    other = next(i for i in delete.cluster.brokers if i != delete.leader_id)

    assert await delete(7, broker_id=other) == (ErrorCode.NOT_LEADER_OR_FOLLOWER, -1)
    assert await delete(7, topic="never-was") == (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1)
    assert await delete(7, topic="__consumer_offsets") == (ErrorCode.INVALID_TOPIC_EXCEPTION, -1)


async def test_a_replica_that_is_gone_is_not_waited_for_and_forgets_when_it_is_back(
    delete, autojump_clock
):
    gone = next(i for i in delete.cluster.brokers if i != delete.leader_id)
    machine = delete.cluster.brokers[gone]
    await machine.kill()
    await trio.sleep(10)

    assert await delete(7) == (ErrorCode.NONE, 7)
    await machine.start()
    await trio.sleep(10)
    assert delete.log_starts() == [7, 7, 7]


async def ask_while_followers_die(delete, *followers, timeout_ms):
    leader_id = delete.leader_id
    answers = []

    async def ask_for_deletion() -> None:
        answers.append(await delete(7, timeout_ms=timeout_ms, broker_id=leader_id))

    for follower in followers:
        delete.cluster.network.separate(f"broker-{follower}", f"broker-{leader_id}")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_for_deletion)
        await trio.sleep(2)
        assert answers == []
        for follower in followers:
            await delete.cluster.brokers[follower].kill()
    return answers


async def test_a_replica_that_dies_while_it_is_waited_for_is_waited_for_no_longer(
    delete, autojump_clock
):
    dies = next(i for i in delete.cluster.brokers if i != delete.leader_id)

    answers = await ask_while_followers_die(delete, dies, timeout_ms=60_000)

    assert answers == [(ErrorCode.NONE, 7)]


async def test_who_is_gone_and_may_come_back_to_lead_is_waited_for(delete, autojump_clock):
    die = [i for i in delete.cluster.brokers if i != delete.leader_id]

    answers = await ask_while_followers_die(delete, *die, timeout_ms=60_000)

    assert answers == [(ErrorCode.REQUEST_TIMED_OUT, -1)]
    for each in die:
        delete.cluster.network.reunite(f"broker-{each}", f"broker-{delete.leader_id}")
        await delete.cluster.brokers[each].start()
    await trio.sleep(10)
    assert await delete(7) == (ErrorCode.NONE, 7)


async def test_a_replica_that_does_not_follow_is_waited_for_until_the_time_is_over(
    delete, autojump_clock
):
    leader_id = delete.leader_id
    for follower in delete.cluster.brokers.keys() - {leader_id}:
        delete.cluster.network.separate(f"broker-{follower}", f"broker-{leader_id}")
    began_at = trio.current_time()

    assert await delete(7, timeout_ms=2_000) == (ErrorCode.REQUEST_TIMED_OUT, -1)
    assert trio.current_time() - began_at == pytest.approx(2, abs=0.1)


async def test_what_was_deleted_stays_so_when_all_lose_power_at_once(delete, autojump_clock):
    await delete(7)

    machines = delete.cluster.brokers.values()
    for machine in machines:
        await machine.kill()
    for machine in machines:
        machine.lose_power()
    for machine in machines:
        await machine.start()
    await trio.sleep(20)

    assert delete.log_starts() == [7, 7, 7]


async def test_who_comes_back_with_what_was_deleted_is_not_in_sync_until_it_is_gone(
    delete, autojump_clock
):
    cluster = delete.cluster
    machine = next(m for i, m in cluster.brokers.items() if i != delete.leader_id)
    await machine.kill()
    await trio.sleep(10)
    assert await delete(7) == (ErrorCode.NONE, 7)
    machine.disk.sync_latency_s = lambda: 0.2
    await machine.start()

    def leads():
        return cluster.brokers[delete.leader_id].broker.partitions.get(TOPIC, 0)

    with trio.fail_after(20):
        while machine.broker_id not in leads().isr:  # noqa: ASYNC110 - a plain value
            await trio.sleep(0.001)
    assert machine.broker.partitions.get(TOPIC, 0).noted_start.offset == 7


@pytest.mark.parametrize("offset", [RECORDS + 5, RECORDS + 10])
async def test_a_replica_without_a_disk_joins_also_where_the_log_starts_within_a_batch(
    delete, autojump_clock, offset
):
    environment = delete.cluster.environment("client")
    async with Producer(delete.cluster.bootstrap, environment=environment) as producer:
        for number in range(10):
            await producer.enqueue(TOPIC, b"%d" % number, partition=0)
    assert await delete(offset) == (ErrorCode.NONE, offset)
    machine = next(m for i, m in delete.cluster.brokers.items() if i != delete.leader_id)
    await machine.kill()
    machine.lose_disk()
    await machine.start()
    await trio.sleep(20)

    replica = machine.broker.partitions.get(TOPIC, 0)
    assert machine.broker_id in replica.isr
    assert delete.log_starts() == [offset] * 3
    assert {replica.log.log_end_offset, replica.high_watermark.value} == {RECORDS + 10}
    async with Producer(delete.cluster.bootstrap, environment=environment) as producer:
        await producer.send(TOPIC, b"more", partition=0)
