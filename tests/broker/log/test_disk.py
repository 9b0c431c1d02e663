"""The disk port's laws on both disks, and what only one of them has."""

from __future__ import annotations

import os
import random

import pytest
import trio

from broker.log.errors import DirectoryInUse, DiskFull, FileMissing
from broker.log.real_disk import RealDisk
from broker.log.slice import LogSlice
from protocol.errors import StorageError
from simulation.disk import MemoryDisk


def test_appended_chunks_are_read_back_anywhere(disk, root):
    file = disk.open(f"{root}/f", create=True)

    assert file.append(b"abc") == 0
    assert file.append(b"de", bytearray(b"f"), memoryview(b"xghx")[1:3]) == 3
    assert file.size_bytes == 8
    assert file.read(2, 4) == b"cdef"
    assert file.read(6, 100) == b"gh"
    assert file.read(8, 1) == b""


def test_a_file_that_is_written_again_is_what_it_was(disk, root):
    file = disk.open(f"{root}/f", create=True)
    data = bytes(range(256)) * 5_000
    file.append(data)

    file.write_again()

    assert disk.read_file(f"{root}/f") == data
    assert file.append(b"more") == len(data)


def test_more_chunks_than_one_call_takes_are_all_written(disk, root):
    file = disk.open(f"{root}/f", create=True)
    chunks = [str(i).encode() for i in range(3000)]

    file.append(*chunks)

    assert file.read(0, file.size_bytes) == b"".join(chunks)


def test_an_opened_file_goes_on_at_its_end(disk, root):
    first = disk.open(f"{root}/f", create=True)
    first.append(b"abc")
    first.close()

    again = disk.open(f"{root}/f")

    assert again.size_bytes == 3
    assert again.append(b"d") == 3
    assert disk.read_file(f"{root}/f") == b"abcd"


def test_a_truncated_file_goes_on_where_it_was_cut(disk, root):
    file = disk.open(f"{root}/f", create=True)
    file.append(b"abcdef")

    file.truncate(2)

    assert file.size_bytes == 2
    assert file.append(b"X") == 2
    assert file.read(0, 10) == b"abX"


@pytest.mark.parametrize(
    "act",
    [
        lambda disk, path: disk.open(path),
        lambda disk, path: disk.read_file(path),
        lambda disk, path: disk.file_size_bytes(path),
        lambda disk, path: disk.rename(path, path + "2"),
    ],
    ids=["open", "read_file", "file_size_bytes", "rename"],
)
def test_a_missing_file_is_called_so(disk, root, act):
    with pytest.raises(FileMissing, match="no such file"):
        act(disk, f"{root}/missing")


def test_a_slice_outlives_its_file(disk, root):
    file = disk.open(f"{root}/f", create=True)
    file.append(b"abcdef")
    piece = LogSlice(file.view(), 2, 3)

    file.close()
    disk.remove(f"{root}/f")

    assert len(piece) == 3
    assert piece.read_bytes() == b"cde"
    with pytest.raises(StorageError):
        file.append(b"x")


def test_directories_are_made_listed_and_removed(disk, root):
    disk.make_directory(f"{root}/a/b")
    disk.write_file(f"{root}/a/two", b"2")
    disk.open(f"{root}/a/one", create=True).close()

    assert disk.list(f"{root}/a") == ["b", "one", "two"]
    assert disk.list(f"{root}/nowhere") == []
    assert disk.exists(f"{root}/a/b")

    disk.remove(f"{root}/a")
    disk.remove(f"{root}/a")

    assert not disk.exists(f"{root}/a")


def test_renaming_replaces_a_file_and_moves_a_directory(disk, root):
    disk.write_file(f"{root}/old", b"new content")
    disk.write_file(f"{root}/new", b"old content")
    disk.make_directory(f"{root}/d")
    disk.write_file(f"{root}/d/f", b"in it")

    disk.rename(f"{root}/old", f"{root}/new")
    disk.rename(f"{root}/d", f"{root}/e")

    assert disk.list(root) == ["e", "new"]
    assert disk.read_file(f"{root}/new") == b"new content"
    assert disk.read_file(f"{root}/e/f") == b"in it"


async def test_discarding_removes_directories_with_all_in_them(disk, root):
    for name in ("one", "two", "stays"):
        disk.make_directory(f"{root}/{name}")
        disk.write_file(f"{root}/{name}/f", b"in it")
    disk.rename(f"{root}/two", f"{root}/three", durable=False)

    await disk.discard([f"{root}/one", f"{root}/three", f"{root}/never"])

    assert disk.list(root) == ["stays"]


@pytest.mark.parametrize("durable", [True, False])
def test_writing_a_small_file_replaces_it(disk, root, durable):
    disk.write_file(f"{root}/f", b"a longer content", durable=durable)
    disk.write_file(f"{root}/f", b"short", durable=durable)

    assert disk.read_file(f"{root}/f") == b"short"
    assert disk.file_size_bytes(f"{root}/f") == 5
    assert disk.list(root) == ["f"]


async def test_replacing_a_file_off_the_loop_replaces_it(disk, root):
    await disk.replace_file(f"{root}/f", b"content")

    assert disk.read_file(f"{root}/f") == b"content"


async def test_a_sync_takes_files_and_directories_and_spares_deleted_ones(disk, root):
    disk.make_directory(f"{root}/d", durable=False)
    file = disk.open(f"{root}/d/f", create=True)
    file.append(b"abc")
    disk.make_directory(f"{root}/gone")
    disk.remove(f"{root}/gone")

    await disk.sync([file], [f"{root}/d", root, f"{root}/gone"])

    file.sync()
    assert file.read(0, 3) == b"abc"


def test_a_data_directory_has_one_holder_at_a_time(disk, root):
    lock = disk.lock(f"{root}/.lock")

    with pytest.raises(DirectoryInUse, match="in use"):
        disk.lock(f"{root}/.lock")

    lock.release()
    disk.lock(f"{root}/.lock").release()


def test_there_is_space_left_and_less_than_the_whole(disk, root):
    disk.write_file(f"{root}/f", b"x" * 10_000)

    assert 0 < disk.free_bytes(root) < disk.total_bytes(root)


# The real disk.


def test_a_descriptor_is_closed_when_the_last_slice_has_gone(tmp_path):
    file = RealDisk().open(f"{tmp_path}/f", create=True)
    file.append(b"abc")
    piece = LogSlice(file.view(), 0, 3)
    fd = file.fileno()

    file.close()
    assert os.fstat(fd).st_size == 3

    del piece
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_full_disk_is_told_with_the_next_step(tmp_path):
    with pytest.raises(DiskFull, match=r"disk full; free some space") as caught:
        RealDisk().open("/dev/full").append(b"x")

    assert isinstance(caught.value.__cause__, OSError)


def test_a_directory_that_may_not_be_read_is_told_with_the_next_step(tmp_path):
    with pytest.raises(StorageError, match="see the kernel's log"):
        RealDisk().open(str(tmp_path))


def test_a_file_where_the_directory_should_be_is_told_with_the_next_step(tmp_path):
    (tmp_path / "file").touch()

    for act in (RealDisk().lock, RealDisk().make_directory):
        with pytest.raises(StorageError, match="there is a file in the way: move it"):
            act(f"{tmp_path}/file/inside")


# The disk in memory.


def test_a_crash_keeps_what_was_synced_and_a_prefix_of_the_rest():
    for seed in range(50):
        disk = MemoryDisk(random.Random(seed))
        disk.make_directory("/d")
        file = disk.open("/d/f", create=True)
        file.append(b"s" * 700)
        file.sync()
        disk.sync_directory("/d")
        file.append(b"u" * 1300)

        disk.crash()

        data = disk.read_file("/d/f")
        assert data[:700] == b"s" * 700
        assert data[700:].replace(b"\0", b"u").strip(b"u") == b""
        assert len(data) <= 2000
        with pytest.raises(StorageError, match="crash"):
            file.append(b"x")


def test_a_file_whose_directory_was_not_synced_may_be_lost():
    survived = set()
    for seed in range(30):
        disk = MemoryDisk(random.Random(seed))
        disk.make_directory("/d")
        file = disk.open("/d/f", create=True)
        file.append(b"x")
        file.sync()

        disk.crash()

        survived.add(disk.exists("/d/f"))
    assert survived == {True, False}


async def test_bytes_appended_during_a_sync_are_not_covered(autojump_clock):
    disk = MemoryDisk(random.Random(3), sync_latency_s=lambda: 1.0)
    disk.make_directory("/d")
    file = disk.open("/d/f", create=True)
    disk.sync_directory("/d")
    file.append(b"covered")
    lengths = set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(disk.sync, [file])
        await trio.sleep(0.5)
        file.append(b"-not covered")
    for _ in range(30):
        disk.crash()
        lengths.add(disk.file_size_bytes("/d/f"))

    assert min(lengths) >= len(b"covered")
    assert disk.read_file("/d/f").startswith(b"covered")


async def test_what_replaces_cut_bytes_during_a_sync_is_not_covered(autojump_clock):
    for seed in range(20):
        disk = MemoryDisk(random.Random(seed), sync_latency_s=lambda: 1.0)
        disk.make_directory("/d")
        file = disk.open("/d/f", create=True)
        disk.sync_directory("/d")
        file.append(b"old old old")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(disk.sync, [file])
            await trio.sleep(0.5)
            file.truncate(3)
            file.append(b"NEW NEW")
        disk.crash()
        assert len(disk.read_file("/d/f")) >= 3
        if len(disk.read_file("/d/f")) == 3:
            return
    pytest.fail("the new bytes were never lost")


async def test_a_planned_sync_failure_happens_once(autojump_clock):
    disk = MemoryDisk(random.Random(1))
    disk.make_directory("/d")
    file = disk.open("/d/f", create=True)
    disk.fail_next_sync()

    with pytest.raises(StorageError, match="planned"):
        await disk.sync([file])
    await disk.sync([file])


async def test_what_a_failed_sync_dropped_is_read_and_lost_unless_it_is_written_again(
    autojump_clock,
):
    def left_after(*, again: bool) -> bytes:
        if again:
            file.write_again()
        disk.crash()
        return disk.read_file("/f")

    for again, expected in ((False, bytes(3) + b"def"), (True, b"abcdef")):
        disk = MemoryDisk(random.Random(0))
        file = disk.open("/f", create=True)
        disk.sync_directory("/")
        file.append(b"abc")
        disk.fail_next_sync()
        with pytest.raises(StorageError, match="planned"):
            await disk.sync([file])
        file.append(b"def")
        await disk.sync([file])

        assert disk.read_file("/f") == b"abcdef"
        assert left_after(again=again) == expected


def test_a_full_memory_disk_takes_nothing():
    disk = MemoryDisk(random.Random(1), capacity_bytes=10)
    disk.make_directory("/d")
    file = disk.open("/d/f", create=True)
    file.append(b"12345678")

    with pytest.raises(DiskFull):
        file.append(b"abc")

    assert file.size_bytes == 8
    file.append(b"90")
