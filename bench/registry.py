"""The schema registry: registrations and lookups in a second, how long each takes, memory.

    python -m bench.registry [--seconds 5] [--in-flight 8]

Three brokers on the embedded coordinator and one registry, on this machine. Registrations are of
schemas that differ, each under a subject of its own, and each answered once every replica in sync
schemas that differ, each under a subject of its own, and each answered once every replica in
work is a part of what a request takes, the registry's CPU is told apart.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from bench.raw_requests import cpu_seconds, percentile
from client.schema_registry import RegistrySchema, SchemaRegistry
from commands.process import resident_bytes
from tests.support.local_cluster import LocalCluster

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

WARM_UP = 200


async def measure(
    name: str, act: Callable[[int], Awaitable[object]], *, pid: int, seconds: float, in_flight: int
) -> int:
    """Do one thing with rising numbers, `in_flight` at a time, and print what it took."""
    number = 0
    taken: list[float] = []
    cpu_before = cpu_seconds([pid])
    began_at = trio.current_time()

    async def one_after_the_other() -> None:
        nonlocal number
        while trio.current_time() < began_at + seconds:
            number += 1
            started_at = trio.current_time()
            await act(number)
            taken.append(trio.current_time() - started_at)

    async with trio.open_nursery() as nursery:
        for _ in range(in_flight):
            nursery.start_soon(one_after_the_other)
    lasted = trio.current_time() - began_at
    cpu = (cpu_seconds([pid]) - cpu_before) / len(taken) * 1_000
    p50, p99 = (percentile(taken, share) * 1_000 for share in (0.5, 0.99))
    print(
        f"{name}, {in_flight} in flight: {len(taken) / lasted:,.0f}/s, p50 {p50:.1f} ms, "
        f"p99 {p99:.1f} ms, {cpu:.2f} ms of the registry's CPU each"
    )
    return number


async def work(url: str, *, pid: int, seconds: float, in_flight: int) -> None:
    """Register, then look up."""
    async with SchemaRegistry(url) as registry:
        registered = 0

        async def register(_number: int) -> None:
            nonlocal registered
            registered += 1
            number = registered
            schema = RegistrySchema(
                '{"type":"record","name":"R","fields":[{"name":"id","type":"long"},'
                f'{{"name":"f{number}","type":["null","string"],"default":null}}]}}'
            )
            await registry.register(f"s{number}-value", schema)

        async def look_up(number: int) -> None:
            await registry.schema(1 + number % registered)

        for number in range(WARM_UP):
            await register(number)
        for at_a_time in (1, in_flight):
            for name, act in (("registrations", register), ("lookups", look_up)):
                await measure(name, act, pid=pid, seconds=seconds, in_flight=at_a_time)
        print(f"memory with {registered:,} schemas: {(resident_bytes(pid) or 0) >> 20} MiB")


def main() -> None:
    """Start a cluster, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--in-flight", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        cluster = LocalCluster(Path(directory), registry=True)
        try:
            cluster.up()
            pid = cluster.nodes()["registry"].pid
            print(f"memory idle: {(resident_bytes(pid) or 0) >> 20} MiB")
            run = partial(
                work,
                cluster.registry,
                pid=pid,
                seconds=options.seconds,
                in_flight=options.in_flight,
            )
            trio.run(run)
        finally:
            cluster.close()


if __name__ == "__main__":
    main()
