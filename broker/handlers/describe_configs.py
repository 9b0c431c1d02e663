"""DescribeConfigs: settings of topics, of this broker, and what all brokers are given at run time.

Must never know: which settings exist. Source: KIP-133, KIP-226, KIP-569.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import trio

from broker.dynamic_config import DYNAMIC_KEYS, Source
from broker.handlers.metadata import why_unknown
from broker.handlers.resources import ResourceType, why_without_settings
from broker.settings import INT32_MAX, ValueType, type_of
from broker.topic_config import origins, type_of_setting
from broker.topic_defaults import TOPIC_DEFAULT_KEYS
from protocol.api.describe_configs import (
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping
    from dataclasses import Field

    from broker.dispatch import RequestContext
    from broker.dynamic_config import DynamicConfig, Origin
    from coordinator.cluster import ClusterState
    from protocol.api.describe_configs import DescribeConfigsRequest, DescribeConfigsResource

RESOURCES_AT_ONCE: Final = 100
"""Described before others have their turn: each takes some tenth of a millisecond."""

_Resource: TypeAlias = tuple[int, str]
"""A resource's type and name."""


class DescribeConfigsHandler:
    """Describes any topic, the broker that is asked, and what all brokers are given."""

    def __init__(
        self, *, broker_id: int, cluster: Callable[[], ClusterState], settings: DynamicConfig
    ) -> None:
        self._broker_id = broker_id
        self._cluster = cluster
        self._settings = settings
        self._fields = {item.metadata["key"]: item for item, _ in settings.static.settings()}

    def __call__(
        self, request: DescribeConfigsRequest, _context: RequestContext
    ) -> DescribeConfigsResponse | Coroutine[Any, Any, DescribeConfigsResponse]:
        """Describe each resource once, as far as asked for; many of them bit by bit."""
        asked = _distinct(request.resources)
        if len(asked) > RESOURCES_AT_ONCE:
            return self._describe_in_turns(asked, request)
        return DescribeConfigsResponse(
            results=[self._describe(*each, request) for each in asked.items()]
        )

    async def _describe_in_turns(
        self, asked: Mapping[_Resource, set[str] | None], request: DescribeConfigsRequest
    ) -> DescribeConfigsResponse:
        response = DescribeConfigsResponse()
        for number, each in enumerate(asked.items(), start=1):
            response.results.append(self._describe(*each, request))
            if number % RESOURCES_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
        return response

    def _describe(
        self, resource: _Resource, keys: set[str] | None, request: DescribeConfigsRequest
    ) -> DescribeConfigsResult:
        kind, name = resource
        result = DescribeConfigsResult(error_message=None, resource_type=kind, resource_name=name)
        try:
            entries = self._entries(kind, name)
        except RequestError as error:
            result.error_code, result.error_message = error.code, str(error)
            return result
        result.configs = [entry for entry in entries if keys is None or entry.name in keys]
        for entry in result.configs:
            if not request.include_synonyms:
                entry.synonyms = []
            if not request.include_documentation:
                entry.documentation = None
        return result

    def _entries(self, kind: int, name: str) -> list[DescribeConfigsResourceResult]:
        """List all settings of a resource. Raises: RequestError."""
        if kind == ResourceType.TOPIC:
            return self._topic_entries(name)
        if kind not in (ResourceType.BROKER, ResourceType.BROKER_LOGGER):
            raise RequestError.of(ErrorCode.INVALID_REQUEST, why_without_settings(kind))
        if kind == ResourceType.BROKER and not name:
            return self._default_entries()
        if name != str(self._broker_id):
            raise RequestError.of(
                ErrorCode.INVALID_REQUEST,
                f"this is broker {self._broker_id}: ask broker {name!r} itself",
            )
        # Of a broker's loggers none can be altered, and so none is listed.
        return self._broker_entries() if kind == ResourceType.BROKER else []

    def _topic_entries(self, name: str) -> list[DescribeConfigsResourceResult]:
        topic = self._cluster().topics.get(name)
        if topic is None:
            raise RequestError.of(why_unknown(name), f"there is no topic {name}")
        factor = topic.partitions[0].replication_factor
        entries = []
        for key, places in origins(topic.config, self._settings, replication_factor=factor).items():
            entry = _entry(key, places, type_of_setting(key))
            broker_key = TOPIC_DEFAULT_KEYS.get(key, key)
            if broker_key in self._fields:
                entry.documentation = self._fields[broker_key].metadata["doc"]
            entries.append(entry)
        return entries

    def _broker_entries(self) -> list[DescribeConfigsResourceResult]:
        return [
            self._broker_entry(item, self._settings.origins(key))
            for key, item in self._fields.items()
        ]

    def _default_entries(self) -> list[DescribeConfigsResourceResult]:
        """List what all brokers are given at run time, and nothing that comes from elsewhere."""
        entries = []
        for key in sorted(self._cluster().config.keys() & self._fields.keys()):
            places = self._settings.origins(key)
            given = [place for place in places if place.source is Source.DYNAMIC_DEFAULT_BROKER]
            entries.append(self._broker_entry(self._fields[key], given))
        return entries

    def _broker_entry(
        self, item: Field[Any], places: list[Origin]
    ) -> DescribeConfigsResourceResult:
        key, at_most = item.metadata["key"], item.metadata["at_most"]
        # An unset number shows as null; only numbers may be unset and have a bound.
        is_unset_number = item.default is None and at_most <= INT32_MAX
        entry = _entry(
            key, places, type_of(0 if is_unset_number else item.default, at_most=at_most)
        )
        entry.documentation = item.metadata["doc"]
        entry.read_only = key not in DYNAMIC_KEYS
        return entry


def _distinct(resources: Iterable[DescribeConfigsResource]) -> dict[_Resource, set[str] | None]:
    """Give each resource that is named with all keys that are asked of it, None for every one."""
    distinct: dict[_Resource, set[str] | None] = {}
    for asked in resources:
        resource = asked.resource_type, asked.resource_name
        keys = distinct.setdefault(resource, set())
        if not asked.configuration_keys:
            distinct[resource] = None
        elif keys is not None:
            keys.update(asked.configuration_keys)
    return distinct


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
