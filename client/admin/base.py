"""What all parts of the admin share: its configuration, its lifetime, asking the controller.

Must never know: what is asked.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import trio
from msgspec import Struct

from client.cluster import open_cluster
from client.cluster_options import ClusterOptions
from client.coordinators import Coordinators
from client.errors import NoBrokerReachable, NothingSent, WaitTimedOut, refusal
from client.lifetime import Client
from protocol.errors import ErrorCode, OttlaError, RequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from client.cluster import Cluster
    from client.environment import Environment


_REQUEST_SHARE: Final = 0.9
"""What one request may take of a method's time: there must be some left to name who is silent."""


class AdminConfig(Struct, frozen=True, kw_only=True):
    """How an admin works; `timeout_s` bounds each of its methods, elections included."""

    client_id: str = "ottla-admin"
    timeout_s: float = 30.0


class AdminBase(Client):
    """A connected admin that has nothing to do yet; its parts inherit from it."""

    role = "admin"

    def __init__(
        self,
        bootstrap: str | Sequence[str],
        config: AdminConfig | None = None,
        *,
        environment: Environment | None = None,
    ) -> None:
        """Prepare for a cluster reached through `host:port,host:port`; nothing is sent yet."""
        super().__init__(bootstrap, environment)
        self.config = config or AdminConfig()
        self._parts: tuple[Cluster, Coordinators] | None = None

    @asynccontextmanager
    async def _live(self) -> AsyncIterator[None]:
        options = ClusterOptions(
            client_id=self.config.client_id,
            request_timeout_s=self.config.timeout_s * _REQUEST_SHARE,
            environment=self._environment,
        )
        async with open_cluster(self._bootstrap, options) as cluster:
            self._parts = cluster, Coordinators(cluster)
            try:
                yield
            finally:
                self._parts = None

    @property
    def _cluster(self) -> Cluster:
        return self._running()[0]

    @property
    def _coordinators(self) -> Coordinators:
        return self._running()[1]

    def _running(self) -> tuple[Cluster, Coordinators]:
        if self._parts is None:
            raise self._not_open()
        return self._parts

    @property
    def _timeout_ms(self) -> int:
        return int(self.config.timeout_s * 1000)

    async def _live_brokers(self) -> list[int]:
        """List the brokers that live now; what an admin knows may be minutes old.

        Raises: NoBrokerReachable, WaitTimedOut.
        """
        cluster = self._cluster
        with trio.move_on_after(self.config.timeout_s):
            await cluster.refresh()
            return sorted(cluster.metadata.brokers)
        raise WaitTimedOut("news of the brokers", self.config.timeout_s, last_cause=None)

    async def _ask_broker(self, broker_id: int, request: object) -> Any:
        """Ask one broker, which may have come a moment ago, or have moved.

        Raises: ConnectionBroken, NoBrokerReachable, RequestTimedOut, UnsupportedApi, WaitTimedOut.
        """
        cluster = self._cluster
        with trio.move_on_after(self.config.timeout_s):
            await cluster.refresh()
            return await cluster.call(broker_id, request)
        raise WaitTimedOut(f"broker {broker_id}", self.config.timeout_s, last_cause=None)

    async def _ask_controller(self, request: object, codes: Callable[[Any], Sequence[int]]) -> Any:
        """Ask the controller, the next one where it is not any more.

        A connection that breaks while the answer is awaited is not tried again: the change may have
        been made. Nor is a controller that is silent until there is another, or until the time is
        up. Raises: ConnectionBroken, RequestTimedOut, WaitTimedOut.
        """
        cluster = self._cluster
        backoff = cluster.backoff()
        last: OttlaError | None = None
        with trio.move_on_after(self.config.timeout_s):
            while True:
                try:
                    response = await cluster.call_controller(request)
                    if ErrorCode.NOT_CONTROLLER not in codes(response):
                        return response
                    last = refusal(ErrorCode.NOT_CONTROLLER, "the cluster elects a controller")
                except NothingSent as error:
                    last = error
                await trio.sleep(backoff.next_s())
                try:
                    await cluster.refresh()
                except NoBrokerReachable as error:
                    last = error
        cluster.refresh_soon()
        raise WaitTimedOut("the controller", self.config.timeout_s, last_cause=last)


def refused(result: Any, what: str) -> RequestError | None:
    """Give the error for a result that carries a code, and perhaps a sentence; None for success."""
    if not result.error_code:
        return None
    return refusal(result.error_code, what, detail=getattr(result, "error_message", None) or None)


def raise_refused(result: Any, what: str) -> None:
    """Raise the error of a result that carries a code. Raises: RequestError."""
    error = refused(result, what)
    if error is not None:
        raise error
