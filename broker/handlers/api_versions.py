"""ApiVersions: what this broker serves, straight from the table of routes.

Must never know: which APIs those are.
Source: KIP-511 (a version that is too new is answered in version 0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocol.api import ApiKey
from protocol.api.api_versions import ApiVersion, ApiVersionsResponse
from protocol.errors import ErrorCode

if TYPE_CHECKING:
    from broker.dispatch import RequestContext, Routes
    from protocol.api.api_versions import ApiVersionsRequest

BETWEEN_BROKERS = frozenset({ApiKey.CONTROLLED_SHUTDOWN, ApiKey.ALTER_PARTITION})
"""Served, but of no concern to clients."""


class ApiVersionsHandler:
    """Advertises a table of routes; entries that come after the construction count as well."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    def __call__(
        self, _request: ApiVersionsRequest, context: RequestContext
    ) -> ApiVersionsResponse:
        """List the versions of every API, or say that this API is not served so new."""
        if context.api_version > self._routes[ApiKey.API_VERSIONS].max_version:
            return ApiVersionsResponse(
                error_code=ErrorCode.UNSUPPORTED_VERSION,
                api_keys=[self._entry(ApiKey.API_VERSIONS)],
            )
        keys = sorted(self._routes.keys() - BETWEEN_BROKERS)
        return ApiVersionsResponse(api_keys=[self._entry(key) for key in keys])

    def _entry(self, key: ApiKey) -> ApiVersion:
        route = self._routes[key]
        return ApiVersion(
            api_key=key, min_version=route.advertised_min_version, max_version=route.max_version
        )


def refuse(_request: Any, code: ErrorCode, _message: str) -> ApiVersionsResponse:
    """Answer with an error and no versions."""
    return ApiVersionsResponse(error_code=code)
