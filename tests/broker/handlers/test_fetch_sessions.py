"""Fetching in sessions: what an answer names, who waits for whom, what ends a session."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from broker.fetch_sessions import (
    FetchSessionIdNotFound,
    FetchSessionTopicIdError,
    InvalidFetchSessionEpoch,
)
from broker.log.config import LogConfig
from protocol.api.fetch import (
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    ForgottenTopic,
    ReplicaState,
)
from protocol.errors import ErrorCode
from tests.support.leading_broker import OTHER, PEER, PEER_EPOCH, TOPIC, US, LeadingBroker

MANY = 4
BATCH_BYTES = 100
"""More than a batch of one small record, less than two."""


@pytest.fixture
async def broker():
    broker = LeadingBroker(partitions=MANY)
    await broker.obey()
    return broker


class Session:
    """Sends one request of a session after the other, each as the test says."""

    def __init__(self, broker: LeadingBroker, *, follower: bool = False, version: int = 17) -> None:
        self.broker = broker
        self.topic_id = broker.topic.topic_id
        self.version = version
        self.id = 0
        self.epoch = 0
        self.replica = ReplicaState(PEER, PEER_EPOCH) if follower else None

    def request(self, offsets=None, *, forget=(), wait_ms=0, **fields) -> FetchRequest:
        """Name `offsets`, by partition."""
        by_id = self.version >= 13
        topic = ("", self.topic_id) if by_id else (TOPIC, bytes(16))
        named = [
            FetchPartition(
                partition=index,
                current_leader_epoch=1,
                fetch_offset=offset,
                partition_max_bytes=1 << 20,
            )
            for index, offset in (offsets or {}).items()
        ]
        return FetchRequest(
            replica_state=self.replica,
            max_wait_ms=wait_ms,
            min_bytes=1,
            session_id=self.id,
            session_epoch=self.epoch,
            topics=[FetchTopic(*topic, named)] if named else [],
            forgotten_topics_data=[ForgottenTopic(*topic, list(forget))] if forget else [],
            **fields,
        )

    async def fetch(self, offsets=None, **how) -> dict[int, object]:
        """Returns: what the answer names, by partition, in its order."""
        response = await self.broker.fetch(self.request(offsets, **how), version=self.version)
        return self.take(response)

    def take(self, response: FetchResponse) -> dict[int, object]:
        assert response.error_code == ErrorCode.NONE
        self.id = response.session_id
        self.epoch = self.epoch + 1 if self.id else 0
        return {p.partition_index: p for t in response.responses for p in t.partitions}


async def begun(broker: LeadingBroker, **how) -> Session:
    """Begin a session of all partitions, from their ends."""
    session = Session(broker, **how)
    ends = {i: broker.partition(i).log.log_end_offset for i in range(MANY)}
    assert list(await session.fetch(ends)) == list(range(MANY))
    assert session.id > 0
    return session


# What an answer names.


async def test_where_nothing_changes_nothing_is_named_and_nothing_looked_at(broker, autojump_clock):
    session = await begun(broker)
    (kept,) = broker.sessions._sessions.values()

    started = trio.current_time()
    assert await session.fetch(wait_ms=500) == {}

    assert trio.current_time() - started == pytest.approx(0.5)
    assert not kept.due


async def test_records_are_named_without_being_asked_for_again(broker):
    session = await begun(broker)
    await broker.write(2)

    found = await session.fetch()

    assert list(found) == [2]
    assert found[2].high_watermark == 1
    assert found[2].records


async def test_what_is_not_read_comes_again(broker):
    session = await begun(broker)
    await broker.write(2)

    for _ in range(3):
        assert list(await session.fetch()) == [2]
    assert list(await session.fetch({2: 1})) == []


async def test_a_moved_high_watermark_is_told_to_a_follower_but_wakes_it_not(
    broker, autojump_clock
):
    session = await begun(broker, follower=True)
    broker.append(1)
    assert list(await session.fetch()) == [1]
    await session.fetch({1: 1})
    response: list[dict[int, object]] = []

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetch_into, response, session)
        await wait_all_tasks_blocked()
        await broker.commit(1)
    assert trio.current_time() == pytest.approx(0.5)
    ((index, told),) = response[0].items()
    assert (index, told.high_watermark, len(told.records)) == (1, 1, 0)


async def fetch_into(found: list[dict[int, object]], session: Session) -> None:
    found.append(await session.fetch(wait_ms=500))


async def test_a_log_start_that_moved_is_told(broker):
    await broker.write(0, 3)
    session = await begun(broker)

    broker.trim(0, 2)

    assert {i: p.log_start_offset for i, p in (await session.fetch()).items()} == {0: 2}
    assert await session.fetch() == {}


async def test_retention_counts_as_a_move_of_the_log_start(broker):
    for _ in range(3):
        await broker.write(0)
    session = await begun(broker)
    log = broker.partition(0).log
    log.reconfigure(LogConfig(segment_bytes=BATCH_BYTES, retention_bytes=1))
    await broker.write(0)
    await session.fetch({0: log.log_end_offset})

    await broker.partitions.apply_retention()

    assert log.log_start_offset > 0
    assert {i: p.log_start_offset for i, p in (await session.fetch()).items()} == {
        0: log.log_start_offset
    }


async def test_an_error_is_told_until_it_is_over_and_then_what_is_true(broker):
    session = await begun(broker)
    await broker.elect(3, PEER)

    for _ in range(2):
        found = await session.fetch()
        assert {i: p.error_code for i, p in found.items()} == {3: ErrorCode.NOT_LEADER_OR_FOLLOWER}
    assert (found[3].current_leader.leader_id, found[3].current_leader.leader_epoch) == (PEER, 2)
    await broker.elect(3)
    renewed = session.request({3: 0})
    renewed.topics[0].partitions[0].current_leader_epoch = 3
    found = session.take(await broker.fetch(renewed))

    assert {i: p.error_code for i, p in found.items()} == {3: ErrorCode.NONE}
    assert await session.fetch() == {}


async def test_without_the_lease_every_partition_has_lost_its_leader(broker):
    session = await begun(broker)
    broker.lease_held = False

    found = await session.fetch()

    assert {p.error_code for p in found.values()} == {ErrorCode.NOT_LEADER_OR_FOLLOWER}
    assert len(found) == MANY
    broker.lease_held = True
    assert {p.error_code for p in (await session.fetch()).values()} == {ErrorCode.NONE}
    assert await session.fetch() == {}


async def test_what_had_no_room_comes_first_next_time_so_that_nobody_starves(broker):
    session = await begun(broker)
    for _ in range(3):
        for index in range(MANY):
            await broker.write(index)
    offsets = dict.fromkeys(range(MANY), 0)

    served, named = [], {}
    for _ in range(3 * MANY):
        found = await session.fetch(named, max_bytes=BATCH_BYTES)
        (index,) = (i for i, data in found.items() if data.records)
        served.append(index)
        offsets[index] += 1
        named = {index: offsets[index]}

    assert all(sorted(served[i : i + MANY]) == list(range(MANY)) for i in range(0, 12, MANY))


async def test_what_is_forgotten_is_told_no_more(broker):
    session = await begun(broker)

    await session.fetch(forget=[1])
    await broker.write(1)

    assert await session.fetch() == {}


# Waiting.


async def test_a_reader_that_waits_is_woken_by_a_partition_that_it_did_not_name(
    broker, autojump_clock
):
    session = await begun(broker)
    found: list[dict[int, object]] = []
    started = trio.current_time()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetch_into, found, session)
        await trio.sleep(0.2)
        await broker.write(3)

    assert list(found[0]) == [3]
    assert trio.current_time() - started == pytest.approx(0.2)


async def test_a_change_of_leader_ends_the_wait(broker, autojump_clock):
    session = await begun(broker)
    found: list[dict[int, object]] = []
    started = trio.current_time()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetch_into, found, session)
        await trio.sleep(0.2)
        await broker.elect(2, OTHER)

    assert found[0][2].error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert trio.current_time() - started == pytest.approx(0.2)


async def test_the_next_request_of_a_session_ends_the_wait_of_the_one_before(
    broker, autojump_clock
):
    session = await begun(broker)
    answers: list[FetchResponse] = []

    async def wait(request: FetchRequest) -> None:
        answers.append(await broker.fetch(request))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, session.request(wait_ms=10_000))
        await wait_all_tasks_blocked()
        session.epoch += 1
        nursery.start_soon(wait, session.request(wait_ms=10_000))
        await wait_all_tasks_blocked()

        assert [a.error_code for a in answers] == [ErrorCode.INVALID_FETCH_SESSION_EPOCH]
        await broker.write(0)
        await wait_all_tasks_blocked()
    assert [p.partition_index for t in answers[1].responses for p in t.partitions] == [0]


async def test_a_session_that_is_ended_answers_who_waits_in_it(broker, autojump_clock):
    session = await begun(broker)
    found: list[dict[int, object]] = []

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetch_into, found, session)
        await wait_all_tasks_blocked()
        broker.sessions.remove(session.id)

    assert found == [{}]
    assert session.id == 0
    assert trio.current_time() == 0


async def test_an_answer_that_nobody_waits_for_any_more_is_given_by_the_next_request(
    broker, autojump_clock
):
    session = await begun(broker)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(broker.fetch, session.request(wait_ms=10_000))
        await wait_all_tasks_blocked()
        await broker.write(1)
        nursery.cancel_scope.cancel()
    session.epoch += 1

    (kept,) = broker.sessions._sessions.values()
    assert all(cached.found is None for cached in kept)
    assert list(await session.fetch()) == [1]


async def test_a_session_left_alone_costs_a_partition_nothing(broker):
    await begun(broker, follower=True)
    partition = broker.partition(0)
    assert partition.fetchers_waiting

    await broker.write(0)

    assert not partition.fetchers_waiting
    assert not partition.consumers_waiting


async def test_a_session_that_ends_is_watched_for_no_longer(broker):
    session = await begun(broker, follower=True)

    broker.sessions.remove(session.id)

    for index in range(MANY):
        assert not broker.partition(index).fetchers_waiting
        assert not broker.partition(index).consumers_waiting


async def test_a_fetch_without_a_session_leaves_nothing_behind(broker, autojump_clock):
    session = Session(broker)
    session.epoch = -1
    for wait_ms in (0, 100):
        assert len(await session.fetch(dict.fromkeys(range(MANY), 0), wait_ms=wait_ms)) == MANY
        session.epoch = -1

    assert len(broker.sessions) == 0
    for index in range(MANY):
        assert not broker.partition(index).consumers_waiting


# How sessions begin and end.


async def test_a_fetch_in_full_ends_the_session_that_it_names_and_begins_another(broker):
    session = await begun(broker)
    first, session.epoch = session.id, 0

    await session.fetch({0: 0})

    assert session.id not in (0, first)
    assert len(broker.sessions) == 1


async def test_a_fetch_with_the_final_epoch_ends_its_session(broker):
    session = await begun(broker)
    session.epoch = -1

    assert list(await session.fetch({0: 0})) == [0]

    assert session.id == 0
    assert len(broker.sessions) == 0


async def test_a_session_without_partitions_ends(broker, autojump_clock):
    session = await begun(broker)

    assert await session.fetch(forget=range(MANY), wait_ms=10_000) == {}

    assert session.id == 0
    assert trio.current_time() == 0


async def test_requests_out_of_order_are_refused_and_change_nothing(broker):
    session = await begun(broker)
    session.epoch = 5
    with pytest.raises(InvalidFetchSessionEpoch):
        await session.fetch(forget=[0])
    session.id += 1
    with pytest.raises(FetchSessionIdNotFound):
        await session.fetch()
    session.id, session.epoch = 0, 1
    with pytest.raises(FetchSessionIdNotFound):
        await session.fetch()

    (kept,) = broker.sessions._sessions.values()
    assert len(kept) == MANY


async def test_a_session_of_ids_does_not_go_on_with_names(broker):
    session = await begun(broker)
    session.version = 12

    with pytest.raises(FetchSessionTopicIdError):
        await session.fetch()


@pytest.mark.parametrize("version", [7, 11, 12, 13, 15, 17])
async def test_sessions_are_there_in_all_versions_since_the_seventh(broker, version):
    session = await begun(broker, version=version)
    await broker.write(0)

    assert list(await session.fetch()) == [0]


async def test_a_consumer_without_a_slot_is_told_everything_each_time():
    broker = LeadingBroker(partitions=MANY, slots=0)
    await broker.obey()
    session = Session(broker)

    for _ in range(2):
        assert len(await session.fetch(dict.fromkeys(range(MANY), 0))) == MANY
        assert session.id == 0


async def test_a_session_grown_too_large_gives_its_last_answer_in_full(autojump_clock):
    broker = LeadingBroker(partitions=MANY, partitions_max=2)
    await broker.obey()
    session = Session(broker)
    await session.fetch({0: 0, 1: 0})
    await broker.write(0)

    found = await session.fetch({2: 0})

    assert list(found) == [2, 0]
    assert session.id == 0
    assert not broker.partition(1).consumers_waiting


# Topic ids.


async def test_an_id_is_resolved_once_the_topic_is_known(broker):
    unknown = FetchTopic("", bytes(range(16)), [FetchPartition(partition=0)])
    session = await begun(broker)
    request = session.request()
    request.topics = [unknown]

    found = session.take(await broker.fetch(request))

    assert found[0].error_code == ErrorCode.UNKNOWN_TOPIC_ID


async def test_a_topic_created_anew_under_its_name_has_another_id(broker):
    session = await begun(broker)

    await broker.delete_topic()
    gone = {p.error_code for p in (await session.fetch()).values()}
    await broker.create_topic(partitions=MANY)
    other = {p.error_code for p in (await session.fetch()).values()}

    assert gone == {ErrorCode.UNKNOWN_TOPIC_OR_PARTITION}
    assert other == {ErrorCode.INCONSISTENT_TOPIC_ID}


async def test_a_session_of_names_goes_on_with_the_topic_created_anew(broker):
    session = await begun(broker, version=12)

    await broker.delete_topic()
    await session.fetch()
    await broker.create_topic(partitions=MANY)
    await broker.write(1)

    found = await session.fetch()
    assert {p.error_code for p in found.values()} == {ErrorCode.NONE}
    assert found[1].records


# Leaders' endpoints (KIP-951).


async def test_who_asks_the_wrong_broker_is_told_where_the_leader_is(broker):
    await broker.elect(0, PEER)
    request = Session(broker).request({0: 0})
    request.topics[0].partitions[0].current_leader_epoch = 2

    response = await broker.fetch(request)

    (data,) = response.responses[0].partitions
    assert data.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert data.current_leader.leader_id == PEER
    assert [(e.node_id, e.host, e.port) for e in response.node_endpoints] == [
        (PEER, f"broker-{PEER}", 9092)
    ]


async def test_an_answer_without_errors_names_no_endpoints(broker):
    assert (await broker.fetch(Session(broker).request({0: 0}))).node_endpoints == []
    assert US in broker.cluster.brokers


@pytest.mark.parametrize(
    ("is_led", "code"),
    [(True, ErrorCode.OFFSET_OUT_OF_RANGE), (False, ErrorCode.NOT_LEADER_OR_FOLLOWER)],
)
async def test_what_is_beyond_the_end_is_out_of_range_only_for_a_leader_that_is_confirmed(
    broker, is_led, code
):
    broker.confirmation.is_led = is_led
    await broker.write(0, 3)
    consumer, follower = Session(broker), Session(broker, follower=True)

    told = await broker.fetch(consumer.request({0: 4, 1: 0}))
    followed = await broker.fetch(follower.request({0: 4}))

    found = {p.partition_index: p.error_code for p in told.responses[0].partitions}
    assert found == {0: code, 1: ErrorCode.NONE}
    assert followed.responses[0].partitions[0].error_code == ErrorCode.OFFSET_OUT_OF_RANGE


@pytest.mark.parametrize("is_led", [True, False])
async def test_who_has_read_a_newer_epoch_diverges_only_from_a_leader_that_is_confirmed(
    broker, is_led
):
    broker.confirmation.is_led = is_led
    await broker.write(0, 3)
    request = Session(broker).request({0: 3})
    request.topics[0].partitions[0].last_fetched_epoch = broker.partition(0).leader_epoch + 1

    told = await broker.fetch(request)

    (found,) = told.responses[0].partitions
    assert (found.diverging_epoch is not None) is is_led
    assert found.error_code == (ErrorCode.NONE if is_led else ErrorCode.NOT_LEADER_OR_FOLLOWER)


# How long it waits.


async def waited(broker, index_bounds: dict[int, int], *, min_bytes: int) -> tuple[float, int]:
    """Fetch from offset 0 within each partition's bound. Returns: seconds, bytes of records."""
    session = Session(broker)
    request = session.request(dict.fromkeys(index_bounds, 0), wait_ms=10_000)
    request.min_bytes = min_bytes
    for asked in request.topics[0].partitions:
        asked.partition_max_bytes = index_bounds[asked.partition]
    began_at = trio.current_time()
    response = await broker.fetch(request, version=session.version)
    found = sum(len(p.records) for t in response.responses for p in t.partitions)
    return trio.current_time() - began_at, found


async def test_whole_batches_that_do_not_quite_fill_the_bound_are_enough(broker, autojump_clock):
    for _ in range(20):
        await broker.write(0, size=900)

    waited_s, found = await waited(broker, {0: 10_000}, min_bytes=10_000)

    assert waited_s == 0
    assert 9_000 < found < 10_000


async def test_the_end_of_a_segment_is_not_waited_at(broker, autojump_clock):
    broker.partition(0).log.reconfigure(LogConfig(segment_bytes=5_000))
    for _ in range(20):
        await broker.write(0, size=900)

    waited_s, found = await waited(broker, {0: 10_000}, min_bytes=10_000)

    assert waited_s == 0
    assert found < 5_000


async def test_a_batch_that_finds_no_room_counts_as_what_there_was(broker, autojump_clock):
    await broker.write(0, size=1_000)
    await broker.write(1, size=6_000)

    waited_s, found = await waited(broker, {0: 10_000, 1: 5_000}, min_bytes=5_000)

    assert waited_s == 0
    assert 1_000 < found < 2_000


async def test_less_than_is_wanted_is_waited_for(broker, autojump_clock):
    await broker.write(0, size=1_000)
    await broker.write(1, size=1_000)

    waited_s, _ = await waited(broker, {0: 10_000, 1: 5_000}, min_bytes=5_000)

    assert waited_s == pytest.approx(10)
