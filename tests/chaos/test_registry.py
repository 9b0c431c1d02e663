"""Registries and brokers as processes, killed while schemas are registered: nothing is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import trio

from client.schema_registry import (
    RegistrySchema,
    SchemaRegistry,
    SchemaRegistryError,
    SchemaRegistryUnreachable,
)
from tests.support.local_cluster import LocalCluster
from tests.support.ports import free_port

pytestmark = [
    pytest.mark.chaos,
    # httpx leaves the generator of a request's body to the collector when the connection breaks.
    pytest.mark.filterwarnings("default:.*httpx._content"),
]

ROUNDS = 5
CLIENTS = 3
BOUND_S = 180
SCHEMAS_A_ROUND = 10
"""So many more are acknowledged before the next registry is killed."""


class Registries:
    """Processes of `ottla registry`, on ports of their own."""

    def __init__(self, cluster: LocalCluster, directory, count: int) -> None:
        coordinator = cluster.nodes()["coordinator"].port
        first = free_port()
        self._directory = directory
        self._commands = {
            f"http://127.0.0.1:{port}": [
                *(sys.executable, "-P", "-m", "cli", "registry"),
                *("--bootstrap", cluster.bootstrap, "--zookeeper", f"127.0.0.1:{coordinator}"),
                *("--listen", f"127.0.0.1:{port}"),
            ]
            for port in range(first, first + count)
        }
        self._running: dict[str, subprocess.Popen] = {}

    @property
    def urls(self) -> list[str]:
        """Where they are."""
        return list(self._commands)

    def start(self, url: str) -> None:
        """Start one; it takes connections once it has read everything."""
        with (self._directory / f"{url[-5:]}.log").open("ab") as log:
            self._running[url] = subprocess.Popen(self._commands[url], stderr=log)

    def kill(self, url: str) -> None:
        """SIGKILL one."""
        process = self._running.pop(url)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        """End them all."""
        for url in list(self._running):
            self.kill(url)

    def leader(self) -> str | None:
        """Tell which one began the newest term, if it still runs."""
        terms = {}
        for url in self._running:
            for line in (self._directory / f"{url[-5:]}.log").read_text().splitlines():
                if "event=term_begins" in line:
                    terms[int(line.rpartition("epoch=")[2])] = url
        return terms[max(terms)] if terms else None


@pytest.fixture
def cluster(tmp_path):
    """Three brokers on the embedded coordinator. Returns: LocalCluster."""
    local = LocalCluster(tmp_path / "cluster")
    try:
        local.up()
        yield local
    finally:
        local.close()


@pytest.fixture
def registries(cluster, tmp_path):
    """Three registries. Returns: Registries."""
    running = Registries(cluster, tmp_path, 3)
    try:
        for url in running.urls:
            running.start(url)
        yield running
    finally:
        running.close()


async def register_all_the_while(registries, client, acknowledged, over) -> None:
    """Register one schema after the other through whichever registry answers."""
    async with SchemaRegistry(registries.urls, timeout_s=20) as registry:
        number = client
        while not over.is_set():
            number += CLIENTS
            schema = RegistrySchema(f'{{"type":"fixed","name":"F{number}","size":4}}')
            try:
                schema_id = await registry.register(f"s{number}", schema)
            except (SchemaRegistryError, SchemaRegistryUnreachable):
                await trio.sleep(0.05)  # unknown, or refused for want of a leader
            else:
                acknowledged[f"s{number}"] = schema_id


async def break_things(registries, cluster, chance, acknowledged) -> None:
    """Kill the registry that leads, most times with a broker, and start them again."""
    for number in range(1, ROUNDS + 1):
        while len(acknowledged) < number * SCHEMAS_A_ROUND:  # noqa: ASYNC110 - a plain dict
            await trio.sleep(0.1)
        await trio.sleep(chance.uniform(1, 3))
        victim = registries.leader() or registries.urls[0]
        registries.kill(victim)
        takes_a_broker = chance.random() < 0.7
        if takes_a_broker:
            cluster.kill(str(chance.randint(1, 3)))
        await trio.sleep(chance.uniform(1, 4))
        if takes_a_broker:
            await trio.to_thread.run_sync(cluster.up)
        registries.start(victim)


def test_no_id_is_given_twice_and_no_acknowledged_schema_is_lost(cluster, registries):
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    chance = random.Random(seed)
    acknowledged: dict[str, int] = {}

    async def main() -> dict[str, int]:
        with trio.fail_after(BOUND_S):
            over = trio.Event()
            async with trio.open_nursery() as nursery:
                for client in range(CLIENTS):
                    nursery.start_soon(
                        register_all_the_while, registries, client, acknowledged, over
                    )
                await break_things(registries, cluster, chance, acknowledged)
                over.set()
            registries.close()
            registries.start(registries.urls[0])  # this one reads all there is before it answers
            async with SchemaRegistry(registries.urls[:1]) as registry:
                while True:
                    try:
                        listed = await registry.call("GET", "/schemas?subjectPrefix=:*:")
                    except SchemaRegistryUnreachable:
                        await trio.sleep(0.2)
                        continue
                    return {each["subject"]: each["id"] for each in listed}

    began_at = time.monotonic()
    found = trio.run(main)

    print(f"{len(acknowledged)} registered in {time.monotonic() - began_at:.0f} s")
    assert {subject: found.get(subject) for subject in acknowledged} == acknowledged
    assert len({*acknowledged.values()}) == len(acknowledged), "every schema differs"
