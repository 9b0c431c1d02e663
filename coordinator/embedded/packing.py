"""Transactions and znodes as msgpack: what journal and snapshots hold.

Must never know: files, the tree's rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgpack

from coordinator.tree import Session, Tree
from coordinator.znode import (
    OPEN_ACL,
    Acl,
    CheckVersion,
    CloseSession,
    CreateNode,
    DeleteNode,
    Multi,
    OpenSession,
    SetAcl,
    SetData,
    SweepContainers,
    Transaction,
    Znode,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from coordinator.znode import NodeOperation, Operation

Fields = tuple[Any, ...]
"""What msgpack gives back: its shape is ours, for a CRC has vouched for the bytes."""

_CREATE, _SET_DATA, _DELETE, _CHECK, _SET_ACL, _MULTI, _OPEN, _CLOSE, _SWEEP = range(9)


def pack_transaction(zxid: int, transaction: Transaction) -> bytes:
    """Pack a transaction and its zxid."""
    fields = _fields_of(transaction.operation)
    packed = msgpack.packb((zxid, transaction.session_id, transaction.time_ms, fields))
    assert isinstance(packed, bytes)
    return packed


def unpack_transaction(fields: Fields) -> tuple[int, Transaction]:
    """Rebuild a transaction and its zxid from what msgpack unpacked."""
    zxid, session_id, time_ms, operation = fields
    return zxid, Transaction(session_id, time_ms, _operation_of(operation))


def pack_tree(tree: Tree[Any]) -> bytes:
    """Pack znodes and sessions; the same tree gives the same bytes."""
    sessions = [
        (session_id, session.timeout_ms, session.password)
        for session_id, session in sorted(tree.sessions.items())
    ]
    nodes = [(path, *_node_fields(tree.nodes[path])) for path in sorted(tree.nodes)]
    packed = msgpack.packb((tree.zxid, sessions, nodes))
    assert isinstance(packed, bytes)
    return packed


def unpack_tree(packed: bytes) -> Tree[Any]:
    """Rebuild a tree."""
    zxid, sessions, nodes = msgpack.unpackb(packed, use_list=False)
    return Tree.restore(
        zxid,
        {path: _node_of(fields) for path, *fields in nodes},
        {
            session_id: Session(timeout_ms, password)
            for session_id, timeout_ms, password in sessions
        },
    )


def _fields_of(operation: Operation) -> Fields:
    match operation:
        case Multi(operations):
            return _MULTI, *map(_node_operation_fields, operations)
        case OpenSession(timeout_ms, password):
            return _OPEN, timeout_ms, password
        case CloseSession():
            return (_CLOSE,)
        case SweepContainers():
            return (_SWEEP,)
        case _:
            return _node_operation_fields(operation)


def _node_operation_fields(operation: NodeOperation) -> Fields:
    match operation:
        case CreateNode(path, value, ephemeral, sequence, container, acl):
            return _CREATE, path, value, _acl_fields(acl), ephemeral, sequence, container
        case SetData(path, value, version):
            return _SET_DATA, path, value, version
        case DeleteNode(path, version):
            return _DELETE, path, version
        case CheckVersion(path, version):
            return _CHECK, path, version
        case SetAcl(path, acl, version):
            return _SET_ACL, path, _acl_fields(acl), version


def _operation_of(fields: Fields) -> Any:
    kind, *rest = fields
    return _BUILDERS[kind](*rest)


def _create_of(path: str, value: bytes | None, acl: Fields | None, *flags: bool) -> CreateNode:
    ephemeral, sequence, container = flags
    return CreateNode(path, value, ephemeral, sequence, container, _acl_of(acl))


def _set_acl_of(path: str, acl: Fields | None, version: int) -> SetAcl:
    return SetAcl(path, _acl_of(acl), version)


def _multi_of(*operations: Fields) -> Multi:
    return Multi(tuple(_operation_of(each) for each in operations))


_BUILDERS: dict[int, Callable[..., Operation]] = {
    _CREATE: _create_of,
    _SET_DATA: SetData,
    _DELETE: DeleteNode,
    _CHECK: CheckVersion,
    _SET_ACL: _set_acl_of,
    _MULTI: _multi_of,
    _OPEN: OpenSession,
    _CLOSE: CloseSession,
    _SWEEP: SweepContainers,
}


def _acl_fields(acl: tuple[Acl, ...]) -> Fields | None:
    """Give an access control list, or None for the open one, which is nearly always it."""
    return None if acl == OPEN_ACL else acl


def _acl_of(fields: Fields | None) -> tuple[Acl, ...]:
    return OPEN_ACL if fields is None else tuple(Acl(*entry) for entry in fields)


def _node_fields(node: Znode) -> Fields:
    return (
        node.value,
        _acl_fields(node.acl),
        node.czxid,
        node.mzxid,
        node.pzxid,
        node.ctime_ms,
        node.mtime_ms,
        node.version,
        node.acl_version,
        node.creations,
        node.owner,
    )


def _node_of(fields: list[Any]) -> Znode:
    value, acl, *numbers = fields
    return Znode(value, _acl_of(acl), *numbers)
