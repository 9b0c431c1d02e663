"""Ids that are used up though no schema has them any more: noted before they would be forgotten.

The log tells of an id by the records of the versions that have it. When these are taken away,
compaction removes them, and the greatest id of a context could be given out twice. Pure.
Must never know: how ids are given out, where notes are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.names import split
from registry.records import IdsUsed, SchemaGone, SchemaSet, SubjectCleared

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from registry.model import Version
    from registry.records import Change
    from registry.state import State


def note_before(state: State, changes: Iterable[Change]) -> IdsUsed | None:
    """Say what has to be noted before changes are written, None where nothing has to.

    That is the greatest id of a context where the changes take it from a version, or where nothing
    has it already, which only the records of those who note nothing can have brought about.
    A note repeats those before it: compaction keeps the newest alone.
    """
    taken = {(split(each.subject).context, each.schema_id) for each in _taken(state, changes)}
    lost = {
        context: greatest
        for context, greatest in state.ids_untold().items()
        if (context, greatest) in taken or state.body(context, greatest) is None
    }
    return IdsUsed({**state.ids_used, **lost}) if lost else None


def _taken(state: State, changes: Iterable[Change]) -> Iterator[Version]:
    """Go through the versions that lose their id, or are deleted permanently."""
    for change in changes:
        match change:
            case SchemaSet(version):
                there = state.version(version.subject, version.version)
                if there is not None and there.schema_id != version.schema_id:
                    yield there
            case SchemaGone(subject, number):
                if (there := state.version(subject, number)) is not None:
                    yield there
            case SubjectCleared(subject):
                yield from state.versions(subject, deleted=True)
