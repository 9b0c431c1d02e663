"""The replicas of an ended cluster are read from its segments, and compared."""

from __future__ import annotations

import pytest

from chaos.checker import check
from chaos.history import Outcome
from chaos.replicas import read_replicas
from protocol.records import Record, encode_batch
from tests.support.histories import P, sent, trimmed

PLACE = P
SENT = [sent(value, outcome=Outcome.UNKNOWN) for value in (b"tea", b"cake", b"jam", b"pie")]


def write(directory, broker_id: int, *segments: list[bytes]) -> None:
    replica = directory / f"broker-{broker_id}" / str(PLACE)
    replica.mkdir(parents=True)
    offset = 0
    for values in segments:
        records = [Record(offset + n, 0, None, value) for n, value in enumerate(values)]
        batch = encode_batch(records, base_offset=offset)
        (replica / f"{offset:020}.log").write_bytes(batch)
        offset += len(values)


def anomalies(directory, *, end: int) -> set[str]:
    replicas, wrong = read_replicas(directory, PLACE, end=end, count=2)
    assert wrong == []
    assert [replica.broker_id for replica in replicas] == [1, 2]
    return {anomaly.name for anomaly in check([*SENT, *replicas])}


def test_replicas_that_hold_the_same_are_fine_however_their_segments_are_cut(tmp_path):
    write(tmp_path, 1, [b"tea", b"cake"], [b"jam"])
    write(tmp_path, 2, [b"tea"], [b"cake", b"jam"])

    assert anomalies(tmp_path, end=3) == set()


def test_a_replica_that_lacks_a_committed_record_differs(tmp_path):
    write(tmp_path, 1, [b"tea", b"cake", b"jam"])
    write(tmp_path, 2, [b"tea", b"cake"])

    assert anomalies(tmp_path, end=2) == set()
    assert anomalies(tmp_path, end=3) == {"replicas-differ"}


def test_what_was_deleted_may_be_there_yet(tmp_path):
    write(tmp_path, 1, [b"tea", b"cake", b"jam"])
    write(tmp_path, 2, [b"pie", b"cake", b"jam"])

    replicas, wrong = read_replicas(tmp_path, PLACE, start=1, end=3, count=2)

    assert wrong == []
    assert [replica.log_start for replica in replicas] == [1, 1]
    assert check([*SENT, trimmed(1, 0, 1), *replicas]) == []
    assert {one.name for one in check([*SENT, trimmed(2, 0, 1), *replicas])} == {"undeleted"}


def test_a_replica_with_another_record_differs(tmp_path):
    write(tmp_path, 1, [b"tea", b"cake"])
    write(tmp_path, 2, [b"tea", b"pie"])

    assert "replicas-differ" in anomalies(tmp_path, end=2)


def test_a_damaged_replica_is_named_and_the_others_are_read(tmp_path):
    write(tmp_path, 1, [b"tea", b"cake"])
    write(tmp_path, 2, [b"tea", b"cake"])
    segment = tmp_path / "broker-1" / str(PLACE) / f"{0:020}.log"
    segment.write_bytes(segment.read_bytes()[:-1] + b"?")

    replicas, (wrong,) = read_replicas(tmp_path, PLACE, end=2, count=2)

    assert [replica.broker_id for replica in replicas] == [2]
    assert (wrong.name, wrong.place) == ("unreadable", "t-0 on broker-1")


@pytest.mark.parametrize("count", [1, 3])
def test_fewer_replicas_than_there_must_be_are_told_and_more(tmp_path, count):
    write(tmp_path, 1, [b"tea"])
    write(tmp_path, 2, [b"tea"])

    replicas, (wrong,) = read_replicas(tmp_path, PLACE, end=1, count=count)

    assert len(replicas) == 2
    assert wrong.facts == f"2 replicas instead of {count}"
