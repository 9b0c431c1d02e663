"""Which brokers the suites are pointed at: ours, or Apache Kafka to find out who is wrong.

OTTLA_TEST_AGAINST=kafka pytest tests/interop/test_groups.py
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.local_cluster import LocalCluster
from tests.support.real_kafka import RealKafka, require_kafka

AGAINST_KAFKA = os.environ.get("OTTLA_TEST_AGAINST") == "kafka"

UnderTest = LocalCluster | RealKafka


def cluster_under_test(
    directory: Path, *, brokers: int = 3, settings: tuple[str, ...] = ()
) -> UnderTest:
    """Make a cluster, not yet started, of the kind that was asked for."""
    if AGAINST_KAFKA:
        require_kafka()
        return RealKafka(directory, brokers=brokers, settings=settings)
    return LocalCluster(directory, brokers=brokers, settings=settings)
