"""The embedded server ends each session in its own time."""

from __future__ import annotations

import pytest
import trio
import trio.testing


async def test_a_session_shorter_than_those_before_it_expires_in_its_own_time(
    autojump_clock, world
):
    async with world.client(timeout_ms=40_000) as observer:
        await trio.testing.wait_all_tasks_blocked()
        async with world.client(timeout_ms=2_000) as owner:
            await owner.create("/e", flags=1)
            silent_since = trio.current_time()
            await observer.exists("/e", watch=True)
            with trio.fail_after(60):
                while not observer.events:
                    await trio.sleep(0.5)
                    await observer.exists("/")

        assert trio.current_time() - silent_since == pytest.approx(2.0, abs=0.6)
