"""Registries in a simulated cluster: each a scope that can be killed, reached over ASGI."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import trio

from protocol.errors import CoordinationError
from registry.assembled import RegistryConfig, open_registry
from registry.http.app import make_app
from registry.http.forwarding import Forwarder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from coordinator.store import Store
    from registry.registry import Registry
    from simulation.cluster import SimulatedCluster

    Elsewhere = Callable[[Callable[[], None]], Awaitable[None]]

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"


class SimulatedRegistry:
    """One registry: started and killed any number of times."""

    def __init__(
        self, cluster: SimulatedCluster, name: str, peers: Peers, elsewhere: Elsewhere | None = None
    ) -> None:
        """Be reached by `peers`. What takes long is done by `elsewhere`, else at once."""
        self._elsewhere = elsewhere or _at_once
        self.url = f"http://{name}"
        self.registry: Registry | None = None
        self.store: Store | None = None
        self.is_coordinator_away = False
        self._cluster = cluster
        self._name = name
        self._peers = peers
        self._scope = trio.CancelScope()
        self._ended = trio.Event()

    async def start(self, nursery: trio.Nursery) -> None:
        """Start it, and return once it serves."""
        self._scope, self._ended = trio.CancelScope(), trio.Event()
        await nursery.start(self._run)

    async def _run(self, *, task_status: trio.TaskStatus[None]) -> None:
        config = RegistryConfig(self._cluster.bootstrap, self.url)
        environment = self._cluster.environment(self._name)
        with self._scope:
            async with open_registry(
                config,
                environment=environment,
                connect_store=self._connect_store,
                run_in_thread=self._elsewhere,
            ) as registry:
                self.registry = registry
                app = make_app(registry, Forwarder(self._peers.client()))
                self._peers.apps[self.url] = app
                task_status.started()
                await trio.sleep_forever()
        self._ended.set()

    @asynccontextmanager
    async def _connect_store(self) -> AsyncIterator[Store]:
        if self.is_coordinator_away:
            await trio.sleep(10)
            raise CoordinationError("no ZooKeeper server gave a session within 10 s")
        async with self._cluster.connect_store() as store:
            self.store = store
            yield store

    async def kill(self) -> None:
        """End it as SIGKILL would: its session is left to expire."""
        self._cluster.abandon_session(self.store)
        self._peers.apps.pop(self.url, None)
        self.registry = None
        self._scope.cancel()
        await self._ended.wait()


async def _at_once(compute: Callable[[], None]) -> None:
    """Virtual time would pass while a thread works."""
    compute()


class Peers:
    """The network between registries, and from tests to them."""

    def __init__(self) -> None:
        self.apps: dict[str, Any] = {}

    def client(self) -> httpx.AsyncClient:
        """Make an HTTP client that reaches every registry that runs."""
        return httpx.AsyncClient(transport=_Routed(self.apps))


class _Routed(httpx.AsyncBaseTransport):
    def __init__(self, apps: dict[str, Any]) -> None:
        self._apps = apps

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        app = self._apps.get(f"{request.url.scheme}://{request.url.host}")
        if app is None:
            raise httpx.ConnectError(f"nobody at {request.url}", request=request)
        return await httpx.ASGITransport(app=app).handle_async_request(request)


class Caller:
    """Talks to one registry, as a user of the REST API would."""

    def __init__(self, peers: Peers, url: str) -> None:
        self._client = peers.client()
        self._url = url

    async def call(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        """Call an endpoint. Returns: status and decoded JSON."""
        sent = {"content-type": MEDIA_TYPE, **headers}
        response = await self._client.request(method, f"{self._url}{path}", json=body, headers=sent)
        return response.status_code, response.json()

    async def get(self, path: str) -> tuple[int, Any]:
        """GET a path."""
        return await self.call("GET", path)

    async def register(self, subject: str, schema: str, **fields: Any) -> tuple[int, Any]:
        """Register a schema."""
        body = {"schema": schema, **fields}
        return await self.call("POST", f"/subjects/{subject}/versions", body)

    async def register_id(self, subject: str, schema: str, **fields: Any) -> int:
        """Register a schema that has to be taken. Returns: its id."""
        status, answer = await self.register(subject, schema, **fields)
        assert status == 200, answer
        return answer["id"]


@asynccontextmanager
async def registries(
    cluster: SimulatedCluster, count: int, elsewhere: Elsewhere | None = None
) -> AsyncIterator[tuple[list[SimulatedRegistry], list[Caller], trio.Nursery]]:
    """Run registries over a cluster. Gives: them, a caller for each, and where they run."""
    peers = Peers()
    names = [f"registry-{n + 1}" for n in range(count)]
    running = [SimulatedRegistry(cluster, name, peers, elsewhere) for name in names]
    async with trio.open_nursery() as nursery:
        for each in running:
            await each.start(nursery)
        yield running, [Caller(peers, each.url) for each in running], nursery
        nursery.cancel_scope.cancel()
