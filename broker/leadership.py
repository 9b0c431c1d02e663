"""What a replica knows and decides as leader, under one leader epoch: begun by it, gone with it.

It sees the log and the high watermark and moves neither; its partition does, by what is decided
here. Must never know: roles, who waits, how records are written or read.
Source: KIP-107, KIP-207, KIP-497, KIP-841, KIP-966.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

import trio

from broker.errors import NotLeader, StaleBrokerEpoch
from broker.replication.progress import FollowerProgress, Progress
from coordinator.cluster import NO_LEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from broker.log.log import Log
    from broker.watermark import Watermark
    from coordinator.cluster import PartitionState

SUCCESSION_S: Final = 1.0
"""How long nothing is appended so that a successor can catch up; then the leader goes on, and hands
over at whatever moment the successor has everything."""
SUCCESSION_AGAIN_S: Final = 10.0
"""How long the leader goes on, at least, until it waits for the successor once more: under a steady
load there may be no moment at which that has everything."""
RESIGNATION_S: Final = 5.0
"""How long nothing is appended while the controller has not answered a resignation."""


class Leadership:
    """Counts what followers acknowledge: from that follow the high watermark and the ISR."""

    def __init__(self, state: PartitionState, *, log: Log, high_watermark: Watermark) -> None:
        self.pending_isr: Mapping[int, int] | None = None
        """The ISR proposed, by the broker epochs of its members; perhaps the controller's state."""
        self.appends_from = 0.0
        """From when on something is appended again, on trio's clock; inf: not by this leader."""
        self.damage_told = False
        """Whether it was told that the log is damaged, and led on over."""
        self._waits_again_from = inf
        self._state = state
        self._log = log
        self._high_watermark = high_watermark
        self._progress = Progress(
            broker_id=state.leader_id,
            epoch_start_offset=log.log_end_offset,
            led_since=trio.current_time(),
            deleted_before=log.log_start_offset,
        )
        self._note_successor()

    def obey(self, state: PartitionState) -> bool:
        """Take over a state of the same leader epoch that is not older: it settles a proposal.

        Returns: whether the ISR changed.
        """
        known, self._state = self._state, state
        if state.partition_epoch == known.partition_epoch:
            return False
        self.pending_isr = None
        if state.successor_id != known.successor_id:
            self._note_successor()
        return state.isr != known.isr

    # Handing over.

    @property
    def is_handing_over(self) -> bool:
        """Whether another leader is about to be elected, at the end that the log has now."""
        return trio.current_time() < self.appends_from

    def hand_over(self) -> None:
        """Append nothing more: this broker is about to stop."""
        self.appends_from = inf

    def _note_successor(self) -> None:
        if self._state.successor_id != NO_LEADER:
            self._wait_for_successor()
        elif self.appends_from != inf:
            self.appends_from = 0.0

    def _wait_for_successor(self) -> None:
        if self.appends_from != inf:
            self.appends_from = trio.current_time() + SUCCESSION_S
            self._waits_again_from = self.appends_from + SUCCESSION_AGAIN_S

    def resigns_to(self, follower_id: int) -> bool:
        """Resign if this follower is the successor and has all that is here. Returns: whether."""
        return follower_id == self._state.successor_id and self._resign()

    def _resign(self) -> bool:
        """Propose an ISR without ourselves, which is how a leader says that it has handed over."""
        successor = self._progress.followers.get(self._state.successor_id)
        if (
            self.pending_isr is not None
            or successor is None
            or successor.durable_end_offset < self._log.log_end_offset
        ):
            return False
        us = self._state.leader_id
        self.pending_isr = {r: self._broker_epoch(r) for r in self._state.isr if r != us}
        self.appends_from = max(self.appends_from, trio.current_time() + RESIGNATION_S)
        return True

    # The high watermark.

    @property
    def committed_end_offset(self) -> int:
        """The offset below which every member of the ISR, and of a pending one, holds all durably.

        -1 while one of them is unheard. Whether the ISR is large enough is not asked here.
        """
        return self._progress.high_watermark(
            durable_end_offset=self._log.durable_end_offset,
            members=frozenset(self._state.isr).union(self.pending_isr or ()),
        )

    @property
    def replicated_end_offset(self) -> int:
        """The offset below which every replica, in sync or not, holds all durably.

        -1 while one of them is unheard.
        """
        ours, everybody = self._log.durable_end_offset, frozenset(self._state.replicas)
        return self._progress.high_watermark(durable_end_offset=ours, members=everybody)

    @property
    def knows_committed(self) -> bool:
        """Whether nothing that an earlier leader committed can lie above the high watermark."""
        return self._high_watermark.value >= self._progress.epoch_start_offset

    def low_watermark(self, *, log_start_offset: int, live: Container[int]) -> int:
        """Give the offset below which nobody holds a record who is live, or may come to lead; -1
        while one is unheard.

        `log_start_offset` is ours, as far as it survives a crash.
        """
        state = self._state
        leads = {*state.isr, *state.elr, *(self.pending_isr or ())}
        return self._progress.low_watermark(
            log_start_offset=log_start_offset,
            members=[one for one in state.replicas if one in live or one in leads],
        )

    def note_deleted(self, offset: int) -> None:
        """Note that somebody is told that all below `offset` is deleted, by those who may lead."""
        self._progress.deleted_before = max(self._progress.deleted_before, offset)

    def follower_fetched(
        self, follower_id: int, offset: int, *, broker_epoch: int, log_start_offset: int
    ) -> bool:
        """Count a follower's fetch: all below `offset` is durable there under our epoch.

        Returns: whether it acknowledges anything; an offset beyond our log is of another history.
        Raises: NotLeader (it is no replica of ours), StaleBrokerEpoch (an earlier incarnation).
        """
        if follower_id not in self._state.replicas:
            raise NotLeader(leader_id=self._state.leader_id, leader_epoch=self._state.leader_epoch)
        followers = self._progress.followers
        follower = followers.get(follower_id)
        if follower is None or follower.broker_epoch < broker_epoch:
            follower = followers[follower_id] = FollowerProgress(broker_epoch=broker_epoch)
        elif follower.broker_epoch > broker_epoch:
            raise StaleBrokerEpoch(
                f"broker {follower_id} fetched with broker epoch {broker_epoch}, "
                f"{follower.broker_epoch} is known"
            )
        log_end_offset = self._log.log_end_offset
        if offset > log_end_offset:
            return False
        follower.fetched(offset, log_end_offset=log_end_offset, now=trio.current_time())
        follower.log_start_offset = log_start_offset
        return True

    def follower_was_caught_up(
        self, follower_id: int, offset: int, *, broker_epoch: int, at: float
    ) -> None:
        """Note that a follower which acknowledged `offset` had all of our log `at` that time.

        Of an incarnation or an acknowledgement that is no longer the last one it says nothing.
        """
        follower = self._progress.followers.get(follower_id)
        if follower is not None and (
            (follower.broker_epoch, follower.durable_end_offset) == (broker_epoch, offset)
        ):
            follower.was_caught_up(at)

    # The ISR.

    def propose_isr(self, *, lag_time_max_s: float, eligible: Callable[[int, int], bool]) -> None:
        """Begin to change the ISR where that is due: it is pending until newer news has come.

        `eligible` says of a follower and its broker epoch whether the controller would take it.
        The broker epochs proposed are those that made the followers eligible: a later incarnation
        may lack what an earlier one held.
        """
        if self.pending_isr is not None or self._resign():
            return
        if self._state.successor_id in self._state.isr and (
            trio.current_time() >= self._waits_again_from
        ):
            self._wait_for_successor()
        replicas, isr = self._state.replicas, self._state.isr
        wanted = set(isr) - self._lagging(isr, lag_time_max_s)
        for follower in replicas:
            if follower not in isr and self.may_join_isr(
                follower, lag_time_max_s=lag_time_max_s, eligible=eligible
            ):
                wanted.add(follower)
        if wanted != set(isr):
            self.pending_isr = {r: self._broker_epoch(r) for r in replicas if r in wanted}

    def may_join_isr(
        self, follower_id: int, *, lag_time_max_s: float, eligible: Callable[[int, int], bool]
    ) -> bool:
        """Say whether a follower has come far enough to be counted on, and would not leave soon.

        To have reached the high watermark is not enough while that stands still: a follower with a
        slow disk would join and leave as fast as the controller answers. It may not lag for half
        of the time either that it may lag in the ISR, and so stays for the other half.
        """
        return (
            self._progress.is_caught_up(follower_id, high_watermark=self._high_watermark.value)
            and not self._lagging((follower_id,), lag_time_max_s / 2)
            and eligible(follower_id, self._broker_epoch(follower_id))
        )

    def _lagging(self, members: tuple[int, ...], lag_time_max_s: float) -> frozenset[int]:
        return self._progress.lagging(
            members,
            log_end_offset=self._log.log_end_offset,
            lag_time_max_s=lag_time_max_s,
            now=trio.current_time(),
        )

    def _broker_epoch(self, member: int) -> int:
        """Give the incarnation that counts: ours that was elected, a follower's that last fetched.

        -1 where a follower has not.
        """
        if member == self._state.leader_id:
            return self._state.leader_broker_epoch
        follower = self._progress.followers.get(member)
        return follower.broker_epoch if follower is not None else -1
