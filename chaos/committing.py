"""What a group may be told of its committed offsets. Pure.

Must never know: who read what, how a history came about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.anomaly import Anomaly
from chaos.history import Committed, Outcome, Told

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from chaos.deletion import Deletion
    from chaos.reading import Starts


def order_committed(
    place: str, operations: Iterable[Committed | Told], *, starts: Starts, deletion: Deletion
) -> Iterator[Anomaly]:
    """Judge one partition: whoever asks after an answer is told at least as much as it said.

    Nobody is told what had not been committed by then; but members that commit by themselves may
    commit where they begin, and where old records go that may be anywhere up to the newest that do.
    """
    moments: list[tuple[float, int, Committed | Told]] = []
    for operation in operations:
        if isinstance(operation, Committed):
            if operation.outcome is Outcome.OK:
                moments.append((operation.ended_at, 1, operation))
        else:
            moments += [(operation.began_at, 0, operation), (operation.ended_at, 1, operation)]
    floor, why = -1, ""
    floors: dict[int, tuple[int, str]] = {}
    for _, ends, operation in sorted(moments, key=lambda moment: moment[:2]):
        if not ends:
            floors[id(operation)] = floor, why
            continue
        offset = -1 if operation.offset is None else operation.offset
        if isinstance(operation, Told):
            bound, since = floors[id(operation)]
            if offset < bound:
                facts = f"{operation.process} was told {operation.offset}, {since}"
                yield Anomaly("commit-went-back", place, facts)
            by = operation.ended_at
            if operation.offset is not None and not (
                starts.may_be_committed(offset, by=by) or deletion.may_begin_at(offset, by=by)
            ):
                facts = f"{operation.process} was told {offset}, which nobody had committed"
                yield Anomaly("commit-from-nowhere", place, facts)
        if offset > floor:
            verb = "was told" if isinstance(operation, Told) else "had committed"
            floor, why = offset, f"{operation.process} {verb} {offset} before"
