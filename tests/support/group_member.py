"""A group's member that speaks the raw protocol, and a ledger of what members were told.

It joins, shares the partitions out when it leads, and commits ever larger offsets; each member goes
on where the committed offset of a partition is that it was given.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import trio

from protocol.api import API
from protocol.api.find_coordinator import FindCoordinatorRequest
from protocol.api.heartbeat import HeartbeatRequest
from protocol.api.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from protocol.api.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from protocol.api.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from protocol.api.sync_group import SyncGroupRequest, SyncGroupRequestAssignment
from protocol.consumer_protocol import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
    TopicPartitions,
    decode_assignment,
    encode_assignment,
    encode_subscription,
)
from protocol.errors import ErrorCode
from protocol.frame_reader import FrameReader
from protocol.framing import decode_response, encode_request
from protocol.message import layout_of
from simulation.cluster import PORT

if TYPE_CHECKING:
    import random

    from simulation.cluster import SimulatedCluster

PATIENCE_S = 8.0
NOTHING = -1
BROKEN = (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError)

Place: TypeAlias = tuple[str, int]
"""A group and a partition of the one topic."""


class Refused(Exception):
    """A broker answered with an error."""

    def __init__(self, code: int) -> None:
        super().__init__(ErrorCode(code).name)
        self.code = ErrorCode(code)


class Link:
    """A connection to one broker that asks one thing after the other, in the newest version."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._frames = FrameReader()
        self._count = 0

    async def ask(self, request: Any) -> Any:
        """Ask. Raises: what is in BROKEN."""
        api = API[layout_of(type(request)).key or 0]
        version = api.versions[1]
        self._count += 1
        chunks = encode_request(
            request, api_version=version, correlation_id=self._count, client_id="member"
        )
        with trio.fail_after(PATIENCE_S):
            await self._stream.send_all(b"".join(chunks))
            while (frame := self._frames.next_frame()) is None:
                data = await self._stream.receive_some()
                if not data:
                    raise trio.BrokenResourceError("the broker closed the connection")
                self._frames.feed(data)
        return decode_response(api.response, version, frame)[1]

    async def aclose(self) -> None:
        await self._stream.aclose()


class GroupLink:
    """The way to a group's broker, wherever that is now."""

    def __init__(
        self, cluster: SimulatedCluster, group_id: str, *, host: str, rng: random.Random
    ) -> None:
        self.group_id = group_id
        self.owner_id = NOTHING
        self._cluster = cluster
        self._network = cluster.network.host(host)
        self._rng = rng
        self._link: Link | None = None

    async def ask(self, request: Any) -> Any:
        """Ask the group's broker. Raises: Refused, what is in BROKEN."""
        try:
            if self._link is None:
                await self._find()
            assert self._link is not None
            return await self._link.ask(request)
        except BROKEN:
            await self.forget()
            raise

    async def forget(self) -> None:
        """Look for the group's broker anew."""
        link, self._link = self._link, None
        if link is not None:
            with trio.CancelScope(shield=True):
                await link.aclose()

    async def _find(self) -> None:
        anyone = self._rng.choice(list(self._cluster.brokers.values()))
        link = Link(await self._network.connect(anyone.host, PORT))
        try:
            answer = await link.ask(FindCoordinatorRequest(coordinator_keys=[self.group_id]))
        finally:
            with trio.CancelScope(shield=True):
                await link.aclose()
        found = answer.coordinators[0]
        if found.error_code:
            raise Refused(found.error_code)
        self.owner_id = found.node_id
        self._link = Link(await self._network.connect(found.host, found.port))


@dataclass
class Ledger:
    """What members were told of committed offsets; none may ever be told less afterwards."""

    known: dict[Place, int] = field(default_factory=dict)
    """The largest offset that was acknowledged or told."""
    tried: dict[Place, int] = field(default_factory=dict)
    commits: int = 0

    def floor(self, place: Place) -> int:
        return self.known.get(place, NOTHING)

    def try_commit(self, place: Place, offset: int) -> None:
        self.tried[place] = max(offset, self.tried.get(place, NOTHING))

    def acknowledge(self, place: Place, offset: int) -> None:
        self.known[place] = max(offset, self.floor(place))
        self.commits += 1

    def tell(self, place: Place, offset: int, *, floor: int) -> None:
        """Take note of what was told; `floor` is from before it was asked."""
        assert offset >= floor, f"{place} went back to {offset}: {floor} was known"
        assert offset <= self.tried.get(place, NOTHING), f"{place}: nobody committed {offset}"
        self.known[place] = max(offset, self.floor(place))


class GroupMember:
    """One member; `run` goes on for ever, whatever happens to brokers."""

    def __init__(
        self, cluster: SimulatedCluster, group_id: str, number: int, *,
        ledger: Ledger, rng: random.Random, topic: str, partitions: int,
    ) -> None:  # fmt: skip
        self.link = GroupLink(cluster, group_id, host=f"member-{group_id}-{number}", rng=rng)
        self.generation_id = NOTHING
        self.generations: list[int] = []
        """All that it was ever in."""
        self.acknowledged = 0
        self.positions: dict[int, int] = {}
        self._group_id = group_id
        self._member_id = ""
        self._ledger = ledger
        self._rng = rng
        self._topic = topic
        self._partitions = partitions

    async def run(self) -> None:
        while True:
            try:
                await self._step()
            except Refused as refusal:
                await self._obey(refusal.code)
            except BROKEN:
                await trio.sleep(0.05)
            await trio.sleep(self._rng.choice([0.001, 0.02, 0.3]))

    async def _step(self) -> None:
        if self.generation_id == NOTHING:
            await self._join()
        if self.positions:
            await self._commit()
        await self._heartbeat()

    async def _obey(self, code: ErrorCode) -> None:
        if code in (ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.FENCED_INSTANCE_ID):
            self._member_id, self.generation_id = "", NOTHING
        elif code in (ErrorCode.ILLEGAL_GENERATION, ErrorCode.REBALANCE_IN_PROGRESS):
            self.generation_id = NOTHING
        else:
            assert code in (
                ErrorCode.NOT_COORDINATOR, ErrorCode.COORDINATOR_NOT_AVAILABLE,
                ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, ErrorCode.REQUEST_TIMED_OUT,
                ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
            ), code  # fmt: skip
            await self.link.forget()
            await trio.sleep(0.05)

    async def _join(self) -> None:
        subscription = encode_subscription(ConsumerProtocolSubscription([self._topic]))
        request = JoinGroupRequest(
            self._group_id, session_timeout_ms=10_000, rebalance_timeout_ms=5_000,
            member_id=self._member_id, protocol_type="consumer",
            protocols=[JoinGroupRequestProtocol("range", subscription)],
        )  # fmt: skip
        joined = await self.link.ask(request)
        if joined.error_code == ErrorCode.MEMBER_ID_REQUIRED:
            self._member_id = request.member_id = joined.member_id
            joined = await self.link.ask(request)
        _require(joined.error_code)
        self._member_id = joined.member_id
        synced = await self.link.ask(
            SyncGroupRequest(
                self._group_id, joined.generation_id, joined.member_id,
                protocol_type=joined.protocol_type, protocol_name=joined.protocol_name,
                assignments=self._share_out([member.member_id for member in joined.members]),
            )
        )  # fmt: skip
        _require(synced.error_code)
        mine = decode_assignment(synced.assignment).assigned_partitions if synced.assignment else []
        self.positions = await self._fetch([p for each in mine for p in each.partitions])
        self.generation_id = joined.generation_id
        self.generations.append(self.generation_id)

    def _share_out(self, member_ids: list[str]) -> list[SyncGroupRequestAssignment]:
        return [
            SyncGroupRequestAssignment(
                member_id,
                encode_assignment(
                    ConsumerProtocolAssignment(
                        [
                            TopicPartitions(
                                self._topic, list(range(index, self._partitions, len(member_ids)))
                            )
                        ]
                    )
                ),
            )
            for index, member_id in enumerate(member_ids)
        ]

    async def _fetch(self, partitions: list[int]) -> dict[int, int]:
        floors = {index: self._ledger.floor((self._group_id, index)) for index in partitions}
        found = await fetch_offsets(self.link, self._topic, partitions)
        for index, offset in found.items():
            self._ledger.tell((self._group_id, index), offset, floor=floors[index])
        return found

    async def _commit(self) -> None:
        index = self._rng.choice(list(self.positions))
        self.positions[index] += self._rng.randint(1, 3)
        offset = self.positions[index]
        self._ledger.try_commit((self._group_id, index), offset)
        answer = await self.link.ask(
            commit_request(
                self._group_id, self._topic, {index: offset},
                generation_id=self.generation_id, member_id=self._member_id,
            )
        )  # fmt: skip
        _require(answer.topics[0].partitions[0].error_code)
        self._ledger.acknowledge((self._group_id, index), offset)
        self.acknowledged += 1

    async def _heartbeat(self) -> None:
        answer = await self.link.ask(
            HeartbeatRequest(self._group_id, self.generation_id, self._member_id)
        )
        _require(answer.error_code)


def commit_request(
    group_id: str,
    topic: str,
    offsets: dict[int, int],
    *,
    generation_id: int = NOTHING,
    member_id: str = "",
) -> OffsetCommitRequest:
    partitions = [OffsetCommitRequestPartition(i, offset) for i, offset in offsets.items()]
    return OffsetCommitRequest(
        group_id, generation_id, member_id, topics=[OffsetCommitRequestTopic(topic, partitions)]
    )


async def fetch_offsets(link: GroupLink, topic: str, partitions: list[int]) -> dict[int, int]:
    """Ask for a group's committed offsets. Raises: Refused, what is in BROKEN."""
    asked = OffsetFetchRequestGroup(
        link.group_id, topics=[OffsetFetchRequestTopics(topic, partitions)]
    )
    answer = await link.ask(OffsetFetchRequest(groups=[asked]))
    _require(answer.groups[0].error_code)
    told = answer.groups[0].topics[0].partitions
    for partition in told:
        _require(partition.error_code)
    return {partition.partition_index: partition.committed_offset for partition in told}


def _require(code: int) -> None:
    if code:
        raise Refused(code)
