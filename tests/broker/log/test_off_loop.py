"""Blocking work on other threads, and who waits for it."""

from __future__ import annotations

import threading

import pytest
import trio
import trio.testing

from broker.log.off_loop import OffLoop


async def test_the_result_comes_from_another_thread_while_the_loop_goes_on():
    may_end = threading.Event()

    def work() -> int:
        assert may_end.wait(10)
        return threading.get_ident()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(release_soon, may_end)
        assert await OffLoop().run(work) != threading.get_ident()


async def release_soon(event: threading.Event) -> None:
    await trio.sleep(0.01)
    event.set()


async def test_what_the_work_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        await OffLoop().run(lambda: 1 // 0)


async def test_work_that_was_begun_is_waited_for_by_a_task_that_is_cancelled():
    may_end = threading.Event()

    def work() -> str:
        assert may_end.wait(10)
        return "done"

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(cancel_then_release, scope, may_end)
            result = await OffLoop().run(work)
            assert scope.cancel_called
            assert result == "done"
            await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught


async def test_a_task_that_is_cancelled_meanwhile_still_hears_that_the_work_failed():
    may_end = threading.Event()

    def work() -> None:
        assert may_end.wait(10)
        raise OSError("the disk is on fire")

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(cancel_then_release, scope, may_end)
            with pytest.raises(OSError, match="on fire"):
                await OffLoop().run(work)
            assert scope.cancel_called


async def cancel_then_release(scope: trio.CancelScope, event: threading.Event) -> None:
    scope.cancel()
    await trio.testing.wait_all_tasks_blocked()
    event.set()


async def test_a_task_that_is_cancelled_already_begins_nothing():
    begun: list[bool] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        await OffLoop().run(lambda: begun.append(True))

    assert scope.cancelled_caught
    assert not begun


async def test_each_of_many_that_wait_gets_its_own_result():
    off_loop, found = OffLoop(), {}
    meeting = threading.Barrier(8)

    async def wait(number: int) -> None:
        def work() -> int:
            meeting.wait(10)  # all of them are under way at once
            return number

        found[number] = await off_loop.run(work)

    for _ in range(3):
        found.clear()
        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(wait, number)
        assert found == {number: number for number in range(8)}
