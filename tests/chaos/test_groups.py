"""Brokers, controller and coordinator are killed under groups that consume: nothing is skipped.

Committed offsets never go back. How long the work stood still is printed, beside how many members
had to give partitions up; neither is judged. `python -m bench.group_failover` compares with Kafka.
"""

from __future__ import annotations

import os
import time
from functools import partial

import pytest

from tests.support.needs import need_packages

need_packages("confluent_kafka", "kafka", "aiokafka")

from tests.support.coordinator_process import CoordinatorProcess
from tests.support.groups.faults import Victims, suffer
from tests.support.groups.run import GroupRun
from tests.support.groups.standstill import summary
from tests.support.local_cluster import LocalCluster
from tests.support.real_kafka import RealKafka, require_kafka
from tests.support.under_test import AGAINST_KAFKA, cluster_under_test
from tests.support.zookeeper import RealZooKeeper

pytestmark = [pytest.mark.chaos, pytest.mark.filterwarnings("default")]

ROUNDS = int(os.environ.get("OTTLA_CHAOS_ROUNDS", "2"))
PARTITIONS = 6
BROKER_SESSION_S = 6.0
MEMBER_SESSION_MS = 10_000
TOPIC = "chaos-groups"
GROUPS = {
    "eager": ("range", ["confluent", "kafka-python", "aiokafka", "ottla"]),
    "cooperative": ("cooperative-sticky", ["confluent", "java", "ottla"]),
}


def kill_and_restart(victims: Victims, *names: str) -> None:
    victims.cluster.kill(*names)
    victims.run.wait_processed()
    victims.start(*names)


def kill_owner(victims: Victims) -> None:
    kill_and_restart(victims, victims.owner())


def kill_controller(victims: Victims) -> None:
    kill_and_restart(victims, victims.controller())


def kill_leader(victims: Victims) -> None:
    kill_and_restart(victims, victims.leader())


def kill_all_brokers(victims: Victims) -> None:
    victims.cluster.kill(*victims.brokers)
    victims.start(*victims.brokers)


def pause_owner_past_its_session(victims: Victims) -> None:
    owner = victims.owner()
    victims.cluster.pause(owner)
    time.sleep(BROKER_SESSION_S + 2)
    victims.cluster.resume(owner)


def restart_coordinator(_victims: Victims, coordinator: CoordinatorProcess) -> None:
    coordinator.kill()
    time.sleep(1)
    coordinator.start()


def kill_coordinator_and_owner(victims: Victims, coordinator: CoordinatorProcess) -> None:
    """Nobody can be given the group before both are back."""
    owner = victims.owner()
    coordinator.kill()
    victims.cluster.kill(owner)
    time.sleep(1)
    coordinator.start()
    victims.start(owner)


BROKER_FAULTS = [
    kill_owner,
    kill_controller,
    kill_leader,
    kill_all_brokers,
    pause_owner_past_its_session,
]
SLOW_FAULTS = [pause_owner_past_its_session]
COORDINATOR_FAULTS = [restart_coordinator, kill_coordinator_and_owner]
FAULTS = BROKER_FAULTS if AGAINST_KAFKA else [*BROKER_FAULTS, *COORDINATOR_FAULTS]
COORDINATORS = ["kafka"] if AGAINST_KAFKA else ["embedded", "zookeeper"]


@pytest.mark.parametrize("coordinator", COORDINATORS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_group_skips_nothing_and_its_commits_stay(fault, coordinator, request, tmp_path, capsys):
    require_kafka()
    zookeeper = None
    if coordinator == "zookeeper":
        zookeeper = request.getfixturevalue("mortal_zookeeper")
    # Both kinds of group meet every fault, each with one of the two coordinators.
    eager = (FAULTS.index(fault) + COORDINATORS.index(coordinator)) % 2 == 0
    assignor, clients = GROUPS["eager" if eager else "cooperative"]
    cluster = start_cluster(tmp_path, zookeeper)
    try:
        cluster.up()
        with GroupRun(
            cluster.bootstrap, tmp_path, group="chaos", session_timeout_ms=MEMBER_SESSION_MS
        ) as run:
            run.add_topic(TOPIC, partitions=PARTITIONS)
            members = [run.join(client, assignor=assignor) for client in clients]
            run.wait_shared(*members)
            run.wait_processed()
            act = partial(fault, Victims(cluster, run, TOPIC))
            if fault in COORDINATOR_FAULTS:
                act = partial(act, CoordinatorProcess(cluster, zookeeper))
            rounds = 1 if fault in SLOW_FAULTS else ROUNDS
            found = [suffer(run, act) for _ in range(rounds)]
            run.wait_shared(*members)
            run.finish(evictions=True)
    except BaseException:
        print(cluster.logs())
        raise
    finally:
        cluster.close()
    with capsys.disabled():
        print(f"\n{fault.__name__} on {coordinator}, {assignor}: stood still for {summary(found)}")


def start_cluster(directory, zookeeper: RealZooKeeper | None) -> LocalCluster | RealKafka:
    settings = ("group.initial.rebalance.delay.ms=0",)
    if zookeeper is None:
        return cluster_under_test(directory, settings=settings)
    return LocalCluster(directory, zookeeper=zookeeper.hosts, settings=settings)
