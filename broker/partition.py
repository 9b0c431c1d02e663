"""One replica of one partition: the sole owner of its mutable state.

Role and leader epoch change here and nowhere else, always between two checkpoints: nothing can run
between the lines. What a leader alone knows is in its `Leadership`; what a follower does to its
log on its leader's word is in `replication/following.py`.
Must never know: requests, replies, connections, how the ISR and what is committed are decided.
Source: KIP-101, KIP-207, KIP-320, KIP-966.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
import trio

from broker.errors import (
    FencedLeaderEpoch,
    HandingOver,
    NotEnoughReplicas,
    NotLeader,
    OffsetNotAvailable,
    PartitionOffline,
    UnknownLeaderEpoch,
)
from broker.leadership import Leadership
from broker.losses import Losses
from broker.noted_start import NotedStart
from broker.replication.throttle import Throttles
from broker.watermark import Watermark
from coordinator.cluster import NO_LEADER
from protocol.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from broker.log.appends import Appended
    from broker.log.config import LogConfig
    from broker.log.log import Log
    from broker.partition_context import PartitionContext
    from coordinator.cluster import PartitionState

ACKS_ALL = -1
ANY_EPOCH = -1
UNKNOWN_OFFSET = -1

log_events = structlog.get_logger()


class Partition:
    """One replica: follows a leader, or leads and commits."""

    def __init__(
        self, topic: str, index: int, *, topic_id: bytes, log: Log, context: PartitionContext
    ) -> None:
        self.topic = topic
        self.index = index
        self.topic_id = topic_id
        self.log = log
        self.state: PartitionState | None = None
        self.min_isr = 1
        self.offline: StorageError | None = None
        self.needs_reconciling = False
        self.throttles = Throttles()
        self.leadership: Leadership | None = None
        """What this replica knows as leader, while it leads."""
        self.told_replicated = UNKNOWN_OFFSET
        """What the leader of this epoch said last of `replicated_end_offset`."""
        self.losses = Losses(context.broker_id, changed=context.checkpoint_due)
        # Whatever was deleted was committed: a log starts below its high watermark.
        self.high_watermark = Watermark(log.log_start_offset)
        self.durable = Watermark(log.durable_end_offset)
        self.noted_start = NotedStart(log.log_start_offset)
        self.fetchers_waiting: dict[Callable[[Partition], None], None] = {}  # by their arrival
        self.consumers_waiting: dict[Callable[[Partition], None], None] = {}
        self.deleters_waiting = trio.lowlevel.ParkingLot()
        """Those who wait for the low watermark: woken whenever it may have moved."""
        self._context = context
        log.on_failure(self._storage_failed)

    def __repr__(self) -> str:
        return f"<Partition {self.name}>"

    @property
    def name(self) -> str:
        """`<topic>-<index>`, as in Kafka's directories and messages."""
        return f"{self.topic}-{self.index}"

    @property
    def leader_epoch(self) -> int:
        """The leader epoch that this replica obeys; -1 before it knows of one."""
        return self.state.leader_epoch if self.state is not None else -1

    @property
    def leader_id(self) -> int:
        """The broker that leads under `leader_epoch`; -1 for none."""
        return self.state.leader_id if self.state is not None else NO_LEADER

    @property
    def isr(self) -> tuple[int, ...]:
        """The in-sync replicas, as far as this replica knows."""
        return self.state.isr if self.state is not None else ()

    @property
    def successor_id(self) -> int:
        """The follower that the leader is to hand over to; -1 for none."""
        return self.state.successor_id if self.state is not None else NO_LEADER

    @property
    def is_leader(self) -> bool:
        """Whether this replica leads. It may be fenced all the same, see `require_leader`."""
        return self.leadership is not None

    @property
    def pending_isr(self) -> Mapping[int, int] | None:
        """What this leader has proposed for an ISR, see `Leadership`; None without a proposal."""
        return self.leadership.pending_isr if self.leadership is not None else None

    @property
    def replicated_end_offset(self) -> int:
        """The offset below which every replica, in sync or not, has everything; -1: not known."""
        if self.leadership is not None:
            return self.leadership.replicated_end_offset
        return self.told_replicated

    # Roles.

    def apply(self, state: PartitionState, *, broker_epoch: int, min_isr: int) -> bool:
        """Obey what the controller decided; old news changes nothing.

        Returns: whether the leader epoch or the role changed.
        """
        known = self.state
        lead = state.leader_id == self._context.broker_id and (
            state.leader_broker_epoch == broker_epoch
        )
        if known is not None and state.partition_epoch < known.partition_epoch:
            return False
        self.min_isr = min_isr
        self.losses.seen(state, before=known)
        if (
            known is not None
            and state.leader_epoch == known.leader_epoch
            and (lead == self.is_leader)
        ):
            self._apply_isr(known, state)
            return False
        self._step_down(NotLeader(leader_id=state.leader_id, leader_epoch=state.leader_epoch))
        self.state = state
        self.needs_reconciling = True
        self.told_replicated = UNKNOWN_OFFSET
        if lead and self.offline is None:
            with suppress(StorageError):  # It has gone offline by that, and said so.
                self._lead(state)
        return True

    def _apply_isr(self, known: PartitionState, state: PartitionState) -> None:
        if self.leadership is not None and self.leadership.obey(state):
            log_events.info("isr_changed", partition=self.name, isr=state.isr)
        self.state = state
        self._follow_state()
        if state.partition_epoch != known.partition_epoch:
            self.deleters_waiting.unpark_all()  # others may come to lead now
            self._wake(self.fetchers_waiting)  # their next fetch may join them, or hand over

    def _follow_state(self) -> None:
        """Draw what a leader must from a state that it has taken over."""
        if self.leadership is not None and self.leadership.is_handing_over:
            self._context.isr_due(self)
        self.advance_high_watermark()

    def _lead(self, state: PartitionState) -> None:
        self.log.start_epoch(state.leader_epoch)
        self.needs_reconciling = False
        self.losses.none_left()  # what we have is what there is
        self.high_watermark.reset(min(self.high_watermark.value, self.log.log_end_offset))
        self.leadership = Leadership(state, log=self.log, high_watermark=self.high_watermark)
        if self._context.leaving() and len(state.isr) > 1:
            self.leadership.hand_over()
        self._flush_if_behind()  # Else it can wait: an epoch without a record may be forgotten.
        self._follow_state()

    def close(self, error: StorageError | None = None) -> None:
        """Stop serving: the partition leaves this broker or its disk failed."""
        self.offline = error
        self._step_down(NotLeader(leader_id=NO_LEADER, leader_epoch=self.leader_epoch))

    def _step_down(self, reason: NotLeader) -> None:
        """End the leader epoch here: whoever waits for something under it is told `reason`."""
        self.leadership = None
        self.high_watermark.abort(reason)
        self.durable.abort(reason)
        self._wake_readers()
        self.deleters_waiting.unpark_all()

    def require_leader(self, *, leader_epoch: int = ANY_EPOCH) -> Leadership:
        """Give what the leader knows, or refuse.

        `leader_epoch` is the epoch that the asker believes in (-1: does not say).
        Raises: PartitionOffline, NotLeader, FencedLeaderEpoch, UnknownLeaderEpoch.
        """
        if self.offline is not None:
            raise PartitionOffline(f"{self.name} is offline on this broker: {self.offline}")
        if leader_epoch > self.leader_epoch:
            raise UnknownLeaderEpoch(asked=leader_epoch, current=self.leader_epoch)
        if self.leadership is None or not self._context.lease_held():
            raise NotLeader(leader_id=self.leader_id, leader_epoch=self.leader_epoch)
        if ANY_EPOCH < leader_epoch < self.leader_epoch:
            raise FencedLeaderEpoch(asked=leader_epoch, current=self.leader_epoch)
        return self.leadership

    # The leader: producing.

    def append(self, records: memoryview, *, acks: int) -> Appended:
        """Append a producer's batches at the log's end; they are not yet durable or committed.

        Raises: NotEnoughReplicas (acks=all with too small an ISR), NotLeader, HandingOver, what the
        log raises.
        """
        if self.require_leader().is_handing_over:
            raise HandingOver(leader_id=NO_LEADER, leader_epoch=self.leader_epoch)
        if acks == ACKS_ALL and len(self.isr) < self.min_isr:
            raise NotEnoughReplicas(self.name, isr=self.isr, min_isr=self.min_isr)
        appended = self.log.append_as_leader(records, leader_epoch=self.leader_epoch)
        if not appended.duplicate:
            self.flush_soon()
            self._wake(self.fetchers_waiting)
        return appended

    def hand_over(self) -> None:
        """Append nothing more as this leader: another one is about to be elected."""
        if self.leadership is not None:
            self.leadership.hand_over()

    async def wait_committed(self, end_offset: int, *, leader_epoch: int) -> None:
        """Return once all below `end_offset`, appended under `leader_epoch`, is committed.

        Raises: NotLeader when that epoch ends first; the records' fate is then unknown.
        """
        self.require_epoch(leader_epoch)
        await self.high_watermark.wait_reached(end_offset)

    async def wait_durable(self, end_offset: int, *, leader_epoch: int) -> None:
        """Return once all below `end_offset`, appended under `leader_epoch`, is durable here.

        Raises: NotLeader when that epoch ends first.
        """
        self.require_epoch(leader_epoch)
        await self.durable.wait_reached(end_offset)

    def require_epoch(self, leader_epoch: int) -> Leadership:
        """Give what the leader of that epoch knows: in another an offset may hold another record.

        Raises: NotLeader where it is over.
        """
        if self.leadership is None or self.leader_epoch != leader_epoch:
            raise NotLeader(leader_id=self.leader_id, leader_epoch=self.leader_epoch)
        return self.leadership

    # The leader: replication.

    def advance_high_watermark(self) -> None:
        """Raise the high watermark as far as ISR and min.insync.replicas allow (KIP-966)."""
        if self.leadership is None or len(self.isr) < self.min_isr:
            return
        if self.high_watermark.advance(self.leadership.committed_end_offset):
            self._wake(self.consumers_waiting)

    def follower_fetched(
        self,
        follower_id: int,
        offset: int,
        *,
        broker_epoch: int,
        log_start_offset: int = UNKNOWN_OFFSET,
    ) -> None:
        """Count a follower's fetch: all below `offset` is durable there under our epoch.

        Raises: what `require_leader` and `Leadership.follower_fetched` raise.
        """
        if self.require_leader().follower_fetched(
            follower_id, offset, broker_epoch=broker_epoch, log_start_offset=log_start_offset
        ):
            self.advance_high_watermark()
            self.deleters_waiting.unpark_all()

    def follower_was_caught_up(
        self, follower_id: int, offset: int, *, broker_epoch: int, at: float
    ) -> None:
        """Count fetches of a session that did not name us, the last one `at` that time (seconds).

        They held to the follower's acknowledgement of `offset`, which was our log's end then.
        """
        if self.leadership is not None:
            self.leadership.follower_was_caught_up(
                follower_id, offset, broker_epoch=broker_epoch, at=at
            )

    def isr_refused(self) -> None:
        """Drop a proposal that the controller is sure not to have taken."""
        if self.leadership is not None:
            self.leadership.pending_isr = None
            self.advance_high_watermark()

    # Where the log starts.

    def start_log_at(self, offset: int) -> None:
        """Forget all below `offset`, unless a crash comes soon. Raises: StorageError."""
        self.log.advance_log_start(offset)
        self._context.checkpoint_due()
        self._wake_readers()

    def apply_retention(self) -> bool:
        """Remove the next that retention does not keep. Returns: whether. Raises: StorageError."""
        removes = self.log.apply_retention(self.high_watermark.value, count_max=1) > 0
        if removes:
            self._wake_readers()
            self.flush_soon()  # a new segment and what is known at its start, where all was old
        return removes

    def log_start_noted(self, offset: int) -> bool:
        """Take note that a crash would leave the log starting at `offset`. Returns: whether new."""
        has_risen = self.noted_start.noted(offset, log_start_offset=self.log.log_start_offset)
        if has_risen:
            self.deleters_waiting.unpark_all()
        return has_risen

    # The disk.

    def flush_soon(self) -> None:
        """Have what was appended made durable."""
        self._context.flusher.schedule(self)

    def _flush_if_behind(self) -> None:
        if self.log.durable_end_offset < self.log.log_end_offset:
            self.flush_soon()

    def reconfigure(self, config: LogConfig) -> None:
        """Take over settings; what was left to the operating system may have to last now."""
        self.log.reconfigure(config)
        self._flush_if_behind()

    def flushed(self) -> None:
        """Take note that the log's durable end has moved (called by the flusher)."""
        self.durable.advance(self.log.durable_end_offset)
        self.advance_high_watermark()

    def _storage_failed(self, error: StorageError) -> bool:
        """Go offline: the disk refused, what it holds of us is unknown. Returns: True to go on."""
        if self._context.is_borne(self, error):
            return True
        log_events.error("partition_offline", partition=self.name, error=str(error))
        self.close(error)
        self._context.storage_failed(self, error)
        return False

    # How far it can be read.

    def latest_offset(self, *, for_replica: bool) -> int:
        """Give the offset after the last record that the asker may see.

        Raises: OffsetNotAvailable while a new leader does not know how far was committed (KIP-207).
        """
        leadership = self.require_leader()
        if for_replica:
            return self.log.log_end_offset
        if not leadership.knows_committed:
            raise OffsetNotAvailable(
                f"{self.name} has a new leader that does not know yet how far was committed"
            )
        return self.high_watermark.value

    # The follower.

    def follows(self, leader_epoch: int) -> bool:
        """Say whether this replica still follows the leader of `leader_epoch`."""
        return (
            self.leadership is None and self.offline is None and self.leader_epoch == leader_epoch
        )

    def log_was_cut(self, *, start_before: int) -> None:
        """Take note that the log has lost its end, and may start elsewhere than before."""
        start_offset, end_offset = self.log.log_start_offset, self.log.log_end_offset
        self.high_watermark.reset(max(start_offset, min(self.high_watermark.value, end_offset)))
        self.durable.reset(self.log.durable_end_offset)
        self._flush_if_behind()
        if start_offset != start_before:
            self.noted_start.cut(before=start_before, now=start_offset)
            self._context.checkpoint_due()

    # Those who wait.

    def _wake_readers(self) -> None:
        self._wake(self.fetchers_waiting)
        self._wake(self.consumers_waiting)

    def _wake(self, waiting: Iterable[Callable[[Partition], None]]) -> None:
        for wake in tuple(waiting):
            wake(self)
