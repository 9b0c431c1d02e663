"""What each answer of a group's broker means for the member: a table by API and error code.

Must never know: requests, what a member does about it.
Source: Kafka's AbstractCoordinator and ConsumerCoordinator, KIP-345, KIP-394, KIP-447.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from protocol.api import ApiKey
from protocol.errors import RETRIABLE_CODES, ErrorCode


class Verdict(Enum):
    """What follows from an answer."""

    DONE = "it was done"
    AGAIN = "ask the same again after a pause"
    ELSEWHERE = "the group has another broker: find it and ask again"
    REJOIN = "the group rebalances: join the next generation, with all that is held"
    NAMED = "join again under the member id that was given"
    STALE = "the generation is over: what was held is lost, the member id still counts"
    FORGOTTEN = "the group does not know the member: what was held is lost, join as a new one"
    FENCED = "another member has taken the group_instance_id"
    REFUSED = "the application must know"


_ANY: Final = {
    ErrorCode.NONE: Verdict.DONE,
    ErrorCode.COORDINATOR_NOT_AVAILABLE: Verdict.ELSEWHERE,
    ErrorCode.NOT_COORDINATOR: Verdict.ELSEWHERE,
}

_OF_A_GENERATION: Final = {
    **_ANY,
    ErrorCode.REBALANCE_IN_PROGRESS: Verdict.REJOIN,
    ErrorCode.ILLEGAL_GENERATION: Verdict.STALE,
    ErrorCode.UNKNOWN_MEMBER_ID: Verdict.FORGOTTEN,
    ErrorCode.FENCED_INSTANCE_ID: Verdict.FENCED,
}

VERDICTS: Final[Mapping[ApiKey, Mapping[ErrorCode, Verdict]]] = {
    ApiKey.JOIN_GROUP: {
        **_ANY,
        ErrorCode.MEMBER_ID_REQUIRED: Verdict.NAMED,
        ErrorCode.UNKNOWN_MEMBER_ID: Verdict.FORGOTTEN,
        ErrorCode.FENCED_INSTANCE_ID: Verdict.FENCED,
        ErrorCode.REBALANCE_IN_PROGRESS: Verdict.AGAIN,
    },
    ApiKey.SYNC_GROUP: _OF_A_GENERATION,
    ApiKey.HEARTBEAT: _OF_A_GENERATION,
    ApiKey.LEAVE_GROUP: {
        **_ANY,
        ErrorCode.UNKNOWN_MEMBER_ID: Verdict.DONE,
    },
    ApiKey.OFFSET_COMMIT: {
        **_OF_A_GENERATION,
        ErrorCode.REQUEST_TIMED_OUT: Verdict.ELSEWHERE,
        ErrorCode.GROUP_ID_NOT_FOUND: Verdict.FORGOTTEN,
    },
    ApiKey.OFFSET_FETCH: _ANY,
}
"""What is absent is AGAIN where Kafka calls the code retriable, and REFUSED otherwise."""


def verdict_on(api: ApiKey, code: ErrorCode) -> Verdict:
    """Look up what an answer means."""
    missing = Verdict.AGAIN if code in RETRIABLE_CODES else Verdict.REFUSED
    return VERDICTS[api].get(code, missing)
