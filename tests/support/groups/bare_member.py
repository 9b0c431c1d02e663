"""A member of a group in bare requests on our client's connection: for what no client does.

Must never know: topics, assignors, what its metadata and its assignment say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import trio

from client.connection import Connection, open_connection
from client.environment import TcpNetwork
from protocol.api.find_coordinator import FindCoordinatorRequest
from protocol.api.heartbeat import HeartbeatRequest
from protocol.api.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from protocol.api.leave_group import LeaveGroupRequest, MemberIdentity
from protocol.api.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from protocol.api.sync_group import SyncGroupRequest, SyncGroupRequestAssignment
from protocol.errors import ErrorCode

ANSWER_S = 60.0
JOIN_S = 120.0
PAUSE_S = 0.05
PASSING = {
    ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_COORDINATOR,
}


def connect_to(address: str) -> AbstractAsyncContextManager[Connection]:
    """Connect to `host:port` for the time of a `with`."""
    host, _, port = address.rpartition(":")
    return open_connection(TcpNetwork(), host, int(port), client_id="bare")


async def find_coordinator(connection: Connection, group: str) -> str:
    """Ask until a group has a broker. Returns: `host:port`."""
    found: dict[str, str] = {}
    while not found:
        found = await find_coordinators(connection, [group])
        await trio.sleep(0 if found else PAUSE_S)
    return found[group]


async def find_coordinators(connection: Connection, groups: Sequence[str]) -> dict[str, str]:
    """Ask for the brokers of groups. Returns: `host:port` of those that have one by now."""
    asked = FindCoordinatorRequest(key_type=0, coordinator_keys=list(groups))
    response = await connection.call(asked, timeout_s=ANSWER_S)
    for one in response.coordinators:
        assert not one.error_code or one.error_code in PASSING, one
    return {
        one.key: f"{one.host}:{one.port}" for one in response.coordinators if not one.error_code
    }


class BareMember:
    """Joins, syncs, beats, commits and leaves, each when it is told to."""

    def __init__(
        self,
        group: str,
        protocols: Mapping[str, bytes],
        *,
        protocol_type: str = "consumer",
        session_timeout_ms: int = 30_000,
        rebalance_timeout_ms: int = 60_000,
    ) -> None:
        self.group = group
        self.member_id = ""
        self.generation_id = -1
        self.is_leader = False
        self._protocol_type = protocol_type
        self._protocol_name = ""
        self._request = JoinGroupRequest(
            group_id=group,
            session_timeout_ms=session_timeout_ms,
            rebalance_timeout_ms=rebalance_timeout_ms,
            protocol_type=protocol_type,
            protocols=[JoinGroupRequestProtocol(name, data) for name, data in protocols.items()],
        )

    async def join(self, connection: Connection) -> Any:
        """Join the next generation. Returns: the response.

        It gives a member id where one is asked for (KIP-394), and waits while a broker takes over.
        """
        while True:
            self._request.member_id = self.member_id
            response = await connection.call(self._request, timeout_s=JOIN_S)
            if response.error_code == ErrorCode.MEMBER_ID_REQUIRED:
                self.member_id = response.member_id
            elif response.error_code in PASSING:
                await trio.sleep(PAUSE_S)
            else:
                break
        if not response.error_code:
            self.member_id = response.member_id
            self.generation_id = response.generation_id
            self.is_leader = response.leader == self.member_id
            self._protocol_name = response.protocol_name
        return response

    async def sync(
        self, connection: Connection, assignments: Mapping[str, bytes] | None = None
    ) -> Any:
        """Give the assignments, as the leader, and get the own one. Returns: the response."""
        request = SyncGroupRequest(
            group_id=self.group,
            generation_id=self.generation_id,
            member_id=self.member_id,
            protocol_type=self._protocol_type,
            protocol_name=self._protocol_name,
            assignments=[
                SyncGroupRequestAssignment(member_id, data)
                for member_id, data in (assignments or {}).items()
            ],
        )
        return await connection.call(request, timeout_s=JOIN_S)

    async def beat(self, connection: Connection) -> int:
        """Say that it lives. Returns: the error code."""
        request = HeartbeatRequest(
            group_id=self.group, generation_id=self.generation_id, member_id=self.member_id
        )
        code: int = (await connection.call(request, timeout_s=ANSWER_S)).error_code
        return code

    def commit_request(self, topic: str, offsets: Mapping[int, int]) -> OffsetCommitRequest:
        """Make the request that commits offsets of a topic's partitions."""
        partitions = [OffsetCommitRequestPartition(p, offset) for p, offset in offsets.items()]
        return OffsetCommitRequest(
            group_id=self.group,
            generation_id_or_member_epoch=self.generation_id,
            member_id=self.member_id,
            topics=[OffsetCommitRequestTopic(topic, partitions)],
        )

    async def leave(self, connection: Connection, *, reason: str | None = None) -> Any:
        """Leave the group. Returns: the response."""
        identity = MemberIdentity(self.member_id, None, reason)
        request = LeaveGroupRequest(group_id=self.group, members=[identity])
        return await connection.call(request, timeout_s=ANSWER_S)
