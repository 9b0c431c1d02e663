"""Things are woken at their deadlines."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from broker.groups.deadlines import PLANS_PASSED_OVER_MAX, Deadlines

NEVER = float("inf")


class Thing:
    def __init__(self, deadline: float = NEVER) -> None:
        self.deadline = deadline
        self.woken_at: list[float] = []

    def wake(self) -> None:
        self.woken_at.append(trio.current_time())
        self.deadline = NEVER


@pytest.fixture
async def deadlines(nursery):
    deadlines = Deadlines[Thing](Thing.wake)
    nursery.start_soon(deadlines.run)
    yield deadlines
    nursery.cancel_scope.cancel()


async def test_a_thing_is_woken_at_its_deadline_once(deadlines, autojump_clock):
    thing = Thing(5.0)
    deadlines.update(thing)
    await trio.sleep(100)

    assert thing.woken_at == [5.0]


async def test_a_deadline_that_moves_later_needs_no_word(deadlines, autojump_clock):
    thing = Thing(5.0)
    deadlines.update(thing)
    thing.deadline = 8.0
    await trio.sleep(100)

    assert thing.woken_at == [8.0]


async def test_a_deadline_that_moves_sooner_is_kept(deadlines, autojump_clock):
    late, soon = Thing(50.0), Thing(40.0)
    deadlines.update(late)
    deadlines.update(soon)
    await trio.sleep(1)
    late.deadline = 2.0
    deadlines.update(late)
    await trio.sleep(100)

    assert (late.woken_at, soon.woken_at) == ([2.0], [40.0])


async def test_what_is_forgotten_is_not_woken(deadlines, autojump_clock):
    thing = Thing(5.0)
    deadlines.update(thing)
    deadlines.forget(thing)
    await trio.sleep(100)
    assert thing.woken_at == []

    thing.deadline = 105.0
    deadlines.update(thing)
    await trio.sleep(100)
    assert thing.woken_at == [105.0]


async def test_what_is_due_may_forget_itself_and_others(nursery, autojump_clock):
    first, second = Thing(5.0), Thing(5.0)

    def wake(thing: Thing) -> None:
        thing.woken_at.append(trio.current_time())
        for each in (first, second):
            deadlines.forget(each)

    deadlines = Deadlines[Thing](wake)
    deadlines.update(first)
    deadlines.update(second)
    nursery.start_soon(deadlines.run)
    await trio.sleep(100)
    assert (first.woken_at, second.woken_at) == ([5.0], [])
    nursery.cancel_scope.cancel()


async def test_what_is_due_again_at_once_lets_others_run(nursery, autojump_clock):
    # A thing that is never done would keep the loop busy; it must not keep everybody from it.
    wakes = 0

    def wake(_thing: Thing) -> None:
        nonlocal wakes
        wakes += 1

    deadlines = Deadlines[Thing](wake)
    deadlines.update(Thing(5.0))
    nursery.start_soon(deadlines.run)
    await trio.sleep(5.0)
    for _ in range(20):
        await trio.lowlevel.checkpoint()
    assert wakes > 1
    nursery.cancel_scope.cancel()


async def test_deadlines_that_are_none_any_more_are_cleared_away(deadlines, autojump_clock):
    thing = Thing()
    for number in range(10 * PLANS_PASSED_OVER_MAX):
        thing.deadline = 10_000.0 - number / 100
        deadlines.update(thing)
    assert len(deadlines._heap) <= PLANS_PASSED_OVER_MAX + 3
    await trio.sleep(20_000)

    assert thing.woken_at == [thing_deadline(10 * PLANS_PASSED_OVER_MAX - 1)]


def thing_deadline(number: int) -> float:
    return 10_000.0 - number / 100


@settings(max_examples=50, deadline=None)
@given(
    plan=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 20), st.sampled_from(["set", "forget"])),
        max_size=20,
    )
)
def test_every_thing_is_woken_when_it_said_last(plan):
    trio.run(play, plan, clock=MockClock(autojump_threshold=0))


async def play(plan) -> None:
    things = [Thing() for _ in range(4)]
    expected: dict[int, float] = {}
    deadlines = Deadlines[Thing](Thing.wake)
    began = trio.current_time()
    for which, delay, act in plan:
        thing = things[which]
        if act == "forget":
            deadlines.forget(thing)
            thing.deadline = NEVER
            expected.pop(which, None)
        else:
            thing.deadline = expected[which] = began + 1 + delay
            deadlines.update(thing)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        await trio.sleep(100)
        nursery.cancel_scope.cancel()

    woken = {n: thing.woken_at for n, thing in enumerate(things) if thing.woken_at}
    assert woken == {n: [at] for n, at in expected.items()}
