"""A log's settings under Kafka's keys."""

from __future__ import annotations

import pytest

from broker.log.config import LogConfig
from protocol.errors import ErrorCode, RequestError


def test_nothing_set_is_kafkas_default():
    config = LogConfig.of({"min.insync.replicas": "2"})

    assert config == LogConfig()
    assert config.segment_bytes == 1 << 30
    assert config.retention_ms == 604_800_000
    assert config.flushes_on_commit


def test_settings_are_read_by_kafkas_keys():
    config = LogConfig.of(
        {
            "segment.bytes": "1048576",
            "retention.ms": "-1",
            "cleanup.policy": "compact, delete",
            "ottla.flush": "os",
            "message.timestamp.type": "LogAppendTime",
        }
    )

    assert config.segment_bytes == 1048576
    assert config.retention_ms == -1
    assert config.cleanup_policy == {"compact", "delete"}
    assert not config.flushes_on_commit


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("segment.bytes", "many", "a whole number from 14 to 2147483647"),
        ("segment.bytes", "13", "a whole number from 14 to 2147483647"),
        ("retention.ms", "-2", "a whole number from -1"),
        ("ottla.flush", "never", "one of commit, os"),
        ("cleanup.policy", "keep", "delete, compact or both"),
    ],
)
def test_a_bad_value_is_refused_with_what_was_expected(key, value, expected):
    with pytest.raises(
        RequestError, match=f"{key} = '{value}' is not valid: expected {expected}"
    ) as caught:
        LogConfig.of({key: value})

    assert caught.value.code is ErrorCode.INVALID_CONFIG
