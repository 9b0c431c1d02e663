from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from cli import ottla
from protocol.compression import Compression
from protocol.records import Record, encode_batch


def batch_of(*values: bytes | None, base_offset: int, **options: object) -> bytes:
    records = [
        Record(base_offset + i, 1_700_000_000_000 + i, b"key", value, (("trace", b"\xff"),))
        for i, value in enumerate(values)
    ]
    return encode_batch(records, base_offset=base_offset, leader_epoch=3, **options)


@pytest.fixture
def partition(tmp_path):
    """A partition of two segments and three batches."""
    first = batch_of(b"a", b"b", base_offset=0, compression=Compression.ZSTD)
    second = batch_of(None, base_offset=2, producer_id=7, producer_epoch=1, base_sequence=5)
    third = batch_of(b"d", base_offset=3)
    (tmp_path / "00000000000000000000.log").write_bytes(first + second)
    (tmp_path / "00000000000000000003.log").write_bytes(third)
    return tmp_path


def dump(*args: object) -> tuple[int, str]:
    result = CliRunner().invoke(ottla, ["log", "dump", *map(str, args)])
    return result.exit_code, result.output


def test_every_batch_is_an_object_of_its_own(partition):
    status, out = dump(partition, "--json")
    batches = [json.loads(line) for line in out.splitlines()]

    assert status == 0
    assert [(b["base_offset"], b["last_offset"], b["count"]) for b in batches] == [
        (0, 1, 2), (2, 2, 1), (3, 3, 1),
    ]  # fmt: skip
    assert [b["segment"] for b in batches].count("00000000000000000003.log") == 1
    assert all(b["crc_ok"] and b["leader_epoch"] == 3 for b in batches)
    assert batches[0]["compression"] == "zstd"
    assert batches[1]["position"] == batches[0]["size_bytes"]
    assert [batches[1][f] for f in ("producer_id", "producer_epoch", "base_sequence")] == [7, 1, 5]


def test_records_are_shown_on_request_whatever_their_bytes(partition):
    _, out = dump(partition, "--json", "--records")
    records = [r for line in out.splitlines() for r in json.loads(line)["records"]]

    assert [r["value"] for r in records] == ["a", "b", None, "d"]
    assert [r["offset"] for r in records] == [0, 1, 2, 3]
    assert records[0]["headers"] == [{"name": "trace", "value": None, "value_base64": "/w=="}]


def test_people_read_columns(partition):
    status, out = dump(partition, "--records")

    assert status == 0
    assert "OFFSETS" in out
    assert "7/1/5" in out
    assert '"value": "a"' in out


def test_a_flipped_bit_is_found_and_the_rest_is_still_shown(partition):
    path = partition / "00000000000000000000.log"
    data = bytearray(path.read_bytes())
    data[70] ^= 1
    path.write_bytes(data)
    status, out = dump(partition, "--json")

    assert status == 1
    assert [json.loads(line)["crc_ok"] for line in out.splitlines()] == [False, True, True]


def test_every_damaged_byte_of_a_batch_is_found_and_never_a_traceback(partition):
    path = partition / "00000000000000000003.log"
    whole = path.read_bytes()
    for position in range(16, len(whole)):  # before it: what a broker may set, without checksum
        data = bytearray(whole)
        data[position] ^= 0xFF
        path.write_bytes(data)
        assert dump(partition)[0] == 1, position


def test_a_torn_tail_is_told_with_what_is_left(partition):
    path = partition / "00000000000000000003.log"
    path.write_bytes(path.read_bytes()[:-5])
    status, out = dump(partition, "--json")
    torn = json.loads(out.splitlines()[-1])

    assert status == 1
    assert torn["unread_bytes"] == path.stat().st_size
    assert "error" in torn
    assert "DAMAGED" in dump(partition)[1]


def test_a_directory_without_segments_names_one_that_has_some(partition):
    status, out = dump(partition.parent)

    assert status == 1
    assert "no segments in" in out
    assert str(partition) in out or "such as" in out


def test_a_directory_that_is_not_there_is_a_wrong_command_line(tmp_path):
    status, out = dump(tmp_path / "none")

    assert status == 2
    assert "does not exist" in out
