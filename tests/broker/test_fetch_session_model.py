"""Whatever happens, who reads in a session knows all that who names everything each time knows."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from trio.testing import MockClock

from broker.fetch_sessions import FetchSessionIdNotFound, InvalidFetchSessionEpoch
from client.fetch_session import FetchedTopic, FetchSessionHandler
from protocol.api.fetch import (
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    PartitionData,
    ReplicaState,
)
from protocol.errors import ErrorCode
from tests.support.leading_broker import (
    NEWEST,
    OTHER,
    PEER,
    PEER_EPOCH,
    TOPIC,
    US,
    LeadingBroker,
    context,
)

PARTITIONS = 2
TOPIC_IS_GONE = -2
GONE = {
    ErrorCode.UNKNOWN_TOPIC_ID,
    ErrorCode.INCONSISTENT_TOPIC_ID,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
}
"""A session knows the name of a topic that is gone, and can say more than a single fetch."""
WITH_NAMES = 12


@dataclass
class Seen:
    """What a reader knows of a partition."""

    error: int
    watermarks: tuple[int, int, int]
    diverging: tuple[int, int] | None
    records: bytes

    @property
    def is_urgent(self) -> bool:
        return self.error != 0 or self.diverging is not None

    @classmethod
    def of(cls, data: PartitionData) -> Seen:
        diverging = data.diverging_epoch
        return cls(
            TOPIC_IS_GONE if data.error_code in GONE else data.error_code,
            (data.high_watermark, data.last_stable_offset, data.log_start_offset),
            (diverging.epoch, diverging.end_offset) if diverging is not None else None,
            data.records.read_bytes() if data.records else b"",
        )


@dataclass
class Position:
    """Where a reader stands in a partition, and what it believes of its leader."""

    offset: int = 0
    leader_epoch: int = 1
    last_fetched_epoch: int = -1
    wanted: bool = True
    seen: Seen | None = None


@dataclass
class Reader:
    """Fetches in a session, and compares each answer with one to a request that names all."""

    broker: LeadingBroker
    version: int
    is_follower: bool
    session: FetchSessionHandler = field(default_factory=FetchSessionHandler)
    positions: list[Position] = field(
        default_factory=lambda: [Position() for _ in range(PARTITIONS)]
    )
    topic: FetchedTopic = field(init=False)
    compared: int = 0

    def __post_init__(self) -> None:
        self.learn()

    def learn(self) -> None:
        """Look up the topic's id and the leaders' epochs, as metadata tell them."""
        by_id = self.version > WITH_NAMES
        self.topic = FetchedTopic(TOPIC, *([self.broker.topic.topic_id] if by_id else []))
        for position, state in zip(self.positions, self.broker.topic.partitions, strict=True):
            if position.leader_epoch != state.leader_epoch:
                position.leader_epoch, position.last_fetched_epoch = state.leader_epoch, -1

    def wanted(self) -> dict[tuple[FetchedTopic, int], FetchPartition]:
        return {
            (self.topic, index): FetchPartition(
                partition=index,
                current_leader_epoch=position.leader_epoch,
                fetch_offset=position.offset,
                last_fetched_epoch=position.last_fetched_epoch,
                partition_max_bytes=1 << 20,
            )
            for index, position in enumerate(self.positions)
            if position.wanted
        }

    def request(self) -> FetchRequest:
        request = FetchRequest(max_wait_ms=0, session_epoch=-1)
        if self.is_follower:
            request.replica_state = ReplicaState(replica_id=PEER, replica_epoch=PEER_EPOCH)
        return request

    async def fetch(self, *, answer_arrives: bool = True) -> None:
        wanted = self.wanted()
        request = self.request()
        self.session.want_only(wanted)
        self.session.name(request)
        try:
            response = await self.broker.fetch(request, version=self.version)
        except (FetchSessionIdNotFound, InvalidFetchSessionEpoch) as error:
            self.session.answered(FetchResponse(error_code=error.code))
            return
        if not answer_arrives:
            self.session.lost()
            return
        self.session.answered(response)
        await self._take(response, wanted, is_full=request.session_epoch == 0)

    def read_on(self, index: int) -> None:
        """Go on from the end of what was fetched."""
        position, partition = self.positions[index], self.broker.partition(index)
        if position.seen is None or not position.seen.records:
            return
        position.last_fetched_epoch = partition.log.latest_epoch if self.is_follower else -1
        position.offset = (
            partition.log.log_end_offset
            if self.is_follower
            else max(position.offset, partition.high_watermark.value)
        )

    async def _take(self, response: FetchResponse, wanted, *, is_full: bool) -> None:
        found = {p.partition_index: p for t in response.responses for p in t.partitions}
        assert found.keys() <= {index for _, index in wanted}
        if is_full:
            assert found.keys() == {index for _, index in wanted}
        expected = await self._named_all(wanted)
        for _, index in wanted:
            position = self.positions[index]
            if index in found:
                position.seen = Seen.of(found[index])
            else:
                assert position.seen is not None, "left out of its first answer"
                assert not position.seen.is_urgent, "left out though there was something to say"
                position.seen.records = b""
            assert position.seen == expected[index], f"of partition {index}"
        self.compared += 1
        for index, position in enumerate(self.positions):
            if (self.topic, index) not in wanted:
                position.seen = None

    async def _named_all(self, wanted) -> dict[int, Seen]:
        request = self.request()
        request.topics = [FetchTopic(*self.topic, list(wanted.values()))] if wanted else []
        fresh = self.broker.new_handler(self.broker.new_cache())
        response = fresh(request, context(self.version))
        if not isinstance(response, FetchResponse):
            response = await response
        return {p.partition_index: Seen.of(p) for t in response.responses for p in t.partitions}


COMMON = [
    *["fetch", "write and read on", "read on and commit", "append", "commit", "commit", "read on"],
    *["learn all", "trim", "toggle", "change the isr", "believe in an epoch of before", "seek"],
]
RARE = [
    *["lose an answer", "lose or regain the lease", "evict", "elect us", "elect another"],
    "create the topic anew",
]
STEPS = st.lists(
    st.tuples(st.sampled_from(COMMON * 4 + RARE), st.integers(0, PARTITIONS - 1)),
    min_size=10,
    max_size=50,
)


async def take_step(broker: LeadingBroker, reader: Reader, kind: str, index: int) -> None:
    position = reader.positions[index]
    partition = broker.partition(index)
    serves = partition.is_leader and broker.lease_held
    if kind == "fetch":
        await reader.fetch()
    elif kind == "append" and serves:
        broker.append(index)
    elif kind == "commit" and serves:
        await broker.commit(index)
    elif kind == "write and read on" and serves:
        await broker.write(index)
        await reader.fetch()
        reader.read_on(index)
        await reader.fetch()
    elif kind == "read on and commit" and serves:
        broker.append(index)
        await reader.fetch()
        reader.read_on(index)
        await reader.fetch()
        await broker.commit(index)
    elif kind == "read on":
        reader.read_on(index)
    elif kind == "learn all":
        reader.learn()
    elif kind == "trim" and serves:
        broker.trim(index, partition.high_watermark.value)
    elif kind == "toggle":
        position.wanted = not position.wanted
    elif kind == "change the isr":
        isr = (US, PEER) if len(partition.isr) == 3 else (US, PEER, OTHER)
        await broker.change(index, isr=isr)
    elif kind == "believe in an epoch of before":
        position.last_fetched_epoch = 0
    elif kind == "seek":
        position.offset = max(0, position.offset - 1)
    else:
        await take_rare_step(broker, reader, kind, index)


async def take_rare_step(broker: LeadingBroker, reader: Reader, kind: str, index: int) -> None:
    if kind == "lose an answer":
        await reader.fetch(answer_arrives=False)
    elif kind == "lose or regain the lease":
        broker.lease_held = not broker.lease_held
    elif kind == "evict":
        for session_id in list(broker.sessions._sessions):
            broker.sessions.remove(session_id)
    elif kind == "elect us":
        await broker.elect(index)
    elif kind == "elect another":
        await broker.elect(index, PEER)
    elif kind == "create the topic anew":
        await broker.delete_topic()
        await broker.create_topic(partitions=PARTITIONS)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(
    steps=STEPS,
    version=st.sampled_from([NEWEST, WITH_NAMES]),
    is_follower=st.booleans(),
)
def test_a_reader_in_a_session_knows_what_one_without_knows(steps, version, is_follower):
    async def main() -> None:
        broker = LeadingBroker(partitions=PARTITIONS)
        await broker.obey()
        reader = Reader(broker, version, is_follower)
        for step in steps:
            await take_step(broker, reader, *step)
        compared = reader.compared
        for _ in range(3):  # the first two may have to find out that there is no such session
            await reader.fetch()
        assert reader.compared > compared

    with capture_logs():
        trio.run(main, clock=MockClock(autojump_threshold=0))
