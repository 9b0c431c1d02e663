"""DescribeAcls, CreateAcls, DeleteAcls: there is no authorizer, which is said as Kafka says it.

Tools know that answer: MirrorMaker then copies no ACLs, and logs no error.
Must never know: who is connected. Source: KIP-140.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from protocol.api.create_acls import AclCreationResult, CreateAclsResponse
from protocol.api.delete_acls import DeleteAclsFilterResult, DeleteAclsResponse
from protocol.api.describe_acls import DescribeAclsResponse
from protocol.errors import ErrorCode

if TYPE_CHECKING:
    from broker.dispatch import Handler, Refuse

NO_AUTHORIZER: Final = (
    "there is no authorizer: whoever reaches a broker may do everything, and only the network "
    "keeps others out"
)


def without_authorizer(refuse: Refuse) -> Handler:
    """Make what refuses all that is asked for: SECURITY_DISABLED."""
    return lambda request, _: refuse(request, ErrorCode.SECURITY_DISABLED, NO_AUTHORIZER)


def refuse_describe(_request: Any, code: ErrorCode, message: str) -> DescribeAclsResponse:
    """Answer with an error."""
    return DescribeAclsResponse(error_code=code, error_message=message)


def refuse_create(request: Any, code: ErrorCode, message: str) -> CreateAclsResponse:
    """Answer with an error for each."""
    return CreateAclsResponse(results=[AclCreationResult(code, message) for _ in request.creations])


def refuse_delete(request: Any, code: ErrorCode, message: str) -> DeleteAclsResponse:
    """Answer with an error for each."""
    results = [DeleteAclsFilterResult(code, message) for _ in request.filters]
    return DeleteAclsResponse(filter_results=results)
