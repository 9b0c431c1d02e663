"""The posting service: the page, its endpoints, and what the page knows.

Must never know: what other services do with events; it reads what they say.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
import trio

from client import Admin, AdminConfig, Environment, Producer, ProducerConfig
from client.avro import AvroDeserializer
from client.schema_registry import SchemaRegistry
from protocol.errors import OttlaError
from registry.http.server import bind, serve_http

from .contracts import EVENTS, schema_text
from .publisher import Ledger, Publisher
from .service import BREATH_S, first_cause, load_progress, open_reading, read_value, state_file
from .state_file import StateFile
from .view import TOPICS, View
from .web import Web

if TYPE_CHECKING:
    from .service import Reading, Settings
    from .stage import Stage

log_events = structlog.get_logger()

NAME: Final = "posting"
DELIVERY_TIMEOUT_S: Final = 20.0
LOOK_S: Final = 0.5
"""How often brokers are asked who leads."""

PAUSE_S: Final = 1.0


async def run_posting(settings: Settings, stage: Stage, *, port: int) -> None:
    """Serve until cancelled; the page can be had, and shows what is known, without any broker."""
    file = StateFile(settings.directory / "ledger.msgpack")
    with bind("127.0.0.1", port) as listener:
        ledger = Ledger(file, await trio.to_thread.run_sync(file.load))
        progress = await load_progress(state_file(settings))
        web = Web(View(progress.state), ledger, stage)
        stage.heard = partial(_note, web)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_work, settings, web)
            try:
                await serve_http(web.app(), listener, until=trio.sleep_forever)
            finally:
                web.ending.set()


async def _work(settings: Settings, web: Web) -> None:
    """Work with brokers and registry; begin anew whenever that fails."""
    while True:
        try:
            await _work_while_well(settings, web)
        except* OttlaError as group:
            log_events.warning("work_begins_anew", why=str(first_cause(group)))
        finally:
            web.publisher = None
        await trio.sleep(PAUSE_S)


async def _work_while_well(settings: Settings, web: Web) -> None:
    told = ProducerConfig(delivery_timeout_s=DELIVERY_TIMEOUT_S)
    async with (
        SchemaRegistry(settings.registry) as registry,
        Producer(settings.bootstrap, told) as producer,
        open_reading(settings, NAME) as reading,
        Admin(settings.bootstrap, AdminConfig(timeout_s=LOOK_S * 4)) as admin,
    ):
        web.view = View(reading.progress.state)
        wall_ms = Environment.real().wall_ms
        publisher = Publisher(producer, registry, web.ledger, wall_ms=wall_ms)
        await publisher.find_version()
        web.publisher = publisher
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read, reading, registry, web)
            nursery.start_soon(_watch_leaders, admin, web)


def _note(web: Web, facts: dict[str, Any]) -> None:
    web.around.nodes = facts["nodes"]
    web.around.services = facts["services"]


async def _read(reading: Reading, registry: SchemaRegistry, web: Web) -> None:
    """Follow what the services say."""
    decode = {topic: AvroDeserializer(registry, schema_text(topic)) for topic in TOPICS}
    reading.subscribe(TOPICS)
    while True:
        records = await reading.batch()
        for record in records:
            value = await read_value(decode[record.topic], record)
            if value is not None:
                web.view.apply(record.topic, value)
        if records:
            await reading.keep(web.view.plain())
        await web.stage.tell(records=reading.progress.records)
        await trio.sleep(BREATH_S)


async def _watch_leaders(admin: Admin, web: Web) -> None:
    """Ask who leads the events; nobody may know for a moment."""
    while True:
        try:
            topic = (await admin.describe_topics([EVENTS]))[EVENTS]
        except OttlaError as error:
            log_events.warning("leaders_unknown", why=str(error))
        else:
            partitions = topic.partitions.values()
            web.around.leaders = {each.partition: each.leader_id for each in partitions}
            web.around.in_sync = {each.partition: len(each.isr) for each in partitions}
        await trio.sleep(LOOK_S)
