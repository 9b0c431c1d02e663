"""The cluster itself: its live brokers, and how full their disks are.

Must never know: topics' settings, groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from client.admin.base import AdminBase, refused
from client.admin.rounds import BrokerRouter, Rounds
from client.descriptions import ClusterDescription, LogDir, ReplicaSize
from client.metadata import Address, Broker
from client.records import TopicPartition
from protocol.api.describe_log_dirs import DescribeLogDirsRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocol.api.describe_log_dirs import DescribeLogDirsResponse, DescribeLogDirsResult
    from protocol.errors import RequestError


class BrokerAdmin(AdminBase):
    """The admin's part for brokers."""

    async def describe_cluster(self) -> ClusterDescription:
        """Describe the live brokers. Raises: NoBrokerReachable."""
        response = await self._cluster.newest_metadata([])
        brokers = tuple(
            Broker(broker.node_id, Address(broker.host, broker.port), broker.rack)
            for broker in sorted(response.brokers, key=lambda broker: broker.node_id)
        )
        return ClusterDescription(response.cluster_id, response.controller_id, brokers)

    async def describe_log_dirs(
        self, broker_ids: Iterable[int] | None = None
    ) -> dict[int, tuple[LogDir, ...] | RequestError]:
        """Describe the data directories of brokers, or of all live ones; or why not.

        Raises: NoBrokerReachable, UnsupportedApi, WaitTimedOut.
        """
        cluster = self._cluster
        rounds = Rounds(cluster, BrokerRouter(cluster), timeout_s=self.config.timeout_s)
        chosen = await self._live_brokers() if broker_ids is None else list(broker_ids)
        return await rounds.ask(chosen, self._ask_log_dirs)

    async def _ask_log_dirs(
        self, broker_id: int, _: list[int]
    ) -> dict[int, tuple[LogDir, ...] | RequestError]:
        response: DescribeLogDirsResponse = await self._cluster.call(
            broker_id, DescribeLogDirsRequest(topics=None)
        )
        answer = refused(response, f"describing the disks of broker {broker_id}")
        return {broker_id: answer or tuple(_log_dir(result) for result in response.results)}


def _log_dir(result: DescribeLogDirsResult) -> LogDir:
    return LogDir(
        result.log_dir,
        {
            TopicPartition(topic.name, replica.partition_index): ReplicaSize(
                replica.partition_size, replica.offset_lag
            )
            for topic in result.topics
            for replica in topic.partitions
            if not replica.is_future_key
        },
        result.total_bytes,
        result.usable_bytes,
        refused(result, f"directory {result.log_dir}"),
    )
