"""What a group refuses: one class per refusal that carries facts, the others by their code.

Must never know: messages, members.
"""

from __future__ import annotations

from protocol.errors import ErrorCode, RequestError


class MemberIdRequired(RequestError):
    """A new member is given its id and shall join again with it (KIP-394)."""

    code = ErrorCode.MEMBER_ID_REQUIRED

    def __init__(self, member_id: str) -> None:
        super().__init__(f"join again as {member_id!r}")
        self.member_id = member_id


class UnknownMember(RequestError):
    """The group has no such member: it was removed, or never joined."""

    code = ErrorCode.UNKNOWN_MEMBER_ID

    def __init__(self, member_id: str) -> None:
        super().__init__(f"{member_id!r} is no member: join (again) without a member id")


class FencedInstance(RequestError):
    """Another member has taken the place that this group instance id stands for (KIP-345)."""

    code = ErrorCode.FENCED_INSTANCE_ID

    def __init__(self, group_instance_id: str) -> None:
        super().__init__(
            f"another member has joined as {group_instance_id!r}: give each an id of its own"
        )


class IllegalGeneration(RequestError):
    """The member speaks of another generation than the present one."""

    code = ErrorCode.ILLEGAL_GENERATION

    def __init__(self, *, told: int, current: int) -> None:
        super().__init__(f"generation {told} is not the present one, {current}: join again")


class RebalanceInProgress(RequestError):
    """The group makes a new generation: join it."""

    code = ErrorCode.REBALANCE_IN_PROGRESS

    def __init__(self) -> None:
        super().__init__("the group rebalances: join again")


class InconsistentProtocol(RequestError):
    """The member knows no assignment strategy that all others know, or is of another kind."""

    code = ErrorCode.INCONSISTENT_GROUP_PROTOCOL


class GroupNotEmpty(RequestError):
    """The group has members: stop them first."""

    code = ErrorCode.NON_EMPTY_GROUP


class GroupUnknown(RequestError):
    """There is no such group."""

    code = ErrorCode.GROUP_ID_NOT_FOUND
