"""Changes handed on to the registry that leads.

Must never know: what is changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx
from starlette.responses import Response

from registry.errors import ForwardingFailed, LeaderUnreachable, UnknownLeader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

from contextlib import asynccontextmanager

FORWARDED: Final = "x-ottla-forwarded"
"""Set on what was forwarded: it is not forwarded again."""
END: Final = "x-ottla-end"
"""Up to which offset of the topic whoever answered had read, the change itself included."""

TIMEOUT_S: Final = 30.0
_HANDED_ON: Final = ("accept", "content-type", "authorization")


class Forwarder:
    """Asks other registries."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def forward(self, url: str, request: Request, body: bytes) -> tuple[Response, int]:
        """Have the registry at `url` answer a request.

        Returns: its answer, and the offset up to which it has read (0 where it does not say).
        Raises: LeaderUnreachable, ForwardingFailed.
        """
        headers = {name: request.headers[name] for name in _HANDED_ON if name in request.headers}
        query = f"?{request.url.query}" if request.url.query else ""
        target = f"{url}{request.scope['path']}{query}"
        try:
            told = await self._client.request(
                request.method, target, content=body, headers={**headers, FORWARDED: "true"}
            )
        except httpx.ConnectError as error:
            raise LeaderUnreachable(f"The registry that leads, {url}, cannot be reached") from error
        except httpx.InvalidURL as error:
            raise ForwardingFailed(
                f"The registry that leads advertises {url}, which is no address ({error}): start "
                "it with another --advertise"
            ) from error
        except httpx.HTTPError as error:
            raise ForwardingFailed(
                f"The registry that leads, {url}, gave no answer ({error!r}); the change may have "
                "come to pass: look, and ask again"
            ) from error
        if _leads_no_more(told):
            raise LeaderUnreachable(f"The registry that was taken for the leader, {url}, is none")
        response = Response(
            told.content, told.status_code, media_type=told.headers.get("content-type")
        )
        end = told.headers.get(END, "")
        return response, int(end) if end.isdecimal() else 0


def _leads_no_more(told: httpx.Response) -> bool:
    """Whether nothing was changed, for there is another leader by now, or soon."""
    if told.status_code != UnknownLeader.code // 100:
        return False
    try:
        refusal = told.json()
    except ValueError:  # a proxy's page
        return False
    return isinstance(refusal, dict) and refusal.get("error_code") == UnknownLeader.code


@asynccontextmanager
async def open_forwarder() -> AsyncIterator[Forwarder]:
    """Open connections to other registries, which are closed with the context."""
    async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
        yield Forwarder(client)
