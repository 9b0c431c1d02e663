from __future__ import annotations

import pytest
import trio

from client.admin import Admin, AdminConfig
from client.errors import ConnectionBroken, WaitTimedOut
from client.group_descriptions import ListedGroup
from client.records import OffsetAndMetadata, TopicPartition
from protocol.api import ApiKey
from protocol.api import describe_groups as wire
from protocol.errors import ErrorCode, RequestError
from tests.support.fake_admin import FakeGroup

ORDERS_0 = TopicPartition("orders", 0)
ORDERS_3 = TopicPartition("orders", 3)


@pytest.fixture
def groups(admin_cluster):
    """The groups of a cluster: `billing` with two members, `audit` with none."""
    billing = admin_cluster.kept_groups["billing"] = FakeGroup(1)
    billing.add_member("one", {"orders": [1, 0]}, group_instance_id="shop-1")
    billing.add_member("two", {"orders": [2], "audit": [0]})
    billing.committed = {("orders", 0): 7, ("orders", 3): 9}
    admin_cluster.kept_groups["audit"] = FakeGroup(2)
    return admin_cluster.kept_groups


@pytest.fixture
async def admin(admin_cluster, groups):
    config = AdminConfig(timeout_s=10)
    async with Admin(
        admin_cluster.bootstrap, config, environment=admin_cluster.environment
    ) as admin:
        yield admin


async def test_the_groups_of_all_brokers_are_listed_by_name(admin, autojump_clock):
    assert await admin.list_groups() == (
        ListedGroup("audit", "consumer", "Empty", "classic", 2),
        ListedGroup("billing", "consumer", "Stable", "classic", 1),
    )
    assert [group.group_id for group in await admin.list_groups(states=["Empty"])] == ["audit"]


async def test_a_broker_that_is_not_ready_is_asked_again(admin, admin_cluster, autojump_clock):
    admin_cluster.script(ApiKey.LIST_GROUPS, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)

    assert len(await admin.list_groups()) == 2
    assert admin_cluster.count(ApiKey.LIST_GROUPS) == 4


async def test_a_broker_that_goes_while_it_is_asked_does_not_stop_the_list(
    admin, admin_cluster, autojump_clock
):
    admin_cluster.kill(2)

    assert [group.group_id for group in await admin.list_groups()] == ["billing"]


async def test_groups_of_a_broker_that_came_a_moment_ago_are_listed(
    admin_cluster, groups, autojump_clock
):
    admin_cluster.kill(2)
    async with Admin("broker-0:9092", environment=admin_cluster.environment) as admin:
        await admin_cluster.start(2)
        assert [group.group_id for group in await admin.list_groups()] == ["audit", "billing"]


async def test_the_wait_for_news_of_the_brokers_ends(admin_cluster, groups, autojump_clock):
    config = AdminConfig(timeout_s=2)
    async with Admin(
        admin_cluster.bootstrap, config, environment=admin_cluster.environment
    ) as admin:
        admin_cluster.silent.update(admin_cluster.broker_ids)
        with pytest.raises(WaitTimedOut, match="2 s waiting for news of the brokers"):
            await admin.list_groups()


async def test_what_news_of_the_brokers_took_is_gone_for_the_question(
    admin, admin_cluster, faults, autojump_clock
):
    admin_cluster.script(ApiKey.METADATA, *[faults(delay_s=4)] * 3)
    admin_cluster.script(ApiKey.LIST_GROUPS, *[faults(delay_s=7)] * 3)

    with pytest.raises(WaitTimedOut, match="10 s waiting for answers about 0, 1, 2"):
        await admin.list_groups()


async def test_a_group_is_described_with_its_members_and_their_partitions(admin, autojump_clock):
    group = (await admin.describe_groups(["billing"]))["billing"]

    assert (group.state, group.protocol_type, group.protocol_name) == (
        "Stable", "consumer", "range",
    )  # fmt: skip
    assert group.coordinator_id == 1
    assert group.history is None
    assert [
        (m.member_id, m.group_instance_id, m.client_id, m.client_host) for m in group.members
    ] == [("one", "shop-1", "app", "127.0.0.1"), ("two", None, "app", "127.0.0.1")]
    assert group.members[0].assignment == (ORDERS_0, TopicPartition("orders", 1))
    assert group.members[1].assignment == (
        TopicPartition("audit", 0), TopicPartition("orders", 2),
    )  # fmt: skip


async def test_what_there_is_not_is_refused_alone(admin, autojump_clock):
    found = await admin.describe_groups(["nowhere", "audit"])

    assert isinstance(found["nowhere"], RequestError)
    assert found["nowhere"].code is ErrorCode.GROUP_ID_NOT_FOUND
    assert found["audit"].state == "Empty"


async def test_the_dead_state_of_older_brokers_means_that_there_is_no_such_group(
    admin, groups, autojump_clock
):
    groups["audit"].state = "Dead"
    found = (await admin.describe_groups(["audit"]))["audit"]

    assert isinstance(found, RequestError)
    assert found.code is ErrorCode.GROUP_ID_NOT_FOUND


async def test_members_of_other_protocols_have_no_partitions(admin, groups, autojump_clock):
    groups["connect"] = FakeGroup(0, protocol_type="connect")
    groups["connect"].add_member("worker", {}, data=b"what only Connect can read")

    assert (await admin.describe_groups(["connect"]))["connect"].members[0].assignment == ()


async def test_an_assignment_that_cannot_be_read_is_told_with_its_group(
    admin, groups, autojump_clock
):
    groups["odd"] = FakeGroup(0)
    groups["odd"].add_member("m", {}, data=b"\0")
    found = await admin.describe_groups(["odd", "audit"])

    assert isinstance(found["odd"], RequestError)
    assert "group 'odd': its leader gave out what no consumer reads" in str(found["odd"])
    assert found["audit"].state == "Empty"


async def test_a_history_is_given_where_it_is_asked_for_and_kept(
    admin, admin_cluster, groups, autojump_clock
):
    groups["billing"].history = [
        wire.Rebalance(
            generation_id=6, started_ms=5, completed_ms=9, member_count=2, leader_id="one",
            protocol_name="range",
            causes=[wire.RebalanceCause("left", 5, "three", None, "app", "/127.0.0.1")],
            moves=[wire.PartitionMoves("one", "orders", [0, 1], [])],
        )
    ]  # fmt: skip
    group = (await admin.describe_groups(["billing"], with_history=True))["billing"]
    (rebalance,) = group.history.rebalances

    assert group.history.since_ms == 1
    assert (rebalance.generation_id, rebalance.completed_ms) == (6, 9)
    assert (rebalance.causes[0].kind, rebalance.causes[0].client_host) == ("left", "127.0.0.1")
    assert rebalance.moves[0].gained == (0, 1)
    assert (await admin.describe_groups(["billing"]))["billing"].history is None

    admin_cluster.keeps_history = False
    group = (await admin.describe_groups(["billing"], with_history=True))["billing"]
    assert group.history is None


async def test_a_group_that_moved_is_asked_for_at_its_new_broker(admin, groups, autojump_clock):
    await admin.describe_groups(["audit", "billing"])
    groups["audit"].coordinator_id = 0

    found = await admin.describe_groups(["audit", "billing"])
    assert (found["audit"].coordinator_id, found["billing"].coordinator_id) == (0, 1)


async def test_a_group_whose_broker_died_is_asked_for_at_the_next_one(
    admin, admin_cluster, groups, autojump_clock
):
    await admin.describe_groups(["audit"])
    admin_cluster.kill(2)
    groups["audit"].coordinator_id = 0

    assert (await admin.describe_groups(["audit"]))["audit"].coordinator_id == 0


async def test_the_wait_for_a_group_ends_with_the_last_cause(
    admin, admin_cluster, groups, autojump_clock
):
    await admin.describe_groups(["audit"])
    admin_cluster.kill(2)

    with pytest.raises(WaitTimedOut, match="'audit', is not live"):
        await admin.describe_groups(["audit"])
    assert trio.current_time() == pytest.approx(10)


async def test_only_groups_without_members_are_deleted(admin, groups, autojump_clock):
    results = await admin.delete_groups(["audit", "billing", "nowhere"])

    assert results["audit"] is None
    assert results["billing"].code is ErrorCode.NON_EMPTY_GROUP
    assert results["nowhere"].code is ErrorCode.GROUP_ID_NOT_FOUND
    assert set(groups) == {"billing"}


async def test_a_group_is_deleted_though_its_broker_of_before_has_left(
    admin, admin_cluster, groups, autojump_clock
):
    await admin.describe_groups(["audit"])
    admin_cluster.kill(2)
    groups["audit"].coordinator_id = 0
    await admin.list_groups()  # which tells what brokers there are

    assert await admin.delete_groups(["audit"]) == {"audit": None}


async def test_a_deletion_whose_answer_is_lost_is_not_made_twice(
    admin, admin_cluster, faults, autojump_clock
):
    admin_cluster.script(ApiKey.DELETE_GROUPS, faults(drop_after=True))

    with pytest.raises(ConnectionBroken):
        await admin.delete_groups(["audit"])
    assert admin_cluster.count(ApiKey.DELETE_GROUPS) == 1


@pytest.mark.parametrize("newest", [9, 7], ids=["several at once", "one by one"])
async def test_what_groups_have_committed_is_listed(admin_cluster, groups, newest, autojump_clock):
    admin_cluster.versions[ApiKey.OFFSET_FETCH] = (1, newest)
    groups["audit"].coordinator_id = 1

    async with Admin(admin_cluster.bootstrap, environment=admin_cluster.environment) as admin:
        assert await admin.list_consumer_group_offsets(["billing", "audit"]) == {
            "billing": {
                ORDERS_0: OffsetAndMetadata(7, 5, "a note"),
                ORDERS_3: OffsetAndMetadata(9, 5, "a note"),
            },
            "audit": {},
        }
    assert admin_cluster.count(ApiKey.OFFSET_FETCH) == (1 if newest == 9 else 2)


async def test_offsets_are_committed_for_a_group_without_members(admin, groups, autojump_clock):
    outcomes = await admin.alter_consumer_group_offsets(
        "audit", {ORDERS_0: OffsetAndMetadata(3), ORDERS_3: OffsetAndMetadata(4)}
    )

    assert outcomes == {ORDERS_0: None, ORDERS_3: None}
    assert groups["audit"].committed == {("orders", 0): 3, ("orders", 3): 4}


async def test_offsets_of_a_group_with_members_stay_as_they_are(admin, groups, autojump_clock):
    outcomes = await admin.alter_consumer_group_offsets("billing", {ORDERS_0: OffsetAndMetadata(3)})

    assert outcomes[ORDERS_0].code is ErrorCode.UNKNOWN_MEMBER_ID
    assert groups["billing"].committed["orders", 0] == 7


async def test_a_commit_finds_a_group_that_moved(admin, groups, admin_cluster, autojump_clock):
    await admin.describe_groups(["audit"])
    groups["audit"].coordinator_id = 0

    outcomes = await admin.alter_consumer_group_offsets("audit", {ORDERS_0: OffsetAndMetadata(3)})
    assert outcomes == {ORDERS_0: None}
    assert admin_cluster.count(ApiKey.OFFSET_COMMIT, 0) == 1


async def test_committed_offsets_are_forgotten(admin, groups, autojump_clock):
    assert await admin.delete_consumer_group_offsets("billing", [ORDERS_3]) == {ORDERS_3: None}
    assert groups["billing"].committed == {("orders", 0): 7}

    with pytest.raises(RequestError, match="group 'nowhere': GROUP_ID_NOT_FOUND"):
        await admin.delete_consumer_group_offsets("nowhere", [ORDERS_3])


async def test_a_silent_broker_of_a_group_is_left_for_its_successor(
    admin, admin_cluster, groups, autojump_clock
):
    await admin.describe_groups(["billing"])
    admin_cluster.silent.add(1)
    groups["billing"].coordinator_id = 2

    assert "billing" in await admin.describe_groups(["billing"])
    assert trio.current_time() < 10


async def test_a_broker_of_a_group_that_stays_silent_is_named(admin, admin_cluster, autojump_clock):
    admin_cluster.silent.add(1)

    with pytest.raises(WaitTimedOut, match="about billing; last: .*broker-1:"):
        await admin.describe_groups(["billing"])
    await admin.describe_groups(["audit"])
