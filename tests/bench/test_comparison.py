from __future__ import annotations

from bench.figure import MACHINE, OURS, THEIRS, Figure, comparisons
from bench.goals import Goal
from bench.tables import bench_table, goal_table, lines

ONE, THREE = {"brokers": 1}, {"brokers": 3}


def figure(system: str, mb_per_s: float, case=ONE, *, bench="throughput") -> Figure:
    return Figure(bench, "produce", system, case, {"mb_per_s": mb_per_s})


ROUNDS = [
    figure(OURS, 300.0),
    figure(THEIRS, 100.0),
    figure(OURS, 200.0),
    figure(THEIRS, 110.0),
    figure(OURS, 250.0),
    figure(THEIRS, 90.0),
    figure(OURS, 50.0, THREE),
    figure(THEIRS, 100.0, THREE),
]


def throughput(bound: float, **options) -> Goal:
    return Goal("speed", "throughput", "produce", "mb_per_s", bound, ({},), **options)


def test_rounds_of_the_same_case_are_compared_by_their_medians():
    one, three = comparisons(ROUNDS)

    spread = one.spread(OURS, "mb_per_s")

    assert (one.case, three.case) == (ONE, THREE)
    assert spread is not None
    assert (spread.median, spread.low, spread.high) == (250.0, 200.0, 300.0)
    assert one.ratio("mb_per_s") == 2.5


def test_without_both_systems_there_is_no_ratio():
    (alone,) = comparisons([figure(OURS, 1.0)])

    assert alone.ratio("mb_per_s") is None
    assert alone.ratio("never_measured") is None
    assert lines(alone)[1].split() == ["mb_per_s", "ottla", "1.00"]


def test_the_worst_case_counts_in_either_direction():
    found = comparisons(ROUNDS)

    assert throughput(1.0, at_least=True).worst(found) == (0.5, THREE)
    assert throughput(1.0).worst(found) == (2.5, ONE)


def test_a_goal_is_met_at_its_bound_and_not_beyond():
    at_least, at_most = throughput(1.5, at_least=True), throughput(0.5)

    assert [at_least.is_met(ratio) for ratio in (1.49, 1.5, 2.0)] == [False, True, True]
    assert [at_most.is_met(ratio) for ratio in (0.49, 0.5, 0.51)] == [True, True, False]


def test_a_share_of_the_limit_is_ours_alone():
    limit = figure(MACHINE, 500.0, {}, bench="limit")
    goal = throughput(0.5, at_least=True, limit="produce")

    assert goal.worst(comparisons([*ROUNDS, limit])) == (0.1, THREE)
    assert goal.worst(comparisons(ROUNDS)) is None


def test_a_goal_that_nothing_was_measured_for_is_not_called_reached():
    rows = goal_table([])

    assert all("not measured" in row and "yes" not in row for row in rows[2:])


def test_a_table_has_a_row_for_each_case_with_medians_spread_and_ratio():
    head, _, one, three = bench_table(comparisons(ROUNDS), ["mb_per_s"])

    assert head == "|  | brokers | Ottla: mb_per_s | Apache Kafka: mb_per_s | ratio |"
    assert one == "| produce | 1 | 250 (200 to 300) | 100 (90.0 to 110) | 2.50 |"
    assert three == "| produce | 3 | 50.0 | 100 | 0.50 |"
