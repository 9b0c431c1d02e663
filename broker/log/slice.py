"""A run of bytes in a file of a log, as it goes to the network.

Must never know: what the bytes mean, who sends them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from protocol.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.log.disk import FileView


class LogSlice:
    """A run of bytes of a file, to be sent without being read. Keeps the file open by itself.

    `on_failure` hears that the disk does not give them: whoever reads may not know whose they are.
    `goes_on`: more could be read, for which there was no room, or which is in another segment.
    """

    __slots__ = ("file", "goes_on", "on_failure", "position", "size")

    EMPTY: ClassVar[LogSlice]
    NO_ROOM: ClassVar[LogSlice]
    """Nothing, as not even the first batch has room."""

    def __init__(self, file: FileView, position: int, size: int, *, goes_on: bool = False) -> None:
        self.file = file
        self.position = position
        self.size = size
        self.goes_on = goes_on
        self.on_failure: Callable[[StorageError], None] | None = None

    def __len__(self) -> int:
        return self.size

    def read_bytes(self) -> bytes:
        """Read all of it. Raises: StorageError."""
        try:
            return self.file.read(self.position, self.size)
        except StorageError as error:
            self.failed(error)
            raise

    def failed(self, error: StorageError) -> None:
        """Say that the disk has refused to give some of it."""
        if self.on_failure is not None:
            self.on_failure(error)


class _NoFile:
    """What the empty slice is a slice of."""

    path = ""

    def read(self, position: int, size: int) -> bytes:  # noqa: ARG002 - there is nothing to read
        """Read nothing."""
        return b""

    def fileno(self) -> None:
        """Nothing is open."""


LogSlice.EMPTY = LogSlice(_NoFile(), 0, 0)
LogSlice.NO_ROOM = LogSlice(_NoFile(), 0, 0, goes_on=True)
