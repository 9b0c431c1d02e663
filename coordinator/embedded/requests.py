"""What each request asks of the service, and the reply. One small function per operation.

A handler decodes everything before it acts, so a malformed request changes nothing.
Must never know: sockets, when replies are sent.
Source: the request processors' observable behaviour in ZooKeeper 3.8.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import structlog
from msgspec import Struct

from coordinator.embedded.jute import (
    JuteReader,
    Malformed,
    pack_acl,
    pack_buffer,
    pack_stat,
    pack_string,
    pack_strings,
)
from coordinator.embedded.messages import (
    OpCode,
    decode_multi,
    decode_multi_read,
    decode_operation,
    encode_multi,
    encode_multi_error,
    encode_multi_result,
    encode_reply,
    encode_result,
)
from coordinator.watches import WatchKind
from coordinator.znode import Code, Multi, MultiRefused, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coordinator.embedded.service import Client, Service
    from coordinator.znode import NodeOperation

_INT = struct.Struct("!i")
_AUTH_SCHEMES = frozenset({"digest", "ip", "world"})
_WATCHES_OF_TYPE = {
    1: (WatchKind.CHILDREN,),
    2: (WatchKind.DATA,),
    3: tuple(WatchKind),
}
_ADD_WATCH_MODES = {0: WatchKind.PERSISTENT, 1: WatchKind.RECURSIVE}

log = structlog.get_logger()


class Request(Struct, frozen=True):
    """What is asked, and by whom: a session, over a connection, of a service."""

    service: Service
    client: Client
    session_id: int
    code: int
    reader: JuteReader


def answer(frame: bytes, *, service: Service, client: Client, session_id: int) -> bytes:
    """Do what a request asks. Returns: the reply, framed. Raises: Malformed (the header)."""
    reader = JuteReader(frame)
    xid, code = reader.int32(), reader.int32()
    handler = _HANDLERS.get(code, _refuse_unknown)
    try:
        body, error = handler(Request(service, client, session_id, code, reader)), Code.OK
    except Refused as refusal:
        body, error = b"", refusal.code
    except Malformed as malformed:
        log.info("request_malformed", operation=code, cause=str(malformed))
        body, error = b"", Code.MARSHALLING_ERROR
    return encode_reply(xid, zxid=service.tree.zxid, code=error, body=body)


def _refuse_unknown(request: Request) -> bytes:
    raise Refused(Code.UNIMPLEMENTED, f"operation {request.code}")


def _write(request: Request) -> bytes:
    operation = decode_operation(request.code, request.reader)
    result = request.service.write(request.session_id, operation).result
    assert not isinstance(result, list), "only a multi has many results"
    return encode_result(request.code, result)


def _multi(request: Request) -> bytes:
    decoded = decode_multi(request.reader)
    try:
        operations = Multi(tuple(_accepted(decoded)))
        results = request.service.write(request.session_id, operations).result
    except MultiRefused as refusal:
        codes = [Code.OK] * refusal.index + [refusal.code]
        codes += [Code.RUNTIME_INCONSISTENCY] * (len(decoded) - len(codes))
        return encode_multi(map(encode_multi_error, codes))
    assert isinstance(results, list), "a multi has many results"
    return encode_multi(
        encode_multi_result(code, encode_result(code, result))
        for (code, _), result in zip(decoded, results, strict=True)
    )


def _accepted(decoded: list[tuple[int, NodeOperation | Refused]]) -> Iterator[NodeOperation]:
    """Walk over a multi's operations. Raises: MultiRefused at one that decoding has refused."""
    for index, (_, operation) in enumerate(decoded):
        if isinstance(operation, Refused):
            raise MultiRefused(index, operation)
        yield operation


def _multi_read(request: Request) -> bytes:
    """Read many znodes. The reply is bounded: a few bytes of request can name a megabyte each.

    ZooKeeper sends what its clients then refuse to read. One read alone is never refused.
    """
    parts: list[bytes] = []
    bytes_left = request.service.config.frame_bytes_max
    for code, path in decode_multi_read(request.reader):
        if bytes_left < 0:
            log.info("multi_read_refused", session_id=f"{request.session_id:#x}", path=path)
            raise Refused(Code.MARSHALLING_ERROR, "the reply is too long: read fewer at once")
        parts.append(_read_in_multi(request, code, path))
        bytes_left -= len(parts[-1])
    return encode_multi(parts)


def _read_in_multi(request: Request, code: int, path: str) -> bytes:
    try:
        if code == OpCode.GET_DATA:
            value, stat = request.service.tree.get(path)
            return encode_multi_result(code, pack_buffer(value) + pack_stat(stat))
        names, _ = request.service.tree.children(path)
        return encode_multi_result(code, pack_strings(names))
    except Refused as refusal:
        return encode_multi_error(refusal.code)


def _exists(request: Request) -> bytes:
    path, watcher = request.reader.string(), _watcher(request)
    stat = request.service.tree.exists(path, watcher=watcher)
    if stat is None:
        raise Refused(Code.NO_NODE, path)
    return pack_stat(stat)


def _get_data(request: Request) -> bytes:
    path, watcher = request.reader.string(), _watcher(request)
    value, stat = request.service.tree.get(path, watcher=watcher)
    return pack_buffer(value) + pack_stat(stat)


def _get_children(request: Request) -> bytes:
    path, watcher = request.reader.string(), _watcher(request)
    names, stat = request.service.tree.children(path, watcher=watcher)
    return pack_strings(names) + (pack_stat(stat) if request.code == OpCode.GET_CHILDREN2 else b"")


def _get_acl(request: Request) -> bytes:
    acl, stat = request.service.tree.acl(request.reader.string())
    return pack_acl(acl) + pack_stat(stat)


def _sync(request: Request) -> bytes:
    return pack_string(request.reader.string())


def _ping(_request: Request) -> bytes:
    return b""


def _auth(request: Request) -> bytes:
    _, scheme, _ = request.reader.int32(), request.reader.string(), request.reader.buffer()
    if scheme not in _AUTH_SCHEMES:
        request.client.finish()
        raise Refused(Code.AUTH_FAILED, f"scheme {scheme!r}")
    return b""


def _close_session(request: Request) -> bytes:
    request.service.close_session(request.session_id)
    request.client.finish()
    return b""


def _set_watches(request: Request) -> bytes:
    seen_zxid = request.reader.int64()
    data, absent, children = (
        request.reader.strings(),
        request.reader.strings(),
        request.reader.strings(),
    )
    persistent, recursive = (
        (request.reader.strings(), request.reader.strings())
        if request.code == OpCode.SET_WATCHES2
        else ([], [])
    )
    tree, client = request.service.tree, request.client
    missed = [
        *tree.rewatch(client, WatchKind.DATA, data, seen_zxid=seen_zxid),
        *tree.rewatch_absent(client, absent),
        *tree.rewatch(client, WatchKind.CHILDREN, children, seen_zxid=seen_zxid),
    ]
    for path in persistent:
        tree.watches.add(client, WatchKind.PERSISTENT, path)
    for path in recursive:
        tree.watches.add(client, WatchKind.RECURSIVE, path)
    for event in missed:
        client.notify(event)
    return b""


def _add_watch(request: Request) -> bytes:
    path, mode = request.reader.string(), request.reader.int32()
    if mode not in _ADD_WATCH_MODES:
        raise Malformed(f"watch mode {mode}")
    request.service.tree.watches.add(request.client, _ADD_WATCH_MODES[mode], path)
    return _INT.pack(Code.OK)


def _check_or_remove_watches(request: Request) -> bytes:
    path, watch_type = request.reader.string(), request.reader.int32()
    watches = request.service.tree.watches
    act = watches.remove if request.code == OpCode.REMOVE_WATCHES else watches.has
    if watch_type not in _WATCHES_OF_TYPE:
        raise Malformed(f"watch type {watch_type}")
    found = [act(request.client, kind, path) for kind in _WATCHES_OF_TYPE[watch_type]]
    if not any(found):
        raise Refused(Code.NO_WATCHER, path)
    return b""


def _get_ephemerals(request: Request) -> bytes:
    prefix = request.reader.string()
    paths = request.service.tree.ephemerals(request.session_id)
    return pack_strings([path for path in paths if path.startswith(prefix)])


def _get_all_children_number(request: Request) -> bytes:
    return _INT.pack(request.service.tree.count_descendants(request.reader.string()))


def _watcher(request: Request) -> Client | None:
    """Read the flag that asks for a watch."""
    return request.client if request.reader.boolean() else None


_HANDLERS: dict[int, Callable[[Request], bytes]] = {
    OpCode.CREATE: _write,
    OpCode.DELETE: _write,
    OpCode.EXISTS: _exists,
    OpCode.GET_DATA: _get_data,
    OpCode.SET_DATA: _write,
    OpCode.GET_ACL: _get_acl,
    OpCode.SET_ACL: _write,
    OpCode.GET_CHILDREN: _get_children,
    OpCode.SYNC: _sync,
    OpCode.PING: _ping,
    OpCode.GET_CHILDREN2: _get_children,
    OpCode.CHECK: _write,
    OpCode.MULTI: _multi,
    OpCode.CREATE2: _write,
    OpCode.CHECK_WATCHES: _check_or_remove_watches,
    OpCode.REMOVE_WATCHES: _check_or_remove_watches,
    OpCode.CREATE_CONTAINER: _write,
    OpCode.MULTI_READ: _multi_read,
    OpCode.AUTH: _auth,
    OpCode.SET_WATCHES: _set_watches,
    OpCode.SET_WATCHES2: _set_watches,
    OpCode.GET_EPHEMERALS: _get_ephemerals,
    OpCode.GET_ALL_CHILDREN_NUMBER: _get_all_children_number,
    OpCode.ADD_WATCH: _add_watch,
    OpCode.CLOSE_SESSION: _close_session,
}
