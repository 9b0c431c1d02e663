"""State in a file that is there as a whole or not at all, whenever its process is killed.

Must never know: what the state is.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgpack
import trio

if TYPE_CHECKING:
    from pathlib import Path


class StateFile:
    """One state, replaced by the next."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Any:
        """Give what was saved last; None where nothing was."""
        try:
            written = self._path.read_bytes()
        except FileNotFoundError:
            return None
        return msgpack.unpackb(written, strict_map_key=False)

    async def save(self, plain: Any) -> None:
        """Replace it; returns once it would survive a power failure."""
        packed = msgpack.packb(plain)
        with trio.CancelScope(shield=True):  # a thread goes on anyway: nobody may overtake it
            await trio.to_thread.run_sync(self._replace, packed)

    def _replace(self, packed: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(packed)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
