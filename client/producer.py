"""The producer: batches records by partition and has them written to the partitions' leaders.

Must never know: sockets, how requests are retried (`sender`), what brokers do with records.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Literal

import trio
from msgspec import Struct

from client.background import background_tasks
from client.cluster import open_cluster
from client.cluster_options import ClusterOptions
from client.delivery import Delivery
from client.errors import ClientClosed, RecordTooLarge
from client.identity import ProducerIdentity, new_identity
from client.lifetime import Client
from client.losses import Losses
from client.routes import Route
from client.sender import Sender, SenderOptions
from protocol.compression import Compression

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from client.cluster import Cluster
    from client.delivery import Batch
    from client.environment import Environment
    from client.records import RecordMetadata
    from protocol.record_decoder import Header

_ACKS: Final = {"all": -1, -1: -1, 0: 0, 1: 1}


class ProducerConfig(Struct, frozen=True, kw_only=True):
    """How a producer works; the defaults are the safe ones.

    - `acks`: "all" waits for every in-sync replica, 1 for the leader, 0 for nobody.
    - `idempotence`: no retry writes a record twice or out of order; needs acks "all", and is on
      with it unless set to False.
    - `linger_ms`: how long a batch waits for more records. `batch_bytes`: when it is full.
    - `buffer_bytes_max`: unacknowledged bytes; `enqueue` waits while there are more.
    - `request_bytes_max`: the largest record, and about the largest request.
    - `delivery_timeout_s`: when a record that was never acknowledged fails, retries included.
    - `request_timeout_s`: how long a broker may take for one request.
    - `metadata_timeout_s`: how long `send` and `enqueue` wait for news of an unknown topic.
    """

    client_id: str = "ottla-producer"
    acks: Literal["all", -1, 0, 1] = "all"
    idempotence: bool | None = None
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "none"
    linger_ms: float = 5.0
    batch_bytes: int = 64 * 1024
    buffer_bytes_max: int = 32 * 1024 * 1024
    request_bytes_max: int = 1024 * 1024
    delivery_timeout_s: float = 120.0
    request_timeout_s: float = 30.0
    metadata_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if self.acks not in _ACKS:
            raise ValueError(f'acks is {self.acks!r}: give "all", 1 or 0')
        if self.compression.upper() not in Compression.__members__:
            names = ", ".join(kind.lower() for kind in Compression.__members__)
            raise ValueError(f"compression is {self.compression!r}: give one of {names}")
        if self.idempotence and _ACKS[self.acks] != -1:
            raise ValueError(f'idempotence needs acks "all", not {self.acks!r}')

    def sender_options(self) -> SenderOptions:
        """Return what the sender has to know."""
        acks = _ACKS[self.acks]
        return SenderOptions(
            acks=acks,
            idempotent=acks == -1 if self.idempotence is None else self.idempotence,
            compression=Compression[self.compression.upper()],
            linger_s=self.linger_ms / 1000,
            delivery_timeout_s=self.delivery_timeout_s,
            request_timeout_s=self.request_timeout_s,
            request_bytes_max=self.request_bytes_max,
        )


class Producer(Client):
    """Writes records to topics; use it with `async with`.

    Leaving the block takes no more records and waits until every one is acknowledged; leaving it by
    an error or a cancellation does not wait, and what is unacknowledged fails.
    """

    role = "producer"

    def __init__(
        self,
        bootstrap: str | Sequence[str],
        config: ProducerConfig | None = None,
        *,
        environment: Environment | None = None,
        identity: ProducerIdentity | None = None,
    ) -> None:
        """Prepare for a cluster reached through `host:port,host:port`; nothing is sent yet.

        With an `identity` records are written under it alone: once anybody has written with a
        later epoch of the same producer id, every record fails with ProducerFenced.
        """
        super().__init__(bootstrap, environment)
        self._identity = identity
        self.config = config or ProducerConfig()
        self._cluster: Cluster | None = None
        self._sender: Sender | None = None
        self._routes: dict[str, Route] = {}
        self._buffered_bytes = 0
        self._room = trio.lowlevel.ParkingLot()
        self._must_yield = False
        self._losses = Losses()
        self._is_closing = False

    @property
    def buffered_bytes(self) -> int:
        """Return the bytes of records that are not settled yet."""
        return self._buffered_bytes

    async def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Sequence[Header] = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> RecordMetadata:
        """Write a record and wait for its acknowledgement.

        Cancelled while it waits, the record may be written all the same.
        Raises: DeliveryFailed; and what `enqueue` raises.
        """
        delivery = await self.enqueue(
            topic,
            value,
            key=key,
            headers=headers,
            partition=partition,
            timestamp_ms=timestamp_ms,
        )
        return await delivery.wait()

    async def enqueue(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Sequence[Header] = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Delivery:
        """Take a record for writing; waits only while the buffer is full or the topic unknown.

        The partition follows from the key unless it is given; the timestamp is now.
        Raises: RecordTooLarge, UnknownTopic, WaitTimedOut, RequestError, ClientClosed; ValueError
        where the timestamp is none.
        """
        if timestamp_ms is not None and not _is_timestamp(timestamp_ms):
            raise ValueError(
                f"timestamp_ms is {timestamp_ms!r}: give whole milliseconds since 1970, 0 to 2^63-1"
            )
        size = (len(key) if key else 0) + (len(value) if value else 0)
        if size > self.config.request_bytes_max:
            raise RecordTooLarge(
                f"a record of {size} bytes for {topic!r} is over the producer's "
                f"request_bytes_max of {self.config.request_bytes_max}"
            )
        if self._must_yield:
            self._must_yield = False
            await trio.lowlevel.checkpoint()
        while self._buffered_bytes > self.config.buffer_bytes_max:
            await self._room.park()
        route = self._routes.get(topic) or await self._open_route(topic)
        self._running_sender()
        batch = route.batch_for(key, partition, size)
        index = len(batch)
        if not index:
            # Others get a turn once per batch; a checkpoint per record would cost more than it.
            self._must_yield = True
        grown = batch.builder.append(
            self._environment.wall_ms() if timestamp_ms is None else timestamp_ms,
            key,
            value,
            headers,
        )
        added = grown - batch.reserved_bytes
        self._buffered_bytes += added
        batch.reserved_bytes = grown
        if key is None and partition is None:
            route.sticky.note_put(added)
        return Delivery(batch, index)

    async def new_identity(self) -> ProducerIdentity:
        """Ask the cluster for a producer id that nobody else has, for a producer yet to be made.

        Raises: NoBrokerReachable, RequestError.
        """
        if self._cluster is None:
            raise self._closed()
        return await new_identity(self._cluster)

    async def flush(self) -> None:
        """Send what is buffered without lingering, and wait until all of it is settled.

        Raises: RecordsLost where records failed since the last flush and nobody waited for them,
        before or by now.
        """
        if self._sender is None:
            raise self._closed()
        for batch in self._sender.close_open():
            await batch.wait_settled()
        lost = self._losses.take()
        if lost is not None:
            raise lost from lost.first

    @asynccontextmanager
    async def _live(self) -> AsyncIterator[None]:
        options = ClusterOptions(
            client_id=self.config.client_id,
            request_timeout_s=self.config.request_timeout_s,
            create_topics=True,
            environment=self._environment,
        )
        async with (
            open_cluster(self._bootstrap, options) as cluster,
            background_tasks() as nursery,
        ):
            sender = Sender(
                cluster,
                nursery,
                self.config.sender_options(),
                settled=self._note_settled,
                identity=self._identity,
            )
            self._cluster, self._sender = cluster, sender
            cluster.on_news(self._update_routes)
            nursery.start_soon(sender.run)
            try:
                yield
                self._is_closing = True  # what came from now on, this flush would not wait for
                await self.flush()
            finally:
                sender.fail_all(ClientClosed("the producer was closed before it was acknowledged"))

    async def _open_route(self, topic: str) -> Route:
        """Find out about a topic that nothing was written to yet."""
        sender = self._running_sender()
        assert self._cluster is not None, "a sender runs only with a cluster"
        await self._cluster.topic(topic, timeout_s=self.config.metadata_timeout_s)
        route = self._routes.get(topic)
        if route is None:
            route = self._routes[topic] = Route(
                topic, sender, self._environment.random, batch_bytes=self.config.batch_bytes
            )
            self._update_routes()
        return route

    def _update_routes(self) -> None:
        assert self._cluster is not None, "news come from a cluster"
        for topic, route in self._routes.items():
            info = self._cluster.metadata.topics.get(topic)
            if info is not None:
                route.update(info, self._cluster.metadata.brokers)

    def _running_sender(self) -> Sender:
        if self._sender is None or self._sender.failure is not None or self._is_closing:
            raise self._closed()
        return self._sender

    def _closed(self) -> ClientClosed:
        if self._sender is None:
            return self._not_open()
        why = self._sender.failure or "it is being closed"
        return ClientClosed(f"the producer takes no more records: {why}")

    def _note_settled(self, batch: Batch) -> None:
        """Give a settled batch's bytes back, and remember it where it failed."""
        self._buffered_bytes -= batch.reserved_bytes
        if self._buffered_bytes <= self.config.buffer_bytes_max:
            self._room.unpark_all()
        if batch.has_failed:
            self._losses.note(batch)


def _is_timestamp(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 1 << 63
