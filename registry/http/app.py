"""All endpoints of the REST API in one table, and how each kind of them is answered.

What only reads is answered from the state of this registry; where that does not have it, once more
after reading to the end of the topic. What changes something is done here while this registry
leads, and is handed on to the leader otherwise.
Must never know: what any endpoint does.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
import trio
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from registry.errors import LeaderUnreachable, RegistryError, StoreFailed, UnknownLeader
from registry.http import compatibility, schemas, settings, subjects, wire
from registry.http.contexts import without_context
from registry.http.forwarding import END, FORWARDED
from registry.registry import LEADER_WAIT_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from registry.http.forwarding import Forwarder
    from registry.registry import Registry

    Read = Callable[[Registry, Request], Awaitable[Any]]
    Write = Callable[[Registry, Request, bytes], Awaitable[Any]]

log_events = structlog.get_logger()

CATCH_UP_S: Final = 5.0
LOOK_AGAIN_S: Final = 0.2
_MAY_BE_TOO_EARLY: Final = frozenset({404, 422})
"""Refused with these statuses by a registry that follows, it may be that it has not read enough:
of what is asked for, or of what a schema refers to."""

READS: Final[dict[str, Read]] = {
    "GET /schemas": schemas.list_schemas,
    "GET /schemas/types": schemas.list_types,
    "GET /schemas/ids/{id}": schemas.get_schema,
    "GET /schemas/ids/{id}/schema": schemas.get_schema_text,
    "GET /schemas/ids/{id}/subjects": schemas.get_subjects,
    "GET /schemas/ids/{id}/versions": schemas.get_versions,
    "GET /schemas/guids/{guid}": schemas.get_by_guid,
    "GET /schemas/guids/{guid}/ids": schemas.get_ids_by_guid,
    "GET /contexts": schemas.list_contexts,
    "GET /subjects": subjects.list_subjects,
    "GET /subjects/{subject}/versions": subjects.list_versions,
    "GET /subjects/{subject}/versions/{version}": subjects.get_version,
    "GET /subjects/{subject}/versions/{version}/schema": subjects.get_version_text,
    "GET /subjects/{subject}/versions/{version}/referencedby": subjects.get_referenced_by,
    "GET /subjects/{subject}/metadata": subjects.get_metadata,
    "POST /subjects/{subject}": subjects.look_up,
    "POST /compatibility/subjects/{subject}/versions": compatibility.check_subject,
    "POST /compatibility/subjects/{subject}/versions/{version}": compatibility.check_version,
    "GET /config": settings.get_config,
    "GET /config/{subject}": settings.get_config,
    "GET /mode": settings.get_mode,
    "GET /mode/{subject}": settings.get_mode,
}
WRITES: Final[dict[str, Write]] = {
    "POST /subjects/{subject}/versions": subjects.register,
    "DELETE /subjects/{subject}": subjects.delete_subject,
    "DELETE /subjects/{subject}/versions/{version}": subjects.delete_version,
    "PUT /config": settings.set_config,
    "PUT /config/{subject}": settings.set_config,
    "DELETE /config": settings.delete_config,
    "DELETE /config/{subject}": settings.delete_config,
    "PUT /mode": settings.set_mode,
    "PUT /mode/{subject}": settings.set_mode,
    "DELETE /mode": settings.delete_mode,
    "DELETE /mode/{subject}": settings.delete_mode,
}


def make_app(registry: Registry, forwarder: Forwarder) -> ASGIApp:
    """Make the ASGI application of a registry."""
    methods: dict[str, dict[str, Callable[[Request], Awaitable[Response]]]] = {}
    for named, read in READS.items():
        method, path = named.split()
        methods.setdefault(path, {})[method] = partial(_read, registry, read)
    for named, write in WRITES.items():
        method, path = named.split()
        methods.setdefault(path, {})[method] = partial(_write, registry, forwarder, write)
    methods["/"] = {"GET": _root}
    routes = [
        Route(path, partial(_dispatch, by_method), methods=list(by_method))
        for path, by_method in methods.items()
    ]
    handlers = {404: _no_such_path, 405: _no_such_method, 500: _bug}
    return _Paths(Starlette(routes=routes, exception_handlers=handlers))


async def _dispatch(
    by_method: dict[str, Callable[[Request], Awaitable[Response]]], request: Request
) -> Response:
    method = "GET" if request.method == "HEAD" else request.method
    try:
        return await by_method[method](request)
    except RegistryError as error:
        return wire.refusal(error)


async def _read(registry: Registry, read: Read, request: Request) -> Response:
    media_type = wire.media_type_for(request)
    try:
        value = await registry.parser.settle(partial(read, registry, request))
    except RegistryError as error:
        if error.status not in _MAY_BE_TOO_EARLY or registry.leads:
            return wire.refusal(error, media_type)
        await _catch_up(registry)
        try:
            value = await registry.parser.settle(partial(read, registry, request))
        except RegistryError as still:
            return wire.refusal(still, media_type)
    return wire.answer(value, media_type)


async def _write(
    registry: Registry, forwarder: Forwarder, write: Write, request: Request
) -> Response:
    media_type = wire.media_type_for(request)
    body = await wire.read_body(request)
    if write is subjects.register:
        known = await registry.parser.settle(partial(_known, registry, request, body))
        if known is not None:
            return wire.answer(known, media_type)
    until = trio.current_time() + LEADER_WAIT_S
    while True:
        if FORWARDED in request.headers and not registry.leads:
            raise UnknownLeader("The registry that was taken for the leader does not lead")
        url = await registry.wait_leader(until)
        try:
            if url is not None:
                return await _handed_on(registry, forwarder, url, request, body)
            response = wire.answer(await write(registry, request, body), media_type)
        except (LeaderUnreachable, UnknownLeader):  # nothing was changed
            if trio.current_time() >= until:
                raise
            await trio.sleep(LOOK_AGAIN_S)
            continue
        response.headers[END] = str(registry.end)
        return response


async def _handed_on(
    registry: Registry, forwarder: Forwarder, url: str, request: Request, body: bytes
) -> Response:
    response, end = await forwarder.forward(url, request, body)
    # Whoever registers here reads here next: what was changed shall be seen then.
    with trio.move_on_after(CATCH_UP_S):
        await registry.wait_applied(end)
    return response


async def _known(registry: Registry, request: Request, body: bytes) -> dict[str, Any] | None:
    try:
        return subjects.known_already(registry, request, body)
    except RegistryError:
        return None  # the leader decides, who may know more


async def _catch_up(registry: Registry) -> None:
    with trio.move_on_after(CATCH_UP_S) as patience:
        await registry.catch_up()
    if patience.cancelled_caught:
        raise StoreFailed(
            f"The end of the topic was not reached within {CATCH_UP_S:.0f} s, so that what was "
            "asked for may be there: look whether the brokers can be reached, then ask again"
        )


async def _root(request: Request) -> Response:
    return wire.answer({}, wire.media_type_for(request))


async def _no_such_path(request: Request, _error: Exception) -> Response:
    told = {
        "error_code": 404,
        "message": f"HTTP 404 Not Found: there is no {request.scope['path']}",
    }
    return wire.answer(told, status=404)


async def _no_such_method(request: Request, _error: Exception) -> Response:
    told = {
        "error_code": 405,
        "message": f"HTTP 405 Method Not Allowed: {request.method} {request.scope['path']}",
    }
    return wire.answer(told, status=405)


async def _bug(_request: Request, error: Exception) -> Response:
    # Starlette raises it on once this is answered, and the server goes on with other requests.
    log_events.error("request_failed", exc_info=error)
    told = {"error_code": 500, "message": "Internal Server Error: the registry's log tells more"}
    return wire.answer(told, status=500)


class _Paths:
    """Keeps paths percent-encoded, for subjects with slashes, and takes contexts out of them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            encoded = scope.get("raw_path") or scope["path"].encode()
            path, query = without_context(
                encoded.split(b"?")[0].decode("latin-1"), scope["query_string"].decode("latin-1")
            )
            if len(path) > 1:
                path = path.rstrip("/")
            scope = {**scope, "path": path, "query_string": query.encode("latin-1")}
        await self._app(scope, receive, send)
