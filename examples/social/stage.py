"""The line to whoever has started this process and looks after it, `ottla demo`.

It is this process's standard input, a socket, with a line of JSON for each message, both ways. When
it ends nobody looks after us any more, and we end too: so no service outlives the demo, whatever
happens to that.
Must never know: what is told.
"""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

STDIN: Final = 0
LINE_BYTES_MAX: Final = 256 * 1024


class Stage:
    """The line, or nothing where a service was started by hand."""

    def __init__(self) -> None:
        self._stream: trio.SocketStream | None = None
        if stat.S_ISSOCK(os.fstat(STDIN).st_mode):
            own = trio.socket.fromfd(STDIN, trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
            self._stream = trio.SocketStream(own)
        self._turn = trio.Lock()
        self.heard: Callable[[dict[str, Any]], None] = _ignore
        """Is called with whatever is said to us."""

    def close(self) -> None:
        """Hang up."""
        if self._stream is not None:
            self._stream.socket.close()

    async def tell(self, **facts: Any) -> None:
        """Say something; to nobody, where nobody is there."""
        if self._stream is None:
            return
        async with self._turn:
            try:
                await self._stream.send_all(json.dumps(facts).encode() + b"\n")
            except trio.BrokenResourceError:
                return  # `listen` ends as well, and the process with it

    async def listen(self) -> None:
        """Hand over what is said; returns when there is nobody any more."""
        if self._stream is None:
            await trio.sleep_forever()
            return
        buffer = bytearray()
        try:
            while part := await self._stream.receive_some():
                buffer += part
                while (end := buffer.find(b"\n")) >= 0:
                    self.heard(json.loads(buffer[:end]))
                    del buffer[: end + 1]
                assert len(buffer) <= LINE_BYTES_MAX, "the demo's own lines are short"
        except trio.BrokenResourceError:
            return


def _ignore(_: dict[str, Any]) -> None:
    """Most services are told nothing."""
