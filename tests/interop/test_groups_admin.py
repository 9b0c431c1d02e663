"""Groups as the admin clients of confluent-kafka, kafka-python and aiokafka see and change them."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.needs import need_packages

need_packages("confluent_kafka", "kafka", "aiokafka")
import aiokafka.admin
import kafka
import kafka.admin
from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    ConsumerGroupType,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic
from kafka.structs import OffsetAndMetadata

from tests.interop.clients import Confluent, Message
from tests.support.groups.run import GroupRun
from tests.support.known_topics import wait_known

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]

ANSWER_S = 60


@pytest.fixture
def confluent_admin(cluster):
    return AdminClient({"bootstrap.servers": cluster.bootstrap})


@pytest.fixture
def kafka_python_admin(cluster):
    admin = kafka.KafkaAdminClient(bootstrap_servers=cluster.bootstrap)
    yield admin
    admin.close()


@pytest.fixture
def three_partitions(cluster, confluent_admin, topic):
    """A topic of three partitions that every broker knows. Returns: its name."""
    for created in confluent_admin.create_topics([NewTopic(topic, 3, 3)]).values():
        created.result(timeout=ANSWER_S)
    wait_known(cluster.bootstrap, topic)
    return topic


def alter(admin: AdminClient, group: str, *offsets: TopicPartition) -> list[TopicPartition]:
    request = ConsumerGroupTopicPartitions(group, list(offsets))
    (altered,) = admin.alter_consumer_group_offsets([request]).values()
    return altered.result(timeout=ANSWER_S).topic_partitions


def committed(admin: AdminClient, group: str) -> dict[tuple[str, int], int]:
    (asked,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]).values()
    found = asked.result(timeout=ANSWER_S).topic_partitions
    return {(one.topic, one.partition): one.offset for one in found}


def test_every_admin_client_describes_a_group_with_members(
    cluster, topic, tmp_path, confluent_admin, kafka_python_admin
):
    with GroupRun(cluster.bootstrap, tmp_path, group=topic, session_timeout_ms=60_000) as run:
        run.add_topic(topic, partitions=3)
        dynamic, static = run.join("confluent"), run.join("aiokafka", instance_id="static-1")
        run.wait_shared(dynamic, static)
        run.wait_processed()
        owned = {m.spec.name: {(p.topic, p.index) for p in m.owned} for m in (dynamic, static)}

        (asked,) = confluent_admin.describe_consumer_groups([topic]).values()
        described = asked.result(timeout=ANSWER_S)
        assert described.state is ConsumerGroupState.STABLE
        assert described.type is ConsumerGroupType.CLASSIC
        assert described.partition_assignor == "range"
        assert not described.is_simple_consumer_group
        assert described.coordinator.id in {1, 2, 3}
        assert {m.client_id: m.group_instance_id for m in described.members} == {
            dynamic.spec.name: None,
            static.spec.name: "static-1",
        }
        for member in described.members:
            found = {(p.topic, p.partition) for p in member.assignment.topic_partitions}
            assert found == owned[member.client_id]

        told = kafka_python_admin.describe_groups([topic])[topic]
        assert (told["group_state"], told["protocol_type"]) == ("Stable", "consumer")
        assert told["protocol_data"] == "range"
        assert {m["client_id"] for m in told["members"]} == owned.keys()
        assert {m["client_host"] for m in told["members"]} == {"/127.0.0.1"}

        for how, is_listed in [
            ({}, True),
            ({"states": {ConsumerGroupState.STABLE}}, True),
            ({"states": {ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD}}, False),
            ({"types": {ConsumerGroupType.CLASSIC}}, True),
            ({"types": {ConsumerGroupType.CONSUMER}}, False),
        ]:
            listed = confluent_admin.list_consumer_groups(**how).result(timeout=ANSWER_S)
            assert not listed.errors
            assert (topic in {group.group_id for group in listed.valid}) == is_listed, how

        assert asyncio.run(seen_by_aiokafka(cluster.bootstrap, topic)) == owned.keys()
        run.finish(exactly_once=True)


async def seen_by_aiokafka(bootstrap: str, group: str) -> set[str]:
    """Have aiokafka list, find and describe a group. Returns: its members' client ids."""
    admin = aiokafka.admin.AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        assert (group, "consumer") in [g[:2] for g in await admin.list_consumer_groups()]
        assert await admin.find_coordinator(group) in {1, 2, 3}
        (response,) = await admin.describe_consumer_groups([group])
        (described,) = response.groups
        return {member[1] for member in described[5]}
    finally:
        await admin.close()


def test_librdkafkas_admin_sets_offsets_and_deletes_groups(confluent_admin, three_partitions):
    topic, group = three_partitions, f"group-{three_partitions}"

    altered = alter(
        confluent_admin, group, TopicPartition(topic, 0, 7), TopicPartition(topic, 2, 9)
    )

    assert all(one.error is None for one in altered)
    assert committed(confluent_admin, group) == {(topic, 0): 7, (topic, 2): 9}
    (unknown,) = alter(confluent_admin, group, TopicPartition(f"no-{topic}", 0, 1))
    assert unknown.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    (deleted,) = confluent_admin.delete_consumer_groups([group]).values()
    deleted.result(timeout=ANSWER_S)
    assert committed(confluent_admin, group) == {}
    (again,) = confluent_admin.delete_consumer_groups([group]).values()
    with pytest.raises(KafkaException) as refused:
        again.result(timeout=ANSWER_S)
    assert refused.value.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND


def test_offsets_keep_their_metadata_and_leader_epoch(kafka_python_admin, three_partitions):
    topic, group = three_partitions, f"group-{three_partitions}"
    offsets = {
        kafka.TopicPartition(topic, 0): OffsetAndMetadata(5, "left to do: ünïcödé", 3),
        kafka.TopicPartition(topic, 1): OffsetAndMetadata(6, "", -1),
    }

    kafka_python_admin.alter_group_offsets(group, offsets)

    assert kafka_python_admin.list_group_offsets(group)[group] == offsets


def test_kafka_pythons_admin_resets_and_deletes(cluster, kafka_python_admin, three_partitions):
    topic, group = three_partitions, f"group-{three_partitions}"
    Confluent().produce(cluster.bootstrap, topic, [Message(None, b"%d" % i) for i in range(20)])
    one, other = kafka.TopicPartition(topic, 0), kafka.TopicPartition(topic, 1)
    kafka_python_admin.alter_group_offsets(group, {one: OffsetAndMetadata(5, "", -1)})

    reset = kafka_python_admin.reset_group_offsets(
        group, {one: kafka.admin.OffsetSpec.LATEST, other: 100}
    )

    assert {p: r["offset"] for p, r in reset.items()} == {one: 20, other: 0}
    found = kafka_python_admin.list_group_offsets(group)[group]
    assert {p: o.offset for p, o in found.items()} == {one: 20, other: 0}
    gone = kafka_python_admin.delete_group_offsets(group, [other])
    assert gone == {other: kafka.errors.NoError}
    found = kafka_python_admin.list_group_offsets(group)[group]
    assert {p: o.offset for p, o in found.items()} == {one: 20}
    assert kafka_python_admin.delete_groups([group]) == {group: "OK"}
    assert kafka_python_admin.delete_groups([group]) == {group: "GroupIdNotFoundError"}


def test_offsets_of_many_groups_are_read_at_once(kafka_python_admin, three_partitions):
    groups = [f"{index}-{three_partitions}" for index in range(8)]
    place = kafka.TopicPartition(three_partitions, 0)
    for index, group in enumerate(groups):
        kafka_python_admin.alter_group_offsets(group, {place: OffsetAndMetadata(index, "", -1)})

    found = kafka_python_admin.list_group_offsets(groups)

    assert {group: found[group][place].offset for group in groups} == {
        group: index for index, group in enumerate(groups)
    }


def test_a_member_is_removed_by_its_instance_id(cluster, topic, tmp_path, kafka_python_admin):
    with GroupRun(cluster.bootstrap, tmp_path, group=topic, session_timeout_ms=60_000) as run:
        run.add_topic(topic, partitions=3)
        stays, goes = run.join("confluent"), run.join("kafka-python", instance_id="goes")
        run.wait_shared(stays, goes)
        run.wait_processed()
        goes.kill()

        removed = kafka_python_admin.remove_group_members(
            topic, [kafka.admin.MemberToRemove(group_instance_id="goes", reason="it is dead")]
        )

        assert list(removed.values()) == [kafka.errors.NoError]
        run.wait_shared(stays)
        run.finish()


def test_offsets_of_a_group_with_members_cannot_be_set_from_outside(
    cluster, topic, tmp_path, confluent_admin
):
    with GroupRun(cluster.bootstrap, tmp_path, group=topic, session_timeout_ms=60_000) as run:
        run.add_topic(topic, partitions=3)
        run.wait_shared(run.join("confluent"))
        run.wait_processed()

        (altered,) = alter(confluent_admin, topic, TopicPartition(topic, 0, 0))
        assert altered.error.code() == KafkaError.UNKNOWN_MEMBER_ID
        (deleted,) = confluent_admin.delete_consumer_groups([topic]).values()
        with pytest.raises(KafkaException) as refused:
            deleted.result(timeout=ANSWER_S)
        assert refused.value.args[0].code() == KafkaError.NON_EMPTY_GROUP
        run.finish(exactly_once=True)
