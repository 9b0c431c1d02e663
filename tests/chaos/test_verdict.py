"""What a run on a real cluster says of a history."""

from __future__ import annotations

import pytest

from chaos.history import Outcome, Partition, Polled, Sent
from chaos.order import Order
from chaos.run import ChaosRun

PLACE = Partition("chaos-1", 0)
HISTORY = [
    Sent("producer-0", PLACE, b"a", 1.0, 2.0, Outcome.OK, offset=0),
    Sent("producer-0", PLACE, b"b", 3.0, 4.0, Outcome.OK, offset=1),
    Polled("last", PLACE, ((0, b"a"),), 5.0, 6.0),
]


@pytest.mark.parametrize(("read_to_the_end", "found"), [(True, {"unseen"}), (False, set())])
async def test_only_who_read_to_the_end_says_that_something_is_lost(read_to_the_end, found):
    """What was not read in time is told as no progress, which is another fault."""
    run = ChaosRun(Order(1, 1.0), "127.0.0.1:1", None, lambda _text: None)

    anomalies = run._judge(HISTORY, {}, {}, drained=read_to_the_end)

    assert {anomaly.name for anomaly in anomalies} == found
