"""What a follower acknowledges in a session, and for how long a session vouches for it."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from broker.record_deletion import low_watermark
from broker.replication.throttle import STEP_S, Throttle, Throttles
from protocol.api.fetch import (
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    ForgottenTopic,
    ReplicaState,
)
from protocol.errors import ErrorCode
from tests.support.leading_broker import OTHER, OTHER_EPOCH, PEER, PEER_EPOCH, US, LeadingBroker

LAG_TIME_MAX_S = 30.0
LONG_S = 100
POLL_S = 0.5


@pytest.fixture
async def broker():
    broker = LeadingBroker(partitions=2)
    await broker.obey()
    return broker


class Follower:
    """Follows both partitions in a session, one request at a time."""

    def __init__(self, broker: LeadingBroker, *, broker_epoch: int = PEER_EPOCH) -> None:
        self.broker = broker
        self.broker_epoch = broker_epoch
        self.session = (0, 0)

    async def fetch(
        self,
        offsets=None,
        *,
        leader_epoch: int = 1,
        log_start_offset: int = 0,
        forget=(),
        **fields: int,
    ) -> FetchResponse:
        topic_id = self.broker.topic.topic_id
        named = [
            FetchPartition(
                partition=index,
                current_leader_epoch=leader_epoch,
                fetch_offset=offset,
                log_start_offset=log_start_offset,
                partition_max_bytes=1 << 20,
            )
            for index, offset in (offsets or {}).items()
        ]
        session_id, session_epoch = self.session
        response = await self.broker.fetch(
            FetchRequest(
                replica_state=ReplicaState(PEER, self.broker_epoch),
                session_id=session_id,
                session_epoch=session_epoch,
                **fields,
                topics=[FetchTopic("", topic_id, named)] if named else [],
                forgotten_topics_data=[ForgottenTopic("", topic_id, list(forget))]
                if forget
                else [],
            )
        )
        self.session = (response.session_id, session_epoch + 1)
        return response

    async def keep_fetching(self, seconds: float) -> None:
        """Send requests that name nothing."""
        for _ in range(int(seconds / POLL_S)):
            await trio.sleep(POLL_S)
            await self.fetch()


def proposed_isr(broker: LeadingBroker, index: int = 0) -> set[int]:
    """Have the leader look who lags. Returns: the ISR that it wants."""
    leadership = broker.partition(index).leadership
    leadership.propose_isr(lag_time_max_s=LAG_TIME_MAX_S, eligible=lambda *_: True)
    return set(leadership.pending_isr or broker.partition(index).isr)


def append_as_if_the_other_followed(broker: LeadingBroker) -> None:
    """Append, and have the third replica hold it at once: it is not what is tested here."""
    broker.append(0)
    partition = broker.partition(0)
    partition.follower_fetched(OTHER, partition.log.log_end_offset, broker_epoch=OTHER_EPOCH)


async def test_an_idle_follower_stays_in_sync_though_no_fetch_names_it(broker, autojump_clock):
    follower = Follower(broker)
    await follower.fetch({0: 0, 1: 0})
    await follower.keep_fetching(LONG_S)

    append_as_if_the_other_followed(broker)

    assert proposed_isr(broker) == {US, PEER, OTHER}
    await trio.sleep(LAG_TIME_MAX_S - 1)
    assert proposed_isr(broker) == {US, PEER, OTHER}


async def test_a_follower_that_has_fallen_silent_leaves_once_it_lacks_something(
    broker, autojump_clock
):
    follower = Follower(broker)
    await follower.fetch({0: 0, 1: 0})
    await trio.sleep(LONG_S)

    append_as_if_the_other_followed(broker)

    assert proposed_isr(broker) == {US, OTHER}


async def test_a_follower_that_does_not_move_on_leaves_though_its_session_goes_on(
    broker, autojump_clock
):
    follower = Follower(broker)
    await follower.fetch({0: 0, 1: 0})
    append_as_if_the_other_followed(broker)

    await follower.keep_fetching(LAG_TIME_MAX_S + 2)

    assert proposed_isr(broker) == {US, OTHER}


async def test_the_news_of_what_a_follower_lacks_do_not_vouch_for_it(broker, autojump_clock):
    follower = Follower(broker)
    await follower.fetch({0: 0, 1: 0})
    append_as_if_the_other_followed(broker)

    for _ in range(int((LAG_TIME_MAX_S + 2) / POLL_S)):
        async with trio.open_nursery() as nursery:
            # It waits for more than there is, and more comes.
            nursery.start_soon(partial(follower.fetch, max_wait_ms=500, min_bytes=1 << 20))
            await trio.sleep(POLL_S / 2)
            append_as_if_the_other_followed(broker)

    assert proposed_isr(broker) == {US, OTHER}


async def test_what_a_follower_forgets_the_session_vouches_for_no_longer(broker, autojump_clock):
    follower = Follower(broker)
    await follower.fetch({0: 0, 1: 0})
    await follower.fetch(forget=[0])
    await follower.keep_fetching(LONG_S)

    append_as_if_the_other_followed(broker)

    assert proposed_isr(broker) == {US, OTHER}


async def test_the_session_of_an_earlier_incarnation_vouches_for_no_later_one(
    broker, autojump_clock
):
    earlier = Follower(broker)
    await earlier.fetch({0: 0, 1: 0})
    later = Follower(broker, broker_epoch=PEER_EPOCH + 1)
    await later.fetch({0: 0, 1: 0})
    await earlier.keep_fetching(LONG_S)

    append_as_if_the_other_followed(broker)

    assert proposed_isr(broker) == {US, OTHER}


async def test_an_earlier_incarnation_acknowledges_nothing(broker):
    broker.append(0)
    earlier = Follower(broker)
    await earlier.fetch({0: 0, 1: 0})
    await Follower(broker, broker_epoch=PEER_EPOCH + 1).fetch({0: 0})

    response = await earlier.fetch({0: 1})

    (data,) = response.responses[0].partitions
    assert data.error_code == ErrorCode.STALE_BROKER_EPOCH
    assert broker.partition(0).leadership.committed_end_offset <= 0


async def test_a_follower_registered_anew_acknowledges_all_of_its_session_anew(broker):
    follower = Follower(broker)
    await follower.fetch({0: 0, 1: 0})
    broker.followers_heard.clear()

    follower.broker_epoch += 1
    await follower.fetch()

    assert {p.index for p, _ in broker.followers_heard} == {0, 1}
    proposal = broker.partition(0).leadership._broker_epoch(PEER)
    assert proposal == PEER_EPOCH + 1


async def test_under_a_new_leader_epoch_what_was_acknowledged_before_counts_no_more(broker):
    follower = Follower(broker)
    await follower.fetch({0: 0, 1: 0})
    await broker.elect(0)
    partition = broker.partition(0)
    partition.follower_fetched(OTHER, 0, broker_epoch=OTHER_EPOCH)

    response = await follower.fetch()

    (data,) = response.responses[0].partitions
    assert (data.partition_index, data.error_code) == (0, ErrorCode.FENCED_LEADER_EPOCH)
    assert partition.leadership.committed_end_offset == -1, "it was not heard under this epoch"
    await follower.fetch({0: 0}, leader_epoch=2)
    assert partition.leadership.committed_end_offset == 0


async def test_a_follower_out_of_sync_is_considered_at_each_fetch_until_it_has_joined(broker):
    await broker.change(0, isr=(US, OTHER))
    follower = Follower(broker)
    await follower.fetch({0: 0, 1: 0})

    for _ in range(3):
        broker.followers_heard.clear()
        await follower.fetch()
        assert [(p.index, heard) for p, heard in broker.followers_heard] == [(0, PEER)]
    await broker.change(0, isr=(US, PEER, OTHER))
    await follower.fetch()
    broker.followers_heard.clear()
    await follower.fetch()

    assert broker.followers_heard == []


async def test_a_follower_taken_out_of_the_isr_while_it_idled_is_considered_again(broker):
    follower = Follower(broker)
    await follower.fetch({0: 0, 1: 0})
    broker.followers_heard.clear()

    await broker.change(0, isr=(US, OTHER))
    await follower.fetch()

    assert [(p.index, heard) for p, heard in broker.followers_heard] == [(0, PEER)]


async def test_the_news_that_end_a_wait_acknowledge_nothing(broker, autojump_clock):
    follower = Follower(broker)
    await follower.fetch({0: 0, 1: 0})
    broker.followers_heard.clear()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(follower.fetch, max_wait_ms=500, min_bytes=1))
        await trio.sleep(0.1)
        broker.append(0)

    assert broker.followers_heard == []


async def test_a_successor_is_considered_at_each_fetch_until_it_has_taken_over(broker):
    follower = Follower(broker)
    await follower.fetch({0: 0, 1: 0})

    await broker.change(0, successor_id=PEER)

    for _ in range(3):
        broker.followers_heard.clear()
        await follower.fetch()
        assert [(p.index, heard) for p, heard in broker.followers_heard] == [(0, PEER)]


async def test_where_a_followers_log_starts_holds_until_a_fetch_of_the_session_tells_otherwise(
    broker, autojump_clock
):
    await broker.write(0, 10)
    broker.trim(0, 7)
    broker.partition(0).log_start_noted(7)
    await broker.change(0, isr=(US, PEER))
    follower = Follower(broker)
    await follower.fetch({0: 10, 1: 0}, log_start_offset=3)
    noted = partial(low_watermark, broker.partition(0), leader_epoch=1, live=(US, PEER))

    await follower.keep_fetching(2)
    assert noted() == 3
    await follower.fetch({0: 10}, log_start_offset=7)
    assert noted() == 7
    await follower.keep_fetching(2)
    assert noted() == 7


# Followers that are held back while they are out of sync.

RATE = 1_000


class CountingThrottle(Throttle):
    """Knows the sum of what has passed."""

    passed = 0

    def count(self, size_bytes: int, *, now: float) -> None:
        self.passed += size_bytes
        super().count(size_bytes, now=now)


@pytest.fixture
async def throttle(broker):
    """Have two batches of more than a second each lie in a log that the follower lacks."""
    await broker.change(0, isr=(US, OTHER))
    throttle = CountingThrottle(lambda: RATE)
    broker.partition(0).throttles = Throttles(leader=throttle)
    for _ in range(2):
        broker.append(0, size=2 * RATE)
    await trio.sleep(STEP_S)
    return throttle


def sizes(response: FetchResponse) -> dict[int, int]:
    """Give the bytes of records for each partition that an answer names."""
    return {p.partition_index: len(p.records) for t in response.responses for p in t.partitions}


async def test_a_follower_that_is_held_back_gets_the_rest_later_though_no_fetch_names_it(
    broker, throttle, autojump_clock
):
    follower = Follower(broker)
    first = sizes(await follower.fetch({0: 0, 1: 0}))
    assert first[0] > 2 * RATE

    second = sizes(await follower.fetch({0: 1}))
    assert second.get(0, 0) == 0
    await trio.sleep(2 + 2 * STEP_S)

    assert sizes(await follower.fetch()) == {0: first[0]}


async def test_what_is_held_back_ends_no_wait_and_keeps_nothing_else_waiting(
    broker, throttle, autojump_clock
):
    follower = Follower(broker)
    await follower.fetch({0: 0, 1: 0})
    began_at = trio.current_time()

    await follower.fetch({0: 1}, max_wait_ms=500, min_bytes=1)
    assert trio.current_time() - began_at == pytest.approx(0.5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(follower.fetch, max_wait_ms=60_000, min_bytes=1))
        await trio.sleep(0.1)
        broker.append(0)
        await trio.sleep(0.1)
        broker.append(1)
    assert trio.current_time() - began_at == pytest.approx(0.7)


async def test_what_is_sent_counts_once_however_often_it_was_looked_at(
    broker, throttle, autojump_clock
):
    follower = Follower(broker)
    answers: list[FetchResponse] = []

    async def fetch() -> None:
        answers.append(await follower.fetch({0: 0, 1: 0}, max_wait_ms=500, min_bytes=1 << 20))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetch)
        for _ in range(3):
            await trio.sleep(0.1)
            broker.append(0)
        assert throttle.passed == 0

    assert throttle.passed == sizes(answers[0])[0] > 2 * RATE


async def test_a_follower_hears_at_once_that_a_log_starts_later(broker, autojump_clock):
    await broker.write(0, 10)
    follower = Follower(broker)
    await follower.fetch({0: 10, 1: 0})
    await follower.fetch()
    answers = []

    async def wait_for_news():
        response = await follower.fetch(max_wait_ms=500, min_bytes=1)
        answers.append((trio.current_time(), response))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_news)
        await trio.sleep(0.1)
        trimmed_at = trio.current_time()
        broker.trim(0, 7)
    ((answered_at, response),) = answers
    assert answered_at == trimmed_at
    assert [p.log_start_offset for t in response.responses for p in t.partitions] == [7]

    asked_at = trio.current_time()
    await follower.fetch(max_wait_ms=500, min_bytes=1)
    assert trio.current_time() - asked_at == pytest.approx(0.5), "it is told once"
