"""Parting from the group at the end of a consumer, whatever ended it.

Must never know: what there is to commit, to give up and to say.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import trio

from client.group.patience import SILENCE_S
from protocol.errors import OttlaError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from client.cluster import Cluster
    from client.group.participant import Participant

PART_TIMEOUT_S: Final = 10.0
"""How long a consumer that was cancelled takes at most to part."""


def is_cancelled() -> bool:
    """Say whether whatever is waited for now is cancelled at once."""
    return trio.current_effective_deadline() == -math.inf


async def part(
    participant: Participant,
    cluster: Cluster,
    *,
    open_another: Callable[[], AbstractAsyncContextManager[Cluster]],
    after_error: bool,
) -> None:
    """Commit, give up and leave. What was handed out last does not count `after_error`.

    The connections of a consumer that is cancelled are cancelled as well: it parts on new ones, if
    a broker answers soon, and within a time limit. An error that is on its way out is not replaced
    by one about the parting.
    Raises: what callbacks raise; OttlaError where there was no other error.
    """
    cancelled = is_cancelled()
    with trio.CancelScope(shield=True):
        try:
            if not cancelled:
                await participant.depart(cluster, cleanly=not after_error)
                return
            with trio.move_on_after(SILENCE_S) as limit:
                async with open_another() as fresh:
                    limit.deadline = trio.current_time() + PART_TIMEOUT_S
                    await participant.depart(fresh, cleanly=False)
        except OttlaError as error:
            if not after_error:
                raise
            cluster.last_error = error
