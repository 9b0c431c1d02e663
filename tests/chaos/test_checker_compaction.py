"""Compacted topics: for every rule a history that is flagged, and a near twin that is not."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chaos.checker import Promises, check
from chaos.history import Operation, Outcome, Sent
from tests.support.histories import (
    A,
    B,
    C,
    D,
    J,
    K,
    L,
    Pair,
    at,
    held,
    polled,
    read,
    sent,
    tombstone,
    upsert,
)

COMPACTED = Promises(compacted=True)
UNDRAINED = Promises(compacted=True, drained=False)
REPEATING = Promises(compacted=True, idempotent=False)

PAIRS = [
    # Read by nobody: right only if there is a newer record of the same key.
    Pair(
        "lost-write",
        [upsert(A, K, 0), upsert(B, L, 1), upsert(C, K, 2), polled((2, C))],
        [upsert(A, K, 0), upsert(B, K, 1), upsert(C, K, 2), polled((2, C))],
        COMPACTED,
    ),
    Pair(
        "lost-write",
        [sent(A, 0), upsert(B, K, 1), polled((1, B))],
        [upsert(A, K, 0), upsert(B, K, 1), polled((1, B))],
        COMPACTED,
    ),
    # The newer one was never acknowledged: it must have been read.
    Pair(
        "lost-write",
        [upsert(A, K, 0), upsert(B, K, outcome=Outcome.UNKNOWN), upsert(C, L, 2), polled((2, C))],
        [
            *[upsert(A, K, 0), upsert(B, K, outcome=Outcome.UNKNOWN), upsert(C, L, 2)],
            polled((1, B), (2, C)),
        ],
        COMPACTED,
    ),
    # Where it may be unread yet, and where it may be a tombstone that is gone again.
    Pair(
        "lost-write",
        [upsert(A, K, 0), upsert(B, K, outcome=Outcome.FAILED), upsert(C, L, 1), polled((1, C))],
        [upsert(A, K, 0), upsert(B, K, outcome=Outcome.UNKNOWN), upsert(C, L, 1), polled((1, C))],
        UNDRAINED,
    ),
    Pair(
        "unseen",
        [upsert(A, K, 0), upsert(B, K, outcome=Outcome.UNKNOWN)],
        [upsert(A, K, 0), tombstone(B, K, outcome=Outcome.UNKNOWN)],
        COMPACTED,
    ),
    Pair(
        "unseen",
        [upsert(A, K, 0), upsert(B, K, 1)],
        [upsert(A, K, 0), tombstone(B, K, 1)],
        COMPACTED,
    ),
    Pair(
        "unseen",
        [upsert(A, K), tombstone(B, L, 0)],
        [upsert(A, K), tombstone(B, K, 0)],
        COMPACTED,
    ),
    # Without idempotence a record that was sent before may come again after.
    Pair(
        "lost-write",
        [upsert(A, K, 0), upsert(B, K, 1), upsert(C, L, 2), polled((2, C))],
        [tombstone(A, K, 0), upsert(B, K, 1), upsert(C, L, 2), polled((2, C))],
        REPEATING,
    ),
    # Gone past: right only if all that was skipped was superseded.
    Pair(
        "poll-skip",
        [
            *[upsert(A, J, 0), upsert(B, K, 1), upsert(C, L, 2), upsert(D, K, 3)],
            *[polled((0, A), (3, D)), polled((1, B), (2, C), by="d")],
        ],
        [
            *[upsert(A, J, 0), upsert(B, K, 1), upsert(C, K, 2), upsert(D, K, 3)],
            *[polled((0, A), (3, D)), polled((1, B), (2, C), by="d")],
        ],
        COMPACTED,
    ),
    Pair(
        "poll-skip",
        [upsert(A, J, 0), upsert(B, K, 1), upsert(C, L, 2), polled((0, A), (2, C))],
        [upsert(A, J, 0), tombstone(B, K, 1), upsert(C, L, 2), polled((0, A), (2, C))],
        COMPACTED,
    ),
    # An older value in place of what came after it.
    Pair(
        "resurrected",
        [upsert(A, K, 0), tombstone(B, K, 1), polled((0, A), by="last")],
        [upsert(A, K, 0), tombstone(B, K, 1), polled((0, A), (1, B), by="last")],
        COMPACTED,
    ),
    Pair(
        "resurrected",
        [upsert(A, K, 0), tombstone(B, K, 1), upsert(C, L, 2), polled((0, A), (2, C), by="last")],
        [upsert(A, L, 0), tombstone(B, K, 1), upsert(C, L, 2), polled((0, A), (2, C), by="last")],
        COMPACTED,
    ),
    Pair(
        "resurrected",
        [upsert(A, K, 0), upsert(B, K, 1), read(A, B), polled((0, A), by="last")],
        [upsert(A, K, 0), upsert(B, K, 1), read(A, B), polled((1, B), by="last")],
        COMPACTED,
    ),
    Pair(
        "resurrected",
        [
            *[upsert(A, K, 0), tombstone(B, K, outcome=Outcome.UNKNOWN)],
            *[polled((1, B)), polled((0, A), by="last")],
        ],
        [
            *[upsert(A, K, 0), tombstone(B, K, outcome=Outcome.UNKNOWN)],
            *[polled((1, B)), polled(by="last")],
        ],
        COMPACTED,
    ),
    # Who reads while logs are compacted may see a value and then not its tombstone.
    Pair(
        "resurrected",
        [upsert(A, K, 0), tombstone(B, K, 1), polled((0, A), by="last")],
        [upsert(A, K, 0), tombstone(B, K, 1), polled((0, A), by="c"), polled(by="last")],
        COMPACTED,
    ),
    Pair(
        "resurrected",
        [*[upsert(A, K, 0), tombstone(B, K, 1)], at(0, by="last"), polled((0, A), by="last")],
        [*[upsert(A, K, 0), tombstone(B, K, 1)], polled((0, A), by="last"), at(0, by="last")],
        COMPACTED,
    ),
    Pair(
        "resurrected",
        [upsert(A, K, 0), tombstone(B, K, 1), held(1, (0, A), committed=2)],
        [upsert(A, K, 0), tombstone(B, K, 1), held(1, (0, A), committed=1)],
        COMPACTED,
    ),
    # Replicas: each compacts when it likes.
    Pair(
        "replicas-differ",
        [
            *[upsert(A, K, 0), upsert(B, L, 1), upsert(C, K, 2), read(A, B, C)],
            *[held(1, (0, A), (1, B), (2, C), committed=3), held(2, (2, C), committed=3)],
        ],
        [
            *[upsert(A, K, 0), upsert(B, L, 1), upsert(C, K, 2), read(A, B, C)],
            *[held(1, (0, A), (1, B), (2, C), committed=3), held(2, (1, B), (2, C), committed=3)],
        ],
        COMPACTED,
    ),
    Pair(
        "replicas-differ",
        [upsert(A, K, 0), read(A), held(1, (0, A), committed=1), held(2, committed=1)],
        [tombstone(A, K, 0), read(A), held(1, (0, A), committed=1), held(2, committed=1)],
        COMPACTED,
    ),
    Pair(
        "replicas-differ",
        [
            *[upsert(A, K, 0), upsert(B, K, 1), read(A, B)],
            *[held(1, (0, D), (1, B), committed=2), held(2, (0, A), (1, B), committed=2)],
        ],
        [
            *[upsert(A, K, 0), upsert(B, K, 1), read(A, B)],
            *[held(1, (0, A), (1, B), committed=2), held(2, (0, A), (1, B), committed=2)],
        ],
        COMPACTED,
    ),
    # One has compacted by a record that the other does not know to be committed.
    Pair(
        "replicas-differ",
        [
            *[upsert(A, K, 0), upsert(B, L, 1), read(A, B)],
            *[held(1, (0, A), committed=1), held(2, (1, B), committed=2)],
        ],
        [
            *[upsert(A, K, 0), upsert(B, K, 1), read(A, B)],
            *[held(1, (0, A), committed=1), held(2, (1, B), committed=2)],
        ],
        COMPACTED,
    ),
]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_an_anomaly_is_flagged(pair):
    found = {anomaly.name for anomaly in check(pair.wrong, pair.promises)}

    assert pair.name in found


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_its_near_twin_is_not(pair):
    assert check(pair.right, pair.promises) == []


def test_a_topic_that_is_not_compacted_may_lack_nothing():
    found = {name.name for pair in PAIRS for name in check(pair.right, Promises(idempotent=False))}

    assert {"lost-write", "unseen", "poll-skip", "replicas-differ"} <= found
    assert "resurrected" not in found


def test_what_is_resurrected_is_told_with_what_is_missing():
    history = [upsert(A, K, 0), tombstone(B, K, 1), held(2, (0, A), committed=2)]

    assert [str(anomaly) for anomaly in check(history, COMPACTED)] == [
        "resurrected in t-0: broker 2 has b'a' of b'k' at 0, and not the tombstone b'b' at 1"
    ]


class Log:
    """A log that is compacted in any order that is right."""

    def __init__(self) -> None:
        self.end = 0
        self.records: dict[int, Sent] = {}

    def append(self, record: Sent) -> None:
        self.records[self.end] = record
        self.end += 1

    def shown(self, start: int = 0) -> list[tuple[int, bytes]]:
        return [(offset, one.value) for offset, one in self.records.items() if offset >= start]

    def of_key(self, key: bytes | None) -> dict[int, Sent]:
        return {offset: one for offset, one in self.records.items() if one.key == key}

    def compact(self, draw) -> None:
        end = draw(st.integers(0, self.end))
        for offset in [o for o in self.records if o < end and draw(st.booleans())]:
            record = self.records[offset]
            others = self.of_key(record.key)
            is_superseded = any(offset < other < end for other in others)
            if is_superseded or (record.tombstone and min(others) == offset):
                del self.records[offset]


@given(st.data())
def test_a_right_run_is_never_flagged(data):
    """Logs of a leader and a follower, each compacted by itself; answers that may get lost."""
    log, follower, history = Log(), Log(), []
    position = 0
    for number in range(data.draw(st.integers(0, 30))):
        value, key = b"%d" % number, data.draw(st.sampled_from([J, K, L]))
        outcome = data.draw(st.sampled_from(Outcome))
        offset = log.end if outcome is Outcome.OK else None
        record = sent(value, offset, outcome, key=key, tombstone=data.draw(st.booleans()))
        history.append(record)
        if offset is not None or (outcome is Outcome.UNKNOWN and data.draw(st.booleans())):
            log.append(record)
            follower.append(record)
        for one in (log, follower):
            if data.draw(st.booleans()):
                one.compact(data.draw)
        if data.draw(st.booleans()):
            history.append(polled(*log.shown(position)))
            position = log.end
    history.append(polled(*log.shown(), by="last"))
    history += [held(n, *one.shown(), committed=one.end) for n, one in enumerate((log, follower))]

    assert check(history, COMPACTED) == []


@given(st.data())
def test_the_newest_record_of_a_key_that_goes_missing_is_noticed(data):
    log = Log()
    for offset in range(data.draw(st.integers(1, 20))):
        key, is_tombstone = data.draw(st.sampled_from([J, K, L])), data.draw(st.booleans())
        log.append(sent(b"%d" % offset, offset, key=key, tombstone=is_tombstone))
    history: list[Operation] = list(log.records.values())
    key = data.draw(st.sampled_from([one.key for one in log.records.values()]))
    newest = max(log.of_key(key))
    log.compact(data.draw)
    gone = log.records.pop(newest, None)
    left = log.of_key(key)
    assume((gone and not gone.tombstone) or (left and not left[max(left)].tombstone))

    assert check([*history, polled(*log.shown(), by="last")], COMPACTED)
