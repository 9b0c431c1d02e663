"""Where a follower must cut its log to agree with its leader: a pure decision.

By leader epoch, compared backwards, never by high watermark. Must never know: logs, requests.
Source: KIP-101, KIP-279 (a leader's epoch may be one that the follower never saw).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

UNKNOWN = -1


class Truncation(Struct, frozen=True):
    """Cut the log to `end_offset`; where not `complete`, ask the leader about `next_epoch`."""

    end_offset: int
    complete: bool
    next_epoch: int = UNKNOWN


def decide_truncation(
    *,
    leader_answer: tuple[int, int],
    log_end_offset: int,
    latest_epoch: int,
    end_offset_for_epoch: Callable[[int], tuple[int, int]],
) -> Truncation | None:
    """Compare the leader's answer about our latest epoch with our own log.

    `leader_answer` is (epoch, end offset): the leader's largest epoch that is not above ours and
    where it ends there. `end_offset_for_epoch` answers the same question about our own log.
    Returns: None where either side knows nothing of the epoch; then nothing may be cut.
    """
    epoch, leader_end = leader_answer
    if UNKNOWN in (epoch, leader_end):
        return None
    if epoch >= latest_epoch:
        return Truncation(end_offset=min(leader_end, log_end_offset), complete=True)
    own_epoch, own_end = end_offset_for_epoch(epoch)
    if own_epoch == UNKNOWN:
        return None
    end_offset = min(own_end, leader_end, log_end_offset)
    if own_epoch == epoch:
        return Truncation(end_offset=end_offset, complete=True)
    # Our log has no such epoch: what we wrote after `own_epoch` the leader never had.
    return Truncation(end_offset=end_offset, complete=False, next_epoch=own_epoch)
