"""Clients that write, read and share partitions, and write down what they did.

The same clients work in simulated runs and on real clusters: what they take from the outside world
is handed in. Must never know: faults, what is judged, whether the cluster is real.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from itertools import count
from random import Random  # noqa: TID251 - seeded here, with the seed that was handed in
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from chaos.history import Outcome, Partition, Sent
from chaos.journal import Journal
from chaos.naming import SEALED, headers_of
from chaos.setups import member_config, producer_config, work_s
from client import Admin, Consumer, ConsumerConfig, Producer, TopicPartition
from client.admin import AdminConfig
from client.errors import DeliveryFailed
from protocol.errors import OttlaError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from chaos.load import Load
    from client.delivery import Delivery
    from client.environment import Environment

POLL_S: Final = 1.0
AGAIN_S: Final = 0.1
"""Before a client that has failed is made anew."""

SEALED_KEYS: Final = (None, b"", b"key")
"""Of sealed records where keys mean nothing."""

STAYS_MAX: Final = (10, 200)
"""After how many polls a member leaves at most: who is new knows nothing of the cluster yet."""


class _Life(NamedTuple):
    """A client from when it begins to when it is gone."""

    scope: trio.CancelScope
    over: trio.Event


class Workload(Journal):
    """All clients of a run, and what they did.

    `environment` makes what the client of that name takes from the outside world.
    """

    def __init__(
        self, bootstrap: str, load: Load, *, environment: Callable[[str], Environment]
    ) -> None:
        super().__init__()
        self.bootstrap = bootstrap
        self.environment = environment
        self._load = load
        self._automatic: dict[str, dict[TopicPartition, int]] = {}
        self._reading: dict[str, Consumer] = {}
        self._lives: dict[str, _Life] = {}

    @property
    def topic(self) -> str:
        """The topic that is written to and read."""
        return self._load.topic

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that members share partitions in."""
        return self._load.groups

    @property
    def lonely_groups(self) -> tuple[str, ...]:
        """The groups without members."""
        return self._load.lonely_groups

    @property
    def partitions(self) -> tuple[TopicPartition, ...]:
        """All partitions of the topic."""
        return tuple(TopicPartition(self._load.topic, n) for n in range(self._load.partitions))

    async def crash(self, name: str) -> bool:
        """End a producer or member where it is; returns once it has ended, or False: there is none.

        Another one of its name begins then.
        """
        life = self._lives.get(name)
        if life is None:
            return False
        life.scope.cancel()
        await life.over.wait()
        return True

    @contextmanager
    def _life(self, name: str) -> Iterator[None]:
        life = self._lives[name] = _Life(trio.CancelScope(), trio.Event())
        try:
            with life.scope:
                yield
        finally:
            del self._lives[name]
            life.over.set()

    def random(self, name: str) -> Random:
        """Give a generator of a client's own."""
        return Random(f"{self._load.seed} {name}")  # noqa: S311 - to be repeatable

    # Writing.

    async def write(self, name: str, *, until: trio.Event) -> None:
        """Produce numbered values until told to stop; begin anew after an error."""
        rng, numbers = self.random(name), count()
        while not until.is_set():
            try:
                with self._life(name):
                    await self._write_once(name, rng, numbers, until=until)
            except* OttlaError:
                await trio.sleep(AGAIN_S)

    async def _write_once(
        self, name: str, rng: Random, numbers: Iterator[int], *, until: trio.Event
    ) -> None:
        """Produce, some in flight at once."""
        config = producer_config(self._load, rng)
        environment = self.environment(name)
        async with (
            Producer(self.bootstrap, config, environment=environment) as producer,
            trio.open_nursery() as nursery,
        ):
            while not until.is_set():
                burst: dict[int, list[tuple[int, Delivery]]] = {}
                for _ in range(rng.randint(1, self._load.burst_max)):
                    sent = self._draw(name, rng, next(numbers))
                    slot = self.begin_send(sent)
                    delivery = await self._enqueue(producer, sent, environment.wall_ms())
                    burst.setdefault(sent.partition.number, []).append((slot, delivery))
                for enqueued in burst.values():
                    nursery.start_soon(self._settle, enqueued)
                await trio.sleep(rng.choice(self._load.pauses_s))

    def _draw(self, name: str, rng: Random, number: int) -> Sent:
        """Draw a producer's next record, and what it is before anything is known of it."""
        load, now = self._load, trio.current_time()
        place = Partition(load.topic, rng.randrange(load.partitions))
        value = b"%s-%d%s" % (name.encode(), number, SEALED if load.sealed else b"")
        sent = Sent(name, place, value, now, now, Outcome.UNKNOWN)
        if load.keys:
            key = b"key-%d" % rng.randrange(load.keys)
            return sent._replace(key=key, tombstone=rng.random() < load.tombstones)
        return sent._replace(key=SEALED_KEYS[number % len(SEALED_KEYS)]) if load.sealed else sent

    async def _enqueue(self, producer: Producer, sent: Sent, now_ms: int) -> Delivery:
        key, tombstone, (topic, number) = sent.key, sent.tombstone, sent.partition
        timestamp_ms = now_ms if self._load.sealed else None
        return await producer.enqueue(
            topic,
            None if tombstone else sent.value,
            key=key,
            headers=headers_of(sent.value, key=key, timestamp_ms=timestamp_ms, tombstone=tombstone),
            partition=number,
            timestamp_ms=timestamp_ms,
        )

    async def _settle(self, enqueued: Iterable[tuple[int, Delivery]]) -> None:
        """Note what becomes of records that one partition is to have, in their order."""
        for slot, delivery in enqueued:
            try:
                written = await delivery.wait()
            except DeliveryFailed as error:
                self.give_up(slot, error)
                continue
            self.acknowledge(slot, written.offset)

    # Reading.

    async def read(self, name: str) -> None:
        """Read every partition from its start, for ever; begin anew after an error."""
        while True:
            try:
                await self._read_once(name)
            except* OttlaError:
                self._reading.pop(name, None)
                await trio.sleep(AGAIN_S)

    async def _read_once(self, name: str) -> None:
        config = ConsumerConfig(auto_offset_reset="earliest")
        environment = self.environment(name)
        async with Consumer(self.bootstrap, config, environment=environment) as consumer:
            self.position(name, self.partitions, at=0)
            await consumer.assign(dict.fromkeys(self.partitions, 0))
            self._reading[name] = consumer
            while True:
                began_at = trio.current_time()
                self.hand_out(name, await consumer.poll(timeout_s=POLL_S), began_at)
                await _rest(self._load.rest_s)

    def read_up_to(self) -> dict[str, dict[int, int]]:
        """Give how far each of those that read for ever has come, by partition."""
        return {
            name: {place.partition: offset for place, offset in _positions(consumer).items()}
            for name, consumer in self._reading.items()
        }

    async def read_to(self, name: str, ends: Mapping[int, int]) -> None:
        """Read every partition from its start up to these ends. Raises: OttlaError."""
        environment = self.environment(name)
        config = ConsumerConfig(auto_offset_reset="earliest")
        async with Consumer(self.bootstrap, config, environment=environment) as consumer:
            self.position(name, self.partitions, at=0)
            places = [place for place in self.partitions if ends.get(place.partition, 0)]
            if not places:
                return
            await consumer.assign(dict.fromkeys(places, 0))
            while any((consumer.position(p) or 0) < ends[p.partition] for p in places):
                began_at = trio.current_time()
                self.hand_out(name, await consumer.poll(timeout_s=POLL_S), began_at)

    # Sharing.

    async def share(self, name: str, group: str) -> None:
        """Be a member of a group for ever, commit what was read; begin anew after an error."""
        rng = self.random(name)
        while True:
            try:
                with self._life(name):
                    await self._share_once(name, group, rng)
            except* OttlaError:
                await trio.sleep(AGAIN_S)

    async def _share_once(self, name: str, group: str, rng: Random) -> None:
        config = member_config(self._load, name, group, rng)
        environment = self.environment(name)
        async with Consumer(self.bootstrap, config, environment=environment) as consumer:
            automatic = partial(self._note_automatic, name, group, consumer)

            def begin(places: tuple[TopicPartition, ...]) -> None:
                self.position(name, places, group=group)
                if config.enable_auto_commit:  # it may commit where it begins
                    now = trio.current_time()
                    self.commit(name, group, dict.fromkeys(places, 0), now)

            consumer.subscribe([self._load.topic], on_assigned=begin, on_revoked=automatic)
            stays, rest_s = rng.randint(3, rng.choice(STAYS_MAX)), work_s(self._load, rng)
            committed: dict[TopicPartition, int] = {}
            for _ in range(stays):
                began_at = trio.current_time()
                automatic(consumer.assignment)
                records = await consumer.poll(timeout_s=POLL_S)
                self.hand_out(name, records, began_at)
                # It may move on without a record, where all are compacted away or deleted.
                positions = _positions(consumer)
                if positions != committed and not config.enable_auto_commit:
                    await self._commit(name, group, consumer, positions)
                    committed = positions
                await _rest(rest_s)
            automatic(consumer.assignment)  # it commits as it leaves

    def _note_automatic(
        self, name: str, group: str, consumer: Consumer, places: Iterable[TopicPartition]
    ) -> None:
        """Note what the consumer may commit of itself: it asks for more, or gives partitions up."""
        if consumer.config.enable_auto_commit:
            noted = self._automatic.setdefault(name, {})
            found = _positions(consumer).items()
            offsets = {p: at for p, at in found if p in places and noted.get(p) != at}
            noted |= offsets
            self.commit(name, group, offsets, trio.current_time())

    async def _commit(
        self, name: str, group: str, consumer: Consumer, offsets: Mapping[TopicPartition, int]
    ) -> None:
        began_at = trio.current_time()
        outcome = Outcome.UNKNOWN
        try:
            await consumer.commit(offsets)
            outcome = Outcome.OK
        finally:
            self.commit(name, group, offsets, began_at, outcome)

    async def commit_alone(self, name: str, group: str, place: TopicPartition) -> None:
        """Commit ever higher offsets of one partition in a group without members, for ever.

        Others do so for other partitions, of the same group perhaps; anew after an error.
        """
        rng, offsets = self.random(name), count(1)
        while True:
            try:
                await self._commit_alone_once(name, group, place, rng, offsets)
            except* OttlaError:
                await trio.sleep(AGAIN_S)

    async def _commit_alone_once(
        self,
        name: str,
        group: str,
        place: TopicPartition,
        rng: Random,
        offsets: Iterator[int],
    ) -> None:
        config = ConsumerConfig(group_id=group, enable_auto_commit=False)
        environment = self.environment(name)
        async with Consumer(self.bootstrap, config, environment=environment) as consumer:
            while True:
                await self._commit(name, group, consumer, {place: next(offsets)})
                await trio.sleep(rng.choice(self._load.pauses_s))

    async def ask_for_ever(
        self, name: str, question: Callable[[str, Admin], Awaitable[None]]
    ) -> None:
        """Have an admin ask something again and again; anew after an error, by a name of its own.

        One that begins anew has seen no leader epochs, and may meet a leader of before.
        """
        environment = self.environment(name)
        config = AdminConfig(timeout_s=10)
        for number in count():
            try:
                async with Admin(self.bootstrap, config, environment=environment) as admin:
                    while True:
                        await question(f"{name}-{number}", admin)
                        await trio.sleep(AGAIN_S + self._load.rest_s)
            except* OttlaError:
                await trio.sleep(AGAIN_S)


async def _rest(seconds: float) -> None:
    if seconds:
        await trio.sleep(seconds)


def _positions(consumer: Consumer) -> dict[TopicPartition, int]:
    """Give what a consumer would read next of what it is assigned, where that is known."""
    found = ((place, consumer.position(place)) for place in consumer.assignment)
    return {place: offset for place, offset in found if offset is not None}
