"""ACLs: what a client is told that asks for them, or wants to change them."""

from __future__ import annotations

import pytest

from broker.handlers.acls import NO_AUTHORIZER
from protocol.api.create_acls import AclCreation, AclCreationResult, CreateAclsRequest
from protocol.api.delete_acls import DeleteAclsFilter, DeleteAclsFilterResult, DeleteAclsRequest
from protocol.api.describe_acls import DescribeAclsRequest, DescribeAclsResponse
from protocol.errors import ErrorCode

REFUSED = (ErrorCode.SECURITY_DISABLED, NO_AUTHORIZER)


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_nobody_is_authorized(ask, version):
    described = await ask(DescribeAclsRequest(), version=version)
    created = await ask(CreateAclsRequest([AclCreation(), AclCreation()]), version=version)
    deleted = await ask(DeleteAclsRequest([DeleteAclsFilter()]), version=version)

    assert described == DescribeAclsResponse(0, *REFUSED)
    assert created.results == [AclCreationResult(*REFUSED)] * 2
    assert deleted.filter_results == [DeleteAclsFilterResult(*REFUSED)]
