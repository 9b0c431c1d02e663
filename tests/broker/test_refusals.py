"""Every API can say an error, in every version: faults are planted, stores and disks fail."""

from __future__ import annotations

import pytest

from broker.routes import routes
from protocol.api import API
from protocol.errors import EncodeError, ErrorCode, RequestError
from protocol.framing import encode_response
from simulation.cluster import simulated_cluster
from tests.support.populated import populated


@pytest.mark.parametrize("said", ["broken", "there is no topic " + "\U0001f986" * 9_000])
async def test_an_error_for_all_that_was_asked_can_be_written_in_every_version(
    said, autojump_clock
):
    message = str(RequestError(said))
    failures = []
    async with simulated_cluster(1) as cluster:
        for key, route in routes(cluster.brokers[1].broker).items():
            for served in filter(None, (route, route.older)):
                if served.refuse is None:
                    continue
                for version in range(served.min_version, served.max_version + 1):
                    request = populated(served.request or API[key].request, version)
                    answer = served.refuse(request, ErrorCode.UNKNOWN_SERVER_ERROR, message)
                    try:
                        encode_response(answer, api_version=version, correlation_id=1)
                    except EncodeError as error:
                        failures.append(f"{key.name} {version}: {error}")

    assert failures == []
