"""The compiled codec against the interpreter of the same declarations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.api.fetch import (
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    PartitionData,
    ReplicaState,
)
from protocol.api.metadata import MetadataRequest, MetadataRequestTopic
from protocol.api.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from protocol.api.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from protocol.api.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from protocol.codec import decode, encode, encode_bytes
from protocol.decoder import ELEMENTS_MAX
from protocol.errors import EncodeError, ProtocolError
from tests.protocol.interpreter import Refused, interpret_decode, interpret_encode
from tests.protocol.messages import (
    MESSAGE_VERSIONS,
    MESSAGES,
    Everything,
    Inner,
    any_message,
    messages,
    plain,
    versions,
)
from tests.support.effort import examples


@pytest.mark.parametrize("cls", MESSAGES, ids=lambda cls: cls.__name__)
def test_every_version_of_a_message_is_encoded_and_decoded_as_interpreted(cls: type) -> None:
    @settings(max_examples=examples(8 * len(versions(cls))), deadline=None)
    @given(
        st.sampled_from(versions(cls)).flatmap(
            lambda version: st.tuples(messages(cls, version), st.just(version))
        )
    )
    def check(drawn: tuple[Any, int]) -> None:
        message, version = drawn
        encoded = encode_bytes(message, version)

        assert encoded == interpret_encode(message, version)
        assert plain(decode(cls, version, encoded)) == plain(message)
        assert plain(interpret_decode(cls, version, encoded)) == plain(message)

    check()


@pytest.mark.parametrize(("cls", "version"), MESSAGE_VERSIONS)
def test_defaults_survive_the_wire(cls: type, version: int) -> None:
    assert decode(cls, version, encode_bytes(cls(), version)) == cls()


@given(st.data())
@settings(deadline=None)
def test_a_value_that_the_version_lacks_is_dropped_or_refused_as_interpreted(
    data: st.DataObject,
) -> None:
    cls, version = data.draw(st.sampled_from(MESSAGE_VERSIONS))
    message = data.draw(messages(cls, data.draw(st.sampled_from(versions(cls)))))
    try:
        expected = interpret_encode(message, version)
    except Refused:
        with pytest.raises(EncodeError):
            encode_bytes(message, version)
    else:
        assert encode_bytes(message, version) == expected


def test_a_dropped_field_leaves_no_trace() -> None:
    request = FetchRequest(rack_id="r1", max_wait_ms=5)

    assert encode_bytes(request, 4) == encode_bytes(FetchRequest(max_wait_ms=5), 4)


def test_a_refused_field_is_named_with_message_and_version() -> None:
    request = FetchRequest(replica_state=ReplicaState(1, 5))

    with pytest.raises(EncodeError, match=r"FetchRequest version 12, replica_state: .*cannot say"):
        encode_bytes(request, 12)


def test_a_refused_field_of_a_nested_struct_is_named_with_its_path() -> None:
    topics = [FetchTopic("t", partitions=[FetchPartition(last_fetched_epoch=3)])]

    with pytest.raises(EncodeError, match="version 11, topics.partitions.last_fetched_epoch"):
        encode_bytes(FetchRequest(topics=topics), 11)


@pytest.mark.parametrize(
    ("message", "version", "field"),
    [
        (FetchRequest(max_wait_ms=2**31), 12, "topics"),  # its run of fixed-width fields ends there
        (FetchRequest(rack_id=None), 12, "rack_id"),  # type: ignore[arg-type]
        (FetchRequest(rack_id="x" * 32768), 12, "rack_id"),
        (FetchRequest(rack_id="\ud800"), 12, "rack_id"),
        (FetchRequest(rack_id=b"bytes"), 12, "rack_id"),  # type: ignore[arg-type]
        (FetchRequest(topics=[FetchTopic(topic_id=b"short")]), 13, "topics.topic_id"),
        (FetchRequest(topics=None), 12, "topics"),  # type: ignore[arg-type]
        (MetadataRequest(topics=None), 0, "topics"),
        (MetadataRequest(topics=[MetadataRequestTopic(name=None)]), 9, "topics.name"),
        (Everything(tagged_id=b"short"), 3, "tagged_id"),
        (Everything(blobs=[3]), 3, "blobs"),  # type: ignore[list-item]
    ],
)
def test_a_value_without_bytes_is_refused_with_its_field(
    message: Any, version: int, field: str
) -> None:
    with pytest.raises(EncodeError, match=f"version {version}, {field}: "):
        encode_bytes(message, version)


@pytest.mark.parametrize("version", [3, 18, -1])
def test_versions_that_are_not_declared_are_refused(version: int) -> None:
    with pytest.raises(ProtocolError, match="versions 4 to 17"):
        decode(FetchRequest, version, b"")
    with pytest.raises(EncodeError, match="versions 4 to 17"):
        encode(FetchRequest(), version)


def test_a_class_that_is_not_declared_is_a_bug() -> None:
    with pytest.raises(TypeError, match="not declared"):
        decode(int, 0, b"")


def test_records_are_decoded_as_views_of_the_frame() -> None:
    frame = bytearray(encode_bytes(produce_request(b"batch"), 9))
    data = decode(ProduceRequest, 9, frame).topic_data[0].partition_data[0]

    frame[frame.index(b"batch")] = ord("B")

    assert plain(data.records) == b"Batch"


class Slice:
    """Records that are somewhere else."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


@pytest.mark.parametrize("version", [4, 11, 12, 17])
def test_slices_of_records_are_chunks_of_their_own_between_joined_bytes(version: int) -> None:
    first, second = Slice(3), Slice(200)
    chunks = encode(fetch_response(first, b"abc", second, Slice(0)), version)

    assert [chunk for chunk in chunks if not isinstance(chunk, bytes)] == [first, second]
    assert all(isinstance(chunk, bytes) for chunk in chunks[::2])
    whole = b"".join(c if isinstance(c, bytes) else b"z" * len(c) for c in chunks)
    expected = fetch_response(b"z" * 3, b"abc", b"z" * 200, b"")
    assert whole == encode_bytes(expected, version)


def test_slices_of_records_are_no_bytes() -> None:
    with pytest.raises(EncodeError, match="not in memory"):
        encode_bytes(fetch_response(Slice(3)), 12)


def test_a_message_without_slices_is_one_chunk() -> None:
    assert encode(FetchResponse(), 12) == [encode_bytes(FetchResponse(), 12)]


def test_what_follows_a_request_is_ignored_as_kafka_ignores_it() -> None:
    encoded = encode_bytes(MetadataRequest(topics=None), 13)

    assert decode(MetadataRequest, 13, encoded + b"\0\0\0") == MetadataRequest(topics=None)


def test_what_follows_a_response_is_refused() -> None:
    with pytest.raises(ProtocolError, match="FetchResponse version 12, message: 1 bytes left over"):
        decode(FetchResponse, 12, encode_bytes(FetchResponse(), 12) + b"\0")


def test_a_request_of_too_many_elements_is_refused() -> None:
    topics = [TopicProduceData()] * (ELEMENTS_MAX + 1)

    with pytest.raises(ProtocolError, match="topic_data: more than 250000 elements in a request"):
        decode(ProduceRequest, 9, encode_bytes(ProduceRequest(topic_data=topics), 9))


@pytest.mark.parametrize("version", [8, 9])
def test_elements_count_in_all_arrays_together(version: int) -> None:
    most = OffsetFetchRequestGroup(
        topics=[OffsetFetchRequestTopics("t", list(range(ELEMENTS_MAX // 2 - 2)))]
    )
    fits = OffsetFetchRequest(groups=[most, most])
    beyond = OffsetFetchRequest(groups=[most, most, OffsetFetchRequestGroup(topics=[])])

    assert decode(OffsetFetchRequest, version, encode_bytes(fits, version)) == fits
    with pytest.raises(ProtocolError, match="more than 250000 elements"):
        decode(OffsetFetchRequest, version, encode_bytes(beyond, version))


@pytest.mark.slow
def test_answers_may_have_more_elements() -> None:
    answer = FetchResponse(responses=[FetchableTopicResponse()] * (ELEMENTS_MAX + 1))

    assert len(decode(FetchResponse, 12, encode_bytes(answer, 12)).responses) == ELEMENTS_MAX + 1


LATIN_1 = "café".encode("latin-1")


@pytest.mark.parametrize("version", [5, 9])
def test_what_is_no_utf8_is_read_with_replacements_as_kafka_reads_it(version: int) -> None:
    commit = OffsetCommitRequest(
        group_id="GGGG",
        topics=[OffsetCommitRequestTopic("t", [OffsetCommitRequestPartition(0, 5, -1, "MMMM")])],
    )
    sent = encode_bytes(commit, version).replace(b"GGGG", LATIN_1).replace(b"MMMM", LATIN_1)

    read = decode(OffsetCommitRequest, version, sent)

    assert read.group_id == read.topics[0].partitions[0].committed_metadata == "caf\ufffd"


@pytest.mark.parametrize("version", [8, 9])
def test_a_string_that_its_replacements_make_too_long_is_refused(version: int) -> None:
    longest = 0x7FFF // 3
    for size, is_taken in ((longest, True), (longest + 1, False)):
        request = MetadataRequest(topics=[MetadataRequestTopic(name="N" * size)])
        sent = encode_bytes(request, version).replace(b"N" * size, b"\xff" * size)
        if is_taken:
            read = decode(MetadataRequest, version, sent)
            assert decode(MetadataRequest, version, encode_bytes(read, version)) == read
        else:
            with pytest.raises(ProtocolError, match="topics.name: string of 10923 bytes"):
                decode(MetadataRequest, version, sent)


def test_unknown_tagged_fields_are_skipped() -> None:
    without = encode_bytes(FetchRequest(cluster_id="c"), 12)
    assert without[-5:] == b"\x01\x00\x02\x02c"
    unknown = without[:-5] + b"\x03\x00\x02\x02c" + b"\x09\x00" + b"\xff\x01\x03abc"

    assert decode(FetchRequest, 12, unknown) == FetchRequest(cluster_id="c")


def test_a_tagged_struct_that_was_not_sent_is_none() -> None:
    assert decode(FetchRequest, 15, encode_bytes(FetchRequest(), 15)).replica_state is None


def test_decoded_messages_share_no_mutable_default() -> None:
    encoded = encode_bytes(Everything(), 0)
    first, second = (decode(Everything, 0, encoded) for _ in range(2))
    first.tagged_list.append(Inner())
    first.inner.number = 9

    assert second == Everything() == decode(Everything, 0, encoded)


@given(any_message(), st.data())
@settings(deadline=None, max_examples=examples(250))
def test_damaged_messages_are_refused_or_read_as_interpreted(
    drawn: tuple[Any, int], data: st.DataObject
) -> None:
    message, version = drawn
    damaged = damage(encode_bytes(message, version), data)

    check_as_interpreted(type(message), version, damaged)


@given(st.sampled_from(MESSAGE_VERSIONS), st.binary(max_size=60))
@settings(deadline=None, max_examples=examples(250))
def test_random_bytes_are_refused_or_read_as_interpreted(
    pair: tuple[type, int], noise: bytes
) -> None:
    check_as_interpreted(*pair, noise)


def check_as_interpreted(cls: type, version: int, data: bytes) -> None:
    try:
        expected = interpret_decode(cls, version, data)
    except Refused:
        with pytest.raises(ProtocolError, match=f"cannot read {cls.__name__} version {version}, "):
            decode(cls, version, data)
    else:
        assert plain(decode(cls, version, memoryview(data))) == plain(expected)


def damage(encoded: bytes, data: st.DataObject) -> bytes:
    """Cut, lengthen or change a few bytes."""
    kind = data.draw(st.sampled_from(["cut", "lengthen", "change", "insert"]))
    position = data.draw(st.integers(0, len(encoded)))
    noise = data.draw(st.binary(min_size=1, max_size=5) | st.just(b"\xff\xff\xff\xff"))
    match kind:
        case "cut":
            return encoded[:position]
        case "lengthen":
            return encoded + noise
        case "change":
            return encoded[:position] + noise + encoded[position + len(noise) :]
        case _:
            return encoded[:position] + noise + encoded[position:]


def produce_request(records: bytes) -> ProduceRequest:
    return ProduceRequest(topic_data=[TopicProduceData("t", [PartitionProduceData(0, records)])])


def fetch_response(*records: Any) -> FetchResponse:
    partitions = [PartitionData(index, records=item) for index, item in enumerate(records)]
    return FetchResponse(responses=[FetchableTopicResponse(partitions=partitions)])
