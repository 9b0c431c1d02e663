"""Parting from the group at the end of a consumer, whatever ended it.

Must never know: what there is to commit, to give up and to say.
"""

from __future__ import annotations

import logging
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

_log = logging.getLogger(__name__)

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
    by one about the parting: that is logged.
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
            if limit.cancelled_caught:
                _warn(participant, "brokers do not answer in time")
        except OttlaError as error:
            if not after_error:
                raise
            _warn(participant, error)


def _warn(participant: Participant, why: object) -> None:
    group_id = participant.metadata.group_id
    _log.warning("the consumer could not part from group %r in peace: %s", group_id, why)
