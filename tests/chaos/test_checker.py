"""For every anomaly a history that is flagged, and a near twin that is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.anomaly import SHOWN_OF_A_KIND
from chaos.checker import Promises, check
from chaos.history import Led, Operation, Outcome, Watermark
from client.partition_queue import SequenceLost
from tests.support.histories import (
    OTHER,
    A,
    B,
    C,
    D,
    P,
    Pair,
    acknowledged,
    at,
    committed,
    dated,
    held,
    joined,
    polled,
    read,
    replica,
    seen_end,
    sent,
    told,
    trimmed,
)

OLD = read(A, by="d")

OLD_THREE = [at(0, by="d"), read(A, B, C, by="d")]

UNKNOWN = Outcome.UNKNOWN

ALL_SENT = [sent(value, outcome=UNKNOWN) for value in (A, B, C, D)]

GAP = sent(B, outcome=UNKNOWN)._replace(error="Produce (OUT_OF_ORDER_SEQUENCE_NUMBER)")
BEHIND_A_GAP = GAP._replace(error=str(SequenceLost()))

PAIRS = [
    Pair(
        "inconsistent-offsets",
        [*acknowledged(A, B), sent(C, 1, by="q"), read(A, B), read(A, C, by="d")],
        [*acknowledged(A, B), sent(C, 2, by="q"), read(A, B, C), read(A, B, C, by="d")],
    ),
    Pair(
        "inconsistent-offsets",
        [sent(A, 0), sent(B, outcome=Outcome.UNKNOWN), read(B)],
        [sent(A, 0), sent(B, outcome=Outcome.UNKNOWN), read(A, B)],
    ),
    Pair(
        "duplicate",
        [sent(A, outcome=Outcome.UNKNOWN), sent(B, 1), read(A, B, A)],
        [sent(A, outcome=Outcome.UNKNOWN), sent(B, 1), read(A, B), read(A, B, by="d")],
    ),
    Pair(
        "duplicate",
        [sent(A, 0), read(C, A), sent(C, outcome=Outcome.UNKNOWN), polled((0, C), (1, A), by="d")],
        [sent(A, 1), read(C, A), sent(C, outcome=Outcome.UNKNOWN), polled((0, C), (1, A), by="d")],
    ),
    Pair(
        "lost-write",
        [*acknowledged(A, B, C), polled((0, A), (2, C))],
        [sent(A, 0), sent(B, outcome=Outcome.UNKNOWN), sent(C, 2), polled((0, A), (2, C))],
    ),
    Pair(
        "lost-write",
        [*acknowledged(A, B), at(1), polled((1, B))],
        [*acknowledged(A, B), at(1), polled((1, B)), read(A, by="d")],
        Promises(drained=False),
    ),
    Pair(
        "lost-write",
        [*acknowledged(A, B), read(A, B), at(0, by="last"), read(A, by="last")],
        [*acknowledged(A, B), read(A, B), at(0, by="last"), read(A, B, by="last")],
    ),
    Pair(
        "lost-write",
        [*acknowledged(A, B), read(A, B), at(0, by="last")],
        [*acknowledged(A, B), read(A, B)],
    ),
    Pair(
        "lost-write",
        [*acknowledged(A, B), read(A, B, by="z"), at(0, by="z"), read(A, by="z")],
        [*acknowledged(A, B), read(A, B, by="z"), at(0, by="z"), read(A, B, by="z")],
        Promises(last_reader="z"),
    ),
    Pair(
        "unseen",
        [*acknowledged(A, B), read(A)],
        [*acknowledged(A, B), read(A), read(B, first=1, by="d"), at(0, by="d")],
    ),
    Pair(
        "unseen",
        [sent(A)],
        [sent(A), read(A)],
    ),
    Pair(
        "aborted-read",
        [sent(A, outcome=Outcome.FAILED), read(A)],
        [sent(A, outcome=Outcome.UNKNOWN), read(A)],
    ),
    Pair(
        "given-up",
        [sent(A, outcome=Outcome.UNKNOWN)._replace(error="out of order"), read(A)],
        [sent(A, outcome=Outcome.UNKNOWN), read(A)],
        Promises(delivered=True),
    ),
    Pair(
        "given-up",
        [*acknowledged(A), GAP, trimmed(1, 1.5, 1.6), read(A)],
        [*acknowledged(A), GAP, trimmed(1, 0.5, 0.6), read(A)],
        Promises(delivered=True),
    ),
    Pair(
        "given-up",
        [*acknowledged(A), GAP._replace(error="timed out"), trimmed(1, 0.5, 0.6), read(A)],
        [*acknowledged(A), BEHIND_A_GAP, trimmed(1, 0.5, 0.6), read(A)],
        Promises(delivered=True),
    ),
    Pair("unsent", [*acknowledged(A), read(A, B)], [*acknowledged(A, B), read(A, B)]),
    Pair(
        "poll-skip",
        [*acknowledged(A, B, C), polled((0, A)), polled((2, C)), read(A, B, C, by="d")],
        [*acknowledged(A, B, C), polled((0, A)), at(2), polled((2, C)), read(A, B, C, by="d")],
    ),
    Pair(
        "poll-skip",
        [*acknowledged(A, B), sent(C, 5), polled((0, A), (5, C)), read(B, first=1, by="d")],
        [*acknowledged(A, B), sent(C, 5), polled((0, A), (1, B), (5, C))],
    ),
    Pair(
        "poll-skip",
        [*acknowledged(A, B, C), at(0), polled((1, B), (2, C)), read(A, by="d")],
        [*acknowledged(A, B, C), at(1), polled((1, B), (2, C)), read(A, by="d")],
    ),
    Pair(
        "poll-skip",
        [*acknowledged(A, B), sent(C, 5), at(1), polled((5, C)), read(A, B, by="d")],
        [*acknowledged(A, B), sent(C, 5), at(2), polled((5, C)), read(A, B, by="d")],
    ),
    Pair(
        "odd-start",
        [*acknowledged(A, B, C), joined(), polled((2, C)), committed(1, 0, 1), read(A, B, by="d")],
        [*acknowledged(A, B, C), joined(), polled((2, C)), committed(2, 0, 1), read(A, B, by="d")],
    ),
    Pair(
        "odd-start",
        [*acknowledged(A, B), joined(), polled((1, B)), read(A, by="d")],
        [*acknowledged(A, B), joined(), polled((0, A), (1, B))],
    ),
    Pair(
        "odd-start",
        [*acknowledged(A, B), committed(1, 0, 1, Outcome.FAILED), joined(), polled((1, B)), OLD],
        [*acknowledged(A, B), committed(1, 0, 1, Outcome.UNKNOWN), joined(), polled((1, B)), OLD],
    ),
    Pair(
        "odd-start",
        [*acknowledged(A, B), joined(), polled((1, B)), committed(1, 60, 61), read(A, B, by="d")],
        [*acknowledged(A, B), joined(), committed(1, 0, 1), polled((1, B)), read(A, B, by="d")],
    ),
    Pair(
        "stale-start",
        [*acknowledged(A, B), read(A, by="d"), committed(1, 0, 1), joined(), read(A, B)],
        [*acknowledged(A, B), read(A, by="d"), committed(1, 1, 2), joined(), read(A, B)],
    ),
    Pair(
        "stale-start",
        [*acknowledged(A, B), committed(1, 0, 1), joined(), read(A, B)],
        [*acknowledged(A, B), committed(1, 0, 1), joined(group="h"), read(A, B)],
    ),
    Pair(
        "nonmonotonic-poll",
        [*acknowledged(A, B), polled((0, A), (1, B)), polled((1, B))],
        [*acknowledged(A, B), polled((0, A), (1, B)), at(1), polled((1, B))],
    ),
    Pair(
        "nonmonotonic-poll",
        [*acknowledged(A, B), at(1), read(A, B)],
        [*acknowledged(A, B), at(0), read(A, B)],
    ),
    Pair(
        "nonmonotonic-send",
        [sent(B, 1), sent(A, 0), read(A, B)],
        [sent(B, 1), sent(A, 0, by="q"), read(A, B)],
    ),
    Pair(
        "commit-went-back",
        [committed(1, 0, 1), committed(5, 1, 2), told(1, 3, 4)],
        [committed(1, 0, 1), committed(5, 1, 2), told(1, 1.5, 4), told(5, 5, 6)],
    ),
    Pair(
        "commit-went-back",
        [committed(5, 0, 9, Outcome.UNKNOWN), committed(1, 0, 1), told(5, 2, 3), told(1, 4, 5)],
        [committed(5, 0, 9, Outcome.UNKNOWN), committed(1, 0, 1), told(1, 2, 3), told(5, 4, 5)],
    ),
    Pair(
        "commit-went-back",
        [committed(5, 0, 1), told(None, 2, 3)],
        [committed(5, 0, 1, Outcome.UNKNOWN), told(None, 2, 3)],
    ),
    Pair(
        "commit-from-nowhere",
        [committed(5, 0, 1, Outcome.FAILED), told(5, 2, 3)],
        [committed(5, 0, 1, Outcome.UNKNOWN), told(5, 2, 3)],
    ),
    Pair(
        "commit-from-nowhere",
        [told(5, 2, 3), committed(5, 4, 5)],
        [told(5, 2, 3), committed(5, 3, 5)],
    ),
    Pair(
        "commit-from-nowhere",
        [trimmed(4, 0, 1), told(5, 2, 3), trimmed(6, 4, 5)],
        [trimmed(6, 0, 1), told(5, 2, 3)],
    ),
    Pair(
        "end-went-back",
        [seen_end(5), seen_end(4)],
        [seen_end(5), seen_end(4, by="f"), seen_end(5), seen_end(6)],
    ),
    Pair(
        "lost-write",
        [*acknowledged(A, B, C), trimmed(1, 0.0, 1.0), at(0), polled((2, C))],
        [*acknowledged(A, B, C), trimmed(2, 0.0, 1.0), at(0), polled((2, C))],
    ),
    Pair(
        "lost-write",
        [*acknowledged(A, B), trimmed(1, 0.0, 1.0, Outcome.FAILED), at(0), polled((1, B))],
        [*acknowledged(A, B), trimmed(1, 0.0, 1.0, Outcome.UNKNOWN), at(0), polled((1, B))],
    ),
    Pair(
        "duplicate",
        [sent(A, 2), sent(B, 1, by="q"), read(A, B, A), trimmed(1, 1.1, 9.5)],
        [sent(A, 2), sent(B, 1, by="q"), read(A, B, A), trimmed(1, 0.9, 9.5)],
    ),
    Pair(
        "duplicate",
        [sent(A, 0), sent(B, 1, by="q"), read(A, B, A), trimmed(1, 0.5, 9.5)],
        [sent(A, 2), sent(B, 1, by="q"), read(A, B, A), trimmed(1, 0.5, 9.5)],
    ),
    Pair(
        "duplicate",
        [sent(A, 2), sent(B, 0, by="q"), read(B, A, A), trimmed(1, 0.5, 9.5)],
        [sent(A, 2), sent(B, 0, by="q"), read(B, A, A), trimmed(2, 0.5, 9.5)],
    ),
    Pair(
        "unseen",
        [*acknowledged(A, B), trimmed(1, 0.0, 1.0)],
        [*acknowledged(A, B), trimmed(2, 0.0, 1.0)],
    ),
    Pair(
        "poll-skip",
        [*acknowledged(A, B, C), trimmed(1, 2.9, 9.5), *OLD_THREE, at(0), polled((2, C))],
        [*acknowledged(A, B, C), trimmed(2, 2.9, 9.5), *OLD_THREE, at(0), polled((2, C))],
    ),
    Pair(
        "poll-skip",
        [*acknowledged(A, B, C), polled((0, A), (2, C)), trimmed(3, 3.1, 9.5), *OLD_THREE],
        [*acknowledged(A, B, C), polled((0, A), (2, C)), trimmed(3, 2.9, 9.5), *OLD_THREE],
    ),
    Pair(
        "poll-skip",
        [*acknowledged(A, B, C), at(1), polled((2, C)), trimmed(3, 3.1, 9.5), *OLD_THREE],
        [*acknowledged(A, B, C), at(1), polled((2, C)), trimmed(3, 2.9, 9.5), *OLD_THREE],
    ),
    Pair(
        "odd-start",
        [*acknowledged(A, B, C), joined(), polled((2, C)), trimmed(2, 3.1, 9.5), *OLD_THREE],
        [*acknowledged(A, B, C), joined(), polled((2, C)), trimmed(2, 2.9, 9.5), *OLD_THREE],
    ),
    Pair(
        "replicas-differ",
        [*acknowledged(A, B, C), *OLD_THREE, replica(1, A, B, C), held(2, (1, B), committed=2)],
        [*acknowledged(A, B, C), *OLD_THREE, replica(1, A, B, C), replica(2, B, start=1)],
    ),
    Pair(
        "lost-write",
        [*acknowledged(A, B), read(A, B), replica(1, A, committed=2), replica(2, A, committed=2)],
        [*acknowledged(A, B), read(A, B), replica(1, A, B), replica(2, A, committed=1)],
    ),
    Pair(
        "lost-write",
        [sent(A, outcome=UNKNOWN), read(A), held(1, committed=1)],
        [sent(A, outcome=UNKNOWN), read(A), replica(1, start=1, committed=1)],
    ),
    Pair(
        "lost-write",
        [*acknowledged(A), sent(B, outcome=UNKNOWN), read(A, B), read(A, by="last")],
        [*acknowledged(A), sent(B, outcome=UNKNOWN), read(A), read(A, by="last")],
    ),
    Pair(
        "unsent",
        [*acknowledged(A), read(A), replica(1, A, B)],
        [*acknowledged(A), read(A), replica(1, A, B, committed=1)],
    ),
    Pair(
        "aborted-read",
        [*acknowledged(A), read(A), sent(B, outcome=Outcome.FAILED), replica(1, A, B)],
        [*acknowledged(A), read(A), sent(B, outcome=UNKNOWN), replica(1, A, B)],
    ),
    Pair(
        "undeleted",
        [*acknowledged(A, B), trimmed(1, 0.0, 1.0), at(0, when=13.1), read(A, B)],
        [*acknowledged(A, B), trimmed(1, 0.0, 1.2), at(0, when=13.1), read(A, B)],
    ),
    Pair(
        "undeleted",
        [*acknowledged(A, B), trimmed(1, 0.0, 1.0), at(0, when=13.1), read(A, B)],
        [*acknowledged(A, B), trimmed(1, 0.0, 1.0, UNKNOWN), at(0, when=13.1), read(A, B)],
    ),
    Pair(
        "undeleted",
        [*acknowledged(A, B), read(A, B), trimmed(1, 0.0, 1.0), replica(1, A, B)],
        [*acknowledged(A, B), read(A, B), trimmed(1, 0.0, 1.0), replica(1, B, start=1)],
    ),
    Pair("wrong-time", [dated(7, 6)], [dated(7, 7), dated(7, 8)]),
    Pair(
        "two-leaders",
        [Led(P, 3, 1, 0.0), Led(P, 3, 2, 1.0)],
        [Led(P, 3, 1, 0.0), Led(P, 4, 2, 1.0), Led(OTHER, 3, 2, 1.0), Led(P, 3, 1, 2.0)],
    ),
    Pair(
        "watermark-fell",
        [Watermark(P, 3, 1, 7, 0.0), Watermark(P, 3, 1, 6, 1.0)],
        [Watermark(P, 3, 1, 7, 0.0), Watermark(P, 4, 2, 6, 1.0), Watermark(OTHER, 3, 1, 6, 1.0)],
    ),
    Pair(
        "replicas-differ",
        [*ALL_SENT, replica(1, A, B, C), replica(2, A, D, C)],
        [*ALL_SENT, replica(1, A, B, C), replica(2, A, B, D, committed=2)],
    ),
    Pair(
        "replicas-differ",
        [*ALL_SENT, replica(1, A, B, C), replica(2, C, start=2), replica(3, A, B, committed=3)],
        [*ALL_SENT, replica(1, A, B, C), replica(2, C, start=2), replica(3, A, B, committed=2)],
    ),
    Pair(
        "replicas-differ",
        [*ALL_SENT, replica(1, A, B, C), replica(2, A, committed=1), replica(3, A, B, D)],
        [*ALL_SENT, replica(1, A, B, C), replica(2, A, committed=1), replica(3, A, B, C)],
    ),
]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_an_anomaly_is_flagged(pair):
    found = {anomaly.name for anomaly in check(pair.wrong, pair.promises)}

    assert pair.name in found


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_its_near_twin_is_not(pair):
    assert check(pair.right, pair.promises) == []


@pytest.mark.parametrize("name", ["duplicate", "nonmonotonic-send"])
def test_what_was_not_promised_is_no_anomaly(name):
    for pair in (pair for pair in PAIRS if pair.name == name):
        found = {anomaly.name for anomaly in check(pair.wrong, Promises(idempotent=False))}
        assert name not in found


def test_what_may_still_be_read_is_not_missed_yet():
    history = [*acknowledged(A, B), read(A)]

    assert check(history, Promises(drained=False)) == []


def test_an_anomaly_says_where_and_with_what():
    found = check([*acknowledged(A, B, C), polled((0, A), (2, C))])

    assert [str(anomaly) for anomaly in found] == [
        "lost-write in t-0: b'b' of p was acknowledged at 1, 2 was read, it was not",
        "poll-skip in t-0: c was handed 2 after 0: 1 is between",
    ]


def test_thousands_of_anomalies_are_counted_and_the_first_described():
    found = check(acknowledged(*(b"%d" % number for number in range(1000))))

    assert len(found) == SHOWN_OF_A_KIND + 1
    assert found[-1].facts == f"and {1000 - SHOWN_OF_A_KIND} more"


@given(st.data())
def test_a_right_run_is_never_flagged(data):
    """Producers with answers that may get lost, consumers that read and seek."""
    log: list[bytes] = []
    history: list[Operation] = []
    reading: dict[str, int] = {}
    for number in range(data.draw(st.integers(0, 30))):
        value = b"%d" % number
        outcome = data.draw(st.sampled_from(Outcome))
        is_there = outcome is Outcome.OK or (
            outcome is Outcome.UNKNOWN and data.draw(st.booleans())
        )
        offset = len(log) if outcome is Outcome.OK else None
        history.append(sent(value, offset, outcome, by=data.draw(st.sampled_from("pq"))))
        if is_there:
            log.append(value)
        reader = data.draw(st.sampled_from("cd"))
        if data.draw(st.booleans()):
            reading[reader] = data.draw(st.integers(0, len(log)))
            history.append(at(reading[reader], by=reader))
        start = reading.get(reader, 0)
        end = data.draw(st.integers(start, len(log)))
        history.append(read(*log[start:end], by=reader, first=start))
        reading[reader] = end
    history.append(read(*log, by="last"))

    assert check(history) == []


@given(st.data())
def test_any_acknowledged_record_that_goes_missing_is_noticed(data):
    values = [b"%d" % number for number in range(data.draw(st.integers(1, 30)))]
    gone = data.draw(st.integers(0, len(values) - 1))
    left = [(offset, value) for offset, value in enumerate(values) if offset != gone]

    found = {anomaly.name for anomaly in check([*acknowledged(*values), polled(*left)])}

    assert found & {"lost-write", "unseen"}
