"""The store port, watches: one-shot and level-triggered."""

from __future__ import annotations

import pytest

from coordinator.store import (
    Check,
    Create,
    Delete,
    MultiFailed,
    NoNode,
    Set,
)


async def test_a_watch_of_a_value_is_called_once(sessions, make_bell):
    one, other = sessions
    await one.create("/a", b"0")
    bell = make_bell()
    await one.get("/a", watch=bell)
    await other.set("/a", b"1")
    await bell.wait()
    await other.set("/a", b"2")
    await one.exists("/a")

    assert bell.count == 1


@pytest.mark.parametrize("read", ["get", "exists"])
async def test_a_watch_of_a_znode_is_called_when_it_is_deleted(sessions, read, make_bell):
    one, other = sessions
    await one.create("/a")
    bell = make_bell()
    await getattr(one, read)("/a", watch=bell)
    await other.delete("/a")

    await bell.wait()


async def test_a_watch_of_what_does_not_exist_is_called_when_it_is_created(sessions, make_bell):
    one, other = sessions
    bell = make_bell()
    assert await one.exists("/a", watch=bell) is None
    await other.create("/a")

    await bell.wait()


async def test_a_watch_of_a_read_that_was_refused_is_never_called(store, make_bell):
    bell = make_bell()
    with pytest.raises(NoNode):
        await store.get("/a", watch=bell)
    await store.create("/a")
    await store.set("/a", b"1")
    await store.delete("/a")

    assert bell.count == 0


@pytest.mark.parametrize("change", [Create("/p/new"), Delete("/p/old")])
async def test_a_watch_of_children_is_called_when_one_comes_or_goes(sessions, change, make_bell):
    one, other = sessions
    await one.create("/p")
    await one.create("/p/old")
    bell = make_bell()
    await one.children("/p", watch=bell)
    await other.multi([change])

    await bell.wait()


async def test_a_watch_of_children_is_called_when_the_parent_is_deleted(sessions, make_bell):
    one, other = sessions
    await one.create("/p")
    bell = make_bell()
    await one.children("/p", watch=bell)
    await other.delete("/p")

    await bell.wait()


async def test_a_watch_of_children_sleeps_through_changes_of_values(sessions, make_bell):
    one, other = sessions
    await one.create("/p")
    await one.create("/p/child")
    bell = make_bell()
    await one.children("/p", watch=bell)
    await other.set("/p", b"1")
    await other.set("/p/child", b"1")
    await one.exists("/p")
    assert bell.count == 0

    await other.delete("/p/child")
    await bell.wait()


async def test_a_watch_of_a_value_sleeps_through_changes_of_children(sessions, make_bell):
    one, other = sessions
    await one.create("/p")
    bell = make_bell()
    await one.get("/p", watch=bell)
    await other.create("/p/child")
    await one.exists("/p")
    assert bell.count == 0

    await other.set("/p", b"1")
    await bell.wait()


async def test_every_watch_of_a_znode_is_called(store, make_bell):
    await store.create("/a")
    bells = [make_bell() for _ in range(3)]
    await store.get("/a", watch=bells[0])
    await store.exists("/a", watch=bells[1])
    await store.children("/a", watch=bells[2])
    await store.delete("/a")

    for bell in bells:
        await bell.wait()


async def test_a_refused_write_calls_no_watch(store, make_bell):
    await store.create("/a")
    bell = make_bell()
    await store.get("/a", watch=bell)
    with pytest.raises(MultiFailed):
        await store.multi([Set("/a", b"1"), Check("/missing")])
    await store.exists("/a")

    assert bell.count == 0


async def test_what_a_watch_tells_is_seen_by_the_read_after_it(sessions, make_bell):
    one, other = sessions
    await one.create("/a", b"0")
    for value in (b"1", b"2", b"3"):
        bell = make_bell()
        await one.get("/a", watch=bell)
        await other.set("/a", value)
        await bell.wait()
        assert (await one.get("/a"))[0] == value
