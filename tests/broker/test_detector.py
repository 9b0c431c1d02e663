"""Who is taken for dead, and who is only out of reach."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from broker.detector import FailureDetector
from broker.errors import PeerUnknown
from coordinator.cluster import BrokerRegistration, ClusterState, Endpoint

US, PEER = 1, 2


def cluster() -> ClusterState:
    endpoints = (Endpoint("peer", 9092),)
    peer = BrokerRegistration(PEER, 40, endpoints, None, "directory", clean=True, epoch_version=0)
    return ClusterState(controller_id=US, brokers={PEER: peer})


@pytest.fixture
def watch(nursery):
    """Watch the peer over connections that end as the errors say; return whom it found dead.

    None stands for a connection that the peer closes.
    """

    def begin(*errors: Exception | None) -> list[BrokerRegistration]:
        ends, dead = iter(errors), []

        async def open_stream(_peer_id: int) -> trio.abc.Stream:
            await trio.lowlevel.checkpoint()
            if (error := next(ends)) is not None:
                raise error
            ours, theirs = trio.testing.memory_stream_pair()
            await theirs.aclose()
            return ours

        async def remove_dead(registration: BrokerRegistration) -> bool:
            await trio.lowlevel.checkpoint()
            dead.append(registration)
            return True

        async def never(_: ClusterState) -> ClusterState:
            await trio.sleep_forever()
            raise AssertionError

        detector = FailureDetector(US, open_stream=open_stream, remove_dead=remove_dead)
        nursery.start_soon(detector.run, cluster(), never)
        return dead

    return begin


async def test_a_peer_that_refuses_a_connection_is_removed_once(watch, autojump_clock):
    dead = watch(ConnectionRefusedError())

    await trio.sleep(1)

    assert [registration.broker_epoch for registration in dead] == [40]


async def test_a_peer_that_is_not_known_yet_is_watched_all_the_same(watch, autojump_clock):
    dead = watch(PeerUnknown("not seen yet"), OSError("no way"), ConnectionRefusedError())

    await trio.sleep(1)

    assert len(dead) == 1


async def test_an_outage_is_told_once_for_each_reason(watch, autojump_clock):
    no_route, no_answer = OSError("no route"), OSError("no answer")

    with capture_logs() as logs:
        watch(*[no_route] * 9, *[no_answer] * 9, None, no_answer, ConnectionRefusedError())
        await trio.sleep(60)

    told = [log["error"] for log in logs if log["event"] == "peer_unreachable"]
    assert told == ["no route", "no answer", "no answer"]


async def test_a_peer_out_of_reach_is_tried_less_often_until_it_is_reached(watch, autojump_clock):
    dead = watch(*[OSError("no route")] * 60, None, ConnectionRefusedError())

    await trio.sleep(54.2)  # 1.27 s for the first seven attempts, then one a second
    assert not dead
    await trio.sleep(0.1)  # reached, left, and refused at once
    assert dead
