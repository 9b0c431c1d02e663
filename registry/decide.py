"""What follows from each request to change something: records to write, and an answer. Pure.

A decision is drawn on the whole state, by the leader alone, one after the other.
Must never know: HTTP, where records are written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from registry.compatibility import Level
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
from registry.model import Body, Config, Mode, Version
from registry.names import split
from registry.records import (
    ConfigSet,
    ModeSet,
    SchemaGone,
    SchemaSet,
    SubjectCleared,
    SubjectDeleted,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.compatibility import Violation
    from registry.parsing import Parser
    from registry.records import Change
    from registry.state import State
    from schemas.schema import Schema

VIOLATIONS_TOLD_MAX = 100


class Decision(Struct, frozen=True):
    """Changes to be written, none where all is as it should be already, and the answer."""

    changes: tuple[Change, ...]
    answer: Any


class Registration(Struct, frozen=True):
    """A schema that is to be registered. `version` and `schema_id` are given in IMPORT mode."""

    subject: str
    body: Body
    version: int | None = None
    schema_id: int | None = None
    normalize: bool = False


# Schemas.


def register(state: State, parser: Parser, asked: Registration) -> Decision:
    """Register a schema, unless it is there. The answer is its Version. Raises: RegistryError."""
    schema, body = prepared(state, parser, asked.subject, asked.body, normalize=asked.normalize)
    mode = state.mode(asked.subject)
    if asked.schema_id is not None:
        return Decision(*_import(state, asked, body, mode))
    if known := find(state, asked.subject, body):
        return Decision((), known)
    if mode.is_read_only:
        raise _read_only(asked.subject)
    if mode is Mode.IMPORT:
        raise NotPermitted(
            f"Subject {asked.subject} is in import mode: give an id, or set mode READWRITE"
        )
    _check_version(state, asked)
    if found := against_level(state, parser, asked.subject, body, schema):
        raise IncompatibleSchema(_incompatible(asked.subject, found))
    context = split(asked.subject).context
    schema_id = state.id_of(context, body) or state.id_max(context) + 1
    version = Version(asked.subject, _next_version(state, asked.subject), schema_id, body)
    return Decision((SchemaSet(version),), version)


def prepared(
    state: State, parser: Parser, subject: str, body: Body, *, normalize: bool
) -> tuple[Schema, Body]:
    """Parse a schema that was sent; its text is then the one that is stored. Raises: RegistryError.

    `normalize`, or the subject's config, has it brought into its normal form.
    """
    schema = parser.parse(state, subject, body)
    wants_normal = normalize or state.config(subject).normalizes
    return schema, replace(body, text=schema.normalized if wants_normal else schema.text)


def find(state: State, subject: str, body: Body, *, deleted: bool = False) -> Version | None:
    """Find the newest version of a subject with this schema."""
    found = [
        each
        for each in state.versions(subject, deleted=deleted)
        if each.body == body or _same_contract(each.body, body)
    ]
    return found[-1] if found else None


def _same_contract(known: Body, asked: Body) -> bool:
    """Whether what was asked for leaves out only what a data contract adds to a schema."""
    if asked.metadata is not None or asked.rule_set is not None:
        return False
    return replace(known, metadata=None, rule_set=None) == asked


def against_level(
    state: State, parser: Parser, subject: str, body: Body, schema: Schema
) -> list[Violation]:
    """Hold a schema against the earlier versions that the subject's level names."""
    level = Level(state.level(subject))
    group = state.config(subject).group
    earlier = [
        each
        for each in state.versions(subject)
        if group is None or _property(each.body, group) == _property(body, group)
    ]
    return parser.violations(state, level, (subject, body, schema), earlier)


def _import(
    state: State, asked: Registration, body: Body, mode: Mode
) -> tuple[tuple[Change, ...], Version]:
    assert asked.schema_id is not None, "what is imported has an id"
    context = split(asked.subject).context
    number = asked.version or _next_version(state, asked.subject)
    version = Version(asked.subject, number, asked.schema_id, body)
    there = state.version(asked.subject, number)
    if there == version:
        return (), version
    if mode is not Mode.IMPORT:
        known = find(state, asked.subject, body)
        if known is not None and known.schema_id == asked.schema_id:
            return (), known
        raise NotPermitted(
            f"Subject {asked.subject} is not in import mode: only then an id may be given"
        )
    owner = state.body(context, asked.schema_id)
    if owner is not None and owner != body:
        raise NotPermitted(f"Overwrite new schema with id {asked.schema_id} is not permitted.")
    return (SchemaSet(version),), version


def _check_version(state: State, asked: Registration) -> None:
    expected = _next_version(state, asked.subject)
    if asked.version not in (None, -1, 0, expected):
        raise NotPermitted(
            f"Version {asked.version} of {asked.subject} is not the next one, which is {expected}"
        )


def _next_version(state: State, subject: str) -> int:
    latest = state.latest(subject, deleted=True)
    return 1 if latest is None else latest.version + 1


def _property(body: Body, name: str) -> Any:
    return body.metadata_properties().get(name)


def _incompatible(subject: str, found: Sequence[Violation]) -> str:
    told = "; ".join(f"{{{each}}}" for each in found[:VIOLATIONS_TOLD_MAX])
    more = len(found) - VIOLATIONS_TOLD_MAX
    return (
        "Schema being registered is incompatible with an earlier schema for subject "
        f'"{subject}", details: [{told}{f"; and {more} more" if more > 0 else ""}]'
    )


def _read_only(subject: str) -> NotPermitted:
    what = f"Subject {subject}" if subject else "The registry"
    return NotPermitted(f"{what} is in read-only mode: set mode READWRITE to change it")


# Deletions.


def delete_version(state: State, subject: str, number: int, *, permanent: bool) -> Decision:
    """Delete a version softly, or permanently after that. The answer is its number.

    With the last version that is not deleted yet the subject's settings go.
    """
    if not state.versions(subject, deleted=True):
        raise SubjectNotFound(subject)
    version = state.version(subject, number)
    if version is None:
        raise VersionNotFound(number)
    if state.mode(subject).is_read_only:
        raise _read_only(subject)
    if permanent:
        if not version.deleted:
            raise VersionNotSoftDeleted(subject, number)
        return Decision((SchemaGone(subject, number),), number)
    if version.deleted:
        raise VersionSoftDeleted(subject, number)
    _check_not_referred_to(state.referred_from(subject, number), version)
    is_last = len(state.versions(subject)) == 1
    settings = _settings_taken_back(state, subject) if is_last else []
    return Decision((SchemaSet(replace(version, deleted=True)), *settings), number)


def delete_subject(state: State, subject: str, *, permanent: bool) -> Decision:
    """Delete all versions softly, or permanently after that, and the subject's settings.

    The answer lists the versions' numbers.
    """
    everything = state.versions(subject, deleted=True)
    if not everything:
        raise SubjectNotFound(subject)
    if state.mode(subject).is_read_only:
        raise _read_only(subject)
    live = [each for each in everything if not each.deleted]
    settings = _settings_taken_back(state, subject)
    if permanent:
        if live:
            raise SubjectNotSoftDeleted(subject)
        gone = tuple(SchemaGone(subject, each.version) for each in everything)
        return Decision(
            (*gone, SubjectCleared(subject), *settings), [each.version for each in everything]
        )
    if not live:
        raise SubjectSoftDeleted(subject)
    for each in live:
        users = state.referred_from(subject, each.version)
        _check_not_referred_to([user for user in users if user.subject != subject], each)
    # Compaction keeps only the newest of these records: it has to say what earlier ones said too,
    # of a version with a greater number that was deleted by one of them.
    changes = (SubjectDeleted(subject, everything[-1].version), *settings)
    return Decision(changes, [each.version for each in live])


def _settings_taken_back(state: State, subject: str) -> list[Change]:
    changes: list[Change] = []
    if subject in state.configs:
        changes.append(ConfigSet(subject, None))
    if subject in state.modes:
        changes.append(ModeSet(subject, None))
    return changes


def _check_not_referred_to(users: Sequence[Version], version: Version) -> None:
    if users:
        names = ", ".join(f"{each.subject} version {each.version}" for each in users[:5])
        raise ReferenceExists(
            "One or more references exist to the schema "
            f"{{subject={version.subject},version={version.version}}}: delete {names} first"
        )


# Settings.


def set_config(state: State, subject: str, config: Config) -> Decision:
    """Give settings to a subject, a context, or all (""). What is not given stays."""
    if state.mode(subject).is_read_only:
        raise _read_only(subject)
    before = state.configs.get(subject, Config())
    level = config.level if config.level is not None else before.level
    after = Config(level, {**before.others, **config.others})
    changes = () if after == before else (ConfigSet(subject or None, after),)
    return Decision(changes, config)


def delete_config(state: State, subject: str) -> Decision:
    """Take settings back. The answer is what they were."""
    before = state.configs.get(subject)
    if before is None:
        if subject:
            raise SubjectNotFound(subject)
        return Decision((), Config(state.level("")))
    if state.mode(subject).is_read_only:
        raise _read_only(subject)
    return Decision((ConfigSet(subject or None, None),), before)


def set_mode(state: State, subject: str, mode: Mode, *, force: bool) -> Decision:
    """Give a mode to a subject, a context, or all (""). The answer is the mode.

    IMPORT takes a place without subjects, so that ids cannot clash, or `force`; what was deleted
    softly does not count. Where it holds already it may be set again.
    """
    begins = mode is Mode.IMPORT and state.mode(subject) is not Mode.IMPORT
    if begins and not force and _holds_anything(state, subject):
        raise NotPermitted(
            "Cannot import since found existing subjects: delete them, "
            "or give force=true where their ids cannot clash"
        )
    changes = () if state.modes.get(subject) is mode else (ModeSet(subject or None, mode),)
    return Decision(changes, mode)


def delete_mode(state: State, subject: str) -> Decision:
    """Take a mode back. The answer is what it was."""
    before = state.modes.get(subject)
    if before is None:
        if subject:
            raise SubjectNotFound(subject)
        return Decision((), Mode.READWRITE)
    return Decision((ModeSet(subject or None, None),), before)


def _holds_anything(state: State, subject: str) -> bool:
    name = split(subject)
    if name.subject:
        return bool(state.versions(subject))
    return any(split(each).context == name.context for each in state.subjects())
