"""What this machine allows: bytes from a loopback socket to a file, and back, with the least code.

    python -m bench.limit [--megabytes 500] [--rounds 5] [--syncs 500] [--json FILE]

A process of its own sends, or reads, in pieces of 64 KiB; this one does what a broker cannot do
without: `recv_into` and `write` on the way in, `sendfile` on the way out. CPU is this process's, as
a broker's would be. The file is synced at the end of each round, within what is measured. Then
4 KiB at a time are appended and synced (`fdatasync`), alone, which bounds acks=all with one batch
on its way.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.raw_requests import percentile

PIECE_BYTES = 65_536
SYNC_BYTES = 4_096
SENDFILE_BYTES = 1 << 20
GB = 1e9


@contextmanager
def peer(act: Callable[[socket.socket], None]) -> Iterator[socket.socket]:
    """Give a loopback connection to a process of its own that does `act` with its end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pid = os.fork()
        if pid == 0:
            try:
                with socket.create_connection(listener.getsockname()) as theirs:
                    act(theirs)
            finally:
                os._exit(0)
        ours, _ = listener.accept()
    try:
        with ours:
            yield ours
    finally:
        os.waitpid(pid, 0)


def send(volume_bytes: int) -> Callable[[socket.socket], None]:
    """Send so many bytes."""
    piece = os.urandom(PIECE_BYTES)

    def act(stream: socket.socket) -> None:
        for _ in range(volume_bytes // PIECE_BYTES):
            stream.sendall(piece)

    return act


def swallow(stream: socket.socket) -> None:
    """Read until the end."""
    buffer = bytearray(SENDFILE_BYTES)
    while stream.recv_into(buffer):
        pass


def write_all(fd: int, view: memoryview) -> None:
    while view:
        view = view[os.write(fd, view) :]


def socket_to_file(path: Path, volume_bytes: int) -> None:
    """Write what comes to a file, and sync it."""
    buffer = memoryview(bytearray(4 * PIECE_BYTES))
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with peer(send(volume_bytes)) as stream:
            while size := stream.recv_into(buffer):
                write_all(fd, buffer[:size])
        os.fdatasync(fd)
    finally:
        os.close(fd)
    wanted = volume_bytes // PIECE_BYTES * PIECE_BYTES
    assert path.stat().st_size == wanted, f"{path.stat().st_size} bytes came, {wanted} were sent"


def file_to_socket(path: Path, volume_bytes: int) -> None:
    """Send the file back."""
    with path.open("rb") as file, peer(swallow) as stream:
        position = 0
        while position < volume_bytes:
            sent = os.sendfile(stream.fileno(), file.fileno(), position, SENDFILE_BYTES)
            if not sent:
                break
            position += sent


def timed(act: Callable[[Path, int], None], path: Path, volume_bytes: int) -> tuple[float, float]:
    """Give MB/s, and CPU seconds of this process for each GB."""
    before, began_at = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    act(path, volume_bytes)
    taken_s = time.perf_counter() - began_at
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return volume_bytes / taken_s / 1e6, cpu_s / (volume_bytes / GB)


def sync_latencies(path: Path, count: int) -> list[float]:
    """Append and sync, one after the other; give how long each took, in milliseconds."""
    piece, found = os.urandom(SYNC_BYTES), []
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        for _ in range(count):
            began_at = time.perf_counter()
            os.write(fd, piece)
            os.fdatasync(fd)
            found.append((time.perf_counter() - began_at) * 1e3)
    finally:
        os.close(fd)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--syncs", type=int, default=500)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    volume_bytes = arguments.megabytes * 1_000_000 // PIECE_BYTES * PIECE_BYTES
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "limit"
        measured: dict[str, list[tuple[float, float]]] = {"produce": [], "consume": []}
        for _ in range(arguments.rounds):
            measured["produce"].append(timed(socket_to_file, path, volume_bytes))
            measured["consume"].append(timed(file_to_socket, path, volume_bytes))
        for what, figures in measured.items():
            speeds, cpu = ([each[i] for each in figures] for i in (0, 1))
            found[what] = {"mb_per_s": speeds, "cpu_s_per_gb": cpu}
            print(
                f"{what}  {statistics.median(speeds):7.1f} MB/s ({min(speeds):.0f} to"
                f" {max(speeds):.0f})  {statistics.median(cpu):5.2f} CPU s/GB"
                f" ({min(cpu):.2f} to {max(cpu):.2f})"
            )
        latencies = sync_latencies(path, arguments.syncs)
    found["sync_ms"] = {share: percentile(latencies, share) for share in (0.5, 0.99, 0.999)}
    told = ", ".join(f"p{share * 100:g} {ms:.2f} ms" for share, ms in found["sync_ms"].items())
    print(f"fdatasync of {SYNC_BYTES} bytes  {told}")
    if arguments.json is not None:
        command = " ".join(["python -m bench.limit", *sys.argv[1:]])
        arguments.json.write_text(json.dumps({"command": command, "figures": found}, indent=1))


if __name__ == "__main__":
    main()
