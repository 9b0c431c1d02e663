"""SaslHandshake: what a client is told that wants to authenticate."""

from __future__ import annotations

import pytest

from protocol.api import ApiKey
from protocol.api.api_versions import ApiVersionsRequest
from protocol.api.sasl_handshake import SaslHandshakeRequest, SaslHandshakeResponse
from protocol.errors import ErrorCode


@pytest.mark.parametrize("version", [0, 1])
async def test_there_is_no_mechanism(ask, version):
    response = await ask(SaslHandshakeRequest(mechanism="PLAIN"), version=version)

    assert response == SaslHandshakeResponse(ErrorCode.ILLEGAL_SASL_STATE, [])


async def test_it_is_offered_as_by_kafka(ask):
    offered = {each.api_key for each in (await ask(ApiVersionsRequest())).api_keys}
    assert ApiKey.SASL_HANDSHAKE in offered
