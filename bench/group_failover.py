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
import tempfile
from functools import partial
from pathlib import Path

from tests.support.groups.faults import Victims, suffer
from tests.support.groups.run import GroupRun
from tests.support.groups.standstill import Standstill, summary
from tests.support.local_cluster import LocalCluster
from tests.support.real_kafka import Jvm, RealKafka
from tests.support.under_test import UnderTest

TOPIC = "failover"
PARTITIONS = 6
MEMBERS = 3
SETTINGS = ("group.initial.rebalance.delay.ms=0",)


def lose(victims: Victims, name: str) -> Standstill:
    """Kill one broker and have it back. Returns: how the group fared without it."""
    found = suffer(victims.run, partial(victims.cluster.kill, name))
    victims.start(name)
    victims.run.wait_processed()
    return found


def measure(what: str, cluster: UnderTest, directory: Path, arguments) -> None:
    assignor = "cooperative-sticky" if arguments.cooperative else "range"
    with GroupRun(cluster.bootstrap, directory, group="failover") as run:
        run.add_topic(TOPIC, partitions=PARTITIONS)
        members = [run.join(arguments.client, assignor=assignor) for _ in range(MEMBERS)]
        run.wait_shared(*members)
        run.wait_processed()
        victims = Victims(cluster, run, TOPIC)
        for victim in (victims.owner, victims.controller):
            found = [lose(victims, victim()) for _ in range(arguments.rounds)]
            print(
                f"{what:<14} {victim.__name__:<11} killed: stood still for {summary(found)}",
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
            cluster: UnderTest = (
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
