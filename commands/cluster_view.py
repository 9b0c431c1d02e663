"""What can be seen of a cluster from outside: its processes, and what the brokers answer.

`observe` asks, `ClusterView` is the answer as plain values, for tables and for JSON.
Must never know: tables, JSON's layout, how processes are started.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
from msgspec import Struct, field

from client.connection import open_connection
from commands.process import is_paused, resident_bytes
from protocol.api.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from protocol.api.metadata import MetadataRequest
from protocol.errors import ErrorCode, OttlaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from client.connection import Connection
    from client.environment import Network
    from commands.cluster_directory import Cluster, Node
    from protocol.api.list_offsets import ListOffsetsResponse
    from protocol.api.metadata import MetadataResponse

ANSWER_TIMEOUT_S: Final = 2.0
_END: Final = -1
_CLIENT: Final = -1

Partition = tuple[str, int]


class BrokerAnswer(Struct, frozen=True):
    """What one broker says: its view of the cluster, the ends of the partitions it leads."""

    metadata: MetadataResponse
    end_offsets: Mapping[Partition, int]


class NodeView(Struct, frozen=True):
    """One process. `state` is running, silent (lives, does not answer), paused, stopped or dead.

    Dead is a process that ended without having been told to by a command that remembers it.
    """

    node: Node
    state: str
    memory_bytes: int | None = None
    is_controller: bool = False
    leaders: int = 0
    replicas: int = 0


class ClusterView(Struct, frozen=True):
    """A cluster at one moment; the counts are those of the broker that knows best."""

    nodes: tuple[NodeView, ...]
    cluster_id: str | None = None
    topics: int = 0
    partitions: int = 0
    without_leader: int = 0
    under_replicated: int = 0
    end_offsets: Mapping[Partition, int] = field(default_factory=dict)
    leaders: Mapping[Partition, int] = field(default_factory=dict)

    @property
    def is_up(self) -> bool:
        """Say whether any process of it lives."""
        return any(view.state not in ("stopped", "dead") for view in self.nodes)

    @property
    def is_well(self) -> bool:
        """Say whether all processes serve and no partition lacks a leader or a replica."""
        serving = all(view.state == "running" for view in self.nodes)
        return serving and not self.without_leader and not self.under_replicated


async def observe(cluster: Cluster, network: Network) -> ClusterView:
    """Look at every process and ask every broker, all at once; takes seconds at most."""
    answers: dict[int, BrokerAnswer] = {}

    async def ask(node: Node) -> None:
        with trio.move_on_after(ANSWER_TIMEOUT_S):
            try:
                answers[node.broker_id] = await _ask(node, network)
            except (OttlaError, OSError):
                return

    async with trio.open_nursery() as nursery:
        for node in cluster.brokers:
            if node.is_running and not _is_paused(node):
                nursery.start_soon(ask, node)
    return _view(cluster, answers)


async def _ask(node: Node, network: Network) -> BrokerAnswer:
    host, _, port = node.address.rpartition(":")
    async with open_connection(network, host, int(port), client_id="ottla-status") as connection:
        question = MetadataRequest(topics=None, allow_auto_topic_creation=False)
        metadata = await connection.call(question, timeout_s=ANSWER_TIMEOUT_S)
        return BrokerAnswer(metadata, await _end_offsets(node.broker_id, metadata, connection))


async def _end_offsets(
    broker_id: int, metadata: MetadataResponse, connection: Connection
) -> dict[Partition, int]:
    topics = []
    for topic in metadata.topics:
        led = [p.partition_index for p in topic.partitions if p.leader_id == broker_id]
        if led and topic.name is not None:
            asked = [ListOffsetsPartition(partition_index=p, timestamp=_END) for p in led]
            topics.append(ListOffsetsTopic(name=topic.name, partitions=asked))
    if not topics:
        return {}
    answer: ListOffsetsResponse = await connection.call(
        ListOffsetsRequest(replica_id=_CLIENT, topics=topics), timeout_s=ANSWER_TIMEOUT_S
    )
    return {
        (topic.name, partition.partition_index): partition.offset
        for topic in answer.topics
        for partition in topic.partitions
        if partition.error_code == ErrorCode.NONE
    }


def _view(cluster: Cluster, answers: Mapping[int, BrokerAnswer]) -> ClusterView:
    best = _best(answers)
    partitions = {
        (topic.name or "", partition.partition_index): partition
        for topic in (best.topics if best else ())
        for partition in topic.partitions
    }
    alive = {broker.node_id for broker in best.brokers} if best else set()
    leaders = {key: p.leader_id for key, p in partitions.items() if p.leader_id in alive}
    replicas = [replica for p in partitions.values() for replica in p.replica_nodes]
    controller_id = best.controller_id if best else -1

    def look(node: Node) -> NodeView:
        state = _state(node, answered=not node.is_broker or node.broker_id in answers)
        memory = resident_bytes(node.process.pid) if node.process and node.is_running else None
        if not node.is_broker:
            return NodeView(node, state, memory)
        return NodeView(
            node,
            state,
            memory,
            is_controller=node.broker_id == controller_id and node.broker_id in alive,
            leaders=sum(leader == node.broker_id for leader in leaders.values()),
            replicas=replicas.count(node.broker_id),
        )

    return ClusterView(
        nodes=tuple(look(node) for node in cluster.nodes),
        cluster_id=best.cluster_id if best else None,
        topics=len(best.topics) if best else 0,
        partitions=len(partitions),
        without_leader=len(partitions) - len(leaders),
        under_replicated=sum(len(p.isr_nodes) < len(p.replica_nodes) for p in partitions.values()),
        end_offsets={key: end for a in answers.values() for key, end in a.end_offsets.items()},
        leaders=leaders,
    )


def _best(answers: Mapping[int, BrokerAnswer]) -> MetadataResponse | None:
    """The view of the controller, which decides; else that of any broker."""
    for broker_id, answer in answers.items():
        if answer.metadata.controller_id == broker_id:
            return answer.metadata
    return next((answer.metadata for answer in answers.values()), None)


def _state(node: Node, *, answered: bool) -> str:
    if node.process is None:
        return "stopped"
    if not node.is_running:
        return "dead"
    if _is_paused(node):
        return "paused"
    return "running" if answered else "silent"


def _is_paused(node: Node) -> bool:
    return node.process is not None and is_paused(node.process)
