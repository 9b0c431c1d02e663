"""FindCoordinator: consumer groups and transactions are not served yet, and this says so.

It is advertised all the same: a client whose library wants a group id but that assigns partitions
itself asks in the background. COORDINATOR_NOT_AVAILABLE keeps it asking quietly while it consumes;
another error would reach the application. Transactions cannot work without a coordinator, so that
refusal is final.
Must never know: groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.api.find_coordinator import Coordinator, FindCoordinatorResponse
from protocol.errors import ErrorCode

if TYPE_CHECKING:
    from broker.dispatch import RequestContext
    from protocol.api.find_coordinator import FindCoordinatorRequest

GROUP = 0
TRANSACTION = 1
NOWHERE = -1
SEVERAL_KEYS_SINCE = 4

ANSWERS = {
    GROUP: (
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        "consumer groups are not served yet: assign partitions to the consumer",
    ),
    TRANSACTION: (
        ErrorCode.UNSUPPORTED_VERSION,
        "transactions are not served yet: use an idempotent producer without transactional.id",
    ),
}
UNKNOWN_TYPE = (ErrorCode.INVALID_REQUEST, "key type is 0 for groups or 1 for transactions")


def handle_find_coordinator(
    request: FindCoordinatorRequest, context: RequestContext
) -> FindCoordinatorResponse:
    """Answer for every key that there is no coordinator."""
    code, message = ANSWERS.get(request.key_type, UNKNOWN_TYPE)
    if context.api_version < SEVERAL_KEYS_SINCE:
        return _answer_for_one(code, message)
    return _answer_for_each(request.coordinator_keys, code, message)


def refuse(
    request: FindCoordinatorRequest, code: ErrorCode, message: str
) -> FindCoordinatorResponse:
    """Answer with an error for the one key, or for each of several."""
    if request.coordinator_keys:
        return _answer_for_each(request.coordinator_keys, code, message)
    return _answer_for_one(code, message)


def _answer_for_one(code: ErrorCode, message: str) -> FindCoordinatorResponse:
    return FindCoordinatorResponse(
        error_code=code, error_message=message, node_id=NOWHERE, port=NOWHERE
    )


def _answer_for_each(keys: list[str], code: ErrorCode, message: str) -> FindCoordinatorResponse:
    return FindCoordinatorResponse(
        coordinators=[
            Coordinator(
                key=key, node_id=NOWHERE, port=NOWHERE, error_code=code, error_message=message
            )
            for key in keys
        ]
    )
