"""Two ends of a real connection on this machine."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def loopback() -> AsyncIterator[tuple[trio.SocketStream, trio.SocketStream]]:
    """Give who has connected, and who has accepted."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        connected = await trio.open_tcp_stream(*listener.socket.getsockname()[:2])
        async with connected, await listener.accept() as accepted:
            yield connected, accepted
