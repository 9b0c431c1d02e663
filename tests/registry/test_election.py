"""Elections among registries, over a store in memory: who leads, and what it may write under."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from client import ProducerIdentity
from coordinator import paths
from coordinator.memory import MemoryCluster
from coordinator.store import ConnectionLost
from registry.election import EPOCH_MAX, CorruptFence, Deposed, Election, Fence, Term

GROUP = "_schemas"
FENCE = f"{paths.registries(GROUP)}/fence"
LEADER = f"{paths.registries(GROUP)}/leader"


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


class UnknownDeletions:
    """A session whose deletions are done, and whose answers to them are lost once."""

    def __init__(self, store, then) -> None:
        self._store = store
        self._then = then

    def __getattr__(self, name: str):
        return getattr(self._store, name)

    async def delete(self, path: str, **options) -> None:
        await self._store.delete(path, **options)
        if self._then is not None:
            then, self._then = self._then, None
            await then()
            raise ConnectionLost("the answer was lost")


async def stand(memory, group, url, lead, *, scope, wrapped=lambda store: store) -> None:
    """Stand for a group until the scope is cancelled."""
    with scope:
        async with memory.connect() as store:
            await Election(group, url, lead).run(wrapped(store))


async def test_who_resigns_with_an_unknown_outcome_takes_no_other_out_of_office(
    store, autojump_clock
):
    memory = store._cluster
    resigns, terms = trio.Event(), 0

    async def lead(_term: Term) -> None:
        nonlocal terms
        terms += 1
        await resigns.wait()

    async def another_takes_office() -> None:
        await store.create(LEADER, b"http://another", ephemeral=True)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()
            nursery.start_soon(
                partial(
                    stand,
                    memory,
                    GROUP,
                    "http://a",
                    lead,
                    scope=scope,
                    wrapped=lambda opened: UnknownDeletions(opened, another_takes_office),
                )
            )
            await trio.sleep(1)
            resigns.set()
            await trio.sleep(10)

            value, stat = await store.get(LEADER)
            assert (value, stat.owner) == (b"http://another", store.session_id)
            assert terms == 1
            scope.cancel()


@pytest.mark.parametrize("taken", [True, False])
async def test_a_term_ends_when_the_office_is_not_held_any_more(store, taken, autojump_clock):
    began, ended = 0, 0

    async def lead(_term: Term) -> None:
        nonlocal began, ended
        began += 1
        try:
            await trio.sleep_forever()
        finally:
            ended += 1

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()
            nursery.start_soon(partial(stand, store._cluster, GROUP, "http://a", lead, scope=scope))
            await trio.sleep(1)
            await store.set(LEADER, b"http://a")  # news, and the office is held as before
            await trio.sleep(1)
            assert (began, ended) == (1, 0)

            await store.delete(LEADER)
            if taken:
                await store.create(LEADER, b"http://another", ephemeral=True)
            await trio.sleep(1)
            assert (began, ended) == ((1, 1) if taken else (2, 1))
            scope.cancel()
