"""Keeping the ISR true: leaders propose, the controller decides (KIP-497).

A proposal counts as pending until a newer partition state has come: an answer that got lost may
have been a yes. Must never know: how the high watermark is computed, the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
import trio

from protocol.api.alter_partition import (
    AlterPartitionRequest,
    BrokerState,
    PartitionData,
    TopicData,
)
from protocol.errors import ErrorCode, OttlaError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from broker.partition import Partition
    from protocol.api.alter_partition import AlterPartitionResponse, PartitionResult

log_events = structlog.get_logger()

RETRY_PAUSE_S = 0.1
SURELY_REFUSED = frozenset({ErrorCode.INELIGIBLE_REPLICA, ErrorCode.INVALID_REQUEST})
"""Answered only to a proposal made on the partition state that still holds: so no earlier try of
it was accepted. After every other error the proposal may be, or have been, the controller's state,
even where the leader's epoch is over or its topic gone.
"""


class IsrKeeper:
    """Proposes ISR changes of the partitions that this broker leads."""

    def __init__(
        self,
        *,
        broker_id: int,
        broker_epoch: Callable[[], int],
        eligible: Callable[[int, int], bool],
        led: Callable[[], Iterable[Partition]],
        call_controller: Callable[[AlterPartitionRequest], Awaitable[AlterPartitionResponse]],
        lag_time_max_s: float,
    ) -> None:
        self._broker_id = broker_id
        self._broker_epoch = broker_epoch
        self._eligible = eligible
        self._led = led
        self._call_controller = call_controller
        self._lag_time_max_s = lag_time_max_s
        self._suspects: dict[Partition, None] = {}
        self._wake = trio.Event()

    def follower_fetched(self, partition: Partition, follower_id: int) -> None:
        """Have a follower that has caught up join the ISR soon, or take over as successor."""
        leadership = partition.leadership
        if leadership is None:
            return
        if leadership.resigns_to(follower_id) or (
            follower_id not in partition.isr
            and leadership.may_join_isr(
                follower_id, lag_time_max_s=self._lag_time_max_s, eligible=self._eligible
            )
        ):
            self.look_at(partition)

    def look_at(self, partition: Partition) -> None:
        """Consider a partition's ISR soon."""
        self._suspects[partition] = None
        self._wake.set()

    async def run(self) -> None:
        """Propose what is due, for ever: at once what `look_at` names, all twice in a lag time."""
        next_full_look = trio.current_time() + self._lag_time_max_s / 2
        while True:
            with trio.move_on_at(next_full_look):
                await self._wake.wait()
            self._wake = trio.Event()
            looked_at, self._suspects = list(self._suspects), {}
            if trio.current_time() >= next_full_look:
                looked_at = list(self._led())
                next_full_look = trio.current_time() + self._lag_time_max_s / 2
            for leadership in (p.leadership for p in looked_at if p.leadership is not None):
                leadership.propose_isr(lag_time_max_s=self._lag_time_max_s, eligible=self._eligible)
            unsettled = [p for p in looked_at if p.pending_isr is not None]
            if unsettled:
                await self._settle(unsettled)

    async def _settle(self, partitions: list[Partition]) -> None:
        by_key = {(p.topic_id, p.index): p for p in partitions if p.is_leader}
        try:
            response = await self._call_controller(self._request(by_key.values()))
        except (OSError, OttlaError) as error:
            log_events.info("isr_proposal_unanswered", error=str(error))
            await self._try_again(by_key.values())
            return
        if response.error_code != ErrorCode.NONE:
            log_events.info("isr_proposal_refused", code=ErrorCode(response.error_code).name)
            await self._try_again(by_key.values())
            return
        again = []
        for topic in response.topics:
            for answer in topic.partitions:
                partition = by_key.get((topic.topic_id, answer.partition_index))
                if partition is not None and not self._obey(partition, answer):
                    again.append(partition)
        if again:
            await self._try_again(again)

    async def _try_again(self, partitions: Iterable[Partition]) -> None:
        await trio.sleep(RETRY_PAUSE_S)
        for partition in partitions:
            self.look_at(partition)

    def _obey(self, partition: Partition, answer: PartitionResult) -> bool:
        """Draw what follows from the controller's answer. Returns: whether there is no more to ask.

        A yes is obeyed when the state of the cluster brings it, together with the rule
        (min.insync.replicas) that it was decided by: of that the answer says nothing.
        """
        code = ErrorCode(answer.error_code)
        if code is ErrorCode.NONE or answer.leader_epoch not in (partition.leader_epoch, 0):
            return True
        log_events.info("isr_change_refused", partition=partition.name, code=code.name)
        if code in SURELY_REFUSED:
            partition.isr_refused()
        return partition.pending_isr is None

    def _request(self, partitions: Iterable[Partition]) -> AlterPartitionRequest:
        topics: dict[bytes, TopicData] = {}
        for partition in partitions:
            assert partition.state is not None, "a leader has a state"
            assert partition.pending_isr is not None, "only what is proposed is asked for"
            topic = topics.setdefault(partition.topic_id, TopicData(topic_id=partition.topic_id))
            topic.partitions.append(
                PartitionData(
                    partition_index=partition.index,
                    leader_epoch=partition.leader_epoch,
                    new_isr_with_epochs=[
                        BrokerState(broker_id=member, broker_epoch=epoch)
                        for member, epoch in partition.pending_isr.items()
                    ],
                    partition_epoch=partition.state.partition_epoch,
                )
            )
        return AlterPartitionRequest(
            broker_id=self._broker_id,
            broker_epoch=self._broker_epoch(),
            topics=list(topics.values()),
        )
