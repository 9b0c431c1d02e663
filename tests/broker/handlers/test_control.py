"""The way to the controller: ours, another's, one that is yet to be elected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import trio
from msgspec.structs import replace

from broker.dispatch import RequestContext
from broker.errors import PeerUnknown
from broker.handlers.control import (
    CATCH_UP_S,
    CONTROLLER_WAIT_S,
    PEER_CLIENT_ID_PREFIX,
    Control,
)
from broker.view import ClusterView
from client.errors import ConnectFailed, ConnectionBroken
from coordinator.cluster import NO_CONTROLLER, ClusterState
from coordinator.errors import NotController
from protocol.api import ApiKey
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

US, OTHER = 1, 2


def context(client_id: str = "tests") -> RequestContext:
    return RequestContext(ApiKey.CREATE_TOPICS, 7, 1, client_id, "peer", "PLAINTEXT")


class World:
    """A cluster whose controller can be named, and whose brokers answer as they are told."""

    def __init__(self, controller_id: int) -> None:
        self.cluster = ClusterState(controller_id=controller_id)
        self.forwarded: list[tuple[Any, int]] = []
        self.failure: Exception | None = None
        self._elected = trio.Event()

    def control(self) -> Control:
        def nobody() -> Any:
            raise NotImplementedError

        return Control(
            US,
            cluster=lambda: self.cluster,
            wait_heard=self.wait_for,
            wait_for=self.wait_for,
            controller=nobody,
            forward=self.forward,
        )

    async def ask(
        self,
        client_id: str = "tests",
        *,
        shows: Callable[[str, ClusterState], bool] = lambda _answer, _cluster: True,
    ) -> str:
        control = self.control()
        return await control.carry_out("request", context(client_id), self.decide, shows=shows)

    async def wait_for(
        self, predicate: Callable[[ClusterState], bool], *, timeout_s: float
    ) -> bool:
        with trio.move_on_after(timeout_s):
            while not predicate(self.cluster):
                await self._elected.wait()
        return predicate(self.cluster)

    async def forward(self, request: Any, *, version: int) -> str:
        self.forwarded.append((request, version))
        if self.failure is not None:
            raise self.failure
        return "theirs"

    async def decide(self, _request: Any) -> str:
        if self.cluster.controller_id != US:
            raise NotController(controller_id=self.cluster.controller_id)
        return "ours"

    async def elect(self, broker_id: int, *, after_s: float) -> None:
        await trio.sleep(after_s)
        self.cluster = replace(self.cluster, controller_id=broker_id)
        elected, self._elected = self._elected, trio.Event()
        elected.set()


async def test_our_own_controller_decides_where_it_is_active(autojump_clock):
    world = World(US)

    assert await world.ask() == "ours"
    assert world.forwarded == []


async def test_a_request_goes_to_the_controllers_broker_in_its_own_version(autojump_clock):
    world = World(OTHER)

    assert await world.ask() == "theirs"
    assert world.forwarded == [("request", 7)]


async def test_what_a_broker_asks_is_not_passed_on(autojump_clock):
    world = World(OTHER)

    with pytest.raises(NotController):
        await world.ask(f"{PEER_CLIENT_ID_PREFIX}3")
    assert world.forwarded == []


@pytest.mark.parametrize("elected", [US, OTHER])
async def test_a_request_waits_for_an_election(elected, autojump_clock, nursery):
    world = World(NO_CONTROLLER)
    nursery.start_soon(lambda: world.elect(elected, after_s=2))

    answer = await world.ask()

    assert answer == {US: "ours", OTHER: "theirs"}[elected]
    assert trio.current_time() == pytest.approx(2, abs=0.2)


async def test_waiting_for_an_election_ends(autojump_clock):
    world = World(NO_CONTROLLER)

    with pytest.raises(NotController):
        await world.ask()
    assert trio.current_time() == pytest.approx(CONTROLLER_WAIT_S, abs=0.2)


async def test_waiting_gives_way_while_this_broker_is_yet_to_act_on_what_it_has_heard(
    autojump_clock,
):
    world, view, asked = World(NO_CONTROLLER), ClusterView(), 0
    view.publish(ClusterState(controller_id=OTHER))
    view.hear(world.cluster)

    async def decide(request: Any) -> str:
        nonlocal asked
        asked += 1
        assert asked < 1000, "it asks again without waiting"
        return await world.decide(request)

    control = replace(
        world.control(),
        cluster=lambda: view.latest,
        wait_heard=view.wait_heard,
        wait_for=view.wait_for,
    )
    with pytest.raises(NotController):
        await control.carry_out("request", context(), decide, shows=lambda *_: True)
    assert trio.current_time() == pytest.approx(CONTROLLER_WAIT_S, abs=0.2)


@pytest.mark.parametrize("failure", [PeerUnknown("gone"), ConnectFailed("host:1", "refused")])
async def test_a_controller_that_cannot_be_reached_is_awaited(failure, autojump_clock, nursery):
    world = World(OTHER)
    world.failure = failure
    nursery.start_soon(lambda: world.elect(US, after_s=1))

    assert await world.ask() == "ours"


async def test_a_lost_answer_is_an_unknown_outcome_and_never_asked_again(autojump_clock):
    world = World(OTHER)
    world.failure = ConnectionBroken("reset")

    with pytest.raises(RequestError) as caught:
        await world.ask()

    assert caught.value.code == ErrorCode.REQUEST_TIMED_OUT
    assert len(world.forwarded) == 1


async def test_an_answer_waits_until_this_broker_shows_what_was_done(autojump_clock, nursery):
    world = World(US)
    nursery.start_soon(lambda: world.elect(OTHER, after_s=2))

    answer = await world.ask(shows=lambda _, cluster: cluster.controller_id == OTHER)

    assert answer == "ours"
    assert trio.current_time() == pytest.approx(2, abs=0.02)


async def test_an_answer_does_not_wait_for_ever_for_this_broker_to_show_it(autojump_clock):
    world = World(US)

    assert await world.ask(shows=lambda _answer, _cluster: False) == "ours"
    assert trio.current_time() == pytest.approx(CATCH_UP_S, abs=0.02)
