"""DescribeConfigs (32): settings of topics and brokers. Must never know: which settings exist."""

from __future__ import annotations

from protocol.message import Bool, Int8, Int16, Int32, String, request, response, struct, wire


@struct
class DescribeConfigsResource:
    """A resource; `configuration_keys` None asks for all its settings."""

    resource_type: Int8 = 0
    resource_name: String = ""
    configuration_keys: list[String] | None = wire()


@request(key=32, versions=(1, 4), flexible_since=4)
class DescribeConfigsRequest:
    """Which resources, and how much of each setting."""

    resources: list[DescribeConfigsResource] = wire()
    include_synonyms: Bool = False
    include_documentation: Bool = wire(since=3)


@struct
class DescribeConfigsSynonym:
    """Another place where the setting could be, or was, given."""

    name: String = ""
    value: String | None = ""
    source: Int8 = 0


@struct
class DescribeConfigsResourceResult:
    """One setting."""

    name: String = ""
    value: String | None = ""
    read_only: Bool = False
    config_source: Int8 = -1
    is_sensitive: Bool = False
    synonyms: list[DescribeConfigsSynonym] = wire()
    config_type: Int8 = wire(since=3, ignorable=True)
    documentation: String | None = wire(since=3, ignorable=True)


@struct
class DescribeConfigsResult:
    """One resource's settings."""

    error_code: Int16 = 0
    error_message: String | None = ""
    resource_type: Int8 = 0
    resource_name: String = ""
    configs: list[DescribeConfigsResourceResult] = wire()


@response(key=32, versions=(1, 4), flexible_since=4)
class DescribeConfigsResponse:
    """The settings, resource by resource."""

    throttle_time_ms: Int32 = 0
    results: list[DescribeConfigsResult] = wire()
