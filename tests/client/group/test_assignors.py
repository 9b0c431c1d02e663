from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from client.group.assignor import (
    NO_GENERATION,
    Held,
    Partitions,
    RebalanceProtocol,
    Subscriber,
    by_topic,
    places_of,
)
from client.group.assignors import ASSIGNORS, assignors_named, common_protocol
from client.group.cooperative_sticky import decode_generation, encode_generation
from client.group.sticky import decode_user_data, encode_user_data
from client.records import TopicPartition

STICKY = ("sticky", "cooperative-sticky")
TOPICS = ("a", "b", "c", "d")


def all_places(counts):
    return [TopicPartition(topic, p) for topic, count in counts.items() for p in range(count)]


def holding(member, places, generation_id):
    """The member as both sticky assignors know it, holding these partitions."""
    held = Held(tuple(places), generation_id)
    return replace(
        member,
        owned=held.partitions,
        generation_id=generation_id,
        user_data=encode_user_data(held),
    )


def assign(name, members, counts):
    return ASSIGNORS[name].assign(members, Partitions(counts))


def settle(name, members, counts, *, rounds=3):
    """Rebalance until nothing moves, as cooperative members do; gives the last members too."""
    for generation_id in itertools.count(100):
        assigned = assign(name, members, counts)
        held = {member.member_id: list(assigned[member.member_id]) for member in members}
        members = [holding(member, held[member.member_id], generation_id) for member in members]
        if assign(name, members, counts) == assigned:
            return assigned, members
        assert generation_id < 100 + rounds, "it never comes to rest"
    raise AssertionError


counts_of_topics = st.dictionaries(st.sampled_from(TOPICS), st.integers(0, 7), max_size=4)


@st.composite
def members_and_counts(draw, *, same_topics=None, conflicts=True):
    counts = draw(counts_of_topics)
    same = draw(st.booleans()) if same_topics is None else same_topics
    common = frozenset(draw(st.sets(st.sampled_from((*TOPICS, "missing")))))
    members = []
    taken = set()
    for index in range(draw(st.integers(1, 6))):
        topics = common if same else frozenset(draw(st.sets(st.sampled_from(TOPICS))))
        instance = draw(st.none() | st.just(f"i{9 - index}"))
        member = Subscriber(f"m{index}", topics, instance)
        generation_id = draw(st.integers(-1, 3)) if conflicts else 3
        claimable = [*all_places(counts), TopicPartition("gone", 0), TopicPartition("a", 99)]
        claimed = draw(st.lists(st.sampled_from(claimable), max_size=8, unique=True))
        if not conflicts:
            claimed = [p for p in claimed if p not in taken and p.topic in topics]
            taken.update(claimed)
        members.append(holding(member, claimed, generation_id))
    return members, counts


@pytest.mark.parametrize("name", ASSIGNORS)
def test_every_partition_goes_to_one_subscriber_and_to_no_other(name):
    @given(members_and_counts())
    def check(drawn):
        members, counts = drawn
        assigned, _ = settle(name, members, counts)

        assert set(assigned) == {member.member_id for member in members}
        topics_of = {member.member_id: member.topics for member in members}
        given_out = Counter(place for places in assigned.values() for place in places)
        for member_id, places in assigned.items():
            assert all(place.topic in topics_of[member_id] for place in places)
        wanted = {topic for member in members for topic in member.topics}
        assert given_out == Counter(p for p in all_places(counts) if p.topic in wanted)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", ASSIGNORS)
def test_the_order_in_which_members_are_listed_does_not_matter(name):
    @given(members_and_counts(), st.randoms(use_true_random=False))
    def check(drawn, random):
        members, counts = drawn
        shuffled = list(members)
        random.shuffle(shuffled)

        assert assign(name, shuffled, counts) == assign(name, members, counts)

    check()


@given(members_and_counts(same_topics=True))
def test_round_robin_is_even_where_all_read_the_same(drawn):
    members, counts = drawn
    sizes = [len(places) for places in assign("roundrobin", members, counts).values()]

    assert max(sizes) - min(sizes) <= 1


@given(members_and_counts())
def test_ranges_are_even_and_contiguous_within_every_topic(drawn):
    members, counts = drawn
    assigned = assign("range", members, counts)

    for topic in counts:
        runs = [
            [place.partition for place in assigned[member.member_id] if place.topic == topic]
            for member in members
            if topic in member.topics
        ]
        for run in runs:
            assert run == list(range(run[0], run[0] + len(run))) if run else True
        sizes = [len(run) for run in runs]
        assert not sizes or max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("name", STICKY)
def test_no_partition_could_go_to_a_member_with_two_fewer(name):
    @given(members_and_counts())
    def check(drawn):
        members, counts = drawn
        assigned, _ = settle(name, members, counts)

        for giver, taker in itertools.permutations(members, 2):
            if any(place.topic in taker.topics for place in assigned[giver.member_id]):
                assert len(assigned[giver.member_id]) - len(assigned[taker.member_id]) <= 1

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", STICKY)
def test_what_is_even_stays_as_it_is(name):
    @given(members_and_counts())
    def check(drawn):
        members, counts = drawn
        assigned, settled = settle(name, members, counts)

        assert assign(name, settled, counts) == assigned

    check()


@pytest.mark.parametrize("name", STICKY)
def test_where_all_read_the_same_no_more_moves_than_evenness_needs(name):
    @given(members_and_counts(same_topics=True, conflicts=False))
    def check(drawn):
        members, counts = drawn
        places = [p for p in all_places(counts) if p.topic in members[0].topics]
        held = [set(member.owned) & set(places) for member in members]
        assigned, _ = settle(name, members, counts)
        kept = sum(
            len(before & set(assigned[member.member_id]))
            for member, before in zip(members, held, strict=True)
        )
        least, more = divmod(len(places), len(members))
        sizes = sorted((len(before) for before in held), reverse=True)
        possible = sum(min(size, least + (i < more)) for i, size in enumerate(sizes))

        assert kept == possible

    check()


@pytest.mark.parametrize("name", STICKY)
def test_a_member_that_leaves_takes_nothing_from_the_others(name):
    @given(members_and_counts(same_topics=True), st.data())
    def check(drawn, data):
        members, counts = drawn
        assigned, settled = settle(name, members, counts)
        left = [m for m in settled if m != data.draw(st.sampled_from(settled))]
        if not left:
            return
        after, _ = settle(name, left, counts)

        for member in left:
            assert set(assigned[member.member_id]) <= set(after[member.member_id])

    check()


@pytest.mark.parametrize("name", STICKY)
def test_a_member_that_comes_gets_only_what_it_keeps(name):
    @given(members_and_counts(same_topics=True))
    def check(drawn):
        members, counts = drawn
        assigned, settled = settle(name, members, counts)
        newcomer = Subscriber("new", members[0].topics)
        after, _ = settle(name, [*settled, newcomer], counts)

        for member in members:
            assert set(after[member.member_id]) <= set(assigned[member.member_id])

    check()


@given(members_and_counts())
def test_no_partition_is_given_away_while_somebody_may_still_read_it(drawn):
    members, counts = drawn
    assigned = assign("cooperative-sticky", members, counts)

    for member in members:
        for place in set(assigned[member.member_id]) - set(member.owned):
            latest = max((m.generation_id for m in members if place in m.owned), default=None)
            assert latest is None, f"{place} is still claimed"


@given(members_and_counts())
def test_of_two_claims_the_later_generation_counts(drawn):
    members, counts = drawn
    place = TopicPartition("a", 0)
    counts = {**counts, "a": max(1, counts.get("a", 0))}
    topics = members[0].topics | {"a"}
    old = holding(Subscriber("old", topics), [place], 4)
    new = holding(Subscriber("new", topics), [place], 5)

    for name in STICKY:
        assigned = assign(name, [old, new], counts)
        assert place in assigned["new"]
        assert place not in assigned["old"]


def test_of_two_claims_in_one_generation_none_counts():
    place = TopicPartition("a", 0)
    one, two = (holding(Subscriber(m, frozenset("a")), [place], 5) for m in ("one", "two"))

    assert assign("cooperative-sticky", [one, two], {"a": 1}) == {"one": [], "two": []}


def test_a_partition_that_moves_goes_back_to_who_had_it_before():
    topics = frozenset("a")
    four = [TopicPartition("a", p) for p in range(4)]
    away = holding(Subscriber("away", topics), four[1:3], 4)
    stayed = holding(Subscriber("stayed", topics), four, 5)

    assigned = assign("sticky", [away, stayed], {"a": 4})

    assert assigned == {"away": four[1:3], "stayed": [four[0], four[3]]}


def test_static_members_keep_their_places_under_new_member_ids():
    topics = frozenset("ab")
    counts = {"a": 3, "b": 5}
    before = [Subscriber("x1", topics, "one"), Subscriber("x2", topics, "two")]
    after = [Subscriber("z9", topics, "one"), Subscriber("a0", topics, "two")]

    for name in ("range", "roundrobin"):
        old, new = assign(name, before, counts), assign(name, after, counts)
        assert (old["x1"], old["x2"]) == (new["z9"], new["a0"])


THREE = ["m2 - ab", "m1 - ab", "m3 - a"]
STATIC = ["m1 i2 ab", "m2 i1 b", "m3 - ab", "m0 - b"]

JAVA_CASES = [
    # What Java's assignors (4.3.1) make of members "id instance topics".
    ("range", THREE, "a5 b3", {"m1": "a0 a1 b0 b1", "m2": "a2 a3 b2", "m3": "a4"}),
    ("range", STATIC, "a2 b7", {"m0": "b4 b5", "m1": "a0 b2 b3", "m2": "b0 b1", "m3": "a1 b6"}),
    ("range", ["m1 - a", "m2 - a", "m3 - b"], "a1", {"m1": "a0", "m2": "", "m3": ""}),
    ("roundrobin", THREE, "a5 b3", {"m1": "a0 a3 b0 b2", "m2": "a1 a4 b1", "m3": "a2"}),
    (
        "roundrobin",
        STATIC,
        "a2 b7",
        {"m0": "b2 b6", "m1": "a0 b1 b5", "m2": "b0 b4", "m3": "a1 b3"},
    ),
    (
        "roundrobin",
        ["m0 - a", "m1 - ab", "m2 - abc"],
        "a1 b2 c3",
        {"m0": "a0", "m1": "b0", "m2": "b1 c0 c1 c2"},
    ),
]


@pytest.mark.parametrize(("name", "members", "counts", "expected"), JAVA_CASES)
def test_eager_assignors_assign_as_java_does(name, members, counts, expected):
    subscribers = [
        Subscriber(member_id, frozenset(topics), None if instance == "-" else instance)
        for member_id, instance, topics in map(str.split, members)
    ]
    assigned = assign(name, subscribers, {entry[0]: int(entry[1:]) for entry in counts.split()})

    named = {
        member_id: " ".join(f"{place.topic}{place.partition}" for place in places)
        for member_id, places in assigned.items()
    }
    assert named == expected


RACKS = ("x", "y", "z")


@st.composite
def members_and_racks(draw):
    """Members with racks, and partitions with their replicas'."""
    members, counts = draw(members_and_counts())
    racks = st.sampled_from((*RACKS, "", None))
    members = [replace(member, rack_id=draw(racks)) for member in members]
    places = st.frozensets(st.sampled_from(RACKS), max_size=3)
    return members, Partitions(counts, {place: draw(places) for place in all_places(counts)})


@pytest.mark.slow
@given(members_and_racks())
def test_racks_change_nothing_about_how_many_partitions_of_a_topic_a_member_gets(drawn):
    members, partitions = drawn
    given_out = ASSIGNORS["range"].assign(members, partitions)

    for topic, count in partitions.counts.items():
        readers = [member.member_id for member in members if topic in member.topics]
        got = [[p.partition for p in given_out[m] if p.topic == topic] for m in readers]
        if readers:
            assert sorted(itertools.chain(*got)) == list(range(count))
            assert max(map(len, got)) - min(map(len, got)) <= 1


@pytest.mark.slow
@given(members_and_racks())
def test_topics_of_one_size_and_the_same_readers_are_cut_alike_whatever_their_racks(drawn):
    members, partitions = drawn
    members = [replace(member, topics=frozenset(TOPICS)) for member in members]
    given_out = ASSIGNORS["range"].assign(members, partitions)

    for one, other in itertools.combinations(partitions.counts, 2):
        if partitions.counts[one] == partitions.counts[other]:
            for places in given_out.values():
                of = {t: [p.partition for p in places if p.topic == t] for t in (one, other)}
                assert of[one] == of[other]


JAVA_RACK_CASES = [
    # What Java's range assignor (4.3.1) makes of members "id instance rack topics" and of topics
    # "name racks-of-0/racks-of-1/...".
    (["m1 - x a", "m2 - y a"], ["a y/x/y/x"], {"m1": "a1 a3", "m2": "a0 a2"}),
    (["m1 - x ab", "m2 - y ab"], ["a y/x", "b y/x"], {"m1": "a1 b1", "m2": "a0 b0"}),
    (["m1 - x ab", "m2 - y ab"], ["a y/x", "b x/y"], {"m1": "a0 b0", "m2": "a1 b1"}),
    (["m1 - x a", "m2 - y a"], ["a y/y/y/y/x"], {"m1": "a3 a4", "m2": "a0 a1 a2"}),
    (["m1 - - a", "m2 - x a"], ["a x/x/y/z"], {"m1": "a0 a1", "m2": "a2 a3"}),
    (
        ["m1 i2 x ab", "m2 i1 y ab", "m3 - z b"],
        ["a z/x/y/y", "b xz/yz/xy"],
        {"m1": "a0 a1 b0", "m2": "a2 a3 b1", "m3": "b2"},
    ),
    (["m1 - x a", "m2 - y a"], ["a xy/xy/xy"], {"m1": "a0 a1", "m2": "a2"}),
    (["m1 - w a", "m2 - w a"], ["a x/y"], {"m1": "a0", "m2": "a1"}),
]


@pytest.mark.parametrize(("members", "topics", "expected"), JAVA_RACK_CASES)
def test_ranges_follow_racks_as_java_does(members, topics, expected):
    subscribers = [
        Subscriber(
            member_id,
            frozenset(names),
            None if instance == "-" else instance,
            rack_id=None if rack == "-" else rack,
        )
        for member_id, instance, rack, names in map(str.split, members)
    ]
    racks = {
        TopicPartition(topic, p): frozenset(of_replicas)
        for topic, listed in map(str.split, topics)
        for p, of_replicas in enumerate(listed.split("/"))
    }
    counts = Counter(place.topic for place in racks)
    given_out = ASSIGNORS["range"].assign(subscribers, Partitions(counts, racks))

    assert {m: " ".join(f"{p.topic}{p.partition}" for p in ps) for m, ps in given_out.items()} == (
        expected
    )


@given(
    st.lists(
        st.sampled_from(TOPICS).flatmap(
            lambda t: st.integers(0, 9).map(lambda p: TopicPartition(t, p))
        ),
        unique=True,
    ),
    st.integers(0, 2**31 - 1),
)
def test_what_members_held_survives_the_wire(places, generation_id):
    held = Held(tuple(sorted(places)), generation_id)

    assert decode_user_data(encode_user_data(held)) == held
    assert decode_generation(encode_generation(held)) == generation_id
    assert places_of(by_topic(places)) == held.partitions


JAVA_STICKY = bytes.fromhex(
    "00000002 0005 74696c6c73 00000001 00000001 0006 6f7264657273 00000002 00000000 00000002"
    "00000007"
)


def test_user_data_is_javas():
    held = Held(
        (TopicPartition("orders", 0), TopicPartition("orders", 2), TopicPartition("tills", 1)), 7
    )

    told = decode_user_data(JAVA_STICKY)
    assert (sorted(told.partitions), told.generation_id) == (list(held.partitions), 7)
    assert sorted(decode_user_data(encode_user_data(held)).partitions) == list(held.partitions)
    assert len(encode_user_data(held)) == len(JAVA_STICKY)
    assert encode_user_data(Held((), 7)) == bytes.fromhex("00000000 00000007")
    assert encode_user_data(Held()) is None
    assert encode_generation(Held()) == bytes.fromhex("ffffffff")
    assert encode_generation(held) == bytes.fromhex("00000007")


def test_user_data_without_generation_are_those_of_old_members():
    told = decode_user_data(JAVA_STICKY[:-4])

    assert (len(told.partitions), told.generation_id) == (3, NO_GENERATION)


@given(st.none() | st.binary(max_size=40))
def test_unreadable_user_data_say_nothing(data):
    assert isinstance(decode_user_data(data), Held)
    assert decode_generation(data) >= -(2**31)


def test_the_protocol_is_the_most_advanced_that_all_assignors_know():
    assert common_protocol(assignors_named(["cooperative-sticky"])) is RebalanceProtocol.COOPERATIVE
    both = assignors_named(["range", "cooperative-sticky"])
    assert common_protocol(both) is RebalanceProtocol.EAGER


@pytest.mark.parametrize(("names", "reason"), [([], "empty"), (["ranges"], "no assignor 'ranges'")])
def test_unknown_assignors_are_refused(names, reason):
    with pytest.raises(ValueError, match=reason):
        assignors_named(names)
