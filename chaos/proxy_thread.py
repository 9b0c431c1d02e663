"""The proxies of a cluster in a thread of their own, for those who block.

It runs in the process of users' tests, where `client` may be the name of something else.
Must never know: what is cut when, and why; our other rooms.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import trio

from chaos.proxy import Proxies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from chaos.proxy import Route


class TcpNetwork:
    """The network of the operating system."""

    async def connect(self, host: str, port: int) -> trio.SocketStream:
        """Connect to a listener. Raises: OSError."""
        return await trio.open_tcp_stream(host, port)

    async def listen(self, host: str, port: int) -> trio.SocketListener:
        """Listen on `port` of a numeric address. Raises: OSError."""
        (listener,) = await trio.open_tcp_listeners(port, host=host)
        return listener


class ProxyThread:
    """Runs proxies between `start` and `close`; may be asked for cuts from any thread."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = tuple(routes)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="ottla-proxies", daemon=True)
        self._error: BaseException | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._proxies: Proxies | None = None
        self._scope = trio.CancelScope()

    def start(self) -> None:
        """Return once all proxies listen. Raises: OSError, in a group, where one cannot."""
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error

    def close(self) -> None:
        """Break all connections and end; where it does not run, do nothing."""
        if self._thread.is_alive():
            self.call(lambda _: self._scope.cancel())
            self._thread.join()

    def call(self, act: Callable[[Proxies], object]) -> None:
        """Have something done to the proxies; returns when it is."""
        assert self._token is not None, "started"
        assert self._proxies is not None, "started"
        done, proxies = threading.Event(), self._proxies

        def run() -> None:
            try:
                act(proxies)
            finally:
                done.set()

        self._token.run_sync_soon(run)
        done.wait()

    def _main(self) -> None:
        try:
            trio.run(self._run)
        except BaseException as error:  # noqa: BLE001 - for whoever started the thread
            self._error = error
        finally:
            self._ready.set()

    async def _run(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._proxies = Proxies(self._routes, TcpNetwork())
        with self._scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._proxies.run)
                self._ready.set()
