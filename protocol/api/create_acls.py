"""CreateAcls (30): add access control lists. Must never know: who may do what.

Source: KIP-140, KIP-290 (pattern types).
"""

from __future__ import annotations

from protocol.api.describe_acls import LITERAL
from protocol.message import Int8, Int16, Int32, String, request, response, struct, wire


@struct
class AclCreation:
    """Who may, or may not, do what to which resource from where."""

    resource_type: Int8 = 0
    resource_name: String = ""
    resource_pattern_type: Int8 = LITERAL
    principal: String = ""
    host: String = ""
    operation: Int8 = 0
    permission_type: Int8 = 0


@request(key=30, versions=(1, 3), flexible_since=2)
class CreateAclsRequest:
    """Which to add."""

    creations: list[AclCreation] = wire()


@struct
class AclCreationResult:
    """The outcome for one of them."""

    error_code: Int16 = 0
    error_message: String | None = None


@response(key=30, versions=(1, 3), flexible_since=2)
class CreateAclsResponse:
    """The outcomes, in the order of the request."""

    throttle_time_ms: Int32 = 0
    results: list[AclCreationResult] = wire()
