"""A ZooKeeper session's heartbeat, over a client that only notes what it is asked for."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager

import pytest
import trio
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.protocol.states import KazooState
from structlog.testing import capture_logs
from trio.testing import wait_all_tasks_blocked

from coordinator.zookeeper.client import Opened
from coordinator.zookeeper.session import Session

TIMEOUT_S = 6.0
BEAT_S = TIMEOUT_S / 3


class NotingClient:
    """What a session asks of kazoo, and when."""

    def __init__(self, *, has_other_servers=True):
        self.has_other_servers = has_other_servers
        self.answers = True
        self.ticked_at = []
        self.asked_at = []
        self.left_at = []
        self.opened = None
        self._handler = SequentialThreadingHandler()
        self._hear_state = None

    def add_listener(self, hear_state):
        self._hear_state = hear_state

    def start_async(self):
        pass

    def finish(self):
        pass

    def let_go(self):
        pass

    def tick(self):
        self.ticked_at.append(trio.current_time())

    def sync_async(self, _path):
        self.asked_at.append(trio.current_time())
        result = self._handler.async_result()
        if self.answers:
            result.set("/")
        return result

    def leave_server(self):
        self.left_at.append(trio.current_time())

    def connect(self):
        """Tell the session that a server has accepted it."""
        self.opened = Opened(1, TIMEOUT_S, time.monotonic())
        self._hear_state(KazooState.CONNECTED)

    def suspend(self):
        """Tell the session that the connection has ended."""
        self._hear_state(KazooState.SUSPENDED)


@asynccontextmanager
async def session_of(client, *, asked_s=TIMEOUT_S):
    """Open a session that is connected, and has sent its first heartbeat, at time 0."""
    session = Session(client, session_timeout_s=asked_s)
    session.start()
    client.connect()
    await session.wait_connected()
    await wait_all_tasks_blocked()
    try:
        yield session
    finally:
        await session.close()


async def test_a_server_is_left_once_a_heartbeat_was_not_answered_by_the_next(autojump_clock):
    client = NotingClient()
    async with session_of(client):
        await trio.sleep(1.5 * BEAT_S)
        client.answers = False
        await trio.sleep(2 * BEAT_S)

    assert client.left_at == pytest.approx([3 * BEAT_S])


@pytest.mark.parametrize(("answers", "has_other_servers"), [(True, True), (False, False)])
async def test_a_server_that_answers_and_one_without_others_are_not_left(
    autojump_clock, answers, has_other_servers
):
    client = NotingClient(has_other_servers=has_other_servers)
    client.answers = answers
    async with session_of(client):
        await trio.sleep(10 * TIMEOUT_S)

    assert client.left_at == []


async def test_the_next_server_is_not_left_for_what_the_one_before_did_not_answer(autojump_clock):
    client = NotingClient()
    async with session_of(client):
        client.answers = False
        await trio.sleep(1.5 * BEAT_S)
        client.suspend()
        client.answers = True
        client.connect()
        await trio.sleep(2 * TIMEOUT_S)

    assert client.left_at == []


async def test_heartbeats_are_timed_by_what_was_granted_from_the_first(autojump_clock):
    client = NotingClient()
    async with session_of(client, asked_s=100 * TIMEOUT_S) as session:
        assert session.session_timeout_s == TIMEOUT_S
        await trio.sleep(2.5 * BEAT_S)
        await session.wait_connected()

    assert client.asked_at == pytest.approx([0, BEAT_S, 2 * BEAT_S])
    assert client.ticked_at[-3:] == client.asked_at


async def test_a_timeout_that_the_server_shortens_is_told_with_what_to_do(autojump_clock):
    client = NotingClient()
    with capture_logs() as logs:
        async with session_of(client, asked_s=9.0):
            client.suspend()
            client.connect()
            await trio.sleep(1)

    told = [each for each in logs if each["event"] == "zookeeper_session_timeout_shortened"]
    assert [(each["asked_s"], each["granted_s"]) for each in told] == [(9.0, TIMEOUT_S)]
    assert "maxSessionTimeout" in told[0]["hint"]
