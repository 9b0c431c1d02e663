"""Produce's waiting: until enough replicas hold what was appended durably, or time is up.

Must never know: how a record looks, connections, what is appended.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import trio
from msgspec import Struct

from broker.delayed import Delayed
from broker.errors import NotLeader, RefusedRecords, error_code
from broker.partition import ACKS_ALL
from protocol.api.produce import (
    BatchIndexAndErrorMessage,
    LeaderIdAndEpoch,
    PartitionProduceResponse,
    ProduceResponse,
)
from protocol.errors import ErrorCode, OttlaError, RequestError, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from broker.partition import Partition


NEVER: Final = 2**63 - 1
"""The end of what was refused as its leader hands over: the answer waits for the next leader, whom
it then names, or until this one appends again. A client that were told at once would find the old
one in all metadata yet."""


class Appended(Struct, frozen=True):
    """What waits for its acknowledgement: all below `end_offset`, under one leader epoch."""

    partition: Partition
    end_offset: int
    leader_epoch: int
    reply: PartitionProduceResponse


class DelayedProduce(Delayed):
    """The answer to a produce with acks=all or acks=1; refuses what is not acknowledged in time.

    `finish` is given the response when all is decided.
    """

    __slots__ = ("_acks", "_deadline", "_finish", "_response", "_waiting")

    def __init__(
        self,
        response: ProduceResponse,
        waiting: Iterable[Appended],
        *,
        acks: int,
        deadline: float,
        finish: Callable[[ProduceResponse], ProduceResponse],
    ) -> None:
        self._response = response
        self._waiting = deque(waiting)
        self._acks = acks
        self._deadline = deadline
        self._finish = finish

    def is_done(self) -> bool:
        """Say whether all is acknowledged or refused."""
        while self._waiting:
            oldest = self._waiting[0]
            try:
                if self._is_settled(oldest):
                    self._waiting.popleft()
                elif trio.current_time() >= self._deadline:
                    self._give_oldest_up()
                else:
                    return False
            except NotLeader as error:
                self._refuse_oldest(error)
        return True

    async def wait(self) -> None:
        """Return once all is acknowledged or refused."""
        while not self.is_done():
            oldest = self._waiting[0]
            with trio.move_on_at(self._until(oldest)):
                try:
                    await self._acknowledged(oldest)
                except NotLeader as error:
                    if self._waiting and self._waiting[0] is oldest:  # nobody has asked meanwhile
                        self._refuse_oldest(error)

    def response(self) -> ProduceResponse:
        """Give the response with the fate of each partition's records."""
        return self._finish(self._response)

    def _refuse_oldest(self, error: OttlaError) -> None:
        refuse_partition(self._waiting.popleft().reply, error)

    def _give_oldest_up(self) -> None:
        oldest = self._waiting[0]
        if oldest.end_offset == NEVER:
            self._waiting.popleft()  # refused already
        else:
            self._refuse_oldest(_too_late(oldest.partition))

    def _until(self, appended: Appended) -> float:
        """Give until when one is waited for; then it is looked at again."""
        if appended.end_offset != NEVER:
            return self._deadline
        leadership = appended.partition.require_epoch(appended.leader_epoch)
        return min(self._deadline, leadership.appends_from)

    def _is_settled(self, appended: Appended) -> bool:
        """Raises: NotLeader where the epoch is over; the records' fate is then unknown."""
        partition = appended.partition
        leadership = partition.require_epoch(appended.leader_epoch)
        if appended.end_offset == NEVER:
            return not leadership.is_handing_over
        reached = partition.high_watermark if self._acks == ACKS_ALL else partition.durable
        return reached.value >= appended.end_offset

    async def _acknowledged(self, appended: Appended) -> None:
        partition = appended.partition
        if self._acks == ACKS_ALL:
            await partition.wait_committed(appended.end_offset, leader_epoch=appended.leader_epoch)
        else:
            await partition.wait_durable(appended.end_offset, leader_epoch=appended.leader_epoch)


def refuse_partition(reply: PartitionProduceResponse, error: OttlaError) -> None:
    """Turn one partition's reply into a refusal."""
    reply.error_code = error_code(error)
    reply.error_message = str(error)
    reply.base_offset = -1
    if isinstance(error, RefusedRecords):
        reply.record_errors = [
            BatchIndexAndErrorMessage(index, shortened(why)) for index, why in error.reasons.items()
        ]
    if isinstance(error, NotLeader):
        reply.current_leader = LeaderIdAndEpoch(
            leader_id=error.leader_id, leader_epoch=error.leader_epoch
        )


def _too_late(partition: Partition) -> RequestError:
    if len(partition.isr) < partition.min_isr:
        return RequestError.of(
            ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
            f"{partition.name} has {len(partition.isr)} in-sync replicas left,"
            f" min.insync.replicas is {partition.min_isr}; the records may be committed later",
        )
    return RequestError.of(
        ErrorCode.REQUEST_TIMED_OUT,
        f"the in-sync replicas {list(partition.isr)} of {partition.name} did not acknowledge in"
        " time; the records may be committed later",
    )
