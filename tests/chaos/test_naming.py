"""Every record has a name in a history, a tombstone as well; a seal tells whether it is whole."""

from __future__ import annotations

import pytest

from chaos.naming import BROKEN, headers_of, name_of
from chaos.replicas import read_replicas
from protocol.records import Record, encode_batch
from tests.support.histories import P

UNSEALED_TOMBSTONE = headers_of(b"a-2", key=b"key", timestamp_ms=7, tombstone=True)


def sealed(name: bytes, *, tombstone: bool = False, key: bytes | None = b"key") -> Record:
    headers = headers_of(name, key=key, timestamp_ms=7, tombstone=tombstone)
    return Record(0, 7, key, None if tombstone else name, headers)


def test_a_value_is_its_own_name_whatever_the_headers_say():
    assert name_of(Record(0, 0, b"key", b"a-1", UNSEALED_TOMBSTONE)) == b"a-1"


def test_a_tombstone_bears_its_name_in_a_header():
    assert name_of(Record(0, 0, b"key", None, UNSEALED_TOMBSTONE)) == b"a-2"


def test_a_tombstone_of_somebody_else_has_no_name():
    assert name_of(Record(0, 0, b"key", None, (("trace", b"1"),))) == b""


@pytest.mark.parametrize("tombstone", [False, True])
@pytest.mark.parametrize("key", [None, b"", b"key"])
def test_a_sealed_record_keeps_its_name(key, tombstone):
    assert name_of(sealed(b"a-1!", tombstone=tombstone, key=key)) == b"a-1!"


@pytest.mark.parametrize(
    "change",
    [
        {"key": b"other"},
        {"key": None},
        {"timestamp_ms": 8},
        {"headers": ()},
        {"headers": (*sealed(b"a-1!").headers, ("trace", b"1"))},
        {"headers": sealed(b"a-2!").headers},
    ],
    ids=str,
)
def test_one_whose_seal_is_broken_is_another(change):
    record = sealed(b"a-1!")
    fields = {name: getattr(record, name) for name in record.__struct_fields__}

    assert name_of(Record(**{**fields, **change})) == b"a-1!" + BROKEN


def test_a_sealed_tombstone_that_has_lost_its_headers_has_no_name():
    assert name_of(Record(0, 7, b"key", None, sealed(b"a-1!", tombstone=True).headers[1:])) == b""


def test_replicas_are_read_with_the_names_of_their_tombstones(tmp_path):
    replica = tmp_path / "broker-1" / str(P)
    replica.mkdir(parents=True)
    records = [Record(0, 0, b"key", b"a-1"), Record(1, 0, b"key", None, UNSEALED_TOMBSTONE)]
    (replica / f"{0:020}.log").write_bytes(encode_batch(records))

    (found,), _ = read_replicas(tmp_path, P, end=2, count=1)
    assert found.records == ((0, b"a-1"), (1, b"a-2"))
