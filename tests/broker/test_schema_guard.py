"""What a broker does while it parses the schemas that records are held against."""

from __future__ import annotations

import pytest
import trio
from structlog.testing import capture_logs

import schemas.avro
from broker.opening import Opening
from broker.schema_guard import InvalidRecord, SchemaGuard, SchemasNotRead
from client import Producer, UnknownTopic
from client.background import background_tasks
from protocol.batch import HEADER_BYTES, make_batch, read_header
from protocol.errors import OttlaError
from protocol.records import Record, encode_batch
from registry.log import SchemasLog
from schemas.schema import WIRE_HEADER
from simulation.cluster import simulated_cluster
from tests.support.registries import registries

BOUND_S = 300
ANOTHER_S = 1.0
"""Clients try again after less, and it is long enough to read what was registered."""

TRIES_MAX = 10


def fixed(size: int) -> str:
    """Write a schema of which everything that has a size is a value."""
    return f'{{"type":"fixed","name":"F{size}","size":{size}}}'


class House:
    """A guard beside a cluster with a registry; what it has parsed is counted in `parsed`."""

    def __init__(self, cluster, registry):
        self.cluster, self.registry = cluster, registry
        self.parsed = 0
        self._parsing = 0
        self.gate = trio.Event()
        self.gate.set()
        self.guard = SchemaGuard(
            lambda: cluster.bootstrap, cluster.environment("guard"), self._in_a_thread
        )

    async def _in_a_thread(self, compute):
        assert not self._parsing, "one after the other"
        self._parsing += 1
        self.parsed += 1
        await self.gate.wait()
        compute()
        self._parsing -= 1

    def check(self, schema_id: int, size: int, *, topic: str = "t", mode: str = "payload") -> None:
        """Hold a record against its schema, as a produce does."""
        value = WIRE_HEADER.pack(0, schema_id) + bytes(size)
        batch = encode_batch([Record(0, 0, None, value, ())])
        self.guard.check(topic, memoryview(batch), mode, Opening())

    async def settle(self, *arguments: int, **options: str) -> None:
        """Check as a client does, which tries again."""
        for _ in range(TRIES_MAX):
            try:
                return self.check(*arguments, **options)
            except SchemasNotRead:
                await trio.sleep(ANOTHER_S)
        raise AssertionError(f"not decided after {TRIES_MAX} times")

    async def register(self, size: int, topic: str = "t") -> int:
        """Register a schema for a topic. Returns: its id."""
        status, told = await self.registry.register(f"{topic}-value", fixed(size))
        assert status == 200, told
        return told["id"]


@pytest.fixture
async def house(autojump_clock):
    """Run a guard. Returns: House."""
    with trio.fail_after(BOUND_S):
        async with (
            simulated_cluster(1) as cluster,
            registries(cluster, 1) as (_, (caller,), nursery),
        ):
            await caller.call("PUT", "/config", {"compatibility": "NONE"})
            house = House(cluster, caller)
            nursery.start_soon(house.guard.run)
            yield house


async def test_records_come_again_while_their_schema_is_parsed_and_others_are_taken(house):
    first, second = await house.register(1), await house.register(2)
    await house.settle(first, 1)
    house.gate = trio.Event()

    for _ in range(3):
        with pytest.raises(SchemasNotRead, match=f"schema {second} of subject t-value is being"):
            house.check(second, 2)
        house.check(first, 1)
        await trio.sleep(ANOTHER_S)

    house.gate.set()
    await house.settle(second, 2)
    assert house.parsed == 2


async def test_schemas_are_parsed_one_after_the_other(house):
    ids = [await house.register(size) for size in (1, 2, 3)]
    await house.settle(ids[0], 1, mode="id")

    for size, schema_id in enumerate(ids, 1):
        with pytest.raises(SchemasNotRead):
            house.check(schema_id, size)

    await trio.sleep(ANOTHER_S)
    for size, schema_id in enumerate(ids, 1):
        house.check(schema_id, size)
    assert house.parsed == len(ids)


async def test_a_schema_is_parsed_once_whatever_else_is_registered(house):
    schema_id = await house.register(1)
    for size in (2, 3, 4):
        await house.settle(schema_id, 1)
        await house.register(size, "another")
        await trio.sleep(ANOTHER_S)

    house.check(schema_id, 1)
    assert house.parsed == 1


async def test_no_schema_is_parsed_for_the_sake_of_its_id(house):
    schema_id = await house.register(1)

    await house.settle(schema_id, 2, mode="id")

    assert not house.parsed


async def test_a_header_whose_name_is_no_utf_8_keeps_no_record_out(house):
    schema_id = await house.register(5)
    value = WIRE_HEADER.pack(0, schema_id) + bytes(5)
    batch = encode_batch([Record(0, 0, None, value, (("?name", b"1"),))])
    odd = make_batch(read_header(batch), batch[HEADER_BYTES:].replace(b"?name", b"\xffname"))

    await house.settle(schema_id, 5)
    house.guard.check("t", memoryview(odd), "payload", Opening())


async def test_a_schema_that_cannot_be_parsed_is_remembered_as_such(house):
    await house.register(1)
    key = b'{"keytype":"SCHEMA","subject":"t-value","version":7,"magic":1}'
    value = b'{"subject":"t-value","version":7,"id":77,"schema":"{}","deleted":false}'
    environment = house.cluster.environment("p")
    async with Producer(house.cluster.bootstrap, environment=environment) as producer:
        await producer.send("_schemas", value, key=key)

    for _ in range(3):
        with pytest.raises(InvalidRecord, match="schema 77, which cannot be used"):
            await house.settle(77, 1)
    assert house.parsed == 1


async def test_a_bug_of_the_parser_is_met_by_those_alone_who_use_the_schema(house, monkeypatch):
    schema_id, another = await house.register(1), await house.register(2)
    await house.settle(another, 2)

    def parse(text, dependencies=()):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(schemas.avro, "parse", parse)
    with capture_logs() as told:
        for _ in range(2):
            with pytest.raises(InvalidRecord, match="which cannot be used: .*oops"):
                await house.settle(schema_id, 1)

    house.check(another, 2)
    assert [each["event"] for each in told if each["log_level"] == "error"] == ["schema_not_parsed"]


@pytest.fixture
def lose(house, monkeypatch):
    """Gives: what ends the reading of schemas, with an error and for good."""
    lost = trio.Event()
    errors = []
    read = SchemasLog.run

    async def run(log):
        async with background_tasks() as nursery:
            nursery.start_soon(read, log)
            await lost.wait()
            raise errors[0]

    async def lose(error):
        errors.append(error)
        lost.set()
        await trio.sleep(ANOTHER_S)

    monkeypatch.setattr(SchemasLog, "run", run)
    return lose


async def test_while_nothing_can_be_read_records_whose_schema_is_not_parsed_come_again(house, lose):
    schema_id, another = await house.register(1), await house.register(2)
    await house.settle(schema_id, 1)
    await house.settle(another, 2, mode="id")

    await lose(OttlaError("the cluster is away"))

    house.check(schema_id, 1)
    house.check(another, 2, mode="id")
    with pytest.raises(SchemasNotRead, match="is being read"):
        house.check(another, 2)


async def test_nothing_is_registered_any_more_once_there_is_no_topic_of_schemas(house, lose):
    schema_id = await house.register(1)
    await house.settle(schema_id, 1)

    await lose(UnknownTopic("_schemas"))

    with pytest.raises(InvalidRecord, match="not registered"):
        await house.settle(schema_id, 1)
