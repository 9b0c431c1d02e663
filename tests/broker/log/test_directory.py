"""A broker's data directory."""

from __future__ import annotations

import msgpack
import pytest

from broker.log.directory import Checkpoint, DataDirectory, DirectoryId, parse_partition
from protocol.errors import StorageError


@pytest.fixture
def directory(disk, root):
    return DataDirectory(disk, root)


def test_partitions_are_listed_and_nothing_else(disk, root, directory):
    for name in ("b.topic-10", "a-2", "a-b-0", "a-2.00ff-delete", "a-3.00ff-stray", "lost+found"):
        disk.make_directory(f"{root}/{name}")
    disk.write_file(f"{root}/plain", b"")

    assert directory.partitions() == [("a", 2), ("a-b", 0), ("b.topic", 10)]
    assert directory.partition_path("a", 2) == f"{root}/a-2"


def test_unfinished_deletions_are_finished(disk, root, directory):
    disk.make_directory(f"{root}/a-2.00ff-delete/deep")
    disk.make_directory(f"{root}/a-3.00ff-stray")

    assert directory.finish_deletes() == 1
    assert disk.list(root) == ["a-3.00ff-stray"]


def test_a_clean_stop_is_believed_once(directory):
    assert not directory.take_clean_marker()

    directory.write_clean_marker()

    assert directory.take_clean_marker()
    assert not directory.take_clean_marker()


def test_the_directory_knows_whose_it_is(directory):
    assert directory.read_identity() is None
    identity = DirectoryId(bytes(range(16)), "cluster", 3)

    directory.write_identity(identity)

    assert directory.read_identity() == identity


async def test_checkpoints_are_read_back(directory):
    assert directory.read_checkpoints() == {}
    checkpoints = {("a", 0): Checkpoint(5, 4, 1), ("a", 1): Checkpoint()}

    await directory.write_checkpoints(checkpoints)

    assert directory.read_checkpoints() == checkpoints


def test_checkpoints_of_an_earlier_version_are_read(disk, root, directory):
    disk.write_file(f"{root}/checkpoints.ottla", msgpack.packb([["a", 0, 5, 4, 1, 2]]))

    assert directory.read_checkpoints() == {("a", 0): Checkpoint(5, 4, 1, 2)}


async def test_a_flipped_bit_is_found_wherever_it_is(directory, disk, root):
    path = f"{root}/checkpoints.ottla"
    await directory.write_checkpoints(
        {
            ("a", 0): Checkpoint(5, 4, 1, 2, topic_id=bytes(range(16))),
            ("b", 1): Checkpoint(500, 400, 100, 200, topic_id=bytes(16)),
        }
    )
    written = disk.read_file(path)

    for bit in range(len(written) * 8):
        flipped = bytearray(written)
        flipped[bit // 8] ^= 1 << bit % 8
        disk.write_file(path, bytes(flipped))
        with pytest.raises(StorageError, match="is damaged"):
            directory.read_checkpoints()


def test_a_damaged_file_is_told_with_the_next_step(disk, root, directory):
    disk.write_file(f"{root}/checkpoints.ottla", b"\xc1")

    with pytest.raises(StorageError, match="is damaged.*restore it"):
        directory.read_checkpoints()


@pytest.mark.parametrize("name", ["a", "-1", "a-", "a-x", "a-1x", "a-²"])
def test_other_names_are_no_partitions(name):
    assert parse_partition(name) is None
