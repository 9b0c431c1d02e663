"""Asks a simulated cluster's brokers anything, one request at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocol.api import API
from protocol.frame_reader import FrameReader
from protocol.framing import decode_response, encode_request
from protocol.message import layout_of
from simulation.cluster import PORT

if TYPE_CHECKING:
    from simulation.cluster import SimulatedCluster


class Asker:
    """Sends one request on a connection of its own, in the newest version unless told."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self.cluster = cluster

    @property
    def controller_id(self) -> int:
        broker = self.cluster.brokers[1].broker
        assert broker is not None
        return broker.view.latest.controller_id

    @property
    def other_id(self) -> int:
        """A broker that is not the controller."""
        return next(i for i in self.cluster.brokers if i != self.controller_id)

    async def __call__(
        self,
        request: Any,
        *,
        version: int | None = None,
        broker_id: int | None = None,
        client_id: str = "tests",
    ) -> Any:
        api = API[layout_of(type(request)).key or 0]
        asked = api.versions[1] if version is None else version
        host = self.cluster.network.host("client")
        stream = await host.connect(f"broker-{broker_id or self.other_id}", PORT)
        frames = FrameReader()
        async with stream:
            chunks = encode_request(
                request, api_version=asked, correlation_id=1, client_id=client_id
            )
            await stream.send_all(b"".join(chunks))
            while (frame := frames.next_frame()) is None:
                data = await stream.receive_some()
                assert data, "the broker closed the connection"
                frames.feed(data)
        return decode_response(api.response, asked, frame)[1]
