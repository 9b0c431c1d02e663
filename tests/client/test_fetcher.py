"""What becomes of lookups that are under way when the application or the group thinks otherwise.

And how often buffers are looked at where there are many.
"""

from __future__ import annotations

import random

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from client.assignment import Assignment, PartitionState
from client.backoff import Backoff
from client.cluster import open_cluster
from client.cluster_options import ClusterOptions
from client.consumer_config import ConsumerConfig
from client.fetcher import Fetcher
from client.records import TopicPartition
from protocol.api import ApiKey
from protocol.errors import ErrorCode

P0 = TopicPartition("orders", 0)


@pytest.fixture
async def fetching(cluster, nursery):
    """A fetcher that does only what it is told to, and one partition, led in epoch 1."""
    log = cluster.add_topic("orders").partitions[0]
    log.add(b"1", b"2")
    log.elect(leader_id=1)
    options = ClusterOptions(environment=cluster.environment)
    async with open_cluster(cluster.bootstrap, options) as client:
        await client.topic("orders", timeout_s=1)
        assignment = Assignment()
        state = PartitionState(P0, backoff=client.backoff(), check_crc=True)
        assignment.add([state])
        fetcher = Fetcher(
            client,
            nursery,
            assignment,
            ConsumerConfig().fetcher_options(),
            arrived=lambda: None,
        )
        yield fetcher, assignment, state


async def test_a_position_sought_before_a_reset_begins_is_kept(fetching, autojump_clock):
    fetcher, _, state = fetching
    fetcher._settle_positions(1, [state])
    state.seek(1)
    await wait_all_tasks_blocked()
    await trio.sleep(1)

    assert (state.position, state.busy) == (1, False)


async def test_a_reset_that_is_refused_after_a_seek_does_no_harm(cluster, fetching, autojump_clock):
    fetcher, _, state = fetching
    cluster.script(ApiKey.LIST_OFFSETS, ErrorCode.TOPIC_AUTHORIZATION_FAILED)
    fetcher._settle_positions(1, [state])
    state.seek(1)
    await trio.sleep(1)

    assert (state.position, state.busy, state.error) == (1, False, None)


async def test_a_partition_taken_away_before_its_log_is_compared_is_left_alone(
    cluster, fetching, autojump_clock
):
    fetcher, assignment, state = fetching
    state.seek(2, leader_epoch=0)
    fetcher._settle_positions(1, [state])
    assignment.remove([P0])
    await trio.sleep(1)

    assert cluster.count(ApiKey.OFFSET_FOR_LEADER_EPOCH) == 1
    assert (state.position, state.error) == (None, None)


class CountedState(PartitionState):
    """A partition that counts how often somebody asks what it has buffered."""

    looks = 0

    @property
    def buffered_bytes(self):
        CountedState.looks += 1
        return self._buffered_bytes

    @buffered_bytes.setter
    def buffered_bytes(self, size_bytes):
        self._buffered_bytes = size_bytes


MANY = 200
LOOKS_MAX = 20
"""Into each partition. A sum made for each of them looks MANY times."""


@pytest.fixture
def many(monkeypatch):
    """Partitions, all but the last of them paused, with ten bytes in their buffers."""
    backoff = Backoff(random.Random(1))
    states = [
        CountedState(TopicPartition("orders", i), backoff=backoff, check_crc=True)
        for i in range(MANY)
    ]
    for state in states:
        state.seek(0)
    for state in states[:-1]:
        state.paused, state.buffered_bytes = True, 10
    monkeypatch.setattr(CountedState, "looks", 0)
    return states


async def test_what_all_have_buffered_is_added_up_once_a_round(
    cluster, fetching, nursery, many, autojump_clock
):
    fetcher, assignment, _ = fetching
    cluster.add_topic("orders", partitions=MANY)
    await fetcher._cluster.refresh()
    for state in many:
        state.paused = False
    assignment.replace(many)

    nursery.start_soon(fetcher.run)
    await wait_all_tasks_blocked()

    assert sum(state.busy for state in many) == MANY
    assert CountedState.looks < MANY * LOOKS_MAX


def test_room_is_made_without_looking_at_all_buffers_after_each(many):
    assignment = Assignment()
    assignment.replace(many)

    assignment.make_room(35)

    assert CountedState.looks < MANY * LOOKS_MAX
    assert [state.place.partition for state in many if state.buffered_bytes] == [
        MANY - 4, MANY - 3, MANY - 2,
    ]  # fmt: skip
