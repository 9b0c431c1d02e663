from __future__ import annotations

import pytest

from commands.readiness import obstacle_in
from protocol.api.metadata import (
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)


def seen(*brokers: int, controller: int = 1, partitions: tuple = ()) -> MetadataResponse:
    topic = MetadataResponseTopic(name="t", partitions=list(partitions))
    return MetadataResponse(
        brokers=[MetadataResponseBroker(node_id=broker) for broker in brokers],
        controller_id=controller,
        topics=[topic] if partitions else [],
    )


def partition(leader: int, *, isr: list[int]) -> MetadataResponsePartition:
    return MetadataResponsePartition(leader_id=leader, replica_nodes=[1, 2, 3], isr_nodes=isr)


@pytest.mark.parametrize(
    ("answer", "obstacle"),
    [
        (seen(), "it has not joined the cluster yet"),
        (seen(1, 2), "it does not see broker 3"),
        (seen(1, 2, 3, controller=-1), "it sees no controller"),
        (seen(1, 2, 3, partitions=(partition(-1, isr=[1, 2]),)), "t-0 has no leader"),
        (seen(1, 2, 3, partitions=(partition(1, isr=[1]),)), "t-0 has one replica in sync"),
    ],
)
def test_a_cluster_is_not_ready_while_something_is_missing(answer, obstacle):
    assert obstacle_in(answer, broker_ids=frozenset({1, 2, 3})) == obstacle


@pytest.mark.parametrize(
    "answer",
    [
        seen(1, 2, 3),
        seen(1, 2, 3, 4, controller=4),
        seen(1, 2, 3, partitions=(partition(1, isr=[1, 2]),)),
    ],
)
def test_a_cluster_is_ready_when_all_see_each_other_and_two_have_each_record(answer):
    assert obstacle_in(answer, broker_ids=frozenset({1, 2, 3})) is None
