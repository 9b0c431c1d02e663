"""How long a group stands still when its broker, or the controller, dies: beside Apache Kafka.

    python -m bench.group_failover [--rounds 5] [--client confluent] [--cooperative]

Three brokers each, the same load and the same members (processes of one client) on this machine,
one system after the other. A round: kill -9, wait until every partition is read and committed
again, start the broker, wait until all replicas are in sync. Printed: the longest time that any
partition went unread, median and worst, and how many members had to give partitions up.
Apache Kafka's jars are in tests/interop/java/target (see .ci/run).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.support.groups.member import now_ms
from tests.support.groups.run import GroupRun
from tests.support.groups.standstill import Standstill, standstill
from tests.support.local_cluster import LocalCluster
from tests.support.real_kafka import Jvm, RealKafka
from tests.support.roles import controller_of, owner_of, wait_in_sync

TOPIC = "failover"
PARTITIONS = 6
MEMBERS = 3
SETTINGS = ("group.initial.rebalance.delay.ms=0",)


def owner(cluster: LocalCluster | RealKafka, run: GroupRun) -> str:
    port = owner_of(cluster.bootstrap, run.group)
    return next(node.name for node in cluster.nodes().values() if node.port == port)


def controller(cluster: LocalCluster | RealKafka, _run: GroupRun) -> str:
    return str(controller_of(cluster.bootstrap))


def lose(
    cluster: LocalCluster | RealKafka, run: GroupRun, victim: Callable[..., str]
) -> Standstill:
    """Kill one broker and have it back. Returns: how the group fared."""
    name = victim(cluster, run)
    since_ms = now_ms()
    cluster.kill(name)
    run.wait_processed()
    until_ms = now_ms()
    cluster.start(name)
    wait_in_sync(cluster.bootstrap, TOPIC)
    run.wait_processed()
    histories = [member.history for member in run.members.values()]
    return standstill(histories, run.partitions, since_ms=since_ms, until_ms=until_ms)


def measure(what: str, cluster: LocalCluster | RealKafka, directory: Path, arguments) -> None:
    assignor = "cooperative-sticky" if arguments.cooperative else "range"
    with GroupRun(cluster.bootstrap, directory, group="failover") as run:
        run.add_topic(TOPIC, partitions=PARTITIONS)
        members = [run.join(arguments.client, assignor=assignor) for _ in range(MEMBERS)]
        run.wait_shared(*members)
        run.wait_processed()
        for victim in (owner, controller):
            found = [lose(cluster, run, victim) for _ in range(arguments.rounds)]
            times = [each.processed_s for each in found]
            print(
                f"{what:<14} {victim.__name__:<11} killed: stood still"
                f" {statistics.median(times):5.2f} s (worst {max(times):.2f}),"
                f" {sum(each.disturbed for each in found)} members rebalanced in"
                f" {len(found)} rounds",
                flush=True,
            )
        run.finish(evictions=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--client", default="confluent")
    parser.add_argument("--cooperative", action="store_true")
    arguments = parser.parse_args()
    for what in ("Ottla", "Apache Kafka"):
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            cluster: LocalCluster | RealKafka = (
                LocalCluster(directory, settings=SETTINGS)
                if what == "Ottla"
                else RealKafka(
                    directory, settings=SETTINGS, jvm=Jvm(heap_mb=512, compiles_well=True)
                )
            )
            try:
                cluster.up()
                measure(what, cluster, directory, arguments)
            finally:
                cluster.close()


if __name__ == "__main__":
    main()
