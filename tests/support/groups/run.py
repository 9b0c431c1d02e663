"""One run of one group: topics under acks=all load, members that come and go, the judgement.

Nothing here is judged by time: a wait fails only where nothing happens any more.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from tests.support.groups.checker import Run, check
from tests.support.groups.events import Committed, Consumed, Event, Partition
from tests.support.groups.member import ROOT, Member, now_ms, start_member
from tests.support.groups.observer import Observer
from tests.support.groups.program import MemberSpec
from tests.support.known_topics import wait_known
from tests.support.load import Load

PATIENCE_S = 120.0
ANSWER_S = 60.0
LOAD_PAUSE_S = 0.02


class GroupRun:
    """Used as a context: whatever happens, no member is left behind."""

    def __init__(
        self, bootstrap: str, directory: Path, *, group: str, session_timeout_ms: int = 10_000
    ) -> None:
        self.bootstrap = bootstrap
        self.group = group
        self.members: dict[str, Member] = {}
        self.partitions: list[Partition] = []
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
        self._loads: list[Load] = []
        self._observer = Observer(bootstrap, group)
        self._session_timeout_ms = session_timeout_ms
        self._directory = directory

    def __enter__(self) -> GroupRun:
        self._observer.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is not None:
                self._ask_all()
        finally:
            for load in self._loads:
                load.abandon()
            for member in self.members.values():
                member.close()
            self._observer.close()
            if kind is not None:
                print(self.describe())

    def add_topic(self, name: str, *, partitions: int, start_committed: bool = True) -> None:
        """Create a topic, three replicas where there are three brokers, and load it.

        `start_committed`: commit its start for a group that nobody has joined yet. librdkafka,
        losing a partition while it asks where that begins, asks again half a second later, though
        it may by then have the partition anew and read it from a commit; the answer takes it back
        to the start (2.16.0, `rd_kafka_toppar_handle_Offset`; #2256 is of this family).
        """
        brokers = len(self.admin.list_topics(timeout=ANSWER_S).brokers)
        topic = NewTopic(name, partitions, min(3, brokers))
        for created in self.admin.create_topics([topic]).values():
            created.result(timeout=ANSWER_S)
        if start_committed and not self.members:
            # The group's coordinator may not have heard of the topic yet.
            self.wait(lambda: self._commit_starts(name, partitions), "the start is not committed")
        self._add_load(name, first=0, partitions=partitions)

    def _commit_starts(self, topic: str, partitions: int) -> bool:
        starts = [TopicPartition(topic, index, 0) for index in range(partitions)]
        request = ConsumerGroupTopicPartitions(self.group, starts)
        (altered,) = self.admin.alter_consumer_group_offsets([request]).values()
        errors = {p.error.code() for p in altered.result(ANSWER_S).topic_partitions if p.error}
        assert errors <= {KafkaError.UNKNOWN_TOPIC_OR_PART}, errors
        return not errors

    def grow_topic(self, name: str, *, partitions: int) -> None:
        """Have a topic grow to so many partitions, and load the new ones."""
        first = sum(partition.topic == name for partition in self.partitions)
        grown = self.admin.create_partitions([NewPartitions(name, partitions)])
        for outcome in grown.values():
            outcome.result(timeout=ANSWER_S)
        # A producer that hears of the topic by a broker that has not heard of its growth is sure
        # that there is no such partition, as with Kafka.
        wait_known(self.bootstrap, name, partitions=partitions)
        self._add_load(name, first=first, partitions=partitions)

    def delete_topic(self, name: str) -> None:
        """Delete a topic once all its records are processed; it is judged no further."""
        self._wait_settled()
        ends: dict[Partition, int] = {}
        for load in [load for load in self._loads if load.topic == name]:
            ends |= self._end(load)
            self._loads.remove(load)
        self._wait_ends(ends)
        gone = [partition for partition in self.partitions if partition.topic == name]
        self.partitions = [p for p in self.partitions if p.topic != name]
        for partition in gone:
            self._observer.partitions.remove(partition)
        for deleted in self.admin.delete_topics([name]).values():
            deleted.result(timeout=ANSWER_S)

    def join(self, client: str, **options: Any) -> Member:
        """Start a member; it joins in its own time. By default it subscribes to every topic."""
        name = f"{client}-{len(self.members) + 1}"
        options.setdefault("session_timeout_ms", self._session_timeout_ms)
        if "pattern" not in options:
            options.setdefault("topics", tuple(sorted({p.topic for p in self.partitions})))
        spec = MemberSpec(name, client, self.bootstrap, self.group, **options)
        self.members[name] = member = start_member(spec, self._directory)
        return member

    def wait_shared(self, *members: Member) -> None:
        """Wait until these own all partitions, each of them some and none the same.

        What they own of topics that were deleted is theirs to know.
        """

        def shared() -> bool:
            owned = [member.owned.intersection(self.partitions) for member in members]
            return all(owned) and sorted(p for some in owned for p in some) == self.partitions

        names = ", ".join(member.spec.name for member in members)
        self.wait(shared, f"{names} do not share the partitions")

    def wait_processed(self, count: int = 20) -> None:
        """Wait until `count` more records of every partition have been processed."""
        wanted = {p: end + count for p, end in self._ends(Consumed).items()}

        def processed() -> bool:
            ends = self._ends(Consumed)
            return all(ends[p] >= end for p, end in wanted.items())

        self.wait(processed, f"records are not processed up to {wanted}")

    def wait(self, condition: Callable[[], bool], otherwise: str) -> None:
        """Wait for a condition. Raises: AssertionError, at once where a member or a load failed."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, otherwise
            failed = [m.spec.name for m in self.members.values() if m.has_failed]
            assert not failed, f"{failed} failed; {otherwise}"
            for load in self._loads:
                load.check_runs()
            time.sleep(0.02)

    def finish(self, *, exactly_once: bool = False, evictions: bool = False) -> None:
        """Stop the load, let the members come to its end and leave, and judge the run."""
        self._wait_settled()
        ends: dict[Partition, int] = {}
        for load in self._loads:
            ends |= self._end(load)
        self._wait_ends(ends)
        running = [member for member in self.members.values() if member.is_running]
        for member in running:
            member.ask_to_leave()
        for member in running:
            member.join()
        self._observer.look_last()
        self._judge(
            Run(
                {name: member.history for name, member in self.members.items()},
                ends,
                self._observer.observed,
                exactly_once=exactly_once,
                evictions=evictions,
            )
        )

    def _ask_all(self) -> None:
        """Print what the group's owner remembers, and have the members say what they do."""
        for member in self.members.values():
            if member.is_running:
                member.tell_what_it_does()
        command = [sys.executable, "-m", "cli", "group", "history", self.group]
        asked = subprocess.run(
            [*command, "--bootstrap", self.bootstrap],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
            check=False,
        )
        print(asked.stdout, asked.stderr, sep="")

    def describe(self) -> str:
        """All that helps to understand a run that went wrong."""
        lines = [
            f"group {self.group}",
            *(f"{load.topic}: {load.summary()}" for load in self._loads),
        ]
        for name, member in self.members.items():
            state = "runs" if member.is_running else "ended"
            lines.append(f"--- {name} {state}, owns {sorted(member.owned)}")
            lines += [f"    {event}" for event in member.history if not is_routine(event)][-20:]
            lines += ["    ...", *(f"    {event}" for event in member.history[-6:])]
            lines.append(member.complaints())
        return "\n".join(lines)

    def _add_load(self, topic: str, *, first: int, partitions: int) -> None:
        new = [Partition(topic, index) for index in range(first, partitions)]
        self.partitions = sorted([*self.partitions, *new])
        self._observer.partitions += new
        load = Load(
            self.bootstrap,
            topic,
            first_partition=first,
            partitions=partitions,
            pause_s=LOAD_PAUSE_S,
        )
        self._loads.append(load)
        load.start()

    def _end(self, load: Load) -> dict[Partition, int]:
        """Stop a load. Returns: the end offsets of its partitions."""
        load.stop()
        return {Partition(load.topic, index): end for index, end in load.ends().items()}

    def _wait_settled(self) -> None:
        """Wait until each running member that owns something has committed once more.

        Java's VerifiableConsumer commits with a batch and never tries again: what it is refused
        during a rebalance, after which no record comes, stays uncommitted.
        """
        since = now_ms()
        owners = [m for m in self.members.values() if m.is_running and m.owned]

        def settled() -> bool:
            return all(any(is_commit(e) and e.at_ms >= since for e in m.events) for m in owners)

        names = ", ".join(member.spec.name for member in owners)
        self.wait(settled, f"not all of {names} have committed since {since}")

    def _wait_ends(self, ends: dict[Partition, int]) -> None:
        """Wait until partitions have been processed, and committed, up to these ends."""
        self.wait(lambda: ends.items() <= self._ends(Consumed).items(), f"not processed: {ends}")
        self.wait(lambda: ends.items() <= self._ends(Committed).items(), f"not committed: {ends}")

    def _ends(self, kind: type[Consumed] | type[Committed]) -> dict[Partition, int]:
        """Return how far each partition has been processed, or committed."""
        ends = dict.fromkeys(self.partitions, 0)
        for member in self.members.values():
            for partition, end in _ends_of(list(member.events), kind):
                if partition in ends:
                    ends[partition] = max(ends[partition], end)
        return ends

    def _judge(self, run: Run) -> None:
        found = check(run)
        shown = [f"{v.law} of {v.partition}: {v.facts}" for v in found[:20]]
        concerned = sorted({v.partition for v in found if v.partition is not None})
        for name, member in self.members.items() if found else ():
            for partition in concerned[:3]:
                shown += [f"{name}: {line}" for line in member.on_partition(partition)]
        assert not found, "\n".join([f"{len(found)} violations", *shown])


def _ends_of(
    history: list[Event], kind: type[Consumed] | type[Committed]
) -> Iterator[tuple[Partition, int]]:
    for event in history:
        if isinstance(event, Consumed) and kind is Consumed:
            yield event.partition, event.last + 1
        elif kind is Committed and isinstance(event, Committed) and event.error is None:
            yield from event.offsets


def is_commit(event: Event) -> bool:
    """Say whether an event is a commit that succeeded."""
    return isinstance(event, Committed) and event.error is None


def is_routine(event: Event) -> bool:
    """Say whether an event is one of the thousands that a run has."""
    return isinstance(event, Consumed) or is_commit(event)
