"""AlterPartition (56): a leader asks the controller for a new ISR, between brokers.

Must never know: what makes a replica in-sync. Source: KIP-497, KIP-903.
"""

from __future__ import annotations

from protocol.message import (
    Int8,
    Int16,
    Int32,
    Int64,
    Uuid,
    request,
    response,
    struct,
    wire,
)


@struct
class BrokerState:
    """A member of the ISR, in the registration that the leader has seen fetching."""

    broker_id: Int32 = 0
    broker_epoch: Int64 = -1


@struct
class PartitionData:
    """The ISR that the leader wants; `new_isr` until version 2, with epochs after."""

    partition_index: Int32 = 0
    leader_epoch: Int32 = 0
    new_isr: list[Int32] = wire(until=2)
    new_isr_with_epochs: list[BrokerState] = wire(since=3)
    leader_recovery_state: Int8 = 0
    partition_epoch: Int32 = 0


@struct
class TopicData:
    """One topic's partitions."""

    topic_id: Uuid = wire()
    partitions: list[PartitionData] = wire()


@request(key=56, versions=(2, 3), flexible_since=0)
class AlterPartitionRequest:
    """The leader that asks, in this registration."""

    broker_id: Int32 = 0
    broker_epoch: Int64 = -1
    topics: list[TopicData] = wire()


@struct
class PartitionResult:
    """The partition's state after the change, or why it was refused."""

    partition_index: Int32 = 0
    error_code: Int16 = 0
    leader_id: Int32 = 0
    leader_epoch: Int32 = 0
    isr: list[Int32] = wire()
    leader_recovery_state: Int8 = 0
    partition_epoch: Int32 = 0


@struct
class TopicResult:
    """One topic's partitions."""

    topic_id: Uuid = wire()
    partitions: list[PartitionResult] = wire()


@response(key=56, versions=(2, 3), flexible_since=0)
class AlterPartitionResponse:
    """The outcome, partition by partition."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    topics: list[TopicResult] = wire()
