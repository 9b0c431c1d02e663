from __future__ import annotations

import io
import json

import fastavro
import pytest

from client.avro import AvroDeserializer, AvroSerializer
from client.schema_registry import RegistrySchema
from examples.social.contracts import EVENTS, RESULTS, Event, event_schema, schema_text
from examples.social.feed import Feed
from examples.social.messages import Messages
from examples.social.notifications import Notifications
from examples.social.trending import LATENESS_MS, WINDOW_MS, Trending
from tests.examples.events import apply_all, like, post

FIELDS = {
    "event_id": "run:1",
    "user_id": "mira",
    "post_id": "run:1",
    "timestamp": 1,
    "action_type": "post",
    "text": "hello #world",
    "to": "",
}


def read(version: int, fields: dict, reader: int) -> Event:
    writer = fastavro.parse_schema(json.loads(event_schema(version)))
    written = io.BytesIO()
    fastavro.schemaless_writer(written, writer, fields)
    written.seek(0)
    wanted = fastavro.parse_schema(json.loads(event_schema(reader)))
    return Event.of(fastavro.schemaless_reader(written, writer, wanted))


def test_readers_of_each_version_read_what_the_other_has_written():
    tagged = {**FIELDS, "hashtags": ["world"]}

    assert read(1, FIELDS, 2) == read(1, FIELDS, 1) == read(2, tagged, 1)
    assert read(2, tagged, 2).hashtags == ("world",)


def test_nobody_who_reads_by_version_3_can_read_earlier_events():
    with pytest.raises(fastavro.read.SchemaResolutionError):
        read(2, {**FIELDS, "hashtags": []}, 3)


class Registered:
    """A registry that has one schema, under the id 1."""

    def __init__(self, text: str) -> None:
        self.text = text

    async def look_up(self, subject, schema, *, normalize=False):
        del subject, normalize
        assert schema.text == self.text
        return type("Found", (), {"schema_id": 1})

    async def schema(self, _id):
        return RegistrySchema(self.text)


async def test_every_result_fits_the_schema_of_its_topic():
    events = [
        post("run:1", user="mira", hashtags=["a"]),
        post("run:2", user="teo"),
        like(3, "run:1", user="teo"),
        like(4, "run:2", user="mira"),
        post("run:5", at=10 * WINDOW_MS + LATENESS_MS),
    ]
    results = []
    for logic in (Feed(), Notifications(), Messages(), Trending()):
        results += [*apply_all(logic, *events), *logic.summaries()]

    assert {result.topic for result in results} == set(RESULTS)
    for result in results:
        registry = Registered(schema_text(result.topic))
        serialize = AvroSerializer(registry, schema_text(result.topic), auto_register=False)
        written = await serialize(result.topic, result.value)
        assert await AvroDeserializer(registry)(result.topic, written) == result.value


def test_no_result_goes_where_events_are():
    assert EVENTS not in RESULTS
