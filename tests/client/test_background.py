from __future__ import annotations

import pytest
import trio

from client.background import background_tasks


async def fail_with(error):
    async with background_tasks() as nursery:
        nursery.start_soon(trio.sleep_forever)
        raise error


async def test_tasks_are_cancelled_on_the_way_out():
    async with background_tasks() as nursery:
        nursery.start_soon(trio.sleep_forever)


async def test_an_error_of_the_body_leaves_bare():
    with pytest.raises(LookupError, match="mine"):
        await fail_with(LookupError("mine"))


async def test_a_cancellation_of_the_body_passes_through(autojump_clock):
    with trio.move_on_after(1) as scope:
        async with background_tasks():
            await trio.sleep_forever()

    assert scope.cancelled_caught


async def test_an_error_of_a_task_is_a_bug_and_leaves_in_a_group():
    async def bug():
        raise LookupError("bug")

    async def run():
        async with background_tasks() as nursery:
            nursery.start_soon(bug)
            await trio.sleep_forever()

    with pytest.RaisesGroup(LookupError):
        await run()
