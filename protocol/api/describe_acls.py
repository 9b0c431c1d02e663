"""DescribeAcls (29): which access control lists there are. Must never know: who may do what.

Source: KIP-140, KIP-290 (pattern types).
"""

from __future__ import annotations

from protocol.message import Int8, Int16, Int32, String, request, response, struct, wire

LITERAL = 3
"""The pattern type of a name that means itself."""


@request(key=29, versions=(1, 3), flexible_since=2)
class DescribeAclsRequest:
    """What they are to match; null matches everything."""

    resource_type_filter: Int8 = 0
    resource_name_filter: String | None = None
    pattern_type_filter: Int8 = LITERAL
    principal_filter: String | None = None
    host_filter: String | None = None
    operation: Int8 = 0
    permission_type: Int8 = 0


@struct
class AclDescription:
    """Who may, or may not, do what from where."""

    principal: String = ""
    host: String = ""
    operation: Int8 = 0
    permission_type: Int8 = 0


@struct
class DescribeAclsResource:
    """What is said of one resource, or of a prefix of names."""

    resource_type: Int8 = 0
    resource_name: String = ""
    pattern_type: Int8 = LITERAL
    acls: list[AclDescription] = wire()


@response(key=29, versions=(1, 3), flexible_since=2)
class DescribeAclsResponse:
    """Those that match, resource by resource."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    error_message: String | None = None
    resources: list[DescribeAclsResource] = wire()
