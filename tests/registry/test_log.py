"""A compacted `_schemas`, read by a real consumer from a scripted broker."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from client import Consumer, ConsumerConfig
from protocol.records import Record, encode_batch
from registry import records
from registry.log import SchemasLog
from registry.model import Body, Config, Version
from registry.records import ConfigSet, SchemaGone, SchemaSet
from schemas.schema import SchemaType
from tests.support.compacted import keep_only
from tests.support.fake_cluster import FakeCluster

BOUND_S = 60
TOPIC = "_schemas"


class Topic:
    """The topic on the broker, written and compacted by hand."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster = cluster
        self.partition = cluster.add_topic(TOPIC).partitions[0]

    def write(self, *changes) -> None:
        """Write changes as one batch, of which readers hear with their next fetch."""
        start = self.partition.end_offset
        written = [
            Record(start + index, 0, *records.encode(change))
            for index, change in enumerate(changes)
        ]
        self.partition.batches.append(encode_batch(written, base_offset=start))

    def compact(self, *keep: int) -> None:
        """Leave the records at these offsets only."""
        self.partition.batches = [keep_only(each, keep) for each in self.partition.batches]


def version(number: int, *, subject: str = "a") -> Version:
    """Make a version with a schema of its own."""
    text = f'{{"type":"fixed","name":"F","size":{number}}}'
    return Version(subject, number, number, Body(SchemaType.AVRO, text))


@pytest.fixture
async def topic(nursery):
    """An empty topic on one broker. Returns: Topic."""
    cluster = FakeCluster(nursery, brokers=1)
    await cluster.start(0)
    return Topic(cluster)


@asynccontextmanager
async def followed(topic, **options):
    """Follow the topic, after all that there is has been read. Gives: SchemasLog."""
    cluster = topic.cluster
    config = ConsumerConfig(auto_offset_reset="none", **options)
    with trio.fail_after(BOUND_S):
        async with (
            Consumer(cluster.bootstrap, config, environment=cluster.environment) as consumer,
            trio.open_nursery() as nursery,
        ):
            log = SchemasLog(consumer, TOPIC)
            await nursery.start(log.run)
            await log.catch_up()
            yield log
            nursery.cancel_scope.cancel()


async def test_a_log_with_gaps_is_read(topic, autojump_clock):
    topic.write(SchemaSet(version(1)), SchemaSet(version(2)))
    topic.write(SchemaSet(version(3)), SchemaGone("a", 1), SchemaSet(version(4)))
    topic.write(SchemaGone("a", 3), SchemaSet(version(5)))
    topic.compact(1, 4, 6)

    async with followed(topic) as log:
        assert log.end == 7
        assert log.state.versions("a") == [version(2), version(4), version(5)]
        assert log.is_readable


@pytest.mark.parametrize("kept", [(), (0,), (1,)])
@pytest.mark.parametrize("options", [{}, {"partition_bytes_max": 1}])
async def test_a_log_whose_last_records_are_gone_is_read_to_its_end(
    topic, kept, options, autojump_clock
):
    """In one fetch, or batch by batch."""
    topic.write(SchemaSet(version(1)), SchemaSet(version(2)))
    topic.write(SchemaGone("a", 3))
    topic.write(SchemaGone("a", 4), SchemaGone("a", 5))
    topic.compact(*kept)

    async with followed(topic, **options) as log:
        assert log.end == 5
        assert log.state.versions("a") == [version(offset + 1) for offset in kept]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b'{"keytype":"SCHEMA","subject":null,"version":1}', b'{"id":1,"schema":"1"}'),
        (b'{"keytype":"SCHEMA","subject":"a","version":1e999}', None),
        (b'{"keytype":"DELETE_SUBJECT","subject":[]}', b'{"version":1}'),
    ],
)
async def test_a_record_of_somebody_else_ends_no_reader(topic, key, value, autojump_clock):
    topic.write(SchemaSet(version(1)))
    topic.partition.batches.append(encode_batch([Record(1, 0, key, value)], base_offset=1))
    topic.write(SchemaSet(version(2)))

    async with followed(topic) as log:
        assert log.end == 3
        assert log.state.versions("a") == [version(1), version(2)]
        assert not log.is_readable


async def test_an_empty_log_is_read_at_once(topic, autojump_clock):
    async with followed(topic) as log:
        assert log.end == 0


async def test_what_is_written_is_added_without_reading_the_rest_again(topic, autojump_clock):
    topic.write(SchemaSet(version(1)))
    topic.compact(0)

    async with followed(topic) as log:
        state = log.state
        for number in range(2, 6):
            topic.write(SchemaSet(version(number)), ConfigSet("a", Config("FULL")))
            await log.catch_up()

        assert log.state is state
        assert [each.version for each in state.versions("a")] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("written_since", [True, False])
async def test_a_reader_that_compaction_has_overtaken_misses_no_tombstone(
    topic, written_since, autojump_clock
):
    """It was paused for longer than tombstones are kept: the version is gone all the same."""
    topic.write(SchemaSet(version(1)), SchemaSet(version(2)))
    async with followed(topic) as log:
        topic.write(SchemaGone("a", 1))
        if written_since:
            topic.write(SchemaSet(version(3)))
        topic.compact(1, 3)
        await log.catch_up()

        assert log.end == topic.partition.end_offset
        assert version(1) not in log.state.all_versions()
        assert version(2) in log.state.all_versions()
        assert (version(3) in log.state.all_versions()) is written_since


async def test_an_offset_is_reached_though_no_record_before_it_is_left(topic, autojump_clock):
    topic.write(SchemaSet(version(1)))
    async with followed(topic) as log, trio.open_nursery() as nursery:
        nursery.start_soon(log.wait_applied, 2)
        await trio.testing.wait_all_tasks_blocked()
        topic.write(SchemaGone("a", 2))
        topic.compact(0)


async def test_what_is_read_anew_is_shown_only_as_a_whole(topic, autojump_clock):
    for number in range(1, 1_200):
        topic.write(SchemaSet(version(number)))
    seen = set()
    async with followed(topic) as log:
        topic.write(SchemaGone("a", 1))
        topic.compact(*range(1, 1_199))
        topic.cluster.wake_fetches()  # no time passes while somebody looks

        async with trio.open_nursery() as nursery:

            async def look():
                while True:
                    seen.add(len(log.state.versions("a")))
                    await trio.lowlevel.checkpoint()

            nursery.start_soon(look)
            await log.catch_up()
            nursery.cancel_scope.cancel()

        assert len(log.state.versions("a")) == 1_198
    assert seen <= {1_199, 1_198}


async def test_a_log_that_does_not_begin_with_the_first_offset_is_read_from_where_it_does(
    topic, autojump_clock
):
    topic.partition.log_start = 100
    topic.write(SchemaSet(version(1)), SchemaSet(version(2)))

    async with followed(topic) as log:
        assert log.end == 102
        assert log.state.versions("a") == [version(1), version(2)]
