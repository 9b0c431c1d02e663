"""Places: never more are taken than there are, and a change of their number is noticed."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

from broker.places import Places


async def test_a_place_is_waited_for_until_one_is_given_back(nursery):
    places, taken = Places(1), []

    async def take(number: int) -> None:
        await places.take()
        taken.append(number)

    for number in range(3):
        nursery.start_soon(take, number)
    for count in (1, 2, 3):
        await wait_all_tasks_blocked()
        assert len(taken) == count
        places.give_back()


async def test_more_places_are_taken_at_once_and_fewer_hold_for_the_next_ones(nursery):
    places = Places(1)
    await places.take()
    got = trio.Event()

    async def take() -> None:
        await places.take()
        got.set()

    nursery.start_soon(take)
    await wait_all_tasks_blocked()
    assert not got.is_set()
    places.resize(2)
    await got.wait()

    places.resize(1)
    places.give_back()  # one is still taken
    again = trio.Event()

    async def take_again() -> None:
        await places.take()
        again.set()

    nursery.start_soon(take_again)
    await wait_all_tasks_blocked()
    assert not again.is_set()
    places.give_back()
    await again.wait()
