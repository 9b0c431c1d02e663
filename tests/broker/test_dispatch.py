"""The table of routes: what is found in it, and what is not."""

from __future__ import annotations

import pytest

from broker.dispatch import Dispatch, Route
from broker.errors import CannotAnswer
from protocol.api import ApiKey
from protocol.api.heartbeat import HeartbeatRequest, HeartbeatResponse


def handle(_request: object, _context: object) -> HeartbeatResponse:
    return HeartbeatResponse()


def other(_request: object, _context: object) -> HeartbeatResponse:
    return HeartbeatResponse()


def test_a_version_is_served_by_its_route():
    dispatch = Dispatch({ApiKey.HEARTBEAT: Route(handle, 1, 3)})

    target = dispatch.find(ApiKey.HEARTBEAT, 3)

    assert (target.handler, target.request, target.answer_version) == (handle, HeartbeatRequest, 3)


@pytest.mark.parametrize(
    ("key", "version", "said"),
    [
        (ApiKey.HEARTBEAT, 0, "Heartbeat is not served in version 0"),
        (ApiKey.HEARTBEAT, 4, "Heartbeat is not served in version 4"),
        (ApiKey.FETCH, 4, "Fetch is not served in version 4"),
        (999, 0, "API 999 is not served in version 0"),
        (ApiKey.API_VERSIONS, 0, "ApiVersions is not served in version 0"),
    ],
)
def test_what_is_not_in_the_table_cannot_be_answered(key, version, said):
    dispatch = Dispatch({ApiKey.HEARTBEAT: Route(handle, 1, 3)})

    with pytest.raises(CannotAnswer, match=said):
        dispatch.find(key, version)


def test_older_versions_have_a_handler_of_their_own_and_are_advertised():
    route = Route(handle, 2, 4, older=Route(other, 0, 1))
    dispatch = Dispatch({ApiKey.HEARTBEAT: route})

    assert route.advertised_min_version == 0
    assert dispatch.find(ApiKey.HEARTBEAT, 1).handler is other
    assert dispatch.find(ApiKey.HEARTBEAT, 2).handler is handle


def test_two_routes_for_one_version_are_a_bug():
    with pytest.raises(AssertionError):
        Dispatch({ApiKey.HEARTBEAT: Route(handle, 1, 4, older=Route(other, 0, 1))})
