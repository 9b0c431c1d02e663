"""The page and its endpoints.

Whoever changes something sends JSON, which browsers do not let other sites' pages do unasked, and
names this host, which guards against names that lead here.
Must never know: records, offsets, Avro.
"""

from __future__ import annotations

import json
from contextlib import aclosing
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import trio
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from protocol.errors import OttlaError

from .people import PEOPLE, VISITOR
from .snapshot import Surroundings, take_snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request

    from .publisher import Ledger, Publisher
    from .stage import Stage
    from .view import View

BODY_BYTES_MAX: Final = 4_096
TEXT_MAX: Final = 280
WATCHERS_MAX: Final = 32
WRITES_MAX: Final = 64
LOOK_S: Final = 0.4
POSTS_OFFERED: Final = 30
HOSTS: Final = ["127.0.0.1", "localhost"]
PAGE_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; img-src data:; frame-ancestors 'none'",
    "cache-control": "no-store",
}


class Refused(Exception):
    """A request that cannot be obeyed: the status and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(slots=True)
class Web:
    """What endpoints work on."""

    view: View
    ledger: Ledger
    stage: Stage
    publisher: Publisher | None = None
    """Nobody, while brokers or the registry cannot be reached."""

    around: Surroundings = field(default_factory=Surroundings)
    ending: trio.Event = field(default_factory=trio.Event)
    watchers: int = 0
    writes: int = 0

    def app(self) -> Starlette:
        """Make the application."""
        routes = [
            Route("/", self._page),
            Route("/live", self._live),
            Route("/api/state", self._state),
            Route("/api/posts", self._posts),
        ]
        for path, act in self._acts().items():
            routes.append(Route(path, self._endpoint(act), methods=["POST"]))
        hosts = Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)
        return Starlette(routes=routes, middleware=[hosts], exception_handlers={Refused: _refusal})

    def _acts(self) -> dict[str, Callable[[dict[str, Any]], Awaitable[Any]]]:
        return {
            "/api/posts": self._post,
            "/api/likes": self._like,
            "/api/messages": self._message,
            "/api/leader/kill": self._kill_leader,
            "/api/processes": self._order,
            "/api/schema/evolve": self._evolve,
            "/api/schema/break": self._break,
        }

    async def _page(self, _: Request) -> Response:
        text = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
        return HTMLResponse(text, headers=PAGE_HEADERS)

    async def _state(self, request: Request) -> Response:
        return JSONResponse(self._snapshot(_person(request.query_params.get("user", VISITOR))))

    async def _posts(self, _: Request) -> Response:
        posts = sorted(self.view.posts().values(), key=lambda post: -int(post["timestamp"]))
        shown = [{"post_id": each["post_id"], "author": each["author"]} for each in posts]
        return JSONResponse(shown[:POSTS_OFFERED])

    async def _live(self, request: Request) -> Response:
        user = _person(request.query_params.get("user", VISITOR))
        if self.watchers >= WATCHERS_MAX:
            return JSONResponse({"error": f"{WATCHERS_MAX} pages are open already"}, 503)
        return StreamingResponse(
            self._snapshots(user),
            media_type="text/event-stream",
            headers={"cache-control": "no-store"},
        )

    async def _snapshots(self, user: str) -> AsyncIterator[str]:
        self.watchers += 1
        try:
            last = ""
            while not self.ending.is_set():
                text = json.dumps(self._snapshot(user))
                if text != last:
                    last = text
                    yield f"data: {text}\n\n"
                with trio.move_on_after(LOOK_S):
                    await self.ending.wait()
        finally:
            self.watchers -= 1

    def _snapshot(self, user: str) -> dict[str, Any]:
        schema = None
        if self.publisher is not None:
            schema = {"version": self.publisher.version, "refusal": self.publisher.refusal}
        return {"schema": schema, **take_snapshot(user, self.view, self.ledger, self.around)}

    def _writing(self) -> Publisher:
        """Give who writes events. Raises: Refused."""
        if self.publisher is None:
            raise Refused(503, "brokers or the registry cannot be reached at the moment")
        return self.publisher

    def _endpoint(
        self, act: Callable[[dict[str, Any]], Awaitable[Any]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            if self.writes >= WRITES_MAX:
                return JSONResponse({"error": f"{WRITES_MAX} requests wait already"}, 503)
            self.writes += 1
            try:
                told = await act(await _fields(request))
                return told if isinstance(told, Response) else JSONResponse(told)
            except OttlaError as error:
                return JSONResponse({"error": str(error)}, 503)
            finally:
                self.writes -= 1

        return answer

    async def _post(self, fields: dict[str, Any]) -> Any:
        return await self._writing().publish(
            _person(fields.get("user")), "post", text=_text(fields.get("text"))
        )

    async def _like(self, fields: dict[str, Any]) -> Any:
        post_id = fields.get("post_id")
        if not isinstance(post_id, str) or post_id not in self.view.posts():
            raise Refused(404, f"there is no post {post_id!r}, or it is too old to be liked")
        return await self._writing().publish(_person(fields.get("user")), "like", post_id=post_id)

    async def _message(self, fields: dict[str, Any]) -> Any:
        user, to = _person(fields.get("user")), _person(fields.get("to"))
        if user == to:
            raise Refused(422, "choose somebody else to write to")
        return await self._writing().publish(user, "message", to=to, text=_text(fields.get("text")))

    async def _kill_leader(self, _: dict[str, Any]) -> Any:
        victim = self.around.leader_to_kill()
        if victim is None:
            raise Refused(409, "nobody leads the events at the moment")
        await self.stage.tell(act="kill", node=str(victim))
        return {"node": victim}

    async def _order(self, fields: dict[str, Any]) -> Any:
        act, name = fields.get("act"), str(fields.get("name"))
        kind = "node" if any(name == node["name"] for node in self.around.nodes) else "service"
        known = {each["name"] for each in (*self.around.nodes, *self.around.services)}
        if act not in ("kill", "start") or name not in known:
            raise Refused(422, f"cannot {act} {name!r}")
        # It may be this very process that is to be killed: answer first.
        order = BackgroundTask(self.stage.tell, act=act, **{kind: name})
        return JSONResponse({}, background=order)

    async def _evolve(self, _: dict[str, Any]) -> Any:
        return {"id": await self._writing().evolve()}

    async def _break(self, _: dict[str, Any]) -> Any:
        return {"refusal": await self._writing().break_schema()}


async def _refusal(_: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused), "it is the handler of these"
    return JSONResponse({"error": str(refused)}, refused.status)


async def _fields(request: Request) -> dict[str, Any]:
    """Read the body. Raises: Refused."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Refused(415, "send JSON")
    body = b""
    async with aclosing(request.stream()) as parts:
        async for part in parts:
            body += part
            if len(body) > BODY_BYTES_MAX:
                raise Refused(413, f"more than {BODY_BYTES_MAX} bytes")
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"that is no JSON: {error}") from error
    if not isinstance(fields, dict):
        raise Refused(400, "send a JSON object")
    return fields


def _person(name: Any) -> str:
    if name not in PEOPLE:
        raise Refused(404, f"there is no {name!r}: one of {', '.join(PEOPLE)}")
    return str(name)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Refused(422, "write something first")
    if len(value) > TEXT_MAX:
        raise Refused(422, f"{len(value)} characters, {TEXT_MAX} fit")
    return value.strip()
