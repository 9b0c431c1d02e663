"""What differs where a connection is a socket: answers are sent without a wait."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio

from tests.broker.desk import Desk, connected, heartbeat
from tests.support.loopback import loopback


@pytest.mark.parametrize("name", ["wait-nonsense", "delayed-nonsense"])
async def test_nothing_is_answered_behind_what_closes_the_connection(name):
    desk = Desk()
    async with (
        loopback() as (theirs, ours),
        connected(desk, streams=(ours, theirs)) as (client, _),
    ):
        await client.send(heartbeat(name, 1), heartbeat("now", 2), heartbeat("now", 3))
        while len(desk.begun) < 3:
            await trio.lowlevel.checkpoint()
        desk.open(name)

        assert await client.is_closed()


async def test_one_who_sends_a_thousand_requests_at_once_leaves_others_their_turn():
    desk, rounds, done = Desk(), [0], trio.Event()

    async def count() -> None:
        while not done.is_set():
            rounds.append(len(desk.begun))
            await trio.lowlevel.checkpoint()

    async with (
        loopback() as (theirs, ours),
        connected(desk, streams=(ours, theirs), connection_requests_max=20) as (client, _),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(count)
        await client.send(*(heartbeat("now", number) for number in range(1_000)))
        for number in range(1_000):
            assert await client.heartbeat_answer() == (number, 0)
        done.set()

    begun_in_between = [after - before for before, after in pairwise(rounds)]
    assert max(begun_in_between) <= 2 * 20, "the order within a round is random: two turns at most"


async def test_draining_answers_what_waits():
    desk = Desk()
    async with (
        loopback() as (theirs, ours),
        connected(desk, streams=(ours, theirs)) as (client, connection),
    ):
        await client.send(heartbeat("wait-1", 1))
        while not desk.begun:
            await trio.lowlevel.checkpoint()
        connection.drain()
        desk.open("wait-1")

        assert await client.heartbeat_answer() == (1, 0)
        assert await client.is_closed()
