"""Many consumer groups on three brokers: forming, living, rebalancing, and losing a broker.

    python -m bench.many_groups [--groups 1000] [--members 5] [--zookeeper]

Every member has a connection of its own and speaks JoinGroup, SyncGroup and Heartbeat (every three
seconds), as clients do; what it reads is of no interest here. Prints times, and memory and CPU of
the processes. Everything runs on 127.0.0.1 in a temporary directory and is ended afterwards.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import trio

from bench.commits import owners_of
from bench.raw_requests import RawConnection, cpu_seconds
from protocol.api.heartbeat import HeartbeatRequest
from protocol.api.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from protocol.api.leave_group import LeaveGroupRequest
from protocol.api.sync_group import SyncGroupRequest, SyncGroupRequestAssignment
from protocol.errors import ErrorCode
from tests.support.local_cluster import LocalCluster
from tests.support.zookeeper import RealZooKeeper

HEARTBEAT_S = 3.0
SESSION_TIMEOUT_MS = 30_000
JOIN_VERSION = SYNC_VERSION = 3
HEARTBEAT_VERSION = 3
LEAVE_VERSION = 2
CONNECTS_AT_ONCE = 64
STEADY_S = 12.0
GONE = (ErrorCode.NOT_COORDINATOR, ErrorCode.COORDINATOR_NOT_AVAILABLE)


@dataclass
class Group:
    """One group: what its members know of it."""

    name: str
    address: str
    wanted: int
    generations: dict[int, int] = field(default_factory=dict)
    rebalances: int = 0
    beyond: int = 0

    @property
    def is_formed(self) -> bool:
        """Whether all members are synced in one generation, later than `beyond`."""
        agreed = set(self.generations.values())
        return (
            len(self.generations) == self.wanted and len(agreed) == 1 and min(agreed) > self.beyond
        )


class Member:
    """One member, for as long as its task runs."""

    def __init__(self, number: int, group: Group, bootstrap: list[str], connects) -> None:
        self.group = group
        self.number = number
        self.member_id = ""
        self.generation = -1
        self.leaves = trio.Event()
        self._bootstrap = bootstrap
        self._connects = connects
        self.heard_at = 0.0

    async def run(self) -> None:
        while not self.leaves.is_set():
            try:
                async with self._connects:
                    connection = await RawConnection.open(self.group.address)
                async with connection.stream:
                    await self._live(connection)
            except (OSError, ConnectionError, trio.BrokenResourceError):
                await self._find_broker()

    async def _find_broker(self) -> None:
        await trio.sleep(0.1)
        for address in self._bootstrap:
            try:
                owners = await owners_of(address, [self.group.name])
            except (OSError, ConnectionError, trio.BrokenResourceError):
                continue
            self.group.address = next(iter(owners))
            return

    async def _live(self, connection: RawConnection) -> None:
        if self.generation < 0:
            await self._join(connection)
        while True:
            with trio.move_on_after(HEARTBEAT_S):
                await self.leaves.wait()
            if self.leaves.is_set():
                leaving = LeaveGroupRequest(group_id=self.group.name, member_id=self.member_id)
                await connection.ask(leaving, version=LEAVE_VERSION)
                self.group.generations.pop(self.number, None)
                return
            beat = HeartbeatRequest(self.group.name, self.generation, self.member_id)
            code = (await connection.ask(beat, version=HEARTBEAT_VERSION)).error_code
            if code in GONE:
                raise ConnectionError("another broker has the group")
            if code:
                if code != ErrorCode.REBALANCE_IN_PROGRESS:
                    self.member_id = ""
                await self._join(connection)
            self.heard_at = trio.current_time()

    async def _join(self, connection: RawConnection) -> None:
        while True:
            self.group.generations.pop(self.number, None)
            joined = await connection.ask(self._joining(), version=JOIN_VERSION)
            if joined.error_code in GONE:
                raise ConnectionError("another broker has the group")
            if joined.error_code:
                self.member_id = ""
                continue
            self.member_id, self.generation = joined.member_id, joined.generation_id
            shares = [SyncGroupRequestAssignment(each.member_id, b"x") for each in joined.members]
            synced = await connection.ask(
                SyncGroupRequest(
                    self.group.name, self.generation, self.member_id, assignments=shares
                ),
                version=SYNC_VERSION,
            )
            if synced.error_code in GONE:
                raise ConnectionError("another broker has the group")
            if not synced.error_code:
                self.group.generations[self.number] = self.generation
                self.group.rebalances += 1
                return

    def _joining(self) -> JoinGroupRequest:
        return JoinGroupRequest(
            group_id=self.group.name,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            rebalance_timeout_ms=60_000,
            member_id=self.member_id,
            protocol_type="bench",
            protocols=[JoinGroupRequestProtocol("any", b"metadata of a common length" * 4)],
        )


async def wait_formed(groups: list[Group]) -> None:
    with trio.fail_after(300):
        while not all(group.is_formed for group in groups):  # noqa: ASYNC110 - asked of thousands
            await trio.sleep(0.02)


async def measure(cluster: LocalCluster, *, group_count: int, member_count: int) -> None:
    names = [f"group-{number}" for number in range(group_count)]
    owners = await owners_of(cluster.bootstrap, names)
    groups = [Group(n, address, member_count) for address, ns in owners.items() for n in ns]
    connects = trio.CapacityLimiter(CONNECTS_AT_ONCE)
    bootstrap = cluster.bootstrap.split(",")
    members = [
        Member(number, group, bootstrap, connects)
        for group in groups
        for number in range(member_count)
    ]
    report("memory of each broker before", memory(cluster))
    async with trio.open_nursery() as nursery:
        used, started = all_cpu(cluster), trio.current_time()
        for member in members:
            nursery.start_soon(member.run)
        await wait_formed(groups)
        report("all groups formed", f"{trio.current_time() - started:.1f} s")
        report("  CPU of brokers and coordinator", f"{all_cpu(cluster) - used:.1f} s")
        report(
            "  generations until then, a group",
            f"{sum(max(g.generations.values()) for g in groups) / group_count:.1f}",
        )
        report("memory of each broker", memory(cluster))
        used = all_cpu(cluster)
        await trio.sleep(STEADY_S)
        share = (all_cpu(cluster) - used) / STEADY_S
        report("CPU with heartbeats alone", f"{share * 100:.0f} % of a core")
        for group in groups:
            group.wanted -= 1
            group.beyond = max(group.generations.values())
        started = trio.current_time()
        for member in members[::member_count]:
            member.leaves.set()
        await wait_formed(groups)
        report("a member of each left: all stable again", f"{trio.current_time() - started:.1f} s")
        await lose_a_broker(cluster, groups, members)
        nursery.cancel_scope.cancel()


async def lose_a_broker(cluster: LocalCluster, groups: list[Group], members: list[Member]) -> None:
    victim, node = next((n, p) for n, p in cluster.nodes().items() if n != "coordinator")
    moved = [g for g in groups if g.address.endswith(f":{node.port}")]
    affected = [m for m in members if m.group in moved and not m.leaves.is_set()]
    rebalances = sum(group.rebalances for group in groups)
    killed = trio.current_time()
    cluster.kill(victim)
    with trio.fail_after(120):
        while any(member.heard_at < killed for member in affected):  # noqa: ASYNC110
            await trio.sleep(0.02)
    report(
        f"a broker killed: {len(affected)} members heard by the next",
        f"{trio.current_time() - killed:.1f} s",
    )
    again = sum(group.rebalances for group in groups) - rebalances
    report("  members that had to rebalance for it", str(again))


def all_cpu(cluster: LocalCluster) -> float:
    return cpu_seconds([node.pid for node in cluster.nodes().values()])


def memory(cluster: LocalCluster) -> str:
    brokers = [name for name in cluster.nodes() if name != "coordinator"]
    return " ".join(f"{cluster.memory_bytes(name) / 2**20:.0f}" for name in brokers) + " MiB"


def report(what: str, figure: str) -> None:
    print(f"{what:<52} {figure}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=1_000)
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--zookeeper", action="store_true", help="a real one, not the embedded")
    arguments = parser.parse_args()
    wanted = arguments.groups * arguments.members + 1_000
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        path = Path(directory)
        hosts = None
        if arguments.zookeeper:
            zookeeper = RealZooKeeper(path)
            zookeeper.start()
            stack.callback(zookeeper.kill)
            hosts = zookeeper.hosts
        cluster = LocalCluster(path, zookeeper=hosts)
        stack.callback(cluster.close)
        cluster.up()
        trio.run(
            lambda: measure(cluster, group_count=arguments.groups, member_count=arguments.members)
        )


if __name__ == "__main__":
    main()
