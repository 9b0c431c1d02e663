"""DescribeConfigs: settings of topics and of this broker, derived from what declares them.

Must never know: which settings exist. Source: KIP-133, KIP-226, KIP-569.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.config import TOPIC_DEFAULT_KEYS
from broker.handlers.resources import ResourceType
from broker.settings import INT32_MAX, ValueType, format_value, type_of
from broker.topic_config import Origin, Source, origins, type_of_setting
from coordinator.errors import UnknownTopic
from protocol.api.describe_configs import (
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.config import BrokerConfig
    from broker.dispatch import RequestContext
    from coordinator.cluster import ClusterState
    from protocol.api.describe_configs import DescribeConfigsRequest, DescribeConfigsResource


class DescribeConfigsHandler:
    """Describes any topic, and the broker that is asked."""

    def __init__(
        self, *, broker_id: int, cluster: Callable[[], ClusterState], config: BrokerConfig
    ) -> None:
        self._broker_id = broker_id
        self._cluster = cluster
        self._config = config
        self._docs = {item.metadata["key"]: item.metadata["doc"] for item, _ in config.settings()}

    def __call__(
        self, request: DescribeConfigsRequest, _context: RequestContext
    ) -> DescribeConfigsResponse:
        """Describe each resource, as far as asked for."""
        return DescribeConfigsResponse(
            results=[self._describe(asked, request) for asked in request.resources]
        )

    def _describe(
        self, asked: DescribeConfigsResource, request: DescribeConfigsRequest
    ) -> DescribeConfigsResult:
        result = DescribeConfigsResult(
            error_message=None,
            resource_type=asked.resource_type,
            resource_name=asked.resource_name,
        )
        try:
            entries = self._entries(asked)
        except RequestError as error:
            result.error_code, result.error_message = error.code, str(error)
            return result
        keys = asked.configuration_keys
        result.configs = [entry for entry in entries if keys is None or entry.name in keys]
        for entry in result.configs:
            if not request.include_synonyms:
                entry.synonyms = []
            if not request.include_documentation:
                entry.documentation = None
        return result

    def _entries(self, asked: DescribeConfigsResource) -> list[DescribeConfigsResourceResult]:
        """List all settings of a resource. Raises: RequestError."""
        if asked.resource_type == ResourceType.TOPIC:
            return self._topic_entries(asked.resource_name)
        if asked.resource_type != ResourceType.BROKER:
            raise RequestError.of(
                ErrorCode.INVALID_REQUEST,
                f"resource type {asked.resource_type}: topics (2) and brokers (4) have settings",
            )
        if not asked.resource_name:
            return []  # What all brokers are given at run time: nothing, in this system.
        if asked.resource_name != str(self._broker_id):
            raise RequestError.of(
                ErrorCode.INVALID_REQUEST,
                f"this is broker {self._broker_id}: ask broker {asked.resource_name!r} itself",
            )
        return self._broker_entries()

    def _topic_entries(self, name: str) -> list[DescribeConfigsResourceResult]:
        topic = self._cluster().topics.get(name)
        if topic is None:
            raise UnknownTopic(f"there is no topic {name}")
        factor = topic.partitions[0].replication_factor
        entries = []
        for key, places in origins(topic.config, self._config, replication_factor=factor).items():
            entry = _entry(key, places, type_of_setting(key))
            entry.documentation = self._docs.get(TOPIC_DEFAULT_KEYS.get(key, key))
            entries.append(entry)
        return entries

    def _broker_entries(self) -> list[DescribeConfigsResourceResult]:
        entries = []
        for item, value in self._config.settings():
            key = item.metadata["key"]
            places = [Origin(key, format_value(item.default), Source.DEFAULT)]
            if key in self._config.explicit:
                places.insert(0, Origin(key, format_value(value), Source.STATIC_BROKER))
            # An unset number shows as null; only numbers may be unset and have a bound.
            is_number = item.metadata["at_most"] <= INT32_MAX
            kind = type_of(
                0 if value is None and is_number else value, at_most=item.metadata["at_most"]
            )
            entry = _entry(key, places, kind)
            entry.documentation = item.metadata["doc"]
            entry.read_only = True
            entries.append(entry)
        return entries


def _entry(key: str, places: list[Origin], kind: ValueType) -> DescribeConfigsResourceResult:
    return DescribeConfigsResourceResult(
        name=key,
        value=places[0].value,
        config_source=places[0].source,
        config_type=kind,
        synonyms=[
            DescribeConfigsSynonym(name=place.key, value=place.value, source=place.source)
            for place in places
        ],
    )


def refuse(
    request: DescribeConfigsRequest, code: ErrorCode, message: str
) -> DescribeConfigsResponse:
    """Answer with an error for each resource."""
    return DescribeConfigsResponse(
        results=[
            DescribeConfigsResult(
                error_code=code,
                error_message=message,
                resource_type=asked.resource_type,
                resource_name=asked.resource_name,
            )
            for asked in request.resources
        ]
    )
