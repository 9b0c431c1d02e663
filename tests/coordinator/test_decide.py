"""Decisions: laws that hold after any events, and every refusal of an ISR proposal."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from coordinator.cluster import NO_LEADER, BrokerRegistration, ClusterState
from coordinator.decide import decide, partitions_led
from coordinator.events import (
    AlterBrokerConfigs,
    AlterConfigs,
    AlterPartitions,
    AlterReassignments,
    BrokersChanged,
    ConfigEdit,
    ConfigOperation,
    CreatePartitions,
    CreateTopics,
    DefaultsChanged,
    DeleteTopics,
    ElectLeaders,
    IsrChange,
    NewTopic,
    Reassignment,
    Rebalance,
    ShutDownBroker,
    TopicGrowth,
)
from coordinator.reassign import is_under_way, target_of
from coordinator.topic_config import ElectionRules, check_config, min_insync_replicas
from protocol.errors import ErrorCode
from tests.support.effort import examples

TOPIC_ID = bytes(range(16))
BROKERS = (1, 2, 3, 4, 5)


def registered(
    state: ClusterState,
    broker_id: int,
    *,
    epoch: int,
    clean: bool = True,
    empty: bool = False,
    offline: bool = False,
    rack: str | None = None,
) -> ClusterState:
    registration = BrokerRegistration(
        broker_id=broker_id,
        broker_epoch=epoch,
        endpoints=(),
        rack=rack,
        directory_id="",
        clean=clean,
        epoch_version=epoch,
        directory_changed=empty,
        offline=frozenset({(TOPIC_ID, 0)} if offline else ()),
    )
    return replace(state, brokers={**state.brokers, broker_id: registration})


def gone(state: ClusterState, broker_id: int) -> ClusterState:
    return replace(state, brokers={i: b for i, b in state.brokers.items() if i != broker_id})


def cluster(*broker_ids: int) -> ClusterState:
    state = ClusterState()
    for broker_id in broker_ids:
        state = registered(state, broker_id, epoch=100 + broker_id)
    return after(state, BrokersChanged())


def after(state: ClusterState, event) -> ClusterState:
    return decide(state, event).apply_to(state)


def with_topic(state: ClusterState, *replicas: int, **config: str) -> ClusterState:
    new = NewTopic("t", assignment={0: replicas}, config=config, topic_id=TOPIC_ID)
    changes = decide(state, CreateTopics((new,)))
    assert not changes.refused
    return changes.apply_to(state)


class Elections(RuleBasedStateMachine):
    """Any life of a small cluster, with a model of who holds every acknowledged record.

    Records are acknowledged whenever the ISR is large enough: then exactly its members are sure to
    have all of them. An unclean stop loses some where the operating system flushes, an empty
    directory loses all, and so does a replica that was reassigned to others.
    """

    @initialize(
        replicas=st.permutations(BROKERS).map(lambda each: tuple(each[:3])),
        min_isr=st.sampled_from([None, "1", "2", "3"]),
        flush=st.sampled_from(["commit", "os"]),
    )
    def begin(self, replicas, min_isr, flush):
        config = {"ottla.flush": flush}
        if min_isr is not None:
            config["min.insync.replicas"] = min_isr
        self.epoch = 200
        self.flush_os = flush == "os"
        self.may_lose = False
        self.state = with_topic(cluster(*BROKERS), *replicas, **config)
        self.holders = set(replicas)
        self.acknowledge()

    @property
    def partition(self):
        return self.state.topics["t"].partitions[0]

    def happen(self, event):
        before = self.partition
        changes = decide(self.state, event)
        assert repr(changes) == repr(decide(self.state, event)), "decisions are pure"
        self.state = changes.apply_to(self.state)
        self.check_step(before, self.partition)
        self.acknowledge()
        return changes

    def check_step(self, before, now):
        assert now.leader_epoch >= before.leader_epoch
        assert (now == before) == (now.partition_epoch == before.partition_epoch)
        assert now.partition_epoch >= before.partition_epoch
        led_before = (before.leader_id, before.leader_broker_epoch)
        if (now.leader_id, now.leader_broker_epoch) != led_before:
            assert now.leader_epoch == before.leader_epoch + 1
            assert now.leader_id == NO_LEADER or now.leader_id in self.state.brokers
            elected = self.state.brokers.get(now.leader_id)
            assert elected is None or not elected.offline, "it could not serve"
        if not {*before.replicas} <= {*now.replicas}:
            assert now.leader_epoch > before.leader_epoch, "what the leader knew of it is void"
            assert now.leader_id in {*now.isr}
            assert not {*now.adding, *now.removing}
            if {*now.replicas} != {*before.replicas} - {*before.adding}:  # not called off
                assert {*now.isr} == {*now.replicas}, "all that were wanted are in sync"
            self.holders &= {*now.replicas}
        if not self.may_lose and now.leader_id not in {NO_LEADER, before.leader_id}:
            assert now.leader_id in {*before.isr, *before.elr}, "no unclean election unasked"

    def acknowledge(self):
        """Records arrive; the high watermark moves if the ISR is large enough."""
        partition = self.partition
        leads = partition.leader_broker_epoch == self.epoch_of(partition.leader_id) != -1
        if leads and len(partition.isr) >= self.minimum:
            assert partition.leader_id in self.holders or self.may_lose or self.flush_os
            self.holders = set(partition.isr)

    @property
    def minimum(self):
        factor = self.partition.replication_factor
        return min_insync_replicas(self.state.topics["t"].settings, replication_factor=factor)

    @rule(broker_id=st.sampled_from(BROKERS))
    def die(self, broker_id):
        self.state = gone(self.state, broker_id)
        self.happen(BrokersChanged())

    @rule(broker_ids=st.sets(st.sampled_from(BROKERS)))
    def die_together(self, broker_ids):
        for broker_id in broker_ids:
            self.state = gone(self.state, broker_id)
        self.happen(BrokersChanged())

    @rule(broker_id=st.sampled_from(BROKERS), clean=st.booleans(), seen=st.booleans())
    def come_back(self, broker_id, clean, seen):
        self.register(broker_id, clean=clean, empty=False)
        if not clean and self.flush_os:
            self.holders.discard(broker_id)
        if seen:
            self.happen(BrokersChanged())

    @rule(broker_id=st.sampled_from(BROKERS))
    def come_back_empty(self, broker_id):
        self.register(broker_id, clean=False, empty=True)
        self.holders.discard(broker_id)
        self.happen(BrokersChanged())

    @rule(broker_id=st.sampled_from(BROKERS))
    def come_back_with_a_damaged_log(self, broker_id):
        """It cannot open the log; the records may be in it all the same."""
        self.register(broker_id, clean=True, empty=False, offline=True)
        self.happen(BrokersChanged())

    def register(self, broker_id, *, clean, empty, offline=False):
        """Register as membership does: what was not acted on is carried on."""
        self.epoch += 1
        before = self.state.brokers.get(broker_id)
        if before is not None and self.state.acknowledged.get(broker_id) != before.epoch_version:
            clean, empty = clean and before.clean, empty or before.directory_changed
        self.state = registered(
            self.state, broker_id, epoch=self.epoch, clean=clean, empty=empty, offline=offline
        )

    @precondition(lambda self: self.partition.leader_id in self.state.brokers)
    @rule(members=st.sets(st.sampled_from(BROKERS)))
    def propose(self, members):
        """The leader knows who has caught up: whoever it takes in has every record."""
        self.happen(BrokersChanged())
        self.ask_for({*members, self.partition.leader_id})

    @precondition(lambda self: self.partition.successor_id in self.state.brokers)
    @rule()
    def resign(self):
        """The leader has seen that its successor has every record."""
        self.happen(BrokersChanged())
        partition = self.partition
        if partition.successor_id != NO_LEADER:
            self.ask_for({*partition.isr} - {partition.leader_id})

    def ask_for(self, members):
        partition = self.partition
        leader = self.state.brokers.get(partition.leader_id)
        if leader is None:
            return
        isr = {r: self.epoch_of(r) for r in partition.replicas if r in members}
        change = IsrChange(TOPIC_ID, 0, partition.leader_epoch, partition.partition_epoch, isr)
        joined = set(isr) - set(partition.isr)
        if partition.leader_id in self.holders:
            self.holders |= joined
        changes = self.happen(AlterPartitions(leader.broker_id, leader.broker_epoch, (change,)))
        if changes.refused and partition.leader_id in self.holders:
            self.holders -= joined - set(self.partition.isr) - set(self.partition.elr)

    def epoch_of(self, broker_id):
        registration = self.state.brokers.get(broker_id)
        return -1 if registration is None else registration.broker_epoch

    @rule(broker_id=st.sampled_from(BROKERS))
    def shut_down(self, broker_id):
        self.happen(ShutDownBroker(broker_id, self.epoch_of(broker_id)))

    @rule()
    def rebalance(self):
        self.happen(Rebalance(limit=10))

    @rule(replicas=st.permutations(BROKERS), count=st.integers(1, 4))
    def reassign(self, replicas, count):
        self.happen(AlterReassignments((Reassignment("t", 0, tuple(replicas[:count])),)))

    @rule()
    def cancel(self):
        self.happen(AlterReassignments((Reassignment("t", 0, None),)))

    @rule(minimum=st.sampled_from(["1", "2", "3"]))
    def configure(self, minimum):
        edit = ConfigEdit("t", (("min.insync.replicas", ConfigOperation.SET, minimum),))
        self.happen(AlterConfigs((edit,)))

    @rule()
    def leave_minimum_to_the_cluster(self):
        edit = ConfigEdit("t", (("min.insync.replicas", ConfigOperation.DELETE, ""),))
        self.happen(AlterConfigs((edit,)))

    @rule(minimum=st.sampled_from(["", "1", "2", "3"]))
    def give_default(self, minimum):
        """The default is written; what topics make of it comes later, with anything between."""
        operation = ConfigOperation.SET if minimum else ConfigOperation.DELETE
        edit = ConfigEdit("", (("min.insync.replicas", operation, minimum),))
        self.happen(AlterBrokerConfigs((edit,)))

    @rule()
    def pass_on_defaults(self):
        self.happen(DefaultsChanged())

    @rule(allowed=st.booleans())
    def allow_unclean(self, allowed):
        self.may_lose = self.may_lose or allowed
        value = "true" if allowed else "false"
        edit = ConfigEdit("t", (("unclean.leader.election.enable", ConfigOperation.SET, value),))
        self.happen(AlterConfigs((edit,)))

    @invariant()
    def laws(self):
        partition = self.partition
        assert partition.isr, "the ISR is never empty"
        assert partition.leader_id == NO_LEADER or partition.leader_id in partition.isr
        assert set(partition.isr).isdisjoint(partition.elr)
        assert {*partition.isr, *partition.elr} <= {*partition.replicas}
        assert not (partition.lost and partition.leader_id != NO_LEADER)
        assert not partition.elr or len(partition.isr) < self.minimum
        assert {*partition.adding, *partition.removing} <= {*partition.replicas}
        assert len({*partition.replicas}) == len(partition.replicas)
        assert {*target_of(partition)}
        assert partition.replication_factor > 0
        if partition.successor_id != NO_LEADER:
            assert partition.successor_id in partition.isr
            assert partition.leader_id not in {NO_LEADER, partition.successor_id}

    @invariant()
    def settled_is_settled(self):
        settled = after(self.state, BrokersChanged())
        assert decide(settled, BrokersChanged()).topics == {}

    def teardown(self):
        """Once all is healed every reassignment comes to its end."""
        for broker_id in BROKERS:
            self.register(broker_id, clean=True, empty=False)
        self.happen(BrokersChanged())
        for _ in range(2):
            if self.partition.leader_id == NO_LEADER:
                assert self.partition.lost
                return
            self.ask_for({*self.partition.replicas})
            self.resign()
        assert not is_under_way(self.partition)


Elections.TestCase.settings = settings(
    max_examples=examples(150), stateful_step_count=30, deadline=None
)
TestElections = Elections.TestCase


# ISR proposals.


def proposal(state: ClusterState, *members: int, **overrides) -> AlterPartitions:
    partition = state.topics["t"].partitions[0]
    leader = state.brokers[partition.leader_id]
    facts = {
        "topic_id": TOPIC_ID,
        "partition": 0,
        "leader_epoch": partition.leader_epoch,
        "partition_epoch": partition.partition_epoch,
        "isr": {r: state.brokers[r].broker_epoch for r in members},
    }
    change = IsrChange(**{**facts, **overrides})
    return AlterPartitions(leader.broker_id, leader.broker_epoch, (change,))


@pytest.mark.parametrize(
    ("overrides", "code"),
    [
        ({"topic_id": bytes(16)}, ErrorCode.UNKNOWN_TOPIC_ID),
        ({"partition": 1}, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ({"leader_epoch": 9}, ErrorCode.NOT_CONTROLLER),
        ({"partition_epoch": 9}, ErrorCode.NOT_CONTROLLER),
        ({"leader_epoch": -1}, ErrorCode.FENCED_LEADER_EPOCH),
        ({"partition_epoch": 0}, ErrorCode.INVALID_UPDATE_VERSION),
        ({"isr": {2: 102}}, ErrorCode.INVALID_REQUEST),
        ({"isr": {1: 101, 4: 104}}, ErrorCode.INVALID_REQUEST),
        ({"isr": {1: 101, 3: 999}}, ErrorCode.INELIGIBLE_REPLICA),
        ({"isr": {1: 101, 3: -1}}, ErrorCode.INELIGIBLE_REPLICA),
    ],
)
def test_a_proposal_that_is_not_current_or_not_eligible_is_refused(overrides, code):
    state = with_topic(cluster(1, 2, 3, 4), 1, 2, 3)
    state = after(state, proposal(state, 1, 2))

    changes = decide(state, proposal(state, 1, 2, 3, **overrides))

    assert changes.refused[0].code is code
    assert not changes.topics


def test_only_the_registered_incarnation_may_propose():
    state = with_topic(cluster(1, 2, 3), 1, 2, 3)
    event = replace(proposal(state, 1, 2), broker_epoch=1)

    assert decide(state, event).refusal.code is ErrorCode.STALE_BROKER_EPOCH


def test_only_the_leader_may_propose():
    state = with_topic(cluster(1, 2, 3), 1, 2, 3)
    event = replace(proposal(state, 1, 2), broker_id=2, broker_epoch=102)

    assert decide(state, event).refused[0].code is ErrorCode.INVALID_REQUEST


def test_a_replica_that_died_cannot_join():
    state = with_topic(cluster(1, 2, 3), 1, 2, 3)
    event = proposal(state, 1, 2, 3)

    assert decide(gone(state, 3), event).refused[0].code is ErrorCode.INELIGIBLE_REPLICA


def test_proposing_what_is_so_already_changes_nothing():
    state = with_topic(cluster(1, 2, 3), 1, 2, 3)

    changes = decide(state, proposal(state, 1, 2, 3))

    assert not changes.topics
    assert not changes.refused


# Topics.


def test_what_cannot_be_created_is_refused_one_by_one():
    state = with_topic(cluster(1, 2), 1, 2)
    wishes = (
        NewTopic("t"),
        NewTopic("a/b"),
        NewTopic("three", partition_count=1, replication_factor=3),
        NewTopic("none", partition_count=0),
        NewTopic("huge", partition_count=10_001),
        NewTopic("odd", config={"min.insync.replicas": "many"}),
        NewTopic("stranger", assignment={0: (9,)}),
        NewTopic("fine", topic_id=bytes(16)),
    )

    changes = decide(state, CreateTopics(wishes))

    assert [changes.refused[i].code for i in sorted(changes.refused)] == [
        ErrorCode.TOPIC_ALREADY_EXISTS,
        ErrorCode.INVALID_TOPIC_EXCEPTION,
        ErrorCode.INVALID_REPLICATION_FACTOR,
        ErrorCode.INVALID_PARTITIONS,
        ErrorCode.INVALID_PARTITIONS,
        ErrorCode.INVALID_CONFIG,
        ErrorCode.INVALID_REPLICA_ASSIGNMENT,
    ]
    assert list(changes.topics) == ["fine"]
    assert len(changes.topics["fine"].partitions[0].replicas) == 2


@pytest.mark.parametrize(
    ("there", "asked"),
    [("a.b", "a_b"), ("a_b", "a.b"), ("a.b_c", "a_b.c"), ("_x", ".x")],
)
def test_names_that_differ_in_dots_and_underscores_alone_are_not_both_had(there, asked):
    made = decide(cluster(1), CreateTopics((NewTopic(there, topic_id=bytes(16)),)))
    state = replace(cluster(1), topics=dict(made.topics))

    later = decide(state, CreateTopics((NewTopic(asked), NewTopic("ab"), NewTopic("a-b"))))
    at_once = decide(cluster(1), CreateTopics((NewTopic(there), NewTopic(asked))))

    assert list(later.topics) == ["ab", "a-b"]
    assert list(at_once.topics) == [there]
    for refusal in (later.refused[0], at_once.refused[1]):
        assert refusal.code is ErrorCode.INVALID_TOPIC_EXCEPTION
        assert there in str(refusal)


def test_a_topic_made_while_a_broker_is_down_does_not_get_fewer_replicas_unasked():
    state = gone(cluster(1, 2, 3), 3)
    wishes = (
        NewTopic("unasked", topic_id=bytes(16)),
        NewTopic("asked", replication_factor=2, topic_id=bytes([1] * 16)),
    )

    changes = decide(state, CreateTopics(wishes))

    assert changes.refused[0].code == ErrorCode.INVALID_REPLICATION_FACTOR
    assert "start another broker or ask for 2" in str(changes.refused[0])
    assert list(changes.topics) == ["asked"]


def test_an_assignment_with_a_dead_first_replica_is_led_by_a_live_one():
    state = with_topic(gone(cluster(1, 2, 3), 1), 1, 2, 3)
    partition = state.topics["t"].partitions[0]

    assert (partition.leader_id, partition.isr) == (2, (2, 3))


def test_deletion_leaves_the_topic_id_behind():
    state = after(with_topic(cluster(1), 1), DeleteTopics(("t",)))

    assert state.topics == {}
    assert state.deleted_topics == {TOPIC_ID: "t"}


def test_partitions_are_added_and_never_taken_away():
    state = with_topic(cluster(1, 2, 3), 1, 2, 3)
    grown = after(state, CreatePartitions((TopicGrowth("t", 4),)))
    shrunk = decide(grown, CreatePartitions((TopicGrowth("t", 2),)))

    assert len(grown.topics["t"].partitions) == 4
    assert grown.topics["t"].partitions[0] == state.topics["t"].partitions[0]
    assert shrunk.refused[0].code is ErrorCode.INVALID_PARTITIONS


def test_partitions_that_are_added_have_as_many_replicas_as_the_others():
    state = with_topic(cluster(1, 2, 3), 1, 2, 3)
    fewer = decide(state, CreatePartitions((TopicGrowth("t", 2, assignment=((3, 1),)),)))
    as_many = after(state, CreatePartitions((TopicGrowth("t", 2, assignment=((3, 1, 2),)),)))

    assert fewer.refused[0].code is ErrorCode.INVALID_REPLICA_ASSIGNMENT
    assert as_many.topics["t"].partitions[1].replicas == (3, 1, 2)


def test_added_partitions_count_with_those_that_are_there():
    state = cluster(*range(1, 11))
    wide = NewTopic("t", 2_000, 10, topic_id=TOPIC_ID)
    state = after(state, CreateTopics((wide, NewTopic("u", 1, 1, topic_id=bytes(16)))))

    changes = decide(state, CreatePartitions((TopicGrowth("t", 3_001), TopicGrowth("u", 2))))

    assert [*changes.topics] == ["u"]
    assert changes.refused[0].code is ErrorCode.INVALID_PARTITIONS
    assert "30010 replicas in all: a topic has at most 30000" in str(changes.refused[0])
    assert not decide(state, CreatePartitions((TopicGrowth("t", 3_000),))).refused


def test_config_edits_apply_in_order():
    state = with_topic(cluster(1), 1, **{"cleanup.policy": "delete", "segment.bytes": "9"})
    edit = ConfigEdit(
        "t",
        (
            ("cleanup.policy", ConfigOperation.APPEND, "compact"),
            ("cleanup.policy", ConfigOperation.SUBTRACT, "delete"),
            ("segment.bytes", ConfigOperation.DELETE, ""),
            ("retention.ms", ConfigOperation.SET, "1"),
        ),
    )

    config = after(state, AlterConfigs((edit,))).topics["t"].config

    assert config == {"cleanup.policy": "compact", "retention.ms": "1"}


@pytest.mark.parametrize(
    ("edits", "cluster_has", "after_them"),
    [
        ([("APPEND", "compact")], {}, "delete,compact"),
        ([("APPEND", "compact"), ("SUBTRACT", "compact")], {}, "delete"),
        ([("APPEND", "delete")], {"log.cleanup.policy": "compact"}, "compact,delete"),
    ],
)
def test_a_list_grows_from_what_it_is_by_default(edits, cluster_has, after_them):
    state = replace(with_topic(cluster(1), 1), config=cluster_has)
    changes = tuple(("cleanup.policy", ConfigOperation[name], value) for name, value in edits)

    state = after(state, AlterConfigs((ConfigEdit("t", changes),)))

    assert state.topics["t"].config["cleanup.policy"] == after_them


@pytest.mark.parametrize("operation", [ConfigOperation.APPEND, ConfigOperation.SUBTRACT])
def test_only_lists_grow_and_shrink(operation):
    state = with_topic(cluster(1), 1)

    refused = decide(state, AlterConfigs((ConfigEdit("t", (("retention.ms", operation, "5"),)),)))

    assert refused.refused[0].code is ErrorCode.INVALID_CONFIG
    assert "retention.ms is no list" in str(refused.refused[0])


def test_unclean_elections_are_allowed_in_any_case_of_letters():
    config = {"unclean.leader.election.enable": "TRUE"}

    check_config(config)
    assert ElectionRules.of(config, replication_factor=3).unclean


def test_a_shutdown_counts_what_nobody_can_take_over():
    state = with_topic(cluster(1, 2), 1, 2)
    state = after(state, proposal(state, 1))
    state = after(state, ShutDownBroker(1, 101))

    assert partitions_led(state, 1) == (("t", 0),)
    assert state.brokers[1].shutting_down


def test_a_preferred_leader_is_elected_once_and_refusals_say_why():
    state = with_topic(cluster(1, 2, 3), 1, 2, 3)
    state = registered(state, 1, epoch=300)
    state = after(state, BrokersChanged())
    wish = ElectLeaders((("t", 0), ("u", 0), ("t", 7)))
    early = decide(state, wish)
    state = after(state, proposal(state, 1, 2, 3))
    state = after(state, wish)
    assert decide(state, wish).topics == {}, "it is on its way"
    state = after(state, proposal(state, 1, 3))  # the leader resigns
    late = decide(state, wish)

    assert early.refused[0].code is ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE
    assert early.refused[1].code is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert early.refused[2].code is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert state.topics["t"].partitions[0].leader_id == 1
    assert late.refused[0].code is ErrorCode.ELECTION_NOT_NEEDED


# Reassignments.


def reassign(state: ClusterState, *wishes: tuple[str, int, tuple[int, ...] | None]):
    return decide(state, AlterReassignments(tuple(Reassignment(*wish) for wish in wishes)))


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        (("u", 0, (1,)), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (("t", 1, (1,)), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (("t", -1, None), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (("t", 0, ()), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (("t", 0, (1, 2, 1)), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (("t", 0, (1, 9)), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (("t", 0, (1, 4)), ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        (("t", 0, None), ErrorCode.NO_REASSIGNMENT_IN_PROGRESS),
    ],
)
def test_a_reassignment_that_cannot_be_is_refused(wish, code):
    state = with_topic(gone(cluster(1, 2, 3, 4), 4), 1, 2, 3)

    changes = reassign(state, wish)

    assert changes.refused[0].code is code
    assert not changes.topics


def test_reassignments_of_one_request_are_decided_one_by_one():
    state = with_topic(cluster(1, 2, 3, 4), 1, 2)
    state = after(state, CreatePartitions((TopicGrowth("t", 2, ((2, 1),)),)))

    changes = reassign(state, ("t", 0, (3, 4)), ("t", 0, (9,)), ("t", 1, (4, 1)))

    assert [*changes.refused] == [1]
    assert [p.replicas for p in changes.topics["t"].partitions] == [(3, 4, 1, 2), (4, 1, 2)]


def test_asking_for_what_is_there_changes_nothing():
    state = with_topic(cluster(1, 2, 3), 1, 2, 3)

    changes = reassign(state, ("t", 0, (1, 2, 3)))

    assert not changes.topics
    assert not changes.refused


def test_a_topic_cannot_be_given_more_replicas_than_a_znode_holds():
    state = cluster(*range(1, 8))
    wide = NewTopic("t", assignment=dict.fromkeys(range(7_500), (1, 2, 3)), topic_id=TOPIC_ID)
    state = after(state, CreateTopics((wide,)))
    wishes = tuple(Reassignment("t", index, (4, 5, 6, 7)) for index in range(7_500))

    changes = decide(state, AlterReassignments(wishes))

    assert {*map(len, (p.replicas for p in changes.topics["t"].partitions))} == {3, 7}
    assert {error.code for error in changes.refused.values()} == {
        ErrorCode.INVALID_REPLICA_ASSIGNMENT
    }
    assert sum(len(p.replicas) for p in changes.topics["t"].partitions) <= 30_000
