"""Processes are killed, paused and restarted under load: nothing acknowledged may be lost."""

from __future__ import annotations

import os
import time

import pytest

from tests.support.needs import need_packages

need_packages("confluent_kafka")
from confluent_kafka.admin import AdminClient, NewTopic

from tests.support.coordinator_process import CoordinatorProcess
from tests.support.load import Load
from tests.support.local_cluster import LocalCluster
from tests.support.zookeeper import RealZooKeeper

pytestmark = pytest.mark.chaos

ROUNDS = int(os.environ.get("OTTLA_CHAOS_ROUNDS", "4"))
TOPIC = "chaos"
SESSION_S = 6.0
IN_SYNC_S = 30.0


class Cluster:
    """The cluster as the faults see it."""

    def __init__(self, local: LocalCluster, zookeeper: RealZooKeeper | None = None) -> None:
        self.local = local
        self.coordinator = CoordinatorProcess(local, zookeeper)
        self.admin = AdminClient({"bootstrap.servers": local.bootstrap})
        self.brokers = sorted(name for name in local.nodes() if name != "coordinator")

    def create_topic(self) -> None:
        topic = NewTopic(TOPIC, num_partitions=3, replication_factor=3)
        for created in self.admin.create_topics([topic]).values():
            created.result(timeout=20)

    def leader(self) -> str:
        return str(self._metadata().topics[TOPIC].partitions[0].leader)

    def follower(self) -> str:
        return next(b for b in self.brokers if b not in (self.leader(), self.controller()))

    def controller(self) -> str:
        return str(self._metadata().controller_id)

    def wait_in_sync(self) -> float:
        """Wait until every replica is in sync. Returns: how long that took."""
        started = time.monotonic()
        while time.monotonic() < started + IN_SYNC_S:
            partitions = self._metadata().topics[TOPIC].partitions.values()
            if len(partitions) == 3 and all(len(p.isrs) == 3 for p in partitions):
                return time.monotonic() - started
            time.sleep(0.05)
        raise AssertionError(f"replicas are not back in sync\n{self.local.logs()}")

    def _metadata(self):
        return self.admin.list_topics(timeout=20)


def kill_leader(cluster: Cluster, load: Load) -> float:
    return kill_and_restart(cluster, load, cluster.leader())


def kill_controller(cluster: Cluster, load: Load) -> float:
    return kill_and_restart(cluster, load, cluster.controller())


def kill_follower(cluster: Cluster, load: Load) -> float:
    return kill_and_restart(cluster, load, cluster.follower())


def kill_leader_and_controller(cluster: Cluster, load: Load) -> float:
    victims = {cluster.leader(), cluster.controller()}
    cluster.local.kill(*victims)
    time.sleep(0.5)
    back_in_s = start_and_wait_in_sync(cluster, *victims)
    load.wait_acknowledged(50)
    return back_in_s


def kill_all(cluster: Cluster, load: Load) -> float:
    cluster.local.kill(*cluster.brokers)
    back_in_s = start_and_wait_in_sync(cluster, *cluster.brokers)
    load.wait_acknowledged(50)
    return back_in_s


def pause_leader_past_its_session(cluster: Cluster, load: Load) -> float:
    victim = cluster.leader()
    cluster.local.pause(victim)
    time.sleep(SESSION_S + 2)
    cluster.local.resume(victim)
    load.wait_acknowledged(50)
    return cluster.wait_in_sync()


def restart_coordinator(cluster: Cluster, load: Load) -> float:
    cluster.coordinator.kill()
    time.sleep(1)
    cluster.coordinator.start()
    load.wait_acknowledged(50)
    # And the cluster can still elect.
    return kill_and_restart(cluster, load, cluster.leader())


def kill_and_restart(cluster: Cluster, load: Load, victim: str) -> float:
    cluster.local.kill(victim)
    load.wait_acknowledged(50)
    return start_and_wait_in_sync(cluster, victim)


def start_and_wait_in_sync(cluster: Cluster, *victims: str) -> float:
    """Returns: seconds from the command that starts the processes to all replicas in sync."""
    started = time.monotonic()
    cluster.local.start(*victims)
    cluster.wait_in_sync()
    return time.monotonic() - started


FAULTS = [
    kill_leader,
    kill_controller,
    kill_follower,
    kill_leader_and_controller,
    kill_all,
    pause_leader_past_its_session,
    restart_coordinator,
]


@pytest.mark.parametrize("coordinator", ["embedded", "zookeeper"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_nothing_acknowledged_is_lost(fault, coordinator, request, tmp_path, capsys):
    zookeeper = None
    if coordinator == "zookeeper":
        zookeeper = request.getfixturevalue("mortal_zookeeper")
    local = LocalCluster(tmp_path, zookeeper=None if zookeeper is None else zookeeper.hosts)
    try:
        local.up()
        cluster = Cluster(local, zookeeper)
        cluster.create_topic()
        load = Load(local.bootstrap, TOPIC)
        load.start()
        load.wait_acknowledged(50)
        gaps, back_in_sync = [], []
        for _ in range(ROUNDS):
            load.reset_gaps()
            back_in_sync.append(fault(cluster, load))
            load.wait_acknowledged(20)
            gaps.append(load.longest_gap_s)
        load.stop()
        load.check()
    except BaseException:
        print(local.logs())
        raise
    finally:
        local.close()
    with capsys.disabled():
        print(
            f"\n{fault.__name__} on {coordinator}: longest gap {shown(gaps)},"
            f" back in sync {shown(back_in_sync)}; {load.summary()}"
        )


def shown(seconds: list[float]) -> str:
    return f"{sorted(seconds)[len(seconds) // 2]:.2f} s (worst {max(seconds):.2f})"
