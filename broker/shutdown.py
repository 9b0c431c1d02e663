"""Leaving in order: leadership is handed over at the log's end, so that not even acks=1 is lost.

Must never know: the store, connections.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
import trio

from broker.errors import NotLeader
from protocol.api.controlled_shutdown import ControlledShutdownRequest
from protocol.errors import ErrorCode, OttlaError

if TYPE_CHECKING:
    from broker.partition import Partition
    from broker.partitions import Partitions
    from broker.peers import Peers
    from broker.view import ClusterView

log_events = structlog.get_logger()

CONTROLLED_SHUTDOWN_VERSION = 3
DRAIN_S = 3.0
"""How long no in-sync replica may get any nearer to the end of a log before we leave without it."""
DRAIN_MAX_S = 30.0
"""However steadily they get nearer."""
HAND_OVER_S = 10.0
"""For asking and what follows from the answer."""
ASK_AGAIN_S = 0.1


async def hand_over(
    partitions: Partitions, peers: Peers, view: ClusterView, *, broker_id: int
) -> bool:
    """Stop appending, let the in-sync replicas catch up, and have other leaders elected.

    Returns: whether nothing is led here any more; False when nobody else could take over in time.
    """
    leaving = [partition for partition in partitions.led() if len(partition.isr) > 1]
    for partition in leaving:
        partition.hand_over()
    with trio.move_on_after(DRAIN_MAX_S), trio.move_on_after(DRAIN_S) as patience:
        async with trio.open_nursery() as nursery:
            for partition in leaving:
                nursery.start_soon(wait_replicated, partition, patience)
    with trio.move_on_after(HAND_OVER_S):
        stuck = await _ask_until_answered(peers, view, broker_id=broker_id)
        moving = [p for p in leaving if (p.topic, p.index) not in stuck]
        await view.wait_for(lambda _: not any(p.is_leader for p in moving), timeout_s=HAND_OVER_S)
    left = [partition.name for partition in leaving if partition.is_leader]
    if left:
        log_events.info("left_without_hand_over", count=len(left), first=left[0])
    return not left


async def wait_replicated(partition: Partition, patience: trio.CancelScope) -> None:
    """Return once every in-sync replica has all that is here, or somebody else leads.

    Each step nearer to it moves the deadline of `patience` to `DRAIN_S` from then. The end of an
    epoch ends the wait, but not always that of our leadership: where another change of the
    partition has begun a new one, there is still everything to wait for.
    """
    while partition.is_leader:
        reached = partition.high_watermark.value
        if reached >= partition.log.log_end_offset:
            return
        with suppress(NotLeader):
            await partition.high_watermark.wait_reached(reached + 1)
            patience.deadline = trio.current_time() + DRAIN_S


async def _ask_until_answered(
    peers: Peers, view: ClusterView, *, broker_id: int
) -> frozenset[tuple[str, int]]:
    """Ask the controller until it answers. Returns: what nobody can take over now."""
    stuck = await _ask(peers, view, broker_id=broker_id)
    while stuck is None:
        await trio.sleep(ASK_AGAIN_S)
        stuck = await _ask(peers, view, broker_id=broker_id)
    return stuck


async def _ask(
    peers: Peers, view: ClusterView, *, broker_id: int
) -> frozenset[tuple[str, int]] | None:
    """Ask the controller once. Returns: what it cannot move; None where it is to be asked again."""
    request = ControlledShutdownRequest(broker_id=broker_id, broker_epoch=view.broker_epoch)
    try:
        response = await peers.call_controller(request, version=CONTROLLED_SHUTDOWN_VERSION)
    except (OSError, OttlaError) as error:
        log_events.info("controlled_shutdown_unanswered", error=str(error))
        return None
    # With a stale epoch another registration, or none, is known: there is nothing to hand over.
    if response.error_code not in (ErrorCode.NONE, ErrorCode.STALE_BROKER_EPOCH):
        return None
    return frozenset((p.topic_name, p.partition_index) for p in response.remaining_partitions)
