"""A group's member over the wire, for the tests of group handlers: says what a client would."""

from __future__ import annotations

from typing import Any

from coordinator.groups.owner import owner_of
from protocol.api.heartbeat import HeartbeatRequest
from protocol.api.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from protocol.api.leave_group import LeaveGroupRequest, MemberIdentity
from protocol.api.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from protocol.api.sync_group import SyncGroupRequest, SyncGroupRequestAssignment
from protocol.consumer_protocol import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
    TopicPartitions,
    encode_assignment,
    encode_subscription,
)
from protocol.errors import ErrorCode


def subscription(*topics: str, **owned: list[int]) -> bytes:
    parts = [TopicPartitions(topic, indexes) for topic, indexes in owned.items()]
    told = ConsumerProtocolSubscription(list(topics), owned_partitions=parts)
    return encode_subscription(told)


def assignment(**topics: list[int]) -> bytes:
    parts = [TopicPartitions(topic, indexes) for topic, indexes in topics.items()]
    return encode_assignment(ConsumerProtocolAssignment(parts))


def owner(ask: Any, group_id: str = "g") -> int:
    """Name the broker that owns a group while all brokers live."""
    live = [i for i, broker in ask.cluster.brokers.items() if broker.is_running]
    return owner_of(group_id, live)


async def ask_owner(ask: Any, request: Any, group_id: str = "g", **facts: Any) -> Any:
    return await ask(request, broker_id=owner(ask, group_id), **facts)


class GroupClient:
    """One member, with what it knows of itself. Versions are those of JoinGroup."""

    def __init__(
        self,
        ask: Any,
        *,
        group_id: str = "g",
        instance: str | None = None,
        protocols: dict[str, bytes] | None = None,
        protocol_type: str = "consumer",
        version: int = 9,
        session_ms: int = 10_000,
    ) -> None:
        self.ask = ask
        self.group_id, self.instance, self.version = group_id, instance, version
        self.protocol_type = protocol_type
        self.protocols = protocols or {"range": subscription("t")}
        self.session_ms = session_ms
        self.member_id = ""
        self.generation_id = -1
        self.protocol_name: str | None = None
        self.leads = False

    async def ask_owner(self, request: Any, version: int) -> Any:
        return await ask_owner(self.ask, request, self.group_id, version=version)

    async def join_once(self, reason: str | None = None) -> Any:
        """Ask to join, and learn from the answer."""
        request = JoinGroupRequest(
            group_id=self.group_id,
            session_timeout_ms=self.session_ms,
            rebalance_timeout_ms=60_000,
            member_id=self.member_id,
            group_instance_id=self.instance,
            protocol_type=self.protocol_type,
            protocols=[JoinGroupRequestProtocol(*each) for each in self.protocols.items()],
            reason=reason,
        )
        answer = await self.ask_owner(request, self.version)
        if answer.error_code in (ErrorCode.NONE, ErrorCode.MEMBER_ID_REQUIRED):
            self.member_id = answer.member_id
        if answer.error_code == ErrorCode.NONE:
            self.generation_id, self.protocol_name = answer.generation_id, answer.protocol_name
            self.leads = answer.leader == answer.member_id
        return answer

    async def join(self, reason: str | None = None) -> Any:
        """Join, with an id where one is wanted."""
        answer = await self.join_once(reason)
        if answer.error_code == ErrorCode.MEMBER_ID_REQUIRED:
            answer = await self.join_once(reason)
        return answer

    async def sync(self, assignments: dict[str, bytes] | None = None, *, version: int = 5) -> Any:
        request = SyncGroupRequest(
            group_id=self.group_id,
            generation_id=self.generation_id,
            member_id=self.member_id,
            group_instance_id=self.instance,
            protocol_type=self.protocol_type,
            protocol_name=self.protocol_name,
            assignments=[SyncGroupRequestAssignment(*each) for each in (assignments or {}).items()],
        )
        return await self.ask_owner(request, version)

    async def enter(self, own: bytes = b"") -> Any:
        """Join and sync as the only member."""
        assert (await self.join()).error_code == ErrorCode.NONE
        return await self.sync({self.member_id: own})

    async def heartbeat(self, *, version: int = 4) -> int:
        request = HeartbeatRequest(
            group_id=self.group_id,
            generation_id=self.generation_id,
            member_id=self.member_id,
            group_instance_id=self.instance,
        )
        return (await self.ask_owner(request, version)).error_code

    async def leave(self) -> Any:
        identity = MemberIdentity(self.member_id, self.instance, "done")
        request = LeaveGroupRequest(group_id=self.group_id, members=[identity])
        return await self.ask_owner(request, 5)

    def commit_request(self, topic: str = "t", **offsets: int) -> OffsetCommitRequest:
        partitions = [OffsetCommitRequestPartition(int(i[1:]), o) for i, o in offsets.items()]
        return OffsetCommitRequest(
            group_id=self.group_id,
            generation_id_or_member_epoch=self.generation_id,
            member_id=self.member_id,
            group_instance_id=self.instance,
            topics=[OffsetCommitRequestTopic(topic, partitions)],
        )

    async def commit(self, topic: str = "t", *, version: int = 9, **offsets: int) -> list[int]:
        """Commit offsets, `p0=5` for partition 0. Returns: the error codes."""
        answer = await self.ask_owner(self.commit_request(topic, **offsets), version)
        return [p.error_code for p in answer.topics[0].partitions]
