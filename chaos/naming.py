"""The name by which a record is known in a history: its value, or a header where that is null.

A name may say that the record is sealed: its key, time and headers are then what the producer gave
it, or it is another record, which nobody has sent.
Must never know: who writes or reads records, what is judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from zlib import crc32

if TYPE_CHECKING:
    from client.records import ConsumerRecord
    from protocol.record_decoder import Header
    from protocol.records import Record

NAME: Final = "name"
SEAL: Final = "seal"
SEALED: Final = b"!"
"""The end of the names of records that bear a seal."""

BROKEN: Final = b" with another key, time or header"


def headers_of(
    name: bytes, *, key: bytes | None, timestamp_ms: int | None, tombstone: bool
) -> tuple[Header, ...]:
    """Give the headers of a record of this name: none where it has a value and no seal."""
    named: tuple[Header, ...] = ((NAME, name),) if tombstone else ()
    if not name.endswith(SEALED):
        return named
    seal = crc32(b"%r %r %r" % (name, key, timestamp_ms))
    return (*named, (SEAL, b"%08x" % seal))


def name_of(record: Record | ConsumerRecord) -> bytes:
    """Tell which record this is; empty for a tombstone that has no name.

    One whose seal is broken has a name that nobody has given.
    """
    tombstone = record.value is None
    name = record.value or b""
    if tombstone:
        name = dict(record.headers).get(NAME) or b""
    if not name.endswith(SEALED):
        return name
    wanted = headers_of(name, key=record.key, timestamp_ms=record.timestamp_ms, tombstone=tombstone)
    return name if tuple(record.headers) == wanted else name + BROKEN
