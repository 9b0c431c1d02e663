"""FindCoordinator: where a group's broker is."""

from __future__ import annotations

import pytest

from broker.handlers.find_coordinator import KEYS_MAX
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


REFUSED = [
    ("t", 1, ErrorCode.UNSUPPORTED_VERSION),
    ("g", 9, ErrorCode.INVALID_REQUEST),
    ("", 0, ErrorCode.INVALID_GROUP_ID),
    ("g" * 1_025, 0, ErrorCode.INVALID_GROUP_ID),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "key", "key_type", "code"),
    [
        (version, *refused)
        for refused in REFUSED
        for version in range(7)
        if version > 0 or refused[1] == 0  # version 0 knows groups alone
    ],
)
async def test_what_has_no_owner_is_refused(version, key, key_type, code, ask, autojump_clock):
    request = FindCoordinatorRequest(key=key, key_type=key_type)
    if version >= 4:
        request = FindCoordinatorRequest(key_type=key_type, coordinator_keys=[key, key])
    answer = await ask(request, version=version)

    codes = [answer.error_code] if version < 4 else [c.error_code for c in answer.coordinators]
    assert set(codes) == {code}


async def test_more_keys_than_can_be_answered_at_once_are_refused(ask, autojump_clock):
    keys = [""] * (KEYS_MAX + 1)

    answer = await ask(FindCoordinatorRequest(coordinator_keys=keys), version=4)

    assert {c.error_code for c in answer.coordinators} == {ErrorCode.INVALID_REQUEST}
    assert len(answer.coordinators) == KEYS_MAX
