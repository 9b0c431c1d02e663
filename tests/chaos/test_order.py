"""What a run on a real cluster shall be."""

from __future__ import annotations

import pytest

from chaos.order import RATE_MAX, RECORDS_MAX, TRIMMED, TUNED, VARIED, Order

ORDERS = [Order.draw(seed, 60.0) for seed in range(1000)]


@pytest.mark.parametrize(
    ("name", "share", "told"),
    [
        ("varied", VARIED, "clients of all sorts"),
        ("trims", TRIMMED, "old records are deleted"),
        ("tunes", TUNED, "min.insync.replicas changes"),
    ],
)
def test_the_seed_decides_what_clients_there_are(name, share, told):
    drawn = [order for order in ORDERS if getattr(order, name)]

    assert abs(len(drawn) / len(ORDERS) - share) < 0.05
    assert all((told in str(order)) == getattr(order, name) for order in ORDERS)
    assert Order.draw(7, 60.0) == Order.draw(7, 60.0)


def test_a_long_run_sends_no_more_than_fits_into_memory():
    assert Order(1, 60.0).rate == RATE_MAX
    assert Order(1, 36_000.0).rate * 36_000 == pytest.approx(RECORDS_MAX)


def test_the_load_is_set_up_as_ordered():
    load = Order(3, 60.0, varied=True).load()

    assert load.varied
    assert load.topic == "chaos-3"
    assert load.groups == ("chaos-3",)
