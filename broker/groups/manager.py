"""Consumer groups as handlers see them: whose a group is, and the way into those that are ours.

Must never know: messages, what is done with a group, how it is claimed and kept (`serving`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar
from uuid import UUID

import trio

from broker.groups.serving import GroupsHouse, GroupsSession
from coordinator.errors import NotGroupOwner
from coordinator.groups.owner import group_brokers, owner_of
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

    from broker.groups.config import GroupConfig
    from broker.groups.group import GroupRules
    from broker.groups.hosted import HostedGroup
    from broker.groups.serving import Act
    from broker.groups.waiting import Deferred
    from broker.lease import Lease
    from broker.view import ClusterView
    from client.environment import Environment
    from coordinator.store import Store

T = TypeVar("T")

GROUP_ID_CHARACTERS_MAX: Final = 1_024
CLAIMS_WAIT_S: Final = 5.0


class Groups:
    """All groups of one broker: none between sessions with the coordinator."""

    def __init__(
        self,
        broker_id: int,
        config: GroupConfig,
        *,
        view: ClusterView,
        lease: Lease,
        environment: Environment,
    ) -> None:
        self._broker_id = broker_id
        self._view = view
        self._lease = lease
        self._random = environment.random
        self._session: GroupsSession | None = None
        self._house = GroupsHouse(
            broker_id=broker_id,
            config=config,
            view=view,
            is_mine=lambda group_id: self.owner(group_id) == broker_id,
            new_id=self._new_id,
            wall_ms=environment.wall_ms,
        )

    def owner(self, group_id: str) -> int:
        """Give the id of the broker whose group this is; -1 where there is none.

        Without the lease that is never this broker: others may have been given its groups.
        """
        brokers = group_brokers(self._view.latest)
        if not self._lease.held():
            brokers = tuple(each for each in brokers if each != self._broker_id)
        return owner_of(group_id, brokers)

    def rules(self) -> GroupRules:
        """Give what is demanded of members now."""
        return self._house.config.rules()

    def enter(self, group_id: str, act: Act[T], *, create: bool = False) -> T | Deferred[T]:
        """Do something with a group of ours: at once, or when it has been claimed.

        `act` is given None where there is no such group; with `create` it is made instead.
        Raises: RequestError INVALID_GROUP_ID, NotGroupOwner, what `act` raises.
        """
        check_group_id(group_id)
        if self._session is None or not self._lease.held():
            raise NotGroupOwner(group_id)
        return self._session.enter(group_id, act, create=create)

    async def hosted(self) -> Iterable[HostedGroup]:
        """List the groups that are served here, once those are claimed that have become ours.

        Raises: RequestError COORDINATOR_NOT_AVAILABLE without the lease,
        COORDINATOR_LOAD_IN_PROGRESS where that takes too long.
        """
        session = self._session
        if session is not None:
            with trio.move_on_after(CLAIMS_WAIT_S) as waiting:
                await session.wait_claimed()
            if waiting.cancelled_caught:
                raise RequestError.of(
                    ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
                    f"not all groups have been read after {CLAIMS_WAIT_S:g} s: ask again",
                )
        if session is None or not self._lease.held():
            raise RequestError.of(
                ErrorCode.COORDINATOR_NOT_AVAILABLE,
                "this broker is cut off from the coordinator: ask the others",
            )
        return tuple(session.hosted.values())

    async def serve(self, store: Store) -> NoReturn:
        """Serve groups within a session with the coordinator, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._session = GroupsSession(store, self._house, nursery)
            try:
                await self._session.run()
            finally:
                self._session = None
        raise AssertionError("the session's tasks never return")

    def _new_id(self) -> str:
        return str(UUID(bytes=self._random.randbytes(16), version=4))


def check_group_id(group_id: str) -> None:
    """Refuse what cannot be a group's id. Raises: RequestError INVALID_GROUP_ID."""
    if not 1 <= len(group_id) <= GROUP_ID_CHARACTERS_MAX:
        raise RequestError.of(
            ErrorCode.INVALID_GROUP_ID,
            f"a group id has 1 to {GROUP_ID_CHARACTERS_MAX} characters, this one {len(group_id)}",
        )
