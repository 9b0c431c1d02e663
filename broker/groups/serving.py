"""The groups that this broker owns within one session with the coordinator.

Each is claimed in the store before it is served. Who asks for one that is not at hand waits until
it has been claimed and read; what is asked meanwhile is done in the order in which it came.
Must never know: messages, what a generation is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import structlog
import trio
from msgspec import Struct, field

from broker.groups.deadlines import Deadlines
from broker.groups.group import Group
from broker.groups.hosted import HostedGroup
from broker.groups.incarnations import ViewBehind, outlived_offsets
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
    from collections.abc import Iterator

    from broker.groups.config import GroupConfig
    from broker.view import ClusterView
    from coordinator.cluster import ClusterState
    from coordinator.groups.change import TopicChange
    from coordinator.groups.queue import Write
    from coordinator.groups.znodes import OwnedGroup
    from coordinator.store import Store

log_events = structlog.get_logger()

T = TypeVar("T")

LOADS_AT_ONCE_MAX: Final = 32
"""Of groups that somebody has asked for; they do not wait for those that nobody has asked for."""

UNASKED_LOADS_AT_ONCE_MAX: Final = 16

LOADING_MAX: Final = 10_000
"""Groups whose turn to be read has not come; what is asked of others is refused meanwhile."""

Act = Callable[["HostedGroup | None"], T]
"""What is to be done with a group; None where there is none. It must not wait."""


class IsMine(Protocol):
    """Says whether a group is this broker's to serve."""

    def __call__(self, group_id: str, /) -> bool:
        """Say so, by what is known of the cluster now."""


class GroupsHouse(Struct, frozen=True):
    """What serving groups stands on; it outlives every session."""

    broker_id: int
    config: GroupConfig
    view: ClusterView
    is_mine: IsMine
    new_id: Callable[[], str]
    wall_ms: Callable[[], int]


class _Loading(Struct):
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
        self._incarnations = count(1)
        self._followed: ClusterState | None = None
        self._claiming = 0
        self._claimed = trio.lowlevel.ParkingLot()
        self._writer = GroupWriter(store, lost=self._lost)
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
            for hosted in list(self.hosted.values()):
                self._release(hosted)
            for group_id, loading in self._loading.items():
                for deferred in loading.deferred:
                    deferred.refuse(NotGroupOwner(group_id))

    def enter(self, group_id: str, act: Act[T], *, create: bool = False) -> T | Deferred[T]:
        """Do something with a group: at once if it is at hand, else when it has been claimed.

        With `create` a group that is not there is made. Raises: NotGroupOwner, what `act` raises,
        RequestError COORDINATOR_NOT_AVAILABLE where too many groups are being read.
        """
        hosted = self.hosted.get(group_id)
        if hosted is not None:
            return act(hosted)
        self._require_mine(group_id)
        if len(self._loading) >= LOADING_MAX and group_id not in self._loading:
            raise RequestError.of(
                ErrorCode.COORDINATOR_NOT_AVAILABLE,
                f"{LOADING_MAX} groups are being read: ask again",
            )
        deferred = Deferred(act)
        loading = self._load_soon(group_id)
        loading.deferred.append(deferred)
        loading.create = loading.create or create
        return deferred

    # Claiming and giving up.

    def _load_soon(self, group_id: str) -> _Loading:
        loading = self._loading.get(group_id)
        if loading is None:
            loading = self._begin_loading(group_id)
            self._nursery.start_soon(self._load_in_turn, group_id, loading)
        return loading

    async def _load_in_turn(self, group_id: str, loading: _Loading) -> None:
        async with self._loads:
            await self._load(group_id, loading)

    def _begin_loading(self, group_id: str) -> _Loading:
        loading = self._loading[group_id] = _Loading()
        return loading

    async def _load(self, group_id: str, loading: _Loading) -> None:
        hosted: HostedGroup | None = None
        error: OttlaError | None = None
        try:
            hosted = await self._take(group_id, loading)
        except NotGroupOwner as refusal:
            error = refusal
        except CoordinationError as failure:
            log_events.warning("group_not_loaded", group=group_id, reason=str(failure))
            error = failure
        self._end_loading(group_id)
        for deferred in loading.deferred:
            if error is not None:
                deferred.refuse(error)
            elif (later := self._loading.get(group_id)) is not None:
                # One of those before it has deleted the group.
                later.deferred.append(deferred)
                later.create = loading.create
            else:
                deferred.do(hosted)

    async def _take(self, group_id: str, loading: _Loading) -> HostedGroup | None:
        """Claim a group, read and host it. Raises: NotGroupOwner, CoordinationError."""
        self._require_mine(group_id)
        owned = await self._claim(group_id, loading)
        if owned is None:
            return None
        outlived = await outlived_offsets(self._store, self._house.view, owned.offsets)
        self._require_mine(group_id)
        hosted = self._host(owned)
        self._forget(hosted, outlived)
        return hosted

    def _require_mine(self, group_id: str) -> None:
        if not self._house.is_mine(group_id):
            raise NotGroupOwner(group_id)

    def _end_loading(self, group_id: str) -> None:
        self._loading.pop(group_id).done.set()

    async def _claim(self, group_id: str, loading: _Loading) -> OwnedGroup | None:
        owner_id = self._house.broker_id
        claim = partial(znodes.claim, self._store, group_id, owner_id=owner_id)
        make = partial(self._make, group_id)
        owned = await until_answered(claim)
        while owned is None and loading.create:
            owned = await until_answered(make) or await until_answered(claim)
        return owned

    async def _make(self, group_id: str) -> OwnedGroup | None:
        incarnation = f"{self._store.session_id:x}-{next(self._incarnations)}"
        return await znodes.create(
            self._store, group_id, owner_id=self._house.broker_id, incarnation=incarnation
        )

    def _host(self, owned: OwnedGroup) -> HostedGroup:
        group = Group(
            owned.group_id,
            rules=self._house.config.rules(),
            new_id=self._house.new_id,
            wall_ms=self._house.wall_ms,
            owners=owners,
        )
        restore_membership(group, owned.header.membership, now=trio.current_time())
        hosted = HostedGroup(group, self._writer.add(owned), moved=self._moved)
        self.hosted[owned.group_id] = hosted
        self._deadlines.update(hosted)
        return hosted

    def _is_hosted(self, hosted: HostedGroup) -> bool:
        """Say whether this is the group still, and not one that was given up or deleted."""
        return self.hosted.get(hosted.group.group_id) is hosted

    def _release(self, hosted: HostedGroup) -> None:
        group_id = hosted.group.group_id
        del self.hosted[group_id]
        self._deadlines.forget(hosted)
        self._writer.remove(hosted.queue)
        hosted.group.abandon(NotGroupOwner(group_id))

    def _lost(self, owned: OwnedGroup) -> None:
        hosted = self.hosted.get(owned.group_id)
        if hosted is not None and hosted.queue.owned is owned:
            self._release(hosted)

    async def _follow_view(self) -> None:
        """Give up and claim groups as brokers come and go, and forget offsets of deleted topics."""
        state = self._house.view.latest
        while True:
            known, self._followed = self._followed, state
            if known is None or known.brokers is not state.brokers:
                for group_id in [g for g in self.hosted if not self._house.is_mine(g)]:
                    self._release(self.hosted[group_id])
                self._claiming += 1
                self._nursery.start_soon(self._claim_all)
            if known is None or known.deleted_topics is not state.deleted_topics:
                for hosted in self.hosted.values():
                    changes = offsets_of_deleted_topics(hosted.offsets, state.deleted_topics)
                    self._forget(hosted, changes)
            state = await self._house.view.wait_changed(state)

    async def _claim_all(self) -> None:
        """Claim every group that is ours, asked for or not. `_claiming` counts this already."""
        try:
            listed = iter(await until_answered(partial(znodes.list_groups, self._store)))
            async with trio.open_nursery() as nursery:
                for _ in range(UNASKED_LOADS_AT_ONCE_MAX):
                    nursery.start_soon(self._claim_each, listed)
        finally:
            self._claiming -= 1
            self._claimed.unpark_all()

    async def _claim_each(self, group_ids: Iterator[str]) -> None:
        for group_id in group_ids:
            if group_id not in self.hosted and self._house.is_mine(group_id):
                if (loading := self._loading.get(group_id)) is not None:
                    await loading.done.wait()
                else:
                    await self._load(group_id, self._begin_loading(group_id))
            await trio.lowlevel.checkpoint()

    async def wait_claimed(self) -> None:
        """Wait until all groups are claimed that are ours, by the newest that is known."""
        while self._claiming or not self._follows_brokers:
            await self._claimed.park()

    @property
    def _follows_brokers(self) -> bool:
        return (
            self._followed is not None and self._followed.brokers is self._house.view.latest.brokers
        )

    # What groups do by themselves.

    def _moved(self, hosted: HostedGroup) -> None:
        group = hosted.group
        if not self._is_hosted(hosted):
            return
        if hosted.burial is not None:
            loading = self._begin_loading(group.group_id)
            del self.hosted[group.group_id]
            self._deadlines.forget(hosted)
            self._nursery.start_soon(self._bury, hosted, hosted.burial, loading)
            return
        is_due = group.is_settled and group.revision != hosted.stored_revision
        if is_due and not hosted.is_storing:
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
        except CoordinationError as error:
            log_events.warning("group_not_stored", group=group.group_id, reason=str(error))
            code = (
                ErrorCode.GROUP_MAX_SIZE_REACHED
                if isinstance(error, TooLarge)
                else ErrorCode.COORDINATOR_NOT_AVAILABLE
            )
            group.not_stored(RequestError.of(code, str(error)), now=trio.current_time())
        else:
            group.stored(revision, now=trio.current_time())
        hosted.is_storing, hosted.stored_revision = False, revision
        self._moved(hosted)

    async def _bury(self, hosted: HostedGroup, burial: Write, loading: _Loading) -> None:
        """Let the group go once it is deleted; what was asked meanwhile finds it gone."""
        group_id = hosted.group.group_id
        try:
            await burial.wait()
        except OttlaError as error:
            log_events.warning("group_not_deleted", group=group_id, reason=str(error))
        self._writer.remove(hosted.queue)
        if loading.deferred:
            await self._load(group_id, loading)
        else:
            self._end_loading(group_id)

    def _expire(self, hosted: HostedGroup) -> None:
        hosted.expire(now=trio.current_time())

    async def _keep_house(self) -> None:
        """Forget offsets and groups that nobody has used for long."""
        interval_s = self._house.config.offsets_retention_check_interval_ms / 1000
        while True:
            await trio.sleep(interval_s)
            for hosted in list(self.hosted.values()):
                with suppress(ViewBehind):  # until the next time
                    outlived = await outlived_offsets(self._store, self._house.view, hosted.offsets)
                    self._forget(hosted, outlived)
                self._tidy(hosted)
                await trio.lowlevel.checkpoint()
            self._claiming += 1
            await self._claim_all()

    def _tidy(self, hosted: HostedGroup) -> None:
        if not self._is_hosted(hosted) or not hosted.queue.is_idle:
            return  # what has been asked for may be the use that is looked for
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
        if changes and self._is_hosted(hosted):
            log_events.info(
                "offsets_forgotten",
                group=hosted.group.group_id,
                topics=len(changes),
                partitions=sum(len(change.partitions) for change in changes.values()),
            )
            hosted.write_offsets(changes)
