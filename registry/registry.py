"""One registry at work: it follows the log, stands for office, and writes while it leads.

Must never know: HTTP, how the others are asked.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
import trio

from client import ProducerConfig, RecordTooLarge
from protocol.errors import CoordinationError, OttlaError
from registry import records
from registry.election import Deposed, Election
from registry.errors import RegistryError, StoreFailed, StoreTimedOut, UnknownLeader
from registry.ids import note_before

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from client import Producer
    from coordinator.store import StoreFactory
    from registry.decide import Decision
    from registry.election import Term
    from registry.log import SchemasLog
    from registry.parsing import Parser
    from registry.records import Change, Record
    from registry.state import State

log_events = structlog.get_logger()

WRITE_TIMEOUT_S: Final = 15.0
RECORD_BYTES_MAX: Final = (1 << 20) - 256
"""With what a batch adds it is less than brokers take unless told (`max.message.bytes`): what they
refuse ends a term."""
LEADER_WAIT_S: Final = 10.0
LOOK_AGAIN_S: Final = 0.05
SESSION_PAUSE_S: Final = 0.5
RENEWAL_S: Final = 6 * 3600.0
"""How often a leader writes though there is nothing to be written: brokers forget which epoch is
the newest when nothing has come of a producer id for a day (`producer.id.expiration.ms`)."""


class Registry:
    """What answers are made of. Open clients are handed in; `run` does the work."""

    def __init__(
        self,
        log: SchemasLog,
        *,
        topic: str,
        url: str,
        connect_store: StoreFactory,
        new_producer: Callable[..., Producer],
        parser: Parser,
    ) -> None:
        """Serve the schemas of a topic, reached by other registries at `url`.

        `new_producer(config=, identity=)` makes a producer that is not open yet.
        """
        self.parser = parser
        self._log = log
        self._topic = topic
        self._url = url
        self._connect_store = connect_store
        self._new_producer = new_producer
        self._election = Election(topic, url, self._lead)
        self._writer: _Writer | None = None
        self._news = trio.lowlevel.ParkingLot()

    @property
    def state(self) -> State:
        """All that is registered, as far as this registry has read."""
        return self._log.state

    @property
    def end(self) -> int:
        """Up to which offset of the topic `state` goes."""
        return self._log.end

    @property
    def leads(self) -> bool:
        """Whether changes are decided here."""
        return self._writer is not None

    async def run(self) -> None:
        """Stand for office for ever; reading goes on beside it."""
        while True:
            try:
                async with self._connect_store() as store:
                    await self._election.run(store)
            except* CoordinationError as group:
                # Reads are answered all the same, and changes once there is a leader again.
                log_events.warning("session_ended", cause=str(group.exceptions[0]))
            await trio.sleep(SESSION_PAUSE_S)

    async def change(self, decide: Callable[[State, Parser], Decision]) -> Any:
        """Decide on the state as it is now, write what follows, and return the answer.

        Raises: RegistryError; UnknownLeader where this registry does not lead (any more).
        """
        writer = self._writer
        if writer is None:
            raise UnknownLeader("This registry does not lead: ask again")
        return await writer.change(decide)

    async def wait_leader(self, until: float) -> str | None:
        """Return where the leader is, None where it is this one. `until` is a time of trio's clock.

        A registry that was killed and has come back finds its own address as the leader's until
        the session that it had before has expired: that is not where a leader is.
        Raises: UnknownLeader.
        """
        url: str | None = None
        with trio.move_on_at(until):
            while not self.leads:
                if (url := self._election.leader_url) not in (None, self._url):
                    return url
                await trio.sleep(LOOK_AGAIN_S)
            return None
        if url == self._url:
            raise UnknownLeader(
                f"The coordinator names {url} as the leader, which is this registry's own address, "
                "and not this registry: look whether another one advertises it too, then ask again"
            )
        raise UnknownLeader(
            f"No registry was elected within {LEADER_WAIT_S:.0f} s: look whether the coordinator "
            "and the brokers can be reached, then ask again"
        )

    async def wait_applied(self, end: int) -> None:
        """Return once everything below an offset of the topic is part of the state."""
        await self._log.wait_applied(end)

    async def catch_up(self) -> None:
        """Return once everything acknowledged so far, by any registry, is part of the state."""
        await self._log.catch_up()

    async def _lead(self, term: Term) -> None:
        try:
            await self._write_for_a_term(term)
        except Deposed as error:
            log_events.info("term_over", cause=str(error))
        except (OttlaError, OSError) as error:
            log_events.warning("term_over", cause=str(error))

    async def _write_for_a_term(self, term: Term) -> None:
        config = ProducerConfig(
            client_id="ottla-registry",
            linger_ms=0,
            delivery_timeout_s=WRITE_TIMEOUT_S,
            request_bytes_max=RECORD_BYTES_MAX,
        )
        async with self._new_producer(config=config) as anonymous:
            identities = await term.raise_fence(anonymous.new_identity)
        for identity in identities[:-1]:
            async with self._new_producer(config=config, identity=identity) as last:
                await _Writer(self._topic, last, self._log, self.parser).begin()
        async with self._new_producer(config=config, identity=identities[-1]) as producer:
            writer = _Writer(self._topic, producer, self._log, self.parser)
            await writer.begin()
            log_events.info("term_begins", epoch=identities[-1].epoch)
            self._writer = writer
            try:
                await writer.stand_until_over()
            finally:
                self._writer = None


class _Writer:
    """Writes for one term, one decision after the other; `over` once a write's fate is unknown."""

    def __init__(self, topic: str, producer: Producer, log: SchemasLog, parser: Parser) -> None:
        self._topic = topic
        self._producer = producer
        self._log = log
        self._parser = parser
        self._one_at_a_time = trio.Lock()
        self.over = trio.Event()

    async def begin(self) -> None:
        """Write the first record of the term, and read everything before it."""
        await self._write([records.noop()])
        await self._note_ids(())

    async def stand_until_over(self) -> None:
        """Keep earlier leaders shut out, until the fate of a write is unknown."""
        while not self.over.is_set():
            with trio.move_on_after(RENEWAL_S):
                await self.over.wait()
                return
            async with self._one_at_a_time:
                with suppress(StoreTimedOut):  # then it is over
                    await self._write([records.noop()])

    async def change(self, decide: Callable[[State, Parser], Decision]) -> Any:
        """Decide, write, and wait until what was written is part of the state."""
        with suppress(RegistryError):  # what takes long is found out before others have to wait
            await self._parser.settle(partial(self._decided, decide))
        async with self._one_at_a_time:
            if self.over.is_set():
                raise UnknownLeader("This registry has just ceased to lead: ask again")
            decision = await self._parser.settle(partial(self._decided, decide))
            if decision.changes:
                if not self._log.is_readable:
                    raise StoreFailed(
                        f"A record of {self._topic} cannot be read, so that ids may be in use of "
                        "which this registry does not know: see its log"
                    )
                with trio.CancelScope(shield=True):  # whoever asked may go, what is sent may not
                    await self._note_ids(decision.changes)
                    await self._write([records.encode(change) for change in decision.changes])
            return decision.answer

    async def _note_ids(self, changes: Sequence[Change]) -> None:
        """Have the log tell of ids by themselves before changes take their schemas away."""
        note = note_before(self._log.state, changes)
        if note is not None:
            await self._write([records.encode(note)])

    async def _decided(self, decide: Callable[[State, Parser], Decision]) -> Decision:
        return decide(self._log.state, self._parser)

    async def _write(self, written: Sequence[Record]) -> None:
        try:
            with trio.fail_after(WRITE_TIMEOUT_S):
                deliveries = [
                    await self._producer.enqueue(self._topic, value, key=key)
                    for key, value in self._log.spellings.complete(written)
                ]
                placed = [await delivery.wait() for delivery in deliveries]
                await self._log.wait_applied(placed[-1].offset + 1)
        except RecordTooLarge as error:
            raise StoreFailed(f"The schema is too large to be stored: {error}") from error
        except (OttlaError, trio.TooSlowError) as error:
            self.over.set()
            raise StoreTimedOut(
                f"The change was not acknowledged in time ({error!r}); it may come to pass: look, "
                "and ask again"
            ) from error
