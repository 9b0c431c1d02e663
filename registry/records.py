"""The records of `_schemas`, in the layout that the public registry reads and writes.

Compaction compares keys byte by byte, so a key has exactly one spelling. One record is our own,
under a key that the public registry takes for a NOOP, whatever its value: which ids are used up.
Must never know: what follows from a record, how it is written or read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from msgspec import Struct

from protocol.errors import OttlaError
from registry.compatibility import Level
from registry.model import Body, Config, Mode, Reference, Version
from registry.names import has_control_characters
from schemas.schema import SchemaType

if TYPE_CHECKING:
    from collections.abc import Mapping


class Record(NamedTuple):
    """What is written: a key, and a value or None to forget what the key had."""

    key: bytes
    value: bytes | None


class Unreadable(OttlaError):
    """A record of `_schemas` that is not in the layout."""


class SchemaSet(Struct, frozen=True):
    """A version was registered, or deleted softly."""

    version: Version


class SchemaGone(Struct, frozen=True):
    """A version was deleted permanently."""

    subject: str
    version: int


class SubjectDeleted(Struct, frozen=True):
    """All versions up to one were deleted softly."""

    subject: str
    up_to: int


class SubjectCleared(Struct, frozen=True):
    """A subject was deleted permanently."""

    subject: str


class ConfigSet(Struct, frozen=True):
    """The settings of a subject were given, or taken back (None). None as subject: of all."""

    subject: str | None
    config: Config | None


class ModeSet(Struct, frozen=True):
    """The mode of a subject was given, or taken back (None). None as subject: of all."""

    subject: str | None
    mode: Mode | None


class IdsUsed(Struct, frozen=True):
    """The greatest id that was given out in each of these contexts, whatever became of it."""

    greatest: Mapping[str, int]


Change = SchemaSet | SchemaGone | SubjectDeleted | SubjectCleared | ConfigSet | ModeSet | IdsUsed

_KEY_TYPES: Final = {
    SubjectDeleted: "DELETE_SUBJECT",
    SubjectCleared: "CLEAR_SUBJECT",
    ConfigSet: "CONFIG",
    ModeSet: "MODE",
}
_NOOP_MAGIC: Final = 0
_IDS_MAGIC: Final = 1
_NUMBER_MAX: Final = 2**31 - 1


def noop() -> Record:
    """Make the record that a new leader writes to learn where the log ends."""
    return Record(_json({"keytype": "NOOP", "magic": _NOOP_MAGIC}), None)


def encode(change: Change) -> Record:
    """Write a change down."""
    value = _value_of(change)
    return Record(key_of(change), None if value is None else _json(value))


def key_of(change: Change) -> bytes:
    """Give the key that a change is written under."""
    match change:
        case SchemaSet(version):
            return _schema_key(version.subject, version.version)
        case SchemaGone(subject, version):
            return _schema_key(subject, version)
        case IdsUsed():
            return _json({"keytype": "NOOP", "magic": _IDS_MAGIC})
    return _json({"keytype": _KEY_TYPES[type(change)], "subject": change.subject, "magic": 0})


def _value_of(change: Change) -> Mapping[str, Any] | None:
    fields: Mapping[str, Any] | None = None
    match change:
        case SchemaSet(version):
            fields = _schema(version)
        case SubjectDeleted(subject, up_to):
            fields = {"subject": subject, "version": up_to}
        case SubjectCleared(subject):
            fields = {"subject": subject}
        case ConfigSet(subject, Config() as config):
            fields = _config(subject, config)
        case ModeSet(subject, Mode() as mode):
            fields = {"subject": subject, "mode": str(mode)}
        case IdsUsed(greatest):
            fields = {"ids": {**greatest}}
    return fields


def decode(key: bytes | None, value: bytes | None) -> Change | None:
    """Read a record; None for one that changes nothing. Raises: Unreadable."""
    try:
        named = json.loads(key or b"")
        told = None if value is None else json.loads(value)
        check_surrogates(key or b"", named)
        check_surrogates(value or b"", told)
        return _change(named, told)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise Unreadable(f"key {(key or b'')[:200]!r}: {error!r}") from error


def _change(key: Mapping[str, Any], value: Mapping[str, Any] | None) -> Change | None:
    match key["keytype"]:
        case "SCHEMA" if value is None:
            return SchemaGone(_subject(key), _number(key["version"]))
        case "SCHEMA" if value is not None:
            return SchemaSet(_version(_subject(key), _number(key["version"]), value))
        case "CONFIG":
            return ConfigSet(_scope(key), None if value is None else config_of(value))
        case "MODE":
            return ModeSet(_scope(key), None if value is None else Mode(value["mode"]))
        case "NOOP" if value is not None and key.get("magic") == _IDS_MAGIC:
            return IdsUsed({context: _number(used) for context, used in value["ids"].items()})
    return _deletion(key, value)


def _deletion(key: Mapping[str, Any], value: Mapping[str, Any] | None) -> Change | None:
    match key["keytype"]:
        case "DELETE_SUBJECT" if value is not None:
            return SubjectDeleted(_subject(key), _number(value["version"]))
        case "CLEAR_SUBJECT" if value is not None:
            return SubjectCleared(_subject(key))
    return None  # NOOP, and what other registries note for themselves


def _version(subject: str, version: int, value: Mapping[str, Any]) -> Version:
    body = Body(
        SchemaType(value.get("schemaType") or "AVRO"),
        _text(value["schema"]),
        references_of(value.get("references")),
        json_text(_object_or_none(value.get("metadata"))),
        json_text(_object_or_none(value.get("ruleSet"))),
    )
    return Version(subject, version, _number(value["id"]), body, bool(value.get("deleted")))


def references_of(listed: Any) -> tuple[Reference, ...]:
    """Read a list of references. Raises: KeyError, TypeError, ValueError."""
    return tuple(
        Reference(_text(each["name"]), _text(each["subject"]), _number(each["version"]))
        for each in listed or ()
    )


def body_fields(body: Body) -> dict[str, Any]:
    """Give a schema's fields as the API and the records name them; an Avro's type goes without."""
    fields: dict[str, Any] = {}
    if body.type is not SchemaType.AVRO:
        fields["schemaType"] = str(body.type)
    if body.references:
        fields["references"] = [
            {"name": each.name, "subject": each.subject, "version": each.version}
            for each in body.references
        ]
    if body.metadata is not None:
        fields["metadata"] = json.loads(body.metadata)
    if body.rule_set is not None:
        fields["ruleSet"] = json.loads(body.rule_set)
    fields["schema"] = body.text
    return fields


def config_of(value: Mapping[str, Any]) -> Config:
    """Read settings that were stored. Raises: AttributeError, ValueError."""
    others = {k: v for k, v in value.items() if k not in ("subject", "compatibilityLevel")}
    level = value.get("compatibilityLevel")
    return Config(None if level is None else str(Level(level)), others)


def _schema(version: Version) -> dict[str, Any]:
    return {
        "subject": version.subject,
        "version": version.version,
        "id": version.schema_id,
        **body_fields(version.body),
        "deleted": version.deleted,
    }


def _config(subject: str | None, config: Config) -> dict[str, Any]:
    level = {} if config.level is None else {"compatibilityLevel": config.level}
    return {"subject": subject, **level, **config.others}


def _schema_key(subject: str, version: int) -> bytes:
    return _json({"keytype": "SCHEMA", "subject": subject, "version": version, "magic": 1})


def check_surrogates(text: bytes, value: Any) -> None:
    """See that a value, read from JSON, can be written again. Raises: UnicodeEncodeError.

    Half of a surrogate pair cannot: it may be escaped, or stand there as bytes that begin with ED.
    """
    if b"\\ud" in text.lower() or b"\xed" in text:
        json.dumps(value, ensure_ascii=False).encode()


def _subject(key: Mapping[str, Any]) -> str:
    """Read a subject: other registries store any name without control characters."""
    subject = _text(key["subject"])
    if has_control_characters(subject):
        raise ValueError(f"the subject {subject[:100]!r} holds control characters")
    return subject


def _scope(key: Mapping[str, Any]) -> str | None:
    return None if key.get("subject") is None else _subject(key)


def _number(value: Any) -> int:
    """Read a version or an id, which has 32 bits."""
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"{value} is no whole number")
    number = int(value)
    if not -_NUMBER_MAX <= number <= _NUMBER_MAX:
        raise ValueError(f"{str(number)[:20]} is out of range")
    return number


def _object_or_none(value: Any) -> dict[str, Any] | None:
    if value is not None and not isinstance(value, dict):
        raise TypeError(f"an object is wanted, not a {type(value).__name__}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text is wanted, not {value!r}")
    return value


def json_text(value: Any) -> str | None:
    """Write a value as JSON without white space; None stays None."""
    return None if value is None else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
