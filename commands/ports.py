"""Ports of this machine: which are free, and who holds the others.

Must never know: clusters, what will listen.
"""

from __future__ import annotations

import errno
import random
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from commands.failure import CommandFailed
from commands.process import command_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CONNECT_TIMEOUT_S: Final = 3.0
NOT_FOR_CLIENTS: Final = range(20_000, 32_000)
"""Linux gives those from 32768 on to clients, other systems those from 49152 on."""
_LISTENING: Final = "0A"
_COMMAND_SHOWN: Final = 80


def require_free(host: str, ports: Iterable[int], *, option: str = "--port") -> None:
    """Make sure that every port can be listened on; `option` is what chooses others.

    Raises: CommandFailed naming the holder.
    """
    for port in ports:
        if not 0 < port <= 65_535:
            raise CommandFailed(
                f"port {port} does not exist", next_step=f"choose another {option} (1 to 65535)"
            )
        try:
            _bind(host, port).close()
        except OSError as error:
            raise _explain(port, error, option) from error


def require_any_listens(addresses: str) -> None:
    """Make sure that one of `host:port,host:port/path` takes connections. Raises: CommandFailed."""
    reasons = []
    for address in addresses.partition("/")[0].split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT_S).close()
        except ValueError:
            reasons.append(f"'{address}' is not host:port")
        except OSError as error:
            reasons.append(f"{address}: {(error.strerror or str(error)).lower()}")
        else:
            return
    raise CommandFailed(
        f"no ZooKeeper listens at {addresses} ({', '.join(reasons)})",
        next_step="start it, or correct --zookeeper",
    )


def find_free(host: str, count: int) -> Sequence[int]:
    """Choose ports that are free now (not for ever).

    None of those that the system gives to clients: one might get the port of a node that is down
    for a moment, which could not start again then. Raises: CommandFailed.
    """
    found: list[int] = []
    for port in random.sample(NOT_FOR_CLIENTS, len(NOT_FOR_CLIENTS)):
        if len(found) == count:
            break
        with suppress(OSError):  # taken
            _bind(host, port).close()
            found.append(port)
    if len(found) < count:
        raise CommandFailed(
            f"of the ports from {NOT_FOR_CLIENTS.start} to {NOT_FOR_CLIENTS.stop - 1}"
            f" only {len(found)} of {count} are free",
            next_step="choose ports with --port",
        )
    return found


def describe_holder(port: int) -> str:
    """Name the process that listens on a TCP port; empty where it cannot be seen."""
    sockets = _listening_sockets(port)
    for entry in Path("/proc").glob("[0-9]*") if sockets else ():
        if sockets & _open_files(entry / "fd"):
            command = command_line(int(entry.name))
            return f"process {entry.name} ({command[:_COMMAND_SHOWN]})"
    return ""


def is_held_by_another(port: int, pid: int) -> bool:
    """Say whether another process listens on a TCP port; False where that is not seen."""
    sockets = _listening_sockets(port)
    return bool(sockets) and not sockets & _open_files(Path("/proc") / str(pid) / "fd")


def _open_files(directory: Path) -> set[str]:
    found = set()
    with suppress(OSError):  # the process has gone, or is not ours to look into
        for descriptor in directory.iterdir():
            with suppress(OSError):  # closed meanwhile
                found.add(str(descriptor.readlink()))
    return found


def _bind(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # As the listeners do: a port that only lingers from a closed connection is free.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except BaseException:
        bound.close()
        raise
    return bound


def _explain(port: int, error: OSError, option: str) -> CommandFailed:
    if error.errno == errno.EADDRINUSE:
        holder = describe_holder(port) or "another process"
        return CommandFailed(
            f"port {port} is taken by {holder}",
            next_step=f"stop it, or choose other ports with {option}",
        )
    if error.errno == errno.EACCES:
        return CommandFailed(
            f"port {port} may only be opened by root", next_step=f"choose a {option} above 1023"
        )
    return CommandFailed(f"port {port} cannot be opened: {error.strerror}")


def _listening_sockets(port: int) -> set[str]:
    """Name the sockets that listen on a port, as /proc names them among a process's files."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        found |= {
            f"socket:[{fields[9]}]"
            for fields in map(str.split, lines)
            if fields[1].endswith(f":{port:04X}") and fields[3] == _LISTENING
        }
    return found
