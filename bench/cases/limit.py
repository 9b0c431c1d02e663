"""What this machine allows: bytes from a loopback socket to a file, and back, with the least code.

A process of its own sends, or reads, in pieces of 64 KiB; this one does what a broker cannot do
without: `recv_into` and `write` on the way in, `sendfile` on the way out. CPU is this process's, as
a broker's would be. The file is synced at the end, within what is measured. Then the same with the
promise of acks=all: five batches on their way, each answered once it is synced, together with those
that have come meanwhile. Last, 4 KiB at a time are appended and synced (`fdatasync`), alone, which
bounds acks=all with one batch on its way.
"""

from __future__ import annotations

import os
import resource
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.bench import Bench, Measured, When
from bench.cases.throughput import IN_FLIGHT, LARGE_BATCH_BYTES, SMALL_BATCH_BYTES
from bench.figure import Case
from bench.raw_requests import percentile
from bench.systems import System

PIECE_BYTES = SMALL_BATCH_BYTES
VOLUME_BYTES = 500_000_000 // PIECE_BYTES * PIECE_BYTES
SYNCS = 500
SYNC_BYTES = 4_096
SENDFILE_BYTES = 1 << 20
GB = 1e9

PRODUCED = "produce"
SYNCED = {
    SMALL_BATCH_BYTES: "produce, 64 KiB synced before each answer",
    LARGE_BATCH_BYTES: "produce, 900 KB synced before each answer",
}
"""By the size of batches."""


def measure(_system: System, _case: Case) -> Measured:
    """Take bytes in, give them out, and sync."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "limit"
        yield PRODUCED, timed(socket_to_file, path)
        yield "consume", timed(file_to_socket, path)
        for piece_bytes, what in SYNCED.items():
            yield what, timed(partial(socket_to_disk, piece_bytes=piece_bytes), path)
        waits_ms = sync_latencies(path)
        shares = (("p50_ms", 0.5), ("p99_ms", 0.99), ("p999_ms", 0.999))
        yield "sync", {name: percentile(waits_ms, share) for name, share in shares}


def timed(act: Callable[[Path], int], path: Path) -> dict[str, float]:
    """Have bytes moved. Returns: MB/s, and CPU seconds of this process for each GB."""
    before, began_at = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    moved_bytes = act(path)
    taken_s = time.perf_counter() - began_at
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"mb_per_s": moved_bytes / taken_s / 1e6, "cpu_s_per_gb": cpu_s / (moved_bytes / GB)}


def socket_to_file(path: Path) -> int:
    """Write what comes to a file, and sync it. Returns: how many bytes that were."""
    buffer = memoryview(bytearray(4 * PIECE_BYTES))
    with appended(path) as fd:
        with peer(send) as stream:
            while size := stream.recv_into(buffer):
                write_all(fd, buffer[:size])
        os.fdatasync(fd)
    return whole(path, VOLUME_BYTES)


def socket_to_disk(path: Path, *, piece_bytes: int) -> int:
    """Write what comes, sync once a whole piece is there, answer such. Returns: bytes that came."""
    buffer, came, answered = memoryview(bytearray(IN_FLIGHT * piece_bytes)), 0, 0
    with appended(path) as fd, peer(partial(send_and_wait, piece_bytes=piece_bytes)) as stream:
        while size := stream.recv_into(buffer):
            write_all(fd, buffer[:size])
            came += size
            if due := came // piece_bytes - answered:
                os.fdatasync(fd)
                stream.sendall(bytes(due))
                answered += due
    return whole(path, VOLUME_BYTES // piece_bytes * piece_bytes)


def whole(path: Path, sent_bytes: int) -> int:
    """Require that all that was sent is in a file; give its size."""
    size = path.stat().st_size
    assert size == sent_bytes, f"{size} bytes came, {sent_bytes} were sent"
    return size


def file_to_socket(path: Path) -> int:
    """Send the file back. Returns: its size, in bytes."""
    position = 0
    with path.open("rb") as file, peer(swallow) as stream:
        while position < VOLUME_BYTES:
            position += os.sendfile(stream.fileno(), file.fileno(), position, SENDFILE_BYTES)
    return position


def sync_latencies(path: Path) -> list[float]:
    """Append and sync, one after the other; give how long each took, in milliseconds."""
    piece, found = os.urandom(SYNC_BYTES), []
    with appended(path) as fd:
        for _ in range(SYNCS):
            began_at = time.perf_counter()
            os.write(fd, piece)
            os.fdatasync(fd)
            found.append((time.perf_counter() - began_at) * 1e3)
    return found


@contextmanager
def appended(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


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


def send(stream: socket.socket) -> None:
    """Send all of it."""
    piece = os.urandom(PIECE_BYTES)
    for _ in range(VOLUME_BYTES // PIECE_BYTES):
        stream.sendall(piece)


def send_and_wait(stream: socket.socket, *, piece_bytes: int) -> None:
    """Send pieces, so many on their way; each answer is a byte."""
    piece, on_their_way = os.urandom(piece_bytes), 0
    for _ in range(VOLUME_BYTES // piece_bytes):
        if on_their_way == IN_FLIGHT:
            on_their_way -= len(stream.recv(IN_FLIGHT))
        stream.sendall(piece)
        on_their_way += 1
    while on_their_way:
        on_their_way -= len(stream.recv(IN_FLIGHT))


def swallow(stream: socket.socket) -> None:
    """Read until the end."""
    buffer = bytearray(SENDFILE_BYTES)
    while stream.recv_into(buffer):
        pass


def write_all(fd: int, view: memoryview) -> None:
    while view:
        view = view[os.write(fd, view) :]


LIMIT = Bench("limit", "what this machine allows", measure, rounds=5, when=When.NONE)
