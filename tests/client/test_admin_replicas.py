from __future__ import annotations

import pytest

from client.admin import Admin, AdminConfig, ElectionType
from client.admin.throttle import has_throttle, lift_throttle, set_throttle
from client.descriptions import ALL_BROKERS, Reassignment, ReplicaSize, ResourceType
from client.errors import ConnectionBroken, WaitTimedOut
from client.offsets import BEGINNING, END
from client.records import TopicPartition
from protocol.api import ApiKey
from protocol.errors import ErrorCode, RequestError

ORDERS_0, ORDERS_1, ORDERS_2 = (TopicPartition("orders", p) for p in range(3))


@pytest.fixture
async def admin(admin_cluster):
    """An admin of a cluster with one topic of three partitions, each led by another broker."""
    admin_cluster.add_topic("orders", partitions=3)
    config = AdminConfig(timeout_s=10)
    async with Admin(
        admin_cluster.bootstrap, config, environment=admin_cluster.environment
    ) as admin:
        yield admin


async def test_partitions_move_until_they_are_told_not_to(admin, autojump_clock):
    assert await admin.list_partition_reassignments() == {}
    wanted = {ORDERS_0: (1, 2, 7), ORDERS_1: (0, 1, 2)}
    assert await admin.alter_partition_reassignments(wanted) == {ORDERS_0: None, ORDERS_1: None}

    assert await admin.list_partition_reassignments([ORDERS_0, ORDERS_2]) == {
        ORDERS_0: Reassignment(replicas=(0, 1, 2, 7), adding=(7,), removing=(0,))
    }
    outcomes = await admin.alter_partition_reassignments({ORDERS_0: None, ORDERS_2: None})
    assert outcomes[ORDERS_0] is None
    assert outcomes[ORDERS_2].code is ErrorCode.NO_REASSIGNMENT_IN_PROGRESS


async def test_the_next_controller_moves_partitions_where_one_was_lost(
    admin, admin_cluster, autojump_clock
):
    admin_cluster.controller_id = 2

    assert await admin.alter_partition_reassignments({ORDERS_0: (1, 2)}) == {ORDERS_0: None}


async def test_elections_say_what_became_of_each_partition(admin, autojump_clock):
    outcomes = await admin.elect_leaders(ElectionType.PREFERRED, [ORDERS_0, ORDERS_1])
    assert outcomes[ORDERS_0].code is ErrorCode.ELECTION_NOT_NEEDED
    assert outcomes[ORDERS_1] is None

    assert await admin.elect_leaders(ElectionType.PREFERRED) == {ORDERS_2: None}


async def test_that_a_topic_is_unknown_is_found_out_once_for_all_its_partitions(
    admin, admin_cluster, autojump_clock
):
    await admin.delete_records({TopicPartition("nowhere", 0): 1})
    for_one = admin_cluster.count(ApiKey.METADATA)
    unknown = {TopicPartition("elsewhere", p): 1 for p in range(50)}
    outcomes = await admin.delete_records(unknown)

    assert {error.code for error in outcomes.values()} == {ErrorCode.UNKNOWN_TOPIC_OR_PARTITION}
    assert admin_cluster.count(ApiKey.METADATA) < 3 * for_one


async def test_the_search_for_leaders_ends_however_many_are_missing(admin, autojump_clock):
    unknown = {TopicPartition(f"nowhere-{n}", 0): 1 for n in range(10)}

    with pytest.raises(WaitTimedOut, match="10 s waiting for leaders of .*nowhere-9-0"):
        await admin.delete_records(unknown)


async def test_the_disks_of_all_brokers_are_described(admin, admin_cluster, autojump_clock):
    admin_cluster.topics["orders"].partitions[1].add(b"a record")
    disks = await admin.describe_log_dirs()
    (log_dir,) = disks[1]

    assert sorted(disks) == [0, 1, 2]
    assert (log_dir.path, log_dir.total_bytes, log_dir.usable_bytes) == ("/data-1", 1000, 400)
    assert log_dir.replicas[ORDERS_0] == ReplicaSize(0, 0)
    assert log_dir.size_bytes == log_dir.replicas[ORDERS_1].size_bytes > 0


async def test_a_broker_that_does_not_describe_its_disks_says_why(
    admin, admin_cluster, autojump_clock
):
    admin_cluster.script(ApiKey.DESCRIBE_LOG_DIRS, ErrorCode.CLUSTER_AUTHORIZATION_FAILED)
    refused = [
        one for one in (await admin.describe_log_dirs()).values() if not isinstance(one, tuple)
    ]

    assert [one.code for one in refused] == [ErrorCode.CLUSTER_AUTHORIZATION_FAILED]


async def test_a_broker_that_is_not_there_has_no_disks_to_describe(admin, autojump_clock):
    found = (await admin.describe_log_dirs([7]))[7]

    assert isinstance(found, RequestError)
    assert "broker 7 is not a live member" in str(found)


async def test_the_oldest_records_are_deleted(admin, admin_cluster, autojump_clock):
    for partition in admin_cluster.topics["orders"].partitions:
        partition.add(b"1", b"2", b"3")

    outcomes = await admin.delete_records({ORDERS_0: 2, ORDERS_1: END, ORDERS_2: 9})
    assert (outcomes[ORDERS_0], outcomes[ORDERS_1]) == (2, 3)
    assert outcomes[ORDERS_2].code is ErrorCode.OFFSET_OUT_OF_RANGE
    found = await admin.list_offsets(dict.fromkeys((ORDERS_0, ORDERS_1), BEGINNING))
    assert (found[ORDERS_0].offset, found[ORDERS_1].offset) == (2, 3)


async def test_records_are_deleted_at_the_leader_that_was_elected_meanwhile(
    admin, admin_cluster, autojump_clock
):
    partition = admin_cluster.topics["orders"].partitions[0]
    partition.add(b"1", b"2")
    await admin.list_offsets({ORDERS_0: END})
    partition.elect(2)

    assert await admin.delete_records({ORDERS_0: 1}) == {ORDERS_0: 1}


async def test_a_topic_that_is_not_there_is_refused_and_the_others_are_not(admin, autojump_clock):
    outcomes = await admin.delete_records({ORDERS_0: 0, TopicPartition("nowhere", 0): 0})

    assert outcomes[ORDERS_0] == 0
    assert outcomes["nowhere", 0].code is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


async def test_a_brokers_settings_are_asked_of_that_broker_and_shared_ones_of_any(
    admin, admin_cluster, autojump_clock
):
    await admin.describe_configs(ResourceType.BROKER, "2")
    await admin.describe_configs(ResourceType.BROKER, ALL_BROKERS)
    asked = [
        broker for broker, key, _, _ in admin_cluster.requests if key is ApiKey.DESCRIBE_CONFIGS
    ]

    assert asked == [2, 0]
    with pytest.raises(ConnectionBroken, match="broker 7 is not a live member"):
        await admin.describe_configs(ResourceType.BROKER, "7")
    with pytest.raises(RequestError, match="'two' is no broker"):
        await admin.alter_configs(ResourceType.BROKER, "two", {"a": "b"})


async def test_a_broker_that_came_a_moment_ago_is_asked_like_the_others(
    admin_cluster, autojump_clock
):
    admin_cluster.kill(2)
    async with Admin("broker-0:9092", environment=admin_cluster.environment) as admin:
        await admin_cluster.start(2)
        (log_dir,) = (await admin.describe_log_dirs([2]))[2]
        assert log_dir.path == "/data-2"

    admin_cluster.kill(2)
    async with Admin("broker-0:9092", environment=admin_cluster.environment) as admin:
        await admin_cluster.start(2)
        assert sorted(await admin.describe_log_dirs()) == [0, 1, 2]

    admin_cluster.kill(2)
    async with Admin("broker-0:9092", environment=admin_cluster.environment) as admin:
        await admin_cluster.start(2)
        await admin.alter_configs(ResourceType.BROKER, "2", {"a": "1"})
        assert admin_cluster.broker_configs == {"2": {"a": "1"}}


async def test_a_throttle_names_what_moves_and_is_lifted_from_the_topic_and_from_brokers(
    admin, admin_cluster, autojump_clock
):
    before, after = {0: (0, 1), 1: (1, 2)}, {0: (0, 2), 1: (1, 0)}
    await set_throttle(admin, "orders", rate=1000, before=before, after=after)

    assert admin_cluster.topics["orders"].configs == {
        "leader.replication.throttled.replicas": "0:0,0:1,1:1,1:2",
        "follower.replication.throttled.replicas": "0:2,1:0",
    }
    assert admin_cluster.broker_configs == {
        broker_id: {
            "leader.replication.throttled.rate": "1000",
            "follower.replication.throttled.rate": "1000",
        }
        for broker_id in ("0", "1", "2")
    }

    assert await has_throttle(admin, "orders", [0])
    assert await lift_throttle(admin, "orders", [])
    assert admin_cluster.topics["orders"].configs == {}
    assert await has_throttle(admin, "orders", [0])
    assert await lift_throttle(admin, "orders", [0, 1, 2])
    assert not any(admin_cluster.broker_configs.values())
    assert not await lift_throttle(admin, "orders", [0, 1, 2])
    assert not await has_throttle(admin, "orders", [0, 1, 2])
