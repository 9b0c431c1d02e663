"""One connection, with tiny handlers over memory streams: order, bounds, and what breaks it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from broker.config import NetworkConfig
from broker.connection import Connection
from broker.dispatch import Dispatch, Route
from broker.faults import parse_faults
from broker.handlers import old_produce
from broker.traffic import Traffic
from protocol.api import ApiKey
from protocol.api.api_versions import ApiVersionsRequest, ApiVersionsResponse
from protocol.api.produce import (
    PartitionProduceData,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)
from protocol.errors import ErrorCode
from protocol.frame_reader import BufferPool, FrameReader
from protocol.framing import decode_response
from tests.broker.desk import (
    HEARTBEAT_VERSION,
    Client,
    Desk,
    connected,
    frame_of,
    heartbeat,
)

if TYPE_CHECKING:
    from broker.dispatch import RequestContext


async def test_later_requests_are_begun_while_an_earlier_one_waits(autojump_clock):
    desk = Desk()
    async with connected(desk) as (client, _):
        await client.send(heartbeat("wait-1", 1), heartbeat("wait-2", 2), heartbeat("now", 3))
        await trio.testing.wait_all_tasks_blocked()

        assert desk.begun == ["wait-1", "wait-2", "now"]


async def test_answers_come_in_the_order_of_requests_however_they_become_ready(autojump_clock):
    desk = Desk()
    async with connected(desk) as (client, _):
        await client.send(heartbeat("wait-1", 1), heartbeat("wait-2", 2), heartbeat("now", 3))
        await trio.testing.wait_all_tasks_blocked()
        desk.open("wait-2")
        await trio.testing.wait_all_tasks_blocked()
        assert desk.finished == ["wait-2"]
        desk.open("wait-1")

        assert [await client.heartbeat_answer() for _ in range(3)] == [(1, 0), (2, 0), (3, 0)]


async def test_delayed_answers_come_in_order_with_those_that_are_worked_at(autojump_clock):
    desk = Desk()
    names = ["delayed-1", "wait-2", "delayed-3", "now", "delayed-4"]
    async with connected(desk) as (client, _):
        await client.send(*(heartbeat(name, i) for i, name in enumerate(names)))
        await trio.testing.wait_all_tasks_blocked()
        assert desk.begun == names
        for name in ("delayed-4", "delayed-3", "delayed-1", "wait-2"):
            desk.open(name)
            await trio.testing.wait_all_tasks_blocked()

        assert [await client.heartbeat_answer() for _ in names] == [(i, 0) for i in range(5)]


async def test_delayed_answers_that_are_done_together_go_out_together(autojump_clock):
    desk = Desk()
    async with connected(desk) as (client, _):
        await client.send(*(heartbeat("delayed-all", i) for i in range(5)))
        await trio.testing.wait_all_tasks_blocked()
        desk.open("delayed-all")

        piece = await client.stream.receive_some()

        frames = FrameReader()
        frames.feed(piece)
        assert len(list(frames)) == 5


async def test_a_delayed_answer_that_crashes_is_an_error_of_its_request_alone(autojump_clock):
    desk, traffic = Desk(), Traffic()
    async with connected(desk, traffic=traffic) as (client, _):
        await client.send(heartbeat("delayed-crash", 1), heartbeat("delayed-2", 2))
        desk.open("delayed-crash")
        desk.open("delayed-2")

        assert await client.heartbeat_answer() == (1, ErrorCode.UNKNOWN_SERVER_ERROR)
        assert await client.heartbeat_answer() == (2, 0)
    assert traffic.requests_crashed == 1


async def test_draining_waits_for_delayed_answers(autojump_clock):
    desk = Desk()
    async with connected(desk) as (client, connection):
        await client.send(heartbeat("delayed-1", 1))
        await trio.testing.wait_all_tasks_blocked()
        connection.drain()
        await trio.testing.wait_all_tasks_blocked()
        desk.open("delayed-1")

        assert await client.heartbeat_answer() == (1, 0)
        assert await client.is_closed()


async def test_draining_ends_a_connection_whose_delayed_answers_are_given(autojump_clock):
    desk = Desk()
    async with connected(desk) as (client, connection):
        await client.send(heartbeat("delayed-1", 1))
        desk.open("delayed-1")
        assert await client.heartbeat_answer() == (1, 0)
        connection.drain()

        assert await client.is_closed()


def produce_frame(records: bytes, correlation_id: int) -> bytes:
    data = TopicProduceData("orders", [PartitionProduceData(0, records)])
    return frame_of(
        ProduceRequest(acks=1, timeout_ms=1_000, topic_data=[data]),
        version=9,
        correlation_id=correlation_id,
    )


@pytest.mark.parametrize("faults", ["", "Produce=delay/500"])
async def test_records_are_what_was_sent_however_late_a_request_is_handled(faults, autojump_clock):
    seen = []

    def handle(request: ProduceRequest, _context: RequestContext) -> ProduceResponse:
        (data,) = request.topic_data[0].partition_data
        seen.append(bytes(data.records or b""))
        return ProduceResponse()

    dispatch = Dispatch({ApiKey.PRODUCE: Route(handle, 3, 12)})
    dispatch.plant(parse_faults(faults))
    sent = [bytes([number]) * 30_000 for number in range(10)]
    ours, theirs = trio.testing.memory_stream_pair()
    connection = Connection(
        ours,
        dispatch=dispatch,
        config=NetworkConfig(),
        traffic=Traffic(),
        buffers=BufferPool(),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.serve)
        client = Client(theirs)
        for number, records in enumerate(sent):
            await client.send(produce_frame(records, number))
            await trio.testing.wait_all_tasks_blocked()
        for _ in sent:
            await client.receive()
        nursery.cancel_scope.cancel()

    assert seen == sent


async def test_requests_cut_anywhere_are_understood(autojump_clock):
    async with connected(Desk()) as (client, _):
        for byte in heartbeat("now", 1) + heartbeat("now", 2):
            await client.send(bytes([byte]))

        assert await client.heartbeat_answer() == (1, 0)
        assert await client.heartbeat_answer() == (2, 0)


async def test_reading_pauses_when_too_many_requests_are_in_work(autojump_clock):
    desk = Desk()
    async with connected(desk, connection_requests_max=3) as (client, _):
        await client.send(*(heartbeat(f"wait-{i}", i) for i in range(10)))
        await trio.testing.wait_all_tasks_blocked()
        assert desk.begun == ["wait-0", "wait-1", "wait-2"]

        desk.open("wait-0")
        await trio.testing.wait_all_tasks_blocked()

        assert desk.begun[3:] == ["wait-3"]


async def test_reading_pauses_when_requests_hold_too_many_bytes(autojump_clock):
    desk = Desk()
    big = "wait-" + "x" * 1_000
    async with connected(desk, connection_bytes_max=2_000) as (client, _):
        for i in range(5):
            await client.send(heartbeat(big, i))
        await trio.testing.wait_all_tasks_blocked()

        assert len(desk.begun) == 2
        desk.open(big)
        assert [(await client.heartbeat_answer())[0] for _ in range(5)] == list(range(5))


async def test_answers_that_nobody_reads_pause_the_reading(autojump_clock):
    desk = Desk()
    ours, theirs = trio.testing.lockstep_stream_pair()
    connection = Connection(
        ours,
        dispatch=Dispatch({ApiKey.HEARTBEAT: Route(desk, 0, HEARTBEAT_VERSION)}),
        config=NetworkConfig(connection_requests_max=4),
        traffic=Traffic(),
        buffers=BufferPool(),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.serve)
        nursery.start_soon(theirs.send_all, b"".join(heartbeat("now", i) for i in range(100)))
        await trio.testing.wait_all_tasks_blocked()

        assert len(desk.begun) == 4
        client = Client(theirs)
        assert [await client.heartbeat_answer() for _ in range(100)] == [(i, 0) for i in range(100)]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("name", ["silent", "wait-silent"])
async def test_a_request_that_expects_no_answer_gets_none(name, autojump_clock):
    desk = Desk()
    desk.open("wait-silent")
    async with connected(desk) as (client, _):
        await client.send(heartbeat(name, 1), heartbeat("now", 2))

        assert await client.heartbeat_answer() == (2, 0)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("refuse", ErrorCode.ILLEGAL_GENERATION),
        ("disk", ErrorCode.KAFKA_STORAGE_ERROR),
        ("store", ErrorCode.REQUEST_TIMED_OUT),
        ("crash", ErrorCode.UNKNOWN_SERVER_ERROR),
        ("wait-crash", ErrorCode.UNKNOWN_SERVER_ERROR),
        ("unencodable", ErrorCode.UNKNOWN_SERVER_ERROR),
    ],
)
async def test_what_a_handler_raises_is_answered_in_its_turn(name, code, autojump_clock):
    desk = Desk()
    desk.open("wait-crash")
    async with connected(desk) as (client, _):
        await client.send(heartbeat("now", 1), heartbeat(name, 2), heartbeat("now", 3))

        answers = [await client.heartbeat_answer() for _ in range(3)]

    assert answers == [(1, 0), (2, code), (3, 0)]


@pytest.mark.parametrize("name", ["crash", "wait-crash", "refuse"])
async def test_a_failure_that_has_no_place_in_the_response_closes_the_connection(
    name, autojump_clock
):
    desk = Desk()
    desk.open("wait-crash")
    async with connected(desk, refuse=None) as (client, _):
        await client.send(heartbeat(name, 1))

        assert await client.is_closed()


async def test_a_crash_while_refusing_closes_that_connection_only(autojump_clock):
    def crash(*_: object) -> None:
        raise ZeroDivisionError

    traffic = Traffic()
    async with connected(Desk(), refuse=crash, traffic=traffic) as (client, _):
        await client.send(heartbeat("refuse", 1))

        assert await client.is_closed()
    assert traffic.requests_crashed == 1


async def test_nothing_is_begun_after_a_request_that_closes_the_connection(autojump_clock):
    desk = Desk()
    async with connected(desk) as (client, _):
        await client.send(heartbeat("nonsense", 1), heartbeat("now", 2))

        assert await client.is_closed()
    assert desk.begun == ["nonsense"]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(struct.pack(">i", 2**31 - 1), id="announces too much"),
        pytest.param(struct.pack(">i", -5), id="announces less than nothing"),
        pytest.param(struct.pack(">i", 0), id="empty frame"),
        pytest.param(struct.pack(">ihhi", 8, 12, 4, 1), id="header cut"),
        pytest.param(struct.pack(">ihhih", 10, 999, 0, 1, -1), id="unknown API"),
        pytest.param(struct.pack(">ihhih", 10, 12, 99, 1, -1), id="unknown version"),
        pytest.param(struct.pack(">ihhihb", 11, 12, 4, 1, -1, 0), id="no body"),
        pytest.param(struct.pack(">i", 25) + heartbeat("now", 1)[4:29], id="cut body"),
    ],
)
async def test_what_cannot_be_understood_closes_the_connection(data, autojump_clock):
    desk = Desk()
    async with connected(desk) as (client, _):
        await client.send(data)

        assert await client.is_closed()
    assert desk.begun == []


async def test_an_api_versions_request_of_the_future_is_answered_in_version_0(autojump_clock):
    async with connected(Desk()) as (client, _):
        body = struct.pack(">hhihb", 18, 77, 5, -1, 0) + b"whatever the future holds"
        await client.send(struct.pack(">i", len(body)) + body)

        correlation_id, response = decode_response(ApiVersionsResponse, 0, await client.receive())

    assert correlation_id == 5
    assert response.error_code == ErrorCode.UNSUPPORTED_VERSION
    (entry,) = response.api_keys
    assert (entry.api_key, entry.min_version, entry.max_version) == (18, 0, 4)


async def test_api_versions_advertises_the_table_and_more_of_produce_than_is_served(autojump_clock):
    async with connected(Desk()) as (client, _):
        await client.send(frame_of(ApiVersionsRequest(), version=4, correlation_id=1))
        _, response = decode_response(ApiVersionsResponse, 4, await client.receive())

    versions = {key.api_key: (key.min_version, key.max_version) for key in response.api_keys}
    assert versions == {0: (0, 12), 12: (0, 4), 18: (0, 4)}


@pytest.mark.parametrize("version", [0, 1, 2])
async def test_produce_before_version_3_is_refused_in_its_own_format(version, autojump_clock):
    topic = TopicProduceData(
        name="t", partition_data=[PartitionProduceData(index=7, records=b"old")]
    )
    asked = old_produce.OldProduceRequest(acks=1, timeout_ms=9, topic_data=[topic])
    async with connected(Desk()) as (client, _):
        await client.send(frame_of(asked, version=version, correlation_id=1))
        _, response = decode_response(
            old_produce.OldProduceResponse, version, await client.receive()
        )

    (partition,) = response.responses[0].partition_responses
    assert (partition.index, partition.error_code) == (7, ErrorCode.UNSUPPORTED_VERSION)


async def test_produce_before_version_3_without_acks_closes_the_connection(autojump_clock):
    async with connected(Desk()) as (client, _):
        await client.send(frame_of(old_produce.OldProduceRequest(acks=0), version=1))

        assert await client.is_closed()


async def test_a_silent_connection_is_closed(autojump_clock):
    async with connected(Desk(), connections_max_idle_ms=5_000) as (client, connection):
        await trio.sleep(4)
        await client.send(heartbeat("now", 1))
        assert await client.heartbeat_answer() == (1, 0)
        await trio.sleep(4)
        connection.close_if_silent()
        await client.send(heartbeat("now", 2))
        assert await client.heartbeat_answer() == (2, 0)

        await trio.sleep(5)
        connection.close_if_silent()

        assert await client.is_closed()


async def test_a_connection_that_waits_for_an_answer_is_not_silent(autojump_clock):
    desk = Desk()
    async with connected(desk, connections_max_idle_ms=5_000) as (client, connection):
        await client.send(heartbeat("wait", 1))
        await trio.sleep(12)
        connection.close_if_silent()
        desk.open("wait")
        assert await client.heartbeat_answer() == (1, 0)

        connection.close_if_silent()
        await client.send(heartbeat("now", 2))
        assert await client.heartbeat_answer() == (2, 0)


async def test_a_peer_that_does_not_read_its_answer_is_silent(autojump_clock):
    desk = Desk()
    ours, theirs = trio.testing.lockstep_stream_pair()
    connection = Connection(
        ours,
        dispatch=Dispatch({ApiKey.HEARTBEAT: Route(desk, 0, HEARTBEAT_VERSION)}),
        config=NetworkConfig(connections_max_idle_ms=5_000),
        traffic=Traffic(),
        buffers=BufferPool(),
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.serve)
        await theirs.send_all(heartbeat("wait", 1))
        await trio.sleep(12)
        desk.open("wait")
        await trio.testing.wait_all_tasks_blocked()
        connection.close_if_silent()
        await trio.sleep(4)
        assert nursery.child_tasks, "it has only just begun to be answered"

        await trio.sleep(1)
        connection.close_if_silent()
        await trio.testing.wait_all_tasks_blocked()

        assert not nursery.child_tasks


async def test_waiting_ends_when_the_client_leaves(autojump_clock):
    desk = Desk()
    async with connected(desk) as (client, _):
        await client.send(heartbeat("wait", 1))
        await trio.testing.wait_all_tasks_blocked()
        await client.stream.aclose()
        await trio.testing.wait_all_tasks_blocked()
        desk.open("wait")
        await trio.testing.wait_all_tasks_blocked()

    assert desk.finished == []


async def test_draining_answers_what_is_in_work_and_reads_no_more(autojump_clock):
    desk = Desk()
    async with connected(desk) as (client, connection):
        await client.send(heartbeat("wait", 1))
        await trio.testing.wait_all_tasks_blocked()
        connection.drain()
        await client.send(heartbeat("now", 2))
        await trio.testing.wait_all_tasks_blocked()
        desk.open("wait")

        assert await client.heartbeat_answer() == (1, 0)
        assert await client.is_closed()
    assert desk.begun == ["wait"]


async def test_draining_begins_nothing_that_waits_for_room(autojump_clock):
    desk = Desk()
    async with connected(desk, connection_requests_max=1) as (client, connection):
        await client.send(heartbeat("wait", 1), heartbeat("now", 2))
        await trio.testing.wait_all_tasks_blocked()
        connection.drain()
        desk.open("wait")

        assert await client.heartbeat_answer() == (1, 0)
        assert await client.is_closed()
    assert desk.begun == ["wait"]


async def test_traffic_is_counted(autojump_clock):
    traffic = Traffic()
    async with connected(Desk(), traffic=traffic) as (client, _):
        frames = [heartbeat("now", i) for i in range(3)]
        await client.send(*frames)
        for _ in frames:
            await client.heartbeat_answer()
        await trio.testing.wait_all_tasks_blocked()

    assert traffic.requests == 3
    assert traffic.bytes_in == sum(map(len, frames))
    assert traffic.bytes_out == 3 * 16
