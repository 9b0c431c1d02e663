"""Who is in the cluster: registering a broker, noticing that it is out, removing a dead one.

Every registration bumps `/ottla/brokers/epochs/<id>` in the same multi. Its version names the
incarnation: whoever removes or replaces one demands it, so nobody ever hits a newer incarnation.
Must never know: how a death is detected, partitions.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import structlog
import trio
from msgspec import Struct
from msgspec.structs import replace

from coordinator import paths, records
from coordinator.cluster import BrokerRegistration
from coordinator.errors import BrokerIdInUse
from coordinator.records import Incarnation
from coordinator.retry import until_answered
from coordinator.store import (
    BadVersion,
    Check,
    ConnectionLost,
    Create,
    Delete,
    MultiFailed,
    NoNode,
    Set,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coordinator.cluster import Endpoint
    from coordinator.store import Operation, Stat, Store

GRACE_S: Final = 3.0
"""How long past the session timeout a foreign registration may take to vanish.

ZooKeeper ends sessions at its next tick, every 2 s by default; the rest is for the way there.
"""

log_events = structlog.get_logger()


class BrokerFacts(Struct, frozen=True):
    """What a broker says of itself. See `BrokerRegistration` for the meaning of the fields."""

    broker_id: int
    endpoints: tuple[Endpoint, ...]
    rack: str | None
    directory_id: str
    clean: bool
    lossy: frozenset[tuple[bytes, int]] = frozenset()
    offline: frozenset[tuple[bytes, int]] = frozenset()


async def register(store: Store, facts: BrokerFacts) -> BrokerRegistration:
    """Register a broker; an earlier incarnation over the same data directory is replaced at once.

    A foreign registration under the same id is given its session's timeout to vanish, or ours where
    that is longer. Raises: BrokerIdInUse, SessionLost.
    """
    began_at = trio.current_time()
    while True:
        vanished = trio.Event()
        try:
            registered = await _try_register(store, facts, vanished)
        except (MultiFailed, ConnectionLost) as error:
            log_events.info("registration_retried", broker_id=facts.broker_id, cause=str(error))
            await trio.sleep(0.02)
            continue
        if registered.directory_id == facts.directory_id:
            return registered
        holder_s = (registered.session_timeout_ms or 0) / 1000
        patience_s = max(store.session_timeout_s, holder_s) + GRACE_S
        with trio.move_on_at(began_at + patience_s) as waiting:
            await vanished.wait()
        if waiting.cancelled_caught:
            endpoint = registered.endpoints[0]
            raise BrokerIdInUse(broker_id=facts.broker_id, host=endpoint.host, port=endpoint.port)


async def tell_offline(
    store: Store, registration: BrokerRegistration, offline: frozenset[tuple[bytes, int]]
) -> None:
    """Say anew which replicas this incarnation cannot open; nothing if it is registered no more.

    The controller writes to a registration too, so what it wrote is kept. Raises: SessionLost.
    """
    await until_answered(partial(_tell_offline, store, registration, offline))


async def _tell_offline(
    store: Store, registration: BrokerRegistration, offline: frozenset[tuple[bytes, int]]
) -> None:
    path = paths.registration(registration.broker_id)
    while True:
        try:
            value, stat = await store.get(path)
            if stat.czxid != registration.broker_epoch:
                return
            known = records.decode_registration(registration.broker_id, value, stat)
            told = records.encode_registration(replace(known, offline=offline))
            await store.set(path, told, version=stat.version)
        except NoNode:
            return
        except BadVersion:
            continue
        return


async def wait_deregistered(store: Store, registration: BrokerRegistration) -> None:
    """Return when this incarnation is not registered any more. Raises: SessionLost."""
    path = paths.registration(registration.broker_id)
    while True:
        changed = trio.Event()
        stat = await until_answered(partial(store.exists, path, watch=changed.set))
        if stat is None or stat.czxid != registration.broker_epoch:
            return
        await changed.wait()


async def remove_dead(store: Store, registration: BrokerRegistration) -> bool:
    """Remove the registration of a dead incarnation, and its controllership if it had that.

    Safe at any time: a newer incarnation is never touched, and being wrong about the death costs
    the broker a new registration. Returns: whether it was this call that removed it.
    """
    while True:
        try:
            operations = await _removal(store, registration)
            if operations:
                await store.multi(operations)
            return bool(operations)
        except MultiFailed as error:
            if error.index == 0:
                return False
        except ConnectionLost:
            await trio.sleep(0.02)


async def _try_register(
    store: Store, facts: BrokerFacts, vanished: trio.Event
) -> BrokerRegistration:
    """Register once. Returns: our registration, or that of the foreign holder, which is watched.

    The epoch is read before the holder: were there a newer holder than the one that we see, the
    epoch would have moved and the multi would fail.
    """
    path = paths.registration(facts.broker_id)
    incarnation, epoch_stat = await _last_incarnation(store, facts.broker_id)
    operations: list[Operation] = []
    holder = await _get_or_none(store, path, vanished)
    if holder is not None:
        value, stat = holder
        registered = records.decode_registration(facts.broker_id, value, stat)
        if registered.directory_id != facts.directory_id or stat.owner == store.session_id:
            return registered
        operations += [Delete(path), *await _controllership_of(store, stat.owner)]
    incarnation = await _next_incarnation(store, facts, incarnation, epoch_stat)
    operations.append(_note_incarnation(facts.broker_id, incarnation, epoch_stat))
    registration = BrokerRegistration(
        broker_id=facts.broker_id,
        broker_epoch=0,
        endpoints=facts.endpoints,
        rack=facts.rack,
        directory_id=facts.directory_id,
        clean=incarnation.clean,
        epoch_version=0 if epoch_stat is None else epoch_stat.version + 1,
        directory_changed=incarnation.directory_changed,
        lossy=incarnation.lossy,
        offline=facts.offline,
        session_timeout_ms=round(store.session_timeout_s * 1000),
    )
    value = records.encode_registration(registration)
    await store.multi([*operations, Create(path, value, ephemeral=True)])
    value, stat = await until_answered(partial(store.get, path))
    return records.decode_registration(facts.broker_id, value, stat)


def _note_incarnation(
    broker_id: int, incarnation: Incarnation, epoch_stat: Stat | None
) -> Operation:
    """Move the broker's epoch on, if nobody has done so since `epoch_stat` was read."""
    path, value = paths.broker_epoch(broker_id), records.encode_incarnation(incarnation)
    if epoch_stat is None:
        return Create(path, value)
    return Set(path, value, version=epoch_stat.version)


async def _next_incarnation(
    store: Store, facts: BrokerFacts, last: Incarnation | None, epoch_stat: Stat | None
) -> Incarnation:
    """Say how this incarnation starts, carrying on what no controller has acted on yet."""
    if last is None or epoch_stat is None:
        return Incarnation(
            facts.directory_id,
            facts.clean,
            directory_changed=False,
            lossy=facts.lossy,
        )
    value, _ = await store.get(paths.ACKNOWLEDGED)
    acknowledged = records.decode_acknowledged(value).get(facts.broker_id)
    acted_on = acknowledged == epoch_stat.version
    untold = last.lossy if not acted_on else frozenset()
    changed = last.directory_id != facts.directory_id
    return Incarnation(
        facts.directory_id,
        clean=facts.clean and (acted_on or last.clean),
        directory_changed=changed or (last.directory_changed and not acted_on),
        lossy=facts.lossy | untold,
    )


async def _last_incarnation(store: Store, broker_id: int) -> tuple[Incarnation | None, Stat | None]:
    try:
        value, stat = await store.get(paths.broker_epoch(broker_id))
    except NoNode:
        return None, None
    return records.decode_incarnation(broker_id, value), stat


async def _get_or_none(store: Store, path: str, changed: trio.Event) -> tuple[bytes, Stat] | None:
    try:
        return await store.get(path, watch=changed.set)
    except NoNode:
        return None


async def _controllership_of(store: Store, session_id: int) -> Sequence[Operation]:
    """Give the operations that end a session's controllership, none where it has none.

    The epoch is read first and demanded, so that a later controller is never removed.
    """
    _, epoch_stat = await store.get(paths.CONTROLLER_EPOCH)
    stat = await store.exists(paths.CONTROLLER)
    if stat is None or stat.owner != session_id:
        return ()
    return Check(paths.CONTROLLER_EPOCH, epoch_stat.version), Delete(paths.CONTROLLER)


async def _removal(store: Store, registration: BrokerRegistration) -> Sequence[Operation]:
    path = paths.registration(registration.broker_id)
    stat = await store.exists(path)
    if stat is None or stat.czxid != registration.broker_epoch:
        return ()
    return (
        Check(paths.broker_epoch(registration.broker_id), registration.epoch_version),
        Delete(path),
        *await _controllership_of(store, stat.owner),
    )
