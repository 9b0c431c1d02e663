"""A nursery for the tasks that live inside a context manager.

Must never know: what the tasks do.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def background_tasks() -> AsyncIterator[trio.Nursery]:
    """Open a nursery that is cancelled on the way out.

    An error of the body leaves as it is, not wrapped in an exception group as a nursery would;
    an error of a background task is a bug and leaves in a group.
    """
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        except Exception as error:  # noqa: BLE001 (raised again below, outside of the nursery)
            failure = error
        finally:
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
