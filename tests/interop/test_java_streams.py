"""Kafka Streams: applications that keep what they know in topics of their own making."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from client import Admin, Consumer, ConsumerConfig, NewTopic, Producer

pytestmark = pytest.mark.interop

WORD_COUNT = str(Path(__file__).parent / "java" / "WordCount.java")
LINES = [f"w{number % 7} w{number % 31}" for number in range(2_000)]
HALF = len(LINES) // 2


def counted(lines):
    """Count words as WordCount is to do it."""
    return Counter(word for line in lines for word in line.split())


async def create(cluster, *topics):
    async with Admin(cluster.bootstrap) as admin:
        for name in topics:
            await admin.create_topic(NewTopic(name, partitions=3, replication_factor=3))


async def produce(cluster, topic, lines):
    async with Producer(cluster.bootstrap) as producer:
        for number, line in enumerate(lines):
            await producer.enqueue(topic, line.encode(), key=str(number).encode())


async def test_streams_count_words_and_go_on_where_they_were(java, cluster, topic, tmp_path):
    source, counts = f"{topic}-lines", f"{topic}-counts"
    await create(cluster, source, counts)

    def count(lines, directory):
        told = java.run(
            WORD_COUNT,
            *(cluster.bootstrap, topic, source, counts, str(tmp_path / directory)),
            str(sum(counted(lines).values())),
            "session.timeout.ms=6000",  # its members do not leave when they end
        )
        return {word: int(number) for word, number in map(str.split, told.splitlines())}

    await produce(cluster, source, LINES[:HALF])
    assert count(LINES[:HALF], "first") == counted(LINES[:HALF])

    # What was counted is read from the changelog: the directory is another one.
    await produce(cluster, source, LINES[HALF:])
    assert count(LINES, "second") == counted(LINES)

    newest = {}
    from_start = ConsumerConfig(auto_offset_reset="earliest")
    async with Consumer(cluster.bootstrap, from_start) as consumer:
        await consumer.assign_topics(counts)
        while newest != counted(LINES):
            newest |= {one.key.decode(): int(one.value) for one in await consumer.poll()}
    async with Admin(cluster.bootstrap) as admin:
        own = {
            name for name in await admin.describe_topics() if name.startswith(f"{topic}-counts-")
        }
    assert own == {f"{topic}-counts-changelog", f"{topic}-counts-repartition"}


async def test_streams_are_told_that_there_are_no_transactions(java, cluster, topic, tmp_path):
    await create(cluster, topic)

    said = java.run(
        WORD_COUNT,
        *(cluster.bootstrap, f"{topic}-app", topic, topic, str(tmp_path), "1"),
        "processing.guarantee=exactly_once_v2",
        fails=True,
    )

    assert "transactions are not served yet: use an idempotent producer" in said
