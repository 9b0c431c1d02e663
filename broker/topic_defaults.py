"""What a broker is told about topics: the defaults of their settings, and who may create them.

Must never know: topics' own settings, other parts of the configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from broker.settings import INT32_MAX, INT64_MAX, setting


@dataclass(frozen=True, slots=True)
class TopicDefaults:
    """What topics get that do not say it themselves, and who may create and delete them."""

    auto_create_topics_enable: bool = setting(
        "auto.create.topics.enable", True, doc="Asking for an unknown topic's metadata creates it."
    )
    delete_topic_enable: bool = setting(
        "delete.topic.enable", True, doc="Topics can be deleted by request."
    )
    num_partitions: int = setting(
        "num.partitions", 1, at_least=1, at_most=INT32_MAX, doc="Partitions of a new topic."
    )
    default_replication_factor: int = setting(
        "default.replication.factor",
        -1,
        at_least=-1,
        at_most=32_767,
        doc="Replicas of a new topic's partitions; -1 stands for three, or all brokers if fewer,"
        " those that are down included.",
    )
    min_insync_replicas: int | None = setting(
        "min.insync.replicas",
        None,
        at_least=1,
        at_most=INT32_MAX,
        doc="Replicas that must hold a record before acks=all is answered; unset stands for two "
        "where there are three replicas or more, else one.",
    )
    unclean_leader_election_enable: bool = setting(
        "unclean.leader.election.enable",
        False,
        doc="A replica that is not in sync may lead when no other is left. Loses records.",
    )
    message_max_bytes: int = setting(
        "message.max.bytes", 1_048_588, at_most=INT32_MAX, doc="The biggest record batch."
    )
    log_segment_bytes: int = setting(
        "log.segment.bytes",
        1_073_741_824,
        at_least=1_024,
        at_most=INT32_MAX,
        doc="A log starts a new segment before one grows beyond this.",
    )
    log_roll_ms: int = setting(
        "log.roll.ms", 604_800_000, at_least=1, doc="A log starts a new segment after this time."
    )
    log_index_interval_bytes: int = setting(
        "log.index.interval.bytes", 4_096, at_most=INT32_MAX, doc="Bytes between index entries."
    )
    log_retention_ms: int = setting(
        "log.retention.ms", 604_800_000, at_least=-1, doc="Older segments go; -1 keeps them all."
    )
    log_retention_bytes: int = setting(
        "log.retention.bytes", -1, at_least=-1, doc="A partition's size; -1 sets no bound."
    )
    log_cleanup_policy: str = setting(
        "log.cleanup.policy",
        "delete",
        choices=("delete", "compact", "compact,delete", "delete,compact"),
        doc="What becomes of old records: their segments are deleted, or compacted to the newest "
        "record of each key.",
    )
    log_cleaner_delete_retention_ms: int = setting(
        "log.cleaner.delete.retention.ms",
        86_400_000,
        doc="How long a tombstone outlasts what it deletes, for those who are still reading.",
    )
    log_cleaner_min_cleanable_ratio: float = setting(
        "log.cleaner.min.cleanable.ratio",
        0.5,
        at_most=1,
        doc="The share of a log that must be new before it is compacted again.",
    )
    log_cleaner_min_compaction_lag_ms: int = setting(
        "log.cleaner.min.compaction.lag.ms", 0, doc="Records younger than this are not compacted."
    )
    log_cleaner_max_compaction_lag_ms: int = setting(
        "log.cleaner.max.compaction.lag.ms",
        INT64_MAX,
        at_least=1,
        doc="Records older than this are compacted, however few are new.",
    )
    compression_type: str = setting(
        "compression.type",
        "producer",
        choices=("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
        doc="What batches are compressed with here; producer: with what their producer chose.",
    )
    log_message_timestamp_type: str = setting(
        "log.message.timestamp.type",
        "CreateTime",
        choices=("CreateTime", "LogAppendTime"),
        doc="Whose clock stamps a record: the producer's or the broker's.",
    )
    log_message_timestamp_before_max_ms: int = setting(
        "log.message.timestamp.before.max.ms",
        INT64_MAX,
        doc="How far a record's timestamp may lie in the past.",
    )
    log_message_timestamp_after_max_ms: int = setting(
        "log.message.timestamp.after.max.ms",
        3_600_000,
        doc="How far a record's timestamp may lie in the future.",
    )
    producer_id_expiration_ms: int = setting(
        "producer.id.expiration.ms",
        86_400_000,
        at_least=1,
        doc="How long a partition remembers an idempotent producer that has fallen silent.",
    )
    ottla_flush: str = setting(
        "ottla.flush",
        "commit",
        choices=("commit", "os"),
        doc="commit: acknowledged means fsynced by every in-sync replica. os: the operating "
        "system flushes; a power failure can lose acknowledged records.",
    )
    ottla_schema_validation: str = setting(
        "ottla.schema.validation",
        "none",
        choices=("none", "id", "payload"),
        doc="What records are held against before they are taken: nothing; whether their schema "
        "is registered for the topic; whether they decode by it as well.",
    )


TOPIC_DEFAULT_KEYS: Final = {
    "segment.bytes": "log.segment.bytes",
    "segment.ms": "log.roll.ms",
    "index.interval.bytes": "log.index.interval.bytes",
    "max.message.bytes": "message.max.bytes",
    "retention.ms": "log.retention.ms",
    "retention.bytes": "log.retention.bytes",
    "cleanup.policy": "log.cleanup.policy",
    "delete.retention.ms": "log.cleaner.delete.retention.ms",
    "min.cleanable.dirty.ratio": "log.cleaner.min.cleanable.ratio",
    "min.compaction.lag.ms": "log.cleaner.min.compaction.lag.ms",
    "max.compaction.lag.ms": "log.cleaner.max.compaction.lag.ms",
    "compression.type": "compression.type",
    "message.timestamp.type": "log.message.timestamp.type",
    "message.timestamp.before.max.ms": "log.message.timestamp.before.max.ms",
    "message.timestamp.after.max.ms": "log.message.timestamp.after.max.ms",
    "producer.id.expiration.ms": "producer.id.expiration.ms",
    "ottla.flush": "ottla.flush",
    "ottla.schema.validation": "ottla.schema.validation",
    "min.insync.replicas": "min.insync.replicas",
    "unclean.leader.election.enable": "unclean.leader.election.enable",
}
"""A topic's setting, and the broker's that gives it its default."""
