"""What a client knows of the cluster: brokers, topics, and who leads each partition.

Knowledge only grows newer: news of an older leader epoch is ignored, whoever brings it.
Must never know: how the news came, connections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from client.errors import error_code
from protocol.api.metadata import MetadataRequest, MetadataRequestTopic
from protocol.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from protocol.api.metadata import MetadataResponse, MetadataResponseTopic

NO_LEADER: Final = -1
NO_TOPIC_ID: Final = bytes(16)
DEFAULT_PORT: Final = 9092


def metadata_request(topics: Iterable[str] | None, *, create: bool = False) -> MetadataRequest:
    """Ask for some topics or, with None, for all; create those that do not exist if told to."""
    return MetadataRequest(
        topics=None if topics is None else [MetadataRequestTopic(name=name) for name in topics],
        allow_auto_topic_creation=create,
    )


class Address(NamedTuple):
    """Where a broker or bootstrap server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Broker(Struct, frozen=True):
    """A live broker."""

    broker_id: int
    address: Address
    rack: str | None


class PartitionInfo(Struct, frozen=True):
    """One partition; `leader_id` is NO_LEADER and `leader_epoch` -1 where unknown."""

    partition: int
    leader_id: int
    leader_epoch: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]


class TopicInfo(Struct, frozen=True):
    """One topic; `topic_id` is all zeros where the broker is too old to say."""

    name: str
    topic_id: bytes
    is_internal: bool
    partitions: Mapping[int, PartitionInfo]


AWAY_MAX: Final = 1000
"""Of so many topics that a broker did not know the leader epochs are remembered."""


class Metadata:
    """The newest knowledge of the cluster. `topic_errors` holds why a topic is not known."""

    def __init__(self) -> None:
        self.cluster_id: str | None = None
        self.controller_id = NO_LEADER
        self.brokers: dict[int, Broker] = {}
        self._racks: dict[int, str] = {}
        self.topics: dict[str, TopicInfo] = {}
        self.topic_errors: dict[str, ErrorCode] = {}
        self._away: dict[str, TopicInfo] = {}

    def update(self, response: MetadataResponse) -> None:
        """Take in a broker's answer."""
        self.cluster_id = response.cluster_id
        self.controller_id = response.controller_id
        self.brokers = {
            broker.node_id: Broker(broker.node_id, Address(broker.host, broker.port), broker.rack)
            for broker in response.brokers
        }
        self._racks |= {b.broker_id: b.rack for b in self.brokers.values() if b.rack is not None}
        for topic in response.topics:
            name = topic.name or ""
            if topic.error_code:
                self._forget(name, error_code(topic.error_code))
            else:
                self.topic_errors.pop(name, None)
                self.topics[name] = self._newest(topic_info(topic))

    def note_unknown(self, names: Iterable[str]) -> None:
        """Take in that an answer about all topics left these out."""
        for name in names:
            self._forget(name, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)

    def _forget(self, name: str, why: ErrorCode) -> None:
        """Know a topic no longer, but for its epochs: it may be that one broker is behind."""
        self.topic_errors[name] = why
        if (info := self.topics.pop(name, None)) is not None:
            self._away[name] = info
            if len(self._away) > AWAY_MAX:
                del self._away[next(iter(self._away))]

    def has_heard_of(self, topic: str) -> bool:
        """Say whether a broker has told of a topic, if only that there is none."""
        return topic in self.topics or topic in self.topic_errors

    def partition(self, topic: str, partition: int) -> PartitionInfo | None:
        """Return what is known of a partition, None where nothing is."""
        info = self.topics.get(topic)
        return info.partitions.get(partition) if info is not None else None

    def racks_of(self, topic: str, partition: int) -> frozenset[str]:
        """Return the racks of a partition's replicas, also of those that are away for a while."""
        info = self.partition(topic, partition)
        replicas = info.replicas if info is not None else ()
        return frozenset(self._racks[replica] for replica in replicas if replica in self._racks)

    def learn_leader(
        self, topic: str, partition: int, *, leader_id: int, leader_epoch: int
    ) -> None:
        """Take in the news of a new leader that came with a refusal (KIP-951)."""
        known = self.partition(topic, partition)
        if known is None or leader_epoch <= known.leader_epoch or leader_id not in self.brokers:
            return
        info = self.topics[topic]
        newer = replace(known, leader_id=leader_id, leader_epoch=leader_epoch)
        self.topics[topic] = replace(info, partitions={**info.partitions, partition: newer})

    def _newest(self, incoming: TopicInfo) -> TopicInfo:
        known = self.topics.get(incoming.name) or self._away.pop(incoming.name, None)
        if known is None or known.topic_id != incoming.topic_id:
            return incoming
        partitions = {
            index: _newer(known.partitions.get(index), partition)
            for index, partition in incoming.partitions.items()
        }
        if any(incoming.topic_id):
            # Topics only grow: who does not know of a partition has not heard of it yet.
            partitions = {**known.partitions, **partitions}
        return replace(incoming, partitions=partitions)


def parse_bootstrap(bootstrap: str | Sequence[str]) -> tuple[Address, ...]:
    """Parse `host:port,host:port` or a list of such; a missing port is 9092.

    Raises: ValueError naming what is not an address.
    """
    entries = bootstrap.split(",") if isinstance(bootstrap, str) else bootstrap
    addresses = tuple(_parse_address(entry.strip()) for entry in entries if entry.strip())
    if not addresses:
        raise ValueError("no bootstrap server given: name at least one as host:port")
    return addresses


def topic_info(topic: MetadataResponseTopic) -> TopicInfo:
    """Translate one topic of a broker's answer."""
    partitions = {
        partition.partition_index: PartitionInfo(
            partition.partition_index,
            partition.leader_id,
            partition.leader_epoch,
            tuple(partition.replica_nodes),
            tuple(partition.isr_nodes),
        )
        for partition in sorted(topic.partitions, key=lambda entry: entry.partition_index)
    }
    return TopicInfo(topic.name or "", topic.topic_id, topic.is_internal, partitions)


def _parse_address(entry: str) -> Address:
    host, colon, port = entry.rpartition(":")
    if not colon or host.endswith(":") or entry.endswith("]"):
        host, port = entry, str(DEFAULT_PORT)  # no port at all, or a bare IPv6 address
    if not port.isdecimal() or not 0 < int(port) < 65536 or not host:
        raise ValueError(f"{entry!r} is no bootstrap server: give host:port")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


def _newer(known: PartitionInfo | None, incoming: PartitionInfo) -> PartitionInfo:
    if known is not None and incoming.leader_epoch < known.leader_epoch:
        return known
    return incoming
