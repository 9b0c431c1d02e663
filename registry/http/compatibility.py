"""Whether a schema could be registered: asked without registering it.

Must never know: how schemas are compared.
Source: Schema Registry API reference, "Compatibility".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry import decide
from registry.compatibility import Level
from registry.errors import VersionNotFound
from registry.http import wire
from registry.http.subjects import body_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from registry.model import Body, Version
    from registry.registry import Registry


async def check_version(registry: Registry, request: Request) -> dict[str, Any]:
    """POST /compatibility/subjects/(subject)/versions/(version): against this one alone."""
    subject = wire.subject_of(request)
    asked = wire.version_of(request)
    state = registry.state
    version = state.latest(subject) if asked is None else state.version(subject, asked)
    if asked is not None and (version is None or version.deleted):
        raise VersionNotFound(asked)
    earlier = [] if version is None else [version]
    return await _checked(registry, request, subject, earlier)


async def check_subject(registry: Registry, request: Request) -> dict[str, Any]:
    """POST /compatibility/subjects/(subject)/versions: against those that the level names."""
    return await _checked(registry, request, wire.subject_of(request), None)


async def _checked(
    registry: Registry, request: Request, subject: str, earlier: list[Version] | None
) -> dict[str, Any]:
    body = body_of(wire.json_object(await wire.read_body(request)))
    messages = _messages(
        registry, subject, body, earlier, normalize=wire.flag(request, "normalize")
    )
    answer: dict[str, Any] = {"is_compatible": not messages}
    if wire.flag(request, "verbose"):
        answer["messages"] = messages
    return answer


def _messages(
    registry: Registry,
    subject: str,
    body: Body,
    earlier: list[Version] | None,
    *,
    normalize: bool,
) -> list[str]:
    state, parser = registry.state, registry.parser
    schema, prepared = decide.prepared(state, parser, subject, body, normalize=normalize)
    if earlier is None:
        found = decide.against_level(state, parser, subject, prepared, schema)
    else:
        level = Level(state.level(subject))
        found = parser.violations(state, level, (subject, prepared, schema), earlier)
    return [str(each) for each in found]
