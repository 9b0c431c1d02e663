"""Laws of processes that are stopped and go on."""

from __future__ import annotations

import pytest
import trio

from simulation.process import Process


async def ticking(ticks: list[float]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_tick, ticks)


async def _tick(ticks: list[float]) -> None:
    while True:
        ticks.append(trio.current_time())
        await trio.sleep(1)


@pytest.fixture
def process():
    return Process()


async def test_no_task_of_a_stopped_process_takes_a_step_until_it_goes_on(
    process, nursery, autojump_clock
):
    own: list[float] = []
    other: list[float] = []
    with process.started_here():
        nursery.start_soon(ticking, own)
    nursery.start_soon(ticking, other)

    await trio.sleep(2.5)
    process.stop()
    await trio.sleep(5)
    process.go_on()
    await trio.sleep(1.25)

    assert own == pytest.approx([0, 1, 2, 7.5, 8.5])
    assert other == pytest.approx(list(range(9)))


async def test_a_task_gets_what_woke_it_while_it_stood(process, nursery, autojump_clock):
    sender, receiver = trio.open_memory_channel[int](10)
    got: list[tuple[float, int]] = []

    async def receive() -> None:
        while True:
            number = await receiver.receive()
            got.append((trio.current_time(), number))

    with process.started_here():
        nursery.start_soon(receive)
    await trio.sleep(1)
    process.stop()
    for number in range(3):
        await sender.send(number)
    await trio.sleep(1)
    process.go_on()
    process.stop()
    await trio.sleep(1)
    assert got == []
    process.go_on()
    await trio.sleep(1)

    assert got == [(3, 0), (3, 1), (3, 2)]


async def test_a_timeout_that_passed_while_it_stood_comes_when_it_goes_on(
    process, nursery, autojump_clock
):
    timed_out_at: list[float] = []

    async def wait() -> None:
        with trio.move_on_after(2):
            await trio.sleep_forever()
        timed_out_at.append(trio.current_time())

    with process.started_here():
        nursery.start_soon(wait)
    await trio.sleep(1)
    process.stop()
    await trio.sleep(9)
    process.go_on()
    await trio.sleep(1)

    assert timed_out_at == pytest.approx([10])


async def test_a_cancelled_process_ends_once_it_goes_on(process, autojump_clock):
    ticks: list[float] = []
    async with trio.open_nursery() as nursery:
        with process.started_here():
            nursery.start_soon(ticking, ticks)
        await trio.sleep(1.5)
        process.stop()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await trio.sleep(5)
        process.go_on()

    assert ticks == pytest.approx([0, 1])


async def test_errors_and_results_pass_through(process, nursery):
    with process.started_here():
        assert await nursery.start(_started) == "started"

    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="its own")):
        async with trio.open_nursery() as inner:
            with process.started_here():
                inner.start_soon(_fail)


async def _started(task_status: trio.TaskStatus[str]) -> None:
    await trio.lowlevel.checkpoint()
    task_status.started("started")


async def _fail() -> None:
    await trio.lowlevel.checkpoint()
    raise ValueError("its own")
