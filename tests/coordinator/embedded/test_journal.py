"""Journal and snapshots: nothing durable is lost, nothing damaged is believed."""

from __future__ import annotations

import random

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.embedded.journal import Entry, Journal, replay
from coordinator.embedded.packing import pack_tree
from coordinator.embedded.recovery import make_durable, recover
from coordinator.embedded.snapshot import read_snapshot, write_snapshot
from coordinator.tree import Tree
from coordinator.znode import CreateNode, OpenSession, SetData, Transaction
from protocol.errors import StorageError
from simulation.disk import MemoryDisk

FIRST = "data/journal-0000000000000001"


def transactions(count):
    yield Transaction(1, 0, OpenSession(1_000, b"password"))
    yield Transaction(1, 0, CreateNode("/a"))
    for number in range(count - 2):
        yield Transaction(1, number, SetData("/a", b"%d" % number))


async def write(disk, entries, *, batch=1):
    """Journal entries in group commits of a size; the first entry names the file."""
    entries = list(entries)
    journal = open_journal(disk, zxid=entries[0].zxid - 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        for position in range(0, len(entries), batch):
            for entry in entries[position : position + batch]:
                journal.append(entry)
            await journal.wait_durable(journal.last_zxid)
        nursery.cancel_scope.cancel()
    journal.close()
    return journal


def open_journal(disk, *, zxid=0, on_durable=lambda sync_s: None):
    return Journal(disk, "data", zxid=zxid, pending_bytes_max=1_000, on_durable=on_durable)


def entries_of(count):
    return [Entry(zxid, each) for zxid, each in enumerate(transactions(count), start=1)]


def replayed(disk):
    entries = []
    cut = replay(disk, "data", apply=entries.append)
    return entries, cut


@pytest.fixture
def disk():
    disk = MemoryDisk(random.Random(3))
    disk.make_directory("data")
    return disk


async def test_what_was_journalled_is_replayed_in_order(disk):
    written = entries_of(10)
    await write(disk, written, batch=4)

    assert replayed(disk) == (written, 0)


async def test_one_sync_makes_everything_durable_that_arrived_meanwhile(autojump_clock):
    disk = MemoryDisk(random.Random(3), sync_latency_s=lambda: 1.0)
    disk.make_directory("data")
    journal = open_journal(disk)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        first, *others = entries_of(100)
        journal.append(first)
        await trio.testing.wait_all_tasks_blocked()
        for entry in others:
            journal.append(entry)
        await journal.wait_durable(1)
        assert trio.current_time() == pytest.approx(1.0)
        await journal.wait_durable(100)
        assert trio.current_time() == pytest.approx(2.0)
        assert journal.syncs == 2
        nursery.cancel_scope.cancel()


async def test_a_full_journal_has_room_again_once_it_has_been_written(autojump_clock):
    disk = MemoryDisk(random.Random(3), sync_latency_s=lambda: 1.0)
    disk.make_directory("data")
    journal = open_journal(disk)
    for entry in entries_of(200):
        journal.append(entry)
    assert journal.full
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        await journal.wait_room()
        nursery.cancel_scope.cancel()

    assert not journal.full


async def test_a_failed_sync_ends_the_journal_and_nothing_becomes_durable(disk):
    journal = open_journal(disk)
    journal.append(entries_of(1)[0])
    disk.fail_next_sync()

    with pytest.raises(StorageError):
        await journal.run()
    assert journal.durable_zxid == 0


async def test_a_tail_cut_anywhere_loses_no_more_than_the_last_group_commit(disk):
    await write(disk, entries_of(9), batch=3)
    file = disk.open(FIRST)
    whole = file.size_bytes
    for size in range(whole - 1, whole - 40, -1):
        file.truncate(size)

        entries, cut = replayed(disk)

        assert entries == entries_of(6)
        assert cut == size - file.size_bytes
        file.append(b"\0" * (whole - file.size_bytes))
        entries, _ = replayed(disk)
        assert entries == entries_of(6)
        file.append(b"\0" * (whole - file.size_bytes))


async def test_a_bit_flipped_before_the_last_group_commit_is_refused(disk):
    await write(disk, entries_of(9), batch=3)
    last_frame = disk.read_file(FIRST).rindex(b"OtJ1")
    for position in range(0, last_frame, 7):
        disk.flip_bit(FIRST, position)
        with pytest.raises(StorageError, match=r"damaged at byte \d+"):
            replayed(disk)
        disk.flip_bit(FIRST, position)

    assert replayed(disk) == (entries_of(9), 0)


async def test_damage_at_the_end_of_an_older_file_is_refused(disk):
    entries = entries_of(9)
    await write(disk, entries[:5])
    await write(disk, entries[5:])
    file = disk.open(FIRST)
    file.truncate(file.size_bytes - 1)

    with pytest.raises(StorageError):
        replayed(disk)


async def test_a_missing_file_is_noticed(disk):
    entries = entries_of(9)
    for part in (entries[:3], entries[3:6], entries[6:]):
        await write(disk, part)
    disk.remove("data/journal-0000000000000004")

    with pytest.raises(StorageError, match="missing"):
        recover(disk, "data")


async def test_a_frame_within_a_value_is_no_frame(disk):
    await write(disk, entries_of(3))
    bait = disk.read_file(FIRST)
    await write(disk, [Entry(4, Transaction(1, 0, SetData("/a", bait)))])
    path = "data/journal-0000000000000004"
    file = disk.open(path)
    file.truncate(file.size_bytes - 1)

    entries, cut = replayed(disk)

    assert entries == entries_of(3)
    assert cut > len(bait)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1 << 32), durable=st.integers(1, 20), lost=st.integers(1, 5))
def test_a_crash_loses_nothing_that_was_durable(seed, durable, lost):
    async def main():
        disk = MemoryDisk(random.Random(seed))
        disk.make_directory("data")
        entries = entries_of(durable + lost)
        await write(disk, entries[:durable])
        journal = open_journal(disk, zxid=durable)
        for entry in entries[durable:]:
            journal.append(entry)
        with trio.move_on_after(0) as cut_short:
            cut_short.cancel()  # written, but the power fails before it is synced
            await journal.run()
        disk.crash()

        seen, _ = replayed(disk)
        assert seen[:durable] == entries[:durable]
        assert seen in (entries[:durable], entries)
        assert replayed(disk) == (seen, 0)

    trio.run(main)


def tree_after(count):
    tree = Tree()
    for transaction in transactions(count):
        tree.apply(transaction)
    return tree


async def test_recovery_replays_only_what_is_after_the_snapshot(disk):
    await write(disk, entries_of(10), batch=3)
    tree = tree_after(6)
    await write_snapshot(disk, "data", zxid=tree.zxid, packed=pack_tree(tree))

    recovered = recover(disk, "data")

    assert recovered.transactions_replayed == 4
    assert pack_tree(recovered.tree) == pack_tree(tree_after(10))


async def test_a_snapshot_may_be_ahead_of_the_journal(disk):
    await write(disk, entries_of(4))
    ahead = tree_after(6)
    await write_snapshot(disk, "data", zxid=ahead.zxid, packed=pack_tree(ahead))
    assert recover(disk, "data").tree.zxid == 6

    await write(disk, entries_of(9)[6:])
    assert pack_tree(recover(disk, "data").tree) == pack_tree(tree_after(9))


async def test_a_newer_snapshot_replaces_the_older(disk):
    for count in (3, 5):
        tree = tree_after(count)
        await write_snapshot(disk, "data", zxid=count, packed=pack_tree(tree))

    assert disk.list("data") == ["snapshot-0000000000000005"]
    assert read_snapshot(disk, "data").zxid == 5


async def test_a_damaged_snapshot_is_refused(disk):
    await write_snapshot(disk, "data", zxid=3, packed=pack_tree(tree_after(3)))
    for position in (0, 5, 20):
        disk.flip_bit("data/snapshot-0000000000000003", position)
        with pytest.raises(StorageError, match="damaged"):
            read_snapshot(disk, "data")
        disk.flip_bit("data/snapshot-0000000000000003", position)


def test_an_empty_directory_is_a_new_tree(disk):
    assert pack_tree(recover(disk, "data").tree) == pack_tree(Tree())


async def started_again(disk) -> int:
    """Recover as the server does. Returns: the zxid that it goes on from."""
    recovered = recover(disk, "data")
    await make_durable(disk, "data", recovered)
    return recovered.tree.zxid


async def fail_to_sync(disk, entries):
    """Write entries whose sync fails."""
    disk.fail_next_sync()
    with pytest.raises(ExceptionGroup):
        await write(disk, entries)


async def kill_before_the_sync(disk, entries):
    """Write entries that nobody syncs."""
    journal = open_journal(disk, zxid=entries[0].zxid - 1)
    for entry in entries:
        journal.append(entry)
    with trio.move_on_after(0) as cut_short:
        cut_short.cancel()
        await journal.run()


@pytest.mark.parametrize("end_badly", [fail_to_sync, kill_before_the_sync])
@pytest.mark.parametrize("seed", range(4))
async def test_what_a_restart_has_read_is_durable_before_it_is_built_upon(seed, end_badly):
    disk = MemoryDisk(random.Random(seed))
    disk.make_directory("data")
    entries = entries_of(12)
    await write(disk, entries[:4])
    await end_badly(disk, entries[4:6])

    zxid = await started_again(disk)
    await write(disk, entries[zxid : zxid + 3])
    disk.crash()

    assert await started_again(disk) == zxid + 3
    assert pack_tree(recover(disk, "data").tree) == pack_tree(tree_after(zxid + 3))


async def test_a_restart_removes_unfinished_snapshots_and_nothing_else(disk):
    for name in ("snapshot-00000000000000a1.tmp", "snapshot-00000000000000b2.tmp", "notes.tmp"):
        disk.write_file(f"data/{name}", b"half")

    await started_again(disk)

    assert disk.list("data") == ["notes.tmp"]


async def test_a_disk_that_unfinished_snapshots_have_filled_has_room_for_the_next(disk):
    await write(disk, entries_of(3))
    disk.write_file("data/snapshot-0000000000000002.tmp", bytes(10_000))
    disk.capacity_bytes = disk.total_bytes("data") - disk.free_bytes("data")

    await started_again(disk)

    assert disk.list("data") == ["snapshot-0000000000000003"]


async def test_a_journal_below_the_snapshot_is_not_continued(disk):
    await write(disk, entries_of(4))
    await kill_before_the_sync(disk, entries_of(6)[4:])
    ahead = tree_after(6)
    await write_snapshot(disk, "data", zxid=ahead.zxid, packed=pack_tree(ahead))

    zxid = await started_again(disk)
    await write(disk, entries_of(9)[zxid:])
    disk.crash()

    assert zxid == 6
    assert await started_again(disk) == 9
