"""Frames and headers."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.api import API, ApiKey
from protocol.api.api_versions import ApiVersionsRequest, ApiVersionsResponse
from protocol.api.metadata import MetadataRequest, MetadataResponse
from protocol.codec import Chunk, decode, encode_bytes
from protocol.errors import EncodeError, ProtocolError
from protocol.frame_reader import FrameReader
from protocol.framing import (
    RequestHeader,
    decode_request_header,
    decode_response,
    encode_request,
    encode_response,
    read_correlation_id,
)
from protocol.message import layout_of
from tests.protocol.messages import DECLARED, versions

REQUESTS = [(api.request, version) for api in API.values() for version in versions(api.request)]
RESPONSES = [(api.response, version) for api in API.values() for version in versions(api.response)]


@pytest.mark.parametrize(("cls", "version"), REQUESTS)
@pytest.mark.parametrize("client_id", ["client", "", None])
def test_a_request_frame_is_read_back(cls: type, version: int, client_id: str | None) -> None:
    chunk = only(encode_request(cls(), api_version=version, correlation_id=7, client_id=client_id))
    frame = read_frame(chunk)
    header, body = decode_request_header(frame)

    assert header == RequestHeader(layout_of(cls).key or 0, version, 7, client_id)
    assert decode(cls, version, body) == cls()


@pytest.mark.parametrize(("cls", "version"), RESPONSES)
def test_a_response_frame_is_read_back(cls: type, version: int) -> None:
    chunk = only(encode_response(cls(), api_version=version, correlation_id=-3))
    frame = read_frame(chunk)

    assert read_correlation_id(frame) == -3
    assert decode_response(cls, version, frame) == (-3, cls())


def test_a_client_id_that_is_no_utf8_is_read_with_replacements() -> None:
    sent = only(
        encode_request(MetadataRequest(), api_version=8, correlation_id=1, client_id="ABCD")
    )
    header, body = decode_request_header(
        read_frame(sent.replace(b"ABCD", "café".encode("latin-1")))
    )

    assert header.client_id == "caf\ufffd"
    assert decode(MetadataRequest, 8, body) == MetadataRequest()


def test_flexible_headers_end_with_tagged_fields_and_keep_the_plain_client_id() -> None:
    old = only(encode_request(MetadataRequest(), api_version=8, correlation_id=1, client_id="ab"))
    new = only(encode_request(MetadataRequest(), api_version=9, correlation_id=1, client_id="ab"))

    assert old[4:16] == bytes.fromhex("0003 0008 00000001 0002 6162")
    assert new[4:17] == bytes.fromhex("0003 0009 00000001 0002 6162 00")


def test_the_header_of_an_api_versions_response_is_version_0_whatever_its_own() -> None:
    plain = only(encode_response(ApiVersionsResponse(), api_version=3, correlation_id=5))
    flexible = only(encode_response(MetadataResponse(), api_version=9, correlation_id=5))

    assert plain[4:] == struct.pack(">i", 5) + encode_bytes(ApiVersionsResponse(), 3)
    assert flexible[4:] == struct.pack(">i", 5) + b"\0" + encode_bytes(MetadataResponse(), 9)


def test_unknown_tagged_fields_of_headers_are_skipped() -> None:
    tags = bytes.fromhex("02 00 01 61 07 00")
    request = struct.pack(">hhih", ApiKey.METADATA, 9, 1, -1) + tags
    response = struct.pack(">i", 1) + tags + encode_bytes(MetadataResponse(), 9)

    assert bytes(decode_request_header(memoryview(request + b"body"))[1]) == b"body"
    assert decode_response(MetadataResponse, 9, memoryview(response)) == (1, MetadataResponse())


def test_the_header_of_a_version_too_new_is_read_so_that_it_can_be_refused() -> None:
    frame = struct.pack(">hhih", ApiKey.API_VERSIONS, 99, 4, 1) + b"c\0" + b"?"
    header, body = decode_request_header(memoryview(frame))

    assert header == RequestHeader(ApiKey.API_VERSIONS, 99, 4, "c")
    assert bytes(body) == b"?"


def test_the_header_of_an_unknown_api_is_read_so_that_it_can_be_refused() -> None:
    header, _ = decode_request_header(memoryview(struct.pack(">hhih", 999, 2, 4, -1)))

    assert header == RequestHeader(999, 2, 4, None)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0" * 9,
        struct.pack(">hhih", 3, 9, 1, 5) + b"abc",
        struct.pack(">hhih", 3, 9, 1, 10_923) + b"\xff" * 10_923 + b"\0",
        struct.pack(">hhih", 3, 9, 1, -1),
        struct.pack(">hhih", 3, 9, 1, -1) + b"\x01\x00\x05a",
    ],
)
def test_a_header_that_lies_is_refused(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_request_header(memoryview(frame))


@given(st.binary(max_size=40))
def test_random_headers_raise_nothing_but_protocol_errors(noise: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        decode_request_header(memoryview(noise))


@given(st.sampled_from(DECLARED), st.binary(max_size=40), st.data())
def test_random_responses_raise_nothing_but_protocol_errors(
    cls: type, noise: bytes, data: st.DataObject
) -> None:
    with contextlib.suppress(ProtocolError):
        decode_response(cls, data.draw(st.sampled_from(versions(cls))), memoryview(noise))


@pytest.mark.parametrize("client_id", ["x" * 32768, "\ud800"])
def test_a_client_id_without_bytes_is_refused(client_id: str) -> None:
    with pytest.raises(EncodeError, match="ApiVersionsRequest"):
        encode_request(ApiVersionsRequest(), api_version=0, correlation_id=1, client_id=client_id)


def only(chunks: list[Chunk]) -> bytes:
    (chunk,) = chunks
    assert isinstance(chunk, bytes)
    return chunk


def read_frame(chunk: bytes) -> memoryview:
    reader = FrameReader()
    reader.feed(chunk)
    frame = reader.next_frame()
    assert frame is not None
    assert reader.pending_bytes == 0
    return frame
