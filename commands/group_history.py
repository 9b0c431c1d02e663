"""Why a group rebalanced, in sentences: who came, who went, who was evicted, what moved.

Must never know: how the history was found out, the terminal. Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Final

from client.records import TopicPartition
from commands.columns import count_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import tzinfo

    from client.group_descriptions import PartitionMoves, Rebalance, RebalanceCause

SENTENCES: Final = {
    "rejoined": "joined again",
    "replaced by another process": "was replaced by another process",
    "session timed out": "was evicted",
    "did not join again in time": "was evicted: it did not join again in time",
    "did not ask for its assignment in time": (
        "was evicted: it did not ask for its assignment in time"
    ),
}
"""What became of a member, where the broker's word for it is not a sentence of its own."""

WILLING: Final = ("joined", "rejoined", "left")
"""What members do of their own accord: how long they had been silent says nothing then."""

MOVES_SHOWN: Final = 12
"""So many moves are named in a line; `--json` has all."""

_UUID_TAIL: Final = re.compile(
    r"-([0-9a-f]{8})-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$"
)
_UUID_SHOWN: Final = 4
_NOBODY: Final = "nobody"


class MemberNames:
    """Short names: the instance's own, or the member id with no more of its UUID than it takes."""

    def __init__(self, rebalances: Iterable[Rebalance]) -> None:
        self._instances = {
            cause.member_id: cause.group_instance_id
            for rebalance in rebalances
            for cause in rebalance.causes
            if cause.group_instance_id
        }
        member_ids = {member_id for rebalance in rebalances for member_id in _members_of(rebalance)}
        self._short = {member_id: _shortened(member_id) for member_id in member_ids}
        self._taken = Counter(self._short.values())

    def of(self, member_id: str) -> str:
        """Name a member; its whole id where a shorter name would be another's as well."""
        if not member_id:
            return _NOBODY
        if member_id in self._instances:
            return self._instances[member_id] or member_id
        short = self._short.get(member_id, member_id)
        return short if self._taken[short] == 1 else member_id


def transfers(
    moves: Iterable[PartitionMoves],
) -> dict[TopicPartition, tuple[str | None, str | None]]:
    """Give for each partition that moved who lost it and who gained it; None is nobody."""
    lost: dict[TopicPartition, str] = {}
    gained: dict[TopicPartition, str] = {}
    for move in moves:
        lost |= {TopicPartition(move.topic, partition): move.member_id for partition in move.lost}
        gained |= {
            TopicPartition(move.topic, partition): move.member_id for partition in move.gained
        }
    return {place: (lost.get(place), gained.get(place)) for place in sorted({*lost, *gained})}


def tell(rebalances: tuple[Rebalance, ...], zone: tzinfo | None) -> Iterator[str]:
    """Write each rebalance in a line, times in `zone` (None: local)."""
    names = MemberNames(rebalances)
    before: int | None = None
    for rebalance in rebalances:
        yield _line(rebalance, before, names, zone)
        before = rebalance.generation_id


def moment(timestamp_ms: int, zone: tzinfo | None) -> str:
    """Write a time to the second."""
    when = datetime.fromtimestamp(timestamp_ms / 1000, tz=zone)
    return when.strftime("%Y-%m-%d %H:%M:%S")


def _line(rebalance: Rebalance, before: int | None, names: MemberNames, zone: tzinfo | None) -> str:
    origin = rebalance.generation_id - 1 if before is None else before
    causes = "; ".join(_cause(cause, names) for cause in rebalance.causes) or "cause unknown"
    parts = [
        f"{moment(rebalance.started_ms, zone)} generation {origin} -> {rebalance.generation_id}:"
        f" {causes}"
    ]
    if rebalance.completed_ms < 0:
        parts.append("still under way")
    else:
        took_s = (rebalance.completed_ms - rebalance.started_ms) / 1000
        members = count_of(rebalance.member_count, "member")
        parts += [_moved(rebalance.moves, names), f"{members} after {took_s:.1f} s"]
    return "; ".join(parts)


def _cause(cause: RebalanceCause, names: MemberNames) -> str:
    sentence = SENTENCES.get(cause.kind, cause.kind)
    if cause.member_id:
        where = ", ".join(filter(None, (_client(cause), cause.client_host)))
        sentence = f"member {names.of(cause.member_id)} ({where}) {sentence}"
    if cause.heartbeat_age_ms >= 0 and cause.kind not in WILLING:
        sentence += f": no heartbeat for {cause.heartbeat_age_ms / 1000:.1f} s"
        if cause.session_timeout_ms >= 0:
            sentence += f", session timeout {cause.session_timeout_ms / 1000:g} s"
    if cause.reason:
        sentence += f": {cause.reason}"
    return sentence


def _client(cause: RebalanceCause) -> str:
    return f"client {cause.client_id}" if cause.client_id else ""


def _moved(moves: tuple[PartitionMoves, ...], names: MemberNames) -> str:
    moved = transfers(moves)
    if not moved:
        return "nothing moved"
    shown = [
        f"{place} {_transfer(lost, gained, names)}"
        for place, (lost, gained) in list(moved.items())[:MOVES_SHOWN]
    ]
    left_out = len(moved) - len(shown)
    more = f" and {left_out:,} more" if left_out else ""
    return f"{count_of(len(moved), 'partition')} moved: {', '.join(shown)}{more}"


def _transfer(lost: str | None, gained: str | None, names: MemberNames) -> str:
    if lost is None:
        return f"-> {names.of(gained or '')}"
    return f"{names.of(lost)} -> {names.of(gained or '')}"


def _members_of(rebalance: Rebalance) -> set[str]:
    named = {cause.member_id for cause in rebalance.causes}
    return named | {move.member_id for move in rebalance.moves} | {rebalance.leader_id}


def _shortened(member_id: str) -> str:
    tail = _UUID_TAIL.search(member_id)
    if tail is None:
        return member_id
    return f"{member_id[: tail.start()]}-{tail.group(1)[:_UUID_SHOWN]}"
