from __future__ import annotations

import pytest

from client.admin import Admin
from client.errors import UnknownTopic
from client.records import OffsetAndMetadata, TopicPartition
from commands.failure import CommandFailed
from commands.group_lag import UNKNOWN_ENDS, LogEnds
from commands.group_plan import Aim, Target
from commands.group_reset import look_ahead
from commands.group_view import GroupView, look_at_groups
from commands.partitions import choose_partitions
from protocol.errors import ErrorCode, RequestError
from tests.support.fake_admin import FakeAdminCluster, FakeGroup


@pytest.fixture
async def cluster(nursery):
    fake = FakeAdminCluster(nursery, brokers=2)
    for broker_id in fake.broker_ids:
        await fake.start(broker_id)
    for partition in fake.add_topic("orders", partitions=3).partitions:
        partition.log_start = 2
        partition.add(b"a", b"b", b"c")
    return fake


@pytest.fixture
async def admin(cluster):
    async with Admin(cluster.bootstrap, environment=cluster.environment) as admin:
        yield admin


async def test_a_group_is_seen_with_what_it_committed_and_what_its_members_read(
    admin, cluster, autojump_clock
):
    group = cluster.kept_groups["billing"] = FakeGroup(1, committed={("orders", 2): 4})
    group.add_member("m", {"orders": [0]})
    view = (await look_at_groups(admin, ["billing"]))["billing"]

    assert isinstance(view, GroupView)
    read, committed = view.partitions
    assert (read.place, read.committed, read.member.member_id) == (("orders", 0), None, "m")
    assert (committed.place, committed.committed, committed.member) == (
        ("orders", 2), OffsetAndMetadata(4, 5, "a note"), None,
    )  # fmt: skip
    assert read.ends == committed.ends == LogEnds(2, 5, 5)


async def test_partitions_that_are_gone_or_have_no_leader_are_shown_without_ends(
    admin, cluster, autojump_clock
):
    committed = {("orders", 1): 3, ("orders", 7): 3, ("deleted", 0): 3}
    cluster.kept_groups["billing"] = FakeGroup(1, committed=committed)
    cluster.topics["orders"].partitions[1].leader_id = -1
    view = (await look_at_groups(admin, ["billing"]))["billing"]

    assert [(lag.place, lag.ends) for lag in view.partitions] == [
        (place, UNKNOWN_ENDS) for place in sorted(committed)
    ]


async def test_a_group_that_is_refused_does_not_hide_the_others(admin, cluster, autojump_clock):
    cluster.kept_groups["billing"] = FakeGroup(0)
    found = await look_at_groups(admin, ["nowhere", "billing"])

    assert isinstance(found["nowhere"], RequestError)
    assert found["nowhere"].code is ErrorCode.GROUP_ID_NOT_FOUND
    assert found["billing"].partitions == ()


async def test_topics_stand_for_all_their_partitions_unless_some_are_named(
    admin, cluster, autojump_clock
):
    cluster.add_topic("audit", partitions=2)
    chosen = await choose_partitions(admin, [("orders", (2, 0)), ("audit", ()), ("orders", (2,))])

    assert chosen == (
        TopicPartition("audit", 0), TopicPartition("audit", 1),
        TopicPartition("orders", 0), TopicPartition("orders", 2),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "named"), [(("orders", (3,)), "orders-3"), (("nowhere", ()), "'nowhere'")]
)
async def test_what_there_is_not_is_named(admin, asked, named, autojump_clock):
    with pytest.raises(UnknownTopic, match=named):
        await choose_partitions(admin, [asked])


async def test_where_nothing_is_committed_a_reset_names_the_members(admin, cluster, autojump_clock):
    group = cluster.kept_groups["billing"] = FakeGroup(1)
    group.add_member("m", {"orders": [0]})

    with pytest.raises(CommandFailed, match="has committed nothing, its members are m "):
        await look_ahead(admin, "billing", Target(Aim.EARLIEST), ())
