"""The pytest fixture `ottla_cluster`: a cluster of real processes for one test of your own.

    @pytest.mark.ottla(brokers=3, settings={"min.insync.replicas": "2"})
    def test_my_service_survives_a_broker(ottla_cluster):
        service = MyService(ottla_cluster.bootstrap)
        ottla_cluster.kill(2)
        ...
        ottla_cluster.check()

Must never know: what a cluster is made of (chaos/running.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.running import RunningCluster

MARKER = "ottla(brokers=3, settings={}): the cluster that the fixture ottla_cluster starts"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def ottla_cluster(request: pytest.FixtureRequest) -> Iterator[RunningCluster]:
    """Start a cluster for this test; whatever the test leaves of it is ended.

    Raises: ClusterTrouble.
    """
    from chaos.running import RunningCluster  # noqa: PLC0415 - most test runs need none

    marker = request.node.get_closest_marker("ottla")
    options = {} if marker is None else marker.kwargs
    if marker is not None and marker.args:
        pytest.fail(f"name what {marker.args} is: @pytest.mark.ottla(brokers=...)", pytrace=False)
    directory = request.getfixturevalue("tmp_path") / "ottla"
    cluster = RunningCluster(directory, **options)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()
