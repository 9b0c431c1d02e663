"""ListConfigResources: the topics and brokers whose settings can be asked for.

Must never know: the settings. Source: KIP-1142.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from broker.handlers.resources import ResourceType
from protocol.api.list_config_resources import ConfigResource, ListConfigResourcesResponse
from protocol.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.dispatch import RequestContext
    from coordinator.cluster import ClusterState
    from protocol.api.list_config_resources import ListConfigResourcesRequest

TYPES_SINCE = 1


class ListConfigResourcesHandler:
    """Lists resources of the latest view; of client metrics and groups none has settings here."""

    def __init__(self, cluster: Callable[[], ClusterState]) -> None:
        self._cluster = cluster

    def __call__(
        self, request: ListConfigResourcesRequest, context: RequestContext
    ) -> ListConfigResourcesResponse:
        """List what was asked for; a client of version 0 means client metrics."""
        if context.api_version < TYPES_SINCE:
            return ListConfigResourcesResponse()
        wanted = set(request.resource_types) or set(ResourceType)
        if not wanted <= set(ResourceType):
            return ListConfigResourcesResponse(error_code=ErrorCode.UNSUPPORTED_VERSION)
        cluster = self._cluster()
        brokers = [str(broker_id) for broker_id in sorted(cluster.brokers)]
        names: dict[int, list[str]] = {
            ResourceType.TOPIC: sorted(cluster.topics),
            ResourceType.BROKER: brokers,
            ResourceType.BROKER_LOGGER: brokers,
        }
        return ListConfigResourcesResponse(
            config_resources=[
                ConfigResource(name, kind)
                for kind in sorted(wanted)
                for name in names.get(kind, [])
            ]
        )


def refuse(_request: Any, code: ErrorCode, _message: str) -> ListConfigResourcesResponse:
    """Answer with an error and no resources."""
    return ListConfigResourcesResponse(error_code=code)
