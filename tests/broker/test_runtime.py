"""A broker of this machine: how many of its file descriptors clients may have."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from broker.config import BrokerConfig
from broker.runtime import make_broker


@pytest.mark.parametrize(
    ("properties", "level"), [({}, "info"), ({"max.connections": "3000"}, "warning")]
)
def test_it_is_told_where_there_are_descriptors_for_fewer_connections(properties, level):
    with capture_logs() as told:
        make_broker(BrokerConfig.parse(properties), open_files_max=4_096)

    (bounded,) = told
    assert bounded["event"] == "connections_bounded"
    assert (bounded["log_level"], bounded["connections"]) == (level, 2_048)


def test_nothing_is_told_where_there_are_descriptors_enough():
    with capture_logs() as told:
        make_broker(BrokerConfig.parse({"max.connections": "2048"}), open_files_max=4_096)

    assert not told
