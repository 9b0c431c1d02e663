"""IncrementalAlterConfigs (44): change single settings. Must never know: which settings exist."""

from __future__ import annotations

from protocol.message import Bool, Int8, Int16, Int32, String, request, response, struct, wire


@struct
class AlterableConfig:
    """One change; `config_operation` is 0 set, 1 delete, 2 append to or 3 subtract from a list."""

    name: String = ""
    config_operation: Int8 = 0
    value: String | None = ""


@struct
class AlterConfigsResource:
    """One resource's changes."""

    resource_type: Int8 = 0
    resource_name: String = ""
    configs: list[AlterableConfig] = wire()


@request(key=44, versions=(0, 1), flexible_since=1)
class IncrementalAlterConfigsRequest:
    """`validate_only` checks and changes nothing."""

    resources: list[AlterConfigsResource] = wire()
    validate_only: Bool = False


@struct
class AlterConfigsResourceResponse:
    """The outcome for one resource."""

    error_code: Int16 = 0
    error_message: String | None = ""
    resource_type: Int8 = 0
    resource_name: String = ""


@response(key=44, versions=(0, 1), flexible_since=1)
class IncrementalAlterConfigsResponse:
    """The outcome, resource by resource."""

    throttle_time_ms: Int32 = 0
    responses: list[AlterConfigsResourceResponse] = wire()
