"""Lines to produce: cut out of stdin or files as they come, within bounded memory.

Must never know: records, producers.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import trio

from commands.failure import CommandFailed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

CHUNK_BYTES: Final = 262_144
LINE_BYTES_MAX: Final = 33_554_432
STDIN: Final = 0


class LineCutter:
    """Cuts chunks of bytes into lines at each newline, which is dropped."""

    def __init__(self, *, line_bytes_max: int = LINE_BYTES_MAX) -> None:
        self._rest: list[bytes] = []
        self._rest_bytes = 0
        self._line_bytes_max = line_bytes_max

    def feed(self, chunk: bytes) -> list[bytes]:
        """Give the lines that end in this chunk. Raises: CommandFailed for an endless line."""
        lines = chunk.split(b"\n")
        if len(lines) > 1:
            lines[0] = b"".join([*self._rest, lines[0]])
            self._rest, self._rest_bytes = [], 0
        # Joined once, when its end has come: a line of many chunks would be copied for each.
        self._rest.append(lines.pop())
        self._rest_bytes += len(self._rest[-1])
        if self._rest_bytes > self._line_bytes_max:
            raise CommandFailed(
                f"a line is longer than {self._line_bytes_max} bytes",
                next_step="a record is a line, so give it text with line ends",
            )
        return lines

    def finish(self) -> list[bytes]:
        """Give the last line where the input does not end with a newline."""
        rest = b"".join(self._rest)
        self._rest, self._rest_bytes = [], 0
        return [rest] if rest else []


def require_stdin() -> None:
    """Check that there is one: else its number soon is another file's. Raises: CommandFailed."""
    if sys.stdin is None:
        raise CommandFailed("stdin is closed", next_step="pipe something in, or name a file")


async def lines_of(path: Path | None) -> AsyncGenerator[list[bytes], None]:
    """Iterate over the lines of a file, or of stdin for None, in chunks as they come.

    From a terminal or a pipe every line comes at once, not when a buffer is full. Raises: OSError.
    """
    descriptor = STDIN if path is None else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    cutter = LineCutter()
    try:
        while chunk := await _read(descriptor):
            yield cutter.feed(chunk)
        yield cutter.finish()
    finally:
        if path is not None:
            os.close(descriptor)


async def _read(descriptor: int) -> bytes:
    # A thread that waits for a terminal cannot be stopped, only left behind.
    return await trio.to_thread.run_sync(os.read, descriptor, CHUNK_BYTES, abandon_on_cancel=True)
