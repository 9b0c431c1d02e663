"""What the parts of one log share: its place on the disk, and what is not durable there yet.

Must never know: what is in the files, who waits for them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct, field

from broker.log.errors import FileMissing

if TYPE_CHECKING:
    from collections.abc import Callable

    from broker.log.config import LogConfig
    from broker.log.disk import Disk, File


class FlushTicket(Struct):
    """What one flush makes durable: these files and directories, and so all below `end_offset`.

    A truncation while the flush is under way lowers `end_offset`: what is appended in the place of
    the cut records is not covered.
    """

    files: tuple[File, ...]
    directories: tuple[str, ...]
    end_offset: int


class Unsynced:
    """The files and directories of a log that the next flush must cover, in order of writing.

    What is written once is noted by its path and opened for the flush: a log that is not written to
    may wait for one for ever, and must not keep a descriptor for each time that it changed hands.
    """

    __slots__ = ("_directories", "_files", "_paths", "_tickets")

    def __init__(self) -> None:
        self._files: dict[File, None] = {}
        self._paths: dict[str, None] = {}
        self._directories: dict[str, None] = {}
        self._tickets: list[FlushTicket] = []

    def note_file(self, file: File) -> None:
        """Remember a file that is written to, and stays open."""
        self._files[file] = None

    def note_path(self, path: str) -> None:
        """Remember a file that was written; it may have gone until the flush."""
        self._paths[path] = None

    def note_directory(self, path: str) -> None:
        """Remember a directory in which a file was created or renamed."""
        self._directories[path] = None

    def forget_file(self, file: File) -> None:
        """Drop a file that is deleted."""
        self._files.pop(file, None)

    def begin(self, disk: Disk, end_offset: int, *, spare: File | None = None) -> FlushTicket:
        """Take all that is unsynced now for one flush, but for one file that is left for later.

        Raises: StorageError.
        """
        files = [file for file in self._files if file is not spare]
        opened = self._open_noted(disk)
        ticket = FlushTicket((*files, *opened), tuple(self._directories), end_offset)
        for file in files:
            del self._files[file]
        self._directories = {}
        self._tickets.append(ticket)
        return ticket

    def end(self, ticket: FlushTicket) -> int:
        """Take note that a flush has succeeded. Returns: the offset below which all is durable."""
        self._tickets = [other for other in self._tickets if other is not ticket]
        return ticket.end_offset

    def truncated(self, end_offset: int) -> None:
        """Lower what the flushes under way may claim."""
        for ticket in self._tickets:
            ticket.end_offset = min(ticket.end_offset, end_offset)

    def _open_noted(self, disk: Disk) -> list[File]:
        found = []
        for path in self._paths:
            with suppress(FileMissing):
                found.append(disk.open(path))
        self._paths = {}
        return found

    def sync(self, disk: Disk) -> None:
        """Make everything durable at once, blocking; what abandoned flushes had taken too."""
        for ticket in self._tickets:
            self._files.update(dict.fromkeys(ticket.files))
            self._directories.update(dict.fromkeys(ticket.directories))
        for file in (*self._files, *self._open_noted(disk)):
            file.sync()
        for path in self._directories:
            disk.sync_directory(path)
        self._files, self._directories, self._tickets = {}, {}, []


class Storage(Struct):
    """One log's directory, settings and clock. `wall_ms` gives Unix milliseconds."""

    disk: Disk
    directory: str
    config: LogConfig
    wall_ms: Callable[[], int]
    unsynced: Unsynced = field(default_factory=Unsynced)

    @property
    def parent(self) -> str:
        """The directory that holds the log's."""
        return self.directory.rpartition("/")[0]

    def path(self, name: str) -> str:
        """Return the path of a file in the log's directory."""
        return f"{self.directory}/{name}"

    def write_soon_durable(self, name: str, data: bytes) -> None:
        """Replace a small file; the next flush makes it last. Raises: StorageError."""
        path = self.path(name)
        self.disk.write_file(path, data, durable=False)
        self.unsynced.note_path(path)
        self.unsynced.note_directory(self.directory)
