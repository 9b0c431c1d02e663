"""What can be set about one log, under Kafka's own keys and defaults.

Must never know: where a setting comes from (topic, broker, default).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from protocol.errors import ErrorCode, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_INT32_MAX: Final = 2**31 - 1
_INT64_MAX: Final = 2**63 - 1
_DAY_MS: Final = 24 * 60 * 60 * 1000

COMPACT: Final = "compact"
DELETE: Final = "delete"
FLUSH: Final = "ottla.flush"
FLUSH_COMMIT: Final = "commit"
FLUSH_OS: Final = "os"
CREATE_TIME: Final = "CreateTime"
LOG_APPEND_TIME: Final = "LogAppendTime"
PRODUCER: Final = "producer"
UNCOMPRESSED: Final = "uncompressed"
COMPRESSION_TYPES: Final = (UNCOMPRESSED, "zstd", "lz4", "snappy", "gzip", PRODUCER)
"""How batches are compressed here: as one of these, or as their producer chose."""

VALIDATE_NONE: Final = "none"
VALIDATE_ID: Final = "id"
VALIDATE_PAYLOAD: Final = "payload"
VALIDATIONS: Final = (VALIDATE_NONE, VALIDATE_ID, VALIDATE_PAYLOAD)
"""What records are held against before they come here: nothing, ids of schemas, whole schemas."""


class _Integer(Struct, frozen=True):
    """Reads a whole number in `[least, most]`."""

    least: int
    most: int = _INT64_MAX

    def __call__(self, text: str) -> int:
        number = int(text)
        if not self.least <= number <= self.most:
            raise ValueError(text)
        return number

    def __str__(self) -> str:
        return f"a whole number from {self.least} to {self.most}"


class _Share(Struct, frozen=True):
    """Reads a number in [0, 1]."""

    def __call__(self, text: str) -> float:
        number = float(text)
        if not 0 <= number <= 1:
            raise ValueError(text)
        return number

    def __str__(self) -> str:
        return "a number from 0 to 1"


class _Choice(Struct, frozen=True):
    """Reads one of some words."""

    words: tuple[str, ...]

    def __call__(self, text: str) -> str:
        if text not in self.words:
            raise ValueError(text)
        return text

    def __str__(self) -> str:
        return "one of " + ", ".join(self.words)


class _Policies(Struct, frozen=True):
    """Reads `delete`, `compact` or both, separated by a comma."""

    def __call__(self, text: str) -> frozenset[str]:
        policies = frozenset(word.strip() for word in text.split(","))
        if not policies <= {COMPACT, DELETE}:
            raise ValueError(text)
        return policies

    def __str__(self) -> str:
        return "delete, compact or both separated by a comma"


def _setting(key: str, default: object, read: Callable[[str], Any]) -> Any:
    return field(default=default, metadata={"key": key, "read": read})


def flush_not_met(asked: str, flush: str) -> str:
    """Say why flushes cannot be asked for beside what FLUSH is."""
    return (
        f"{asked} is not met with {FLUSH}={flush}: leave one out;"
        f" {FLUSH}={FLUSH_COMMIT} flushes all before it is acknowledged"
    )


@dataclass(frozen=True, slots=True)
class LogConfig:
    """One log's settings. A field's metadata holds Kafka's `key` for it."""

    segment_bytes: int = _setting("segment.bytes", 1 << 30, _Integer(14, _INT32_MAX))
    segment_ms: int = _setting("segment.ms", 7 * _DAY_MS, _Integer(1))
    index_interval_bytes: int = _setting("index.interval.bytes", 4096, _Integer(0, _INT32_MAX))
    max_message_bytes: int = _setting("max.message.bytes", 1_048_588, _Integer(0, _INT32_MAX))
    retention_ms: int = _setting("retention.ms", 7 * _DAY_MS, _Integer(-1))
    retention_bytes: int = _setting("retention.bytes", -1, _Integer(-1))
    cleanup_policy: frozenset[str] = _setting("cleanup.policy", frozenset({DELETE}), _Policies())
    delete_retention_ms: int = _setting("delete.retention.ms", _DAY_MS, _Integer(0))
    min_cleanable_dirty_ratio: float = _setting("min.cleanable.dirty.ratio", 0.5, _Share())
    min_compaction_lag_ms: int = _setting("min.compaction.lag.ms", 0, _Integer(0))
    max_compaction_lag_ms: int = _setting("max.compaction.lag.ms", _INT64_MAX, _Integer(1))
    compression_type: str = _setting("compression.type", PRODUCER, _Choice(COMPRESSION_TYPES))
    flush: str = _setting(FLUSH, FLUSH_COMMIT, _Choice((FLUSH_COMMIT, FLUSH_OS)))
    message_timestamp_type: str = _setting(
        "message.timestamp.type", CREATE_TIME, _Choice((CREATE_TIME, LOG_APPEND_TIME))
    )
    message_timestamp_before_max_ms: int = _setting(
        "message.timestamp.before.max.ms", _INT64_MAX, _Integer(0)
    )
    message_timestamp_after_max_ms: int = _setting(
        "message.timestamp.after.max.ms", 60 * 60 * 1000, _Integer(0)
    )
    schema_validation: str = _setting(
        "ottla.schema.validation", VALIDATE_NONE, _Choice(VALIDATIONS)
    )
    producer_id_expiration_ms: int = _setting("producer.id.expiration.ms", _DAY_MS, _Integer(1))

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> LogConfig:
        """Read what concerns a log out of a topic's settings; other keys are not looked at.

        Raises: RequestError INVALID_CONFIG that names key, value and what was expected.
        """
        values: dict[str, Any] = {}
        for one in fields(cls):
            key, read = one.metadata["key"], one.metadata["read"]
            if key not in settings:
                continue
            try:
                values[one.name] = read(settings[key])
            except ValueError as error:
                raise RequestError.of(
                    ErrorCode.INVALID_CONFIG,
                    f"{key} = {settings[key]!r} is not valid: expected {read}",
                ) from error
        return cls(**values)

    @property
    def compacts(self) -> bool:
        """Say whether only the newest record of each key has to be kept."""
        return COMPACT in self.cleanup_policy

    @property
    def deletes(self) -> bool:
        """Say whether old segments go, however new their records' keys are."""
        return DELETE in self.cleanup_policy

    @property
    def roll_ms(self) -> int:
        """How old a segment may grow before a new one is begun; only what is rolled is compacted.

        Source: KIP-354.
        """
        if not self.compacts:
            return self.segment_ms
        return min(self.segment_ms, self.max_compaction_lag_ms)

    @property
    def flushes_on_commit(self) -> bool:
        """Say whether records count as stored only once they are on stable storage."""
        return self.flush == FLUSH_COMMIT
