"""Metadata: brokers, topics, partitions and their leaders; unknown topics are created if allowed.

Must never know: how topics are created, what partitions hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from broker.handlers.authorized import CLUSTER_OPERATIONS, TOPIC_OPERATIONS
from broker.handlers.endpoints import controller_for_clients, endpoint_for
from coordinator.cluster import NO_LEADER
from coordinator.errors import InvalidTopicName
from coordinator.topic_config import check_name
from protocol.api.metadata import (
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from protocol.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from broker.dispatch import RequestContext
    from broker.handlers.control import WaitFor
    from coordinator.cluster import (
        BrokerRegistration,
        ClusterState,
        PartitionState,
        TopicState,
    )
    from protocol.api.metadata import MetadataRequest, MetadataRequestTopic

NO_TOPIC_ID = bytes(16)
NULL_NAMES_SINCE = 12
TOPIC_CREATION_WAIT_S = 1.0
"""How long a first answer about a new topic waits until this broker sees its leaders."""

AUTO_CREATED_MAX = 1_000
"""Topics that one request may create by asking. The next one is about what is left."""

ELECTION_WAIT_S = 0.3
"""How long an answer waits for the successor of a leader that has just died. It takes some tens of
milliseconds; told that there is no leader, librdkafka does not ask again for a second."""

INTERNAL_TOPICS = frozenset({"__consumer_offsets", "__transaction_state"})


class AutoCreate(Protocol):
    """Creates topics with the broker's defaults."""

    async def __call__(
        self, names: Iterable[str], context: RequestContext
    ) -> Mapping[str, ErrorCode]:
        """Give an error for each name, NONE where the topic is there now."""


class MetadataHandler:
    """Answers from the latest view; `auto_create` is None where unknown topics stay unknown.

    `brokers` are those that clients are told of; `seems_alive` knows sooner than the coordinator
    when one has died.
    """

    def __init__(
        self,
        *,
        broker_id: int,
        cluster: Callable[[], ClusterState],
        brokers: Callable[[], Iterable[BrokerRegistration]],
        seems_alive: Callable[[int], bool],
        wait_for: WaitFor,
        auto_create: AutoCreate | None,
    ) -> None:
        self._broker_id = broker_id
        self._cluster = cluster
        self._brokers = brokers
        self._seems_alive = seems_alive
        self._wait_for = wait_for
        self._auto_create = auto_create

    def __call__(
        self, request: MetadataRequest, context: RequestContext
    ) -> MetadataResponse | Coroutine[Any, Any, MetadataResponse]:
        """Answer at once, or after unknown topics were created."""
        names = self._names_to_create(request, context)
        if names and self._auto_create is not None:
            return self._create_and_answer(names, request, context, auto_create=self._auto_create)
        if self._awaits_election(request, context):
            return self._answer_after_election(request, context)
        return self._answer(request, context, failed={})

    def _awaits_election(self, request: MetadataRequest, context: RequestContext) -> bool:
        cluster = self._cluster()
        if wants_all(request, context.api_version):
            return any(map(self._is_electing, cluster.topics.values()))
        wanted = (cluster.topics.get(topic.name or "") for topic in request.topics or ())
        return any(topic is not None and self._is_electing(topic) for topic in wanted)

    def _is_electing(self, topic: TopicState) -> bool:
        """Say whether a partition's leader seems dead, and a live replica can succeed it."""
        return any(
            not self._seems_alive(state.leader_id)
            and any(self._seems_alive(replica) for replica in (*state.isr, *state.elr))
            for state in topic.partitions
        )

    async def _answer_after_election(
        self, request: MetadataRequest, context: RequestContext
    ) -> MetadataResponse:
        await self._wait_for(
            lambda _: not self._awaits_election(request, context), timeout_s=ELECTION_WAIT_S
        )
        return self._answer(request, context, failed={})

    def _names_to_create(self, request: MetadataRequest, context: RequestContext) -> list[str]:
        if wants_all(request, context.api_version) or not request.allow_auto_topic_creation:
            return []
        known = self._cluster().topics
        wanted = (topic.name for topic in request.topics or () if topic.topic_id == NO_TOPIC_ID)
        unknown = dict.fromkeys(name for name in wanted if name and name not in known)
        return [n for n in unknown if why_unknown(n) is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]

    async def _create_and_answer(
        self,
        names: list[str],
        request: MetadataRequest,
        context: RequestContext,
        *,
        auto_create: AutoCreate,
    ) -> MetadataResponse:
        names, left = names[:AUTO_CREATED_MAX], names[AUTO_CREATED_MAX:]
        failed = {name: code for name, code in (await auto_create(names, context)).items() if code}
        created = [name for name in names if name not in failed]
        await self._wait_for(
            lambda cluster: all(_is_ready(cluster.topics.get(name)) for name in created),
            timeout_s=TOPIC_CREATION_WAIT_S,
        )
        # Created but not seen yet, or not its turn: the client shall ask again, not take it for
        # unknown.
        unseen = dict.fromkeys(created + left, ErrorCode.LEADER_NOT_AVAILABLE)
        return self._answer(request, context, failed=unseen | failed)

    def _answer(
        self, request: MetadataRequest, context: RequestContext, *, failed: Mapping[str, ErrorCode]
    ) -> MetadataResponse:
        cluster = self._cluster()
        response = MetadataResponse(
            cluster_id=cluster.cluster_id or None,
            controller_id=controller_for_clients(cluster, self._broker_id),
        )
        for broker in self._brokers():
            endpoint = endpoint_for(broker, context.listener)
            response.brokers.append(
                MetadataResponseBroker(
                    node_id=broker.broker_id,
                    host=endpoint.host,
                    port=endpoint.port,
                    rack=broker.rack,
                )
            )
        if wants_all(request, context.api_version):
            response.topics = [describe(topic, cluster) for topic in cluster.topics.values()]
        else:
            response.topics = [
                find(asked, cluster, failed=failed, api_version=context.api_version)
                for asked in _distinct(request.topics or ())
            ]
        if request.include_topic_authorized_operations:
            for topic in response.topics:
                if topic.error_code == ErrorCode.NONE:
                    topic.topic_authorized_operations = TOPIC_OPERATIONS
        if request.include_cluster_authorized_operations:
            response.cluster_authorized_operations = CLUSTER_OPERATIONS
        return response


def wants_all(request: MetadataRequest, api_version: int) -> bool:
    """Say whether all topics are asked for: null, and in version 0 an empty list."""
    return request.topics is None or (api_version == 0 and not request.topics)


def find(
    asked: MetadataRequestTopic,
    cluster: ClusterState,
    *,
    failed: Mapping[str, ErrorCode],
    api_version: int,
) -> MetadataResponseTopic:
    """Describe one topic by id or name, or say why there is none."""
    if asked.topic_id != NO_TOPIC_ID:
        topic = cluster.topic_of_id(asked.topic_id)
        if topic is not None:
            return describe(topic, cluster)
        return MetadataResponseTopic(
            error_code=ErrorCode.UNKNOWN_TOPIC_ID,
            name=None if api_version >= NULL_NAMES_SINCE else "",
            topic_id=asked.topic_id,
        )
    name = asked.name or ""
    topic = cluster.topics.get(name)
    if topic is not None:
        return describe(topic, cluster)
    return MetadataResponseTopic(
        error_code=failed.get(name) or why_unknown(name),
        name=name,
        is_internal=name in INTERNAL_TOPICS,
    )


def describe(topic: TopicState, cluster: ClusterState) -> MetadataResponseTopic:
    """Describe a topic and all its partitions."""
    return MetadataResponseTopic(
        name=topic.name,
        topic_id=topic.topic_id,
        is_internal=topic.name in INTERNAL_TOPICS,
        partitions=[
            _describe_partition(index, state, cluster)
            for index, state in enumerate(topic.partitions)
        ],
    )


def _describe_partition(
    index: int, state: PartitionState, cluster: ClusterState
) -> MetadataResponsePartition:
    live = cluster.brokers
    # A leader that has died and is not replaced yet cannot be connected to.
    has_leader = state.leader_id in live
    return MetadataResponsePartition(
        error_code=ErrorCode.NONE if has_leader else ErrorCode.LEADER_NOT_AVAILABLE,
        partition_index=index,
        leader_id=state.leader_id if has_leader else NO_LEADER,
        leader_epoch=state.leader_epoch,
        replica_nodes=list(state.replicas),
        isr_nodes=list(state.isr),
        offline_replicas=[replica for replica in state.replicas if replica not in live],
    )


def _is_ready(topic: TopicState | None) -> bool:
    return topic is not None and all(p.leader_id != NO_LEADER for p in topic.partitions)


def why_unknown(name: str) -> ErrorCode:
    """Say why there is no topic of this name: it cannot be one, or is none."""
    try:
        check_name(name)
    except InvalidTopicName as error:
        return error.code
    return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def _distinct(topics: Iterable[MetadataRequestTopic]) -> Iterable[MetadataRequestTopic]:
    return {(topic.topic_id, topic.name): topic for topic in topics}.values()


def refuse(request: MetadataRequest, code: ErrorCode, _message: str) -> MetadataResponse:
    """Answer with an error for each topic that was asked for."""
    topics = [
        MetadataResponseTopic(error_code=code, name=topic.name or "", topic_id=topic.topic_id)
        for topic in request.topics or ()
    ]
    return MetadataResponse(topics=topics, error_code=code)
