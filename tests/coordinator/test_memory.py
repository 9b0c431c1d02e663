"""The memory store: sessions, faults and watches. (The port's own laws: the conformance suite.)"""

from __future__ import annotations

import pytest
import trio
import trio.testing

from coordinator.memory import MemoryCluster
from coordinator.store import (
    ANY_VERSION,
    BadVersion,
    Check,
    ConnectionLost,
    Create,
    MultiFailed,
    NodeExists,
    NoNode,
    SessionLost,
    Set,
)


class Calls:
    """A watch callback that counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


async def test_a_session_reads_its_own_writes():
    async with MemoryCluster().connect() as store:
        path, stat = await store.create("/a", b"1")

        assert (path, stat.version) == ("/a", 0)
        assert (await store.set("/a", b"2", version=0)).version == 1
        assert (await store.get("/a"))[0] == b"2"
        await store.delete("/a", version=1)
        assert await store.exists("/a") is None


async def test_every_call_is_a_checkpoint():
    async with MemoryCluster().connect() as store:
        await store.create("/a")
        with trio.testing.assert_checkpoints():
            await store.get("/a")
        with trio.testing.assert_checkpoints():
            await store.set("/a", b"")
        with trio.testing.assert_checkpoints(), pytest.raises(NodeExists):
            await store.create("/a")


async def test_leaving_the_context_deletes_ephemeral_znodes_at_once():
    cluster = MemoryCluster()
    async with cluster.connect() as witness:
        async with cluster.connect() as store:
            _, stat = await store.create("/a", ephemeral=True)
            assert stat.owner == store.session_id != witness.session_id
        assert await witness.exists("/a") is None


async def test_a_disconnected_session_expires_exactly_at_its_timeout(autojump_clock):
    cluster = MemoryCluster()
    async with cluster.connect() as witness, cluster.connect(session_timeout_s=5.0) as store:
        await store.create("/a", ephemeral=True)
        gone = trio.Event()
        assert await witness.exists("/a", watch=gone.set) is not None

        cluster.disconnect(store.session_id)
        await trio.sleep(4.9)
        assert await witness.exists("/a") is not None
        await gone.wait()

        assert trio.current_time() == pytest.approx(5.0)
        await store.wait_lost()
        with pytest.raises(SessionLost):
            await store.get("/")


async def test_a_session_reconnected_in_time_lives_on(autojump_clock):
    cluster = MemoryCluster()
    async with cluster.connect() as other, cluster.connect() as store:
        await store.create("/a", ephemeral=True)

        cluster.disconnect(store.session_id)
        assert store.lease_until == trio.current_time() + 6.0
        await trio.sleep(5.9)
        cluster.reconnect(store.session_id)
        await trio.sleep(60)

        assert await other.exists("/a") is not None
        assert store.lease_until == trio.current_time() + 6.0


async def test_losing_the_connection_calls_every_watch_once():
    cluster = MemoryCluster()
    async with cluster.connect() as other, cluster.connect() as store:
        await store.create("/a")
        calls = Calls()
        await store.get("/a", watch=calls)

        cluster.disconnect(store.session_id)
        cluster.disconnect(store.session_id)
        assert calls.count == 1
        await other.set("/a", b"2")
        cluster.reconnect(store.session_id)

        assert (await store.get("/a"))[0] == b"2"
        assert calls.count == 1


async def test_a_watch_of_a_read_whose_answer_was_lost_is_never_called(autojump_clock):
    async def one_second() -> None:
        await trio.sleep(1)

    cluster = MemoryCluster(latency=one_second)
    async with cluster.connect() as store, trio.open_nursery() as nursery:
        calls = Calls()

        async def read() -> None:
            with pytest.raises(ConnectionLost):
                await store.exists("/a", watch=calls)

        nursery.start_soon(read)
        await trio.sleep(1.5)
        cluster.disconnect(store.session_id)
        cluster.reconnect(store.session_id)
        await trio.sleep(1)
        await store.create("/a")

        assert calls.count == 0
        assert len(cluster.tree.watches) == 0


async def test_calls_made_while_disconnected_wait_for_the_reconnection(autojump_clock):
    cluster = MemoryCluster()
    async with cluster.connect() as store, trio.open_nursery() as nursery:
        cluster.disconnect(store.session_id)
        nursery.start_soon(store.create, "/a")
        await trio.sleep(1)
        assert "/a" not in cluster.tree.nodes

        cluster.reconnect(store.session_id)
        await trio.testing.wait_all_tasks_blocked()

        assert "/a" in cluster.tree.nodes


@pytest.mark.parametrize(("cut_after_s", "done"), [(0.5, False), (1.5, True)])
async def test_an_answer_cut_off_is_connection_lost_whether_or_not_it_was_done(
    autojump_clock, cut_after_s, done
):
    async def one_second() -> None:
        await trio.sleep(1)

    cluster = MemoryCluster(latency=one_second)

    async def cut() -> None:
        await trio.sleep(cut_after_s)
        cluster.disconnect(store.session_id)
        cluster.reconnect(store.session_id)

    async with cluster.connect() as store, trio.open_nursery() as nursery:
        nursery.start_soon(cut)
        with pytest.raises(ConnectionLost):
            await store.create("/a")

        assert ("/a" in cluster.tree.nodes) is done


async def test_expiry_calls_the_watches_so_that_their_holders_learn_of_it():
    cluster = MemoryCluster()
    async with cluster.connect() as store:
        calls = Calls()
        await store.children("/", watch=calls)

        cluster.expire(store.session_id)
        cluster.expire(store.session_id)

        assert calls.count == 1
        with pytest.raises(SessionLost):
            await store.get("/")
        with pytest.raises(SessionLost):
            cluster.reconnect(store.session_id)


async def test_a_watch_is_called_once_and_on_one_change_only():
    cluster = MemoryCluster()
    async with cluster.connect() as store:
        appeared, children = Calls(), Calls()
        assert await store.exists("/a", watch=appeared) is None
        await store.children("/", watch=children)

        await store.create("/a")
        await store.set("/a", b"2")
        await store.create("/b")

        assert (appeared.count, children.count) == (1, 1)


async def test_a_multi_is_all_or_nothing_and_names_the_operation_at_fault():
    async with MemoryCluster().connect() as store:
        await store.create("/epoch", b"1")
        results = await store.multi(
            [Check("/epoch", 0), Create("/a", b""), Set("/epoch", b"2", ANY_VERSION)]
        )
        assert (results[0], results[1], results[2].version) == (None, "/a", 1)

        with pytest.raises(MultiFailed) as failure:
            await store.multi([Create("/b"), Check("/epoch", 0)])

        assert failure.value.index == 1
        assert isinstance(failure.value.cause, BadVersion)
        assert await store.exists("/b") is None


async def test_sequence_numbers_come_from_the_parent_and_are_not_used_again():
    async with MemoryCluster().connect() as store:
        await store.create("/q")
        first, _ = await store.create("/q/n-", sequence=True)
        await store.delete(first)
        second, _ = await store.create("/q/n-", sequence=True, ephemeral=True)

        assert (first, second) == ("/q/n-0000000000", "/q/n-0000000001")


async def test_a_missing_parent_is_no_node():
    async with MemoryCluster().connect() as store:
        with pytest.raises(NoNode):
            await store.create("/no/child")
