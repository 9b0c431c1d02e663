"""Which records of a compacted partition may be gone, as far as a history tells. Pure.

A record may be gone when a newer one of its key was acknowledged or seen, or when it is a
tombstone. Where a record may be that nobody has seen, its key proves nothing: it may have been
the newest.
Must never know: how a history came about, what follows from what is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from chaos.history import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from chaos.history import Sent


NOTHING: Final = (-1, b"")
"""Before all offsets and values."""


class Newest(NamedTuple):
    """The newest record of a key."""

    offset: int
    value: bytes
    tombstone: bool


class Compaction:
    """What compaction may have removed of one partition.

    `places` are offsets and values that were acknowledged, read or held. `drained` says that what
    is there was read to its end, `idempotent` that no record is at two offsets.
    """

    def __init__(
        self,
        sent: Iterable[Sent],
        places: Iterable[tuple[int, bytes]],
        *,
        drained: bool = True,
        idempotent: bool = True,
    ) -> None:
        self._sent = {one.value: one for one in sent if one.key is not None}
        offsets: dict[bytes, int] = {}
        for offset, value in places:
            if offsets.get(value, -1) < offset:
                offsets[value] = offset
        self._newest = self._find_newest(offsets)
        self._doubtful = {
            one.key
            for one in self._sent.values()
            if one.outcome is not Outcome.FAILED
            and (one.tombstone or not drained)
            and (one.value not in offsets or not idempotent)
        }

    def _find_newest(self, offsets: Mapping[bytes, int]) -> dict[bytes, Newest]:
        newest: dict[bytes, Newest] = {}
        for value, offset in offsets.items():
            key = self.key_of(value)
            if key is not None and (key not in newest or newest[key].offset < offset):
                newest[key] = Newest(offset, value, self._sent[value].tombstone)
        return newest

    def key_of(self, value: bytes) -> bytes | None:
        """Return the key of a record; None where it has none, or nobody has sent it."""
        sent = self._sent.get(value)
        return None if sent is None else sent.key

    def may_be_gone(self, value: bytes, offset: int | None) -> bool:
        """Say whether a record may have been removed; None: nobody knows where it is."""
        sent = self._sent.get(value)
        if sent is None or sent.key is None:
            return False
        if sent.tombstone or sent.key in self._doubtful:
            return True
        newest = self._newest.get(sent.key)
        return newest is not None and (offset is None or newest.offset > offset)

    def resurrected(self, records: Iterable[tuple[int, bytes]], *, end: int) -> Iterator[str]:
        """Tell of each key that a log shows an older value of, while it lacks its newest record.

        The log ends at `end`; `records` are those that were acknowledged or seen, no others.
        """
        shown: dict[bytes, tuple[int, bytes]] = {}
        for record in records:
            key = self.key_of(record[1])
            if key is not None and shown.get(key, NOTHING) < record:
                shown[key] = record
        for key, (offset, value) in shown.items():
            newest = self._newest[key]
            if offset < newest.offset < end and not self._sent[value].tombstone:
                missing = "the tombstone" if newest.tombstone else "the newer"
                yield (
                    f"{value!r} of {key!r} at {offset},"
                    f" and not {missing} {newest.value!r} at {newest.offset}"
                )
