from __future__ import annotations

from datetime import UTC

from hypothesis import given
from hypothesis import strategies as st

from client.group_descriptions import PartitionMoves, Rebalance, RebalanceCause
from client.records import TopicPartition
from commands.group_history import MemberNames, tell, transfers

AT_MS = 1_777_636_800_000  # 2026-05-01 12:00:00 UTC
UUID_1 = "9b68e80b-93fd-4100-9293-2c1c3ff466c5"
UUID_2 = "9b68f462-c5fb-48fa-bc34-a056919f3578"


def cause(kind, member_id="aio-1", **facts):
    return RebalanceCause(kind, AT_MS, member_id, None, "aio", "127.0.0.1", **facts)


def rebalance(*causes, generation_id=6, moves=(), **facts):
    complete = {"completed_ms": AT_MS + 1_500, "member_count": 2} | facts
    return Rebalance(
        generation_id,
        AT_MS,
        leader_id="rd-2",
        protocol_name="range",
        causes=causes,
        moves=moves,
        **complete,
    )


def lines(*rebalances):
    return list(tell(rebalances, UTC))


def test_an_eviction_says_how_long_the_member_was_silent_and_who_has_its_partitions():
    moves = (
        PartitionMoves("aio-1", "orders", (), (0, 1)),
        PartitionMoves("rd-2", "orders", (0, 1), ()),
    )
    silent = cause("session timed out", heartbeat_age_ms=10_230, session_timeout_ms=10_000)

    assert lines(rebalance(silent, moves=moves)) == [
        "2026-05-01 12:00:00 generation 5 -> 6: member aio-1 (client aio, 127.0.0.1) was evicted:"
        " no heartbeat for 10.2 s, session timeout 10 s; 2 partitions moved:"
        " orders-0 aio-1 -> rd-2, orders-1 aio-1 -> rd-2; 2 members after 1.5 s"
    ]


def test_a_member_that_leaves_says_why():
    assert lines(
        rebalance(cause("left", reason="the consumer is being closed", heartbeat_age_ms=1_700))
    ) == [
        "2026-05-01 12:00:00 generation 5 -> 6: member aio-1 (client aio, 127.0.0.1) left:"
        " the consumer is being closed; nothing moved; 2 members after 1.5 s"
    ]


def test_several_causes_of_one_rebalance_are_all_told():
    (line,) = lines(rebalance(cause("joined"), cause("rejoined", "rd-2")))

    assert "member aio-1 (client aio, 127.0.0.1) joined; member rd-2" in line
    assert "rd-2 (client aio, 127.0.0.1) joined again; nothing moved" in line


def test_a_cause_that_this_version_does_not_know_is_told_in_the_brokers_own_word():
    (line,) = lines(rebalance(cause("was struck by lightning")))

    assert "member aio-1 (client aio, 127.0.0.1) was struck by lightning;" in line


def test_a_cause_without_a_member_is_told_without_one():
    (line,) = lines(rebalance(RebalanceCause("topic deleted", AT_MS, reason="orders")))

    assert "generation 5 -> 6: topic deleted: orders; nothing moved" in line


def test_a_rebalance_under_way_says_so():
    (line,) = lines(rebalance(cause("joined"), completed_ms=-1))

    assert line.endswith("joined; still under way")


def test_generations_are_counted_from_one_rebalance_to_the_next():
    first, second = lines(rebalance(cause("joined"), generation_id=2), rebalance(generation_id=5))

    assert "generation 1 -> 2:" in first
    assert "generation 2 -> 5: cause unknown" in second


def test_of_many_moves_only_some_are_named():
    moves = (PartitionMoves("rd-2", "orders", tuple(range(40)), ()),)
    (line,) = lines(rebalance(cause("joined"), moves=moves))

    assert "40 partitions moved: orders-0 -> rd-2, " in line
    assert "orders-11 -> rd-2 and 28 more; " in line


def test_names_are_as_short_as_they_can_be_told_apart():
    one, two = f"app-{UUID_1}", f"app-{UUID_2}"
    alone = MemberNames([rebalance(cause("joined", one))])
    both = MemberNames([rebalance(cause("joined", one), cause("joined", two))])
    static = RebalanceCause("joined", AT_MS, two, "shop-1")

    assert alone.of(one) == "app-9b68"
    assert (both.of(one), both.of(two)) == (one, two)
    assert MemberNames([rebalance(static)]).of(two) == "shop-1"
    assert alone.of("") == "nobody"


MEMBERS = st.sampled_from(["a", "b", "c"])
OWNERS = st.dictionaries(st.integers(0, 9), MEMBERS)


@given(OWNERS, OWNERS)
def test_what_was_lost_and_gained_tells_who_had_and_who_has_each_partition(before, after):
    """Cut a change of owners into what each member gained and lost, and put it together again."""
    moved = {p for p in before.keys() | after.keys() if before.get(p) != after.get(p)}
    moves = [
        PartitionMoves(
            member,
            "orders",
            tuple(p for p in sorted(moved) if after.get(p) == member),
            tuple(p for p in sorted(moved) if before.get(p) == member),
        )
        for member in "abc"
    ]

    assert transfers(moves) == {
        TopicPartition("orders", p): (before.get(p), after.get(p)) for p in sorted(moved)
    }
