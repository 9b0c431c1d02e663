"""Processes are killed while partitions move: all arrives, and nothing is left behind."""

from __future__ import annotations

import os
import random
import time
from functools import partial

import pytest
import trio

from tests.support.needs import need_packages

need_packages("confluent_kafka")
from confluent_kafka.admin import AdminClient, NewTopic

from client.connection import open_connection
from client.environment import Environment
from protocol.api.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from protocol.errors import ErrorCode, OttlaError
from tests.support.load import Load
from tests.support.local_cluster import LocalCluster

pytestmark = pytest.mark.chaos

ROUNDS = int(os.environ.get("OTTLA_CHAOS_ROUNDS", "1"))
DURATION_S = float(os.environ.get("OTTLA_CHAOS_MANY_S", "60"))
MANY = 24
"""Partitions enough that while one is in trouble others are, too."""
TOPIC = "moving"
BROKERS = (1, 2, 3, 4)
ARRIVED_S = 60.0


class Moving:
    """A cluster with a topic whose partitions are sent from broker to broker."""

    def __init__(self, local: LocalCluster, *, partitions: int = 3) -> None:
        self.local = local
        self.admin = AdminClient({"bootstrap.servers": local.bootstrap})
        self.replicas = {index: [1, 2, 3] for index in range(partitions)}
        assignment = list(self.replicas.values())
        new = NewTopic(TOPIC, num_partitions=partitions, replica_assignment=assignment)
        for created in self.admin.create_topics([new]).values():
            created.result(timeout=20)

    def metadata(self):
        return self.admin.list_topics(timeout=20)

    def send(self, step: int) -> None:
        """Have every partition go to three other brokers, at whatever broker answers."""
        self.replicas = {i: [(b + step + i) % 4 + 1 for b in range(3)] for i in self.replicas}
        partitions = [
            ReassignablePartition(partition_index=i, replicas=r) for i, r in self.replicas.items()
        ]
        topic = ReassignableTopic(name=TOPIC, partitions=partitions)
        request = AlterPartitionReassignmentsRequest(topics=[topic])
        answer = trio.run(partial(ask, self.local, request))
        (result,) = answer.responses
        assert [p.error_code for p in result.partitions] == [ErrorCode.NONE] * len(self.replicas)

    def wait_arrived(self) -> None:
        deadline = time.monotonic() + ARRIVED_S
        while not (self._is_in_sync() and self._holders() == self._listed()):
            assert time.monotonic() < deadline, (
                f"wanted {self.replicas}, held {self._holders()}\n{self.local.logs()}"
            )
            time.sleep(0.05)

    def _is_in_sync(self) -> bool:
        found = self.metadata().topics[TOPIC].partitions
        return all(
            found[i].replicas == wanted and sorted(found[i].isrs) == sorted(wanted)
            for i, wanted in self.replicas.items()
        )

    def _listed(self) -> set[str]:
        return {f"broker-{b}/{TOPIC}-{i}" for i, brokers in self.replicas.items() for b in brokers}

    def _holders(self) -> set[str]:
        """Name every directory of the topic, also those that are on their way out."""
        root = self.local.directory
        return {f"{p.parent.name}/{p.name}" for p in root.glob(f"broker-*/{TOPIC}-*")}


async def ask(local: LocalCluster, request: AlterPartitionReassignmentsRequest):
    network = Environment.real().network
    for name, node in local.nodes().items():
        if name != "coordinator":
            try:
                async with open_connection(
                    network, "127.0.0.1", node.port, client_id="chaos", negotiate=False
                ) as connection:
                    return await connection.call(request, version=0, timeout_s=20)
            except (OSError, OttlaError):
                continue
    raise AssertionError("no broker answers")


def leader(moving: Moving) -> set[str]:
    return {str(moving.metadata().topics[TOPIC].partitions[0].leader)}


def controller(moving: Moving) -> set[str]:
    return {str(moving.metadata().controller_id)}


def who_comes(moving: Moving) -> set[str]:
    return {str(moving.replicas[0][0])}


def who_goes(moving: Moving) -> set[str]:
    return {str(b) for b in BROKERS if b not in moving.replicas[0]}


def everybody(moving: Moving) -> set[str]:
    return {str(b) for b in BROKERS}


VICTIMS = (leader, controller, who_comes, who_goes, everybody)


def test_partitions_arrive_and_leave_nothing_behind_whoever_is_killed_meanwhile(tmp_path):
    local = LocalCluster(tmp_path, brokers=4)
    try:
        local.up()
        moving = Moving(local)
        load = Load(local.bootstrap, TOPIC)
        load.start()
        for step, victims in enumerate(VICTIMS * ROUNDS):
            load.wait_acknowledged(50)
            moving.send(step)
            killed = victims(moving)
            local.kill(*killed)
            time.sleep(0.5)
            local.start(*sorted(killed))
            moving.wait_arrived()
        load.wait_acknowledged(50)
        load.stop()
        load.check()
        local.down()
    finally:
        local.close()


def test_nothing_is_written_twice_while_many_partitions_move_and_brokers_are_killed(tmp_path):
    """librdkafka has one epoch for all partitions: what it does about one may harm another."""
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    chance = random.Random(seed)
    local = LocalCluster(tmp_path, brokers=4)
    try:
        local.up()
        moving = Moving(local, partitions=MANY)
        load = Load(local.bootstrap, TOPIC, partitions=MANY, pause_s=0.02)
        load.start()
        until = time.monotonic() + DURATION_S
        step = 0
        while time.monotonic() < until:
            load.wait_acknowledged(10, timeout_s=ARRIVED_S)
            step += 1
            if chance.random() < 0.5:
                moving.send(step)
            time.sleep(chance.choice([0, 0.2, 0.5]))
            killed = chance.choice([leader, controller, everybody, everybody])(moving)
            local.kill(*killed)
            time.sleep(chance.choice([0, 0.2, 0.5]))
            local.start(*sorted(killed))
            if chance.random() < 0.7:
                moving.wait_arrived()
        load.wait_acknowledged(10, timeout_s=ARRIVED_S)
        moving.wait_arrived()
        load.stop()
        load.check()
        local.down()
    finally:
        local.close()
