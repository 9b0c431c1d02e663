"""The groups that this broker owns within one session with the coordinator.

Each is claimed in the store before it is served. Who asks for one that is not at hand waits until
it has been claimed and read; what is asked meanwhile is done in the order in which it came.
Must never know: messages, what a generation is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import structlog
import trio

from broker.groups.deadlines import Deadlines
from broker.groups.group import Group
from broker.groups.hosted import HostedGroup
from broker.groups.membership import restore_membership
from broker.groups.retention import expired_offsets, offsets_of_deleted_topics
from broker.groups.subscriptions import owners, subscribed_topics
from broker.groups.waiting import Deferred
from coordinator.errors import NotGroupOwner
from coordinator.groups import znodes
from coordinator.groups.writer import GroupWriter
from coordinator.retry import until_answered
from coordinator.store import TooLarge
from protocol.errors import CoordinationError, ErrorCode, OttlaError, RequestError

if TYPE_CHECKING:
    from broker.groups.config import GroupConfig
    from broker.view import ClusterView
    from coordinator.cluster import ClusterState
    from coordinator.groups.change import TopicChange
    from coordinator.groups.writer import Write
    from coordinator.groups.znodes import OwnedGroup
    from coordinator.store import Store

log_events = structlog.get_logger()

T = TypeVar("T")

LOADS_AT_ONCE_MAX: Final = 32

Act = Callable[["HostedGroup | None"], T]
"""What is to be done with a group; None where there is none. It must not wait."""


class IsMine(Protocol):
    """Says whether a group is this broker's to serve."""

    def __call__(self, group_id: str, /) -> bool:
        """Say so, by what is known of the cluster now."""


@dataclass(frozen=True, slots=True)
class GroupsHouse:
    """What serving groups stands on; it outlives every session."""

    broker_id: int
    config: GroupConfig
    view: ClusterView
    is_mine: IsMine
    new_id: Callable[[], str]
    wall_ms: Callable[[], int]


@dataclass(slots=True)
class _Loading:
    """A group that is being claimed, and what is to be done then."""

    deferred: list[Deferred[Any]] = field(default_factory=list)
    create: bool = False
    done: trio.Event = field(default_factory=trio.Event)


class GroupsSession:
    """Claims, serves and gives up groups until it is cancelled."""

    def __init__(self, store: Store, house: GroupsHouse, nursery: trio.Nursery) -> None:
        self.hosted: dict[str, HostedGroup] = {}
        self._store = store
        self._house = house
        self._nursery = nursery
        self._loading: dict[str, _Loading] = {}
        self._loads = trio.CapacityLimiter(LOADS_AT_ONCE_MAX)
        self._claiming = 0
        self._claimed = trio.lowlevel.ParkingLot()
        self._writer = GroupWriter(store, deposed=self._deposed)
        self._deadlines = Deadlines[HostedGroup](self._expire)

    async def run(self) -> None:
        """Serve until cancelled; whoever waits then is sent to look for the next owner."""
        try:
            async with trio.open_nursery() as nursery:
                for task in (
                    self._writer.run,
                    self._deadlines.run,
                    self._follow_view,
                    self._keep_house,
                ):
                    nursery.start_soon(task)
        finally:
            for group_id in list(self.hosted):
                self._release(group_id)
            for group_id, loading in self._loading.items():
                for deferred in loading.deferred:
                    deferred.refuse(NotGroupOwner(group_id))

    def enter(self, group_id: str, act: Act[T], *, create: bool = False) -> T | Deferred[T]:
        """Do something with a group: at once if it is at hand, else when it has been claimed.

        With `create` a group that is not there is made. Raises: NotGroupOwner, what `act` raises.
        """
        hosted = self.hosted.get(group_id)
        if hosted is not None:
            return act(hosted)
        if not self._house.is_mine(group_id):
            raise NotGroupOwner(group_id)
        deferred = Deferred(act)
        loading = self._load_soon(group_id)
        loading.deferred.append(deferred)
        loading.create = loading.create or create
        return deferred

    # Claiming and giving up.

    def _load_soon(self, group_id: str) -> _Loading:
        loading = self._loading.get(group_id)
        if loading is None:
            loading = self._loading[group_id] = _Loading()
            self._nursery.start_soon(self._load, group_id, loading)
        return loading

    async def _load(self, group_id: str, loading: _Loading) -> None:
        hosted: HostedGroup | None = None
        error: OttlaError | None = None
        try:
            async with self._loads:
                owned = await self._claim(group_id, loading)
            if not self._house.is_mine(group_id):
                error = NotGroupOwner(group_id)
            elif owned is not None:
                hosted = self._host(owned)
        except CoordinationError as failure:
            log_events.warning("group_not_loaded", group=group_id, reason=str(failure))
            error = failure
        del self._loading[group_id]
        loading.done.set()
        for deferred in loading.deferred:
            if error is not None:
                deferred.refuse(error)
            elif (later := self._loading.get(group_id)) is not None:
                # One of those before it has deleted the group.
                later.deferred.append(deferred)
                later.create = loading.create
            else:
                deferred.do(hosted)

    async def _claim(self, group_id: str, loading: _Loading) -> OwnedGroup | None:
        owner_id = self._house.broker_id
        claim = partial(znodes.claim, self._store, group_id, owner_id=owner_id)
        make = partial(znodes.create, self._store, group_id, owner_id=owner_id)
        owned = await until_answered(claim)
        while owned is None and loading.create:
            owned = await until_answered(make) or await until_answered(claim)
        return owned

    def _host(self, owned: OwnedGroup) -> HostedGroup:
        group_id = owned.group_id
        group = Group(
            group_id,
            rules=self._house.config.rules(),
            new_id=self._house.new_id,
            wall_ms=self._house.wall_ms,
            owners=owners,
        )
        restore_membership(group, owned.header.membership, now=trio.current_time())
        hosted = HostedGroup(
            group, owned, submit=partial(self._writer.submit, group_id), moved=self._moved
        )
        self._writer.add(owned)
        self.hosted[group_id] = hosted
        self._deadlines.update(hosted)
        return hosted

    def _release(self, group_id: str) -> None:
        hosted = self.hosted.pop(group_id)
        self._deadlines.forget(hosted)
        self._writer.remove(group_id)
        hosted.group.abandon(NotGroupOwner(group_id))

    def _deposed(self, owned: OwnedGroup) -> None:
        if owned.group_id in self.hosted:
            self._release(owned.group_id)

    async def _follow_view(self) -> None:
        """Give up and claim groups as brokers come and go, and forget offsets of deleted topics."""
        known: ClusterState | None = None
        state = self._house.view.latest
        while True:
            if known is None or known.brokers is not state.brokers:
                for group_id in [g for g in self.hosted if not self._house.is_mine(g)]:
                    self._release(group_id)
                self._nursery.start_soon(self._claim_all)
            if known is None or known.deleted_topics is not state.deleted_topics:
                for hosted in self.hosted.values():
                    changes = offsets_of_deleted_topics(hosted.offsets, state.deleted_topics)
                    self._forget(hosted, changes)
            known, state = state, await self._house.view.wait_changed(state)

    async def _claim_all(self) -> None:
        """Claim every group that is ours by now, asked for or not."""
        self._claiming += 1
        try:
            listed = await until_answered(partial(znodes.list_groups, self._store))
            claimed = [g for g in listed if g not in self.hosted and self._house.is_mine(g)]
            for group_id in claimed:
                self._load_soon(group_id)
            for group_id in claimed:
                if group_id in self._loading:
                    await self._loading[group_id].done.wait()
        finally:
            self._claiming -= 1
            self._claimed.unpark_all()

    async def wait_claimed(self) -> None:
        """Wait until no group is being claimed that nobody has asked for."""
        while self._claiming:
            await self._claimed.park()

    # What groups do by themselves.

    def _moved(self, hosted: HostedGroup) -> None:
        group = hosted.group
        if hosted.burial is not None:
            loading = self._loading[group.group_id] = _Loading()
            del self.hosted[group.group_id]
            self._deadlines.forget(hosted)
            self._nursery.start_soon(self._bury, group.group_id, hosted.burial, loading)
            return
        if group.revision != hosted.stored_revision and not hosted.is_storing:
            hosted.is_storing = True
            write = hosted.store_membership()
            self._nursery.start_soon(self._wait_stored, hosted, write, group.revision)
        self._deadlines.update(hosted)

    async def _wait_stored(self, hosted: HostedGroup, write: Write, revision: int) -> None:
        group = hosted.group
        try:
            await write.wait()
        except NotGroupOwner:
            return  # it has been given up, and everybody has been told
        except TooLarge as error:
            log_events.warning("group_too_large", group=group.group_id, reason=str(error))
            refusal = RequestError.of(ErrorCode.GROUP_MAX_SIZE_REACHED, str(error))
            group.not_stored(refusal, now=trio.current_time())
        else:
            group.stored(revision, now=trio.current_time())
        hosted.is_storing, hosted.stored_revision = False, revision
        self._moved(hosted)

    async def _bury(self, group_id: str, burial: Write, loading: _Loading) -> None:
        """Let the group go once it is deleted; what was asked meanwhile finds it gone."""
        try:
            await burial.wait()
        except NotGroupOwner:
            log_events.info("group_deleted_by_others", group=group_id)
        self._writer.remove(group_id)
        if loading.deferred:
            await self._load(group_id, loading)
        else:
            del self._loading[group_id]
            loading.done.set()

    def _expire(self, hosted: HostedGroup) -> None:
        hosted.expire(now=trio.current_time())

    async def _keep_house(self) -> None:
        """Forget offsets and groups that nobody has used for long."""
        interval_s = self._house.config.offsets_retention_check_interval_ms / 1000
        while True:
            await trio.sleep(interval_s)
            for hosted in list(self.hosted.values()):
                self._tidy(hosted)
                await trio.lowlevel.checkpoint()
            await self._claim_all()

    def _tidy(self, hosted: HostedGroup) -> None:
        if self.hosted.get(hosted.group.group_id) is not hosted:
            return
        if hosted.is_of_no_use:
            hosted.delete()
            return
        changes = expired_offsets(
            hosted.group,
            hosted.offsets,
            subscribed=subscribed_topics(hosted.group),
            retention_ms=self._house.config.offsets_retention_minutes * 60_000,
            now_ms=self._house.wall_ms(),
        )
        self._forget(hosted, changes)

    def _forget(self, hosted: HostedGroup, changes: dict[str, TopicChange]) -> None:
        if changes:
            log_events.info(
                "offsets_forgotten",
                group=hosted.group.group_id,
                topics=len(changes),
                partitions=sum(len(change.partitions) for change in changes.values()),
            )
            hosted.write_offsets(changes)
