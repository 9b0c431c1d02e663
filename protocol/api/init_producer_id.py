"""InitProducerId (22): an id and an epoch for an idempotent or transactional producer.

Must never know: how ids are given out.
"""

from __future__ import annotations

from protocol.message import Int16, Int32, Int64, String, request, response, wire


@request(key=22, versions=(0, 5), flexible_since=2)
class InitProducerIdRequest:
    """A producer that has an id and epoch already asks for the next epoch (from version 3)."""

    transactional_id: String | None = ""
    transaction_timeout_ms: Int32 = 0
    producer_id: Int64 = wire(since=3, default=-1)
    producer_epoch: Int16 = wire(since=3, default=-1)


@response(key=22, versions=(0, 5), flexible_since=2)
class InitProducerIdResponse:
    """The id and epoch to write batches with."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    producer_id: Int64 = -1
    producer_epoch: Int16 = 0
