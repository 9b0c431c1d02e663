"""The state machine of a membership: golden scripts, the table of verdicts, and random walks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from client.group.membership import NEXT, REASON_CHARS_MAX, Membership, Phase
from client.group.verdicts import VERDICTS, Verdict, verdict_on
from client.records import GroupMetadata
from protocol.api import ApiKey
from protocol.errors import RETRIABLE_CODES, ErrorCode

SCRIPTS = {
    "a new member is given an id, joins and stays": """
        ask the subscription has changed  | OUT - -1 rejoin: the subscription has changed
        begin                             | JOINING - -1
        JOIN_GROUP MEMBER_ID_REQUIRED m1  | JOINING m1 -1
        joined m1 1                       | SYNCING m1 1
        synced                            | STABLE m1 1
        HEARTBEAT NONE                    | STABLE m1 1
    """,
    "a rebalance is joined with id and generation": """
        in m1 4                           | STABLE m1 4
        HEARTBEAT REBALANCE_IN_PROGRESS   | STABLE m1 4 rejoin: the group is rebalancing
        HEARTBEAT REBALANCE_IN_PROGRESS   | STABLE m1 4 rejoin: the group is rebalancing
        begin                             | JOINING m1 4
        HEARTBEAT REBALANCE_IN_PROGRESS   | JOINING m1 4
        joined m1 5                       | SYNCING m1 5
        SYNC_GROUP REBALANCE_IN_PROGRESS  | SYNCING m1 5 rejoin: the group is rebalancing
        failed                            | STABLE m1 5 rejoin: the group is rebalancing
    """,
    "an old generation is lost, and the member id stays": """
        in m1 4                           | STABLE m1 4
        HEARTBEAT ILLEGAL_GENERATION      | OUT m1 -1 lost rejoin: lost its place
        begin                             | JOINING m1 -1 lost
    """,
    "a forgotten member joins as a new one": """
        in m1 4                           | STABLE m1 4
        OFFSET_COMMIT UNKNOWN_MEMBER_ID   | OUT - -1 lost rejoin: lost its place
    """,
    "a fenced member is out": """
        in m1 4                           | STABLE m1 4
        SYNC_GROUP FENCED_INSTANCE_ID     | OUT - -1 lost fenced rejoin: lost its place
    """,
    "a commit that comes too early joins nothing": """
        in m1 4                           | STABLE m1 4
        ask topics have changed           | STABLE m1 4 rejoin: topics have changed
        begin                             | JOINING m1 4
        OFFSET_COMMIT ILLEGAL_GENERATION  | JOINING m1 4
        joined m1 5                       | SYNCING m1 5
        OFFSET_COMMIT REBALANCE_IN_PROGRESS | SYNCING m1 5
        synced                            | STABLE m1 5
    """,
    "a join that fails leaves the member where it was": """
        in m1 4                           | STABLE m1 4
        ask topics have changed           | STABLE m1 4 rejoin: topics have changed
        begin                             | JOINING m1 4
        JOIN_GROUP NOT_COORDINATOR        | JOINING m1 4
        failed                            | STABLE m1 4 rejoin: it failed
        left                              | OUT - -1 lost rejoin: it failed
        begin                             | JOINING - -1 lost
        failed                            | OUT - -1 lost rejoin: it failed
    """,
}


def describe(member):
    who = member.identity
    words = [member.phase.name, who.member_id or "-", str(who.generation_id)]
    words += ["lost"] * (member.losses > 0) + ["fenced"] * member.is_fenced
    if member.rejoin_reason:
        words.append(f"rejoin: {member.rejoin_reason.partition(':')[0]}")
    return " ".join(words)


def act(member, order):
    word, *rest = order.split()
    match word:
        case "ask":
            member.ask_to_join(" ".join(rest))
        case "begin":
            member.begin_join()
        case "joined":
            member.joined(rest[0], int(rest[1]), assignor_name="range", is_leader=False)
        case "synced":
            member.synced()
        case "failed":
            member.join_failed("it failed")
        case "left":
            member.left("it left")
        case "in":
            act(member, "ask it wants to")
            act(member, "begin")
            act(member, f"joined {rest[0]} {rest[1]}")
            act(member, "synced")
        case _:
            code = ErrorCode[rest[0]]
            given_id = rest[1] if rest[1:] else ""
            member.answered(ApiKey[word], code, asked_as=member.identity, member_id=given_id)


@pytest.mark.parametrize("name", SCRIPTS)
def test_golden_script(name):
    member = Membership("g")
    for line in SCRIPTS[name].strip().splitlines():
        order, expected = line.split("|")
        act(member, order.strip())
        assert describe(member) == expected.strip(), order


def test_answers_to_who_the_member_no_longer_is_change_nothing():
    member = Membership("g")
    act(member, "in m1 4")
    before = describe(member)
    for asked_as in (GroupMetadata("g", 3, "m1"), GroupMetadata("g", 4, "m0")):
        for code in (ErrorCode.ILLEGAL_GENERATION, ErrorCode.UNKNOWN_MEMBER_ID):
            assert member.answered(ApiKey.HEARTBEAT, code, asked_as=asked_as) is Verdict.DONE
            member.answered(ApiKey.OFFSET_COMMIT, code, asked_as=asked_as)
    assert describe(member) == before


def test_a_loss_says_why():
    member = Membership("g")
    act(member, "in m1 4")
    act(member, "HEARTBEAT ILLEGAL_GENERATION")

    assert member.loss == "ILLEGAL_GENERATION in answer to HEARTBEAT"
    assert member.rejoin_reason == f"lost its place: {member.loss}"


def test_reasons_are_cut_as_java_cuts_them():
    member = Membership("g")
    member.ask_to_join("x" * 1000)

    assert member.begin_join() == "x" * REASON_CHARS_MAX


@pytest.mark.parametrize("api", VERDICTS)
def test_every_api_knows_what_all_share(api):
    assert verdict_on(api, ErrorCode.NONE) is Verdict.DONE
    assert verdict_on(api, ErrorCode.NOT_COORDINATOR) is Verdict.ELSEWHERE
    assert verdict_on(api, ErrorCode.COORDINATOR_NOT_AVAILABLE) is Verdict.ELSEWHERE
    assert verdict_on(api, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS) is Verdict.AGAIN
    assert verdict_on(api, ErrorCode.GROUP_AUTHORIZATION_FAILED) is Verdict.REFUSED
    assert verdict_on(api, ErrorCode.UNKNOWN_SERVER_ERROR) is Verdict.REFUSED


@given(st.sampled_from(list(VERDICTS)), st.sampled_from(ErrorCode))
def test_what_kafka_calls_retriable_is_never_final(api, code):
    if code in RETRIABLE_CODES:
        assert verdict_on(api, code) is not Verdict.REFUSED


class RandomWalk(RuleBasedStateMachine):
    """Whatever is answered in whatever order, a membership stays one."""

    def __init__(self):
        super().__init__()
        self.member = Membership("g")
        self.generation = 0
        self.losses = 0

    @rule(reason=st.text(max_size=5))
    def ask(self, reason):
        self.member.ask_to_join(reason)

    @precondition(lambda self: self.member.phase in {Phase.OUT, Phase.STABLE})
    @rule()
    def begin(self):
        if self.member.rejoin_reason is not None:
            self.member.begin_join()
            assert self.member.rejoin_reason is None

    @precondition(lambda self: self.member.phase is Phase.JOINING)
    @rule(leads=st.booleans())
    def joined(self, leads):
        self.generation += 1
        self.member.joined("m", self.generation, assignor_name="range", is_leader=leads)

    @precondition(lambda self: self.member.phase is Phase.SYNCING)
    @rule()
    def synced(self):
        self.member.synced()

    @rule()
    def failed(self):
        self.member.join_failed("it failed")
        assert self.member.rejoin_reason is not None

    @rule()
    def left(self):
        self.member.left("it left")

    @rule(
        api=st.sampled_from(list(VERDICTS)),
        code=st.sampled_from(ErrorCode),
        stale=st.booleans(),
    )
    def answered(self, api, code, stale):
        asked_as = GroupMetadata("g", 10**6, "m") if stale else self.member.identity
        before = describe(self.member)
        verdict = self.member.answered(api, code, asked_as=asked_as, member_id="m")
        if stale:
            assert describe(self.member) == before
        if verdict is Verdict.FORGOTTEN and not stale:
            assert self.member.identity.member_id == ""

    @invariant()
    def identity_and_phase_agree(self):
        who = self.member.identity
        if self.member.phase is Phase.OUT:
            assert who.generation_id == -1
            assert not self.member.is_leader
        if self.member.beats:
            assert who.generation_id >= 1
            assert who.member_id == "m"

    @invariant()
    def losses_only_grow(self):
        assert self.member.losses >= self.losses
        self.losses = self.member.losses


TestRandomWalk = RandomWalk.TestCase


def test_every_phase_can_be_entered_and_left():
    assert set(NEXT) == set(Phase)
    assert set().union(*NEXT.values()) == set(Phase)
