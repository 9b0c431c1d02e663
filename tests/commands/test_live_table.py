from __future__ import annotations

from commands.cluster_view import ClusterView
from commands.live_table import RateMeter


def view(ends: dict, leaders: dict) -> ClusterView:
    return ClusterView(nodes=(), end_offsets=ends, leaders=leaders)


A, B = ("t", 0), ("t", 1)


def test_a_rate_needs_two_looks():
    meter = RateMeter()

    assert meter.update(view({A: 100}, {A: 1}), now=10.0) == {}
    assert meter.update(view({A: 300}, {A: 1}), now=12.0) == {1: 100.0}


def test_records_count_for_the_broker_that_leads_now():
    meter = RateMeter()
    meter.update(view({A: 0, B: 0}, {A: 1, B: 1}), now=0.0)

    assert meter.update(view({A: 10, B: 20}, {A: 1, B: 2}), now=1.0) == {1: 10.0, 2: 20.0}


def test_a_leader_that_could_not_be_asked_does_not_make_a_jump_later():
    meter = RateMeter()
    meter.update(view({A: 1000}, {A: 1}), now=0.0)
    meter.update(view({}, {A: 1}), now=1.0)

    assert meter.update(view({A: 1000}, {A: 2}), now=2.0) == {2: 0.0}


def test_a_partition_seen_for_the_first_time_is_not_all_new():
    meter = RateMeter()
    meter.update(view({}, {}), now=0.0)

    assert meter.update(view({A: 1_000_000}, {A: 1}), now=1.0) == {1: 0.0}


def test_a_truncated_log_is_no_negative_rate():
    meter = RateMeter()
    meter.update(view({A: 10}, {A: 1}), now=0.0)

    assert meter.update(view({A: 5}, {A: 1}), now=1.0) == {1: 0.0}
