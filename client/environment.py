"""The ports of a client: network, wall clock and randomness, and the real ones.

The only module of this package that names sockets, the wall clock or a random generator. A
simulation hands in an `Environment` of its own and owns all three.
Must never know: Kafka's protocol, brokers, records.
"""

from __future__ import annotations

import errno
import random
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Final, Protocol

import trio
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

Random = random.Random
"""The source of jitter and of sticky partitions; a seeded one makes a run repeatable."""


class NetworkListener(trio.abc.Listener[trio.abc.Stream]):
    """A listener that knows its port (the one it was given where 0 was asked for)."""

    @property
    @abstractmethod
    def port(self) -> int:
        """The port it listens on."""


class Network(Protocol):
    """What a client or a broker needs of a network; every failure to connect is an OSError."""

    async def connect(self, host: str, port: int) -> trio.abc.Stream:
        """Connect to a listener. Raises: ConnectionRefusedError if none is there, OSError."""

    async def listen(self, host: str, port: int) -> NetworkListener:
        """Listen on `port`, or on any free one for 0. Raises: OSError."""


KEEPALIVE: Final = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""A connection without a word for ten seconds is asked for a sign of life, every five seconds."""


class Environment(Struct, frozen=True):
    """All that a client takes from the outside world.

    `wall_ms` returns milliseconds since 1970 and stamps records; nothing waits by it.
    """

    network: Network
    wall_ms: Callable[[], int]
    random: Random

    @staticmethod
    def real() -> Environment:
        """Make the environment of a real process: TCP, the system's clock and entropy."""
        return Environment(TcpNetwork(), lambda: time.time_ns() // 1_000_000, Random())


class TcpListener(NetworkListener):
    """A TCP listener on one address."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self._listener.socket.getsockname()[1]
        return port

    async def accept(self) -> trio.SocketStream:
        """Wait for the next connection."""
        return await self._listener.accept()

    async def aclose(self) -> None:
        """Stop listening."""
        await self._listener.aclose()


def _notice_silence(connection: trio.socket.SocketType) -> None:
    """Have a peer that is gone without a word noticed, also by who only waits for its answer."""
    connection.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if (option := getattr(trio.socket, name, None)) is not None:  # not on every system
            connection.setsockopt(trio.socket.IPPROTO_TCP, option, value)


def _is_refusal(error: OSError) -> bool:
    # trio hides why each address failed behind a plain OSError.
    cause = error.__cause__
    causes = cause.exceptions if isinstance(cause, BaseExceptionGroup) else (cause,)
    return all(isinstance(each, ConnectionRefusedError) for each in causes)


def _no_address(host: str, port: int, error: Exception) -> OSError:
    # Python tells of a name with an empty or overlong part, and of a number too large for a port,
    # by errors that are no OSError; and who connects was told the address by somebody else.
    return OSError(errno.EINVAL, f"{host!r}, port {port}, is no address: {error}")


def cannot_listen(host: str, port: int, error: OSError) -> OSError:
    """Give the error of an address that could not be taken, with the address and the reason."""
    reasons = {
        errno.EADDRINUSE: "another process listens there",
        errno.EADDRNOTAVAIL: "it is no address of this machine",
    }
    why = reasons.get(error.errno or 0, error.strerror)
    return OSError(error.errno, f"cannot listen on {host}:{port}: {why}")


class TcpNetwork:
    """The network of the operating system. Nagle's delay is off on every stream."""

    async def connect(self, host: str, port: int) -> trio.SocketStream:
        """Connect over TCP to the first address of `host` that answers.

        Raises: ConnectionRefusedError where no address has a listener, OSError otherwise.
        """
        try:
            stream = await trio.open_tcp_stream(host, port)
        except (ValueError, OverflowError) as error:
            raise _no_address(host, port, error) from error
        except OSError as error:
            if _is_refusal(error):
                raise ConnectionRefusedError(
                    errno.ECONNREFUSED, f"nobody listens at {host}:{port}"
                ) from error
            raise
        _notice_silence(stream.socket)
        return stream

    async def listen(self, host: str, port: int) -> TcpListener:
        """Listen on one address of `host`, IPv4 where it has one. Raises: OSError that names it."""
        try:
            listeners = await trio.open_tcp_listeners(port, host=host)
        except (ValueError, OverflowError) as error:
            raise _no_address(host, port, error) from error
        except OSError as error:
            raise cannot_listen(host, port, error) from error
        listeners.sort(key=lambda listener: listener.socket.family != trio.socket.AF_INET)
        for other in listeners[1:]:
            await other.aclose()
        return TcpListener(listeners[0])
