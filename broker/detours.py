"""Detours of a broker's connections, so that a test can cut it off from another process.

A detour reads `NODE_ID>HOST:PORT=DETOUR_PORT`: where that broker would connect to HOST:PORT it
connects to DETOUR_PORT of 127.0.0.1 instead, where a proxy listens that the test controls. All
brokers are given the same text, and each takes its own.
Must never know: what is said on a connection, what the proxy does to it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from broker.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import trio

    from client.environment import Network, NetworkListener

PROXY_HOST: Final = "127.0.0.1"
PORT_MAX: Final = 65_535

_DETOUR: Final = re.compile(r"(?P<node_id>\d+)>(?P<host>[^>=,]+):(?P<port>\d+)=(?P<detour>\d+)")
_GRAMMAR: Final = "NODE_ID>HOST:PORT=DETOUR_PORT, for instance 1>127.0.0.1:9093=20001"


class Detour(NamedTuple):
    """Where a broker, which would connect to `host:port`, connects to instead."""

    node_id: int
    host: str
    port: int
    detour_port: int

    def __str__(self) -> str:
        return f"{self.node_id}>{self.host}:{self.port}={self.detour_port}"


def parse_detours(text: str) -> tuple[Detour, ...]:
    """Read detours, separated by commas. Raises: ConfigError, naming cause and grammar."""
    return tuple(_parse(part.strip()) for part in text.split(",") if part.strip())


def _parse(text: str) -> Detour:
    match = _DETOUR.fullmatch(text)
    if match is None:
        raise ConfigError(f"detour {text!r}: {_GRAMMAR} is expected")
    port, detour_port = int(match["port"]), int(match["detour"])
    if not (0 < port <= PORT_MAX and 0 < detour_port <= PORT_MAX):
        raise ConfigError(f"detour {text!r}: ports are from 1 to {PORT_MAX}")
    return Detour(int(match["node_id"]), match["host"], port, detour_port)


def detours_of(node_id: int, text: str) -> dict[tuple[str, int], int]:
    """Give which port one broker connects to instead, by (host, port). Raises: ConfigError."""
    return {(d.host, d.port): d.detour_port for d in parse_detours(text) if d.node_id == node_id}


def detour_servers(servers: str, detours: Mapping[tuple[str, int], int]) -> str:
    """Give `host:port,host:port/path` with every server that has a detour replaced by it."""
    hosts, slash, path = servers.partition("/")
    return ",".join(_detoured(host.strip(), detours) for host in hosts.split(",")) + slash + path


def _detoured(server: str, detours: Mapping[tuple[str, int], int]) -> str:
    host, _, port = server.rpartition(":")
    detour_port = detours.get((host, int(port))) if port.isdecimal() else None
    return server if detour_port is None else f"{PROXY_HOST}:{detour_port}"


class DetouredNetwork:
    """A network that takes detours; what has none, and listening, is as it was."""

    def __init__(self, network: Network, detours: Mapping[tuple[str, int], int]) -> None:
        self._network = network
        self._detours = detours

    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        """Connect, perhaps elsewhere. Raises: ConnectionRefusedError, OSError."""
        detour_port = self._detours.get((host, port))
        if detour_port is None:
            return await self._network.connect(host, port)
        return await self._network.connect(PROXY_HOST, detour_port)

    async def listen(self, host: str, port: int) -> NetworkListener:
        """Listen where it was asked for. Raises: OSError."""
        return await self._network.listen(host, port)
