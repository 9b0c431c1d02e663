"""Ids that are noted before the log forgets them: when, and what a note says."""

from __future__ import annotations

import pytest

from registry.ids import note_before
from registry.model import Body, Version
from registry.records import IdsUsed, SchemaGone, SchemaSet, SubjectCleared, SubjectDeleted
from registry.state import State
from schemas.schema import SchemaType


def version(subject: str, number: int, schema_id: int) -> Version:
    """Make a version with the schema that an id stands for in these tests."""
    text = f'{{"type":"fixed","name":"F","size":{schema_id}}}'
    return Version(subject, number, schema_id, Body(SchemaType.AVRO, text))


@pytest.fixture
def state():
    """Two subjects in the default context, one in another. Returns: State."""
    state = State()
    for each in (
        version("a", 1, 1),
        version("a", 2, 3),
        version("b", 1, 2),
        version(":.c:a", 1, 9),
    ):
        state.apply(SchemaSet(each))
    return state


@pytest.mark.parametrize(
    ("changes", "noted"),
    [
        ([SchemaGone("a", 2)], {".": 3}),
        ([SchemaGone("a", 1), SchemaGone("a", 2), SubjectCleared("a")], {".": 3}),
        ([SubjectCleared("a")], {".": 3}),
        ([SchemaSet(version("a", 2, 1))], {".": 3}),
        ([SchemaGone(":.c:a", 1)], {".c": 9}),
    ],
)
def test_the_greatest_id_of_a_context_is_noted_before_a_version_loses_it(state, changes, noted):
    assert note_before(state, changes) == IdsUsed(noted)


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [SchemaGone("a", 1)],
        [SchemaGone("b", 1), SubjectCleared("b")],
        [SchemaGone("none", 1)],
        [SchemaSet(version("a", 3, 4))],
        [SubjectDeleted("a", 2)],
        [SchemaSet(Version("a", 2, 3, version("a", 2, 3).body, deleted=True))],
    ],
)
def test_nothing_is_noted_while_the_log_still_tells_of_the_greatest_id(state, changes):
    assert note_before(state, changes) is None


def test_what_is_noted_is_not_noted_again_but_repeated_with_the_next(state):
    state.apply(note_before(state, [SchemaGone("a", 2)]))
    assert note_before(state, [SchemaGone("a", 2)]) is None

    assert note_before(state, [SchemaGone(":.c:a", 1)]) == IdsUsed({".": 3, ".c": 9})


def test_a_new_leader_notes_what_one_who_notes_nothing_has_deleted(state):
    state.apply(SchemaGone("a", 2))

    assert note_before(state, []) == IdsUsed({".": 3})
