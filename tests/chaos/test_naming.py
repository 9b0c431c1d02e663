"""Every record has a name in a history, a tombstone as well."""

from __future__ import annotations

from chaos.naming import name_of, tombstone_headers
from chaos.replicas import read_replicas
from protocol.records import Record, encode_batch
from tests.support.histories import P


def test_a_value_is_its_own_name_whatever_the_headers_say():
    assert name_of(Record(0, 0, b"key", b"a-1", tombstone_headers(b"a-2"))) == b"a-1"


def test_a_tombstone_bears_its_name_in_a_header():
    assert name_of(Record(0, 0, b"key", None, tombstone_headers(b"a-1"))) == b"a-1"


def test_a_tombstone_of_somebody_else_has_no_name():
    assert name_of(Record(0, 0, b"key", None, (("trace", b"1"),))) == b""


def test_replicas_are_read_with_the_names_of_their_tombstones(tmp_path):
    replica = tmp_path / "broker-1" / str(P)
    replica.mkdir(parents=True)
    records = [
        Record(0, 0, b"key", b"a-1"),
        Record(1, 0, b"key", None, tombstone_headers(b"a-2")),
    ]
    (replica / f"{0:020}.log").write_bytes(encode_batch(records))

    (found,), _ = read_replicas(tmp_path, P, end=2, count=1)
    assert found.records == ((0, b"a-1"), (1, b"a-2"))
