"""DescribeTopicPartitions: pages that put together are the whole, whatever their size."""

from __future__ import annotations

import pytest

from broker.dispatch import RequestContext
from broker.handlers.describe_topic_partitions import DescribeTopicPartitionsHandler
from coordinator.cluster import BrokerRegistration, ClusterState, PartitionState, TopicState
from protocol.api import ApiKey
from protocol.api.describe_topic_partitions import (
    Cursor,
    DescribeTopicPartitionsRequest,
    TopicRequest,
)
from protocol.errors import ErrorCode, RequestError

CONTEXT = RequestContext(ApiKey.DESCRIBE_TOPIC_PARTITIONS, 0, 1, "tests", "peer", "PLAINTEXT")
LED = PartitionState(replicas=(1, 2, 3), leader_id=1, leader_epoch=4, isr=(1,), elr=(2,))
LEADERLESS = PartitionState(replicas=(3,), leader_id=3, leader_epoch=5, isr=(3,))


def topic(name: str, *partitions: PartitionState) -> TopicState:
    return TopicState(name, name.encode().ljust(16), {}, partitions, version=0)


def broker(broker_id: int) -> BrokerRegistration:
    return BrokerRegistration(broker_id, 1, (), None, "", clean=True, epoch_version=0)


CLUSTER = ClusterState(
    brokers={1: broker(1), 2: broker(2)},
    topics={
        "b": topic("b", LED, LED, LEADERLESS),
        "a": topic("a", LED, LED),
        "c": topic("c", LED),
    },
)
handle = DescribeTopicPartitionsHandler(lambda: CLUSTER)


def ask(*names: str, limit: int = 2_000, cursor: Cursor | None = None):
    request = DescribeTopicPartitionsRequest([TopicRequest(n) for n in names], limit, cursor)
    return handle(request, CONTEXT)


def names_and_indexes(response) -> list[tuple[str, int]]:
    return [(t.name, p.partition_index) for t in response.topics for p in t.partitions]


ALL = [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("b", 2), ("c", 0)]


@pytest.mark.parametrize("limit", [-1, 0, 1, 2, 3, 4, 6, 7])
def test_pages_put_together_are_the_whole(limit):
    found, cursor, pages = [], None, 0
    while True:
        page = ask(limit=limit, cursor=cursor)
        assert len(names_and_indexes(page)) <= max(limit, 1)
        found += names_and_indexes(page)
        pages += 1
        cursor = page.next_cursor
        if cursor is None:
            break

    assert found == ALL
    assert pages == -(-len(ALL) // max(limit, 1))


def test_a_partition_is_told_with_its_eligible_and_offline_replicas():
    first, *_, last = ask("b").topics[0].partitions

    assert (first.leader_id, first.leader_epoch) == (1, 4)
    assert (first.isr_nodes, first.eligible_leader_replicas) == ([1], [2])
    assert (first.last_known_elr, first.offline_replicas) == ([], [3])
    assert (last.leader_id, last.error_code, last.offline_replicas) == (-1, ErrorCode.NONE, [3])


def test_topics_are_in_the_order_of_their_names_and_unknown_ones_are_told():
    response = ask("c", "never-was", "a", "no good", limit=2)

    assert [t.name for t in response.topics] == ["a"]
    assert response.next_cursor == Cursor("c", 0)
    rest = ask("c", "never-was", "a", "no good", cursor=response.next_cursor)
    assert [(t.name, t.error_code) for t in rest.topics] == [
        ("c", ErrorCode.NONE),
        ("never-was", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ("no good", ErrorCode.INVALID_TOPIC_EXCEPTION),
    ]


def test_a_cursor_goes_on_behind_a_topic_that_was_deleted_meanwhile():
    assert names_and_indexes(ask(cursor=Cursor("aa", 7))) == ALL[2:]


@pytest.mark.parametrize(
    ("names", "cursor"),
    [(("a",), Cursor("b", 0)), ((), Cursor("a", -1)), (("a",), Cursor("a", -1))],
)
def test_a_cursor_beside_what_is_asked_for_is_refused(names, cursor):
    with pytest.raises(RequestError, match="cursor") as refused:
        ask(*names, cursor=cursor)

    assert refused.value.code is ErrorCode.INVALID_REQUEST
