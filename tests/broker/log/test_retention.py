"""Which segments go."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from broker.log.config import LogConfig
from broker.log.retention import count_expired

NOW_MS = 100_000


@dataclass
class Facts:
    next_offset: int
    size_bytes: int = 100
    max_timestamp_ms: int = NOW_MS
    opened_ms: int = NOW_MS


SEGMENTS = [
    Facts(10, max_timestamp_ms=NOW_MS - 5000),
    Facts(20, max_timestamp_ms=NOW_MS - 3000),
    Facts(30, max_timestamp_ms=NOW_MS - 1000),
    Facts(40, max_timestamp_ms=NOW_MS),
]


def count(config, *, segments=SEGMENTS, log_start_offset=0, high_watermark=40):
    return count_expired(
        segments,
        config,
        log_start_offset=log_start_offset,
        high_watermark=high_watermark,
        now_ms=NOW_MS,
    )


@pytest.mark.parametrize(
    ("retention_ms", "expired"), [(5000, 0), (4999, 1), (1000, 2), (0, 3), (-1, 0)]
)
def test_segments_older_than_their_time_go(retention_ms, expired):
    assert count(LogConfig(retention_ms=retention_ms)) == expired


@pytest.mark.parametrize(
    ("retention_bytes", "expired"),
    [(400, 0), (399, 0), (300, 1), (250, 1), (199, 2), (0, 4), (-1, 0)],
)
def test_segments_go_while_the_rest_is_still_large_enough(retention_bytes, expired):
    assert count(LogConfig(retention_bytes=retention_bytes)) == expired


def test_what_is_not_committed_stays():
    assert count(LogConfig(retention_bytes=0), high_watermark=19) == 1


def test_what_lies_below_the_log_start_goes_whatever_the_policy():
    compacted = LogConfig(cleanup_policy=frozenset({"compact"}), retention_bytes=0)

    assert count(compacted) == 0
    assert count(compacted, log_start_offset=25) == 2


def test_a_young_segment_keeps_the_older_ones_behind_it_only():
    segments = [Facts(10, max_timestamp_ms=NOW_MS), Facts(20, max_timestamp_ms=0)]

    assert count(LogConfig(retention_ms=10), segments=segments) == 0


def test_a_segment_without_timestamps_ages_from_when_it_was_opened():
    segments = [Facts(10, max_timestamp_ms=-1, opened_ms=NOW_MS - 11), Facts(40)]

    assert count(LogConfig(retention_ms=10), segments=segments) == 1
    assert count(LogConfig(retention_ms=11), segments=segments) == 0
