"""Elections: what becomes of one partition when brokers come, go or ask to leave.

Every function takes a partition and gives the partition as it should be, the same object where
nothing changes. The laws: the leader is in the ISR; the ISR is never empty; whoever is in ISR or
ELR has every record below the high watermark; nobody else is elected unless asked for.
Must never know: topics, the store, time.
Source: KIP-106 (unclean elections), KIP-966 (eligible leader replicas).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, field
from msgspec.structs import replace

from coordinator.cluster import NO_LEADER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from coordinator.cluster import ClusterState, PartitionState
    from coordinator.topic_config import ElectionRules

NO_BROKER_EPOCH: Final = -1
NOBODY: Final = frozenset[int]()


class RollCall(Struct, frozen=True):
    """Which brokers are there, and how far each can be relied upon.

    `steady` brokers are the same incarnation that the controller last acted on, `fresh` ones came
    or came back since. `leaving` ones shut down: they follow, but are not elected. Of the fresh
    ones, `unclean` were not stopped cleanly, and `empty` have lost their data directory. `lossy`
    says which of them have lost records of which replica, `offline` who cannot open which.
    `cut` are the lossy ones of the one partition that the roll is called for.
    """

    epochs: Mapping[int, int]
    steady: frozenset[int]
    fresh: frozenset[int] = frozenset()
    leaving: frozenset[int] = frozenset()
    unclean: frozenset[int] = frozenset()
    empty: frozenset[int] = frozenset()
    lossy: Mapping[tuple[bytes, int], frozenset[int]] = field(default_factory=dict)
    offline: Mapping[tuple[bytes, int], frozenset[int]] = field(default_factory=dict)
    cut: frozenset[int] = frozenset()

    @classmethod
    def of(cls, state: ClusterState) -> RollCall:
        """Call the roll of a cluster."""
        live = state.brokers.values()
        steady = frozenset(
            b.broker_id for b in live if state.acknowledged.get(b.broker_id) == b.epoch_version
        )
        fresh = [b for b in live if b.broker_id not in steady]
        return cls(
            epochs={b.broker_id: b.broker_epoch for b in live},
            steady=steady,
            fresh=frozenset(b.broker_id for b in fresh),
            leaving=frozenset(b.broker_id for b in live if b.shutting_down),
            unclean=frozenset(b.broker_id for b in fresh if not b.clean),
            empty=frozenset(b.broker_id for b in fresh if b.directory_changed),
            lossy=_who((b.broker_id, b.lossy) for b in fresh),
            offline=_who((b.broker_id, b.offline) for b in live),
        )

    def of_partition(self, topic_id: bytes, index: int) -> RollCall:
        """Call the roll for one partition: whoever has its replica offline is not there."""
        away = self.offline.get((topic_id, index), NOBODY)
        cut = self.lossy.get((topic_id, index), NOBODY)
        if not (away or cut):
            return self
        return RollCall(
            epochs={b: epoch for b, epoch in self.epochs.items() if b not in away},
            steady=self.steady - away,
            fresh=self.fresh - away,
            leaving=self.leaving - away,
            unclean=self.unclean - away,
            empty=self.empty - away,
            cut=cut - away,
        )

    def damaged(self, rules: ElectionRules) -> frozenset[int]:
        """Name those that may have lost acknowledged records of a topic with these rules."""
        damaged = self.empty | self.cut
        return damaged | self.unclean if rules.flush_os else damaged


def _who(
    said: Iterable[tuple[int, Iterable[tuple[bytes, int]]]],
) -> Mapping[tuple[bytes, int], frozenset[int]]:
    """Turn what each broker says of which replicas into who says so of each."""
    found: dict[tuple[bytes, int], set[int]] = {}
    for broker_id, replicas in said:
        for replica in replicas:
            found.setdefault(replica, set()).add(broker_id)
    return {replica: frozenset(brokers) for replica, brokers in found.items()}


def settle(partition: PartitionState, roll: RollCall, rules: ElectionRules) -> PartitionState:
    """Bring a partition in line with the brokers that are there."""
    leads_on = (
        partition.leader_id in roll.epochs
        and roll.epochs[partition.leader_id] == partition.leader_broker_epoch
    )
    staying = roll.steady | {partition.leader_id} if leads_on else roll.steady
    if leads_on and staying.issuperset(partition.isr) and roll.fresh.isdisjoint(partition.elr):
        return partition
    sound = _without_damaged(partition, roll, rules, leads_on=leads_on)
    if leads_on:
        after = with_isr(sound, tuple(r for r in sound.isr if r in staying), rules)
    else:
        after = _elect(sound, roll, rules)
        if after.leader_id != NO_LEADER:  # now somebody else is left
            after = _without_damaged(after, roll, rules, leads_on=True)
    return next_epoch(partition, after)


def with_isr(
    partition: PartitionState, isr: tuple[int, ...], rules: ElectionRules
) -> PartitionState:
    """Give the partition another ISR, and the ELR that follows from it.

    While the ISR is below min.insync.replicas the high watermark stands still, so whoever leaves
    it then, or with this change, stays eligible. Once it is large enough nobody else is.
    """
    assert isr, "the ISR is never empty"
    eligible = {*partition.isr, *partition.elr}.difference(isr)
    if len(isr) >= rules.min_insync_replicas:
        eligible.clear()
    ordered_elr = tuple(r for r in partition.replicas if r in eligible)
    if set(isr) == set(partition.isr) and ordered_elr == partition.elr:
        return partition
    return replace(partition, isr=tuple(r for r in partition.replicas if r in isr), elr=ordered_elr)


def change_isr(
    partition: PartitionState, isr: tuple[int, ...], rules: ElectionRules
) -> PartitionState:
    """Accept the ISR that the leader proposes (KIP-497)."""
    assert partition.leader_id in isr, "the leader is in the ISR"
    return next_epoch(partition, with_isr(partition, isr, rules))


def reconsider(partition: PartitionState, roll: RollCall, rules: ElectionRules) -> PartitionState:
    """Apply changed rules: a lower minimum may empty the ELR, unclean elections may be allowed."""
    after = with_isr(partition, partition.isr, rules)
    if after.leader_id == NO_LEADER:
        after = _elect(after, roll, rules)
    return next_epoch(partition, after)


def elect_unclean(
    partition: PartitionState, roll: RollCall, rules: ElectionRules
) -> PartitionState:
    """Give a partition without a leader one, and one that may lack records where it must be so."""
    return reconsider(partition, roll, replace(rules, unclean=True))


def hand_over(
    partition: PartitionState, broker_id: int, roll: RollCall, rules: ElectionRules
) -> PartitionState:
    """Take a leaving broker out of leadership and ISR, if another in-sync replica can go on."""
    others = tuple(r for r in partition.isr if r != broker_id)
    if broker_id not in partition.isr or not others or partition.leader_id == NO_LEADER:
        return partition
    if partition.leader_id == broker_id:
        successor = first(partition, roll.steady.intersection(others), roll)
        if successor == NO_LEADER:
            return partition
        led = led_by(partition, successor, roll)
        return next_epoch(partition, with_isr(led, others, rules))
    return next_epoch(partition, with_isr(partition, others, rules))


def is_unclean(before: PartitionState, after: PartitionState) -> bool:
    """Say whether a replica was elected that may lack acknowledged records."""
    elected = after.leader_id not in {NO_LEADER, before.leader_id}
    return elected and after.leader_id not in {*before.isr, *before.elr}


def _without_damaged(
    partition: PartitionState, roll: RollCall, rules: ElectionRules, *, leads_on: bool
) -> PartitionState:
    """Take those who may have lost records out of ISR and ELR, as long as anybody else is left.

    Where nobody is, those that were merely stopped uncleanly stay and will be elected: nobody knows
    more than they do. Where only empty directories are left, the partition is lost.
    """
    damaged = roll.damaged(rules)
    if leads_on:
        damaged -= {partition.leader_id}
    if damaged.isdisjoint((*partition.isr, *partition.elr)):
        return partition
    for out in (damaged, roll.empty):
        isr = tuple(r for r in partition.isr if r not in out)
        elr = tuple(r for r in partition.elr if r not in out)
        if isr:
            return replace(partition, isr=isr, elr=elr)
        if elr:
            return replace(partition, isr=elr, elr=())
    return replace(partition, elr=(), lost=True)


def _elect(partition: PartitionState, roll: RollCall, rules: ElectionRules) -> PartitionState:
    """Choose a leader from ISR, then ELR, in assignment order; without one, wait for them."""
    leader_id = NO_LEADER if partition.lost else _find_clean(partition, roll)
    if leader_id != NO_LEADER:
        led = led_by(partition, leader_id, roll)
        staying = roll.steady | {leader_id}
        isr = tuple(r for r in partition.isr if r in staying) if leader_id in led.isr else ()
        return with_isr(led, isr or (leader_id,), rules)
    leader_id = _find_unclean(partition, roll, rules) if rules.unclean else NO_LEADER
    if leader_id != NO_LEADER:
        led = led_by(partition, leader_id, roll)
        return replace(led, isr=(leader_id,), elr=(), lost=False)
    return partition if partition.leader_id == NO_LEADER else led_by(partition, NO_LEADER, roll)


def _find_clean(partition: PartitionState, roll: RollCall) -> int:
    """Find the best of those who have every acknowledged record; running ones come first."""
    for group in (partition.isr, partition.elr):
        for brokers in (roll.steady, roll.fresh):
            found = first(partition, brokers.intersection(group), roll)
            if found != NO_LEADER:
                return found
    return NO_LEADER


def _find_unclean(partition: PartitionState, roll: RollCall, rules: ElectionRules) -> int:
    """Find any live replica; one that is only being added, or known to be damaged, comes last."""
    live = roll.steady | roll.fresh
    damaged = roll.damaged(rules) | frozenset(partition.isr if partition.lost else ())
    for candidates in (live - damaged - frozenset(partition.adding), live - damaged, live):
        found = first(partition, candidates, roll)
        if found != NO_LEADER:
            return found
    return NO_LEADER


def first(partition: PartitionState, candidates: frozenset[int], roll: RollCall) -> int:
    """Find the first candidate in assignment order that may lead; `NO_LEADER` without one."""
    may_lead = candidates - roll.leaving
    return next((r for r in partition.replicas if r in may_lead), NO_LEADER)


def led_by(partition: PartitionState, leader_id: int, roll: RollCall) -> PartitionState:
    """Hold an election: whoever wins, even nobody, ends the term of the one before."""
    return replace(
        partition,
        leader_id=leader_id,
        leader_epoch=partition.leader_epoch + 1,
        leader_broker_epoch=roll.epochs.get(leader_id, NO_BROKER_EPOCH),
        successor_id=NO_LEADER,
    )


def next_epoch(before: PartitionState, after: PartitionState) -> PartitionState:
    """Give `after` as what follows `before`; a successor that is out of sync is none any more."""
    if after.successor_id not in after.isr:
        after = replace(after, successor_id=NO_LEADER)
    if after == before:
        return before
    return replace(after, partition_epoch=before.partition_epoch + 1)
