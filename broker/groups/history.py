"""Why a group rebalanced: its last rebalances, what caused each, and what moved.

Must never know: the group's state, how assignments are encoded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from broker.groups.member import Member

REBALANCES_KEPT: Final = 20
CAUSES_KEPT: Final = 50
"""Of one rebalance; thousands of members may come at once, and the first ones say why."""

REASON_CHARACTERS_MAX: Final = 255

Owners = Mapping[tuple[str, int], str]
"""Who reads each partition (topic, index): a member id."""


class Kind(Enum):
    """What happened to a member."""

    JOINED = "joined"
    REJOINED = "rejoined"
    CHANGED = "changed what it asks for"
    REPLACED = "replaced by another process"
    LEFT = "left"
    EXPIRED = "session timed out"
    LATE = "did not join again in time"
    UNSYNCED = "did not ask for its assignment in time"
    NOT_STORED = "the assignment could not be stored"


class Cause(Struct, frozen=True):
    """One thing that happened; `heartbeat_age_ms` is how long the member had been silent."""

    kind: Kind
    timestamp_ms: int
    member_id: str
    group_instance_id: str | None
    client_id: str
    client_host: str
    heartbeat_age_ms: int
    session_timeout_ms: int
    reason: str | None


class Moves(Struct, frozen=True):
    """What one member gained and lost of one topic."""

    member_id: str
    topic: str
    gained: tuple[int, ...]
    lost: tuple[int, ...]


class Rebalance(Struct):
    """One rebalance; `completed_ms` is None while it is under way."""

    started_ms: int
    causes: list[Cause] = field(default_factory=list)
    completed_ms: int | None = None
    generation_id: int = 0
    member_count: int = 0
    leader_id: str = ""
    protocol_name: str = ""
    moves: tuple[Moves, ...] = ()


class History:
    """The last rebalances of one group, oldest first, since this broker took it."""

    def __init__(self, wall_ms: Callable[[], int]) -> None:
        self._wall_ms = wall_ms
        self._rebalances: deque[Rebalance] = deque(maxlen=REBALANCES_KEPT)
        self._owners: Owners = {}
        self.since_ms = wall_ms()

    def __iter__(self) -> Iterator[Rebalance]:
        return iter(self._rebalances)

    def begin_with(self, owners: Owners) -> None:
        """Note who read what when this broker took the group."""
        self._owners = owners

    def note(
        self, kind: Kind, member: Member, *, now: float | None = None, reason: str | None = None
    ) -> None:
        """Note a cause: of a new rebalance, or of the one under way.

        `now` is given where the member's silence is the point.
        """
        current = self._rebalances[-1] if self._rebalances else None
        if current is None or current.completed_ms is not None:
            current = Rebalance(started_ms=self._wall_ms())
            self._rebalances.append(current)
        if len(current.causes) < CAUSES_KEPT:
            current.causes.append(self._cause(kind, member, now=now, reason=reason))

    def _cause(self, kind: Kind, member: Member, *, now: float | None, reason: str | None) -> Cause:
        return Cause(
            kind=kind,
            timestamp_ms=self._wall_ms(),
            member_id=member.member_id,
            group_instance_id=member.group_instance_id,
            client_id=member.client_id,
            client_host=member.client_host,
            heartbeat_age_ms=-1 if now is None else round((now - member.heard_at) * 1000),
            session_timeout_ms=member.session_timeout_ms,
            reason=reason[:REASON_CHARACTERS_MAX] if reason else None,
        )

    def complete(
        self, *, generation_id: int, member_count: int, leader_id: str, protocol_name: str
    ) -> None:
        """Note the generation that came of the rebalance under way."""
        if self._rebalances and self._rebalances[-1].completed_ms is None:
            current = self._rebalances[-1]
            current.completed_ms = self._wall_ms()
            current.generation_id, current.member_count = generation_id, member_count
            current.leader_id, current.protocol_name = leader_id, protocol_name

    def assigned(self, owners: Owners) -> None:
        """Note who reads what from now on, as a result of the last rebalance."""
        if self._rebalances:
            self._rebalances[-1].moves = moves(self._owners, owners)
        self._owners = owners


def moves(before: Owners, after: Owners) -> tuple[Moves, ...]:
    """Say what each member gained and lost, by member and topic."""
    gained: dict[tuple[str, str], list[int]] = {}
    lost: dict[tuple[str, str], list[int]] = {}
    places = before.keys() | after.keys()
    for place in sorted(each for each in places if before.get(each) != after.get(each)):
        topic, index = place
        old, new = before.get(place), after.get(place)
        if old is not None:
            lost.setdefault((old, topic), []).append(index)
        if new is not None:
            gained.setdefault((new, topic), []).append(index)
    return tuple(
        Moves(*key, gained=tuple(gained.get(key, ())), lost=tuple(lost.get(key, ())))
        for key in sorted(gained.keys() | lost.keys())
    )
