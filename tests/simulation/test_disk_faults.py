"""Laws of the faults that a memory disk can be given; its ordinary life is tested with the log."""

from __future__ import annotations

import random

import pytest

from broker.log.errors import FileMissing
from protocol.errors import StorageError
from simulation.disk import MemoryDisk


@pytest.fixture
def disk():
    disk = MemoryDisk(random.Random(1))
    disk.make_directory("/d")
    disk.write_file("/d/f", b"first")
    return disk


def append_durably(disk: MemoryDisk, data: bytes) -> None:
    file = disk.open("/d/f")
    file.append(data)
    file.sync()
    file.close()


def test_a_truncated_file_stays_so_after_a_crash(disk):
    disk.truncate_file("/d/f", 2)
    disk.crash()

    assert disk.read_file("/d/f") == b"fi"


def test_a_rolled_back_file_is_what_it_durably_was_also_after_a_crash(disk):
    disk.open("/d/f").append(b" not synced")
    disk.remember("/d/f")
    append_durably(disk, b" synced later")

    disk.roll_back("/d/f")
    disk.crash()

    assert disk.read_file("/d/f") == b"first"


def test_a_file_that_was_replaced_or_removed_is_rolled_back_too(disk):
    disk.remember("/d/f")
    disk.write_file("/d/f", b"second")
    disk.roll_back("/d/f")
    assert disk.read_file("/d/f") == b"first"

    disk.remove("/d/f")
    disk.sync_directory("/d")
    disk.roll_back("/d/f")
    disk.crash()

    assert disk.read_file("/d/f") == b"first"


def test_only_the_file_is_rolled_back_and_can_be_written_on(disk):
    disk.write_file("/d/other", b"1")
    disk.remember("/d/f")
    disk.write_file("/d/other", b"2")
    append_durably(disk, b"!")
    disk.roll_back("/d/f")
    append_durably(disk, b"?")
    disk.crash()

    assert disk.read_file("/d/other") == b"2"
    assert disk.read_file("/d/f") == b"first?"


def test_nothing_is_rolled_back_to_what_was_remembered_after_the_disk_was_held(disk):
    held = disk.hold()
    disk.remember("/d/f")
    disk.leave(held)

    with pytest.raises(FileMissing, match="nothing is remembered"):
        disk.roll_back("/d/f")

    assert disk.read_file("/d/f") == b"first"
    assert not disk.was_faulty


def test_a_file_that_a_crash_could_lose_cannot_be_remembered(disk):
    disk.open("/d/new", create=True)

    with pytest.raises(FileMissing, match="a crash could lose it"):
        disk.remember("/d/new")


def test_planned_reads_fail_and_later_ones_do_not(disk):
    file = disk.open("/d/f")
    view = file.view()
    disk.fail_next_read(3)

    for read in (lambda: file.read(0, 5), lambda: view.read(0, 5), lambda: disk.read_file("/d/f")):
        with pytest.raises(StorageError, match="planned fault"):
            read()

    assert file.read(0, 5) == view.read(0, 5) == disk.read_file("/d/f") == b"first"


def after_crash(seed: int) -> list[str]:
    """Say what is there when power has failed after changes that no sync has made durable."""
    disk = MemoryDisk(random.Random(seed))
    disk.make_directory("/d")
    disk.write_file("/d/old", b"")
    for name in ("one", "two", "three"):
        disk.write_file(f"/d/{name}", b"", durable=False)
    disk.rename("/d/three", "/d/old", durable=False)
    disk.crash()
    return disk.list("/d")


def test_a_crash_keeps_any_of_the_changes_of_a_directory():
    kept = {frozenset(after_crash(seed)) for seed in range(200)}

    assert {frozenset({"old", *some}) for some in ((), ("one",), ("two",), ("one", "two"))} <= kept
    assert all("old" in names for names in kept), "what was durable is replaced, not lost"


def test_who_only_looks_is_spared_and_the_fault_comes_afterwards(disk):
    disk.fail_next_read()

    with disk.sparing():
        assert disk.read_file("/d/f") == b"first"

    with pytest.raises(StorageError, match="planned fault"):
        disk.read_file("/d/f")
