"""The newest offset of each key in the part of a log that one pass compacts, bounded in memory.

Must never know: batches, files.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

_DIGEST_BYTES: Final = 32
_ENTRY_BYTES: Final = 170
"""What an entry takes beside its key: measured, on CPython 3.11, two objects and their place."""


class KeyMap:
    """Keys with their newest offset. Long keys count by their digest, so that each is small."""

    __slots__ = ("_bytes_left", "_newest")

    def __init__(self, bytes_max: int) -> None:
        self._newest: dict[bytes, int] = {}
        self._bytes_left = bytes_max

    def __len__(self) -> int:
        return len(self._newest)

    @property
    def is_full(self) -> bool:
        """Say whether it has taken as much memory as it may; it does not refuse by itself."""
        return self._bytes_left <= 0

    def put(self, key: bytes, offset: int) -> None:
        """Note that a record has the key; offsets only grow."""
        key = _short(key)
        if key not in self._newest:
            self._bytes_left -= _ENTRY_BYTES + len(key)
        self._newest[key] = offset

    def newest(self, key: bytes) -> int:
        """Give the offset of the newest record with the key, or -1."""
        return self._newest.get(_short(key), -1)


def _short(key: bytes) -> bytes:
    # Shorter keys stand for themselves, so none can be taken for the digest of another.
    if len(key) < _DIGEST_BYTES:
        return key
    return blake2b(key, digest_size=_DIGEST_BYTES).digest()
