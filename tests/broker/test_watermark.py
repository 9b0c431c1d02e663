from __future__ import annotations

import pytest
import trio

from broker.errors import NotLeader
from broker.watermark import Watermark


async def wait_and_note(mark: Watermark, offset: int, noted: list[int]) -> None:
    await mark.wait_reached(offset)
    noted.append(offset)


async def test_only_those_wake_whose_offset_was_reached(autojump_clock):
    mark, noted = Watermark(), []
    async with trio.open_nursery() as nursery:
        for offset in (5, 1, 3, 9):
            nursery.start_soon(wait_and_note, mark, offset, noted)
        await trio.sleep(1)

        assert mark.advance(3)
        await trio.sleep(1)
        assert sorted(noted) == [1, 3]

        assert mark.advance(9)
    assert sorted(noted) == [1, 3, 5, 9]


async def test_a_lower_offset_changes_nothing():
    mark = Watermark(7)

    assert not mark.advance(7)
    assert not mark.advance(3)
    assert mark.value == 7


async def test_abort_tells_every_waiter_why():
    mark = Watermark()
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(NotLeader):
                await mark.wait_reached(1)

        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        mark.abort(NotLeader(leader_id=2, leader_epoch=4))


async def test_a_waiter_that_gave_up_leaves_nothing_behind(autojump_clock):
    mark = Watermark()
    with trio.move_on_after(1):
        await mark.wait_reached(5)

    assert mark._waiters == []
    assert mark.advance(6)


async def test_what_is_reached_already_is_not_waited_for_even_past_a_deadline():
    mark = Watermark(5)
    with trio.CancelScope(deadline=-1) as scope:
        await mark.wait_reached(5)

    assert not scope.cancelled_caught
