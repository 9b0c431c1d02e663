"""Tells when a cluster that starts accepts acks=all produces, without leaving a trace in it.

Ready means: every broker answers and sees all the others and a controller; every partition has a
leader and a second replica in sync (where it has replicas at all); and the controller, asked to
validate a new topic with the default replication factor, would create it. The last one is the
truthful part: it passes through the active controller and the live brokers, and creates nothing.

Must never know: processes (the caller hands in `check_alive`), the terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from client.connection import open_connection
from client.errors import error_code
from commands.failure import CommandFailed
from protocol.api.create_topics import CreatableTopic, CreateTopicsRequest
from protocol.api.metadata import MetadataRequest
from protocol.errors import ErrorCode, OttlaError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from client.connection import Connection
    from client.environment import Network
    from protocol.api.metadata import MetadataResponse

ASK_INTERVAL_S: Final = 0.03
ANSWER_TIMEOUT_S: Final = 5.0
PROBE_TOPIC: Final = "ottla-readiness-probe"


class Readiness:
    """Waits for the brokers at `addresses` (by id) to be a cluster that serves."""

    def __init__(self, network: Network, addresses: Mapping[int, tuple[str, int]]) -> None:
        self._network = network
        self._addresses = addresses
        self._waiting_for = dict.fromkeys(addresses, "it has not answered yet")
        self._controller_id = -1

    async def wait(self, *, check_alive: Callable[[], None], timeout_s: float) -> None:
        """Return when the cluster serves.

        `check_alive` is called all the while and raises when a process has ended.
        Raises: CommandFailed naming what is missing after `timeout_s`.
        """
        with trio.move_on_after(timeout_s) as scope:
            async with trio.open_nursery() as watch:
                watch.start_soon(self._watch, check_alive)
                async with trio.open_nursery() as brokers:
                    for broker_id in self._addresses:
                        brokers.start_soon(self._wait_broker, broker_id)
                await self._wait_controller()
                watch.cancel_scope.cancel()
        if scope.cancelled_caught:
            raise CommandFailed(
                f"the cluster does not serve after {timeout_s:.0f} s: {self._obstacle()}",
                next_step="see the logs of its processes",
            )

    async def _watch(self, check_alive: Callable[[], None]) -> None:
        while True:
            check_alive()
            await trio.sleep(ASK_INTERVAL_S * 3)

    async def _wait_broker(self, broker_id: int) -> None:
        while True:
            try:
                async with self._connect(broker_id) as connection:
                    await self._wait_content(broker_id, connection)
                    return
            except (OttlaError, OSError):
                await trio.sleep(ASK_INTERVAL_S)

    async def _wait_content(self, broker_id: int, connection: Connection) -> None:
        question = MetadataRequest(topics=None, allow_auto_topic_creation=False)
        while True:
            answer = await connection.call(question, timeout_s=ANSWER_TIMEOUT_S)
            obstacle = obstacle_in(answer, broker_ids=frozenset(self._addresses))
            if obstacle is None:
                self._controller_id = answer.controller_id
                del self._waiting_for[broker_id]
                return
            self._waiting_for[broker_id] = obstacle
            await trio.sleep(ASK_INTERVAL_S)

    async def _wait_controller(self) -> None:
        # A controller outside this directory (--zookeeper shared with others) is reached through
        # any broker: brokers pass on what only the controller may decide.
        asked = self._controller_id
        if asked not in self._addresses:
            asked = min(self._addresses)
        self._waiting_for = {asked: "it would not create a topic yet"}
        while True:
            try:
                async with self._connect(asked) as connection:
                    refusal = await self._refusal(connection)
                    if refusal is None:
                        return
                    self._waiting_for = {asked: f"it would not create a topic yet: {refusal}"}
            except (OttlaError, OSError) as error:
                self._waiting_for = {asked: str(error)}
            await trio.sleep(ASK_INTERVAL_S)

    async def _refusal(self, connection: Connection) -> str | None:
        """Say why the controller would not create a topic; None where it would."""
        probe = CreatableTopic(name=PROBE_TOPIC, num_partitions=-1, replication_factor=-1)
        question = CreateTopicsRequest(topics=[probe], validate_only=True)
        answer = await connection.call(question, timeout_s=ANSWER_TIMEOUT_S)
        result = answer.topics[0]
        if result.error_code in (ErrorCode.NONE, ErrorCode.TOPIC_ALREADY_EXISTS):
            return None
        return result.error_message or error_code(result.error_code).name

    def _connect(self, broker_id: int) -> AbstractAsyncContextManager[Connection]:
        host, port = self._addresses[broker_id]
        return open_connection(self._network, host, port, client_id="ottla-readiness")

    def _obstacle(self) -> str:
        return ", ".join(f"broker {b}: {why}" for b, why in sorted(self._waiting_for.items()))


def obstacle_in(answer: MetadataResponse, *, broker_ids: frozenset[int]) -> str | None:
    """Say what one broker's view still lacks for the cluster to serve; None where nothing."""
    if not answer.brokers:
        return "it has not joined the cluster yet"
    missing = broker_ids - {broker.node_id for broker in answer.brokers}
    if missing:
        return f"it does not see broker {min(missing)}"
    if answer.controller_id < 0:
        return "it sees no controller"
    for topic in answer.topics:
        for partition in topic.partitions:
            name = f"{topic.name}-{partition.partition_index}"
            if partition.leader_id < 0:
                return f"{name} has no leader"
            if len(partition.isr_nodes) < min(2, len(partition.replica_nodes)):
                return f"{name} has one replica in sync"
    return None
