"""What kazoo answers, in the terms of the port.

Must never know: sessions, threads.
Source: ZooKeeper programmer's guide, "Handling Errors".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kazoo.exceptions import (
    BadVersionError,
    ConnectionLoss,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    OperationTimeoutError,
    RequestTimeoutError,
    RolledBackError,
    SessionExpiredError,
    SessionMovedError,
    ZookeeperError,
)

from coordinator.store import (
    BadVersion,
    ConnectionLost,
    MultiFailed,
    NoChildrenForEphemerals,
    NodeExists,
    NoNode,
    NotEmpty,
    SessionLost,
    Stat,
    StoreError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coordinator.store import Operation
    from protocol.errors import CoordinationError

_REFUSALS: Final[dict[type[ZookeeperError], type[StoreError]]] = {
    NoNodeError: NoNode,
    NodeExistsError: NodeExists,
    BadVersionError: BadVersion,
    NotEmptyError: NotEmpty,
    NoChildrenForEphemeralsError: NoChildrenForEphemerals,
}
_UNKNOWN_OUTCOMES: Final = (
    ConnectionLoss,
    OperationTimeoutError,
    RequestTimeoutError,
    SessionMovedError,
)


def stat_of(stat: Any) -> Stat:
    """Make the port's stat of kazoo's."""
    return Stat(
        czxid=stat.czxid,
        mzxid=stat.mzxid,
        version=stat.version,
        children_version=stat.cversion,
        owner=stat.ephemeralOwner,
        children=stat.numChildren,
    )


def error_of(error: Exception, what: str) -> CoordinationError:
    """Make one of the port's errors of kazoo's; the outcome of what is not understood is unknown.

    `what` is the path, or what else was asked for.
    """
    if isinstance(error, SessionExpiredError):
        return SessionLost(f"the ZooKeeper session ended before {what} was answered")
    if isinstance(error, ZookeeperError) and not isinstance(error, _UNKNOWN_OUTCOMES):
        if refusal := _REFUSALS.get(type(error)):
            return refusal(what)
        return StoreError(f"{what}: ZooKeeper answers {type(error).__name__}")
    return ConnectionLost(f"{what}: no answer, it may have happened or not ({error!r})")


def check_multi(operations: Sequence[Operation], results: Sequence[Any]) -> None:
    """Find the operation for which a multi was refused, if one was. Raises: MultiFailed.

    ZooKeeper says "rolled back" of those before the culprit and "inconsistency" of those after.
    """
    for index, result in enumerate(results):
        if isinstance(result, Exception) and not isinstance(result, RolledBackError):
            cause = error_of(result, operations[index].path)
            raise MultiFailed(index, cause) if isinstance(cause, StoreError) else cause
