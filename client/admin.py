"""The admin: creates, describes, changes and deletes topics, and looks at the cluster.

Must never know: how brokers decide, records.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import trio

from client.cluster import ClusterOptions, open_cluster
from client.descriptions import (
    ClusterDescription,
    ConfigEntry,
    CreatedTopic,
    NewTopic,
    ResourceType,
)
from client.errors import (
    ConnectFailed,
    NoBrokerReachable,
    UnknownTopic,
    WaitTimedOut,
    refusal,
)
from client.lifetime import Client
from client.metadata import Address, Broker, TopicInfo, topic_info
from client.offsets import BEGINNING, END, find_offsets
from client.records import TopicPartition
from protocol.api.create_partitions import CreatePartitionsRequest, CreatePartitionsTopic
from protocol.api.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from protocol.api.delete_topics import DeleteTopicsRequest, DeleteTopicState
from protocol.api.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from protocol.api.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from protocol.errors import ErrorCode, OttlaError, RequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from client.cluster import Cluster
    from client.environment import Environment

_SET: Final = 0
_DELETE: Final = 1
_DEFAULT_CONFIG: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminConfig:
    """How an admin works; `timeout_s` bounds each of its methods, elections included."""

    client_id: str = "ottla-admin"
    timeout_s: float = 30.0


class Admin(Client):
    """Administers a cluster; use it with `async with`."""

    role = "admin"

    def __init__(
        self,
        bootstrap: str | Sequence[str],
        config: AdminConfig | None = None,
        *,
        environment: Environment | None = None,
    ) -> None:
        """Prepare for a cluster reached through `host:port,host:port`; nothing is sent yet."""
        super().__init__(bootstrap, environment)
        self.config = config or AdminConfig()
        self._open_cluster: Cluster | None = None

    async def create_topic(self, topic: NewTopic, *, validate_only: bool = False) -> CreatedTopic:
        """Create one topic, or only check that it could be.

        Raises: RequestError, ConnectionBroken (the outcome is unknown), WaitTimedOut.
        """
        result = (await self.create_topics([topic], validate_only=validate_only))[topic.name]
        if isinstance(result, RequestError):
            raise result
        return result

    async def create_topics(
        self, topics: Iterable[NewTopic], *, validate_only: bool = False
    ) -> dict[str, CreatedTopic | RequestError]:
        """Create topics; what became of each, by name. Raises: ConnectionBroken, WaitTimedOut."""
        request = CreateTopicsRequest(
            topics=[_creatable(topic) for topic in topics],
            timeout_ms=self._timeout_ms,
            validate_only=validate_only,
        )
        response = await self._ask_controller(
            request, lambda answer: [topic.error_code for topic in answer.topics]
        )
        return {
            topic.name: _refused(topic, f"creating topic {topic.name!r}")
            or CreatedTopic(
                topic.name, topic.topic_id, topic.num_partitions, topic.replication_factor
            )
            for topic in response.topics
        }

    async def delete_topic(self, name: str) -> None:
        """Delete one topic. Raises: RequestError, ConnectionBroken, WaitTimedOut."""
        error = (await self.delete_topics([name]))[name]
        if error is not None:
            raise error

    async def delete_topics(self, names: Iterable[str]) -> dict[str, RequestError | None]:
        """Delete topics; why not, by name. Raises: ConnectionBroken, WaitTimedOut."""
        listed = list(names)
        request = DeleteTopicsRequest(
            topics=[DeleteTopicState(name=name) for name in listed],
            topic_names=listed,
            timeout_ms=self._timeout_ms,
        )
        response = await self._ask_controller(
            request, lambda answer: [topic.error_code for topic in answer.responses]
        )
        return {
            topic.name: _refused(topic, f"deleting topic {topic.name!r}")
            for topic in response.responses
        }

    async def create_partitions(self, topic: str, total: int) -> None:
        """Widen a topic to `total` partitions.

        Raises: RequestError, ConnectionBroken, WaitTimedOut.
        """
        request = CreatePartitionsRequest(
            topics=[CreatePartitionsTopic(topic, total, None)], timeout_ms=self._timeout_ms
        )
        response = await self._ask_controller(
            request, lambda answer: [result.error_code for result in answer.results]
        )
        _raise_refused(response.results[0], f"widening topic {topic!r} to {total} partitions")

    async def list_topics(self, *, internal: bool = False) -> tuple[str, ...]:
        """List the names of all topics, sorted. Raises: NoBrokerReachable."""
        described = await self.describe_topics()
        return tuple(
            sorted(name for name, info in described.items() if internal or not info.is_internal)
        )

    async def describe_topics(self, names: Iterable[str] | None = None) -> dict[str, TopicInfo]:
        """Describe topics, or all of them, with their partitions' leaders and replicas.

        Raises: UnknownTopic, RequestError, NoBrokerReachable.
        """
        response = await self._cluster.newest_metadata(names)
        for topic in response.topics:
            if topic.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION:
                raise UnknownTopic(topic.name or "")
            if topic.error_code:
                raise refusal(topic.error_code, f"describing topic {topic.name!r}")
        return {topic.name or "": topic_info(topic) for topic in response.topics}

    async def describe_cluster(self) -> ClusterDescription:
        """Describe the live brokers. Raises: NoBrokerReachable."""
        response = await self._cluster.newest_metadata([])
        brokers = tuple(
            Broker(broker.node_id, Address(broker.host, broker.port), broker.rack)
            for broker in sorted(response.brokers, key=lambda broker: broker.node_id)
        )
        return ClusterDescription(response.cluster_id, response.controller_id, brokers)

    async def describe_configs(self, kind: ResourceType, name: str) -> tuple[ConfigEntry, ...]:
        """List the settings of a topic, or of a broker by its id.

        Raises: RequestError, ConnectionBroken, NoBrokerReachable.
        """
        request = DescribeConfigsRequest([DescribeConfigsResource(kind, name, None)])
        if kind is ResourceType.BROKER:
            response = await self._cluster.call(int(name), request)
        else:
            response = await self._cluster.call_any(request, controller_first=True)
        result = response.results[0]
        _raise_refused(result, f"describing {kind.name.lower()} {name!r}")
        return tuple(
            ConfigEntry(
                entry.name,
                entry.value,
                is_default=entry.config_source == _DEFAULT_CONFIG,
                read_only=entry.read_only,
                sensitive=entry.is_sensitive,
            )
            for entry in result.configs
        )

    async def alter_configs(
        self,
        kind: ResourceType,
        name: str,
        changes: Mapping[str, str | None],
        *,
        validate_only: bool = False,
    ) -> None:
        """Change single settings of a topic or broker; None puts one back to its default.

        Raises: RequestError, ConnectionBroken, WaitTimedOut.
        """
        configs = [
            AlterableConfig(key, _DELETE if value is None else _SET, value)
            for key, value in changes.items()
        ]
        request = IncrementalAlterConfigsRequest(
            [AlterConfigsResource(kind, name, configs)], validate_only
        )
        response = await self._ask_controller(
            request, lambda answer: [result.error_code for result in answer.responses]
        )
        _raise_refused(response.responses[0], f"changing {kind.name.lower()} {name!r}")

    async def beginning_offsets(self, topic: str) -> dict[int, int]:
        """Look up the first offset of every partition of a topic.

        Raises: UnknownTopic, RequestError, WaitTimedOut.
        """
        return await self._ends(topic, BEGINNING)

    async def end_offsets(self, topic: str) -> dict[int, int]:
        """Look up the offset after the last record of every partition of a topic.

        Raises: UnknownTopic, RequestError, WaitTimedOut.
        """
        return await self._ends(topic, END)

    @asynccontextmanager
    async def _live(self) -> AsyncIterator[None]:
        options = ClusterOptions(
            client_id=self.config.client_id,
            request_timeout_s=self.config.timeout_s,
            environment=self._environment,
        )
        async with open_cluster(self._bootstrap, options) as cluster:
            self._open_cluster = cluster
            try:
                yield
            finally:
                self._open_cluster = None

    @property
    def _cluster(self) -> Cluster:
        if self._open_cluster is None:
            raise self._not_open()
        return self._open_cluster

    @property
    def _timeout_ms(self) -> int:
        return int(self.config.timeout_s * 1000)

    async def _ask_controller(self, request: object, codes: Callable[[Any], Sequence[int]]) -> Any:
        """Ask the controller, the next one where it is not any more.

        A connection that breaks while the answer is awaited is not tried again: the change may have
        been made. Raises: ConnectionBroken, WaitTimedOut.
        """
        cluster = self._cluster
        backoff = cluster.backoff()
        last: OttlaError | None = None
        with trio.move_on_after(self.config.timeout_s):
            while True:
                try:
                    response = await cluster.call_controller(request)
                    if ErrorCode.NOT_CONTROLLER not in codes(response):
                        return response
                    last = refusal(ErrorCode.NOT_CONTROLLER, "the cluster elects a controller")
                except ConnectFailed as error:
                    last = error
                await trio.sleep(backoff.next_s())
                try:
                    await cluster.refresh()
                except NoBrokerReachable as error:
                    last = error
        raise WaitTimedOut("the controller", self.config.timeout_s, last_cause=last)

    async def _ends(self, topic: str, end: int) -> dict[int, int]:
        info = await self._cluster.topic(topic, timeout_s=self.config.timeout_s)
        found = await find_offsets(
            self._cluster,
            {TopicPartition(topic, partition): end for partition in info.partitions},
            timeout_s=self.config.timeout_s,
        )
        return {place.partition: at.offset for place, at in found.items() if at is not None}


def _creatable(topic: NewTopic) -> CreatableTopic:
    return CreatableTopic(
        name=topic.name,
        num_partitions=topic.partitions,
        replication_factor=topic.replication_factor,
        assignments=[
            CreatableReplicaAssignment(partition, list(replicas))
            for partition, replicas in topic.assignments.items()
        ],
        configs=[CreatableTopicConfig(*entry) for entry in topic.configs.items()],
    )


def _refused(result: Any, what: str) -> RequestError | None:
    if not result.error_code:
        return None
    return refusal(result.error_code, what, detail=result.error_message)


def _raise_refused(result: Any, what: str) -> None:
    error = _refused(result, what)
    if error is not None:
        raise error
