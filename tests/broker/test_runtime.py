"""A broker of this machine: its file descriptors, of which clients may have many, its threads."""

from __future__ import annotations

import threading

import pytest
import trio
import trio.testing
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


async def test_a_broker_that_stops_does_not_wait_for_what_it_has_done_in_a_thread(monkeypatch):
    monkeypatch.setattr("broker.broker.Broker", lambda _, **given: given)
    given = make_broker(BrokerConfig.parse({}), open_files_max=4_096)
    goes_on, ended = threading.Event(), []

    def work():
        ended.append(goes_on.wait(10))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(given["run_in_thread"], work)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert not ended
    goes_on.set()
