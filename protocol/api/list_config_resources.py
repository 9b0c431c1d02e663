"""ListConfigResources (74): what has settings, by name. Must never know: the settings.

Source: KIP-1142; version 0 lists KIP-714's client metrics only.
"""

from __future__ import annotations

from protocol.message import Int8, Int16, Int32, String, request, response, struct, wire

CLIENT_METRICS = 16


@request(key=74, versions=(0, 1), flexible_since=0)
class ListConfigResourcesRequest:
    """Which types of resources; none asks for all."""

    resource_types: list[Int8] = wire(since=1)


@struct
class ConfigResource:
    """One resource."""

    resource_name: String = ""
    resource_type: Int8 = wire(since=1, default=CLIENT_METRICS, ignorable=True)


@response(key=74, versions=(0, 1), flexible_since=0)
class ListConfigResourcesResponse:
    """The resources."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    config_resources: list[ConfigResource] = wire()
