"""ApiVersions (18): which APIs and versions a broker speaks. Must never know: which those are.

The response's header is version 0 whatever its own version, so that a client that asked too high
can read the answer.
"""

from __future__ import annotations

from protocol.message import Bool, Int16, Int32, Int64, String, request, response, struct, wire


@request(key=18, versions=(0, 4), flexible_since=3)
class ApiVersionsRequest:
    """The first request on a connection."""

    client_software_name: String = wire(since=3, ignorable=True)
    client_software_version: String = wire(since=3, ignorable=True)


@struct
class ApiVersion:
    """One API, and the versions spoken (both ends included)."""

    api_key: Int16 = 0
    min_version: Int16 = 0
    max_version: Int16 = 0


@struct
class SupportedFeatureKey:
    """A feature that the broker could serve."""

    name: String = ""
    min_version: Int16 = 0
    max_version: Int16 = 0


@struct
class FinalizedFeatureKey:
    """A feature at the level agreed upon in the cluster."""

    name: String = ""
    max_version_level: Int16 = 0
    min_version_level: Int16 = 0


@response(key=18, versions=(0, 4), flexible_since=3)
class ApiVersionsResponse:
    """The table of APIs; features as tags from version 3."""

    error_code: Int16 = 0
    api_keys: list[ApiVersion] = wire()
    throttle_time_ms: Int32 = wire(since=1, ignorable=True)
    supported_features: list[SupportedFeatureKey] = wire(since=3, tag=0, ignorable=True)
    finalized_features_epoch: Int64 = wire(since=3, tag=1, default=-1, ignorable=True)
    finalized_features: list[FinalizedFeatureKey] = wire(since=3, tag=2, ignorable=True)
    zk_migration_ready: Bool = wire(since=3, tag=3, ignorable=True)
