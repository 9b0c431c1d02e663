"""The leader epochs of a log: at which offset each began, and where it ended.

Followers ask the leader for an epoch's end and cut what they hold beyond it, so this answers for
who is right after an election.
Must never know: batches, files, who leads now.
Source: KIP-101, KIP-279.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import Final, NamedTuple

UNDEFINED_EPOCH: Final = -1
UNDEFINED_OFFSET: Final = -1
_FORMAT_VERSION: Final = 0


class EpochStart(NamedTuple):
    """A leader epoch and the first offset that was written in it."""

    epoch: int
    start_offset: int


class EpochsDamaged(Exception):
    """A checkpoint of epochs cannot be read; build it again from the batches."""


class EpochCache:
    """Leader epochs with their start offsets, both rising."""

    __slots__ = ("_entries",)

    def __init__(self, entries: list[EpochStart] | None = None) -> None:
        self._entries = entries or []

    @property
    def entries(self) -> tuple[EpochStart, ...]:
        """All epochs, oldest first."""
        return tuple(self._entries)

    @property
    def latest_epoch(self) -> int:
        """The newest epoch, or -1."""
        return self._entries[-1].epoch if self._entries else UNDEFINED_EPOCH

    def epoch_of(self, offset: int) -> int:
        """Return the epoch that an offset was written in, or -1."""
        i = bisect_right(self._entries, offset, key=lambda entry: entry.start_offset) - 1
        return self._entries[i].epoch if i >= 0 else UNDEFINED_EPOCH

    def start(self, epoch: int, start_offset: int) -> bool:
        """Note that an epoch begins at an offset.

        An epoch that had begun at or after this offset wrote nothing and is forgotten.
        Returns: whether anything has changed.
        """
        if epoch == self.latest_epoch:
            return False
        self.cut_end(start_offset)
        assert epoch >= self.latest_epoch, "leader epochs only grow"
        if epoch > self.latest_epoch:
            self._entries.append(EpochStart(epoch, start_offset))
        return True

    def cut_end(self, end_offset: int) -> bool:
        """Forget the epochs that begin at or after the offset. Returns: whether there were any."""
        before = len(self._entries)
        while self._entries and self._entries[-1].start_offset >= end_offset:
            self._entries.pop()
        return len(self._entries) != before

    def cut_start(self, start_offset: int) -> bool:
        """Forget the epochs that end at or before the offset; the one that holds it begins there.

        Returns: whether anything has changed.
        """
        i = bisect_right(self._entries, start_offset, key=lambda entry: entry.start_offset) - 1
        if i < 0 or (i == 0 and self._entries[0].start_offset == start_offset):
            return False
        self._entries[: i + 1] = [EpochStart(self._entries[i].epoch, start_offset)]
        return True

    def end_offset_for(self, epoch: int, *, log_end_offset: int) -> tuple[int, int]:
        """Say which is the greatest epoch not above the asked one, and the offset after its last.

        Returns: (-1, -1) where that is unknown: no epochs, or the asked one is newer than all.
        For an epoch older than all known ones: the asked epoch, and where the oldest begins.
        """
        if epoch == UNDEFINED_EPOCH or epoch > self.latest_epoch:
            return UNDEFINED_EPOCH, UNDEFINED_OFFSET
        i = bisect_right(self._entries, epoch, key=lambda entry: entry.epoch)
        end_offset = self._entries[i].start_offset if i < len(self._entries) else log_end_offset
        return (self._entries[i - 1].epoch if i else epoch), end_offset

    def encode(self) -> bytes:
        """Lay it out as Kafka's `leader-epoch-checkpoint`: version, count, one epoch per line."""
        lines = [str(_FORMAT_VERSION), str(len(self._entries))]
        lines += [f"{entry.epoch} {entry.start_offset}" for entry in self._entries]
        return ("\n".join(lines) + "\n").encode()

    @classmethod
    def parse(cls, data: bytes) -> EpochCache:
        """Read a `leader-epoch-checkpoint`. Raises: EpochsDamaged."""
        try:
            version, count, *lines = data.decode("ascii").splitlines()
            entries = [EpochStart(*map(int, line.split())) for line in lines]
            complete = int(version) == _FORMAT_VERSION and int(count) == len(entries)
        except (ValueError, TypeError) as error:
            raise EpochsDamaged(f"not a checkpoint of epochs: {error}") from error
        rising = all(
            older.epoch < newer.epoch and older.start_offset < newer.start_offset
            for older, newer in pairwise(entries)
        )
        if not (complete and rising and data.endswith(b"\n")):
            raise EpochsDamaged("the checkpoint of epochs is cut or not in order")
        return cls(entries)
