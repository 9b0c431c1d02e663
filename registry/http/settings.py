"""Compatibility levels and modes: of all subjects, of a context, of a subject.

Must never know: what follows from them.
Source: Schema Registry API reference, "Config" and "Mode".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry import decide
from registry.compatibility import Level
from registry.errors import (
    BadRequest,
    InvalidCompatibilityLevel,
    InvalidMode,
    SubjectConfigNotFound,
    SubjectModeNotFound,
)
from registry.http import wire
from registry.model import CONFIG_FIELDS, Config, Mode
from registry.names import to_store

if TYPE_CHECKING:
    from starlette.requests import Request

    from registry.registry import Registry


async def get_config(registry: Registry, request: Request) -> dict[str, Any]:
    """GET /config and /config/(subject)."""
    subject = _scope(request)
    state = registry.state
    if subject and subject not in state.configs and not wire.flag(request, "defaultToGlobal"):
        raise SubjectConfigNotFound(subject)
    return _stored(Config(state.level(subject), state.config(subject).others))


async def set_config(registry: Registry, request: Request, body: bytes) -> dict[str, Any]:
    """PUT /config and /config/(subject)."""
    subject = to_store(_scope(request))
    fields = wire.json_object(body)
    level = wire.text(fields, "compatibility")
    if level is not None and level.upper() not in Level.__members__:
        raise InvalidCompatibilityLevel(
            f"Invalid compatibility level {level}. Valid values are {', '.join(Level)}"
        )
    others = {name: fields[name] for name in CONFIG_FIELDS if fields.get(name) is not None}
    if level is None and not others:
        raise BadRequest(f'"compatibility" is missing: give one of {", ".join(Level)}')
    config = Config(level.upper() if level is not None else None, others)
    await registry.change(lambda state, _parser: decide.set_config(state, subject, config))
    given = {} if config.level is None else {"compatibility": config.level}
    return {**given, **others}


async def delete_config(registry: Registry, request: Request, _body: bytes) -> dict[str, Any]:
    """DELETE /config and /config/(subject)."""
    subject = _scope(request)
    before = await registry.change(lambda state, _parser: decide.delete_config(state, subject))
    return _stored(before)


async def get_mode(registry: Registry, request: Request) -> dict[str, Any]:
    """GET /mode and /mode/(subject)."""
    subject = _scope(request)
    state = registry.state
    if subject and subject not in state.modes and not wire.flag(request, "defaultToGlobal"):
        raise SubjectModeNotFound(subject)
    return {"mode": state.mode(subject)}


async def set_mode(registry: Registry, request: Request, body: bytes) -> dict[str, Any]:
    """PUT /mode and /mode/(subject)."""
    subject = to_store(_scope(request))
    named = (wire.text(wire.json_object(body), "mode") or "").upper()
    if named not in Mode.__members__:
        raise InvalidMode(f"Invalid mode {named}. Valid values are {', '.join(Mode)}")
    force = wire.flag(request, "force")
    mode = await registry.change(
        lambda state, _parser: decide.set_mode(state, subject, Mode(named), force=force)
    )
    return {"mode": mode}


async def delete_mode(registry: Registry, request: Request, _body: bytes) -> dict[str, Any]:
    """DELETE /mode and /mode/(subject)."""
    subject = _scope(request)
    before = await registry.change(lambda state, _parser: decide.delete_mode(state, subject))
    return {"mode": before}


def _scope(request: Request) -> str:
    return wire.subject_of(request) if "subject" in request.path_params else ""


def _stored(config: Config) -> dict[str, Any]:
    level = {} if config.level is None else {"compatibilityLevel": config.level}
    return {**level, **config.others}
