"""What a follower's loop names in its fetches, within a session and when it is over."""

from __future__ import annotations

import pytest
import trio

from broker.replication.following import restart_log
from protocol.api.fetch import PartitionData
from protocol.errors import ErrorCode
from tests.broker.replication.played_leader import LEADER, TOPIC_ID, US, batch, led_by


async def test_only_the_first_fetch_of_a_session_names_what_does_not_change(
    leader_with_sessions, fetcher, follower, nursery, autojump_clock
):
    for index in range(3):
        fetcher.follow(follower(index))
    nursery.start_soon(fetcher.run)
    await trio.sleep(5)

    assert leader_with_sessions.named()[0] == {0: 0, 1: 0, 2: 0}
    assert not any(leader_with_sessions.named()[1:])
    assert [r.session_epoch for r in leader_with_sessions.asked] == list(
        range(len(leader_with_sessions.asked))
    )


async def test_a_fetch_names_what_was_appended_since_once_it_is_durable(
    leader_with_sessions, fetcher, follower, disk, nursery, autojump_clock
):
    leader = leader_with_sessions
    partitions = [follower(index) for index in range(3)]
    for partition in partitions:
        fetcher.follow(partition)
    nursery.start_soon(fetcher.run)
    await trio.sleep(1.2)
    disk.sync_latency_s = lambda: 3.0

    def one_batch(*, partition_index: int) -> PartitionData:
        first = partition_index == 1 and partitions[1].log.log_end_offset == 0
        records = batch(3, base_offset=0, leader_epoch=3) if first else b""
        return PartitionData(partition_index=partition_index, records=records)

    leader.answer = one_batch
    await trio.sleep(1)
    appended_after = len(leader.asked)
    leader.answer = PartitionData
    await trio.sleep(2)
    assert len(leader.asked) == appended_after, "asked before it was durable"
    await trio.sleep(2)

    assert leader.named()[appended_after] == {1: 3}
    assert leader.session[TOPIC_ID, 1] == 3


async def test_a_partition_that_is_no_longer_followed_is_forgotten(
    leader_with_sessions, fetcher, follower, nursery, autojump_clock
):
    staying, leaving = follower(0), follower(1)
    fetcher.follow(staying)
    fetcher.follow(leaving)
    nursery.start_soon(fetcher.run)
    await trio.sleep(1.2)

    fetcher.forget(leaving)
    await trio.sleep(1)

    assert [1] in leader_with_sessions.forgotten()
    assert list(leader_with_sessions.session) == [(TOPIC_ID, 0)]


async def test_a_partition_that_pauses_is_forgotten_and_named_again(
    leader_with_sessions, fetcher, follower, nursery, autojump_clock
):
    leader = leader_with_sessions
    refused = [1]

    def refuse_once(*, partition_index: int) -> PartitionData:
        error = ErrorCode.NOT_LEADER_OR_FOLLOWER if partition_index in refused else ErrorCode.NONE
        refused.clear()
        return PartitionData(partition_index=partition_index, error_code=error)

    leader.answer = lambda **asked: (
        refuse_once(**asked) if asked["partition_index"] else (PartitionData(**asked))
    )
    fetcher.follow(follower(0))
    fetcher.follow(follower(1))
    nursery.start_soon(fetcher.run)
    await trio.sleep(3)

    assert leader.forgotten()[1] == [1]
    assert {1: 0} in leader.named()[1:]
    assert set(leader.session) == {(TOPIC_ID, 0), (TOPIC_ID, 1)}


@pytest.mark.parametrize(
    "code",
    [
        ErrorCode.FETCH_SESSION_ID_NOT_FOUND,
        ErrorCode.INVALID_FETCH_SESSION_EPOCH,
        ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR,
    ],
)
async def test_when_its_session_is_gone_a_fetcher_begins_another_at_once(
    leader_with_sessions, fetcher, follower, nursery, autojump_clock, code
):
    leader = leader_with_sessions
    for index in range(2):
        fetcher.follow(follower(index))
    nursery.start_soon(fetcher.run)
    await trio.sleep(1.2)
    leader.refusals = [code]
    await trio.sleep(2)

    refused_at = next(i for i, r in enumerate(leader.asked) if i and r.session_epoch == 0) - 1
    renewed = leader.asked[refused_at + 1]
    assert leader.named()[refused_at + 1] == {0: 0, 1: 0}
    ended = 0 if code is ErrorCode.FETCH_SESSION_ID_NOT_FOUND else 1
    assert renewed.session_id == ended, "what may still be there is ended"
    assert leader.asked[-1].session_epoch > 0


async def test_a_new_leader_epoch_is_named_in_full_on_a_new_connection(
    leader_with_sessions, fetcher, follower, nursery, autojump_clock
):
    leader = leader_with_sessions
    moving, staying = follower(0), follower(1)
    fetcher.follow(moving)
    fetcher.follow(staying)
    nursery.start_soon(fetcher.run)
    await trio.sleep(1.2)

    moving.apply(led_by(LEADER, leader_epoch=4), broker_epoch=7, min_isr=1)
    fetcher.follow(moving)
    await trio.sleep(1)

    in_full = [r for r in leader.asked if r.session_epoch == 0]
    assert len(in_full) == 2
    epochs = {p.partition: p.current_leader_epoch for p in in_full[-1].topics[0].partitions}
    assert epochs == {0: 4, 1: 3}


async def test_one_that_leads_now_is_not_left_in_the_session_of_the_leader_of_before(
    leader_with_sessions, fetcher, follower, nursery, autojump_clock
):
    moving, staying = follower(0), follower(1)
    fetcher.follow(moving)
    fetcher.follow(staying)
    nursery.start_soon(fetcher.run)
    await trio.sleep(1.2)

    moving.apply(led_by(US, leader_epoch=4), broker_epoch=7, min_isr=1)
    fetcher.forget(moving)
    await trio.sleep(1)

    assert list(leader_with_sessions.session) == [(TOPIC_ID, 1)]


async def test_where_a_log_starts_is_told_again_once_it_is_noted(
    leader_with_sessions, fetcher, follower, nursery, autojump_clock
):
    partition, other = follower(0), follower(1)
    restart_log(partition, 5)
    fetcher.follow(partition)
    fetcher.follow(other)
    nursery.start_soon(fetcher.run)
    await trio.sleep(1.2)
    began_with = len(leader_with_sessions.asked)

    assert partition.log_start_noted(5)
    fetcher.touch(partition)
    await trio.sleep(1.2)

    (told,) = [
        p
        for request in leader_with_sessions.asked[began_with:]
        for topic in request.topics
        for p in topic.partitions
    ]
    assert (told.partition, told.fetch_offset, told.log_start_offset) == (0, 5, 5)
