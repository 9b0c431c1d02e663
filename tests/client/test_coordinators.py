from __future__ import annotations

import pytest
import trio

from client.cluster import open_cluster
from client.cluster_options import ClusterOptions
from client.coordinators import Coordinators, find_coordinators
from client.errors import UnsupportedApi, WaitTimedOut
from protocol.api import ApiKey
from protocol.errors import EncodeError, ErrorCode, RequestError
from tests.support.fake_admin import FakeGroup


@pytest.fixture
async def known(admin_cluster):
    """A client's view of three brokers, each of which keeps a group."""
    for broker_id in admin_cluster.broker_ids:
        admin_cluster.kept_groups[f"of-{broker_id}"] = FakeGroup(broker_id)
    options = ClusterOptions(environment=admin_cluster.environment)
    async with open_cluster(admin_cluster.bootstrap, options) as known:
        yield known


async def test_several_groups_are_looked_for_in_one_request(known, admin_cluster, autojump_clock):
    found = await find_coordinators(known, ["of-2", "of-0"], timeout_s=5)

    assert found == {"of-2": 2, "of-0": 0}
    assert admin_cluster.count(ApiKey.FIND_COORDINATOR) == 1


async def test_an_old_broker_is_asked_for_one_group_at_a_time(admin_cluster, autojump_clock):
    admin_cluster.versions[ApiKey.FIND_COORDINATOR] = (0, 3)
    admin_cluster.kept_groups["of-1"] = FakeGroup(1)
    options = ClusterOptions(environment=admin_cluster.environment)

    async with open_cluster(admin_cluster.bootstrap, options) as known:
        found = await find_coordinators(known, ["of-1", "other"], timeout_s=5)

    assert found == {"of-1": 1, "other": 0}
    assert admin_cluster.count(ApiKey.FIND_COORDINATOR) == 2


async def test_a_group_without_a_broker_is_waited_for(known, admin_cluster, autojump_clock):
    admin_cluster.script(
        ApiKey.FIND_COORDINATOR,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    )

    assert await find_coordinators(known, ["of-1"], timeout_s=5) == {"of-1": 1}
    assert admin_cluster.count(ApiKey.FIND_COORDINATOR) == 3


async def test_a_coordinator_that_died_is_waited_for_and_named(
    known, admin_cluster, autojump_clock
):
    admin_cluster.kill(2)
    await known.refresh()

    with pytest.raises(WaitTimedOut, match="broker 2, which keeps 'of-2', is not live"):
        await find_coordinators(known, ["of-2", "of-1"], timeout_s=5)
    assert trio.current_time() == pytest.approx(5)


async def test_a_name_that_is_refused_does_not_stand_in_the_way_of_others(known, autojump_clock):
    found = await find_coordinators(known, ["", "of-1"], timeout_s=5)

    assert found["of-1"] == 1
    assert isinstance(found[""], RequestError)
    assert found[""].code is ErrorCode.INVALID_GROUP_ID


@pytest.mark.parametrize("group_id", ["\ud800", "x" * 70_000])
async def test_a_name_that_has_no_bytes_is_an_error_of_its_own(known, autojump_clock, group_id):
    with pytest.raises(EncodeError, match="coordinator_keys"):
        await find_coordinators(known, [group_id], timeout_s=5)


async def test_brokers_that_know_no_groups_are_not_asked_again(admin_cluster, autojump_clock):
    del admin_cluster.versions[ApiKey.FIND_COORDINATOR]
    options = ClusterOptions(environment=admin_cluster.environment)

    async with open_cluster(admin_cluster.bootstrap, options) as known:
        with pytest.raises(UnsupportedApi, match="does not offer it"):
            await find_coordinators(known, ["of-1"], timeout_s=5)


async def test_what_was_found_is_remembered_until_it_is_forgotten(
    known, admin_cluster, autojump_clock
):
    coordinators = Coordinators(known)
    for _ in range(3):
        assert await coordinators.find(["of-1"], timeout_s=5) == {"of-1": 1}
    assert admin_cluster.count(ApiKey.FIND_COORDINATOR) == 1

    admin_cluster.kept_groups["of-1"].coordinator_id = 0
    coordinators.forget("of-1")
    assert await coordinators.find(["of-1", "of-2"], timeout_s=5) == {"of-1": 0, "of-2": 2}
