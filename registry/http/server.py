"""The HTTP server: hypercorn on trio, kept to what a registry needs.

Must never know: endpoints.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final, cast

from hypercorn.config import Config
from hypercorn.trio import serve

from client.environment import cannot_listen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hypercorn.typing import Framework
    from starlette.types import ASGIApp

KEEP_ALIVE_S: Final = 75
CONNECTIONS_WAITING_MAX: Final = 256
STOP_WITHIN_S: Final = 3.0


async def serve_http(
    app: ASGIApp, listener: socket.socket, *, until: Callable[[], Awaitable[None]]
) -> None:
    """Serve on a bound socket, which is the server's from then on, until `until` returns.

    What is being answered then has three seconds.
    """
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.loglevel = "WARNING"
    config.accesslog = config.errorlog = None
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.backlog = CONNECTIONS_WAITING_MAX
    config.graceful_timeout = STOP_WITHIN_S
    config.shutdown_timeout = STOP_WITHIN_S
    await serve(cast("Framework", app), config, shutdown_trigger=until)


def bind(host: str, port: int) -> socket.socket:
    """Take an address, so that nobody else does. Raises: OSError that names it."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise cannot_listen(host, port, error) from error
    return listener
