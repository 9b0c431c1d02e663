"""What becomes of lookups that are under way when the application or the group thinks otherwise."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from client.assignment import Assignment, PartitionState
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
