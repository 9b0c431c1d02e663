"""Groups whose protocol type is not "consumer": what Kafka Connect's workers say to brokers.

Spoken by hand: so what its workers seldom come to is seen. One of them is in test_java_connect.
"""

from __future__ import annotations

import pytest
import trio

from protocol.api.list_groups import ListGroupsRequest
from protocol.errors import ErrorCode
from tests.support.groups.bare_member import BareMember, connect_to, find_coordinator

pytestmark = pytest.mark.interop

ALONE = {"sessioned": b"\0\1 worker", "compatible": b"\0\0 worker"}
PATIENCE_S = 60


@pytest.fixture
async def address(cluster, topic):
    """Where the broker of the group is, which is named like the topic."""
    async with connect_to(cluster.bootstrap.partition(",")[0]) as connection:
        return await find_coordinator(connection, topic)


async def test_workers_of_connect_share_their_work(address, topic):
    with trio.fail_after(PATIENCE_S):
        async with connect_to(address) as a, connect_to(address) as b:
            one = BareMember(topic, ALONE, protocol_type="connect")
            two = BareMember(topic, {"sessioned": b"\0\1 other"}, protocol_type="connect")
            assert not (await one.join(a)).error_code
            assert (await one.sync(a, {one.member_id: b"all of it"})).assignment == b"all of it"

            joined = []

            async def join(member, connection):
                response = await member.join(connection)
                assert response.error_code == ErrorCode.NONE
                assert (response.protocol_type, response.protocol_name) == ("connect", "sessioned")
                joined.append((member, connection, response))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(join, two, b)
                code = ErrorCode.NONE
                while code == ErrorCode.NONE:
                    code = await one.beat(a)
                assert code == ErrorCode.REBALANCE_IN_PROGRESS
                nursery.start_soon(join, one, a)
            assert one.generation_id == two.generation_id == 2
            assert [one.is_leader, two.is_leader] == [True, False]
            (members,) = [response.members for member, _, response in joined if member.is_leader]
            assert {member.member_id: member.metadata for member in members} == {
                one.member_id: ALONE["sessioned"],
                two.member_id: b"\0\1 other",
            }

            parts = {one.member_id: b"this", two.member_id: b"that"}
            got = {}

            async def sync(member, connection, assignments):
                response = await member.sync(connection, assignments)
                assert response.protocol_type == "connect"
                got[member.member_id] = response.assignment

            async with trio.open_nursery() as nursery:
                nursery.start_soon(sync, two, b, None)
                nursery.start_soon(sync, one, a, parts)
            assert got == parts
            assert await one.beat(a) == await two.beat(b) == ErrorCode.NONE
            assert (await groups_listed(a))[topic] == "connect"

            left = await two.leave(b, reason="the work is done")
            assert [member.error_code for member in left.members] == [ErrorCode.NONE]
            assert await two.beat(b) == ErrorCode.UNKNOWN_MEMBER_ID
            assert await one.beat(a) == ErrorCode.REBALANCE_IN_PROGRESS
            assert (await one.join(a)).generation_id == 3
            await one.sync(a, {one.member_id: b"all of it"})
            await one.leave(a)


async def groups_listed(connection) -> dict[str, str]:
    response = await connection.call(ListGroupsRequest())
    assert not response.error_code
    return {group.group_id: group.protocol_type for group in response.groups}


async def test_a_consumer_cannot_join_a_group_of_workers(address, topic):
    with trio.fail_after(PATIENCE_S):
        async with connect_to(address) as a, connect_to(address) as b:
            worker = BareMember(topic, ALONE, protocol_type="connect")
            await worker.join(a)
            await worker.sync(a, {worker.member_id: b""})

            consumer = BareMember(topic, {"sessioned": b""}, protocol_type="consumer")
            stranger = BareMember(topic, {"default": b""}, protocol_type="connect")
            assert (await consumer.join(b)).error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL
            assert (await stranger.join(b)).error_code == ErrorCode.INCONSISTENT_GROUP_PROTOCOL

            assert await worker.beat(a) == ErrorCode.NONE
            await worker.leave(a)
