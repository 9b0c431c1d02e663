"""Produce by an idempotent producer with several requests under way: what follows a refusal."""

from __future__ import annotations

import pytest
import trio
from msgspec.structs import replace

from broker.delayed import Delayed
from broker.handlers.expected_batches import BEHIND_MAX, REMEMBERED_MAX, ExpectedBatches
from broker.leadership import SUCCESSION_S
from broker.log.producers import ProducerStates
from coordinator.cluster import NO_LEADER
from protocol.api.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from protocol.errors import ErrorCode
from protocol.records import Record, encode_batch
from tests.support.leading_broker import PEER, TOPIC, US, LeadingBroker, context

PRODUCER_ID = 4711
NONE, GAP = ErrorCode.NONE, ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
NOT_LEADER, TOO_FEW = ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.NOT_ENOUGH_REPLICAS


def batch(sequence: int, count: int = 1, *, epoch: int = 0, size: int = 10) -> bytes:
    return encode_batch(
        [Record(n, 0, None, bytes(size), ()) for n in range(count)],
        producer_id=PRODUCER_ID,
        producer_epoch=epoch,
        base_sequence=sequence,
    )


def asking(records: bytes, *, index: int = 0, timeout_ms: int = 0) -> ProduceRequest:
    data = TopicProduceData(TOPIC, [PartitionProduceData(index, memoryview(records))])
    return ProduceRequest(acks=1, timeout_ms=timeout_ms, topic_data=[data])


class Producing:
    """Sends a broker's handler the batches of one producer, and makes durable what it takes."""

    def __init__(self, broker: LeadingBroker) -> None:
        self.broker = broker
        self.handler = broker.new_produce_handler()

    async def __call__(self, sequence: int, **batch_of) -> ErrorCode:
        return await self.send(asking(batch(sequence, **batch_of), timeout_ms=1000))

    async def send(self, request: ProduceRequest) -> ErrorCode:
        outcome = self.handler(request, context())
        if not isinstance(outcome, Delayed):
            return self._code(await outcome)
        flushed = [p for p in self.broker.partitions if p.log.log_end_offset]
        await self.broker.flusher.flush(flushed)
        assert outcome.is_done()
        return self._code(outcome.response())

    @staticmethod
    def _code(response) -> ErrorCode:
        return ErrorCode(response.responses[0].partition_responses[0].error_code)


@pytest.fixture
async def broker():
    broker = LeadingBroker(partitions=1)
    await broker.obey()
    return broker


@pytest.fixture
def produce(broker):
    return Producing(broker)


async def test_what_was_sent_behind_a_refused_batch_is_refused_alike(broker, produce):
    assert await produce(0) is NONE
    await broker.elect(0, PEER)
    assert await produce(1) is NOT_LEADER
    await broker.elect(0, US)
    assert [await produce(n) for n in (2, 3)] == [NOT_LEADER] * 2

    assert [await produce(n) for n in (1, 2, 3)] == [NONE] * 3
    assert broker.partition(0).log.log_end_offset == 4


async def test_the_first_of_all_batches_is_waited_for_too(broker, produce):
    await broker.elect(0, PEER)
    assert await produce(0) is NOT_LEADER
    await broker.elect(0, US)
    assert await produce(1) is NOT_LEADER
    assert broker.partition(0).log.log_end_offset == 0
    assert [await produce(n) for n in (0, 1)] == [NONE] * 2


async def test_each_refused_batch_counts_as_the_first_of_those_behind_it(broker, produce):
    await broker.elect(0, PEER)
    assert [await produce(n) for n in (0, 1, 2)] == [NOT_LEADER] * 3
    await broker.elect(0, US)
    assert await produce(3) is NOT_LEADER


async def test_the_reason_is_the_one_that_the_first_was_refused_for(broker, produce):
    assert await produce(0) is NONE
    await broker.change(0, isr=(US,))
    broker.partition(0).min_isr = 2
    request = replace(asking(batch(1)), acks=-1)
    assert await produce.send(request) is TOO_FEW
    broker.partition(0).min_isr = 1
    assert await produce(2) is TOO_FEW
    assert [await produce(n) for n in (1, 2)] == [NONE] * 2


async def test_a_topic_that_the_broker_had_not_heard_of(broker, produce):
    await broker.delete_topic()
    assert await produce(0) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    await broker.create_topic(partitions=1)
    assert await produce(1) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert [await produce(n) for n in (0, 1)] == [NONE] * 2


async def test_a_whole_request_that_is_refused_counts(produce):
    assert await produce(0) is NONE
    produce.handler.refuse(asking(batch(1)), ErrorCode.KAFKA_STORAGE_ERROR, "planted")
    assert await produce(2) is ErrorCode.KAFKA_STORAGE_ERROR


async def test_a_gap_that_nobody_made_here_is_told(produce):
    assert await produce(0) is NONE
    assert await produce(2) is GAP


async def test_a_batch_that_is_refused_for_good_is_not_waited_for(broker, produce):
    assert await produce(0) is NONE
    assert await produce(1, size=2_000_000) is ErrorCode.MESSAGE_TOO_LARGE
    assert await produce(2) is GAP


async def test_who_goes_on_without_the_first_hears_of_the_gap(broker, produce):
    assert await produce(0) is NONE
    await broker.elect(0, PEER)
    assert await produce(1) is NOT_LEADER
    await broker.elect(0, US)
    assert [await produce(2) for _ in range(BEHIND_MAX)] == [NOT_LEADER] * BEHIND_MAX
    assert await produce(2) is GAP


async def test_once_the_first_has_come_later_gaps_are_told_at_once(broker, produce):
    await broker.elect(0, PEER)
    assert await produce(0) is NOT_LEADER
    await broker.elect(0, US)
    assert [await produce(n) for n in (0, 2)] == [NONE, GAP]


async def test_one_that_came_by_way_of_another_leader_is_not_waited_for(broker, produce):
    await broker.elect(0, PEER)
    assert await produce(0) is NOT_LEADER
    await broker.elect(0, US)
    broker.partition(0).append(memoryview(batch(0)), acks=-1)
    assert [await produce(n) for n in (1, 0)] == [NONE] * 2
    assert broker.partition(0).log.log_end_offset == 2


async def test_a_new_epoch_of_the_producer_begins_anew(broker, produce):
    assert await produce(0) is NONE
    await broker.elect(0, PEER)
    assert await produce(1) is NOT_LEADER
    await broker.elect(0, US)
    assert [await produce(n, epoch=1) for n in (0, 2)] == [NONE, GAP]
    assert await produce(2) is ErrorCode.INVALID_PRODUCER_EPOCH


async def test_a_batch_that_overtook_one_sent_to_an_earlier_leader_is_refused(broker, produce):
    assert await produce(0) is NONE
    for leader in (PEER, US):
        await broker.elect(0, leader)
    assert await produce(2) is NOT_LEADER
    assert [await produce(n) for n in (1, 2, 4)] == [NONE, NONE, GAP]


async def test_one_who_comes_from_an_earlier_leader_with_a_gap_that_stays_hears_of_it(
    broker, produce
):
    assert await produce(0) is NONE
    for leader in (PEER, US):
        await broker.elect(0, leader)
    assert [await produce(2) for _ in range(BEHIND_MAX)] == [NOT_LEADER] * BEHIND_MAX
    assert [await produce(2) for _ in range(3)] == [GAP] * 3
    assert await produce(1) is NONE


async def test_what_an_earlier_leader_has_written_already_is_no_gap(broker, produce):
    for sequence in range(7):
        assert await produce(sequence) is NONE
    for leader in (PEER, US):
        await broker.elect(0, leader)
    assert await produce(0) is GAP  # older than the five that are remembered: nothing is missing


async def test_other_partitions_go_on(broker):
    broker = LeadingBroker(partitions=2)
    await broker.obey()
    produce = Producing(broker)
    await broker.elect(0, PEER)
    assert await produce(0) is NOT_LEADER
    await broker.elect(0, US)
    assert await produce.send(asking(batch(5), index=1, timeout_ms=1000)) is NONE


async def test_a_producer_without_sequences_is_not_held_back(broker, produce):
    plain = encode_batch([Record(0, 0, None, b"", ())])
    await broker.elect(0, PEER)
    assert await produce.send(asking(plain)) is NOT_LEADER
    await broker.elect(0, US)
    assert await produce.send(asking(plain, timeout_ms=1000)) is NONE


@pytest.mark.parametrize("records", [None, b"", b"\0" * 100, batch(3)[:40]])
async def test_what_cannot_be_read_is_not_remembered(records):
    expected = ExpectedBatches()
    expected.refused(TOPIC, 0, records, NOT_LEADER)
    assert not expected


def test_sequence_numbers_begin_anew_after_the_greatest():
    expected = ExpectedBatches()
    expected.refused(TOPIC, 0, batch(2**31 - 1), NOT_LEADER)
    with pytest.raises(Exception, match="sequence 0 was sent behind 2147483647"):
        expected.demand_none_before(TOPIC, 0, batch(0), ProducerStates())


def test_only_so_many_are_remembered():
    expected = ExpectedBatches()
    for index in range(REMEMBERED_MAX + 10):
        expected.refused(TOPIC, index, batch(0), NOT_LEADER)
    assert len(expected) == REMEMBERED_MAX
    expected.demand_none_before(TOPIC, 0, batch(1), ProducerStates())  # the oldest has gone


async def test_who_asks_the_wrong_broker_is_told_where_the_leader_is(broker, produce):
    led = produce.handler(asking(batch(0)), context())
    await broker.elect(0, PEER)
    away = produce.handler(asking(batch(0)), context())

    assert away.is_done()
    response = away.response()
    reply = response.responses[0].partition_responses[0]
    assert reply.error_code == NOT_LEADER
    assert reply.current_leader.leader_id == PEER
    endpoints = [(e.node_id, e.host, e.port) for e in response.node_endpoints]
    assert endpoints == [(PEER, f"broker-{PEER}", 9092)]
    assert led.is_done()
    assert led.response().node_endpoints == response.node_endpoints, "also who was waiting"


async def test_an_answer_without_refusals_names_no_endpoints(broker, produce):
    outcome = produce.handler(asking(batch(0), timeout_ms=1000), context())
    await broker.flusher.flush(list(broker.partitions))

    assert outcome.is_done()
    assert outcome.response().node_endpoints == []


async def test_while_leadership_is_handed_over_the_answer_waits_for_who_comes_next(broker, produce):
    (partition,) = broker.partitions
    partition.hand_over()
    outcome = produce.handler(asking(batch(0), timeout_ms=1000), context())
    assert not outcome.is_done()

    await broker.elect(0, PEER)

    assert outcome.is_done()
    response = outcome.response()
    reply = response.responses[0].partition_responses[0]
    assert (reply.error_code, reply.base_offset) == (NOT_LEADER, -1)
    assert (reply.current_leader.leader_id, reply.current_leader.leader_epoch) == (PEER, 2)
    assert [e.node_id for e in response.node_endpoints] == [PEER]
    assert partition.log.log_end_offset == 0


async def test_it_does_not_wait_longer_than_it_may(broker, produce, autojump_clock):
    (partition,) = broker.partitions
    partition.hand_over()
    outcome = produce.handler(asking(batch(0), timeout_ms=1000), context())

    await outcome.wait()

    assert trio.current_time() == pytest.approx(1.0)
    assert produce._code(outcome.response()) == NOT_LEADER


@pytest.mark.parametrize("taken_back", [False, True])
async def test_a_leader_that_appends_again_has_nobody_waiting(
    broker, produce, autojump_clock, taken_back
):
    await broker.change(0, successor_id=PEER)
    outcome = produce.handler(asking(batch(0), timeout_ms=30_000), context())
    assert not outcome.is_done()
    if taken_back:
        await broker.change(0, successor_id=NO_LEADER)
        assert outcome.is_done()

    await outcome.wait()

    assert trio.current_time() == pytest.approx(0 if taken_back else SUCCESSION_S)
    assert produce._code(outcome.response()) == NOT_LEADER
    assert await produce(0) is NONE


async def test_what_is_sent_behind_it_is_refused_alike(broker, produce):
    (partition,) = broker.partitions
    partition.hand_over()
    outcomes = [produce.handler(asking(batch(n), timeout_ms=1000), context()) for n in range(3)]

    await broker.elect(0, PEER)

    assert all(outcome.is_done() for outcome in outcomes)
    assert [produce._code(outcome.response()) for outcome in outcomes] == [NOT_LEADER] * 3
