"""Writes events, with `acks=all`, and keeps a ledger of what was acknowledged.

Must never know: HTTP, what services make of events.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Literal

import trio

from client.avro import AvroSerializer
from client.schema_registry import SCHEMA_NOT_FOUND, RegistrySchema, SchemaRegistryError

from .contracts import EVENTS, event_schema
from .people import conversation_of
from .receipts import Acknowledged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from client import Producer
    from client.schema_registry import SchemaRegistry

    from .receipts import Seen, Verdict
    from .state_file import StateFile

SUBJECT: Final = f"{EVENTS}-value"
RECENT_KEPT: Final = 12
HASHTAG: Final = re.compile(r"#(\w+)")
HASHTAGS_MAX: Final = 5


class Ledger:
    """What was acknowledged: on disk before anybody is told so."""

    def __init__(self, file: StateFile, plain: Any = None) -> None:
        told = plain or {"acknowledged": {}, "recent": {}}
        self._acknowledged = Acknowledged.of(told["acknowledged"], now=trio.current_time())
        self._recent = {user: deque(each, RECENT_KEPT) for user, each in told["recent"].items()}
        self._file = file
        self._turn = trio.Lock()

    async def note(self, event: Mapping[str, Any], where: Mapping[str, Any]) -> None:
        """Note an acknowledged event and where it was written."""
        run, _, number = event["event_id"].partition(":")
        self._acknowledged.note(run, int(number), now=trio.current_time())
        recent = self._recent.setdefault(event["user_id"], deque(maxlen=RECENT_KEPT))
        recent.append({**event, **where})
        async with self._turn:
            await self._file.save(self._plain())

    def recent(self, user: str) -> list[Any]:
        """Give what somebody did last, newest first."""
        return list(reversed(self._recent.get(user, ())))

    def verdict(self, seen: dict[str, Seen]) -> Verdict:
        """Hold what was acknowledged against what was seen."""
        return self._acknowledged.verdict(seen, now=trio.current_time())

    def _plain(self) -> Any:
        recent = {user: list(each) for user, each in self._recent.items()}
        return {"acknowledged": self._acknowledged.plain(), "recent": recent}


class Publisher:
    """Gives events their numbers, and writes them by the version of the schema that is in use."""

    def __init__(
        self,
        producer: Producer,
        registry: SchemaRegistry,
        ledger: Ledger,
        *,
        wall_ms: Callable[[], int],
    ) -> None:
        """Prepare a new run, which is named by its time; `wall_ms` in milliseconds since 1970."""
        self.ledger = ledger
        self.version: Literal[1, 2] = 1
        """The version of the events' schema that is written with."""
        self.refusal = ""
        """What the registry said when the schema was to be broken."""
        self._producer = producer
        self._registry = registry
        self._wall_ms = wall_ms
        self._run = f"{wall_ms():x}"
        self._number = 0
        self._serialize = self._serializer()

    async def find_version(self) -> None:
        """Go on with version 2 where that is registered already.

        Raises: SchemaRegistryError, SchemaRegistryUnreachable.
        """
        try:
            await self._registry.look_up(SUBJECT, RegistrySchema(event_schema(2)))
        except SchemaRegistryError as error:
            if error.code != SCHEMA_NOT_FOUND:
                raise
        else:
            self._use_version_2()

    async def publish(
        self,
        user: str,
        action: Literal["post", "like", "message"],
        *,
        post_id: str = "",
        text: str = "",
        to: str = "",
    ) -> dict[str, Any]:
        """Write an event. Returns: the event, and where brokers have it, once that is acknowledged.

        Raises: DeliveryFailed, and what a producer and a serializer raise.
        """
        self._number += 1
        event_id = f"{self._run}:{self._number}"
        event: dict[str, Any] = {
            "event_id": event_id,
            "user_id": user,
            "post_id": event_id if action == "post" else post_id,
            "timestamp": self._wall_ms(),
            "action_type": action,
            "text": text,
            "to": to,
        }
        if self.version == 2:
            event["hashtags"] = HASHTAG.findall(text)[:HASHTAGS_MAX]
        # All about a post is in one partition, in order; so is a conversation.
        key = event["post_id"] or conversation_of(user, to)
        value = await self._serialize(EVENTS, event)
        written = await self._producer.send(EVENTS, value, key=key.encode())
        where = {"partition": written.partition, "offset": written.offset, "schema": self.version}
        await self.ledger.note(event, where)
        return {**event, **where}

    async def evolve(self) -> int:
        """Register version 2 and go on with it, while consumers run. Returns: its id.

        Raises: SchemaRegistryError, SchemaRegistryUnreachable.
        """
        schema_id = await self._registry.register(SUBJECT, RegistrySchema(event_schema(2)))
        self._use_version_2()
        return schema_id

    async def break_schema(self) -> str:
        """Try to register what nobody could read any more. Returns: what the registry says.

        Raises: SchemaRegistryUnreachable.
        """
        try:
            schema_id = await self._registry.register(SUBJECT, RegistrySchema(event_schema(3)))
        except SchemaRegistryError as error:
            self.refusal = str(error)
        else:
            level = await self._registry.level(SUBJECT)
            self.refusal = f"registered as schema {schema_id}: the level of {SUBJECT} is {level}"
        return self.refusal

    def _use_version_2(self) -> None:
        self.version = 2
        self._serialize = self._serializer()

    def _serializer(self) -> AvroSerializer:
        return AvroSerializer(self._registry, event_schema(self.version), auto_register=False)
