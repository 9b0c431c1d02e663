"""Messages to bytes and back, through functions compiled at first use and kept.

Must never know: which messages there are, framing, what records hold.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sized
from typing import Any, Final, TypeVar, cast

from protocol.codegen import Compiled
from protocol.decoder import compile_decoder
from protocol.encoder import Unencodable, compile_encoder
from protocol.errors import EncodeError, ProtocolError
from protocol.message import layout_of
from protocol.varint import Malformed

M = TypeVar("M")

RecordsSlice = Sized
"""Records that are not in memory: whoever writes the chunks knows how to send them."""

Chunk = bytes | RecordsSlice

_DECODE_FAILURES: Final = (Malformed, struct.error, IndexError)
_ENCODE_FAILURES: Final = (
    Unencodable,
    struct.error,
    UnicodeEncodeError,
    TypeError,
    AttributeError,
)

_decoders: dict[tuple[type, int], Compiled] = {}
_encoders: dict[tuple[type, int], Compiled] = {}


def decode(cls: type[M], version: int, buffer: memoryview | bytes | bytearray) -> M:
    """Decode a whole buffer; only a request may be followed by something, which is ignored.

    Records fields are memoryviews into `buffer`; everything else is copied.
    Raises: ProtocolError, naming message, version and field.
    """
    compiled = _decoders.get((cls, version)) or _compiled_decoder(cls, version)
    view = buffer if type(buffer) is memoryview else memoryview(buffer)
    try:
        return cast("M", compiled.function(view, len(view)))
    except _DECODE_FAILURES as error:
        raise ProtocolError(_located("cannot read", cls, version, compiled, error)) from None


def encode_parts(message: object, version: int) -> list[Any]:
    """Encode to many small parts: bytes-like objects, and slices of records as they are.

    Raises: EncodeError, naming message, version and field.
    """
    cls = type(message)
    compiled = _encoders.get((cls, version)) or _compiled_encoder(cls, version)
    parts: list[Any] = []
    try:
        compiled.function(message, parts.append)
    except _ENCODE_FAILURES as error:
        raise EncodeError(_located("cannot write", cls, version, compiled, error)) from error
    return parts


def encode(message: object, version: int) -> list[Chunk]:
    """Encode to as few chunks as can be: bytes joined, slices of records as they are.

    Raises: EncodeError.
    """
    return join_parts(encode_parts(message, version))


def encode_bytes(message: object, version: int) -> bytes:
    """Encode to bytes a message that holds no slice of records. Raises: EncodeError."""
    chunks = encode(message, version)
    if not all(isinstance(chunk, bytes) for chunk in chunks):
        raise EncodeError(f"{type(message).__name__} holds records that are not in memory")
    return b"".join(cast("list[bytes]", chunks))


def join_parts(parts: Iterable[Any]) -> list[Chunk]:
    """Join neighbours that are bytes-like; leave slices alone, and leave out empty ones."""
    chunks: list[Chunk] = []
    run: list[bytes | bytearray | memoryview] = []
    for part in parts:
        if isinstance(part, bytes | bytearray | memoryview):
            run.append(part)
        elif len(part):
            chunks += [b"".join(run), part]
            run = []
    if run or not chunks:
        chunks.append(b"".join(run))
    return chunks


def _compiled_decoder(cls: type, version: int) -> Compiled:
    _check_version(cls, version, ProtocolError)
    compiled = _decoders[cls, version] = compile_decoder(cls, version)
    return compiled


def _compiled_encoder(cls: type, version: int) -> Compiled:
    _check_version(cls, version, EncodeError)
    compiled = _encoders[cls, version] = compile_encoder(cls, version)
    return compiled


def _check_version(cls: type, version: int, error: type[ProtocolError]) -> None:
    first, last = layout_of(cls).versions
    if not first <= version <= last:
        raise error(f"{cls.__name__} has versions {first} to {last}, not {version}")


def _located(act: str, cls: type, version: int, compiled: Compiled, error: BaseException) -> str:
    place = compiled.field_of(error) or "message"
    reason = "bytes end too early" if isinstance(error, struct.error | IndexError) else str(error)
    if act == "cannot write":
        reason = str(error)
    return f"{act} {cls.__name__} version {version}, {place}: {reason}"
