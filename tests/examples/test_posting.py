"""What the page makes of records that no service has written."""

from __future__ import annotations

import io
import json

import fastavro
import pytest
import trio

from client.records import ConsumerRecord
from client.schema_registry import RegistrySchema, SchemaRegistryError
from examples.social.contracts import FEED, RESULTS, schema_text
from examples.social.feed import Feed
from examples.social.posting import _read
from examples.social.publisher import Ledger
from examples.social.service import Progress
from examples.social.state_file import StateFile
from examples.social.view import View
from examples.social.web import Web
from tests.examples.events import apply_all, post

STRANGE = '{"type":"record","name":"Strange","fields":[{"name":"user_id","type":"string"}]}'
IDS = {1: schema_text(FEED), 2: STRANGE, 3: '"string"'}


class Registered:
    """A registry that has a few schemas, or cannot be asked."""

    def __init__(self) -> None:
        self.failure: Exception | None = None

    async def schema(self, schema_id):
        if self.failure is not None:
            raise self.failure
        if schema_id not in IDS:
            raise SchemaRegistryError(40403, f"Schema {schema_id} not found")
        return RegistrySchema(IDS[schema_id])


class Scripted:
    """Reads one batch, then nothing."""

    def __init__(self, *values: bytes | None) -> None:
        self.progress = Progress()
        self.kept = trio.Event()
        self._values = values

    def subscribe(self, topics) -> None:
        assert set(topics) == set(RESULTS)

    async def batch(self) -> list[ConsumerRecord]:
        values, self._values = self._values, ()
        return [ConsumerRecord(FEED, 0, n, 0, None, v, (), 0) for n, v in enumerate(values)]

    async def keep(self, state) -> None:
        self.kept.set()


class Silent:
    async def tell(self, **facts) -> None:
        pass


def encoded(schema_id: int, value) -> bytes:
    written = io.BytesIO()
    fastavro.schemaless_writer(written, fastavro.parse_schema(json.loads(IDS[schema_id])), value)
    return b"\0" + schema_id.to_bytes(4, "big") + written.getvalue()


def said_of(post_id: str) -> bytes:
    """What the feed says to somebody of a post."""
    entry = next(one for one in apply_all(Feed(), post(post_id, user="mira")) if one.key == "mira")
    return encoded(1, entry.value)


@pytest.fixture
async def web(tmp_path) -> Web:
    return Web(View(), Ledger(StateFile(tmp_path / "ledger")), Silent())


FOREIGN = {
    "plain text": b"hello",
    "no value": None,
    "an unknown id": b"\0\0\0\0\x63",
    "half a value": said_of("run:1")[:-3],
    "another record": encoded(2, {"user_id": "mira"}),
    "no record": encoded(3, "mira"),
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
async def test_the_page_reads_on_behind_what_no_service_has_written(web, foreign, autojump_clock):
    reading = Scripted(said_of("run:1"), foreign, said_of("run:2"))
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read, reading, Registered(), web)
            await reading.kept.wait()
            nursery.cancel_scope.cancel()

    assert {entry["post_id"] for entry in web.view.feed_of("mira")} == {"run:1", "run:2"}


async def test_what_the_registry_does_not_tell_now_is_asked_for_again(web, autojump_clock):
    registry = Registered()
    registry.failure = SchemaRegistryError(50003, "no leader")

    with pytest.raises(SchemaRegistryError):
        await _read(Scripted(said_of("run:1")), registry, web)
