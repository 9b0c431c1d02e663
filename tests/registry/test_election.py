"""Elections among registries, over a store in memory: who leads, and what it may write under."""

from __future__ import annotations

import pytest
import trio

from client import ProducerIdentity
from coordinator import paths
from coordinator.memory import MemoryCluster
from registry.election import EPOCH_MAX, CorruptFence, Deposed, Election, Fence, Term

GROUP = "_schemas"
FENCE = f"{paths.registries(GROUP)}/fence"


async def given():
    """Give a new producer id, as a broker does."""
    return ProducerIdentity(77, 0)


@pytest.fixture
async def store(autojump_clock):
    """A session whose store has all that registries share. Returns: Store."""
    async with MemoryCluster().connect() as opened:
        for path in (paths.ROOT, paths.REGISTRIES, paths.registries(GROUP), FENCE):
            await opened.create(path)
        yield opened


async def term_over(store, fence: Fence) -> Term:
    """Make a term that begins with a fence."""
    await store.set(FENCE, fence.pack())
    return Term(store, FENCE)


async def test_the_first_term_takes_a_new_producer_id(store):
    term = await term_over(store, Fence())

    assert [(i.producer_id, i.epoch) for i in await term.raise_fence(given)] == [(77, 0)]
    assert Fence.unpack((await store.get(FENCE))[0]) == Fence(77, 0)


async def test_every_term_writes_under_the_next_epoch(store):
    term = await term_over(store, Fence(5, 3))

    assert [(i.producer_id, i.epoch) for i in await term.raise_fence(given)] == [(5, 4)]
    assert [(i.producer_id, i.epoch) for i in await term.raise_fence(given)] == [(5, 5)]


async def test_the_last_epoch_shuts_the_old_producer_id_out_before_a_new_one_is_used(store):
    term = await term_over(store, Fence(5, EPOCH_MAX - 1))

    identities = [(i.producer_id, i.epoch) for i in await term.raise_fence(given)]

    assert identities == [(5, EPOCH_MAX), (77, 0)]
    assert Fence.unpack((await store.get(FENCE))[0]) == Fence(77, 0)


async def test_of_two_who_raise_the_fence_at_once_one_is_deposed(store):
    term = await term_over(store, Fence())

    async def meanwhile():
        await store.set(FENCE, Fence(6, 0).pack())
        return ProducerIdentity(9, 0)

    with pytest.raises(Deposed):
        await term.raise_fence(meanwhile)
    assert Fence.unpack((await store.get(FENCE))[0]) == Fence(6, 0)


async def test_a_fence_that_is_none_is_said_to_be(store):
    term = await term_over(store, Fence())
    await store.set(FENCE, b"something else")

    with pytest.raises(CorruptFence, match="something else"):
        await term.raise_fence(given)


async def test_one_leads_and_the_next_takes_over_when_its_session_is_over(autojump_clock):
    memory = MemoryCluster()
    async with memory.connect() as store:
        await store.create(paths.ROOT)
    led: list[str] = []
    leaves = {name: trio.Event() for name in "ab"}

    def election(name: str) -> Election:
        async def lead(_term: Term) -> None:
            led.append(name)
            await leaves[name].wait()

        return Election(GROUP, f"http://{name}", lead)

    first, second = election("a"), election("b")

    async def stand(candidate: Election, scope: trio.CancelScope) -> None:
        with scope:
            async with memory.connect() as store:
                await candidate.run(store)

    scopes = [trio.CancelScope(), trio.CancelScope()]
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stand, first, scopes[0])
            await trio.sleep(1)
            nursery.start_soon(stand, second, scopes[1])
            await trio.sleep(1)
            assert led == ["a"]
            assert (first.leader_url, second.leader_url) == (None, "http://a")

            scopes[0].cancel()
            await trio.sleep(1)
            assert led == ["a", "b"]
            leaves["b"].set()
            await trio.sleep(1)
            assert led[:3] == ["a", "b", "b"], "who leaves office stands again"
            scopes[1].cancel()
