"""ControlledShutdown (7): a broker asks the controller to take its leaderships, between brokers.

Must never know: how leaders are elected.
"""

from __future__ import annotations

from protocol.message import Int16, Int32, Int64, String, request, response, struct, wire


@request(key=7, versions=(3, 3), flexible_since=3)
class ControlledShutdownRequest:
    """The broker that wants to stop, in this registration."""

    broker_id: Int32 = 0
    broker_epoch: Int64 = -1


@struct
class RemainingPartition:
    """A partition that the broker still leads."""

    topic_name: String = ""
    partition_index: Int32 = 0


@response(key=7, versions=(3, 3), flexible_since=3)
class ControlledShutdownResponse:
    """Done where no partition remains."""

    error_code: Int16 = 0
    remaining_partitions: list[RemainingPartition] = wire()
