"""A cluster of real processes for the commands that need one."""

from __future__ import annotations

import socket

import pytest

from tests.support.command_line import running_cluster


@pytest.fixture(scope="module")
def ottla(tmp_path_factory):
    """A cluster of three brokers in the background."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as ottla:
        yield ottla


@pytest.fixture
def taken_port():
    """A port that this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
