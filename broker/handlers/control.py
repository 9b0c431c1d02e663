"""The way of a request to the controller: to our own where it is active, else to its broker.

Clients may send what changes the cluster to any broker. A request is passed on once at most: two
brokers that take each other for the controller must not play ball with it.
Must never know: what the requests change, how brokers are reached.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import structlog
import trio
from msgspec import Struct

from broker.errors import PeerUnknown
from client.errors import ConnectFailed
from coordinator.cluster import NO_CONTROLLER
from coordinator.errors import NotController
from protocol.errors import ErrorCode, OttlaError, RequestError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from broker.dispatch import RequestContext
    from coordinator.cluster import ClusterState
    from coordinator.controller import Controller

log_events = structlog.get_logger()

R = TypeVar("R")

PEER_CLIENT_ID_PREFIX = "ottla-broker-"
"""Client ids that begin so belong to brokers; what they ask is not passed on again."""

CONTROLLER_WAIT_S = 5.0
"""How long a request waits for a controller to be elected."""

CATCH_UP_S = 5.0
"""How long an answer waits for this broker to show what was done."""

RETRY_S = 0.1
"""How long until it is tried again where nothing has changed in our view."""


class WaitFor(Protocol):
    """Waits until the cluster is as wanted."""

    async def __call__(
        self, predicate: Callable[[ClusterState], bool], *, timeout_s: float
    ) -> bool:
        """Return True once `predicate` holds, False after `timeout_s`."""


class GetController(Protocol):
    """Finds this broker's controller, which lives as long as a session with the coordinator."""

    def __call__(self) -> Controller:
        """Give it, active or not. Raises: NotController between sessions."""


class Forward(Protocol):
    """Sends a request to the broker that is the controller now."""

    async def __call__(self, request: Any, *, version: int) -> Any:
        """Give its answer.

        Raises: PeerUnknown, ConnectFailed (nothing was sent), OttlaError (the outcome is unknown).
        """


class Control(Struct, frozen=True):
    """What a handler needs to have the controller decide.

    `cluster` is the newest that was heard of, which `wait_heard` waits for; `wait_for` waits for
    what this broker has acted on, and shows.
    """

    broker_id: int
    cluster: Callable[[], ClusterState]
    wait_heard: WaitFor
    wait_for: WaitFor
    controller: GetController
    forward: Forward

    async def carry_out(
        self,
        request: Any,
        context: RequestContext,
        decide: Callable[[Any], Awaitable[R]],
        *,
        shows: Callable[[R, ClusterState], bool],
    ) -> R:
        """Let our controller `decide(request)`, or the active one; wait for one to be elected.

        `shows` says whether a cluster is as an answer claims. A client is answered once this broker
        shows it, for some time at least: whoever asks here next shall find what was done.
        Raises: RequestError.
        """
        answer = await self._decided(request, context, decide)
        if not is_from_broker(context):
            await self.wait_for(partial(shows, answer), timeout_s=CATCH_UP_S)
        return answer

    async def _decided(
        self, request: Any, context: RequestContext, decide: Callable[[Any], Awaitable[R]]
    ) -> R:
        deadline = trio.current_time() + CONTROLLER_WAIT_S
        while True:
            controller_id = self.cluster().controller_id
            try:
                return await decide(request)
            except NotController:
                if is_from_broker(context) or trio.current_time() >= deadline:
                    raise
            if controller_id not in (NO_CONTROLLER, self.broker_id):
                try:
                    answer: R = await self.forward(request, version=context.api_version)
                except (PeerUnknown, ConnectFailed) as error:
                    log_events.info("controller_unreachable", reason=str(error))
                except OttlaError as error:
                    raise RequestError.of(
                        ErrorCode.REQUEST_TIMED_OUT,
                        f"broker {controller_id}, the controller, did not answer ({error}): "
                        "look whether it was done, and ask again if not",
                    ) from error
                else:
                    return answer
            # Of the same view: where they differ this would go round without ever waiting.
            await self.wait_heard(partial(_is_led_by_another, controller_id), timeout_s=RETRY_S)


def no_change(_answer: Any, _cluster: ClusterState) -> bool:
    """Serve as `shows` where nothing is done."""
    return True


def _is_led_by_another(controller_id: int, cluster: ClusterState) -> bool:
    return cluster.controller_id != controller_id


def is_from_broker(context: RequestContext) -> bool:
    """Say whether another broker asks, on a client's behalf or its own."""
    return (context.client_id or "").startswith(PEER_CLIENT_ID_PREFIX)
