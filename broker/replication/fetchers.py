"""All fetchers of a broker: one loop for each leader that it follows.

Must never know: how fetching works, who decides about leaders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.partition import Partition
    from broker.replication.fetcher import LeaderFetcher


class Fetchers:
    """Hands each following partition to the fetcher of its leader."""

    def __init__(self, make_fetcher: Callable[[int], LeaderFetcher]) -> None:
        self._make_fetcher = make_fetcher
        self._fetchers: dict[int, LeaderFetcher] = {}
        self._started: trio.MemorySendChannel[LeaderFetcher]
        self._to_start: trio.MemoryReceiveChannel[LeaderFetcher]
        self._started, self._to_start = trio.open_memory_channel(2**16)

    def follow(self, partition: Partition) -> None:
        """Fetch `partition` from its present leader, and from nobody else."""
        self.forget(partition)
        fetcher = self._fetchers.get(partition.leader_id)
        if fetcher is None:
            fetcher = self._fetchers[partition.leader_id] = self._make_fetcher(partition.leader_id)
            self._started.send_nowait(fetcher)
        fetcher.follow(partition)

    def forget(self, partition: Partition) -> None:
        """Fetch `partition` no longer."""
        for fetcher in self._fetchers.values():
            if fetcher.forget(partition):
                return

    def touch(self, partition: Partition) -> None:
        """Have the leader told anew how far a partition has come, if it is fetched."""
        fetcher = self._fetchers.get(partition.leader_id)
        if fetcher is not None:
            fetcher.touch(partition)

    async def run(self) -> None:
        """Run every fetcher; one without partitions sleeps."""
        async with trio.open_nursery() as nursery:
            async for fetcher in self._to_start:
                nursery.start_soon(fetcher.run, name=f"fetch from {fetcher.leader_id}")
