"""The broker that keeps a group: finding it, asking it, and noticing that another one does by now.

Must never know: what is asked, memberships.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import trio

from client.errors import (
    ConnectionBroken,
    NoBrokerReachable,
    RequestTimedOut,
    UnsupportedApi,
    error_code,
    refusal,
)
from client.metadata import Address
from client.pool import Lane
from protocol.api import ApiKey
from protocol.api.find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from protocol.errors import RETRIABLE_CODES, ErrorCode, OttlaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from client.cluster import Cluster
    from client.connection import Connection, Exchange

PROBE_S: Final = 3.0
"""After so long without an answer, the other brokers are asked whether the group has moved."""

_GROUP: Final = 0
_MANY_KEYS_SINCE: Final = 4


class GroupBroker:
    """The broker of one group, found when it is first needed and again when it is not there."""

    def __init__(self, cluster: Cluster, group_id: str) -> None:
        self.group_id = group_id
        self._cluster = cluster
        self._address: Address | None = None
        self._finding = trio.Lock()

    def forget(self) -> None:
        """Note that the group is kept elsewhere; it is looked for before the next request."""
        self._address = None

    async def ask(
        self,
        make_request: Callable[[Connection], object],
        *,
        lane: Lane = Lane.CONTROL,
        timeout_s: float | None = None,
    ) -> Any:
        """Ask once; what to ask may depend on the versions that the broker speaks.

        Looks for the broker first, for as long as that takes. A broker that is silent while the
        others say that the group has moved is left. Raises: ConnectionBroken (nobody knows whether
        it was done), UnsupportedApi, EncodeError, RequestError where the group is refused.
        """
        address = await self._find()
        try:
            connection = await self._cluster.pool.get(address, lane)
            exchange = connection.start(make_request(connection))
            if timeout_s is None:
                timeout_s = self._cluster.options.request_timeout_s
            return await self._await_answer(connection, exchange, address, timeout_s=timeout_s)
        except ConnectionBroken as error:
            self._cluster.last_error = error
            if self._address == address:
                self.forget()
            raise

    async def _find(self) -> Address:
        async with self._finding:
            backoff = self._cluster.backoff()
            while self._address is None:
                try:
                    self._address = await self._locate()
                except NoBrokerReachable as error:
                    if error.causes and all(isinstance(c, UnsupportedApi) for c in error.causes):
                        raise error.causes[0] from error
                    self._cluster.last_error = error
                    self._cluster.refresh_soon()
                    await trio.sleep(backoff.next_s())
            return self._address

    async def _locate(self) -> Address:
        """Ask the brokers where the group is kept. Raises: NoBrokerReachable, RequestError."""
        answer = await self._cluster.first_answer(self._question, _not_yet)
        code, address, detail = _read(answer)
        if code is not ErrorCode.NONE:
            raise refusal(code, f"group {self.group_id!r} cannot be used", detail=detail)
        return address

    def _question(self, connection: Connection) -> FindCoordinatorRequest:
        if connection.version_of(ApiKey.FIND_COORDINATOR) >= _MANY_KEYS_SINCE:
            return FindCoordinatorRequest(key_type=_GROUP, coordinator_keys=[self.group_id])
        return FindCoordinatorRequest(self.group_id, _GROUP)

    async def _await_answer(
        self, connection: Connection, exchange: Exchange, address: Address, *, timeout_s: float
    ) -> Any:
        exchange.awaited_until = trio.current_time() + timeout_s
        with trio.move_on_at(exchange.awaited_until):
            moved = False
            while not moved:
                with trio.move_on_after(PROBE_S):
                    return await exchange.wait()
                moved = await self._has_moved(address) and not exchange.done
        error = RequestTimedOut(
            f"{address} did not answer {exchange.api.name} within "
            f"{trio.current_time() - exchange.started_at:.1f} s"
        )
        connection.close(error)
        raise error

    async def _has_moved(self, address: Address) -> bool:
        try:
            return await self._locate() != address
        except OttlaError as error:
            self._cluster.last_error = error
            return False


def _read(answer: FindCoordinatorResponse) -> tuple[ErrorCode, Address, str | None]:
    """Read an answer of any version: from version 4 on it is in a list."""
    found = answer.coordinators[0] if answer.coordinators else answer
    return error_code(found.error_code), Address(found.host, found.port), found.error_message


def _not_yet(answer: FindCoordinatorResponse, asked: Address) -> OttlaError | None:
    """Say why another broker should be asked: this one does not know, or not yet."""
    code, _, detail = _read(answer)
    if code in RETRIABLE_CODES:
        return refusal(code, f"{asked} does not know where the group is kept", detail=detail)
    return None
