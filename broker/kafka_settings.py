"""Settings of Kafka's brokers that Ottla's have no use for.

Some tune what is done otherwise here: they are taken, so that one configuration file serves both.
All others are refused, above all those that promise safety: what is ignored is not promised.
Must never know: Ottla's own settings.
Source: Kafka's documentation, "Broker Configs".
"""

from __future__ import annotations

from typing import Final

WITHOUT_EFFECT: Final = frozenset(
    {
        # Threads: a broker is one loop.
        "background.threads",
        "log.cleaner.threads",
        "num.io.threads",
        "num.network.threads",
        "num.recovery.threads.per.data.dir",
        "num.replica.alter.log.dirs.threads",
        "num.replica.fetchers",
        "queued.max.requests",
        # Buffers and files: the operating system's defaults, and files that grow as they are used.
        "log.cleaner.io.buffer.load.factor",
        "log.cleaner.io.buffer.size",
        "log.index.size.max.bytes",
        "log.preallocate",
        "log.segment.delete.delay.ms",
        "replica.socket.receive.buffer.bytes",
        "replica.socket.timeout.ms",
        "socket.listen.backlog.size",
        "socket.receive.buffer.bytes",
        "socket.send.buffer.bytes",
        # Flushing: what is acknowledged is flushed already, or these are refused (FLUSHES).
        "log.flush.interval.messages",
        "log.flush.interval.ms",
        "log.flush.offset.checkpoint.interval.ms",
        "log.flush.scheduler.interval.ms",
        "log.flush.start.offset.checkpoint.interval.ms",
        # Topics of Kafka's own: offsets are with the coordinator, and transactions not served.
        "offsets.load.buffer.size",
        "offsets.topic.compression.codec",
        "offsets.topic.num.partitions",
        "offsets.topic.replication.factor",
        "offsets.topic.segment.bytes",
        "share.coordinator.state.topic.min.isr",
        "share.coordinator.state.topic.num.partitions",
        "share.coordinator.state.topic.replication.factor",
        "share.coordinator.state.topic.segment.bytes",
        "transaction.state.log.min.isr",
        "transaction.state.log.num.partitions",
        "transaction.state.log.replication.factor",
        "transaction.state.log.segment.bytes",
        # What waits is waited for, and not looked through from time to time.
        "delete.records.purgatory.purge.interval.requests",
        "fetch.purgatory.purge.interval.requests",
        "producer.purgatory.purge.interval.requests",
        # A connection attempt takes as long as the session may.
        "zookeeper.connection.timeout.ms",
    }
)
"""Taken without any effect, and said so when a broker starts."""

FLUSHES: Final = ("log.flush.interval.messages", "log.flush.interval.ms")
"""Those that ask for more than the operating system does by itself."""

NEVER_FLUSHED: Final = str(2**63 - 1)
"""Their default in Kafka, and what they say then."""

_INSTEAD: Final = {
    "process.roles": "brokers find each other by zookeeper.connect, there is no KRaft",
    "controller.": "any broker may be the controller, found by zookeeper.connect",
    "ssl.": "connections are not encrypted yet: put a proxy that ends TLS before the broker",
    "sasl.": "clients are not authenticated yet: let only those reach the broker who may",
    "authorizer.": "there are no ACLs yet: let only those reach the broker who may",
    "security.": "all listeners are PLAINTEXT",
    "listener.security.protocol.map": "all listeners are PLAINTEXT, whatever their names",
    "remote.log.": "there is no tiered storage here",
    "log.message.format.version": "records are stored in format 2",
    "inter.broker.protocol.version": "brokers agree on versions by themselves",
}


def what_instead(key: str) -> str | None:
    """Say why Kafka's setting is refused here; None where it is not one of those."""
    return next((why for prefix, why in _INSTEAD.items() if key.startswith(prefix)), None)
