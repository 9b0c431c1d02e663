"""Where a client's connection comes from, as Kafka's tools show it. Must never know: who it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.dispatch import RequestContext


def client_host(context: RequestContext) -> str:
    """Give the host, after a slash, without the port: `/127.0.0.1`."""
    host, colon, _ = context.peer.rpartition(":")
    return f"/{host if colon else context.peer}"
