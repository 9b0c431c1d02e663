"""One replica of one partition: the sole owner of its mutable state.

Role, leader epoch, log and watermarks change here and nowhere else, always between two
checkpoints: nothing can run between the lines. Must never know: requests, replies, connections.
Source: KIP-101, KIP-207, KIP-320, KIP-497, KIP-966.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
import trio

from broker.errors import (
    FencedLeaderEpoch,
    NotEnoughReplicas,
    NotLeader,
    OffsetNotAvailable,
    PartitionOffline,
    StaleBrokerEpoch,
    UnknownLeaderEpoch,
)
from broker.replication.progress import FollowerProgress, Progress
from broker.watermark import Watermark
from coordinator.cluster import NO_LEADER
from protocol.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from broker.log.appends import Appended
    from broker.log.flush import Flusher
    from broker.log.log import Log
    from broker.log.slice import LogSlice
    from coordinator.cluster import PartitionState

ACKS_ALL = -1
ANY_EPOCH = -1

log_events = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PartitionContext:
    """What all partitions of a broker share."""

    broker_id: int
    flusher: Flusher
    lease_held: Callable[[], bool]
    """Whether the coordinator still counts on us; without it nobody leads."""
    storage_failed: Callable[[StorageError], None]
    """Called when a disk has failed under a partition."""


class Partition:
    """One replica: follows a leader, or leads and decides what is committed."""

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
        self.handing_over = False
        self.high_watermark = Watermark(0)
        self.durable = Watermark(log.durable_end_offset)
        self.pending_isr: Mapping[int, int] | None = None
        """The ISR proposed, by the broker epochs of its members; perhaps the controller's state."""
        # In the order of arrival, so that a run can be repeated.
        self.fetchers_waiting: dict[Callable[[Partition], None], None] = {}
        self.consumers_waiting: dict[Callable[[Partition], None], None] = {}
        self._context = context
        self._leading: Progress | None = None

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
    def is_leader(self) -> bool:
        """Whether this replica leads. It may be fenced all the same, see `require_leader`."""
        return self._leading is not None

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
        if (
            known is not None
            and state.leader_epoch == known.leader_epoch
            and (lead == self.is_leader)
        ):
            self._apply_isr(state)
            return False
        self._resign(state)
        self.state = state
        self.needs_reconciling = True
        if lead and self.offline is None:
            with suppress(StorageError):  # It has gone offline by that, and said so.
                self._lead(state)
        return True

    def _apply_isr(self, state: PartitionState) -> None:
        if self.state is not None and state.partition_epoch > self.state.partition_epoch:
            self.pending_isr = None
            if self.is_leader and state.isr != self.isr:
                log_events.info("isr_changed", partition=self.name, isr=state.isr)
        self.state = state
        self.advance_high_watermark()

    def _lead(self, state: PartitionState) -> None:
        with self._storage_watched():
            self.log.start_epoch(state.leader_epoch)
        self.needs_reconciling = False
        self.high_watermark.reset(min(self.high_watermark.value, self.log.log_end_offset))
        self._leading = Progress(
            broker_id=self._context.broker_id,
            epoch_start_offset=self.log.log_end_offset,
            led_since=trio.current_time(),
        )
        # What was appended as a follower may still wait for its fsync.
        self._context.flusher.schedule(self)
        self.advance_high_watermark()

    def _resign(self, state: PartitionState) -> None:
        self._leading = None
        self.pending_isr = None
        self.handing_over = False
        moved = NotLeader(leader_id=state.leader_id, leader_epoch=state.leader_epoch)
        self.high_watermark.abort(moved)
        self.durable.abort(moved)
        self._wake(self.fetchers_waiting)
        self._wake(self.consumers_waiting)

    def close(self, error: StorageError | None = None) -> None:
        """Stop serving: the partition leaves this broker or its disk failed."""
        self._leading = None
        gone = NotLeader(leader_id=NO_LEADER, leader_epoch=self.leader_epoch)
        self.offline = error
        self.high_watermark.abort(gone)
        self.durable.abort(gone)
        self._wake(self.fetchers_waiting)
        self._wake(self.consumers_waiting)

    def require_leader(self, *, leader_epoch: int = ANY_EPOCH) -> Progress:
        """Give the leader's book, or refuse.

        `leader_epoch` is the epoch that the asker believes in (-1: does not say).
        Raises: PartitionOffline, NotLeader, FencedLeaderEpoch, UnknownLeaderEpoch.
        """
        if self.offline is not None:
            raise PartitionOffline(f"{self.name} is offline on this broker: {self.offline}")
        if leader_epoch != ANY_EPOCH:
            if leader_epoch < self.leader_epoch:
                raise FencedLeaderEpoch(asked=leader_epoch, current=self.leader_epoch)
            if leader_epoch > self.leader_epoch:
                raise UnknownLeaderEpoch(asked=leader_epoch, current=self.leader_epoch)
        if self._leading is None or not self._context.lease_held():
            raise NotLeader(leader_id=self.leader_id, leader_epoch=self.leader_epoch)
        return self._leading

    # The leader: producing.

    def append(self, records: memoryview, *, acks: int) -> Appended:
        """Append a producer's batches at the log's end; they are not yet durable or committed.

        Raises: NotEnoughReplicas (acks=all with too small an ISR), NotLeader, what the log raises.
        """
        self.require_leader()
        if self.handing_over:
            raise NotLeader(leader_id=NO_LEADER, leader_epoch=self.leader_epoch)
        if acks == ACKS_ALL and len(self.isr) < self.min_isr:
            raise NotEnoughReplicas(self.name, isr=self.isr, min_isr=self.min_isr)
        with self._storage_watched():
            appended = self.log.append_as_leader(records, leader_epoch=self.leader_epoch)
        if not appended.duplicate:
            self._context.flusher.schedule(self)
            self._wake(self.fetchers_waiting)
        return appended

    async def wait_committed(self, end_offset: int, *, leader_epoch: int) -> None:
        """Return once all below `end_offset`, appended under `leader_epoch`, is committed.

        Raises: NotLeader when that epoch ends first; the records' fate is then unknown.
        """
        self._require_epoch(leader_epoch)
        await self.high_watermark.wait_reached(end_offset)

    async def wait_durable(self, end_offset: int, *, leader_epoch: int) -> None:
        """Return once all below `end_offset`, appended under `leader_epoch`, is durable here.

        Raises: NotLeader when that epoch ends first.
        """
        self._require_epoch(leader_epoch)
        await self.durable.wait_reached(end_offset)

    def _require_epoch(self, leader_epoch: int) -> None:
        # Under another epoch the same offset may hold another record.
        if self._leading is None or self.leader_epoch != leader_epoch:
            raise NotLeader(leader_id=self.leader_id, leader_epoch=self.leader_epoch)

    def flushed(self) -> None:
        """Take note that the log's durable end has moved (called by the flusher)."""
        self.durable.advance(self.log.durable_end_offset)
        self.advance_high_watermark()

    def storage_failed(self, error: StorageError) -> None:
        """Go offline: the disk refused, and what it holds of us is unknown."""
        log_events.error("partition_offline", partition=self.name, error=str(error))
        self.close(error)
        self._context.storage_failed(error)

    @contextmanager
    def _storage_watched(self) -> Iterator[None]:
        try:
            yield
        except StorageError as error:
            # Where a full disk took nothing, nothing is damaged: reading goes on.
            if self.log.failed is not None:
                self.storage_failed(error)
            raise

    # The leader: replication.

    def advance_high_watermark(self) -> None:
        """Raise the high watermark as far as ISR and min.insync.replicas allow (KIP-966)."""
        if self._leading is None or len(self.isr) < self.min_isr:
            return
        members = frozenset(self.isr).union(self.pending_isr or ())
        committed = self._leading.high_watermark(
            durable_end_offset=self.log.durable_end_offset, members=members
        )
        if self.high_watermark.advance(committed):
            self._wake(self.consumers_waiting)

    def follower_fetched(self, follower_id: int, offset: int, *, broker_epoch: int) -> None:
        """Count a follower's fetch: all below `offset` is durable there under our epoch.

        An offset beyond our log is of another history and acknowledges nothing.
        Raises: NotLeader (it is no replica of ours), StaleBrokerEpoch (an earlier incarnation).
        """
        leading = self.require_leader()
        if self.state is None or follower_id not in self.state.replicas:
            raise NotLeader(leader_id=self.leader_id, leader_epoch=self.leader_epoch)
        progress = leading.followers.get(follower_id)
        if progress is None or progress.broker_epoch < broker_epoch:
            progress = leading.followers[follower_id] = FollowerProgress(broker_epoch=broker_epoch)
        elif progress.broker_epoch > broker_epoch:
            raise StaleBrokerEpoch(
                f"broker {follower_id} fetched with broker epoch {broker_epoch}, "
                f"{progress.broker_epoch} is known"
            )
        if offset > self.log.log_end_offset:
            return
        progress.fetched(offset, log_end_offset=self.log.log_end_offset, now=trio.current_time())
        self.advance_high_watermark()

    def propose_isr(
        self, *, lag_time_max_s: float, eligible: Callable[[int, int], bool]
    ) -> Mapping[int, int] | None:
        """Begin to change the ISR where that is due: it is pending until newer news has come.

        `eligible` says of a follower and its broker epoch whether the controller would take it.
        Returns: the broker epochs of the members wanted, in assignment order; None for no change
        or no say. They are those that made the followers eligible: a later incarnation may lack
        what an earlier one held.
        """
        if self._leading is None or self.state is None or self.pending_isr is not None:
            return None
        isr = set(self.isr)
        isr -= self._leading.lagging(
            self.isr,
            log_end_offset=self.log.log_end_offset,
            lag_time_max_s=lag_time_max_s,
            now=trio.current_time(),
        )
        for follower in self.state.replicas:
            if follower not in self.isr and self.may_join_isr(follower, eligible=eligible):
                isr.add(follower)
        if isr == set(self.isr):
            return None
        self.pending_isr = {r: self._member_epoch(r) for r in self.state.replicas if r in isr}
        return self.pending_isr

    def _member_epoch(self, member: int) -> int:
        if self.state is not None and member == self.state.leader_id:
            return self.state.leader_broker_epoch
        return self.follower_epoch(member)

    def isr_refused(self) -> None:
        """Drop a proposal that the controller is sure not to have taken."""
        self.pending_isr = None
        self.advance_high_watermark()

    def may_join_isr(self, follower_id: int, *, eligible: Callable[[int, int], bool]) -> bool:
        """Say whether a follower has come far enough to be counted on."""
        return (
            self._leading is not None
            and self._leading.is_caught_up(follower_id, high_watermark=self.high_watermark.value)
            and eligible(follower_id, self.follower_epoch(follower_id))
        )

    def follower_epoch(self, follower_id: int) -> int:
        """Give the broker epoch that a follower last fetched with; -1 where it did not."""
        if self._leading is None or follower_id not in self._leading.followers:
            return -1
        return self._leading.followers[follower_id].broker_epoch

    # Reading.

    def read_committed(self, offset: int, *, bytes_max: int, at_least_one: bool) -> LogSlice:
        """Read whole batches for a consumer, below the high watermark. Raises: OffsetOutOfRange."""
        end_offset = max(self.high_watermark.value, self.log.log_start_offset)
        return self._read(offset, end_offset, bytes_max=bytes_max, at_least_one=at_least_one)

    def read_uncommitted(self, offset: int, *, bytes_max: int, at_least_one: bool) -> LogSlice:
        """Read whole batches for a follower, to the log's end. Raises: OffsetOutOfRange."""
        end_offset = self.log.log_end_offset
        return self._read(offset, end_offset, bytes_max=bytes_max, at_least_one=at_least_one)

    def _read(
        self, offset: int, end_offset: int, *, bytes_max: int, at_least_one: bool
    ) -> LogSlice:
        with self._storage_watched():
            return self.log.read(
                offset, bytes_max=bytes_max, end_offset=end_offset, at_least_one=at_least_one
            )

    def diverges(self, fetch_offset: int, last_fetched_epoch: int) -> tuple[int, int] | None:
        """Tell where a reader's log parts from ours, as (epoch, end offset); None while it agrees.

        Source: KIP-595.
        """
        if last_fetched_epoch < 0:
            return None
        epoch, end_offset = self.log.end_offset_for_epoch(last_fetched_epoch)
        if epoch == last_fetched_epoch and end_offset >= fetch_offset:
            return None
        return epoch, end_offset

    def latest_offset(self, *, for_replica: bool) -> int:
        """Give the offset after the last record that the asker may see.

        Raises: OffsetNotAvailable while a new leader does not know how far was committed (KIP-207).
        """
        leading = self.require_leader()
        if for_replica:
            return self.log.log_end_offset
        if self.high_watermark.value < leading.epoch_start_offset:
            raise OffsetNotAvailable(
                f"{self.name} has a new leader that does not know yet how far was committed"
            )
        return self.high_watermark.value

    # The follower.

    def append_from_leader(self, records: memoryview, *, leader_epoch: int) -> bool:
        """Append what the leader of `leader_epoch` sent. False: that epoch is over, nothing done.

        Raises: CorruptBatch, StorageError.
        """
        if not self.follows(leader_epoch):
            return False
        with self._storage_watched():
            self.log.append_as_follower(records)
        self._context.flusher.schedule(self)
        return True

    def follows(self, leader_epoch: int) -> bool:
        """Say whether this replica still follows the leader of `leader_epoch`."""
        return self._leading is None and self.offline is None and self.leader_epoch == leader_epoch

    def follow_leader(self, *, high_watermark: int, log_start_offset: int) -> None:
        """Take over the leader's watermarks, as far as our log reaches. Raises: StorageError."""
        self.high_watermark.advance(min(high_watermark, self.log.log_end_offset))
        if self.log.log_start_offset < log_start_offset <= self.log.log_end_offset:
            with self._storage_watched():
                self.log.advance_log_start(log_start_offset)

    def truncate(self, end_offset: int) -> None:
        """Cut the log to `end_offset`, on the word of the current leader. Raises: StorageError.

        At or beyond the log's end it still forgets the epochs that wrote nothing here: with them
        the next fetch would be told to reconcile again, for ever (KAFKA-10706).
        """
        log_end_offset = self.log.log_end_offset
        if end_offset < log_end_offset:
            self._report_truncation(end_offset)
        with self._storage_watched():
            self.log.truncate_to(end_offset)
        if end_offset < log_end_offset:
            self._log_was_cut()

    def _report_truncation(self, end_offset: int) -> None:
        facts = {
            "partition": self.name,
            "end_offset": end_offset,
            "log_end_offset": self.log.log_end_offset,
            "leader_epoch": self.leader_epoch,
        }
        if end_offset < self.high_watermark.value:
            lost = self.high_watermark.value - end_offset
            log_events.warning("truncated_below_high_watermark", committed_records=lost, **facts)
        else:
            log_events.info("truncated", **facts)

    def restart_log(self, offset: int) -> None:
        """Drop the log and begin anew at `offset`: the leader holds nothing older."""
        log_events.warning(
            "log_restarted",
            partition=self.name,
            offset=offset,
            log_end_offset=self.log.log_end_offset,
        )
        with self._storage_watched():
            self.log.reset_to(offset)
        self._log_was_cut()

    def _log_was_cut(self) -> None:
        end_offset = self.log.log_end_offset
        self.high_watermark.reset(min(self.high_watermark.value, end_offset))
        self.durable.reset(self.log.durable_end_offset)

    def _wake(self, waiting: Iterable[Callable[[Partition], None]]) -> None:
        for wake in tuple(waiting):
            wake(self)
