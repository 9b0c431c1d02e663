"""What holds of a group whatever its clients do, and whenever, and whatever the store says."""

from __future__ import annotations

import msgpack
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.groups.group import GroupRules
from broker.groups.member import NEVER, Joined, Synced
from broker.groups.state import State
from protocol.consumer_protocol import ConsumerProtocolSubscription, encode_subscription
from protocol.errors import ErrorCode, RequestError
from tests.broker.groups.stage import Answer, Client, Stage
from tests.support.effort import examples

LONG_S = 2_000.0
"""Longer than anybody may be silent, or be waited for."""

CLIENTS = (
    Client("dynamic"),
    Client("impatient", session_ms=6_000, rebalance_ms=0),
    Client("old", version=3, protocols=(("roundrobin", b"o"), ("range", b"o"))),
    Client("static", instance="i", rebalance_ms=20_000),
    Client("double", instance="i", version=8),
    Client("other", instance="j", version=6),
)
NAMES = [client.name for client in CLIENTS]
PROTOCOLS = [
    (("range", b"r"),),
    (("range", encode_subscription(ConsumerProtocolSubscription(["t"]))),),
    (("range", encode_subscription(ConsumerProtocolSubscription(["t", "u"]))),),
    (("range", b"more"), ("roundrobin", b"")),
    (("roundrobin", b"rr"), ("range", b"")),
    (("sticky", b""),),
]

names = st.sampled_from(NAMES)


class GroupLaws(RuleBasedStateMachine):
    """Clients that do what they like to one group, owned by one broker after the other."""

    @initialize(delay_s=st.sampled_from([0.0, 3.0]), members_max=st.sampled_from([3, 100]))
    def set_the_stage(self, delay_s: float, members_max: int) -> None:
        rules = GroupRules(initial_rebalance_delay_s=delay_s, members_max=members_max)
        self.stage = Stage(rules)
        self.stage.stores_at_once = False
        for each in CLIENTS:
            self.stage.clients[each.name] = Client(
                each.name,
                instance=each.instance,
                protocols=each.protocols,
                session_ms=each.session_ms,
                rebalance_ms=each.rebalance_ms,
                version=each.version,
            )
        self.checked = 0
        self.begin_incarnation()

    def begin_incarnation(self) -> None:
        self.protocol_of: dict[int, str] = {}
        """Of each generation that this owner has told anybody of."""
        self.last_generation = self.stage.group.generation_id

    # What clients do.

    @rule(name=names)
    def join(self, name: str) -> None:
        self.stage.join(name)

    @rule(name=names, protocols=st.sampled_from(PROTOCOLS))
    def join_with_other_wishes(self, name: str, protocols) -> None:
        self.stage.client(name).protocols = protocols
        self.stage.join(name)

    @rule()
    def all_join(self) -> None:
        for name in NAMES:
            if self.stage.client(name).member_id in self.stage.member_ids():
                self.stage.join(name)

    @rule(name=names)
    def sync(self, name: str) -> None:
        self.stage.sync(name, {each: self.part(each, name) for each in NAMES})

    @rule()
    def all_sync(self) -> None:
        for name in NAMES:
            self.sync(name)

    def part(self, name: str, leader: str) -> bytes:
        return f"{self.stage.client(leader).generation_id} {name}".encode()

    @rule(name=names)
    def heartbeat(self, name: str) -> None:
        expected = self.expected(name)
        if expected is None and self.stage.group.state is State.PREPARING:
            expected = ErrorCode.REBALANCE_IN_PROGRESS
        assert code_of(self.stage.heartbeat(name)) == expected

    @rule(name=names)
    def commit(self, name: str) -> None:
        client = self.stage.client(name)
        expected = self.expected(name)
        if client.generation_id < 0 and self.stage.group.state is State.EMPTY:
            expected = None
        elif expected is None and self.stage.group.state is State.COMPLETING:
            expected = ErrorCode.REBALANCE_IN_PROGRESS
        assert code_of(self.stage.commit(name)) == expected

    def expected(self, name: str) -> ErrorCode | None:
        """Say whether a client is what it takes itself for: by what can be seen of the group."""
        client = self.stage.client(name)
        by_instance = {m.group_instance_id: m.member_id for m in self.stage.group.members}
        if client.instance is not None and client.instance in by_instance:
            if by_instance[client.instance] != client.member_id:
                return ErrorCode.FENCED_INSTANCE_ID
        elif client.instance is not None or client.member_id not in self.stage.member_ids():
            return ErrorCode.UNKNOWN_MEMBER_ID
        if client.generation_id != self.stage.group.generation_id:
            return ErrorCode.ILLEGAL_GENERATION
        return None

    @rule(name=names)
    def leave(self, name: str) -> None:
        client = self.stage.client(name)
        self.stage.leave(client.member_id, client.instance)

    @rule(name=names)
    def restart(self, name: str) -> None:
        self.stage.restart(name)

    # What happens around them.

    @rule(seconds=st.sampled_from([0.0, 1.0, 2.9, 5.0, 10.0, 60.0, 300.0]))
    def time_passes(self, seconds: float) -> None:
        self.stage.pass_time(seconds)

    @precondition(lambda self: self.stage.writing is not None)
    @rule()
    def a_write_is_done(self) -> None:
        before = self.durable_generation()
        self.stage.finish_write()
        assert self.durable_generation() >= before, "what is stored never goes back"

    @precondition(lambda self: self.stage.writing is not None)
    @rule()
    def a_write_is_too_large(self) -> None:
        self.stage.finish_write(RequestError.of(ErrorCode.GROUP_MAX_SIZE_REACHED, "too large"))

    @rule(has_arrived=st.booleans())
    def the_owner_dies(self, has_arrived: bool) -> None:
        if self.stage.writing is not None and has_arrived:
            self.stage.durable = self.stage.writing[1]
        self.stage.take_over()
        assert not self.stage.waiting()
        self.check_answers()
        self.begin_incarnation()
        assert self.stage.group.generation_id == self.durable_generation()

    def durable_generation(self) -> int:
        return self.durable()["generation_id"] if self.stage.durable else 0

    def durable(self) -> dict:
        return msgpack.unpackb(self.stage.durable)

    # What holds.

    @invariant()
    def check_answers(self) -> None:
        news = self.stage.answered[self.checked :]
        self.checked = len(self.stage.answered)
        for answer in news:
            if isinstance(answer.outcome, Joined):
                self.check_joined(answer.outcome, answer)
            elif isinstance(answer.outcome, Synced):
                self.check_synced(answer.outcome, answer)

    def check_joined(self, joined: Joined, answer: Answer) -> None:
        known = self.protocol_of.setdefault(joined.generation_id, joined.protocol_name)
        assert joined.protocol_name == known, "a generation has one protocol"
        assert joined.protocol_name in {name for name, _ in answer.protocols}
        if joined.members:
            assert joined.leader_id == joined.member_id, "only the leader hears of everybody"
        if joined.skip_assignment:
            stored = {row[0]: row[1] for row in self.durable()["members"]}
            assert stored[joined.member_id] == answer.client.instance, (
                "it can be found by the next owner"
            )

    def check_synced(self, synced: Synced, answer: Answer) -> None:
        # Nobody reads anything that the next owner would not know of. What is durable may be newer
        # than the generation that was told of only where the store has answered since.
        durable = self.durable()
        assert synced.protocol_name == durable["protocol_name"]
        parts = {row[0]: row[7] for row in durable["members"]}
        if answer.client.member_id in parts:
            assert parts[answer.client.member_id] == synced.assignment
        if synced.assignment:
            assert synced.assignment.split()[0] == str(durable["generation_id"]).encode()

    @invariant()
    def the_leader_is_a_member_of_its_generation(self) -> None:
        group = self.stage.group
        if group.state in (State.COMPLETING, State.STABLE):
            assert group.leader_id in group.members

    @invariant()
    def a_group_without_members_is_empty_or_about_to_be(self) -> None:
        group = self.stage.group
        assert len(group.members) or group.state in (State.EMPTY, State.PREPARING)
        assert not (group.state is State.EMPTY and len(group.members))

    @invariant()
    def a_place_is_held_by_one(self) -> None:
        held = [m.group_instance_id for m in self.stage.group.members if m.is_static]
        assert len(held) == len(set(held))
        for instance in held:
            member = self.stage.group.members.of_instance(instance)
            assert member is not None
            assert member.group_instance_id == instance

    @invariant()
    def generations_only_grow(self) -> None:
        generation_id = self.stage.group.generation_id
        assert generation_id >= self.last_generation
        self.last_generation = generation_id

    @invariant()
    def nothing_is_waited_for_without_a_deadline(self) -> None:
        group = self.stage.group
        if group.state is State.PREPARING:
            assert group.gathering.deadline < NEVER
        if group.state is State.COMPLETING:
            assert group.assigning.deadline < NEVER or group.assigning.is_on_its_way
        deadlines = [member.deadline for member in group.members]
        assert group.members.due_at <= min(deadlines, default=NEVER)
        assert group.deadline >= self.stage.now

    @invariant()
    def who_waits_is_a_member(self) -> None:
        replies = [m.join_reply for m in self.stage.group.members if m.join_reply is not None]
        replies += [m.sync_reply for m in self.stage.group.members if m.sync_reply is not None]
        waiting = self.stage.waiting()
        assert len(replies) == len(set(map(id, replies)))
        assert set(map(id, replies)) == set(map(id, waiting))

    @invariant()
    def protocols_are_counted_right(self) -> None:
        members = self.stage.group.members
        if len(members):
            common = set.intersection(*({name for name, _ in m.protocols} for m in members))
            assert common
            for name in ("range", "roundrobin", "sticky"):
                assert members.accept([(name, b"")], of=None) == (name in common)

    def teardown(self) -> None:
        """Left alone a group answers everybody, and ends empty."""
        if not hasattr(self, "stage"):
            return
        while self.stage.writing is not None:
            self.stage.finish_write()
            self.check_answers()
        self.stage.stores_at_once = True
        self.stage.pass_time(LONG_S)
        self.check_answers()
        assert not self.stage.waiting()
        group = self.stage.group
        assert (group.state, len(group.members), len(group.pending)) == (State.EMPTY, 0, 0)
        assert group.deadline == NEVER


def code_of(error: RequestError | None) -> ErrorCode | None:
    return None if error is None else error.code


TestGroupLaws = GroupLaws.TestCase
TestGroupLaws.settings = settings(max_examples=examples(150), stateful_step_count=40, deadline=None)
