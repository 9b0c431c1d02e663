"""Processes are killed, paused and restarted under load: nothing acknowledged may be lost."""

from __future__ import annotations

import os
import time

import pytest

from tests.support.needs import need_packages

need_packages("confluent_kafka")
from confluent_kafka.admin import AdminClient, NewTopic

from tests.chaos.load import Load
from tests.support.local_cluster import LocalCluster

pytestmark = pytest.mark.chaos

ROUNDS = int(os.environ.get("OTTLA_CHAOS_ROUNDS", "4"))
TOPIC = "chaos"
SESSION_S = 6.0
IN_SYNC_S = 30.0


class Cluster:
    """The cluster as the faults see it."""

    def __init__(self, local: LocalCluster) -> None:
        self.local = local
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
    cluster.local.start(*victims)
    load.wait_acknowledged(50)
    return cluster.wait_in_sync()


def kill_all(cluster: Cluster, load: Load) -> float:
    cluster.local.kill(*cluster.brokers)
    cluster.local.start(*cluster.brokers)
    load.wait_acknowledged(50)
    return cluster.wait_in_sync()


def pause_leader_past_its_session(cluster: Cluster, load: Load) -> float:
    victim = cluster.leader()
    cluster.local.pause(victim)
    time.sleep(SESSION_S + 2)
    cluster.local.resume(victim)
    load.wait_acknowledged(50)
    return cluster.wait_in_sync()


def restart_coordinator(cluster: Cluster, load: Load) -> float:
    cluster.local.kill("coordinator")
    time.sleep(1)
    cluster.local.start("coordinator")
    load.wait_acknowledged(50)
    # And the cluster can still elect.
    return kill_and_restart(cluster, load, cluster.leader())


def kill_and_restart(cluster: Cluster, load: Load, victim: str) -> float:
    cluster.local.kill(victim)
    load.wait_acknowledged(50)
    cluster.local.start(victim)
    return cluster.wait_in_sync()


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
    zookeeper = request.getfixturevalue("real_zookeeper") if coordinator == "zookeeper" else None
    if zookeeper is not None and fault is restart_coordinator:
        pytest.skip("the test's ZooKeeper is shared; its restart is tested with the store")
    local = LocalCluster(
        tmp_path, zookeeper=None if zookeeper is None else zookeeper.chroot(tmp_path.name)
    )
    try:
        local.up()
        cluster = Cluster(local)
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
