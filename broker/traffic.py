"""Counters of what passes through a broker's connections; plain numbers that status reads.

Must never know: who reads them, or when.
"""

from __future__ import annotations

from msgspec import Struct


class Traffic(Struct):
    """Totals since the start, and the connections that are open now."""

    connections_accepted: int = 0
    connections_open: int = 0
    requests: int = 0
    requests_crashed: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
