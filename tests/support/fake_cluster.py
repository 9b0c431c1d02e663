"""A scripted cluster that speaks just enough of the protocol to test clients against."""

from __future__ import annotations

import inspect
import itertools
import random
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import trio

from client.environment import Environment
from protocol.api import API, ApiKey
from protocol.api.api_versions import ApiVersionsResponse
from protocol.codec import decode
from protocol.errors import ErrorCode
from protocol.frame_reader import FrameReader
from protocol.framing import decode_request_header, encode_response
from simulation.network import MemoryNetwork
from tests.support.fake_answers import NO_RESPONSE, PORT, Answers
from tests.support.fake_group_answers import GroupAnswers
from tests.support.fake_groups import FakeGroups
from tests.support.fake_topics import WALL_MS, FakePartition, FakeTopic


class Fault:
    """What a broker does with one request instead of answering it as usual."""

    def __init__(
        self,
        *,
        drop_before: bool = False,
        drop_after: bool = False,
        hang: bool = False,
        delay_s: float = 0.0,
        code: ErrorCode | None = None,
        run: Callable[[], None] | None = None,
    ) -> None:
        self.drop_before = drop_before
        self.drop_after = drop_after
        self.hang = hang
        self.delay_s = delay_s
        self.code = code
        self.run = run


class Dropped(Exception):
    pass


class FakeCluster:
    """Brokers `broker-0`, `broker-1`, ... on an in-memory network, all sharing one set of logs."""

    def __init__(self, nursery: trio.Nursery, *, brokers: int) -> None:
        self.nursery = nursery
        self.network = MemoryNetwork()
        self.environment = Environment(
            self.network.host("client"), lambda: WALL_MS, random.Random(7)
        )
        self.topics: dict[str, FakeTopic] = {}
        self.live: dict[int, trio.CancelScope] = {}
        self.silent: set[int] = set()
        self.broker_ids = list(range(brokers))
        self.racks: dict[int, str] = {}
        self.faults: defaultdict[ApiKey, deque[Fault | None]] = defaultdict(deque)
        self.requests: list[tuple[int, ApiKey, int, Any]] = []
        self.versions = {
            key: api.versions for key, api in API.items() if key is not ApiKey.ALTER_PARTITION
        }
        self.bootstrap = ",".join(f"broker-{b}:{PORT}" for b in self.broker_ids)
        self.auto_create = False
        self.controller_id = 0
        self.max_batch_bytes = 10**9
        self._ids = itertools.count(1)
        self.groups = FakeGroups(nursery)
        self._answers = (Answers(self), GroupAnswers(self))
        self.appended = trio.lowlevel.ParkingLot()

    # Controls

    def add_topic(self, name: str, partitions: int = 1) -> FakeTopic:
        count = len(self.broker_ids)
        topic = FakeTopic(
            next(self._ids).to_bytes(16, "big"),
            [FakePartition(leader_id=index % count) for index in range(partitions)],
        )
        self.topics[name] = topic
        return topic

    def script(self, key: ApiKey, *faults: Fault | ErrorCode | None) -> None:
        """Have the next requests of an API meet these faults, one each; None: no fault."""
        for fault in faults:
            self.faults[key].append(Fault(code=fault) if isinstance(fault, ErrorCode) else fault)

    def count(self, key: ApiKey, broker_id: int | None = None) -> int:
        return sum(k is key and broker_id in (None, b) for b, k, _, _ in self.requests)

    async def start(self, broker_id: int) -> None:
        await self.nursery.start(self._serve, broker_id)

    def kill(self, broker_id: int) -> None:
        self.live.pop(broker_id).cancel()
        self.network.kill(f"broker-{broker_id}")

    def wake_fetches(self) -> None:
        self.appended.unpark_all()

    # Serving

    async def _serve(self, broker_id: int, task_status: trio.TaskStatus[None]) -> None:
        listener = await self.network.host(f"broker-{broker_id}").listen("", PORT)
        with trio.CancelScope() as scope:
            self.live[broker_id] = scope
            async with trio.open_nursery() as nursery:
                task_status.started()
                while not scope.cancel_called:
                    with suppress(trio.ClosedResourceError):
                        stream = await listener.accept()
                        nursery.start_soon(self._serve_stream, broker_id, stream)

    async def _serve_stream(self, broker_id: int, stream: trio.abc.Stream) -> None:
        reader = FrameReader()
        try:
            while data := await stream.receive_some():
                reader.feed(data)
                for frame in reader:
                    await self._serve_frame(broker_id, stream, frame)
        except (trio.BrokenResourceError, trio.ClosedResourceError, Dropped):
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async def _serve_frame(self, broker_id: int, stream: trio.abc.Stream, frame: Any) -> None:
        header, body = decode_request_header(frame)
        key = ApiKey(header.api_key)
        version = header.api_version
        low, high = self.versions.get(key, (0, -1))
        if key is ApiKey.API_VERSIONS and not low <= version <= high:
            response = ApiVersionsResponse(error_code=ErrorCode.UNSUPPORTED_VERSION)
            await self._reply(stream, response, 0, header.correlation_id)
            return
        assert low <= version <= high, f"{key.name} {version} was not offered"
        request = decode(API[key].request, version, body)
        self.requests.append((broker_id, key, version, request))
        faults = self.faults[key]
        fault = (faults.popleft() if faults else None) or Fault()
        if fault.run is not None:
            fault.run()
        if fault.drop_before:
            raise Dropped
        if fault.hang or broker_id in self.silent:
            await trio.sleep_forever()
        if fault.delay_s:
            await trio.sleep(fault.delay_s)
        name = key.name.lower()
        handler = next(getattr(a, name) for a in self._answers if hasattr(a, name))
        response = handler(broker_id, request, fault.code)
        if inspect.isawaitable(response):
            response = await response
        if fault.drop_after:
            raise Dropped
        if response is not NO_RESPONSE:
            await self._reply(stream, response, version, header.correlation_id)

    async def _reply(
        self, stream: trio.abc.Stream, response: object, version: int, correlation_id: int
    ) -> None:
        chunks = encode_response(response, api_version=version, correlation_id=correlation_id)
        await stream.send_all(b"".join(bytes(chunk) for chunk in chunks))
