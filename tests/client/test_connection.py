from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from client.connection import open_connection
from client.environment import Environment
from client.errors import ConnectFailed, ConnectionBroken, RequestTimedOut, UnsupportedApi
from protocol.api import API, ApiKey
from protocol.api.api_versions import ApiVersionsRequest
from protocol.api.metadata import MetadataRequest, MetadataResponse, MetadataResponseBroker
from protocol.api.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from protocol.codec import decode
from protocol.errors import ErrorCode
from protocol.frame_reader import FrameReader
from protocol.framing import decode_request_header, encode_response
from simulation.network import MemoryNetwork

QUESTION = MetadataRequest(topics=[])


def connect(cluster, broker_id=0, **options):
    return open_connection(
        cluster.network.host("client"), f"broker-{broker_id}", 9092, client_id="test", **options
    )


class Peer:
    """The other end of one connection, in the hands of a test."""

    def __init__(self, nursery):
        self.network = MemoryNetwork()
        self._nursery = nursery
        self._streams, self._accepted = trio.open_memory_channel(1)

    async def start(self):
        listener = await self.network.host("peer").listen("", 1)

        async def accept():
            await self._streams.send(await listener.accept())

        self._nursery.start_soon(accept)

    def connect(self):
        return open_connection(
            self.network.host("client"), "peer", 1, client_id="test", negotiate=False
        )

    async def accept(self):
        self.stream = await self._accepted.receive()
        self.reader = FrameReader()

    async def receive(self):
        while (frame := self.reader.next_frame()) is None:
            self.reader.feed(await self.stream.receive_some())
        return decode_request_header(frame)[0]

    async def answer(self, header, node_id=0, *, correlation_id=None):
        response = MetadataResponse(brokers=[MetadataResponseBroker(node_id)])
        chunks = encode_response(
            response,
            api_version=header.api_version,
            correlation_id=header.correlation_id if correlation_id is None else correlation_id,
        )
        await self.stream.send_all(b"".join(chunks))


@pytest.fixture
async def peer(nursery):
    peer = Peer(nursery)
    await peer.start()
    return peer


async def test_versions_are_the_highest_that_both_ends_speak(cluster):
    cluster.versions[ApiKey.METADATA] = (0, 5)
    cluster.versions[ApiKey.FETCH] = (4, 99)

    async with connect(cluster) as connection:
        assert connection.version_of(ApiKey.METADATA) == 5
        assert connection.version_of(ApiKey.FETCH) == API[ApiKey.FETCH].versions[1]


async def test_an_api_without_a_common_version_is_named(cluster):
    del cluster.versions[ApiKey.PRODUCE]
    cluster.versions[ApiKey.FETCH] = (98, 99)

    async with connect(cluster) as connection:
        with pytest.raises(UnsupportedApi, match="broker-0:9092 does not offer it.* Produce 3-"):
            await connection.call(ProduceRequest())
        with pytest.raises(UnsupportedApi, match="offers versions 98-99.* Fetch"):
            connection.version_of(ApiKey.FETCH)


async def test_an_old_broker_is_asked_for_versions_again_as_it_understands(cluster):
    cluster.versions[ApiKey.API_VERSIONS] = (0, 2)

    async with connect(cluster) as connection:
        answer = await connection.call(QUESTION)

    assert answer.cluster_id == "fake"
    asked = [(v, r) for _, key, v, r in cluster.requests if key is ApiKey.API_VERSIONS]
    assert asked == [(0, ApiVersionsRequest())]


async def test_a_refused_handshake_names_the_code(cluster):
    cluster.script(ApiKey.API_VERSIONS, ErrorCode.CLUSTER_AUTHORIZATION_FAILED)

    with pytest.raises(ConnectionBroken, match="CLUSTER_AUTHORIZATION_FAILED"):
        async with connect(cluster):
            pass


async def test_a_refused_connect_names_address_and_cause(cluster):
    with pytest.raises(ConnectFailed, match="broker-9:9092: nothing listens"):
        async with connect(cluster, 9):
            pass


async def test_a_machine_that_is_gone_is_not_waited_for_long(autojump_clock):
    class Nowhere:
        async def connect(self, host, port):
            await trio.sleep_forever()

    with trio.fail_after(10), pytest.raises(ConnectFailed, match="gone:9092: no answer within 5 s"):
        async with open_connection(Nowhere(), "gone", 9092, client_id="test", negotiate=False):
            pass


async def test_requests_are_pipelined_and_answers_find_their_callers(peer, autojump_clock):
    answers = {}

    async with peer.connect() as connection, trio.open_nursery() as nursery:

        async def ask(index):
            response = await connection.call(QUESTION)
            answers[index] = response.brokers[0].node_id

        for index in range(3):
            nursery.start_soon(ask, index)
            await wait_all_tasks_blocked()
        await peer.accept()
        headers = [await peer.receive() for _ in range(3)]
        for index, header in enumerate(headers):
            await peer.answer(header, node_id=100 + index)

    assert answers == {0: 100, 1: 101, 2: 102}
    assert headers[0].client_id == "test"


async def test_a_cancelled_call_leaves_the_connection_usable(peer, autojump_clock):
    async with peer.connect() as connection:
        with trio.move_on_after(1):
            await connection.call(QUESTION)
        await peer.accept()
        late = await peer.receive()

        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def answer_both():
                header = await peer.receive()
                await peer.answer(late, node_id=1)
                await peer.answer(header, node_id=2)

            response = await connection.call(QUESTION)

        assert response.brokers[0].node_id == 2


async def test_a_silent_peer_is_timed_out_and_everything_behind_it_fails(peer, autojump_clock):
    async with peer.connect() as connection, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait_longer():
            with pytest.raises(RequestTimedOut):
                await connection.call(QUESTION, timeout_s=60)

        with pytest.raises(RequestTimedOut, match="peer:1 did not answer Metadata within 2 s"):
            await connection.call(QUESTION, timeout_s=2)
        with pytest.raises(ConnectionBroken):
            await connection.call(QUESTION)

    assert trio.current_time() == pytest.approx(2)


async def test_a_lost_connection_fails_all_that_waits(peer, autojump_clock):
    async with peer.connect() as connection, trio.open_nursery() as nursery:

        async def ask():
            with pytest.raises(ConnectionBroken, match="peer:1"):
                await connection.call(QUESTION)

        nursery.start_soon(ask)
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        peer.network.kill("peer")


async def test_an_answer_to_another_question_breaks_the_connection(peer, autojump_clock):
    async with peer.connect() as connection, trio.open_nursery() as nursery:

        @nursery.start_soon
        async def answer():
            await peer.accept()
            await peer.answer(await peer.receive(), correlation_id=77)

        with pytest.raises(ConnectionBroken, match="response 77 came, 1 was expected"):
            await connection.call(QUESTION)


async def test_an_oversized_frame_breaks_the_connection(nursery, peer, autojump_clock):
    async with peer.connect() as connection:

        @nursery.start_soon
        async def answer():
            await peer.accept()
            await peer.stream.send_all(b"\x7f\xff\xff\xff")

        with pytest.raises(ConnectionBroken, match="2147483647"):
            await connection.call(QUESTION)


async def test_what_is_sent_without_a_response_is_done_once_written(peer, autojump_clock):
    async with peer.connect() as connection:
        await connection.send(ProduceRequest(acks=0))
        await peer.accept()
        assert (await peer.receive()).api_key == ApiKey.PRODUCE


async def test_an_error_of_the_body_stays_bare(peer, autojump_clock):
    with pytest.raises(LookupError, match="mine"):
        async with peer.connect():
            raise LookupError("mine")


async def test_the_oldest_unanswered_request_tells_how_long_the_peer_is_silent(
    peer, autojump_clock
):
    async with peer.connect() as connection:
        assert connection.stalled_s == 0
        connection.start(QUESTION)
        await trio.sleep(3)
        connection.start(QUESTION)
        assert connection.stalled_s == pytest.approx(3)


async def test_requests_that_a_socket_does_not_take_at_once_arrive_whole_and_in_order(nursery):
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    host, port = listener.socket.getsockname()[:2]
    sizes = (10, 3_000_000, 20, 1_000_000, 30)
    async with (
        listener,
        open_connection(
            Environment.real().network, host, port, client_id="test", negotiate=False
        ) as connection,
        await listener.accept() as stream,
    ):
        for size in sizes:
            connection.start(ProduceRequest(transactional_id=None, topic_data=[_topic(size)]))
        reader, found = FrameReader(8_000_000), []
        while len(found) < len(sizes):
            reader.feed(await stream.receive_some(100_000))
            while (frame := reader.next_frame()) is not None:
                header, body = decode_request_header(frame)
                request = decode(ProduceRequest, header.api_version, body)
                (records,) = [p.records for t in request.topic_data for p in t.partition_data]
                found.append((header.correlation_id, bytes(records)))

    assert found == [(number, bytes(size)) for number, size in enumerate(sizes, 1)]


def _topic(size):
    return TopicProduceData("topic", partition_data=[PartitionProduceData(records=bytes(size))])
