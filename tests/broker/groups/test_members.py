"""The members of one group, ids that are out, and what members say."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.groups.errors import FencedInstance, UnknownMember
from broker.groups.group import GroupRules
from broker.groups.history import Kind
from broker.groups.joining import GROUP_BYTES_MAX
from broker.groups.member import NEVER, Member
from broker.groups.members import REBALANCE_TIMEOUT_LEAST_S, Members
from broker.groups.pending import PENDING_IDS_MAX, PendingIds
from broker.groups.subscriptions import (
    ASSIGNMENTS_BYTES_MAX,
    SUBSCRIPTIONS_BYTES_MAX,
    owners,
    subscribed_topics,
)
from protocol.consumer_protocol import (
    ConsumerProtocolAssignment,
    ConsumerProtocolSubscription,
    TopicPartitions,
    encode_assignment,
    encode_subscription,
)
from protocol.errors import ErrorCode, RequestError
from tests.broker.groups.stage import Stage


def a_member(
    member_id: str, *protocols: str, instance: str | None = None, rebalance_ms: int = 60_000
) -> Member:
    known = tuple((name, name.encode()) for name in protocols or ("range",))
    return Member(member_id, instance, "c", "/h", 10_000, rebalance_ms, known, heard_at=0.0)


def of(*several: Member) -> Members:
    members = Members()
    for member in several:
        members.add(member)
    return members


protocol_lists = st.lists(
    st.lists(st.sampled_from(["range", "rr", "sticky"]), min_size=1, max_size=3, unique=True),
    min_size=1,
    max_size=5,
)


def test_a_static_member_is_found_by_its_instance_and_must_have_its_id():
    static, dynamic = a_member("a", instance="i"), a_member("b")
    members = of(static, dynamic)

    assert members.of_instance("i") is static
    assert members.of_instance(None) is None
    assert of(a_member("c", instance="")).of_instance(None) is None
    assert members.get("a", "i") is static
    assert members.get("a", None) is static
    assert members.get("b", None) is dynamic
    with pytest.raises(FencedInstance):
        members.get("b", "i")
    with pytest.raises(UnknownMember):
        members.get("a", "j")
    with pytest.raises(UnknownMember):
        members.get("", None)


def test_no_two_members_hold_one_place():
    members = of(a_member("a", instance="i"))

    with pytest.raises(AssertionError):
        members.add(a_member("b", instance="i"))
    with pytest.raises(AssertionError):
        members.add(a_member("a"))


@settings(deadline=None)
@given(offered=protocol_lists)
def test_who_fits_has_something_in_common_with_all_others(offered):
    members = Members()
    kept: list[set[str]] = []
    for number, names in enumerate(offered):
        common = set.intersection(*kept) if kept else set(names)
        fits = members.accept([(name, b"") for name in names], of=None)
        assert fits == bool(common & set(names))
        if fits:
            members.add(a_member(str(number), *names))
            kept.append(set(names))
    assert members.choose_protocol() in set.intersection(*kept)
    for member in members:
        others = [{n for n, _ in m.protocols} for m in members if m is not member]
        for name in ("range", "rr", "sticky", "other"):
            expected = all(name in each for each in others)
            assert members.accept([(name, b"")], of=member) == expected


def test_most_members_first_choice_wins():
    members = of(a_member("a", "range", "rr"), a_member("b", "rr", "range"), a_member("c", "rr"))
    assert members.choose_protocol() == "rr"

    # Where as many want one as the other it is the same one on every broker.
    assert of(a_member("a", "x", "y"), a_member("b", "y", "x")).choose_protocol() == "y"


def test_the_longest_rebalance_timeout_counts_and_is_never_none():
    assert of(a_member("a", rebalance_ms=5_000), a_member("b")).rebalance_timeout_s() == 60.0
    assert of(a_member("a", rebalance_ms=0)).rebalance_timeout_s() == REBALANCE_TIMEOUT_LEAST_S
    assert Members().rebalance_timeout_s() == REBALANCE_TIMEOUT_LEAST_S


def test_who_is_overdue_is_known_without_asking_everybody_every_time():
    first, second = a_member("a"), a_member("b")
    members = of(first, second)
    assert members.due_at == 10.0
    members.hear(first, now=5.0)
    members.hear(second, now=7.0)
    assert members.due_at == 10.0
    assert members.overdue(now=10.0) == []
    assert members.due_at == 15.0
    assert members.overdue(now=15.0) == [first]
    members.remove(first)
    members.remove(second)
    assert members.overdue(now=99.0) == []
    assert members.due_at == NEVER


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 9), st.sampled_from(["add", "remove"]))
    )
)
def test_ids_that_are_out_are_forgotten_in_time(acts):
    pending, model = PendingIds(), {}
    for member_id, until, act in acts:
        if act == "add" and member_id not in model:
            pending.add(member_id, until=until)
            model[member_id] = until
        elif act == "remove":
            pending.remove(member_id)
            model.pop(member_id, None)
    for now in range(10):
        assert pending.due_at <= min(model.values(), default=NEVER)
        due = {each for each, until in model.items() if until <= now}
        assert pending.expire(now=now) == bool(due)
        model = {each: until for each, until in model.items() if each not in due}
        assert [each in pending for each in "abc"] == [each in model for each in "abc"]
    assert pending.due_at == NEVER


def test_so_many_ids_are_out_and_no_more():
    pending = PendingIds()
    for number in range(PENDING_IDS_MAX + 1):
        pending.add(str(number), until=10.0)

    assert len(pending) == PENDING_IDS_MAX
    assert "0" not in pending
    assert str(PENDING_IDS_MAX) in pending


def test_an_id_that_is_out_makes_nobody_a_static_member():
    # Else two members could hold one place.
    stage = Stage()
    for name in ("a", "b"):
        stage.client(name).version = 3
    stage.client("a").instance = "i"
    stage.join("a")
    stage.client("b").version = 9
    stage.join("b")
    stage.client("b").instance = "i"
    refused = stage.join("b")

    assert refused.code is ErrorCode.FENCED_INSTANCE_ID
    assert [member.group_instance_id for member in stage.group.members] == ["i"]


def consumers(**topics: list[str]) -> Stage:
    stage = Stage()
    for name, names in topics.items():
        client = stage.client(name)
        said = encode_subscription(ConsumerProtocolSubscription(names))
        client.version, client.protocols = 3, (("range", said),)
        stage.join(name)
    stage.pass_time(6)
    return stage


def test_members_read_what_they_subscribe_to():
    stage = consumers(a=["t", "u"], b=["v"])
    assert subscribed_topics(stage.group) == {"t", "u", "v"}

    stage.group.protocol_type = "connect"
    assert subscribed_topics(stage.group) is None


def test_what_is_no_subscription_says_nothing():
    stage = consumers(a=["t"])
    stage.client("b").version = 3
    stage.client("b").protocols = (("range", b"\x00"),)
    stage.join("b")
    stage.join("a")

    assert subscribed_topics(stage.group) is None


def test_only_the_topics_are_read_of_a_subscription():
    stage = Stage()
    whole = encode_subscription(
        ConsumerProtocolSubscription(["t"], owned_partitions=[TopicPartitions("t", [0])])
    )
    stage.client("a").version, stage.client("a").protocols = 3, (("range", whole[:-20]),)
    stage.join("a")
    stage.pass_time(6)

    assert subscribed_topics(stage.group) == {"t"}


@pytest.mark.parametrize(("members", "is_known"), [(8, True), (9, False)])
def test_subscriptions_too_large_together_to_be_read_on_the_way_are_not_read(members, is_known):
    stage = Stage()
    said = encode_subscription(
        ConsumerProtocolSubscription(["t"], bytes(SUBSCRIPTIONS_BYTES_MAX // 8 - 50))
    )
    for name in map(str, range(members)):
        client = stage.client(name)
        client.version, client.protocols = 3, (("range", said),)
        stage.join(name)
    stage.pass_time(6)

    assert len(stage.group.members) == members
    assert subscribed_topics(stage.group) == ({"t"} if is_known else None)


def part(*indexes: int) -> bytes:
    topics = [TopicPartitions("t", list(indexes))]
    return encode_assignment(ConsumerProtocolAssignment(topics))


def test_members_own_what_they_were_assigned():
    stage = consumers(a=["t"], b=["t"], c=["t"])
    for name in "abc":
        stage.sync(name, {"a": part(0, 2), "b": part(1), "c": b"\x00gibberish"})
    a, b = (stage.client(name).member_id for name in "ab")
    assert owners(stage.group) == {("t", 0): a, ("t", 1): b, ("t", 2): a}

    stage.group.protocol_type = "connect"
    assert owners(stage.group) == {}


def test_assignments_too_large_to_be_read_on_the_way_are_not_read():
    stage = consumers(a=["t"])
    stage.sync("a", {"a": part(*range(ASSIGNMENTS_BYTES_MAX // 4))})

    assert owners(stage.group) == {}
    assert len(next(iter(stage.group.members)).assignment) > ASSIGNMENTS_BYTES_MAX


def test_members_that_expire_together_make_one_rebalance():
    stage = Stage(GroupRules(initial_rebalance_delay_s=0))
    for number in range(50):
        client = stage.client(str(number))
        client.version, client.session_ms = 3, 10_000 if number else 20_000
        stage.join(str(number))
    stage.pass_time(0)
    for number in range(50):
        stage.sync(str(number), {})
    stage.pass_time(10)

    assert len(stage.group.members) == 1
    causes = list(stage.group.history)[-1].causes
    assert len(causes) == 49
    assert {cause.kind for cause in causes} == {Kind.EXPIRED}


def test_what_all_members_say_is_bounded_together():
    stage = Stage()
    said = bytes(1024 * 1024 - 1024)
    names = [str(number) for number in range(40)]
    refused = []
    for name in names:
        client = stage.client(name)
        client.version, client.protocols = 3, (("range", said),)
        if isinstance(outcome := stage.join(name), RequestError):
            refused.append(outcome.code)
    members = stage.group.members
    assert refused == [ErrorCode.GROUP_MAX_SIZE_REACHED] * (40 - len(members))
    assert GROUP_BYTES_MAX - 2 * len(said) < members.size_bytes <= GROUP_BYTES_MAX

    # Who is in it may say as much again, and leaves room when it goes.
    stage.pass_time(6)
    assert not isinstance(stage.join("0"), RequestError)
    for member_id in stage.member_ids():
        stage.leave(member_id)
    assert members.size_bytes == 0


def test_a_static_member_that_is_replaced_has_a_whole_session():
    # It had been waiting for its assignment for longer than that.
    stage = Stage(GroupRules(initial_rebalance_delay_s=0))
    stage.stores_at_once = False
    stage.client("a").instance = "i"
    stage.join("a")
    stage.pass_time(0)
    stage.sync("a", {})
    stage.pass_time(60)
    stage.restart("a")
    stage.join("a")

    assert stage.group.deadline > stage.now
