"""DescribeAcls, CreateAcls, DeleteAcls: there is no authorizer, which is said as Kafka says it.

Tools know that answer: MirrorMaker then copies no ACLs, where it would try again and again.
Must never know: who is connected. Source: KIP-140.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from protocol.api.create_acls import AclCreationResult, CreateAclsResponse
from protocol.api.delete_acls import DeleteAclsFilterResult, DeleteAclsResponse
from protocol.api.describe_acls import DescribeAclsResponse
from protocol.errors import ErrorCode

if TYPE_CHECKING:
    from broker.dispatch import RequestContext
    from protocol.api.create_acls import CreateAclsRequest
    from protocol.api.delete_acls import DeleteAclsRequest
    from protocol.api.describe_acls import DescribeAclsRequest

NO_AUTHORIZER: Final = (
    "there is no authorizer: whoever reaches a broker may do everything, and only the network "
    "keeps others out"
)


def handle_describe_acls(request: DescribeAclsRequest, _: RequestContext) -> DescribeAclsResponse:
    """Refuse: SECURITY_DISABLED."""
    return refuse_describe_acls(request, ErrorCode.SECURITY_DISABLED, NO_AUTHORIZER)


def handle_create_acls(request: CreateAclsRequest, _: RequestContext) -> CreateAclsResponse:
    """Refuse each: SECURITY_DISABLED."""
    return refuse_create_acls(request, ErrorCode.SECURITY_DISABLED, NO_AUTHORIZER)


def handle_delete_acls(request: DeleteAclsRequest, _: RequestContext) -> DeleteAclsResponse:
    """Refuse each: SECURITY_DISABLED."""
    return refuse_delete_acls(request, ErrorCode.SECURITY_DISABLED, NO_AUTHORIZER)


def refuse_describe_acls(_request: Any, code: ErrorCode, message: str) -> DescribeAclsResponse:
    """Answer with an error."""
    return DescribeAclsResponse(error_code=code, error_message=message)


def refuse_create_acls(request: Any, code: ErrorCode, message: str) -> CreateAclsResponse:
    """Answer with an error for each."""
    return CreateAclsResponse(results=[AclCreationResult(code, message) for _ in request.creations])


def refuse_delete_acls(request: Any, code: ErrorCode, message: str) -> DeleteAclsResponse:
    """Answer with an error for each."""
    results = [DeleteAclsFilterResult(code, message) for _ in request.filters]
    return DeleteAclsResponse(filter_results=results)
