"""The name by which a record is known in a history: its value, or a header where that is null.

Must never know: who writes or reads records, what is judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from client.records import ConsumerRecord
    from protocol.record_decoder import Header
    from protocol.records import Record

NAME: Final = "name"


def tombstone_headers(name: bytes) -> tuple[Header, ...]:
    """Give the headers of a tombstone of this name."""
    return ((NAME, name),)


def name_of(record: Record | ConsumerRecord) -> bytes:
    """Tell which record this is; empty for a tombstone that has no name."""
    if record.value is not None:
        return record.value
    return dict(record.headers).get(NAME) or b""
