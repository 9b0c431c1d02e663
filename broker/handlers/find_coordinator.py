"""FindCoordinator: which broker keeps a group. Transactions are not served yet, and this says so.

They cannot work without a coordinator, so that refusal is final.
Must never know: groups. Source: KIP-699 (several keys at once).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from broker.groups.manager import check_group_id
from broker.handlers.endpoints import endpoint_for
from protocol.api.find_coordinator import Coordinator, FindCoordinatorResponse
from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.dispatch import RequestContext
    from broker.groups.manager import Groups
    from coordinator.cluster import ClusterState
    from protocol.api.find_coordinator import FindCoordinatorRequest

GROUP: Final = 0
TRANSACTION: Final = 1
NOWHERE: Final = -1
SEVERAL_KEYS_SINCE: Final = 4
KEYS_MAX: Final = 10_000
"""Answered at once, while everything else stands still: some 40 ms."""


class FindCoordinatorHandler:
    """Sends members to their group's broker."""

    def __init__(self, groups: Groups, *, cluster: Callable[[], ClusterState]) -> None:
        self._groups = groups
        self._cluster = cluster

    def __call__(
        self, request: FindCoordinatorRequest, context: RequestContext
    ) -> FindCoordinatorResponse:
        """Answer key by key, with the listener that the client came through."""
        if context.api_version >= SEVERAL_KEYS_SINCE:
            if len(request.coordinator_keys) > KEYS_MAX:
                raise RequestError.of(
                    ErrorCode.INVALID_REQUEST,
                    f"ask for {KEYS_MAX} keys at most, not {len(request.coordinator_keys)}",
                )
            return FindCoordinatorResponse(
                coordinators=[
                    self._find(key, request.key_type, context) for key in request.coordinator_keys
                ]
            )
        found = self._find(request.key, request.key_type, context)
        return FindCoordinatorResponse(
            error_code=found.error_code,
            error_message=found.error_message,
            node_id=found.node_id,
            host=found.host,
            port=found.port,
        )

    def _find(self, key: str, key_type: int, context: RequestContext) -> Coordinator:
        try:
            _require_group(key_type)
            check_group_id(key)
        except RequestError as error:
            return _nowhere(key, error.code, str(error))
        broker = self._cluster().brokers.get(self._groups.owner(key))
        if broker is None:
            return _nowhere(
                key, ErrorCode.COORDINATOR_NOT_AVAILABLE, "no broker can take the group now"
            )
        endpoint = endpoint_for(broker, context.listener)
        return Coordinator(
            key=key,
            node_id=broker.broker_id,
            host=endpoint.host,
            port=endpoint.port,
            error_message=None,
        )


def _require_group(key_type: int) -> None:
    if key_type == TRANSACTION:
        raise RequestError.of(
            ErrorCode.UNSUPPORTED_VERSION,
            "transactions are not served yet: use an idempotent producer without transactional.id",
        )
    if key_type != GROUP:
        raise RequestError.of(
            ErrorCode.INVALID_REQUEST, "key type is 0 for groups or 1 for transactions"
        )


def _nowhere(key: str, code: ErrorCode, message: str) -> Coordinator:
    return Coordinator(
        key=key, node_id=NOWHERE, port=NOWHERE, error_code=code, error_message=message
    )


def refuse(
    request: FindCoordinatorRequest, code: ErrorCode, message: str
) -> FindCoordinatorResponse:
    """Answer with an error for each of several keys, or for the one; no version has both."""
    if request.coordinator_keys:
        refused = [_nowhere(key, code, message) for key in request.coordinator_keys[:KEYS_MAX]]
        return FindCoordinatorResponse(coordinators=refused)
    return FindCoordinatorResponse(
        error_code=code, error_message=message, node_id=NOWHERE, port=NOWHERE
    )
