from __future__ import annotations

import random

from client.backoff import Backoff


def test_waits_double_up_to_a_bound_and_never_fall_under_half():
    backoff = Backoff(random.Random(1), first_s=1, max_s=4)

    waits = [backoff.next_s() for _ in range(5)]

    for wait, bound in zip(waits, [1, 2, 4, 4, 4], strict=True):
        assert bound / 2 <= wait <= bound


def test_a_success_starts_over():
    backoff = Backoff(random.Random(1), first_s=1, max_s=100)
    for _ in range(5):
        backoff.next_s()

    backoff.reset()

    assert backoff.next_s() <= 1
