"""What Apache Kafka's perf tools print is read, and never taken for a result where it is none."""

from __future__ import annotations

import pytest

from bench.cases.perf_tools import last_report, totals

PRODUCED = """\
250000 records sent, 50000.0 records/sec (47.68 MB/sec), 300.1 ms avg latency, 612.0 ms max latency.
600000 records sent, 61349.7 records/sec (58.51 MB/sec), 401.55 ms avg latency, 900.00 ms max \
latency, 388 ms 50th, 701 ms 95th, 855 ms 99th, 899 ms 99.9th.
"""
CONSUMED = """\
start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, \
rebalance.time.ms, fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec
2026-11-30 07:00:00:000, 2026-11-30 07:00:05:000, 572.2046, 114.4409, 600000, 120000.0000, \
3200, 1800, 317.8914, 333333.3333
"""


def test_the_last_report_of_a_producer_counts():
    assert last_report(PRODUCED) == {
        "records": 600_000,
        "records_per_s": 61_349.7,
        "p50": 388,
        "p99": 855,
    }


def test_what_a_consumer_read_and_how_fast():
    read = totals(CONSUMED)

    assert read["data.consumed.in.nMsg"] == 600_000
    assert read["fetch.nMsg.sec"] == 333_333.3333


@pytest.mark.parametrize("said", ["", "WARN something, else\n", CONSUMED.partition("\n")[0]])
def test_no_result_is_no_number(said):
    with pytest.raises(ValueError, match="reports nothing"):
        last_report(said)
    with pytest.raises(ValueError, match="reports nothing"):
        totals(said)
