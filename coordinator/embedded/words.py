"""Four-letter words: a question typed into a bare connection, a page of text back.

Must never know: sockets, the wire format.
Source: ZooKeeper administrator's guide, "The Four Letter Words".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from coordinator.embedded.service import Service

WORD_BYTES: Final = 4
_VERSION: Final = "3.8.0-ottla, built on trio"
"""The ZooKeeper version whose protocol is spoken, in the form that clients look for."""


def answer_word(word: bytes, service: Service) -> bytes | None:
    """Answer a four-letter word; None if it is none, but the size of a first frame."""
    report = _WORDS.get(word)
    return None if report is None else report(service).encode()


def _ruok(_service: Service) -> str:
    return "imok"


def _isro(_service: Service) -> str:
    return "rw"


def _envi(_service: Service) -> str:
    return f"Environment:\nzookeeper.version={_VERSION}\n"


def _srvr(service: Service) -> str:
    return (
        f"Zookeeper version: {_VERSION}\n"
        f"Connections: {service.clients_attached}\n"
        f"Zxid: {service.tree.zxid:#x}\n"
        "Mode: standalone\n"
        f"Node count: {len(service.tree.nodes)}\n"
    )


def _mntr(service: Service) -> str:
    tree = service.tree
    figures = {
        "zk_version": _VERSION,
        "zk_server_state": "standalone",
        "zk_num_alive_connections": service.clients_attached,
        "zk_global_sessions": len(tree.sessions),
        "zk_znode_count": len(tree.nodes),
        "zk_ephemerals_count": sum(len(each.ephemerals) for each in tree.sessions.values()),
        "zk_watch_count": len(tree.watches),
        "zk_outstanding_requests": tree.zxid - service.journal.durable_zxid,
        "zk_fsync_count": service.journal.syncs,
    }
    return "".join(f"{name}\t{value}\n" for name, value in figures.items())


_WORDS: dict[bytes, Callable[[Service], str]] = {
    b"ruok": _ruok,
    b"isro": _isro,
    b"srvr": _srvr,
    b"stat": _srvr,
    b"envi": _envi,
    b"mntr": _mntr,
}
