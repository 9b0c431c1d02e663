"""The values of groups' znodes: what is written is read, what is damaged is refused."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.groups import records
from coordinator.groups.image import CommittedOffset, GroupHeader, TopicOffsets
from coordinator.records import RecordUnreadable

int32 = st.integers(min_value=0, max_value=2**31 - 1)
int64 = st.integers(min_value=0, max_value=2**63 - 1)
offsets = st.builds(CommittedOffset, int64, st.integers(-1, 2**31 - 1), st.text(), int64)


@given(int32, int32, st.binary())
def test_a_header_that_was_written_is_read(owner_id, owner_epoch, membership):
    header = GroupHeader(owner_id, owner_epoch, membership)

    assert records.decode_header("/g", records.encode_header(header)) == header


@given(st.binary(min_size=16, max_size=16), st.dictionaries(int32, offsets))
def test_offsets_that_were_written_are_read(topic_id, partitions):
    value = records.encode_offsets(topic_id, partitions)

    assert records.decode_offsets("/g/t", value) == TopicOffsets(topic_id, partitions)


@given(st.binary())
def test_what_is_no_record_is_refused_and_nothing_else_happens(value):
    for decode in (records.decode_header, records.decode_offsets):
        with pytest.raises(RecordUnreadable, match="/g"):
            decode("/g", value)


@given(st.data())
def test_a_record_that_is_damaged_is_read_as_something_or_refused(data):
    value = data.draw(
        st.sampled_from(
            [
                records.encode_header(GroupHeader(1, 2, b"members" * 9)),
                records.encode_offsets(bytes(16), {0: CommittedOffset(5), 1: CommittedOffset(6)}),
            ]
        )
    )
    damaged = bytearray(value)
    at = data.draw(st.integers(0, len(value) - 1))
    damaged[at] ^= data.draw(st.integers(1, 255))
    for decode in (records.decode_header, records.decode_offsets):
        try:
            decode("/g", bytes(damaged))
        except RecordUnreadable:
            continue


@pytest.mark.parametrize(
    "row", [None, [], [0, 1, 2, "m"], [0, 1, 2, b"m", 4], ["0", 1, 2, "m", 4], [True, 1, 2, "", 4]]
)
def test_a_row_that_is_no_committed_offset_is_refused(row):
    value = msgpack.packb({"format": 1, "topic_id": bytes(16), "offsets": [row]})

    with pytest.raises(RecordUnreadable, match="no committed offset"):
        records.decode_offsets("/g/t", value)


def test_a_row_may_gain_fields_in_a_later_release():
    row = [0, 1, 2, "m", 4, "new"]
    value = msgpack.packb({"format": 1, "topic_id": bytes(16), "offsets": [row], "more": 1})

    assert records.decode_offsets("/g/t", value).partitions == {0: CommittedOffset(1, 2, "m", 4)}


def test_a_membership_that_is_cut_or_damaged_is_refused():
    fields = msgpack.unpackb(records.encode_header(GroupHeader(1, 1, b"members" * 100)))
    packed = fields["membership"]
    for damaged in (packed[:-1], packed[:-2] + b"xx", b"", b"plain"):
        with pytest.raises(RecordUnreadable, match="membership"):
            records.decode_header("/g", msgpack.packb({**fields, "membership": damaged}))


def test_a_membership_that_would_fill_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(records, "MEMBERSHIP_BYTES_MAX", 1_000)
    value = records.encode_header(GroupHeader(1, 1, bytes(1_001)))

    with pytest.raises(RecordUnreadable, match="over 1000"):
        records.decode_header("/g", value)
