"""AlterConfigs (33): replace all settings of a resource. Must never know: which settings exist."""

from __future__ import annotations

from protocol.message import Bool, Int8, Int16, Int32, String, request, response, struct, wire


@struct
class AlterableConfig:
    """One setting."""

    name: String = ""
    value: String | None = ""


@struct
class AlterConfigsResource:
    """One resource's new settings; what is not named goes back to its default."""

    resource_type: Int8 = 0
    resource_name: String = ""
    configs: list[AlterableConfig] = wire()


@request(key=33, versions=(0, 2), flexible_since=2)
class AlterConfigsRequest:
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


@response(key=33, versions=(0, 2), flexible_since=2)
class AlterConfigsResponse:
    """The outcome, resource by resource."""

    throttle_time_ms: Int32 = 0
    responses: list[AlterConfigsResourceResponse] = wire()
