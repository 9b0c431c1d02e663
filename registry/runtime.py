"""A registry on this machine: real network, real coordinator, an HTTP server in front.

Must never know: what is registered, endpoints.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog
import trio

from client import Environment
from coordinator.zookeeper import connect_zookeeper
from registry.assembled import open_registry
from registry.http.app import make_app
from registry.http.forwarding import open_forwarder
from registry.http.server import bind, serve_http

if TYPE_CHECKING:
    from registry.assembled import RegistryConfig

log_events = structlog.get_logger()

SESSION_TIMEOUT_S = 6.0


class Server:
    """One registry from its start to its end."""

    def __init__(self, config: RegistryConfig, zookeeper: str, host: str, port: int) -> None:
        """Prepare to listen on an address; nothing is done yet."""
        self._config = config
        self._zookeeper = zookeeper
        self._address = (host, port)
        self._stopping = trio.Event()
        self._whole = trio.CancelScope()
        self._serves = False

    def stop(self) -> None:
        """Have `run` return once what is being answered is answered."""
        self._stopping.set()
        if not self._serves:
            self._whole.cancel()

    async def run(self) -> None:
        """Serve until stopped. Raises: OttlaError, OSError.

        The address is taken first, and answered at once all that was registered is read.
        """
        connect_store = partial(
            connect_zookeeper, self._zookeeper, session_timeout_s=SESSION_TIMEOUT_S
        )
        opened = open_registry(
            self._config,
            environment=Environment.real(),
            connect_store=connect_store,
            run_in_thread=trio.to_thread.run_sync,
        )
        with bind(*self._address) as listener, self._whole:
            async with open_forwarder() as forwarder, opened as registry:
                log_events.info("registry_serves", url=self._config.url, end=registry.end)
                self._serves = True
                app = make_app(registry, forwarder)
                await serve_http(app, listener, until=self._stopping.wait)
