"""The store port, sessions: what goes with them, and many calls at once."""

from __future__ import annotations

from functools import partial

import pytest
import trio
import trio.testing

from coordinator.store import (
    BadVersion,
    Check,
    SessionLost,
)

PATIENCE_S = 5.0


# --- sessions -------------------------------------------------------------------------------------


async def test_sessions_have_ids_of_their_own(sessions):
    assert sessions[0].session_id != sessions[1].session_id


async def test_closing_a_session_removes_its_ephemerals_and_tells_the_others(
    connect, names, make_bell
):
    bell = make_bell()
    async with connect() as observer:
        async with connect() as owner:
            await owner.create("/stays")
            await owner.create("/e", ephemeral=True)
            await observer.exists("/e", watch=bell)
        await bell.wait()

        assert await names(observer) == ["stays"]


async def test_another_session_may_delete_an_ephemeral(sessions):
    one, other = sessions
    await one.create("/e", ephemeral=True)
    await other.delete("/e")

    assert await one.exists("/e") is None


async def test_every_call_of_a_closed_session_raises_session_lost(connect):
    async with connect() as store:
        await store.create("/a")

    calls = [
        partial(store.create, "/b"),
        partial(store.get, "/a"),
        partial(store.exists, "/a"),
        partial(store.children, "/"),
        partial(store.set, "/a", b""),
        partial(store.delete, "/a"),
        partial(store.multi, [Check("/a")]),
    ]
    for call in calls:
        with pytest.raises(SessionLost):
            await call()
    with trio.fail_after(PATIENCE_S):
        await store.wait_lost()


async def test_closing_a_session_calls_its_watches_and_wakes_who_waits_for_its_end(
    connect, nursery, make_bell
):
    bell, lost = make_bell(), trio.Event()

    async def wait_lost(store):
        await store.wait_lost()
        lost.set()

    async with connect() as store:
        await store.exists("/a", watch=bell)
        nursery.start_soon(wait_lost, store)
        await trio.testing.wait_all_tasks_blocked()
        assert not lost.is_set()

    await bell.wait()
    with trio.fail_after(PATIENCE_S):
        await lost.wait()


async def test_the_lease_lasts_for_the_session_timeout_and_never_falls(store):
    leases = []
    for _ in range(20):
        await store.set("/", b"")
        asked_at, lease = trio.current_time(), store.lease_until
        assert asked_at < lease <= trio.current_time() + store.session_timeout_s
        leases.append(lease)

    assert leases == sorted(leases)


async def test_an_exception_of_the_holder_passes_through_unwrapped(connect):
    with pytest.raises(ZeroDivisionError):
        async with connect():
            raise ZeroDivisionError


# --- many at once ---------------------------------------------------------------------------------


async def test_hundreds_of_calls_at_once_are_all_answered_in_order(store):
    await store.create("/q")
    created = {}

    async def create(number):
        created[number], _ = await store.create("/q/", sequence=True)

    async with trio.open_nursery() as nursery:
        for number in range(400):
            nursery.start_soon(create, number)

    assert len(set(created.values())) == 400
    assert len(await store.children("/q")) == 400


async def test_a_cancelled_call_is_abandoned_and_the_session_goes_on(store):
    await store.create("/a", b"0")
    for number in range(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.set, "/a", b"%d" % number)
            await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    await store.set("/a", b"last")
    assert (await store.get("/a"))[0] == b"last"


async def test_of_two_writers_of_a_version_one_wins(sessions):
    await sessions[0].create("/a")
    outcomes = []

    async def write(store):
        try:
            await store.set("/a", b"mine", version=0)
        except BadVersion:
            outcomes.append("lost")
        else:
            outcomes.append("won")

    async with trio.open_nursery() as nursery:
        for store in sessions:
            nursery.start_soon(write, store)

    assert sorted(outcomes) == ["lost", "won"]
