"""A run of bytes in a file of a log, as it goes to the network.

Must never know: what the bytes mean, who sends them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from broker.log.disk import FileView


class LogSlice:
    """A run of bytes of a file, to be sent without being read. Keeps the file open by itself."""

    __slots__ = ("file", "position", "size")

    EMPTY: ClassVar[LogSlice]

    def __init__(self, file: FileView, position: int, size: int) -> None:
        self.file = file
        self.position = position
        self.size = size

    def __len__(self) -> int:
        return self.size

    def read_bytes(self) -> bytes:
        """Read all of it. Raises: StorageError."""
        return self.file.read(self.position, self.size)


class _NoFile:
    """What the empty slice is a slice of."""

    path = ""

    def read(self, position: int, size: int) -> bytes:  # noqa: ARG002 - there is nothing to read
        """Read nothing."""
        return b""

    def fileno(self) -> None:
        """Nothing is open."""


LogSlice.EMPTY = LogSlice(_NoFile(), 0, 0)
