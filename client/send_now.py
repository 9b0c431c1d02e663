"""Sends what a socket takes at once. Brokers send answers by it as well.

Must never know: messages, requests, answers.
"""

from __future__ import annotations

import os

import trio


def send_now(stream: trio.abc.SendStream, data: bytes) -> int:
    """Send without waiting, which saves a pass of the event loop and mostly is all there is to do.

    Nobody may be sending on the stream meanwhile. Returns: how many bytes were taken; none where
    the stream is no socket. Raises: trio.BrokenResourceError.
    """
    if not isinstance(stream, trio.SocketStream):
        return 0
    try:
        return os.write(stream.socket.fileno(), data)  # noqa: TID251 - not to a disk
    except BlockingIOError:
        return 0
    except OSError as error:
        raise trio.BrokenResourceError(f"cannot send: {error}") from error
