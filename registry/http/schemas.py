"""Schemas by their ids, and lists of them.

Must never know: how schemas get their ids.
Source: Schema Registry API reference, "Schemas".
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from registry.errors import BadRequest, SchemaNotFound, UnusableSchema
from registry.http import wire
from registry.names import ALL_CONTEXTS, normal, split
from registry.records import body_fields
from schemas.schema import InvalidSchema, SchemaType

if TYPE_CHECKING:
    from starlette.requests import Request

    from registry.model import Body, Version
    from registry.parsing import Parser
    from registry.registry import Registry
    from schemas.schema import Schema


async def list_types(_registry: Registry, _request: Request) -> list[str]:
    """GET /schemas/types."""
    return [SchemaType.JSON, SchemaType.PROTOBUF, SchemaType.AVRO]


async def list_schemas(registry: Registry, request: Request) -> list[Any]:
    """GET /schemas: all versions, or the latest of each subject."""
    prefix = request.query_params.get("subjectPrefix", "")
    deleted = wire.flag(request, "deleted")
    latest_only = wire.flag(request, "latestOnly")
    state = registry.state
    found: list[Version] = []
    for subject in state.subjects(deleted=deleted):
        if not has_prefix(subject, prefix):
            continue
        versions = state.versions(subject, deleted=deleted)
        found += versions[-1:] if latest_only else versions
    return [version_fields(each) for each in wire.page(request, found)]


async def get_schema(registry: Registry, request: Request) -> dict[str, Any]:
    """GET /schemas/ids/(id)."""
    context, _, body = _by_id(registry, request)
    fields = {"guid": body.guid, **body_fields(body)}
    fields["schema"] = formatted(registry, request, context, body)
    if wire.flag(request, "fetchMaxId"):
        fields["maxId"] = registry.state.id_max(context)
    return fields


async def get_schema_text(registry: Registry, request: Request) -> Any:
    """GET /schemas/ids/(id)/schema."""
    context, _, body = _by_id(registry, request)
    return as_text(body, formatted(registry, request, context, body))


async def get_subjects(registry: Registry, request: Request) -> list[str]:
    """GET /schemas/ids/(id)/subjects."""
    return sorted({each.subject for each in _users(registry, request)})


async def get_versions(registry: Registry, request: Request) -> list[Any]:
    """GET /schemas/ids/(id)/versions."""
    return [
        {"subject": each.subject, "version": each.version} for each in _users(registry, request)
    ]


async def get_by_guid(registry: Registry, request: Request) -> dict[str, Any]:
    """GET /schemas/guids/(guid)."""
    version = _by_guid(registry, request)[0]
    fields = {"guid": version.body.guid, **body_fields(version.body)}
    context = split(version.subject).context
    fields["schema"] = formatted(registry, request, context, version.body)
    return fields


async def get_ids_by_guid(registry: Registry, request: Request) -> list[Any]:
    """GET /schemas/guids/(guid)/ids."""
    ids = {(split(each.subject).context, each.schema_id) for each in _by_guid(registry, request)}
    return [{"context": context, "id": schema_id} for context, schema_id in sorted(ids)]


async def list_contexts(registry: Registry, _request: Request) -> list[str]:
    """GET /contexts."""
    return registry.state.contexts()


def version_fields(version: Version) -> dict[str, Any]:
    """Give a version's fields as every endpoint shows them."""
    fields = {
        "subject": version.subject,
        "version": version.version,
        "id": version.schema_id,
        "guid": version.body.guid,
        **body_fields(version.body),
    }
    if version.deleted:
        fields["deleted"] = True
    return fields


def has_prefix(subject: str, prefix: str) -> bool:
    """Whether a subject is among those that `subjectPrefix` names; `:*:` names every context's."""
    if prefix.startswith(ALL_CONTEXTS):
        return split(subject).subject.startswith(prefix.removeprefix(ALL_CONTEXTS))
    return subject.startswith(prefix)


def formatted(registry: Registry, request: Request, context: str, body: Body) -> str:
    """Give a schema's text in the format that is asked for, as it is stored by default.

    `serialized` gives a Protobuf schema as base64 of its FileDescriptorProto, `resolved` an Avro
    schema with what it refers to in it; for other types they mean nothing.
    Raises: UnusableSchema where what it refers to is nested too deep.
    """
    wanted = request.query_params.get("format")
    if wanted == "serialized" and body.type is SchemaType.PROTOBUF:
        from schemas.protobuf.schema import ProtobufSchema  # noqa: PLC0415 - few ask for it

        schema = _parsed(registry, context, body)
        assert isinstance(schema, ProtobufSchema), "its type says so"
        return b64encode(schema.serialized()).decode()
    if wanted == "resolved" and body.type is SchemaType.AVRO and body.references:
        from schemas.avro.schema import AvroSchema  # noqa: PLC0415 - nor these

        schema = _parsed(registry, context, body)
        assert isinstance(schema, AvroSchema), "its type says so"
        try:
            return schema.resolved()
        except InvalidSchema as error:
            raise UnusableSchema(f"Invalid schema: {error}") from None
    return body.text


def _parsed(registry: Registry, context: str, body: Body) -> Schema:
    parser: Parser = registry.parser
    schema_id = registry.state.id_of(context, body)
    users = registry.state.users(context, schema_id) if schema_id is not None else []
    subject = users[0].subject if users else ""
    return parser.parse(registry.state, subject, body, deleted_too=True)


def as_text(body: Body, text: str) -> Any:
    """Give what an endpoint answers that shows a schema alone: JSON where the schema is JSON."""
    return text if body.type is SchemaType.PROTOBUF else json.loads(text)


def _by_id(registry: Registry, request: Request) -> tuple[str, int, Body]:
    given = request.path_params["id"]
    if not given.isdecimal() or len(given) > 10:
        raise BadRequest(f'The id of a schema is a number, "{given}" is none')
    context = split(normal(request.query_params.get("subject", ""))).context
    schema_id = int(given)
    body = registry.state.body(context, schema_id)
    if body is None:
        raise SchemaNotFound(schema_id)
    return context, schema_id, body


def _users(registry: Registry, request: Request) -> list[Version]:
    context, schema_id, _ = _by_id(registry, request)
    deleted = wire.flag(request, "deleted")
    subject = request.query_params.get("subject", "")
    return [
        each
        for each in registry.state.users(context, schema_id)
        if (deleted or not each.deleted) and (not split(subject).subject or each.subject == subject)
    ]


def _by_guid(registry: Registry, request: Request) -> list[Version]:
    guid = request.path_params["guid"].lower()
    found = [each for each in registry.state.all_versions() if each.body.guid == guid]
    if not found:
        raise SchemaNotFound(guid)
    return found
