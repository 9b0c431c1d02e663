"""Records held against the schemas that are registered for their topic, before they are appended.

Only topics that ask for it (`ottla.schema.validation`) have their records opened. What is
registered is read from the topic `_schemas` by a client of the cluster like any other, from the
first such record on.
Must never know: requests, who registers schemas, how they are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
import trio

from broker.errors import RefusedRecords
from broker.log.config import VALIDATE_PAYLOAD
from client.background import background_tasks
from client.errors import UnknownTopic
from protocol.batch import read_header
from protocol.errors import ErrorCode, OttlaError, RequestError
from protocol.records import Record, decode_data
from schemas.schema import WIRE_HEADER, WIRE_MAGIC, InvalidPayload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from broker.opening import Opening
    from client import Environment
    from registry.log import SchemasLog
    from registry.model import Version
    from registry.parsing import Parser, Uncomputed
    from schemas.schema import Schema

log_events = structlog.get_logger()

TOPIC: Final = "_schemas"
RETRY_PAUSE_S: Final = 0.5
MISSED_MAX: Final = 1_000


class InvalidRecord(RefusedRecords):
    """A record is not what its topic's schemas allow. `index` counts the batch's records."""

    def __init__(self, index: int, why: str) -> None:
        super().__init__(f"record {index}: {why}", {index: why})


class SchemasNotRead(RequestError):
    """What is registered is not known here yet: it is being read or parsed, or may be new."""

    code, retriable = ErrorCode.LEADER_NOT_AVAILABLE, True


class SchemaGuard:
    """Knows what is registered; follows it from the first `check` on."""

    def __init__(
        self,
        bootstrap: Callable[[], str],
        environment: Environment,
        run_in_thread: Callable[[Callable[[], None]], Awaitable[None]] | None = None,
    ) -> None:
        """Read through the brokers at `bootstrap()`.

        Schemas are parsed by `run_in_thread`, which can be cancelled: one of foreign hands can take
        a minute, and a broker has more to do. Without it they are parsed where they are needed.
        """
        self._bootstrap = bootstrap
        self._environment = environment
        self._run_in_thread = run_in_thread
        self._wanted = trio.Event()
        self._log: SchemasLog | None = None
        self._versions: dict[tuple[str, int], Version] = {}
        self._schemas: dict[tuple[str, int], Schema] = {}
        self._known_at = -1
        self._parser: Parser | None = None
        self._unparsed: dict[tuple[str, int], Uncomputed] = {}
        self._parsing_wanted = trio.Event()
        self._read_at = -1.0
        self._missed: dict[tuple[str, int], float] = {}
        self._asked = trio.Event()

    async def run(self) -> None:
        """Follow what is registered, for ever, once anybody wants to know."""
        await self._wanted.wait()
        async with background_tasks() as nursery:
            if self._run_in_thread is not None:
                nursery.start_soon(self._parse_what_is_wanted, self._run_in_thread)
            await self._follow_for_ever()

    async def _follow_for_ever(self) -> None:
        while True:
            began_at = trio.current_time()
            try:
                if bootstrap := self._bootstrap():
                    await self._follow(bootstrap)
            except UnknownTopic:
                self._log, self._read_at = None, began_at  # nothing is registered
                self._forget()
            except (OttlaError, OSError) as error:
                log_events.warning("schemas_not_followed", cause=str(error))
                self._log = None
            await trio.sleep(RETRY_PAUSE_S)

    def check(self, topic: str, batch: memoryview, mode: str, opening: Opening) -> None:
        """Hold every record of a topic's batch against its schemas; `mode` is "id" or "payload".

        Schemas themselves are not held against any. Raises: InvalidRecord, SchemasNotRead,
        OpenedEnough, CorruptBatch.
        """
        if topic == TOPIC:
            return
        self._wanted.set()
        if self._read_at < 0:
            raise SchemasNotRead(
                "the schemas that records of this topic are held against are being read: try again"
            )
        has_keys = self._has_schemas(f"{topic}-key")
        for index, record in enumerate(_records(batch, opening)):
            self._check(f"{topic}-value", record.value, index, mode)
            if has_keys:
                self._check(f"{topic}-key", record.key, index, mode)

    def _check(self, subject: str, data: bytes | None, index: int, mode: str) -> None:
        if data is None:
            return
        if len(data) < WIRE_HEADER.size or data[0] != WIRE_MAGIC:
            raise InvalidRecord(
                index,
                f"its {_part(subject)} begins with {bytes(data[:5]).hex() or 'nothing'}, and not "
                "with a zero byte and a schema's id: write it with a serializer of the schema "
                "registry",
            )
        _, schema_id = WIRE_HEADER.unpack_from(data)
        version = self._version(subject, schema_id, index)
        if mode == VALIDATE_PAYLOAD:
            schema = self._schema(version, index)
            try:
                schema.check_payload(memoryview(data)[WIRE_HEADER.size :])
            except InvalidPayload as error:
                raise InvalidRecord(
                    index, f"its {_part(subject)} does not fit schema {schema_id}: {error}"
                ) from error

    def _version(self, subject: str, schema_id: int, index: int) -> Version:
        """Find the version with an id. Raises: InvalidRecord, SchemasNotRead."""
        log = self._log
        if log is not None and log.end != self._known_at:
            self._forget()
            self._known_at = log.end
        if (known := self._versions.get((subject, schema_id))) is not None:
            return known
        for version in () if log is None else log.state.versions(subject):
            if version.schema_id == schema_id:
                self._versions[subject, schema_id] = version
                return version
        self._require_read_since((subject, schema_id))
        raise InvalidRecord(
            index,
            f"its {_part(subject)} was written with schema {schema_id}, which is not registered "
            f"for subject {subject}: register it there before it is used",
        )

    def _schema(self, version: Version, index: int) -> Schema:
        """Give a version's schema, parsed. Raises: InvalidRecord, SchemasNotRead."""
        from registry.parsing import Parser, Uncomputed  # noqa: PLC0415 - few brokers need it

        subject, schema_id = key = version.subject, version.schema_id
        if (known := self._schemas.get(key)) is not None:
            return known
        if self._log is None:  # what it refers to cannot be looked up
            raise SchemasNotRead(f"what is registered for {subject} is being read: try again")
        if self._parser is None:
            self._parser = Parser(self._run_in_thread)
        try:
            schema = self._parser.parse(self._log.state, subject, version.body)
        except Uncomputed as missing:
            self._unparsed[key] = missing
            self._parsing_wanted.set()
            raise SchemasNotRead(
                f"schema {schema_id} of subject {subject} is being parsed: try again"
            ) from None
        except OttlaError as error:
            raise InvalidRecord(
                index, f"its {_part(subject)} has schema {schema_id}, which cannot be used: {error}"
            ) from error
        self._schemas[key] = schema
        return schema

    async def _parse_what_is_wanted(
        self, run_in_thread: Callable[[Callable[[], None]], Awaitable[None]]
    ) -> None:
        """Parse one schema after the other, for ever."""
        while True:
            await self._parsing_wanted.wait()
            self._parsing_wanted = trio.Event()
            while self._unparsed:
                key, missing = next(iter(self._unparsed.items()))
                try:
                    await run_in_thread(missing.compute)
                except Exception as error:  # a bug, which only this schema is to meet
                    log_events.exception("schema_not_parsed", subject=key[0], schema_id=key[1])
                    missing.give_up(f"Invalid schema: {error!r} when it was parsed")
                missing.keep()
                del self._unparsed[key]
                self._schemas.clear()  # what the parser has dropped for it is not to be held here

    def _forget(self) -> None:
        self._versions.clear()
        self._schemas.clear()

    def _has_schemas(self, subject: str) -> bool:
        return self._log is not None and bool(self._log.state.versions(subject))

    def _require_read_since(self, missing: tuple[str, int]) -> None:
        """Have an unknown id looked for once more: it may have been registered a moment ago.

        Raises: SchemasNotRead until everything has been read that was there when it was missed.
        """
        missed_at = self._missed.pop(missing, None)
        if missed_at is not None and self._read_at >= missed_at:
            return
        self._missed[missing] = trio.current_time() if missed_at is None else missed_at
        if len(self._missed) > MISSED_MAX:
            del self._missed[next(iter(self._missed))]
        self._asked.set()
        raise SchemasNotRead(
            f"schema {missing[1]} is not known for subject {missing[0]} here yet: try again"
        )

    async def _follow(self, bootstrap: str) -> None:
        # Few brokers need these.
        from client.consumer import Consumer, ConsumerConfig  # noqa: PLC0415
        from registry.log import SchemasLog  # noqa: PLC0415

        config = ConsumerConfig(
            client_id="ottla-schema-guard", auto_offset_reset="none", metadata_timeout_s=5.0
        )
        async with (
            Consumer(bootstrap, config, environment=self._environment) as consumer,
            background_tasks() as nursery,
        ):
            log = SchemasLog(consumer, TOPIC)
            nursery.start_soon(self._read_to_the_end, log)
            await log.run()

    async def _read_to_the_end(self, log: SchemasLog) -> None:
        """Read to what is the end now, at first, and whenever something was missed."""
        while True:
            began_at = trio.current_time()
            try:
                await log.catch_up()
            except (OttlaError, OSError) as error:
                log_events.warning("schemas_not_followed", cause=str(error))
                await trio.sleep(RETRY_PAUSE_S)
                continue
            self._log, self._read_at = log, began_at
            await self._asked.wait()
            self._asked = trio.Event()


def _records(batch: memoryview, opening: Opening) -> Iterator[Record]:
    header = read_header(batch)
    return map(Record, *decode_data(header, opening.data_of(header, batch)))


def _part(subject: str) -> str:
    return "key" if subject.endswith("-key") else "value"
