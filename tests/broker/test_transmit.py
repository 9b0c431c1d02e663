"""Slices of files: what is received is what lies in the file, whatever carries it."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from broker.transmit import SEND_BYTES, SENDFILE_BYTES_MIN, CutShort, send_chunks
from protocol.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@dataclass
class Slice:
    file: RegularFile
    position: int
    size: int
    failures: list[StorageError] = field(default_factory=list)

    def __len__(self) -> int:
        return self.size

    def failed(self, error: StorageError) -> None:
        self.failures.append(error)


class RegularFile:
    """As much of the disk port's file as slices need."""

    def __init__(self, path: Path, *, has_descriptor: bool) -> None:
        self.path = str(path)
        self._file = path.open("rb")
        self._has_descriptor = has_descriptor

    def read(self, position: int, size: int) -> bytes:
        self._file.seek(position)
        return self._file.read(size)

    def fileno(self) -> int | None:
        return self._file.fileno() if self._has_descriptor else None

    def close(self) -> None:
        self._file.close()


@pytest.fixture(params=[True, False], ids=["descriptor", "no descriptor"])
def file(request, tmp_path):
    path = tmp_path / "segment"
    path.write_bytes(bytes(range(256)) * 12_000)
    file = RegularFile(path, has_descriptor=request.param)
    yield file
    file.close()


@pytest.fixture(params=["memory", "tcp"])
async def streams(request, nursery) -> AsyncIterator[tuple[trio.abc.Stream, trio.abc.Stream]]:
    if request.param == "memory":
        yield trio.testing.memory_stream_pair()
        return
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    async with listener:
        theirs = await trio.open_tcp_stream("127.0.0.1", port)
        ours = await listener.accept()
    async with ours, theirs:
        yield ours, theirs


async def receive_all(stream: trio.abc.Stream, received: bytearray) -> None:
    async for data in stream:
        received += data


@pytest.mark.parametrize(
    "slices",
    [
        pytest.param([(0, 100)], id="small"),
        pytest.param([(7, SENDFILE_BYTES_MIN)], id="sendfile"),
        pytest.param([(3, 3_000_000)], id="more than one call"),
        pytest.param([(1, SEND_BYTES + 1), (0, 5), (99, SENDFILE_BYTES_MIN - 1)], id="several"),
    ],
)
async def test_chunks_arrive_in_order_byte_for_byte(slices, file, streams):
    ours, theirs = streams
    chunks: list[bytes | Slice] = []
    for position, size in slices:
        chunks += [b"header of %d" % size, Slice(file, position, size)]
    chunks.append(b"the end")
    expected = b"".join(
        chunk if isinstance(chunk, bytes) else file.read(chunk.position, chunk.size)
        for chunk in chunks
    )
    received = bytearray()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive_all, theirs, received)
            await send_chunks(ours, chunks)
            await ours.aclose()

    assert bytes(received) == expected


@pytest.mark.parametrize("size", [SENDFILE_BYTES_MIN - 1, 200_000])
async def test_a_slice_beyond_the_end_of_its_file_is_an_error(size, file, streams, nursery):
    ours, theirs = streams
    nursery.start_soon(receive_all, theirs, bytearray())

    with pytest.raises(CutShort), trio.fail_after(10):
        await send_chunks(ours, [b"header", Slice(file, 256 * 12_000 - size + 1, size)])
    await ours.aclose()


async def test_a_peer_that_has_gone_is_an_error_and_none_of_the_disks(file, streams):
    ours, theirs = streams
    await theirs.aclose()
    piece = Slice(file, 0, 1_000_000)

    with pytest.raises(trio.BrokenResourceError), trio.fail_after(10):
        await send_chunks(ours, [b"header", piece] * 100)
    assert piece.failures == []


@pytest.mark.parametrize("size", [SENDFILE_BYTES_MIN - 1, 200_000])
async def test_a_disk_that_refuses_to_give_a_slice_is_told_of(size, file, streams, monkeypatch):
    ours, _theirs = streams
    piece = Slice(file, 0, size)

    def refuse(*_):
        raise OSError(errno.EIO, "a bad sector")

    def refuse_to_read(*_):
        raise StorageError("a bad sector")

    monkeypatch.setattr("os.sendfile", refuse)
    monkeypatch.setattr(file, "read", refuse_to_read)
    with pytest.raises(trio.BrokenResourceError), trio.fail_after(10):
        await send_chunks(ours, [b"header", piece])
    (failure,) = piece.failures
    assert "a bad sector" in str(failure)


async def test_other_tasks_run_while_a_slow_peer_reads(file, streams):
    ours, _theirs = streams
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_chunks, ours, [Slice(file, 0, 3_000_000)] * 20)
            steps = 0
            while nursery.child_tasks and steps < 10:
                await trio.lowlevel.checkpoint()
                steps += 1

            assert steps == 10, "it has sent everything without letting others run"
            nursery.cancel_scope.cancel()
