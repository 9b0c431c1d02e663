"""Subjects and their versions: listed, looked up, registered, deleted.

Must never know: what is decided, how it is written.
Source: Schema Registry API reference, "Subjects".
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from registry import decide
from registry.decide import Registration
from registry.errors import (
    BadRequest,
    InvalidVersion,
    SchemaNotFound,
    SubjectNotFound,
    UnusableSchema,
    VersionNotFound,
)
from registry.http import wire
from registry.http.schemas import as_text, formatted, has_prefix, version_fields
from registry.model import Body
from registry.names import ALL_CONTEXTS, split, subject_to_register
from registry.records import json_text, references_of
from schemas.schema import SchemaType

if TYPE_CHECKING:
    from starlette.requests import Request

    from registry.model import Version
    from registry.registry import Registry
    from registry.state import State


async def list_subjects(registry: Registry, request: Request) -> list[str]:
    """GET /subjects."""
    prefix = request.query_params.get("subjectPrefix", ALL_CONTEXTS)
    state = registry.state
    names = _deleted_or_not(request, state)
    return wire.page(request, [name for name in names if has_prefix(name, prefix)])


async def list_versions(registry: Registry, request: Request) -> list[int]:
    """GET /subjects/(subject)/versions."""
    subject = wire.subject_of(request)
    everything = registry.state.versions(subject, deleted=True)
    only = wire.flag(request, "deletedOnly")
    deleted = wire.flag(request, "deleted")
    found = [each for each in everything if (each.deleted if only else deleted or not each.deleted)]
    if not found:
        raise SubjectNotFound(subject)
    return wire.page(request, [each.version for each in found])


async def get_version(registry: Registry, request: Request) -> dict[str, Any]:
    """GET /subjects/(subject)/versions/(version)."""
    version = _version(registry, request)
    context = split(version.subject).context
    return version_fields(version) | {"schema": formatted(registry, request, context, version.body)}


async def get_version_text(registry: Registry, request: Request) -> Any:
    """GET /subjects/(subject)/versions/(version)/schema."""
    version = _version(registry, request)
    context = split(version.subject).context
    return as_text(version.body, formatted(registry, request, context, version.body))


async def get_referenced_by(registry: Registry, request: Request) -> list[int]:
    """GET /subjects/(subject)/versions/(version)/referencedby: ids of schemas that refer to it."""
    version = _version(registry, request, deleted=True)
    users = registry.state.referred_from(version.subject, version.version)
    return sorted({each.schema_id for each in users})


async def get_metadata(registry: Registry, request: Request) -> dict[str, Any]:
    """GET /subjects/(subject)/metadata: the latest version with these properties."""
    subject = wire.subject_of(request)
    wanted = dict(
        zip(
            request.query_params.getlist("key"), request.query_params.getlist("value"), strict=False
        )
    )
    deleted = wire.flag(request, "deleted")
    for version in reversed(registry.state.versions(subject, deleted=deleted)):
        properties = version.body.metadata_properties()
        if all(properties.get(key) == value for key, value in wanted.items()):
            return version_fields(version)
    raise (
        SchemaNotFound()
        if registry.state.versions(subject, deleted=True)
        else SubjectNotFound(subject)
    )


async def look_up(registry: Registry, request: Request) -> dict[str, Any]:
    """POST /subjects/(subject): the version with this schema."""
    subject = wire.subject_of(request)
    deleted = wire.flag(request, "deleted")
    body = body_of(wire.json_object(await wire.read_body(request)))
    state = registry.state
    if not state.versions(subject, deleted=deleted):
        raise SubjectNotFound(subject)
    _, prepared = decide.prepared(
        state, registry.parser, subject, body, normalize=wire.flag(request, "normalize")
    )
    found = decide.find(state, subject, prepared, deleted=deleted)
    if found is None:
        raise SchemaNotFound
    return version_fields(found)


def known_already(registry: Registry, request: Request, body: bytes) -> dict[str, Any] | None:
    """Answer a registration of what this registry knows, without the leader; None otherwise."""
    asked = _registration(request, body)
    if asked.schema_id is not None:
        return None
    _, prepared = decide.prepared(
        registry.state, registry.parser, asked.subject, asked.body, normalize=asked.normalize
    )
    found = decide.find(registry.state, asked.subject, prepared)
    return None if found is None else _registered(found)


async def register(registry: Registry, request: Request, body: bytes) -> dict[str, Any]:
    """POST /subjects/(subject)/versions."""
    asked = _registration(request, body)
    return _registered(await registry.change(partial(decide.register, asked=asked)))


async def delete_version(registry: Registry, request: Request, _body: bytes) -> int:
    """DELETE /subjects/(subject)/versions/(version)."""
    subject = wire.subject_of(request)
    asked = wire.version_of(request)
    permanent = wire.flag(request, "permanent")

    def decided(state: State, _parser: object) -> decide.Decision:
        latest = state.latest(subject, deleted=permanent)
        if asked is None and latest is None:
            raise SubjectNotFound(subject)
        number = asked if asked is not None or latest is None else latest.version
        assert number is not None, "it was asked for, or is the latest"
        return decide.delete_version(state, subject, number, permanent=permanent)

    deleted: int = await registry.change(decided)
    return deleted


async def delete_subject(registry: Registry, request: Request, _body: bytes) -> list[int]:
    """DELETE /subjects/(subject)."""
    subject = wire.subject_of(request)
    permanent = wire.flag(request, "permanent")
    deleted: list[int] = await registry.change(
        lambda state, _parser: decide.delete_subject(state, subject, permanent=permanent)
    )
    return deleted


def body_of(fields: dict[str, Any]) -> Body:
    """Read a schema out of a request's body. Raises: BadRequest, UnusableSchema."""
    text = wire.text(fields, "schema")
    if text is None or not text.strip():
        raise UnusableSchema('Empty schema: "schema" has to hold the text of the schema')
    named = (wire.text(fields, "schemaType") or SchemaType.AVRO).upper()
    if named not in SchemaType.__members__:
        raise BadRequest(f'"schemaType" is {named}: give one of {", ".join(SchemaType)}')
    try:
        references = references_of(fields.get("references"))
    except (KeyError, TypeError, ValueError) as error:
        raise BadRequest(
            '"references" has to be a list of objects with "name", "subject" and "version": '
            f"{error!r}"
        ) from error
    return Body(
        SchemaType(named),
        text,
        references,
        json_text(_object_or_none(fields, "metadata")),
        json_text(_object_or_none(fields, "ruleSet")),
    )


def _object_or_none(fields: dict[str, Any], name: str) -> dict[str, Any] | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, dict):
        raise BadRequest(f'"{name}" has to be an object')
    return value


def _registration(request: Request, body: bytes) -> Registration:
    fields = wire.json_object(body)
    version = wire.integer(fields, "version")
    schema_id = wire.integer(fields, "id")
    if version is not None and version < -1:
        raise InvalidVersion(str(version))
    return Registration(
        subject_to_register(wire.subject_of(request)),
        body_of(fields),
        version if version is not None and version > 0 else None,
        schema_id if schema_id is not None and schema_id > 0 else None,
        normalize=wire.flag(request, "normalize"),
    )


def _registered(version: Version) -> dict[str, Any]:
    return {"id": version.schema_id, "version": version.version, "guid": version.body.guid}


def _version(registry: Registry, request: Request, *, deleted: bool | None = None) -> Version:
    subject = wire.subject_of(request)
    asked = wire.version_of(request)
    state = registry.state
    deleted_too = wire.flag(request, "deleted") if deleted is None else deleted
    if not state.versions(subject, deleted=deleted_too):
        raise SubjectNotFound(subject)
    if asked is None:
        version = state.latest(subject, deleted=deleted_too)
    else:
        version = state.version(subject, asked)
    if version is None or (version.deleted and not deleted_too):
        raise VersionNotFound(asked or "latest")
    return version


def _deleted_or_not(request: Request, state: State) -> list[str]:
    live = state.subjects()
    if wire.flag(request, "deletedOnly"):
        return sorted({*state.subjects(deleted=True)}.difference(live))
    return state.subjects(deleted=True) if wire.flag(request, "deleted") else live
