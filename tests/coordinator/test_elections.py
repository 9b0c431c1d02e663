"""Golden scripts of elections: what a partition looks like after each step.

brokers 1 2 3                      these are live, and the controller has acted on them
topic replicas=1,2,3 key=value     a topic of one partition with a config
die 1 2                            these registrations go, together
return 1 2 [unclean] [cut] [empty] [offline]
                                   brokers register again, before the controller looks
bounce 1 [unclean] [cut] [empty] [offline]
                                   the same, but nobody saw it go
isr 1,2 [refused]                  the leader proposes an ISR
shutdown 1                         a broker asks to leave
prefer                             preferred leaders are due
resign [refused]                   the leader says that its successor has everything
unclean [refused]                  an operator wants any leader rather than none
reassign 4,5,6 [refused]           the partition is wanted on these brokers
cancel [refused]                   ... and now it is not
config key=value                   the topic is configured
default key=value                  the cluster's default changes, and topics take it over
expect leader=1 epoch=0 isr=1,2 elr=- [lost] [successor=2]
replicas 4,5,6 1,2,3               there are these, and the last ones are leaving
"""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from coordinator.cluster import NO_LEADER, BrokerRegistration, ClusterState, Endpoint
from coordinator.decide import decide
from coordinator.events import (
    AlterBrokerConfigs,
    AlterConfigs,
    AlterPartitions,
    AlterReassignments,
    BrokersChanged,
    ConfigEdit,
    ConfigOperation,
    CreateTopics,
    DefaultsChanged,
    ElectLeaders,
    Event,
    IsrChange,
    NewTopic,
    Reassignment,
    Rebalance,
    ShutDownBroker,
)
from coordinator.reassign import target_of

SCRIPTS = sorted((Path(__file__).parent / "elections").glob("*.txt"))
TOPIC_ID = bytes(range(16))


class Script:
    """The cluster that a script talks about."""

    def __init__(self) -> None:
        self.state = ClusterState()
        self.registrations = 0

    def play(self, line: str) -> None:
        verb, *words = line.split()
        getattr(self, verb)(*words)

    def happen(self, event: Event) -> None:
        before = self.state
        changes = decide(before, event)
        assert repr(decide(before, event)) == repr(changes)
        self.refused = dict(changes.refused)
        self.state = changes.apply_to(before)

    def live(self, *broker_ids: str, how: tuple[str, ...] = ()) -> None:
        for broker_id in map(int, broker_ids):
            self.registrations += 1
            registration = BrokerRegistration(
                broker_id=broker_id,
                broker_epoch=1000 + self.registrations,
                endpoints=(Endpoint("localhost", 9091 + broker_id),),
                rack=None,
                directory_id="",
                clean="unclean" not in how,
                epoch_version=self.registrations,
                directory_changed="empty" in how,
                lossy=frozenset({(TOPIC_ID, 0)} if "cut" in how else ()),
                offline=frozenset({(TOPIC_ID, 0)} if "offline" in how else ()),
            )
            brokers = {**self.state.brokers, broker_id: registration}
            self.state = replace(self.state, brokers=brokers)

    def brokers(self, *broker_ids: str) -> None:
        self.live(*broker_ids)
        self.happen(BrokersChanged())

    def topic(self, replicas: str, *config: str) -> None:
        assignment = {0: integers(replicas.removeprefix("replicas="))}
        settings = dict(each.split("=") for each in config)
        new = NewTopic("t", assignment=assignment, config=settings, topic_id=TOPIC_ID)
        self.happen(CreateTopics((new,)))
        assert not self.refused

    def die(self, *broker_ids: str) -> None:
        gone = set(map(int, broker_ids))
        brokers = {i: b for i, b in self.state.brokers.items() if i not in gone}
        self.state = replace(self.state, brokers=brokers)
        self.happen(BrokersChanged())

    def bounce(self, *words: str) -> None:
        broker_ids = [word for word in words if word.isdigit()]
        self.live(*broker_ids, how=tuple(word for word in words if not word.isdigit()))
        self.happen(BrokersChanged())
        settled = self.state
        self.happen(BrokersChanged())
        assert self.state.topics == settled.topics, "settled once, settled for good"

    # "return" is a word of Python's.
    def __getattr__(self, verb: str):
        assert verb == "return", f"no such verb: {verb}"
        return self.bounce

    def isr(self, members: str, *outcome: str) -> None:
        self.propose(integers(members), *outcome)

    def resign(self, *outcome: str) -> None:
        partition = self.partition
        self.propose(tuple(r for r in partition.isr if r != partition.leader_id), *outcome)

    def propose(self, members: tuple[int, ...], *outcome: str) -> None:
        partition = self.partition
        epochs = {r: self.state.brokers[r].broker_epoch for r in members}
        leader = self.state.brokers[partition.leader_id]
        change = IsrChange(
            TOPIC_ID, 0, partition.leader_epoch, partition.partition_epoch, isr=epochs
        )
        self.happen(AlterPartitions(leader.broker_id, leader.broker_epoch, (change,)))
        assert bool(self.refused) == ("refused" in outcome), self.refused

    def shutdown(self, broker_id: str) -> None:
        epoch = self.state.brokers[int(broker_id)].broker_epoch
        self.happen(ShutDownBroker(int(broker_id), epoch))

    def prefer(self) -> None:
        self.happen(Rebalance(limit=10))

    def unclean(self, *outcome: str) -> None:
        self.happen(ElectLeaders((("t", 0),), unclean=True))
        assert bool(self.refused) == ("refused" in outcome), self.refused

    def reassign(self, replicas: str, *outcome: str) -> None:
        self.happen(AlterReassignments((Reassignment("t", 0, integers(replicas)),)))
        assert bool(self.refused) == ("refused" in outcome), self.refused

    def cancel(self, *outcome: str) -> None:
        self.happen(AlterReassignments((Reassignment("t", 0, None),)))
        assert bool(self.refused) == ("refused" in outcome), self.refused

    def replicas(self, target: str, leaving: str = "") -> None:
        partition = self.partition
        assert (target_of(partition), partition.removing) == (integers(target), integers(leaving))

    def config(self, setting: str) -> None:
        key, value = setting.split("=")
        self.happen(AlterConfigs((ConfigEdit("t", ((key, ConfigOperation.SET, value),)),)))
        assert not self.refused

    def default(self, setting: str) -> None:
        key, value = setting.split("=")
        self.happen(AlterBrokerConfigs((ConfigEdit("", ((key, ConfigOperation.SET, value),)),)))
        assert not self.refused
        self.happen(DefaultsChanged())

    @property
    def partition(self):
        return self.state.topics["t"].partitions[0]

    def expect(self, *facts: str) -> None:
        found = self.partition
        assert facts == (
            f"leader={'none' if found.leader_id == NO_LEADER else found.leader_id}",
            f"epoch={found.leader_epoch}",
            f"isr={listed(found.isr)}",
            f"elr={listed(found.elr)}",
            *(["lost"] if found.lost else []),
            *([f"successor={found.successor_id}"] if found.successor_id != NO_LEADER else []),
        )


def integers(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(",") if each)


def listed(replicas: tuple[int, ...]) -> str:
    return ",".join(map(str, replicas)) or "-"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_an_election_goes_as_written(path: Path):
    script = Script()
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if line and not line.startswith("#"):
            try:
                script.play(line)
            except AssertionError as error:
                error.add_note(f"{path.name}:{number}: {line}")
                raise


def test_there_are_scripts():
    assert len(SCRIPTS) > 10
