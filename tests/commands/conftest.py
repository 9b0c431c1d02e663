"""A cluster of real processes for the commands that need one."""

from __future__ import annotations

import pytest

from tests.support.command_line import running_cluster


@pytest.fixture(scope="module")
def ottla(tmp_path_factory):
    """A cluster of three brokers in the background."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as ottla:
        yield ottla
