"""Reassignments and leaders that are asked for: the answers, through any broker."""

from __future__ import annotations

import pytest

from protocol.api.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from protocol.api.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreateTopicsRequest,
)
from protocol.api.elect_leaders import ElectLeadersRequest, TopicPartitions
from protocol.api.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsTopics,
)
from protocol.errors import ErrorCode

PREFERRED, UNCLEAN = 0, 1


async def create(ask, name: str, *replicas: tuple[int, ...]) -> None:
    assignments = [
        CreatableReplicaAssignment(partition_index=index, broker_ids=[*brokers])
        for index, brokers in enumerate(replicas)
    ]
    topic = CreatableTopic(
        name=name, num_partitions=-1, replication_factor=-1, assignments=assignments
    )
    (result,) = (await ask(CreateTopicsRequest(topics=[topic]))).topics
    assert result.error_code == ErrorCode.NONE


async def alter(ask, *wishes: tuple[str, int, list[int] | None], **facts) -> list[ErrorCode]:
    topics = [
        ReassignableTopic(
            name=name, partitions=[ReassignablePartition(partition_index=index, replicas=replicas)]
        )
        for name, index, replicas in wishes
    ]
    answer = await ask(AlterPartitionReassignmentsRequest(topics=topics), **facts)
    assert [topic.name for topic in answer.responses] == [name for name, _, _ in wishes]
    return [topic.partitions[0].error_code for topic in answer.responses]


async def list_all(ask, topics=None) -> dict[tuple[str, int], tuple[list[int], ...]]:
    answer = await ask(ListPartitionReassignmentsRequest(topics=topics))
    return {
        (topic.name, p.partition_index): (p.replicas, p.adding_replicas, p.removing_replicas)
        for topic in answer.topics
        for p in topic.partitions
    }


async def elect(ask, *partitions: tuple[str, int], kind: int = PREFERRED, **facts):
    asked = [TopicPartitions(topic=name, partitions=[index]) for name, index in partitions]
    request = ElectLeadersRequest(election_type=kind, topic_partitions=asked or None)
    answer = await ask(request, **facts)
    assert answer.error_code == ErrorCode.NONE
    return {
        (topic.topic, result.partition_id): result.error_code
        for topic in answer.replica_election_results
        for result in topic.partition_result
    }


def hold_back(ask, follower: int) -> None:
    """Have a broker fetch from nobody: what is to come to it does not come."""
    for broker_id in ask.cluster.brokers:
        if broker_id != follower:
            ask.cluster.network.separate(f"broker-{follower}", f"broker-{broker_id}")


@pytest.mark.parametrize("asked", ["controller_id", "other_id"])
async def test_a_reassignment_is_shown_while_it_is_under_way_and_can_be_called_off(
    asked, ask, autojump_clock
):
    await create(ask, "t", (1,), (2,))
    away = next(b for b in (1, 2, 3) if b not in (ask.controller_id, ask.other_id))
    home = next(b for b in (1, 2, 3) if b != away)
    await alter(ask, ("t", 0, [home]))
    hold_back(ask, away)
    broker_id = getattr(ask, asked)

    codes = await alter(ask, ("t", 0, [away]), ("t", 7, [1]), broker_id=broker_id)

    assert codes == [ErrorCode.NONE, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]
    assert await list_all(ask) == {("t", 0): ([away, home], [away], [home])}
    one = ListPartitionReassignmentsTopics(name="t", partition_indexes=[1, 9])
    other = ListPartitionReassignmentsTopics(name="u", partition_indexes=[0])
    assert await list_all(ask, [one, other]) == {}

    assert await alter(ask, ("t", 0, None), broker_id=broker_id) == [ErrorCode.NONE]
    assert await list_all(ask) == {}
    codes = await alter(ask, ("t", 0, None), broker_id=broker_id)
    assert codes == [ErrorCode.NO_REASSIGNMENT_IN_PROGRESS]


async def test_a_reassignment_that_cannot_be_had_says_why(ask, autojump_clock):
    await create(ask, "t", (1, 2))
    partition = ReassignablePartition(partition_index=0, replicas=[1, 9])
    topic = ReassignableTopic(name="t", partitions=[partition])

    answer = await ask(AlterPartitionReassignmentsRequest(topics=[topic]))

    (result,) = answer.responses[0].partitions
    assert result.error_code == ErrorCode.INVALID_REPLICA_ASSIGNMENT
    assert "no live broker 9" in result.error_message


@pytest.mark.parametrize("version", [0, 1, 2])
async def test_a_preferred_leader_leads_when_the_answer_comes(version, ask, autojump_clock):
    await create(ask, "t", (1, 2, 3), (2, 1, 3))
    await alter(ask, ("t", 0, [3, 1, 2]))

    found = await elect(ask, ("t", 0), ("t", 1), ("t", 2), ("u", 0), version=version)

    assert found == {
        ("t", 0): ErrorCode.NONE,
        ("t", 1): ErrorCode.ELECTION_NOT_NEEDED,
        ("t", 2): ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ("u", 0): ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    }
    view = ask.cluster.brokers[ask.other_id].broker.view.obeyed
    assert view.partition("t", 0).leader_id == 3


async def test_all_partitions_are_elected_for_and_those_that_need_none_are_not_named(
    ask, autojump_clock
):
    await create(ask, "t", (1, 2, 3), (2, 1, 3))
    await alter(ask, ("t", 0, [3, 1, 2]))

    assert await elect(ask) == {("t", 0): ErrorCode.NONE}
    assert await elect(ask) == {}
    assert await elect(ask, kind=UNCLEAN) == {}


async def test_unclean_elections_are_only_for_partitions_without_a_leader(ask, autojump_clock):
    await create(ask, "t", (1, 2, 3))

    assert await elect(ask, ("t", 0), kind=UNCLEAN) == {("t", 0): ErrorCode.ELECTION_NOT_NEEDED}


async def test_an_unknown_kind_of_election_is_refused(ask, autojump_clock):
    asked = [TopicPartitions(topic="t", partitions=[0])]

    answer = await ask(ElectLeadersRequest(election_type=2, topic_partitions=asked))

    assert answer.error_code == ErrorCode.INVALID_REQUEST
    (topic,) = answer.replica_election_results
    assert topic.partition_result[0].error_code == ErrorCode.INVALID_REQUEST
