"""What follows from a request, drawn on every kind of state: no brokers, no HTTP."""

from __future__ import annotations

import pytest

from registry import decide
from registry.decide import Registration
from registry.errors import (
    IncompatibleSchema,
    NotPermitted,
    ReferenceExists,
    SubjectNotFound,
    SubjectNotSoftDeleted,
    SubjectSoftDeleted,
    VersionNotFound,
    VersionNotSoftDeleted,
    VersionSoftDeleted,
)
from registry.model import Body, Config, Mode, Reference
from registry.parsing import Parser
from registry.records import (
    ConfigSet,
    IdsUsed,
    ModeSet,
    SchemaGone,
    SubjectCleared,
    SubjectDeleted,
)
from registry.state import State
from schemas.schema import SchemaType

PARSER = Parser(None)


def user(*optional: str, needed: tuple[str, ...] = ()) -> Body:
    """Make a record with an id, fields with a default, and fields without."""
    fields = ['{"name":"id","type":"int"}']
    fields += [f'{{"name":"{n}","type":["null","int"],"default":null}}' for n in optional]
    fields += [f'{{"name":"{name}","type":"int"}}' for name in needed]
    return Body(SchemaType.AVRO, f'{{"type":"record","name":"U","fields":[{",".join(fields)}]}}')


class Registrar:
    """Decides, and carries out what was decided."""

    def __init__(self) -> None:
        self.state = State()

    def do(self, decision):
        for change in decision.changes:
            self.state.apply(change)
        return decision.answer

    def register(self, subject: str, body: Body, **options):
        asked = Registration(subject, body, **options)
        return self.do(decide.register(self.state, PARSER, asked))


@pytest.fixture
def registrar():
    """A registry without anything. Returns: Registrar."""
    return Registrar()


# What a level demands of the third version, after one without and one with an optional field.
READS_BOTH = user("a", "b")
READS_LATEST_ONLY = user(needed=("a",))
READ_BY_LATEST = user(needed=("b",))


@pytest.mark.parametrize(
    ("level", "new", "taken"),
    [
        ("NONE", READS_LATEST_ONLY, True),
        ("BACKWARD", READS_BOTH, True),
        ("BACKWARD", READ_BY_LATEST, False),
        ("BACKWARD_TRANSITIVE", READS_BOTH, True),
        ("BACKWARD_TRANSITIVE", READ_BY_LATEST, False),
        ("FORWARD", READ_BY_LATEST, True),
        ("FORWARD_TRANSITIVE", READ_BY_LATEST, True),
        ("FULL", READS_BOTH, True),
        ("FULL", READ_BY_LATEST, False),
        ("FULL_TRANSITIVE", READS_BOTH, True),
        ("FULL_TRANSITIVE", READ_BY_LATEST, False),
    ],
)
def test_a_level_decides_what_a_new_version_may_be(registrar, level, new, taken):
    registrar.register("u", user())
    registrar.register("u", user("a"))
    registrar.do(decide.set_config(registrar.state, "u", Config(level)))

    if taken:
        assert registrar.register("u", new).version == 3
    else:
        with pytest.raises(IncompatibleSchema):
            registrar.register("u", new)


def test_only_a_transitive_level_looks_beyond_the_latest_version(registrar):
    registrar.do(decide.set_config(registrar.state, "u", Config("NONE")))
    registrar.register("u", user())
    registrar.register("u", user(needed=("a",)))
    registrar.do(decide.set_config(registrar.state, "u", Config("BACKWARD_TRANSITIVE")))
    new = user("b", needed=("a",))

    with pytest.raises(IncompatibleSchema, match="version 1"):
        registrar.register("u", new)
    registrar.do(decide.set_config(registrar.state, "u", Config("BACKWARD")))
    assert registrar.register("u", new).version == 3


def test_all_violations_are_told_at_once(registrar):
    registrar.register("u", user())

    with pytest.raises(IncompatibleSchema) as refused:
        registrar.register("u", user(needed=("x", "y", "z")))

    assert all(f'"{name}"' in str(refused.value) for name in "xyz")


def test_another_type_is_never_compatible(registrar):
    registrar.register("u", user())

    proto = Body(SchemaType.PROTOBUF, 'syntax = "proto3"; message U { int32 id = 1; }')
    with pytest.raises(IncompatibleSchema, match="SCHEMA_TYPE_MISMATCH"):
        registrar.register("u", proto)


def test_versions_of_other_compatibility_groups_are_not_compared(registrar):
    registrar.do(decide.set_config(registrar.state, "u", Config(None, {"compatibilityGroup": "v"})))
    one = Body(SchemaType.AVRO, user().text, metadata='{"properties":{"v":"1"}}')
    two = Body(SchemaType.AVRO, user(needed=("x",)).text, metadata='{"properties":{"v":"2"}}')
    registrar.register("u", one)

    assert registrar.register("u", two).version == 2


def test_texts_that_differ_in_layout_are_one_schema(registrar):
    first = registrar.register("u", user())
    spaced = Body(SchemaType.AVRO, user().text.replace(",", " ,  "))

    assert registrar.register("u", spaced) == first


def test_normalized_texts_that_differ_in_spelling_are_one_schema(registrar):
    shuffled = '{"name":"U","fields":[{"type":"int","name":"id"}],"type":"record"}'
    first = registrar.register("u", user(), normalize=True)

    assert registrar.register("u", Body(SchemaType.AVRO, shuffled), normalize=True) == first


def test_ids_that_are_used_up_are_not_given_again(registrar):
    registrar.state.apply(IdsUsed({".": 41, ".c": 7}))

    assert registrar.register("u", user()).schema_id == 42
    assert registrar.register("u", user("a")).schema_id == 43
    assert registrar.register(":.c:u", user()).schema_id == 8
    registrar.state.apply(IdsUsed({".": 43}))
    assert registrar.register("u", user("a", "b")).schema_id == 44


@pytest.mark.parametrize("mode", [Mode.READONLY, Mode.READONLY_OVERRIDE])
def test_what_is_read_only_takes_nothing_new(registrar, mode):
    registrar.register("u", user())
    registrar.do(decide.set_mode(registrar.state, "", mode, force=False))

    with pytest.raises(NotPermitted):
        registrar.register("u", user("a"))
    with pytest.raises(NotPermitted):
        decide.delete_subject(registrar.state, "u", permanent=False)
    with pytest.raises(NotPermitted):
        decide.delete_version(registrar.state, "u", 1, permanent=False)


@pytest.mark.parametrize("mode", [Mode.READONLY, Mode.READONLY_OVERRIDE])
@pytest.mark.parametrize("place", ["u", ":.c:", ""])
def test_what_is_read_only_keeps_its_settings(registrar, mode, place):
    subject = {":.c:": ":.c:u"}.get(place, "u")
    for each in {subject, place}:
        registrar.do(decide.set_config(registrar.state, each, Config("FULL")))
    registrar.do(decide.set_mode(registrar.state, place, mode, force=False))

    for each in (subject, place):
        with pytest.raises(NotPermitted, match="read-only"):
            decide.set_config(registrar.state, each, Config("NONE"))
        with pytest.raises(NotPermitted, match="read-only"):
            decide.delete_config(registrar.state, each)
    with pytest.raises(SubjectNotFound):
        decide.delete_config(registrar.state, "none")
    registrar.do(decide.set_mode(registrar.state, place, Mode.READWRITE, force=False))
    assert decide.delete_config(registrar.state, subject).changes


def test_readonly_override_outweighs_what_a_subject_says(registrar):
    registrar.do(decide.set_mode(registrar.state, "u", Mode.READWRITE, force=False))
    registrar.do(decide.set_mode(registrar.state, "", Mode.READONLY, force=False))
    assert registrar.register("u", user()).version == 1

    registrar.do(decide.set_mode(registrar.state, "", Mode.READONLY_OVERRIDE, force=False))
    with pytest.raises(NotPermitted):
        registrar.register("u", user("a"))


def test_an_id_may_be_given_only_in_import_mode_and_only_where_it_is_free(registrar):
    with pytest.raises(NotPermitted, match="not in import mode"):
        registrar.register("u", user(), schema_id=7)
    registrar.do(decide.set_mode(registrar.state, "", Mode.IMPORT, force=False))

    assert registrar.register("u", user(), schema_id=7, version=3).version == 3
    assert registrar.register("u", user(), schema_id=7, version=3).version == 3, "as it is"
    with pytest.raises(NotPermitted, match="id 7"):
        registrar.register("v", user("a"), schema_id=7)
    with pytest.raises(NotPermitted, match="import mode"):
        registrar.register("v", user("a"))


def test_import_mode_takes_an_empty_place_or_force(registrar):
    registrar.register("u", user())

    for place in ("", "u"):
        with pytest.raises(NotPermitted, match="force=true"):
            decide.set_mode(registrar.state, place, Mode.IMPORT, force=False)
        assert decide.set_mode(registrar.state, place, Mode.IMPORT, force=True).changes
    assert decide.set_mode(registrar.state, "new", Mode.IMPORT, force=False).changes
    assert decide.set_mode(registrar.state, ":.c:", Mode.IMPORT, force=False).changes


def test_import_mode_may_be_set_again_where_it_holds(registrar):
    registrar.do(decide.set_mode(registrar.state, "", Mode.IMPORT, force=False))
    registrar.register("u", user(), schema_id=7)

    assert decide.set_mode(registrar.state, "", Mode.IMPORT, force=False).changes == ()
    assert decide.set_mode(registrar.state, "u", Mode.IMPORT, force=False).changes


def test_what_was_deleted_softly_does_not_refuse_import_mode(registrar):
    registrar.register("u", user())
    registrar.register("v", user())
    registrar.do(decide.delete_subject(registrar.state, "u", permanent=False))

    assert decide.set_mode(registrar.state, "u", Mode.IMPORT, force=False).changes
    with pytest.raises(NotPermitted):
        decide.set_mode(registrar.state, "", Mode.IMPORT, force=False)
    registrar.do(decide.delete_version(registrar.state, "v", 1, permanent=False))
    assert decide.set_mode(registrar.state, "", Mode.IMPORT, force=False).changes


def test_a_subjects_settings_go_with_its_last_version(registrar):
    registrar.register("u", user())
    registrar.register("u", user("a"))
    registrar.do(decide.set_config(registrar.state, "u", Config("FULL")))
    registrar.do(decide.set_mode(registrar.state, "u", Mode.READWRITE, force=False))

    registrar.do(decide.delete_version(registrar.state, "u", 1, permanent=False))
    assert registrar.state.level("u") == "FULL"
    last = decide.delete_version(registrar.state, "u", 2, permanent=False)
    assert last.changes[1:] == (ConfigSet("u", None), ModeSet("u", None))
    registrar.do(last)
    assert registrar.state.level("u") == "BACKWARD"


def test_a_version_is_deleted_softly_before_it_is_deleted_for_ever(registrar):
    registrar.register("u", user())
    with pytest.raises(VersionNotSoftDeleted):
        decide.delete_version(registrar.state, "u", 1, permanent=True)

    assert registrar.do(decide.delete_version(registrar.state, "u", 1, permanent=False)) == 1

    with pytest.raises(VersionSoftDeleted):
        decide.delete_version(registrar.state, "u", 1, permanent=False)
    with pytest.raises(VersionNotFound):
        decide.delete_version(registrar.state, "u", 2, permanent=False)
    gone = decide.delete_version(registrar.state, "u", 1, permanent=True)
    assert gone.changes == (SchemaGone("u", 1),)
    registrar.do(gone)
    with pytest.raises(SubjectNotFound):
        decide.delete_version(registrar.state, "u", 1, permanent=True)


def test_a_subject_goes_with_its_settings(registrar):
    registrar.register("u", user())
    registrar.register("u", user("a"))
    registrar.do(decide.set_config(registrar.state, "u", Config("FULL")))
    with pytest.raises(SubjectNotSoftDeleted):
        decide.delete_subject(registrar.state, "u", permanent=True)

    soft = decide.delete_subject(registrar.state, "u", permanent=False)
    assert soft.changes == (SubjectDeleted("u", 2), ConfigSet("u", None))
    assert registrar.do(soft) == [1, 2]
    with pytest.raises(SubjectSoftDeleted):
        decide.delete_subject(registrar.state, "u", permanent=False)

    hard = decide.delete_subject(registrar.state, "u", permanent=True)
    assert hard.changes == (SchemaGone("u", 1), SchemaGone("u", 2), SubjectCleared("u"))
    registrar.do(hard)
    assert registrar.state.subjects(deleted=True) == []


def test_the_newest_record_of_a_subjects_deletion_says_what_those_before_said(registrar):
    registrar.do(decide.set_mode(registrar.state, "", Mode.IMPORT, force=False))
    registrar.register("u", user("a"), schema_id=5, version=5)
    registrar.do(decide.delete_subject(registrar.state, "u", permanent=False))
    registrar.register("u", user(), schema_id=1, version=1)

    again = decide.delete_subject(registrar.state, "u", permanent=False)

    assert again.changes[0] == SubjectDeleted("u", 5), "version 5 has no other record of it"
    assert again.answer == [1]


def test_a_schema_with_several_ids_is_known_by_the_least_that_is_left(registrar):
    registrar.do(decide.set_mode(registrar.state, "", Mode.IMPORT, force=False))
    for subject, schema_id in (("a", 7), ("b", 5), ("c", 9)):
        registrar.register(subject, user(), schema_id=schema_id, version=1)
    registrar.do(decide.delete_mode(registrar.state, ""))
    assert registrar.register("d", user()).schema_id == 5

    for subject in ("b", "d"):
        for permanent in (False, True):
            registrar.do(decide.delete_subject(registrar.state, subject, permanent=permanent))

    assert registrar.register("e", user()).schema_id == 7


def test_a_context_without_versions_is_not_listed(registrar):
    registrar.register(":.c:u", user())
    assert registrar.state.contexts() == [".", ".c"]

    for permanent in (False, True):
        registrar.do(decide.delete_subject(registrar.state, ":.c:u", permanent=permanent))

    assert registrar.state.contexts() == ["."]


def test_what_is_referred_to_stays_until_nobody_does(registrar):
    registrar.register("u", user())
    text = '{"type":"record","name":"O","fields":[{"name":"by","type":"U"}]}'
    registrar.register("o", Body(SchemaType.AVRO, text, (Reference("U", "u", 1),)))

    for delete in (
        lambda: decide.delete_version(registrar.state, "u", 1, permanent=False),
        lambda: decide.delete_subject(registrar.state, "u", permanent=False),
    ):
        with pytest.raises(ReferenceExists, match="o version 1"):
            delete()
    registrar.do(decide.delete_subject(registrar.state, "o", permanent=False))
    assert registrar.do(decide.delete_subject(registrar.state, "u", permanent=False)) == [1]


def test_settings_are_added_to_those_that_there_are(registrar):
    registrar.do(decide.set_config(registrar.state, "", Config("FULL")))
    registrar.do(decide.set_config(registrar.state, "", Config(None, {"normalize": True})))

    assert registrar.state.configs[""] == Config("FULL", {"normalize": True})
    same = decide.set_config(registrar.state, "", Config("FULL"))
    assert same.changes == (), "nothing is written where nothing changes"
