"""ApiVersions, the first exchange on a connection: which versions does this broker speak?

Must never know: what the versions are used for.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

import trio

from client.errors import ConnectionBroken, refusal
from client.receiver import Receiver
from protocol.api.api_versions import ApiVersionsRequest, ApiVersionsResponse
from protocol.errors import ErrorCode, ProtocolError
from protocol.framing import decode_response, encode_request

if TYPE_CHECKING:
    from protocol.frame_reader import FrameReader

SOFTWARE_NAME: Final = "ottla"
SOFTWARE_VERSION: Final = "0.1"

_ERROR_CODE: Final = struct.Struct(">4xh")
"""The error code stands behind the correlation id in every version."""


async def negotiate_versions(
    stream: trio.abc.Stream, reader: FrameReader, *, client_id: str, address: str
) -> dict[int, tuple[int, int]]:
    """Ask a broker for its APIs; returns `{api key: (min version, max version)}`.

    Raises: ConnectionBroken.
    """
    try:
        response = await _ask(stream, reader, version=3, client_id=client_id)
        if response.error_code == ErrorCode.UNSUPPORTED_VERSION:
            response = await _ask(stream, reader, version=0, client_id=client_id)
    except (trio.BrokenResourceError, trio.ClosedResourceError) as cause:
        raise ConnectionBroken(f"{address} broke the connection: {cause}") from cause
    except ProtocolError as cause:
        raise ConnectionBroken(f"{address} is no Kafka broker: {cause}") from cause
    if response.error_code:
        raise ConnectionBroken(str(refusal(response.error_code, f"{address} refused ApiVersions")))
    return {api.api_key: (api.min_version, api.max_version) for api in response.api_keys}


async def _ask(
    stream: trio.abc.Stream, reader: FrameReader, *, version: int, client_id: str
) -> ApiVersionsResponse:
    """Ask in one version; a broker that does not know it says so in version 0."""
    request = ApiVersionsRequest()
    if version >= 3:
        request = ApiVersionsRequest(SOFTWARE_NAME, SOFTWARE_VERSION)
    chunks: list[Any] = encode_request(
        request, api_version=version, correlation_id=0, client_id=client_id
    )
    await stream.send_all(b"".join(chunks))
    frame = await _next_frame(stream, reader)
    if len(frame) < _ERROR_CODE.size:
        raise ProtocolError("it answers with a frame that is too short")
    if _ERROR_CODE.unpack_from(frame)[0] == ErrorCode.UNSUPPORTED_VERSION:
        version = 0
    correlation_id, response = decode_response(ApiVersionsResponse, version, frame)
    if correlation_id != 0:
        raise ProtocolError(f"it answers request {correlation_id}, not 0")
    return response


async def _next_frame(stream: trio.abc.Stream, reader: FrameReader) -> memoryview:
    receiver = Receiver(stream, reader)
    while (frame := reader.next_frame()) is None:
        if not await receiver.receive():
            raise ProtocolError("it closed the connection")
    return frame
