"""Which registry leads: the one that holds the ephemeral znode, and writes under the newest epoch.

A registry that takes office raises the producer epoch in the znode of the fence and writes a
record under it. From then on brokers refuse whatever an earlier leader still writes (the rule of
KIP-98 for epochs of a producer id), so that after this record the log changes by the new leader
alone.
Must never know: schemas, HTTP.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import msgpack
import structlog
import trio
from msgspec import Struct
from msgspec.structs import replace

from client import ProducerIdentity
from coordinator import paths
from coordinator.retry import until_answered
from coordinator.store import BadVersion, ConnectionLost, NodeExists, NoNode, SessionLost
from protocol.errors import CoordinationError, OttlaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from coordinator.store import Store, Watch

log_events = structlog.get_logger()

PAUSE_S: Final = 0.2
EPOCH_MAX: Final = 32_767


class Fence(Struct, frozen=True):
    """What leaders write under. `producer_id` is -1 before the first one."""

    producer_id: int = -1
    epoch: int = -1

    @property
    def identity(self) -> ProducerIdentity:
        """The identity for a producer."""
        return ProducerIdentity(self.producer_id, self.epoch)

    @property
    def is_used_up(self) -> bool:
        """Whether the next leader needs another producer id: this epoch shuts the last one out."""
        return self.producer_id < 0 or self.epoch >= EPOCH_MAX

    def raised(self) -> Fence:
        """Give the next leader's."""
        return replace(self, epoch=self.epoch + 1)

    def pack(self) -> bytes:
        """Write it down."""
        packed: bytes = msgpack.packb({"producer_id": self.producer_id, "epoch": self.epoch})
        return packed

    @classmethod
    def unpack(cls, value: bytes) -> Fence:
        """Read it. Raises: CorruptFence."""
        try:
            told = msgpack.unpackb(value)
            return cls(int(told["producer_id"]), int(told["epoch"]))
        except (ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
            raise CorruptFence(f"{value[:60]!r} is no producer id and epoch: {error!r}") from error


class CorruptFence(CoordinationError):
    """The znode of the fence does not hold what registries write there."""


class Election:
    """Stands for office for ever, one term after the other.

    `lead` is called with a `Term` and leads until it returns or is cancelled. Afterwards, and
    where another registry leads, this one waits for the office to fall vacant.
    """

    def __init__(self, group: str, url: str, lead: Callable[[Term], Awaitable[None]]) -> None:
        """Stand for a group of registries, which is named for its topic, as the one at `url`."""
        self._group = paths.registries(group)
        self._leader = f"{self._group}/leader"
        self._fence = f"{self._group}/fence"
        self._url = url
        self._lead = lead
        self.leader_url: str | None = None

    async def run(self, store: Store) -> None:
        """Stand until the session is lost. Raises: SessionLost, what `lead` raises."""
        await self._make_room(store)
        while True:
            changed = trio.Event()
            try:
                url, stat = await until_answered(
                    lambda: store.get(self._leader, watch=changed.set)  # noqa: B023
                )
            except NoNode:
                await self._take_office(store)
                continue
            if stat.owner == store.session_id:
                await self._serve(store, changed)
            else:
                self._see(url.decode(errors="replace"))
                await changed.wait()

    async def _make_room(self, store: Store) -> None:
        fence = Fence().pack()
        for path, value in ((paths.REGISTRIES, b""), (self._group, b""), (self._fence, fence)):
            await until_answered(lambda: _create(store, path, value))  # noqa: B023

    async def _take_office(self, store: Store) -> None:
        """Try to be the one who holds the office; whether it worked shows when it is read again."""
        with suppress(NodeExists, ConnectionLost):
            await store.create(self._leader, self._url.encode(), ephemeral=True)

    async def _serve(self, store: Store, changed: trio.Event) -> None:
        self._see(None)
        term = Term(store, self._fence)
        try:
            async with _until_any(store.wait_lost, partial(self._wait_deposed, store, changed)):
                await self._lead(term)
        finally:
            self._see(None)
        await self._leave(store)
        await trio.sleep(PAUSE_S)

    async def _wait_deposed(self, store: Store, changed: trio.Event) -> None:
        """Return once the office is not this session's any more. `changed` watches it."""
        while True:
            await changed.wait()
            changed = trio.Event()
            try:
                holds = await until_answered(
                    lambda: self._holds_office(store, watch=changed.set)  # noqa: B023
                )
            except SessionLost:
                return
            if not holds:
                log_events.warning("office_lost", group=self._group)
                return

    async def _leave(self, store: Store) -> None:
        """Give the office up, unless it is another's: every znode begins with the same version.

        While the session lasts nobody else takes away what it holds.
        """

        async def leave() -> None:
            if await self._holds_office(store):
                with suppress(NoNode):
                    await store.delete(self._leader)

        await until_answered(leave)

    async def _holds_office(self, store: Store, *, watch: Watch | None = None) -> bool:
        stat = await store.exists(self._leader, watch=watch)
        return stat is not None and stat.owner == store.session_id

    def _see(self, url: str | None) -> None:
        if url != self.leader_url:
            log_events.info("leader_seen", url=url)
        self.leader_url = url


class Term:
    """One time in office, from its election on."""

    def __init__(self, store: Store, fence: str) -> None:
        self._store = store
        self._fence = fence

    async def raise_fence(
        self, new_identity: Callable[[], Awaitable[ProducerIdentity]]
    ) -> list[ProducerIdentity]:
        """Raise the epoch; of two who believe to be in office one is refused, or shut out later.

        Returns: under which identities to write, one after the other, to shut earlier leaders
        out; the last one is for the term. Raises: Deposed, SessionLost, what `new_identity` raises.
        """
        value, stat = await until_answered(lambda: self._store.get(self._fence))
        fence = Fence.unpack(value)
        identities = []
        if fence.producer_id >= 0:
            fence = fence.raised()
            identities.append(fence.identity)
        if fence.is_used_up:
            given = await new_identity()
            fence = Fence(given.producer_id, given.epoch)
            identities.append(given)
        try:
            await self._store.set(self._fence, fence.pack(), version=stat.version)
        except (BadVersion, ConnectionLost) as error:
            # After a broken connection it may be raised, and is not written under: harmless.
            raise Deposed(f"the office is lost, or may be: {error}") from error
        return identities


class Deposed(OttlaError):
    """Another registry leads by now, or may."""


@asynccontextmanager
async def _until_any(*waits: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Cancel what is done inside once one of these returns."""
    async with trio.open_nursery() as nursery:

        async def watch(wait: Callable[[], Awaitable[None]]) -> None:
            await wait()
            nursery.cancel_scope.cancel()

        for wait in waits:
            nursery.start_soon(watch, wait)
        yield
        nursery.cancel_scope.cancel()


async def _create(store: Store, path: str, value: bytes) -> None:
    try:
        await store.create(path, value)
    except NodeExists:
        return
