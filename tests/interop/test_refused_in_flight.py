"""librdkafka with five requests under way, of which one is refused for a moment.

Told of the gap that this leaves it begins a new producer epoch, for all partitions at once: what is
in doubt in another one, as its leader has just been killed, is then written twice.
"""

from __future__ import annotations

import logging
import time

import pytest

from tests.support.needs import need_packages

need_packages("confluent_kafka", "kafka", "aiokafka")
from confluent_kafka import Producer

from tests.interop.clients import create
from tests.interop.conftest import running
from tests.support.local_cluster import LocalCluster

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]

RECORDS = 2000
REFUSED = range(50, 1000, 40)
"""Which of the calls are refused; some are sent alone, so that not all of them count."""


class Told(logging.Handler):
    """Keeps what librdkafka tells of its idempotent producer."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def count(self, words: str) -> int:
        return sum(words in line for line in self.lines)


@pytest.fixture
def told():
    logger = logging.getLogger("tests.librdkafka")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    handler = Told()
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.mark.parametrize("code", ["NOT_LEADER_OR_FOLLOWER", "NOT_ENOUGH_REPLICAS"])
def test_a_producer_that_is_refused_for_a_moment_keeps_its_epoch(code, told, topic, tmp_path):
    faults = ",".join(f"Produce=error/{code}@{call}" for call in REFUSED)
    settings = ("ottla.fault.injection=true", f"ottla.faults={faults}")
    local = LocalCluster(tmp_path, brokers=1, settings=settings)
    with running(local):
        create(local.bootstrap, topic, replication_factor=1)
        offsets: list[int] = []
        failed: list[str] = []

        def delivered(error, message) -> None:
            if error is not None:
                failed.append(str(error))
            else:
                offsets.append(message.offset())

        producer = Producer(
            {
                "bootstrap.servers": local.bootstrap,
                "enable.idempotence": True,
                "linger.ms": 0,
                "batch.num.messages": 1,
                "retry.backoff.ms": 10,
                "debug": "eos",
            },
            logger=logging.getLogger("tests.librdkafka"),
        )
        for value in range(RECORDS):
            producer.produce(topic, b"%d" % value, partition=0, on_delivery=delivered)
            producer.poll(0)
            time.sleep(0.001)  # so that requests follow one another while answers are awaited
        assert producer.flush(30) == 0
        producer.close()
    assert (failed, offsets) == ([], list(range(RECORDS)))
    assert told.count("drain before retrying") > len(REFUSED) // 2, "too few were refused"
    assert told.count("bumped epoch") == 0, [line for line in told.lines if "ERRSEQ" in line][:3]
