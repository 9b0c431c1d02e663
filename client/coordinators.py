"""Which broker keeps a group: asking for it, and remembering it until it turns out to be another.

A group moves when its broker dies; whoever is asked in vain says so, and it is looked for again.
Must never know: what groups are asked for, members, offsets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from client.errors import NoBrokerReachable, UnsupportedApi, WaitTimedOut, error_code, refusal
from protocol.api import ApiKey
from protocol.api.find_coordinator import FindCoordinatorRequest
from protocol.errors import ErrorCode, OttlaError, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from client.cluster import Cluster
    from client.connection import Connection
    from client.metadata import Address
    from protocol.api.find_coordinator import FindCoordinatorResponse

MOVED_CODES: Final = frozenset(
    {
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
"""Refusals after which the group's broker is looked for again, or left a moment to get ready."""

_SEVERAL_KEYS_SINCE: Final = 4


async def find_coordinators(
    cluster: Cluster, group_ids: Iterable[str], *, timeout_s: float
) -> dict[str, int | RequestError]:
    """Find the id of the live broker that keeps each group, or why it is refused.

    Waits while a group has none. Raises: UnsupportedApi, WaitTimedOut.
    """
    search = _Search(cluster, group_ids)
    backoff = cluster.backoff()
    with trio.move_on_after(timeout_s):
        while search.missing:
            if not await search.ask():
                await search.look_around()
                await trio.sleep(backoff.next_s())
        return search.found
    named = ", ".join(search.missing)
    raise WaitTimedOut(f"the coordinator of {named}", timeout_s, last_cause=search.last_error)


class Coordinators:
    """The brokers of groups, as far as they are known."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[str, int] = {}

    async def find(
        self, group_ids: Iterable[str], *, timeout_s: float
    ) -> dict[str, int | RequestError]:
        """Give the broker of each group, looking for those not known.

        Raises: UnsupportedApi, WaitTimedOut.
        """
        asked = tuple(group_ids)
        found: dict[str, int | RequestError] = {
            group_id: self._known[group_id] for group_id in asked if group_id in self._known
        }
        unknown = [group_id for group_id in asked if group_id not in found]
        if unknown:
            found |= await find_coordinators(self._cluster, unknown, timeout_s=timeout_s)
            self._known |= {key: at for key, at in found.items() if isinstance(at, int)}
        return found

    def forget(self, group_id: str) -> None:
        """Look for the group's broker again when it is needed next."""
        self._known.pop(group_id, None)


class _Search:
    """One search; `missing` are the groups without an answer yet."""

    def __init__(self, cluster: Cluster, group_ids: Iterable[str]) -> None:
        self.missing = dict.fromkeys(group_ids)
        self.found: dict[str, int | RequestError] = {}
        self.last_error: OttlaError | None = None
        self._cluster = cluster

    async def ask(self) -> bool:
        """Ask some broker for all that is missing, or for one group where it takes one only.

        Returns: whether that brought a final answer. Raises: UnsupportedApi.
        """
        missing = len(self.missing)
        try:
            response: FindCoordinatorResponse = await self._cluster.first_answer(
                self._question, _fault_of
            )
        except NoBrokerReachable as error:
            self.last_error = error.causes[-1] if error.causes else error
            if error.causes and all(isinstance(cause, UnsupportedApi) for cause in error.causes):
                raise error.causes[-1] from error
            return False
        if response.coordinators:
            for one in response.coordinators:
                self._take(one.key, one.error_code, one.node_id, one.error_message)
        else:
            first = next(iter(self.missing))
            self._take(first, response.error_code, response.node_id, response.error_message)
        return len(self.missing) < missing

    async def look_around(self) -> None:
        """Learn which brokers live: one that is named but not known cannot be asked."""
        try:
            await self._cluster.refresh()
        except NoBrokerReachable as error:
            self.last_error = error

    def _question(self, connection: Connection) -> FindCoordinatorRequest:
        group_ids = list(self.missing)
        if connection.version_of(ApiKey.FIND_COORDINATOR) >= _SEVERAL_KEYS_SINCE:
            return FindCoordinatorRequest(coordinator_keys=group_ids)
        return FindCoordinatorRequest(key=group_ids[0])

    def _take(self, group_id: str, code: int, node_id: int, detail: str | None) -> None:
        if code:
            error = refusal(code, f"finding the coordinator of {group_id!r}", detail=detail or None)
            self.last_error = error
            if error_code(code) not in MOVED_CODES:
                self.found[group_id] = error
                self.missing.pop(group_id, None)
        elif node_id in self._cluster.metadata.brokers:
            self.found[group_id] = node_id
            self.missing.pop(group_id, None)
        else:
            self.last_error = OttlaError(f"broker {node_id}, which keeps {group_id!r}, is not live")


def _fault_of(answer: FindCoordinatorResponse, asked: Address) -> OttlaError | None:
    """Say why another broker should be asked: of no group does this one know the keeper, or yet."""
    codes = [one.error_code for one in answer.coordinators] or [answer.error_code]
    if not all(code in MOVED_CODES for code in codes):
        return None
    return refusal(codes[0], f"{asked} knows no coordinator of what it was asked for")
