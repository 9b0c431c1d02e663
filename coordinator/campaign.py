"""Becoming the controller: one ephemeral znode, taken together with the next controller epoch.

Must never know: what a controller does.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio
from msgspec import Struct

from coordinator import paths, records
from coordinator.records import ControllerRecord
from coordinator.retry import until_answered
from coordinator.store import Check, Create, MultiFailed, NoNode, Set, Stat

if TYPE_CHECKING:
    from coordinator.store import Store


class Term(Struct, frozen=True):
    """A term of office: its epoch, and the version of the epoch's znode that lasts as long."""

    controller_epoch: int
    version: int

    @property
    def fence(self) -> Check:
        """The check that heads every write of this term: it fails once the term is over."""
        return Check(paths.CONTROLLER_EPOCH, version=self.version)


async def campaign(store: Store, broker_id: int) -> Term:
    """Wait until the office is vacant, and take it. Raises: SessionLost."""
    while True:
        changed = trio.Event()
        term = await until_answered(partial(_try_take, store, broker_id, changed))
        if term is not None:
            return term
        await changed.wait()


async def _try_take(store: Store, broker_id: int, changed: trio.Event) -> Term | None:
    """Take the office if it is vacant. Returns: None where somebody holds it, who is watched.

    Holding it already (an answer was lost, or the last term ended early) is fine: that term goes
    on. The epoch is read first, so that a term in between makes the multi fail.
    """
    value, epoch_stat = await store.get(paths.CONTROLLER_EPOCH)
    epoch = records.decode_counter(paths.CONTROLLER_EPOCH, value)
    stat = await store.exists(paths.CONTROLLER, watch=changed.set)
    if stat is not None:
        if stat.owner != store.session_id:
            return None
        return await _resume(store, epoch, epoch_stat, changed)
    record = ControllerRecord(broker_id, epoch + 1)
    try:
        results = await store.multi(
            [
                Set(
                    paths.CONTROLLER_EPOCH,
                    records.encode_counter(epoch + 1),
                    version=epoch_stat.version,
                ),
                Create(paths.CONTROLLER, records.encode_controller(record), ephemeral=True),
            ]
        )
    except MultiFailed:
        changed.set()
        return None
    taken = results[0]
    assert isinstance(taken, Stat)
    return Term(record.controller_epoch, taken.version)


async def _resume(store: Store, epoch: int, epoch_stat: Stat, changed: trio.Event) -> Term | None:
    """Go on with a term that this session has begun; one that is not current is cleared away."""
    try:
        value, stat = await store.get(paths.CONTROLLER)
        if records.decode_controller(value).controller_epoch == epoch:
            return Term(epoch, epoch_stat.version)
        await store.delete(paths.CONTROLLER, version=stat.version)
    except NoNode:
        pass
    changed.set()
    return None
