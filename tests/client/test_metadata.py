from __future__ import annotations

import pytest

from client.metadata import Address, Metadata, parse_bootstrap
from protocol.api.metadata import (
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from protocol.errors import ErrorCode


def response(*, leader_id, leader_epoch, topic_id=b"a" * 16, error_code=0, partitions=1):
    return MetadataResponse(
        brokers=[MetadataResponseBroker(b, f"host-{b}", 9092) for b in (1, 2)],
        controller_id=1,
        topics=[
            MetadataResponseTopic(
                error_code,
                "orders",
                topic_id,
                partitions=[
                    MetadataResponsePartition(
                        partition_index=index, leader_id=leader_id, leader_epoch=leader_epoch
                    )
                    for index in range(partitions)
                ],
            )
        ],
    )


def leader_of(metadata):
    info = metadata.partition("orders", 0)
    return (info.leader_id, info.leader_epoch)


def test_news_of_an_older_leader_epoch_are_ignored():
    metadata = Metadata()
    metadata.update(response(leader_id=1, leader_epoch=5))
    metadata.update(response(leader_id=2, leader_epoch=4))
    assert leader_of(metadata) == (1, 5)

    metadata.update(response(leader_id=2, leader_epoch=6))
    assert leader_of(metadata) == (2, 6)


def test_a_topic_created_anew_starts_with_its_own_epochs():
    metadata = Metadata()
    metadata.update(response(leader_id=1, leader_epoch=5))
    metadata.update(response(leader_id=2, leader_epoch=0, topic_id=b"b" * 16))

    assert leader_of(metadata) == (2, 0)


def test_who_has_not_heard_of_new_partitions_takes_none_away():
    metadata = Metadata()
    metadata.update(response(leader_id=1, leader_epoch=5, partitions=3))
    metadata.update(response(leader_id=1, leader_epoch=5, partitions=2))
    assert sorted(metadata.topics["orders"].partitions) == [0, 1, 2]

    metadata.update(response(leader_id=1, leader_epoch=0, partitions=2, topic_id=b"b" * 16))
    assert sorted(metadata.topics["orders"].partitions) == [0, 1]


def test_a_broker_too_old_for_topic_ids_may_tell_of_another_topic():
    metadata = Metadata()
    metadata.update(response(leader_id=1, leader_epoch=5, partitions=3, topic_id=bytes(16)))
    metadata.update(response(leader_id=1, leader_epoch=5, partitions=2, topic_id=bytes(16)))

    assert sorted(metadata.topics["orders"].partitions) == [0, 1]


@pytest.mark.parametrize("how", ["an error", "left out"])
def test_epochs_outlast_the_news_of_a_broker_that_does_not_know_the_topic(how):
    metadata = Metadata()
    metadata.update(response(leader_id=1, leader_epoch=5))
    if how == "an error":
        code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        metadata.update(response(leader_id=1, leader_epoch=0, error_code=code))
    else:
        metadata.note_unknown(["orders"])
    assert metadata.partition("orders", 0) is None

    metadata.update(response(leader_id=2, leader_epoch=4))
    assert leader_of(metadata) == (1, 5)


def test_a_leader_learned_from_a_refusal_counts_if_it_is_newer_and_known():
    metadata = Metadata()
    metadata.update(response(leader_id=1, leader_epoch=5))

    metadata.learn_leader("orders", 0, leader_id=2, leader_epoch=5)
    metadata.learn_leader("orders", 0, leader_id=3, leader_epoch=9)
    metadata.learn_leader("orders", 1, leader_id=2, leader_epoch=9)
    assert leader_of(metadata) == (1, 5)

    metadata.learn_leader("orders", 0, leader_id=2, leader_epoch=6)
    assert leader_of(metadata) == (2, 6)


def test_the_rack_of_a_replica_is_known_while_its_broker_is_away():
    metadata = Metadata()
    news = response(leader_id=1, leader_epoch=5)
    news.topics[0].partitions[0].replica_nodes = [1, 2, 3]
    news.brokers[0].rack = "attic"
    metadata.update(news)
    assert metadata.racks_of("orders", 0) == {"attic"}

    del news.brokers[0]
    metadata.update(news)
    assert metadata.racks_of("orders", 0) == {"attic"}
    assert metadata.racks_of("orders", 1) == frozenset()


def test_a_refused_topic_is_forgotten_and_the_refusal_remembered():
    metadata = Metadata()
    metadata.update(response(leader_id=1, leader_epoch=5))
    metadata.update(response(leader_id=1, leader_epoch=5, error_code=3))

    assert metadata.partition("orders", 0) is None
    assert metadata.topic_errors == {"orders": ErrorCode.UNKNOWN_TOPIC_OR_PARTITION}

    metadata.update(response(leader_id=1, leader_epoch=5))
    assert metadata.topic_errors == {}


def test_bootstrap_servers_are_parsed_as_people_write_them():
    assert parse_bootstrap(" a:1, b ,[::1]:2,::1,[fe80::1]") == (
        Address("a", 1),
        Address("b", 9092),
        Address("::1", 2),
        Address("::1", 9092),
        Address("fe80::1", 9092),
    )
    assert parse_bootstrap(["a:1"]) == (Address("a", 1),)
    assert str(Address("::1", 2)) == "[::1]:2"


@pytest.mark.parametrize("wrong", ["", ",", "a:b", "a:0", "a:70000", ":9092"])
def test_what_is_no_address_is_named(wrong):
    with pytest.raises(ValueError, match="bootstrap server"):
        parse_bootstrap(wrong)
