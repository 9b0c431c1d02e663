"""FindCoordinator: where a group's broker is."""

from __future__ import annotations

import pytest

from coordinator.groups.owner import owner_of
from protocol.api.find_coordinator import FindCoordinatorRequest
from protocol.errors import ErrorCode


@pytest.mark.parametrize("version", range(7))
async def test_every_broker_names_the_same_owner_in_every_version(version, ask, autojump_clock):
    expected = owner_of("g", ask.cluster.brokers)
    for broker_id in ask.cluster.brokers:
        request = FindCoordinatorRequest(key="g")
        if version >= 4:
            request = FindCoordinatorRequest(coordinator_keys=["g"])
        answer = await ask(request, version=version, broker_id=broker_id)
        found = answer if version < 4 else answer.coordinators[0]

        assert (found.error_code, found.node_id) == (ErrorCode.NONE, expected)
        assert found.host == f"broker-{expected}"


@pytest.mark.parametrize("version", range(7))
@pytest.mark.parametrize(
    ("key", "key_type", "code"),
    [
        ("t", 1, ErrorCode.UNSUPPORTED_VERSION),
        ("g", 9, ErrorCode.INVALID_REQUEST),
        ("", 0, ErrorCode.INVALID_GROUP_ID),
        ("g" * 1_025, 0, ErrorCode.INVALID_GROUP_ID),
    ],
)
async def test_what_has_no_owner_is_refused(version, key, key_type, code, ask, autojump_clock):
    if version == 0 and key_type != 0:
        pytest.skip("version 0 knows groups alone")
    request = FindCoordinatorRequest(key=key, key_type=key_type)
    if version >= 4:
        request = FindCoordinatorRequest(key_type=key_type, coordinator_keys=[key, key])
    answer = await ask(request, version=version)

    codes = [answer.error_code] if version < 4 else [c.error_code for c in answer.coordinators]
    assert set(codes) == {code}
