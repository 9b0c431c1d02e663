"""The messages of ZooKeeper's client protocol: handshake, headers, requests, replies, events.

Must never know: sockets, the tree's state, sessions' clocks.
Source: zookeeper.jute and ZooDefs.OpCode of ZooKeeper 3.8.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from coordinator.embedded.jute import (
    JuteReader,
    Malformed,
    frame,
    pack_buffer,
    pack_stat,
    pack_string,
)
from coordinator.znode import (
    CheckVersion,
    Code,
    Created,
    CreateNode,
    DeleteNode,
    NodeOperation,
    NodeStat,
    Refused,
    SetAcl,
    SetData,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from coordinator.watches import Event
    from coordinator.znode import NodeResult


_REPLY_HEADER = struct.Struct("!iqi")
_MULTI_HEADER = struct.Struct("!i?i")
_INT = struct.Struct("!i")
_TWO_INTS = struct.Struct("!ii")
_CONNECT_RESPONSE = struct.Struct("!iiq")
_CONNECTED: Final = 3
"""The KeeperState that every event carries: SyncConnected."""


class Xid(IntEnum):
    """Transaction ids of a client that have a meaning of their own."""

    NOTIFICATION = -1
    PING = -2
    AUTH = -4
    SET_WATCHES = -8


class OpCode(IntEnum):
    """What a request asks for."""

    ERROR = -1
    CREATE = 1
    DELETE = 2
    EXISTS = 3
    GET_DATA = 4
    SET_DATA = 5
    GET_ACL = 6
    SET_ACL = 7
    GET_CHILDREN = 8
    SYNC = 9
    PING = 11
    GET_CHILDREN2 = 12
    CHECK = 13
    MULTI = 14
    CREATE2 = 15
    CHECK_WATCHES = 17
    REMOVE_WATCHES = 18
    CREATE_CONTAINER = 19
    CREATE_TTL = 21
    MULTI_READ = 22
    AUTH = 100
    SET_WATCHES = 101
    GET_EPHEMERALS = 103
    GET_ALL_CHILDREN_NUMBER = 104
    SET_WATCHES2 = 105
    ADD_WATCH = 106
    CLOSE_SESSION = -11


_EPHEMERAL_FLAG, _SEQUENCE_FLAG = 1, 2
_CONTAINER_MODE = 4
_TTL_MODES = frozenset({5, 6})
"""Refused, as ZooKeeper does unless it is told to accept them."""
_ANSWERED_IN_MULTI_AS: Final[Mapping[int, int]] = {
    OpCode.CREATE: OpCode.CREATE,
    OpCode.CREATE2: OpCode.CREATE,
    OpCode.CREATE_CONTAINER: OpCode.CREATE2,
    OpCode.DELETE: OpCode.DELETE,
    OpCode.SET_DATA: OpCode.SET_DATA,
    OpCode.CHECK: OpCode.CHECK,
}
"""What may be in a multi, and the code of its result: not always its own."""


class ConnectRequest(Struct, frozen=True):
    """A client's first message. `read_only` is None where an old client does not send it."""

    last_zxid_seen: int
    timeout_ms: int
    session_id: int
    password: bytes
    read_only: bool | None


def decode_connect_request(buffer: bytes) -> ConnectRequest:
    """Decode the handshake. Raises: Malformed."""
    reader = JuteReader(buffer)
    reader.int32()  # protocol version: zero, in all clients ever
    request = ConnectRequest(
        last_zxid_seen=reader.int64(),
        timeout_ms=reader.int32(),
        session_id=reader.int64(),
        password=reader.buffer() or b"",
        read_only=reader.boolean() if reader.remaining else None,
    )
    reader.end()
    return request


def encode_connect_response(
    *, timeout_ms: int, session_id: int, password: bytes, with_read_only: bool
) -> bytes:
    """Encode the answer to a handshake, framed. A timeout of zero says that the session is gone."""
    return frame(
        _CONNECT_RESPONSE.pack(0, timeout_ms, session_id),
        pack_buffer(password),
        b"\0" if with_read_only else b"",
    )


def encode_reply(xid: int, *, zxid: int, code: Code = Code.OK, body: bytes = b"") -> bytes:
    """Encode a reply, framed."""
    return frame(_REPLY_HEADER.pack(xid, zxid, code), body)


def encode_event(event: Event) -> bytes:
    """Encode a watch event, framed."""
    header = _REPLY_HEADER.pack(Xid.NOTIFICATION, -1, Code.OK)
    return frame(header, _TWO_INTS.pack(event.type, _CONNECTED), pack_string(event.path))


def decode_operation(code: int, reader: JuteReader) -> NodeOperation:
    """Decode an operation that writes, alone or in a multi. Raises: Malformed, Refused."""
    decode = _DECODERS.get(code)
    if decode is None:
        raise Malformed(f"operation {code} does not write")
    return decode(reader)


def _decode_create(reader: JuteReader) -> CreateNode:
    path, value, acl, mode = reader.string(), reader.buffer(), reader.acl(), reader.int32()
    if mode in _TTL_MODES:
        raise Refused(Code.UNIMPLEMENTED, f"create mode {mode}, with a time to live")
    if not 0 <= mode <= _CONTAINER_MODE:
        raise Refused(Code.BAD_ARGUMENTS, f"create mode {mode}")
    return CreateNode(
        path,
        value,
        ephemeral=bool(mode & _EPHEMERAL_FLAG),
        sequence=bool(mode & _SEQUENCE_FLAG),
        container=mode == _CONTAINER_MODE,
        acl=acl,
    )


_DECODERS: Final[Mapping[int, Callable[[JuteReader], NodeOperation]]] = {
    OpCode.CREATE: _decode_create,
    OpCode.CREATE2: _decode_create,
    OpCode.CREATE_CONTAINER: _decode_create,
    OpCode.DELETE: lambda reader: DeleteNode(reader.string(), reader.int32()),
    OpCode.SET_DATA: lambda reader: SetData(reader.string(), reader.buffer(), reader.int32()),
    OpCode.SET_ACL: lambda reader: SetAcl(reader.string(), reader.acl(), reader.int32()),
    OpCode.CHECK: lambda reader: CheckVersion(reader.string(), reader.int32()),
}


def decode_multi(reader: JuteReader) -> list[tuple[int, NodeOperation | Refused]]:
    """Decode a multi: the code of each result and the operation, or why it is refused already.

    Raises: Malformed.
    """
    operations: list[tuple[int, NodeOperation | Refused]] = []
    while (code := _next_in_multi(reader)) is not None:
        answered_as = _ANSWERED_IN_MULTI_AS.get(code)
        if answered_as is None:
            raise Malformed(f"operation {code} in a multi")
        try:
            operations.append((answered_as, decode_operation(code, reader)))
        except Refused as refusal:
            operations.append((answered_as, refusal))
    return operations


def decode_multi_read(reader: JuteReader) -> list[tuple[int, str]]:
    """Decode a multi of reads: codes and paths. Raises: Malformed."""
    reads: list[tuple[int, str]] = []
    while (code := _next_in_multi(reader)) is not None:
        if code not in (OpCode.GET_DATA, OpCode.GET_CHILDREN):
            raise Malformed(f"operation {code} in a multi of reads")
        reads.append((code, reader.string()))
        reader.boolean()  # a watch cannot be set here
    return reads


def _next_in_multi(reader: JuteReader) -> int | None:
    """Read a header within a multi: the code of what follows, or None at the end."""
    code, is_done, _ = reader.fields(_MULTI_HEADER)
    return None if is_done else int(code)


def encode_result(code: int, result: NodeResult) -> bytes:
    """Encode what an operation that writes has to show for itself."""
    if isinstance(result, Created):
        path = pack_string(result.path)
        return path if code == OpCode.CREATE else path + pack_stat(result.stat)
    if isinstance(result, NodeStat):
        return pack_stat(result)
    return b""


def encode_multi_result(code: int, body: bytes) -> bytes:
    """Encode, as one of the results of a multi, what an operation has to show."""
    return _MULTI_HEADER.pack(code, False, Code.OK) + body


def encode_multi_error(code: Code) -> bytes:
    """Encode, as one of the results of a multi, that its operation was refused."""
    return _MULTI_HEADER.pack(OpCode.ERROR, False, code) + _INT.pack(code)


def encode_multi(results: Iterable[bytes]) -> bytes:
    """Encode a multi's results, each encoded already."""
    return b"".join(results) + _MULTI_HEADER.pack(OpCode.ERROR, True, -1)
