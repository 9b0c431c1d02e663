"""Metadata and DescribeCluster: shaped for every version as clients expect it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from msgspec.structs import replace

from broker.dispatch import RequestContext
from broker.handlers.authorized import CLUSTER_OPERATIONS, TOPIC_OPERATIONS
from broker.handlers.describe_cluster import DescribeClusterHandler
from broker.handlers.metadata import AUTO_CREATED_MAX, MetadataHandler
from coordinator.cluster import (
    NO_LEADER,
    BrokerRegistration,
    ClusterState,
    Endpoint,
    PartitionState,
    TopicState,
)
from protocol.api import ApiKey
from protocol.api.describe_cluster import DescribeClusterRequest
from protocol.api.metadata import (
    NO_AUTHORIZED_OPERATIONS,
    MetadataRequest,
    MetadataRequestTopic,
)
from protocol.codec import encode_bytes
from protocol.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

US = 1
TOPIC_ID = bytes(range(16))


def broker(broker_id: int, *endpoints: Endpoint) -> BrokerRegistration:
    return BrokerRegistration(
        broker_id=broker_id,
        broker_epoch=broker_id,
        endpoints=endpoints or (Endpoint(f"host-{broker_id}", 9092),),
        rack="r",
        directory_id="",
        clean=True,
        epoch_version=0,
    )


CLUSTER = ClusterState(
    cluster_id="the-cluster",
    controller_id=2,
    brokers={
        1: broker(1),
        2: broker(2, Endpoint("inside", 1, "INTERNAL"), Endpoint("outside", 2, "PLAINTEXT")),
    },
    topics={
        "t": TopicState(
            "t",
            TOPIC_ID,
            {},
            (
                PartitionState(replicas=(1, 2, 3), leader_id=1, leader_epoch=4, isr=(1, 2)),
                PartitionState(replicas=(3, 1), leader_id=3, leader_epoch=5, isr=(3,)),
                PartitionState(replicas=(3,), leader_id=NO_LEADER, leader_epoch=6, isr=(3,)),
            ),
            version=0,
        )
    },
)


def context(version: int, *, listener: str = "PLAINTEXT") -> RequestContext:
    return RequestContext(ApiKey.METADATA, version, 1, "tests", "peer", listener)


class Creator:
    """Creates topics as the controller would, at some time."""

    def __init__(self, *, answer: ErrorCode = ErrorCode.NONE, seen_after_s: float = 0) -> None:
        self.cluster = CLUSTER
        self.names: list[str] = []
        self.awaited: ClusterState | None = None
        self._answer = answer
        self._seen_after_s = seen_after_s

    async def create(
        self, names: Iterable[str], _context: RequestContext
    ) -> Mapping[str, ErrorCode]:
        self.names += names
        return dict.fromkeys(names, self._answer)

    async def wait_for(self, predicate, *, timeout_s):
        if self._seen_after_s > timeout_s:
            await trio.sleep(timeout_s)
            return False
        await trio.sleep(self._seen_after_s)
        self.cluster = self.awaited or self.cluster
        for name in self.names if self._answer is ErrorCode.NONE else []:
            partition = PartitionState((1,), leader_id=1, leader_epoch=0, isr=(1,))
            self.cluster = self.cluster.with_topic(TopicState(name, b"i" * 16, {}, (partition,), 0))
        return predicate(self.cluster)


def handler(creator: Creator | None = None, cluster: ClusterState = CLUSTER) -> MetadataHandler:
    return MetadataHandler(
        broker_id=US,
        cluster=(lambda: cluster) if creator is None else (lambda: creator.cluster),
        brokers=cluster.brokers.values,
        seems_alive=lambda broker_id: broker_id in cluster.brokers,
        wait_for=(creator or Creator()).wait_for,
        auto_create=None if creator is None else creator.create,
    )


def named(*names: str, **options: bool) -> MetadataRequest:
    return MetadataRequest(topics=[MetadataRequestTopic(name=name) for name in names], **options)


@pytest.mark.parametrize(
    ("topics", "version", "shown"),
    [([], 0, ["t"]), ([], 1, []), (None, 1, ["t"]), ([], 13, []), (None, 13, ["t"])],
)
def test_all_topics_are_shown_for_null_and_in_version_0_for_none(topics, version, shown):
    response = handler()(MetadataRequest(topics=topics), context(version))

    assert [topic.name for topic in response.topics] == shown
    assert encode_bytes(response, version)


@pytest.mark.parametrize("version", range(14))
def test_every_version_can_say_what_is_known_and_what_is_not(version):
    for request in (named("t"), named("nope", "bad name", allow_auto_topic_creation=False)):
        response = handler()(request, context(version))

        assert encode_bytes(response, version)


def test_brokers_are_shown_at_the_listener_that_the_client_came_through():
    for listener, host in (("PLAINTEXT", "outside"), ("INTERNAL", "inside"), ("NEW", "inside")):
        response = handler()(named(), context(9, listener=listener))

        assert {b.node_id: b.host for b in response.brokers}[2] == host


def test_there_is_always_a_controller_to_ask():
    assert handler()(named(), context(9)).controller_id == 2
    orphaned = ClusterState(brokers={1: broker(1)}, controller_id=2)
    assert handler(cluster=orphaned)(named(), context(9)).controller_id == US


def test_partitions_without_a_live_leader_are_listed_as_such():
    (topic,) = handler()(named("t"), context(13)).topics

    assert topic.topic_id == TOPIC_ID
    assert [(p.error_code, p.leader_id, p.leader_epoch) for p in topic.partitions] == [
        (ErrorCode.NONE, 1, 4),
        (ErrorCode.LEADER_NOT_AVAILABLE, NO_LEADER, 5),
        (ErrorCode.LEADER_NOT_AVAILABLE, NO_LEADER, 6),
    ]
    assert [p.offline_replicas for p in topic.partitions] == [[3], [3], [3]]
    assert topic.partitions[0].isr_nodes == [1, 2]


async def test_the_successor_of_a_dead_leader_is_awaited(autojump_clock):
    dying = PartitionState(replicas=(3, 1), leader_id=3, leader_epoch=5, isr=(3, 1))
    before = ClusterState(brokers=CLUSTER.brokers, controller_id=2).with_topic(
        TopicState("t", TOPIC_ID, {}, (dying,), 0)
    )
    elected = replace(dying, leader_id=1, leader_epoch=6, isr=(1,))
    creator = Creator(seen_after_s=0.05)
    creator.cluster = before
    creator.awaited = before.with_topic(TopicState("t", TOPIC_ID, {}, (elected,), 1))

    (topic,) = (await handler(creator)(named("t"), context(9))).topics

    assert (topic.partitions[0].leader_id, topic.partitions[0].leader_epoch) == (1, 6)


def test_topics_are_found_by_id():
    request = MetadataRequest(
        topics=[
            MetadataRequestTopic(topic_id=TOPIC_ID, name=None),
            MetadataRequestTopic(topic_id=b"?" * 16, name=None),
        ]
    )
    found, unknown = handler()(request, context(12)).topics

    assert found.name == "t"
    assert (unknown.error_code, unknown.name) == (ErrorCode.UNKNOWN_TOPIC_ID, None)


def test_names_that_no_topic_can_have_are_told_from_unknown_ones():
    good, *bad = handler()(named("nope", "bad name", "no utf-8: \ufffd"), context(9)).topics

    assert good.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert [topic.error_code for topic in bad] == [ErrorCode.INVALID_TOPIC_EXCEPTION] * 2


def test_a_topic_named_twice_is_shown_once():
    assert len(handler()(named("t", "t"), context(9)).topics) == 1


def test_authorized_operations_are_shown_only_where_asked_for():
    plain = handler()(named("t"), context(9))
    asked = handler()(
        named(
            "t",
            include_topic_authorized_operations=True,
            include_cluster_authorized_operations=True,
        ),
        context(9),
    )

    assert plain.topics[0].topic_authorized_operations == NO_AUTHORIZED_OPERATIONS
    assert plain.cluster_authorized_operations == NO_AUTHORIZED_OPERATIONS
    assert asked.topics[0].topic_authorized_operations == TOPIC_OPERATIONS
    assert asked.cluster_authorized_operations == CLUSTER_OPERATIONS


async def test_the_first_answer_about_a_created_topic_has_its_leader(autojump_clock):
    creator = Creator(seen_after_s=0.3)
    response = await handler(creator)(named("new", "t"), context(9))

    assert creator.names == ["new"]
    new = next(topic for topic in response.topics if topic.name == "new")
    assert new.error_code == ErrorCode.NONE
    assert new.partitions[0].leader_id == 1


async def test_a_created_topic_that_is_not_seen_in_time_has_no_leader_yet(autojump_clock):
    creator = Creator(seen_after_s=60)
    (topic,) = (await handler(creator)(named("new"), context(9))).topics

    assert topic.error_code == ErrorCode.LEADER_NOT_AVAILABLE
    assert trio.current_time() == pytest.approx(1.0)


async def test_why_a_topic_could_not_be_created_is_told(autojump_clock):
    creator = Creator(answer=ErrorCode.INVALID_REPLICATION_FACTOR)
    (topic,) = (await handler(creator)(named("new"), context(9))).topics

    assert topic.error_code == ErrorCode.INVALID_REPLICATION_FACTOR


async def test_one_request_creates_so_many_topics_and_the_next_one_others(autojump_clock):
    creator = Creator()
    names = [f"new-{number}" for number in range(AUTO_CREATED_MAX + 2)]

    first = (await handler(creator)(named(*names, "bad name"), context(9))).topics
    assert creator.names == names[:-2]
    codes = {topic.name: topic.error_code for topic in first}
    assert [codes[name] for name in names] == [
        *[ErrorCode.NONE] * AUTO_CREATED_MAX,
        *[ErrorCode.LEADER_NOT_AVAILABLE] * 2,
    ]
    assert codes["bad name"] == ErrorCode.INVALID_TOPIC_EXCEPTION

    again = (await handler(creator)(named(*names), context(9))).topics
    assert {topic.error_code for topic in again} == {ErrorCode.NONE}
    assert creator.names == names


@pytest.mark.parametrize(
    "request_",
    [named("new", allow_auto_topic_creation=False), MetadataRequest(topics=None), named("t")],
)
def test_nothing_is_created_that_was_not_asked_about(request_):
    creator = Creator()
    response = handler(creator)(request_, context(9))

    assert response.controller_id == 2
    assert creator.names == []


def test_the_cluster_is_described():
    describe = DescribeClusterHandler(broker_id=US, cluster=lambda: CLUSTER)
    response = describe(DescribeClusterRequest(), context(1))

    assert (response.cluster_id, response.controller_id) == ("the-cluster", 2)
    assert [(b.broker_id, b.host) for b in response.brokers] == [(1, "host-1"), (2, "outside")]
    assert response.cluster_authorized_operations == NO_AUTHORIZED_OPERATIONS


def test_controllers_have_no_endpoints_of_their_own():
    describe = DescribeClusterHandler(broker_id=US, cluster=lambda: CLUSTER)
    response = describe(DescribeClusterRequest(endpoint_type=2), context(1))

    assert response.error_code == ErrorCode.MISMATCHED_ENDPOINT_TYPE


async def test_asking_about_a_topic_creates_it_in_a_cluster(ask, autojump_clock):
    response = await ask(named("new"))

    (topic,) = response.topics
    assert topic.error_code == ErrorCode.NONE
    assert len(topic.partitions[0].replica_nodes) == 3
    assert topic.partitions[0].leader_id in (1, 2, 3)


def test_brokers_that_have_gone_are_told_as_fenced_to_those_who_want_them():
    cluster = replace(CLUSTER, acknowledged={1: 0, 2: 0, 3: 0})
    describe = DescribeClusterHandler(broker_id=US, cluster=lambda: cluster)

    live = describe(DescribeClusterRequest(), context(2)).brokers
    known = describe(DescribeClusterRequest(include_fenced_brokers=True), context(2)).brokers

    assert [b.broker_id for b in live] == [1, 2]
    assert [(b.broker_id, b.is_fenced) for b in known] == [(1, False), (2, False), (3, True)]
