"""Frames put together, and the headers of requests and responses.

A frame is an int32 size and so many bytes: a header, and one message.
Must never know: sockets, what the messages are about.
"""

from __future__ import annotations

import struct
from typing import Any, Final, TypeVar

from msgspec import Struct

from protocol.api import API, ApiKey
from protocol.codec import Chunk, decode, encode_parts, join_parts
from protocol.decoder import decode_replacing, skip_tagged_fields
from protocol.errors import EncodeError, ProtocolError
from protocol.message import layout_of

M = TypeVar("M")

_SIZE: Final = struct.Struct(">i")
_REQUEST_HEADER: Final = struct.Struct(">hhih")
_CORRELATION: Final = struct.Struct(">i")
_NO_TAGGED_FIELDS: Final = b"\0"


class RequestHeader(Struct, frozen=True):
    """What precedes every request; `client_id` is free text, or None."""

    api_key: int
    api_version: int
    correlation_id: int
    client_id: str | None


def decode_request_header(frame: memoryview) -> tuple[RequestHeader, memoryview]:
    """Read a frame's header; give it with the rest of the frame, the request's body.

    A header of an unknown API is read as far as it can be, so that the request can be refused: its
    body may begin with tagged fields of the header. Raises: ProtocolError.
    """
    end = len(frame)
    try:
        api_key, api_version, correlation_id, length = _REQUEST_HEADER.unpack_from(frame)
        position = _REQUEST_HEADER.size
        client_id = None
        if length >= 0:
            if length > end - position:
                raise ProtocolError(f"client id of {length} bytes announced, frame is shorter")
            client_id = _decode_client_id(frame[position : position + length])
            position += length
        api = API.get(api_key)
        if api is not None and api_version >= api.flexible_since:
            position = skip_tagged_fields(frame, position, end)
    except (struct.error, IndexError) as error:
        raise ProtocolError(f"cannot read a request's header: {error}") from None
    return RequestHeader(api_key, api_version, correlation_id, client_id), frame[position:]


def _decode_client_id(data: memoryview) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError:
        return decode_replacing(data)


def encode_request(
    message: object, *, api_version: int, correlation_id: int, client_id: str | None
) -> list[Chunk]:
    """Encode a whole frame: size, header, request. Raises: EncodeError."""
    layout = layout_of(type(message))
    parts = encode_parts(message, api_version)
    try:
        client = b"" if client_id is None else client_id.encode()
        header = _REQUEST_HEADER.pack(
            layout.key, api_version, correlation_id, -1 if client_id is None else len(client)
        )
    except (struct.error, UnicodeEncodeError) as error:
        raise EncodeError(f"cannot write the header of a {layout.name}: {error}") from error
    flexible = api_version >= layout.flexible_since
    return _framed(header + client + (_NO_TAGGED_FIELDS if flexible else b""), parts)


def encode_response(message: object, *, api_version: int, correlation_id: int) -> list[Chunk]:
    """Encode a whole frame: size, header, response. Raises: EncodeError."""
    parts = encode_parts(message, api_version)
    tags = _NO_TAGGED_FIELDS if _flexible_response(type(message), api_version) else b""
    return _framed(_CORRELATION.pack(correlation_id) + tags, parts)


def decode_response(cls: type[M], version: int, frame: memoryview) -> tuple[int, M]:
    """Read a frame that holds a response; give its correlation id and the message.

    Raises: ProtocolError.
    """
    correlation_id = read_correlation_id(frame)
    position = _CORRELATION.size
    if _flexible_response(cls, version):
        try:
            position = skip_tagged_fields(frame, position, len(frame))
        except IndexError:
            raise ProtocolError(f"cannot read the header of a {cls.__name__}") from None
    return correlation_id, decode(cls, version, frame[position:])


def read_correlation_id(frame: memoryview) -> int:
    """Read which request a frame answers. Raises: ProtocolError."""
    if len(frame) < _CORRELATION.size:
        raise ProtocolError(f"a response of {len(frame)} bytes has no correlation id")
    return int(_CORRELATION.unpack_from(frame)[0])


def _flexible_response(cls: type, version: int) -> bool:
    layout = layout_of(cls)
    return version >= layout.flexible_since and layout.key != ApiKey.API_VERSIONS


def _framed(header: bytes, parts: list[Any]) -> list[Chunk]:
    size = len(header) + sum(map(len, parts))
    return join_parts([_SIZE.pack(size), header, *parts])
