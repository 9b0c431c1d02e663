"""The schema registry: registrations and lookups in a second, how long each takes, memory.

    python -m bench.registry [--seconds 5] [--in-flight 8] [--rounds 3]
    python -m bench.registry --beside http://localhost:8082 --beside-pid 4711

Three brokers on the embedded coordinator and one registry, on this machine. Registrations are of
schemas that differ, each under a subject of its own, and each answered once every replica in sync
has it. The client is ours and on the same machine: its work is a part of what a request takes, the
registry's CPU is told apart. Another registry, which runs already and keeps its topic where it
likes, takes its turn after ours in each round; medians over the rounds are told last, with ratios.
"""

from __future__ import annotations

import argparse
import statistics
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
    from collections.abc import Awaitable, Callable, Sequence

WARM_UP = 200


class Contender:
    """A registry that is measured: its process, and what was found, round by round."""

    def __init__(self, name: str, url: str, pid: int) -> None:
        self.name = name
        self.url = url
        self.found: dict[str, list[float]] = {}
        self._pid = pid
        self._registered = 0

    @property
    def memory_mib(self) -> float:
        """What its process has in memory now, in MiB."""
        return (resident_bytes(self._pid) or 0) / (1 << 20)

    async def measure(self, *, seconds: float, in_flight: int) -> None:
        """Register, then look up; one at a time, then many."""
        async with SchemaRegistry(self.url) as registry:
            ids: list[int] = []

            async def register(_number: int) -> None:
                self._registered += 1
                number = self._registered
                schema = RegistrySchema(
                    '{"type":"record","name":"R","fields":[{"name":"id","type":"long"},'
                    f'{{"name":"f{number}","type":["null","string"],"default":null}}]}}'
                )
                ids.append(await registry.register(f"bench{number}-value", schema))

            async def look_up(number: int) -> None:
                await registry.schema(ids[number % len(ids)])

            for number in range(WARM_UP):
                await register(number)
            for at_a_time in (1, in_flight):
                for name, act in (("registrations", register), ("lookups", look_up)):
                    await self._time(
                        f"{name}, {at_a_time} in flight", act, seconds=seconds, in_flight=at_a_time
                    )
        self._note("memory after load, MiB", self.memory_mib)

    async def _time(
        self,
        name: str,
        act: Callable[[int], Awaitable[object]],
        *,
        seconds: float,
        in_flight: int,
    ) -> None:
        """Do one thing with rising numbers, `in_flight` at a time, and note what it took."""
        number = 0
        taken: list[float] = []
        cpu_before = cpu_seconds([self._pid])
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
        cpu_ms = (cpu_seconds([self._pid]) - cpu_before) / len(taken) * 1_000
        self._note(f"{name}: a second", len(taken) / lasted)
        self._note(f"{name}: p50, ms", percentile(taken, 0.5) * 1_000)
        self._note(f"{name}: p99, ms", percentile(taken, 0.99) * 1_000)
        self._note(f"{name}: CPU each, ms", cpu_ms)

    def _note(self, name: str, value: float) -> None:
        self.found.setdefault(name, []).append(value)


def tell(contenders: Sequence[Contender]) -> None:
    """Print the medians of all, and ours by the other's."""
    print(f"{'':40}" + "".join(f"{each.name:>12}" for each in contenders))
    for name in contenders[0].found:
        values = [statistics.median(each.found[name]) for each in contenders]
        ratio = f"{values[0] / values[1]:12.2f}" if len(values) > 1 else ""
        print(f"{name:40}" + "".join(f"{value:12,.2f}" for value in values) + ratio)


async def work(
    contenders: Sequence[Contender], *, rounds: int, seconds: float, in_flight: int
) -> None:
    """Have each take its turn, round by round."""
    for _ in range(rounds):
        for contender in contenders:
            await contender.measure(seconds=seconds, in_flight=in_flight)


def main() -> None:
    """Start a cluster, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--in-flight", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", metavar="URL", help="another registry, which runs already")
    parser.add_argument("--beside-pid", type=int, help="its process")
    options = parser.parse_args()
    if (options.beside is None) != (options.beside_pid is None):
        parser.error("--beside and --beside-pid belong together: its CPU and memory are told too")
    with tempfile.TemporaryDirectory() as directory:
        cluster = LocalCluster(Path(directory), registry=True)
        try:
            cluster.up()
            contenders = [Contender("ours", cluster.registry, cluster.nodes()["registry"].pid)]
            if options.beside is not None:
                contenders.append(Contender("beside", options.beside, options.beside_pid))
            for each in contenders:
                print(f"memory idle, {each.name}: {each.memory_mib:.0f} MiB")
            trio.run(
                partial(
                    work,
                    contenders,
                    rounds=options.rounds,
                    seconds=options.seconds,
                    in_flight=options.in_flight,
                )
            )
            tell(contenders)
        finally:
            cluster.close()


if __name__ == "__main__":
    main()
