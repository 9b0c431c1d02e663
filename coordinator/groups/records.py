"""The values of groups' znodes: msgpack, to and from the frozen values of `image`.

Must never know: the store, what a membership says.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

from coordinator.groups.image import CommittedOffset, GroupHeader, TopicOffsets
from coordinator.records import Fields, RecordUnreadable, encode_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

MEMBERSHIP_BYTES_MAX: Final = 64 * 1024 * 1024
"""What a membership may weigh unpacked: a bound for what is read, far above what is written."""

_FASTEST: Final = 1
_ROW: Final = (int, int, int, str, int)


def encode_header(header: GroupHeader) -> bytes:
    """Encode a group's znode. Subscriptions are much alike, so the membership is deflated."""
    return encode_fields(
        {
            "owner_id": header.owner_id,
            "owner_epoch": header.owner_epoch,
            "membership": zlib.compress(header.membership, _FASTEST),
        }
    )


def decode_header(path: str, value: bytes) -> GroupHeader:
    """Decode a group's znode. Raises: RecordUnreadable."""
    fields = Fields(path, value)
    return GroupHeader(
        owner_id=fields.take("owner_id", int),
        owner_epoch=fields.take("owner_epoch", int),
        membership=_inflate(path, fields.take("membership", bytes)),
    )


def encode_offsets(topic_id: bytes, partitions: Mapping[int, CommittedOffset]) -> bytes:
    """Encode the offsets of one topic, about 15 bytes each and what metadata there is."""
    rows = [
        (index, each.offset, each.leader_epoch, each.metadata, each.committed_ms)
        for index, each in partitions.items()
    ]
    return encode_fields({"topic_id": topic_id, "offsets": rows})


def offset_bytes(index: int, committed: CommittedOffset) -> int:
    """Give what one partition's offset takes of what `encode_offsets` gives."""
    return len(encode_offsets(b"", {index: committed})) - len(encode_offsets(b"", {}))


def decode_offsets(path: str, value: bytes) -> TopicOffsets:
    """Decode the offsets of one topic. Raises: RecordUnreadable."""
    fields = Fields(path, value)
    rows = fields.take("offsets", list)
    return TopicOffsets(fields.take("topic_id", bytes), dict(_row(path, row) for row in rows))


def _row(path: str, row: Any) -> tuple[int, CommittedOffset]:
    if not isinstance(row, list) or tuple(type(each) for each in row[: len(_ROW)]) != _ROW:
        raise RecordUnreadable(f"{path}: {row!r:.80} is no committed offset")
    index, offset, leader_epoch, metadata, committed_ms = row[: len(_ROW)]
    return index, CommittedOffset(offset, leader_epoch, metadata, committed_ms)


def _inflate(path: str, packed: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        membership = unpacker.decompress(packed, MEMBERSHIP_BYTES_MAX)
    except zlib.error as error:
        raise RecordUnreadable(f"{path}: the membership cannot be inflated: {error}") from None
    if not unpacker.eof:
        raise RecordUnreadable(f"{path}: the membership is cut, or over {MEMBERSHIP_BYTES_MAX}")
    return membership
