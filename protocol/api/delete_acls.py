"""DeleteAcls (31): remove access control lists. Must never know: who may do what.

Source: KIP-140, KIP-290 (pattern types).
"""

from __future__ import annotations

from protocol.api.describe_acls import LITERAL
from protocol.message import Int8, Int16, Int32, String, request, response, struct, wire


@struct
class DeleteAclsFilter:
    """What they are to match; null matches everything."""

    resource_type_filter: Int8 = 0
    resource_name_filter: String | None = None
    pattern_type_filter: Int8 = LITERAL
    principal_filter: String | None = None
    host_filter: String | None = None
    operation: Int8 = 0
    permission_type: Int8 = 0


@request(key=31, versions=(1, 3), flexible_since=2)
class DeleteAclsRequest:
    """Which to remove: whatever one of the filters matches."""

    filters: list[DeleteAclsFilter] = wire()


@struct
class DeleteAclsMatchingAcl:
    """One that a filter matched, and whether it could be removed."""

    error_code: Int16 = 0
    error_message: String | None = None
    resource_type: Int8 = 0
    resource_name: String = ""
    pattern_type: Int8 = LITERAL
    principal: String = ""
    host: String = ""
    operation: Int8 = 0
    permission_type: Int8 = 0


@struct
class DeleteAclsFilterResult:
    """The outcome for one filter."""

    error_code: Int16 = 0
    error_message: String | None = None
    matching_acls: list[DeleteAclsMatchingAcl] = wire()


@response(key=31, versions=(1, 3), flexible_since=2)
class DeleteAclsResponse:
    """The outcomes, in the order of the request."""

    throttle_time_ms: Int32 = 0
    filter_results: list[DeleteAclsFilterResult] = wire()
