"""Znode values: what is encoded is decoded again, and nothing else is accepted."""

from __future__ import annotations

from contextlib import suppress

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator import paths, records
from coordinator.cluster import BrokerRegistration, Endpoint, PartitionState, TopicState
from coordinator.decide_topics import PARTITIONS_PER_TOPIC_MAX, REPLICAS_PER_TOPIC_MAX
from coordinator.records import ControllerRecord, Incarnation, RecordUnreadable, Tombstone
from coordinator.store import Check, Create, Delete, Set, Stat, check_size
from coordinator.tombstones import bury
from coordinator.topic_config import INHERITED_KEYS, VALUE_BYTES_MAX

STAT = Stat(czxid=77, mzxid=78, version=3, children_version=0, owner=5, children=0)

ids = st.integers(0, 2**31 - 1)
replicas = st.frozensets(st.tuples(st.binary(min_size=16, max_size=16), ids), max_size=3)
epochs = st.integers(-1, 2**31 - 1)
texts = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3)
id_tuples = st.lists(ids, max_size=4).map(tuple)
partitions = st.builds(
    PartitionState,
    replicas=id_tuples,
    leader_id=epochs,
    leader_epoch=epochs,
    isr=id_tuples,
    elr=id_tuples,
    partition_epoch=epochs,
    leader_broker_epoch=st.integers(-1, 2**63 - 1),
    lost=st.booleans(),
    adding=id_tuples,
    removing=id_tuples,
    successor_id=epochs,
)


@given(
    topic=st.builds(
        TopicState,
        name=st.just("t"),
        topic_id=st.binary(min_size=16, max_size=16),
        config=texts,
        partitions=st.lists(partitions, max_size=4).map(tuple),
        version=st.just(3),
    )
)
def test_a_topic_is_read_as_it_was_written(topic):
    assert records.decode_topic("t", records.encode_topic(topic), version=3) == topic


def test_a_partition_takes_about_25_bytes():
    partition = PartitionState((1, 2, 3), 1, 7, (1, 2, 3), (), 300, 123_456)
    topic = TopicState("t", bytes(16), {}, (partition,) * 1_000, 0)

    assert len(records.encode_topic(topic)) < 26_000


@given(
    registration=st.builds(
        BrokerRegistration,
        broker_id=st.just(4),
        broker_epoch=st.just(STAT.czxid),
        endpoints=st.lists(st.builds(Endpoint, st.text(), ids, st.text()), max_size=2).map(tuple),
        rack=st.none() | st.text(),
        directory_id=st.text(),
        clean=st.booleans(),
        epoch_version=ids,
        directory_changed=st.booleans(),
        lossy=replicas,
        shutting_down=st.booleans(),
        offline=replicas,
        session_timeout_ms=st.none() | ids,
    )
)
def test_a_registration_is_read_as_it_was_written(registration):
    value = records.encode_registration(registration)

    assert records.decode_registration(4, value, STAT) == registration


def test_the_small_records_are_read_as_they_were_written():
    lossy = frozenset({(bytes(16), 3)})
    incarnation = Incarnation("d", clean=True, directory_changed=False, lossy=lossy)
    tombstone = Tombstone("t", (1, 2))

    assert records.decode_controller(
        records.encode_controller(ControllerRecord(3, 9))
    ) == ControllerRecord(3, 9)
    assert records.decode_incarnation(1, records.encode_incarnation(incarnation)) == incarnation
    assert records.decode_tombstone("/x", records.encode_tombstone(tombstone)) == tombstone
    assert records.decode_acknowledged(records.encode_acknowledged({2: 5, 1: 0})) == {1: 0, 2: 5}
    assert records.decode_texts("/x", records.encode_texts({"a": "b"})) == {"a": "b"}
    given = {"a": "b"}, {2: {"c": "d"}, 1: {}}
    assert records.decode_config(records.encode_config(*given)) == given
    assert records.decode_counter("/x", records.encode_counter(2**40)) == 2**40


@given(value=st.binary(max_size=60))
def test_any_bytes_are_decoded_or_refused(value):
    decoders = (
        lambda: records.decode_topic("t", value, version=0),
        lambda: records.decode_registration(1, value, STAT),
        lambda: records.decode_controller(value),
        lambda: records.decode_incarnation(1, value),
        lambda: records.decode_tombstone("/ottla/x", value),
        lambda: records.decode_acknowledged(value),
        lambda: records.decode_counter("/ottla/x", value),
    )
    for decode in decoders:
        with suppress(RecordUnreadable):
            decode()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("topic_id", b"short"),
        ("topic_id", None),
        ("config", {"a": 1}),
        ("config", [["a", "b"]]),
        ("partitions", [[1, 2, 3]]),
        ("partitions", [[[1], 1, 0, [1], [], 0, 0, 1]]),
        ("partitions", [[["x"], 1, 0, [1], [], 0, 0, False]]),
        ("partitions", [[[1], 1, 0, [1], [], 0, 0, False, [2]]]),
        ("partitions", [[[1], 1, 0, [1], [], 0, 0, False, [], ["x"], -1]]),
        ("format", 2),
        ("format", True),
    ],
)
def test_a_field_of_another_kind_is_refused(field, value):
    fields = {"format": 1, "topic_id": bytes(16), "config": {}, "partitions": []}
    assert records.decode_topic("t", msgpack.packb(fields), version=0)

    with pytest.raises(RecordUnreadable, match="/ottla/topics/t"):
        records.decode_topic("t", msgpack.packb({**fields, field: value}), version=0)


def test_a_field_that_a_later_release_added_is_skipped():
    value = msgpack.packb({"format": 1, "number": 7, "colour": "blue"})

    given = {"a": "b"}, {2: {"c": "d"}, 1: {}}
    assert records.decode_config(records.encode_config(*given)) == given
    assert records.decode_counter("/x", value) == 7


def test_a_partition_that_nothing_moves_is_written_as_before_and_read_without_its_moves():
    fields = {"format": 1, "topic_id": bytes(16), "config": {}}
    row = [[1, 2], 1, 0, [1], [2], 7, 99, False]
    value = msgpack.packb({**fields, "partitions": [row]})

    topic = records.decode_topic("t", value, version=0)

    assert topic.partitions == (PartitionState((1, 2), 1, 0, (1,), (2,), 7, 99),)
    assert msgpack.unpackb(records.encode_topic(topic))["partitions"] == [row]


@pytest.mark.parametrize("later_field", ["offline", "session_timeout_ms"])
def test_a_registration_of_a_release_that_did_not_know_a_field_yet_is_read(later_field):
    registration = BrokerRegistration(1, STAT.czxid, (), None, "d", clean=True, epoch_version=0)
    fields = msgpack.unpackb(records.encode_registration(registration))
    del fields[later_field]

    assert records.decode_registration(1, msgpack.packb(fields), STAT) == registration


def test_the_largest_topic_fits_into_a_request():
    """Every number in it is as large as can be, and every partition changes its direction."""
    target, original, called_off = (2**31 - n for n in (1, 2, 3))
    partition = PartitionState(
        replicas=(target, original, called_off),
        leader_id=original,
        leader_epoch=2**31 - 1,
        isr=(original, called_off, target),
        partition_epoch=2**31 - 1,
        leader_broker_epoch=2**63 - 1,
        adding=(target, called_off),
        removing=(original, called_off),
        successor_id=target,
    )
    count = PARTITIONS_PER_TOPIC_MAX
    assert count * len(partition.replicas) == REPLICAS_PER_TOPIC_MAX
    config = {str(n): "x" * VALUE_BYTES_MAX for n in range(2)}
    inherited = dict.fromkeys(INHERITED_KEYS, "2147483647")
    topic = TopicState(
        "t" * 249, bytes(16), config, (partition,) * count, version=0, inherited=inherited
    )

    path, value = paths.topic(topic.name), records.encode_topic(topic)
    fence = Check(paths.CONTROLLER)
    check_size([fence, Set(path, value)])
    check_size([fence, Delete(path), bury(topic), Create(path, value)])
