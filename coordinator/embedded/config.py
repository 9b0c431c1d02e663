"""Settings of the embedded server.

Must never know: where they come from.
"""

from __future__ import annotations

from msgspec import Struct


class EmbeddedConfig(Struct, frozen=True):
    """Where the embedded server keeps its state, and its bounds."""

    directory: str
    session_timeout_min_s: float = 1.0
    session_timeout_max_s: float = 40.0
    handshake_timeout_s: float = 10.0
    linger_s: float = 5.0
    """How long a connection may take to send what is left when it closes."""
    frame_bytes_max: int = 0xFFFFF
    """Size of a request, as ZooKeeper's jute.maxbuffer; beyond it a multi of reads is refused."""
    connections_max: int = 1000
    requests_in_flight_max: int = 1000
    """Requests of one connection that may wait for the disk; then it is not read from."""
    outgoing_bytes_max: int = 16 << 20
    """Replies and events that a client may leave unread; then it is disconnected."""
    pending_bytes_max: int = 8 << 20
    """Transactions that may wait for the disk; then nothing is read from clients."""
    snapshot_transactions: int = 20_000
    snapshot_bytes: int = 32 << 20
    """A snapshot is taken when the journal has grown by so many transactions or bytes."""
