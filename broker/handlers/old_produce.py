"""Produce before version 3: advertised, because librdkafka infers codecs from it, and refused.

Requests of these versions hold record formats that no broker of today stores. They are declared
here, not with the protocol: nothing but the refusal ever uses them.
Must never know: partitions. Source: KIP-896, KAFKA-18659.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocol.api.produce import TopicProduceData
from protocol.errors import ErrorCode, ProtocolError, RequestError
from protocol.message import (
    VERSION_MAX,
    Int16,
    Int32,
    Int64,
    String,
    request,
    response,
    struct,
    wire,
)

if TYPE_CHECKING:
    from broker.dispatch import RequestContext

VERSIONS = (0, 2)
ACKS_NONE = 0


@request(key=0, versions=VERSIONS, flexible_since=VERSION_MAX)
class OldProduceRequest:
    """Like today's, without a transactional id."""

    acks: Int16 = 0
    timeout_ms: Int32 = 0
    topic_data: list[TopicProduceData] = wire()


@struct
class OldPartitionProduceResponse:
    """What became of one partition's records: nothing."""

    index: Int32 = 0
    error_code: Int16 = 0
    base_offset: Int64 = -1
    log_append_time_ms: Int64 = wire(since=2, default=-1)


@struct
class OldTopicProduceResponse:
    """One topic's partitions."""

    name: String = ""
    partition_responses: list[OldPartitionProduceResponse] = wire()


@response(key=0, versions=VERSIONS, flexible_since=VERSION_MAX)
class OldProduceResponse:
    """The refusal, partition by partition."""

    responses: list[OldTopicProduceResponse] = wire()
    throttle_time_ms: Int32 = wire(since=1)


def handle_old_produce(request: OldProduceRequest, context: RequestContext) -> Any:
    """Refuse. Raises: RequestError, or ProtocolError where no answer is expected."""
    if request.acks == ACKS_NONE:
        raise ProtocolError(f"Produce version {context.api_version} is not served")
    raise RequestError.of(
        ErrorCode.UNSUPPORTED_VERSION,
        f"Produce version {context.api_version} is not served; use version 3 or later",
    )


def refuse(request: OldProduceRequest, code: ErrorCode, _message: str) -> OldProduceResponse:
    """Answer with an error for each partition."""
    return OldProduceResponse(
        responses=[
            OldTopicProduceResponse(
                name=topic.name,
                partition_responses=[
                    OldPartitionProduceResponse(index=data.index, error_code=code)
                    for data in topic.partition_data
                ],
            )
            for topic in request.topic_data
        ]
    )
